"""Spectral gap against 1/a^2, with the slope of large-deviation theory."""

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
    at_first_of_others,
    figure,
    note_failures,
    styled,
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return log gap against 1/a^2 (left) and the slope between neighbours (right).

    Parameters
    ----------
    dataset : a gap over the axis ``noise`` and what the statistic ``arrhenius`` gives
    expect : not used
    """
    chosen, note = at_first_of_others(dataset, "noise")
    gap = chosen["gap"].values
    inverse = 1.0 / chosen["noise"].values ** 2
    theory, fitted = float(chosen["barrier_theory"]), float(chosen["barrier"])
    picture, axes = figure(1, 2, 7.4, 3.1)
    left, right = axes[0]
    left.semilogy(inverse, gap, "o", ms=4.5, color=COLOURS[0])
    right.plot(
        0.5 * (inverse[1:] + inverse[:-1]),
        chosen["local_barrier"].values[1:],
        "o",
        ms=4.5,
        color=COLOURS[0],
    )
    if np.isfinite(theory):
        last = int(np.nanargmax(np.where(np.isfinite(gap), inverse, np.nan)))
        left.semilogy(
            inverse,
            gap[last] * np.exp(-theory * (inverse - inverse[last])),
            "--",
            color=THEORY,
            lw=1,
        )
        right.axhline(theory, color=THEORY, ls="--", lw=1)
    right.axhline(fitted, color=COLOURS[1], lw=1)
    right.set_ylim(0.0, 1.35 * max(np.nanmax(chosen["local_barrier"].values), fitted))
    right.text(
        0.03,
        0.97,
        f"line: fit {fitted:.4f}\ndashed: action {theory:.4f}",
        transform=right.transAxes,
        va="top",
        fontsize=8,
    )
    left.set_title("spectral gap; dashed, slope of the action")
    left.set_xlabel("1/a² (time³)")
    left.set_ylabel("gap (1/time)")
    right.set_title("slope between neighbours")
    right.set_xlabel("1/a² (time³)")
    right.set_ylabel("barrier (1/time³)")
    note_failures(picture, dataset, note)
    return picture


def example() -> xr.Dataset:
    """Return an exact Arrhenius law."""
    noise = np.array([0.5, 0.35, 0.25, 0.2])
    gap = 0.3 * np.exp(-0.07 / noise**2)
    return xr.Dataset(
        {
            "gap": ("noise", gap),
            "barrier": ((), 0.07),
            "barrier_theory": ((), 0.069),
            "local_barrier": ("noise", [np.nan, 0.07, 0.07, 0.07]),
        },
        {"noise": noise},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("gap", "barrier", "barrier_theory", "local_barrier")


FIGURE = Figure(
    summary="Spectral gap against 1/a^2 with the barrier of large-deviation theory.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
