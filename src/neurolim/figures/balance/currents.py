"""Synaptic currents over time: excitation, inhibition, and what is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.figures.parts.style import (
    COLOURS,
    Picture,
    figure,
    label_levels,
    note_failures,
    nothing_to_show,
    ordered_colours,
    styled,
    symbol,
)

_MOST = 6


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return one column per population: currents above, their balance index below.

    Parameters
    ----------
    dataset : excitation, inhibition over time; the last value of every grid axis is shown, the
        index for some levels of gamma
    expect : not used
    """
    both = dataset[["excitation", "inhibition"]]
    if "replica" in both.dims:
        both = both.mean("replica")
    lead = [str(dim) for dim in both["excitation"].dims if dim not in ("time", "site", "gamma")]
    both = both.isel(dict.fromkeys(lead, -1))
    if "gamma" not in both.dims:
        both = both.expand_dims("gamma")
    good = np.flatnonzero(both["excitation"].notnull().all(("time", "site")).values)
    if not good.size:
        return nothing_to_show(dataset)
    good = good[np.unique(np.linspace(0, good.size - 1, _MOST).round().astype(int))]
    several = good.size > 1
    layer = '"clock": "layer"' in str(dataset.attrs.get("params", ""))
    clock = "1/gamma" if layer else ""
    unit = "gamma" if layer else dataset["excitation"].attrs.get("units", "1")
    sites = list(dataset["site"].values)
    picture, axes = figure(2, len(sites), 3.3 * len(sites) + 0.9, 4.6)
    time = dataset["time"].values
    colours = ordered_colours(good.size) if several else [COLOURS[6]]
    levels = []
    for column, site in enumerate(sites):
        above, below = axes[0, column], axes[1, column]
        for colour, place in zip(colours, good, strict=True):
            here = both.isel(gamma=int(place)).sel(site=site)
            excitation, inhibition = here["excitation"].values, here["inhibition"].values
            total = excitation - inhibition
            index = np.abs(excitation + inhibition) / np.where(total > 0, total, np.nan)
            below.semilogy(time, np.maximum(index, 1e-12), color=colour)
            if several and not column:
                levels.append((f"gamma = {float(here['gamma']):.3g}", colour))
        lines = (("E", excitation), ("I", inhibition), ("E + I", excitation + inhibition))
        for (name, values), colour in zip(lines, (COLOURS[1], COLOURS[0], COLOURS[6]), strict=True):
            above.plot(time, values, color=colour)
            above.annotate(
                name,
                (1.02, values[-1]),
                xycoords=("axes fraction", "data"),
                color=colour,
                va="center",
                fontsize=8,
                annotation_clip=False,
            )
        where = f", {levels[-1][0]}" if several else ""
        above.set_title(f"mean synaptic current to {site}{where}")
        above.set_ylabel(symbol("current", unit))
        below.set_title("left uncancelled, |E + I| / (|E| + |I|)")
        below.set_ylabel("balance index")
        below.set_xlabel(symbol("time", clock))
    label_levels(axes[1, -1], levels)
    values = [
        f"{dim} = {_text(dataset[dim].values[-1])}"
        for dim in lead
        if dataset.sizes[dim] > 1 and dim in dataset.coords
    ]
    note_failures(picture, dataset, f"shown at {', '.join(values)}" if values else "")
    return picture


def _text(value: Any) -> str:
    """Return a coordinate value as a label."""
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)


def example() -> xr.Dataset:
    """Return currents that come to cancel each other."""
    time = np.linspace(0.0, 5.0, 60)
    decay = np.exp(-1.5 * time)[:, None] * np.array([1.0, -0.6])
    names = ("time", "site")
    return xr.Dataset(
        {
            "excitation": (names, 2.0 + decay, {"units": "1/time"}),
            "inhibition": (names, -1.97 + 0.3 * decay),
        },
        {"time": time, "site": ["E", "I"]},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("excitation", "inhibition")


FIGURE = Figure(
    summary="Excitatory and inhibitory currents over time and the share left uncancelled.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
