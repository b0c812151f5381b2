"""Attraction of the balance points over a plane of weights, with what the network did on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.figures.parts.style import (
    COLOURS,
    THEORY,
    Picture,
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
    """Return the map of phases; dots settled at a point, crosses did not, rings miss the theory.

    Parameters
    ----------
    dataset : phase, leading, settled, agrees over two grid axes at least (the first two are drawn)
    expect : not used
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    phase = dataset["phase"]
    if phase.ndim < 2 or not np.isfinite(phase.values).any():
        return nothing_to_show(dataset)
    down, across = (str(dim) for dim in phase.dims[:2])
    rest = {str(dim): 0 for dim in phase.dims[2:]}
    phase = phase.isel(rest).transpose(down, across)
    settled, agrees = (
        dataset[name].isel(rest).mean("replica").transpose(down, across)
        if "replica" in dataset[name].dims
        else dataset[name].isel(rest).transpose(down, across)
        for name in ("settled", "agrees")
    )
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
    leading = dataset["leading"].isel(rest).transpose(down, across).values
    if np.nanmin(leading) < 0.0 < np.nanmax(leading):
        panel.contour(x, y, leading, [0.0], colors=THEORY, linewidths=1.2)
    columns, rows = np.meshgrid(x, y)
    for wanted, marker, size in ((True, ".", 5), (False, "x", 4)):
        found = (settled.values >= 0.5) == wanted
        found &= np.isfinite(settled.values)
        panel.plot(columns[found], rows[found], marker, ms=size, color=COLOURS[6], ls="none")
    missed = agrees.values < 0.5
    panel.plot(columns[missed], rows[missed], "o", ms=9, mfc="none", mec=COLOURS[1], ls="none")
    panel.set_xlabel(f"factor {across.replace('_', ' ')}")
    panel.set_ylabel(f"factor {down.replace('_', ' ')}")
    ran = int(np.isfinite(agrees.values).sum())
    panel.set_title(f"{ran - int(missed.sum())} of {ran} networks do as M predicts")
    marks = (
        Line2D([], [], marker=".", ms=5, color=THEORY, ls="none", label="network settles"),
        Line2D([], [], marker="x", ms=4, color=THEORY, ls="none", label="network does not settle"),
        Line2D([], [], marker="o", ms=9, mfc="none", mec=COLOURS[1], ls="none", label="not as M"),
        Line2D([], [], color=THEORY, lw=1.2, label="slowest rate of M is zero"),
    )
    present = set(phase.values[np.isfinite(phase.values)].astype(int))
    panel.legend(
        handles=[
            *(
                Patch(color=colour, label=name)
                for code, ((name, _), colour) in enumerate(zip(_PHASES, pale, strict=True))
                if code in present
            ),
            *marks,
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
    dims = ("weight_ee", "weight_ei")
    return xr.Dataset(
        {
            "phase": (dims, phase),
            "leading": (dims, x[None, :] + y[:, None] - 3.1),
            "settled": (dims, settled),
            "agrees": (dims, (settled == (phase < 3)).astype(float)),
        },
        {"weight_ee": y, "weight_ei": x},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("phase", "leading", "settled", "agrees")


FIGURE = Figure(
    summary="Phase map of attraction over two weights with simulated networks on top.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
