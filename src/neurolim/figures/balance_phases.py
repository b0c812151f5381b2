"""Attraction of the balance points over a plane of weights, with what the network did on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure as Picture
from matplotlib.patches import Patch

from neurolim.core import Figure
from neurolim.figures._style import (
    COLOURS,
    figure,
    note_failures,
    nothing_to_show,
    styled,
)

_PHASES = (
    ("one point, attracting", COLOURS[0]),
    ("one point, attracting spiral", COLOURS[5]),
    ("several points", COLOURS[2]),
    ("no attracting point", COLOURS[4]),
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return the map of phases; dots settled at a point, crosses did not.

    Parameters
    ----------
    dataset : phase, settled over two grid axes at least (the first two are drawn)
    expect : not used
    """
    phase = dataset["phase"]
    if phase.ndim < 2 or not np.isfinite(phase.values).any():
        return nothing_to_show(dataset)
    down, across = (str(dim) for dim in phase.dims[:2])
    rest = {str(dim): 0 for dim in phase.dims[2:]}
    phase = phase.isel(rest).transpose(down, across)
    settled = dataset["settled"].isel(rest)
    if "replica" in settled.dims:
        settled = settled.mean("replica")
    settled = settled.transpose(down, across)
    picture, axes = figure(1, 1, 6.4, 4.2)
    panel = axes[0, 0]
    pale = []
    for _, colour in _PHASES:
        red, green, blue = (0.55 + 0.45 * part for part in to_rgb(colour))
        pale.append((red, green, blue))
    x, y = dataset[across].values, dataset[down].values
    panel.pcolormesh(
        x,
        y,
        phase.values,
        cmap=ListedColormap(pale),
        norm=BoundaryNorm(np.arange(-0.5, 4.5), 4),
        shading="nearest",
    )
    columns, rows = np.meshgrid(x, y)
    for wanted, marker, size in ((True, ".", 5), (False, "x", 4)):
        found = (settled.values >= 0.5) == wanted
        found &= np.isfinite(settled.values)
        panel.plot(columns[found], rows[found], marker, ms=size, color=COLOURS[6], ls="none")
    panel.set_xlabel(across.replace("_", " "))
    panel.set_ylabel(down.replace("_", " "))
    panel.set_title("balance points; dots, the network settles, crosses, it does not")
    present = set(phase.values[np.isfinite(phase.values)].astype(int))
    panel.legend(
        handles=[
            Patch(color=colour, label=name)
            for code, ((name, _), colour) in enumerate(zip(_PHASES, pale, strict=True))
            if code in present
        ],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=8,
    )
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return a plane cut in four, with a network that does as predicted but once."""
    x, y = np.linspace(0.5, 2.0, 6), np.linspace(0.5, 2.0, 6)
    phase = (x[None, :] > 1.2) + 2.0 * (y[:, None] > 1.2)
    settled = (phase < 3).astype(float)
    settled[0, 0] = 0.0
    return xr.Dataset(
        {
            "phase": (("weight_ee", "weight_ei"), phase),
            "settled": (("weight_ee", "weight_ei"), settled),
        },
        {"weight_ee": y, "weight_ei": x},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("phase", "settled")


FIGURE = Figure(
    summary="Phase map of attraction over two weights with simulated networks on top.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
