"""How coupled copies approach each other, with the spectral gap's slope and the proven one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.figures.parts.style import COLOURS, THEORY, Picture, figure, note_failures, styled

_PANELS = 6
_COLUMNS = 3


def _slope(
    panel: Any, time: np.ndarray, anchor: tuple[float, float], rate: float, **line: Any
) -> None:
    """Draw anchor value times exp(-rate (t - anchor time))."""
    if np.isfinite(rate) and rate > 0:
        panel.plot(time, anchor[1] * np.exp(-rate * (time - anchor[0])), color=THEORY, **line)


def _title(dataset: xr.Dataset, here: xr.Dataset, grid: list[str]) -> str:
    """Return the point's coordinates in words; a zipped axis is told by its components."""
    texts = []
    for axis in grid:
        parts = [str(n) for n, c in dataset.coords.items() if c.dims == (axis,) and n != axis]
        for name in parts or [axis]:
            value = here[name].values
            texts.append(f"{name} {value:.4g}" if value.dtype.kind in "fi" else str(value))
    lines = [", ".join(texts[i : i + 2]) for i in range(0, len(texts), 2)]
    return "\n".join(lines) or "decay"


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return one panel per grid point: decays on a logarithmic scale and two slopes.

    The gap's slope is drawn through the first curve where the rate's window begins, the proven
    bound from the start.

    Parameters
    ----------
    dataset : what the statistic ``contraction`` gives, maybe with a reference gap and proven rates
    expect : not used
    """
    decay = dataset["decay"]
    curves = "coupling" if "coupling" in decay.dims else "norm"
    if curves == "coupling":
        dataset = dataset.isel(norm=0)
        decay = dataset["decay"]
    grid = [str(d) for d in decay.dims if d not in (curves, "time")]
    points = list(np.ndindex(*(decay.sizes[d] for d in grid)))
    shown = points[:_PANELS]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    picture, axes = figure(rows, columns, 2.7 * columns + 0.5, 2.5 * rows + 0.3)
    time = decay["time"].values
    for place, panel in enumerate(axes.ravel()):
        if place >= len(shown):
            panel.set_visible(False)
            continue
        here = dataset.isel(dict(zip(grid, shown[place], strict=True)))
        lowest = np.inf
        for number, (label, colour) in enumerate(zip(here[curves].values, COLOURS, strict=False)):
            value = here["decay"].sel({curves: label}).values
            error = here["decay_error"].sel({curves: label}).values
            good = (value > 0) & ~(error > 0.3 * value)
            # Wide below, narrow above: curves that coincide are all seen.
            width = max(2.8 - 0.8 * number, 0.8)
            panel.plot(time[good], value[good], color=colour, lw=width, label=str(label))
            lowest = min(lowest, value[good].min()) if good.any() else lowest
        first = here["decay"].isel({curves: 0}).values
        begin = 0
        if "window_start" in here:
            known = float(here["window_start"].isel({curves: 0}))
            begin = int(np.argmin(np.abs(time - known))) if np.isfinite(known) else 0
        gap = float(here["reference_gap"].values.ravel()[0]) if "reference_gap" in here else np.nan
        _slope(panel, time, (time[begin], first[begin]), gap, ls="--", lw=1, label="spectral gap")
        proven = float(here["lambda_weighted"]) if "lambda_weighted" in here else np.nan
        _slope(panel, time, (time[0], first[0]), proven, ls=":", lw=1.3, label="Theorem 1")
        panel.set_yscale("log")
        if np.isfinite(lowest):
            highest = float(np.nanmax(first))
            # Below that there is only rounding.
            panel.set_ylim(max(0.5 * lowest, 1e-13 * highest), 3.0 * highest)
        panel.set_title(_title(dataset, here, grid), fontsize=8.0)
        panel.set_xlabel("time")
        if place % columns == 0:
            panel.set_ylabel("E|x - x'| (state units)")
        if place == 0:
            panel.legend(fontsize=7, frameon=False, loc="lower left")
    left = len(points) - len(shown)
    note_failures(picture, dataset, f"{left} more points are not shown" if left else "")
    return picture


def example() -> xr.Dataset:
    """Return two couplings at one point."""
    time = np.linspace(0.0, 5.0, 21)
    decay = np.stack([[np.exp(-0.8 * time), 0.9 * np.exp(-0.5 * time)]])
    return xr.Dataset(
        {
            "decay": (("norm", "coupling", "time"), decay),
            "decay_error": (("norm", "coupling", "time"), 0.01 * decay),
            "reference_gap": ((), 0.8),
            "lambda_weighted": ((), 0.3),
        },
        {"norm": ["l1"], "coupling": ["synchronous", "mirror"], "time": time},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("decay", "decay_error")


FIGURE = Figure(
    summary="Decay of the distance of coupled copies with the true and the proven slope.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
