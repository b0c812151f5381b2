"""Two coupled copies of a neuron against time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.figures.parts.style import COLOURS, Picture, figure, note_failures, styled, symbol


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return one row per coupling and one column per variable, the first recorded pair in each.

    Parameters
    ----------
    dataset : ``sample`` of the solver ``pairs``
    expect : not used
    """
    sample = dataset["sample"].isel(site=0, pair=0)
    others = {
        d: 0 for d in sample.dims if d not in ("coupling", "network_copy", "time", "variable")
    }
    sample = sample.isel(others)
    couplings = sample["coupling"].values if "coupling" in sample.dims else [None]
    names = [str(name) for name in sample["variable"].values]
    height = 1.7 * len(couplings) + 0.6
    picture, axes = figure(len(couplings), len(names), 3.6 * len(names), max(height, 2.4))
    time = sample["time"].values
    for row, coupling in zip(axes, couplings, strict=True):
        here = sample if coupling is None else sample.sel(coupling=coupling)
        for panel, name in zip(row, names, strict=True):
            for copy, colour in zip(("first", "second"), COLOURS, strict=False):
                panel.plot(
                    time, here.sel(network_copy=copy, variable=name), color=colour, lw=1, label=copy
                )
            units = str(dataset[name].attrs.get("units", "1")) if name in dataset else "1"
            panel.set_ylabel(symbol(name, units))
            panel.set_title(str(coupling) if coupling is not None else f"{name} of two copies")
            if panel.get_subplotspec().is_last_row():
                panel.set_xlabel("time")
    axes[0, 0].legend(fontsize=7.5, frameon=False, ncols=2)
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return two copies that approach each other."""
    time = np.linspace(0.0, 5.0, 60)
    wave = np.sin(3.0 * time)
    values = np.stack([wave + np.exp(-time), wave - np.exp(-time)])
    return xr.Dataset(
        {
            "sample": (
                ("replica", "network_copy", "time", "site", "variable", "pair"),
                values[None, :, :, None, None, None],
            )
        },
        {"network_copy": ["first", "second"], "time": time, "variable": ["x"], "site": [0.0]},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("sample",)


FIGURE = Figure(
    summary="Two coupled copies of a neuron against time.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
