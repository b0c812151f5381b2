"""z-scores against a closed form: over time, and against the standard normal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from neurolim.core import Figure
from neurolim.figures.parts.style import COLOURS, THEORY, Picture, figure, note_failures, styled

_QUANTITIES = ("z_mean", "z_covariance", "z_mean_covariance")


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return z-scores against time (left) and their quantiles against the normal's (right).

    Parameters
    ----------
    dataset : what the statistic ``agreement`` gives
    expect : not used
    """
    picture, axes = figure(1, 2, 7.4, 3.2)
    left, right = axes[0]
    time = dataset["time"].values
    span = float(time[-1] - time[0]) or 1.0
    for place, (name, colour) in enumerate(zip(_QUANTITIES, COLOURS, strict=False)):
        array = dataset[name].transpose("time", ...)
        z = array.values.reshape(len(time), -1)
        jitter = (place - 1) * 0.15 * span / max(1, len(time))
        left.plot(np.repeat(time + jitter, z.shape[1]), z.ravel(), ".", ms=3.5, color=colour)
        values = np.sort(z[np.isfinite(z)])
        if values.size:
            normal = special.ndtri((np.arange(values.size) + 0.5) / values.size)
            right.plot(normal, values, ".", ms=3.5, color=colour)
        right.text(
            0.04,
            0.95 - 0.08 * place,
            name[2:].replace("_", " "),
            color=colour,
            transform=right.transAxes,
            va="top",
            fontsize=8,
        )
    for level in (-3.0, 3.0):
        left.axhline(level, color=THEORY, ls="--", lw=1)
    right.axline((0.0, 0.0), slope=1.0, color=THEORY, ls="--", lw=1)
    left.set_title("deviation from the closed form; dashed, 3 s.e.")
    left.set_xlabel("time")
    left.set_ylabel("z (standard errors)")
    right.set_title("quantiles; dashed, what chance gives")
    right.set_xlabel("standard normal quantile")
    right.set_ylabel("quantile of z")
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return z-scores drawn from a standard normal."""
    generator = np.random.Generator(np.random.PCG64(0))
    square = ("time", "site", "variable", "variable_b")
    return xr.Dataset(
        {
            "z_mean": (square[:3], generator.standard_normal((10, 1, 2))),
            "z_covariance": (square, generator.standard_normal((10, 1, 2, 2))),
            "z_mean_covariance": (square, generator.standard_normal((10, 1, 2, 2))),
        },
        {"time": np.linspace(0.1, 1, 10)},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return _QUANTITIES


FIGURE = Figure(
    summary="Deviation from a closed form in standard errors, over time and as quantiles.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
