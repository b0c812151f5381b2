"""Synaptic currents over time: excitation, inhibition, and what is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Picture

from neurolim.core import Figure
from neurolim.figures._style import (
    COLOURS,
    figure,
    note_failures,
    nothing_to_show,
    styled,
    symbol,
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return one column per population: currents above, their balance index below.

    Parameters
    ----------
    dataset : excitation, inhibition over time; the last value of every grid axis is shown
    expect : not used
    """
    lead = [str(dim) for dim in dataset["excitation"].dims if dim not in ("time", "site")]
    chosen = dataset.isel({dim: -1 for dim in lead if dim != "replica"})
    both = chosen[["excitation", "inhibition"]]
    if "replica" in lead:
        both = both.mean("replica")
    if not np.isfinite(both["excitation"].values).any():
        return nothing_to_show(dataset)
    sites = list(dataset["site"].values)
    picture, axes = figure(2, len(sites), 3.3 * len(sites) + 0.4, 4.4)
    time = dataset["time"].values
    for column, site in enumerate(sites):
        here = both.sel(site=site)
        excitation, inhibition = here["excitation"].values, here["inhibition"].values
        above, below = axes[0, column], axes[1, column]
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
        above.set_title(f"synaptic currents to population {site}")
        above.set_ylabel(symbol("current", dataset["excitation"].attrs.get("units", "1")))
        total = excitation - inhibition
        index = np.abs(excitation + inhibition) / np.where(total > 0, total, np.nan)
        below.semilogy(time, np.maximum(index, 1e-12), color=COLOURS[6])
        below.set_title("left uncancelled, |E + I| / (|E| + |I|)")
        below.set_ylabel("balance index")
        below.set_xlabel(symbol("time", dataset["time"].attrs.get("units", "1")))
    values = [
        f"{dim} = {dataset[dim].values[-1]}"
        for dim in lead
        if dim != "replica" and dataset.sizes[dim] > 1 and dim in dataset.coords
    ]
    note_failures(picture, dataset, f"shown at {', '.join(values)}" if values else "")
    return picture


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
