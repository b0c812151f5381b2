"""The law of v narrowing onto the balance voltage, and its Hopf-Cole potential near its limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.figures.parts.style import (
    THEORY,
    Picture,
    figure,
    label_levels,
    note_failures,
    nothing_to_show,
    ordered_colours,
    styled,
)

_MOST = 6


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return one column per population: densities, potentials, gamma times what these miss.

    Parameters
    ----------
    dataset : outputs of ``stationary_law`` and of the statistic ``balance_law`` along gamma
    expect : not used
    """
    others = {
        str(dim): 0 for dim in dataset["density"].dims if dim not in ("gamma", "site", "node")
    }
    chosen = dataset.isel(others)
    good = np.flatnonzero(np.isfinite(chosen["density"].values).all(axis=(1, 2)))
    if not good.size:
        return nothing_to_show(dataset)
    places = good[np.unique(np.linspace(0, good.size - 1, _MOST).round().astype(int))]
    places = places[np.argsort(chosen["gamma"].values[places])]
    colours = ordered_colours(places.size)
    sites = list(dataset["site"].values)
    picture, axes = figure(3, len(sites), 3.3 * len(sites) + 0.9, 6.6)
    widest = chosen.isel(gamma=int(places[0]))
    for column, site in enumerate(sites):
        above, below, missed = axes[:, column]
        for colour, place in zip(colours, places, strict=True):
            here = chosen.isel(gamma=int(place)).sel(site=site)
            above.plot(here["voltage_nodes"], here["density"], color=colour)
            below.plot(here["window_voltage"], here["hopf_cole"], color=colour)
            deviation = float(here["gamma"]) * (here["hopf_cole"] - here["hopf_cole_limit"])
            missed.plot(here["window_voltage"], deviation, color=colour)
        limit = chosen.isel(gamma=int(places[-1])).sel(site=site)
        below.plot(limit["window_voltage"], limit["hopf_cole_limit"], "--", color=THEORY, lw=1.2)
        nodes = widest.sel(site=site)
        big = nodes["density"].values > 0.01 * float(nodes["density"].max())
        above.set_xlim(*nodes["voltage_nodes"].values[big][[0, -1]])
        branch = int(np.atleast_1d(limit["reference_attained"].values)[0])
        voltage = float(limit["reference_balance_state"].isel(branch=max(branch, 0), variable=0))
        for panel in (above, below, missed):
            panel.axvline(voltage, color=THEORY, ls=":", lw=1)
            panel.set_xlabel("voltage")
        above.set_yscale("log")
        above.set_ylim(0.02, 2.0 * float(limit["density"].max()))
        above.set_title(f"law of population {site}; dotted, v*")
        above.set_ylabel("density of v")
        below.set_title("Hopf-Cole potential; dashed, its limit")
        below.set_ylabel("potential")
        missed.set_title("gamma (potential - limit): of order one")
        missed.set_ylabel("deviation x gamma")
    labels = [
        (f"gamma = {chosen['gamma'].values[place]:.5g}", colour)
        for colour, place in zip(colours, places, strict=True)
    ]
    label_levels(axes[0, -1], labels)
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return Gaussian laws about 0.3 of variance 1/(4 gamma)."""
    gamma = np.array([10.0, 100.0, 1000.0])
    u = np.linspace(-8.0, 8.0, 161)
    deviation = 0.5 / np.sqrt(gamma)[:, None, None]
    offset = np.linspace(-1.0, 1.0, 41)
    potential = np.broadcast_to(-2.0 * offset**2, (3, 1, 41))
    one = ("gamma", "site")
    return xr.Dataset(
        {
            "voltage_nodes": ((*one, "node"), 0.3 + deviation * u),
            "density": (
                (*one, "node"),
                np.exp(-0.5 * u**2) / (np.sqrt(2 * np.pi) * deviation),
            ),
            "window_voltage": (
                (*one, "window_node"),
                np.broadcast_to(0.3 + offset, (3, 1, 41)).copy(),
            ),
            "hopf_cole": ((*one, "window_node"), potential + 0.3 / gamma[:, None, None]),
            "hopf_cole_limit": ((*one, "window_node"), potential.copy()),
            "reference_attained": ("gamma", np.zeros(3, np.int32)),
            "reference_balance_state": (
                ("gamma", "branch", "site", "variable"),
                np.full((3, 1, 1, 1), 0.3),
            ),
        },
        {"gamma": gamma, "site": ["P"], "variable": ["voltage"]},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "voltage_nodes",
        "density",
        "window_voltage",
        "hopf_cole",
        "hopf_cole_limit",
        "reference_attained",
        "reference_balance_state",
    )


FIGURE = Figure(
    summary="Laws narrowing onto the balance voltage and their Hopf-Cole potentials.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
