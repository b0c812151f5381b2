"""Where a network ends, for every initial mean, and the separatrix of its limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.figures.parts.skeleton import legend_of_all
from neurolim.figures.parts.style import COLOURS, Picture, figure, note_failures, styled


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return the map of initial means, coloured by the share of runs that end in the upper state.

    Parameters
    ----------
    dataset : state_mean over a grid of voltage_start and recovery_start; reference_separatrix,
        reference_equilibrium, reference_stability
    expect : not used
    """
    axes_of = ("recovery_start", "voltage_start")
    others = [
        dim
        for dim in dataset["state_mean"].dims
        if dim not in (*axes_of, "replica", "time", "site", "variable")
    ]
    chosen = dataset.isel(dict.fromkeys(others, 0))
    point = chosen.isel(dict.fromkeys(axes_of, 0))
    saddle = point["reference_equilibrium"].values[point["reference_stability"].values == 2]
    border = float(saddle[0, 0]) if len(saddle) else 0.0
    last = chosen["state_mean"].isel(time=-1, site=0, variable=0)
    share = (last > border).where(last.notnull()).mean("replica").transpose(*axes_of)
    picture, panels = figure(1, 1, 5.6, 4.6)
    panel = panels[0, 0]
    mesh = panel.pcolormesh(
        share["voltage_start"], share["recovery_start"], share.values, cmap="cividis", vmin=0.0,
        vmax=1.0, shading="nearest", rasterized=True,
    )  # fmt: skip
    bar = picture.colorbar(mesh, ax=panel)
    bar.ax.set_title("share", loc="left", fontsize=7.5)
    bar.set_label("runs that end in the upper state")
    limits = panel.get_xlim(), panel.get_ylim()
    curve = point["reference_separatrix"].values
    if np.isfinite(curve).any():
        panel.plot(*curve.T, color="white", lw=3.0)
        panel.plot(*curve.T, color=COLOURS[1], lw=1.6, label="separatrix of the limit")
    kinds = point["reference_stability"].values
    for (v, w), kind in zip(point["reference_equilibrium"].values, kinds, strict=True):
        if kind >= 0:
            face = "black" if kind == 1 else "white"
            text = "stable equilibrium" if kind == 1 else "unstable equilibrium"
            panel.plot(v, w, "s", color="black", mfc=face, ms=5, ls="none", label=text)
    panel.set_xlim(limits[0])
    panel.set_ylim(limits[1])
    panel.set_title("basins: network (colour) and limit (line)", loc="left")
    panel.set_xlabel("initial mean voltage")
    panel.set_ylabel("initial mean recovery")
    legend_of_all(picture, [panel], 3)
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return two states divided by v = w/2."""
    v, w = np.linspace(-2.0, 2.0, 9), np.linspace(-1.0, 1.0, 7)
    upper = np.sign(v[None, :] - 0.5 * w[:, None] + 1e-3)
    final = np.stack([upper, np.zeros_like(upper)], axis=-1)[:, :, None, None, None, :]
    grid = ("recovery_start", "voltage_start")
    rest = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    line = np.stack([0.5 * w, w], axis=1)
    return xr.Dataset(
        {
            "state_mean": ((*grid, "replica", "time", "site", "variable"), final),
            "reference_separatrix": (
                (*grid, "curve_point", "variable"), np.broadcast_to(line, (7, 9, 7, 2))
            ),
            "reference_equilibrium": (
                (*grid, "equilibria", "plane"), np.broadcast_to(rest, (7, 9, 3, 2))
            ),
            "reference_stability": (
                (*grid, "equilibria"), np.broadcast_to(np.array([1, 2, 1], np.int8), (7, 9, 3))
            ),
        },
        {"voltage_start": v, "recovery_start": w},
    )  # fmt: skip


FIGURE = Figure(
    summary="Basins of the network over initial means, with the separatrix of the limit.",
    options=(),
    needs=lambda options, state: (
        "state_mean",
        "reference_separatrix",
        "reference_equilibrium",
        "reference_stability",
    ),
    draw=draw,
    example=example,
)
