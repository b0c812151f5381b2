"""Variance between the neurons of a network against time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.style import (
    THEORY,
    Picture,
    at_first_of_others,
    figure,
    label_levels,
    note_failures,
    nothing_to_show,
    ordered_colours,
    styled,
    symbol,
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, over: str) -> Picture:
    """Return the mean of the first variable and its variance, which is logarithmic, over time.

    Parameters
    ----------
    dataset : state_mean, covariance; reference_covariance where there is one
    expect : not used
    over : axis whose levels are the curves
    """
    whole = dataset
    dataset, note = at_first_of_others(dataset, over)
    first = str(dataset["variable"].values[0])
    here = dataset.isel(site=0).sel(variable=first)
    here = here.mean("replica") if "replica" in here.dims else here
    if not np.isfinite(here["state_mean"].values).any():
        return nothing_to_show(whole)
    levels, time = dataset[over].values, dataset["time"].values
    order = np.argsort(levels)
    colours = ordered_colours(len(order))
    picture, axes = figure(1, 2, 7.4, 3.0)
    shown, spread = axes[0]
    for colour, place in zip(colours, order, strict=True):
        level = here.isel({over: place}).sel(variable_b=first)
        shown.plot(time, level["state_mean"], color=colour, lw=1.0)
        spread.plot(time, level["covariance"], color=colour, lw=1.2)
        if "reference_covariance" in level:
            spread.plot(time, level["reference_covariance"], "--", color=THEORY, lw=0.8)
    shown.set_ylabel(symbol(first, str(dataset["state_mean"].attrs.get("units", "1"))))
    spread.set_ylabel("variance")
    shown.set_title(f"{first}: mean of the network")
    theory = "; dashed: theory" if "reference_covariance" in dataset else ""
    spread.set_title(f"variance between neurons{theory}")
    spread.set_yscale("log")
    for panel in (shown, spread):
        panel.set_xlabel("time")
    label_levels(
        spread,
        [
            (f"{over} = {levels[place]:g}", colour)
            for colour, place in zip(colours, order, strict=True)
        ],
    )
    note_failures(picture, whole, note)
    return picture


def example() -> xr.Dataset:
    """Return two variances that fall at rates 1 and 2 to 1e-2 and 1e-4, one replica each."""
    time = np.linspace(0.0, 10.0, 41)
    gap = np.array([1.0, 2.0])
    variance = np.exp(-gap[:, None] * time) + 10.0 ** (-2.0 * gap[:, None])
    dims = ("gap", "replica", "time", "site", "variable")
    return xr.Dataset(
        {
            "state_mean": (dims, np.broadcast_to(np.sin(time), (2, 1, 41))[..., None, None].copy()),
            "covariance": ((*dims, "variable_b"), variance[:, None, :, None, None, None]),
            "status": (dims[:2], np.zeros((2, 1), np.int8)),
        },
        {"gap": gap, "time": time, "site": [0.0], "variable": ["v"], "variable_b": ["v"]},
    )


FIGURE = Figure(
    summary="Variance between the neurons of a network over time, and its theory.",
    options=(Param("over", "gap", doc="axis whose levels are the curves", kind="axis"),),
    needs=lambda options, state: ("state_mean", "covariance"),
    draw=draw,
    example=example,
)
