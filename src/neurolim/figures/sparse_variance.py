"""Variance on a sparse random graph against the mean degree, and how fast the excess vanishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Picture

from neurolim.core import Figure
from neurolim.figures._style import (
    COLOURS,
    THEORY,
    at_first_of_others,
    figure,
    note_failures,
    nothing_to_show,
    styled,
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return the variance over that of the mean field (left) and what it has beyond it (right).

    The axis is k/k_c = 1/q; below k_c, shaded, the graph is unstable.  Bars are two standard
    errors, lines exact; dashed, q/2.

    Parameters
    ----------
    dataset : what the statistic ``sparse_variance`` gives
    expect : not used
    """
    chosen, note = at_first_of_others(dataset, "in_degree")
    ratio = np.atleast_1d(chosen["degree_ratio"].values).astype(float)
    excess = np.atleast_1d(chosen["excess"].mean("replica").values)
    error = np.atleast_1d(chosen["excess_error"].values)
    if not np.isfinite(excess).any():
        return nothing_to_show(dataset)
    picture, axes = figure(1, 2, 7.6, 3.2)
    left, right = axes[0]
    shown = np.geomspace(1.0 + 0.1 * max(ratio.min() - 1.0, 0.05), 1.3 * ratio.max(), 400)
    curve = (1.0 - 1.0 / shown) ** -0.5 - 1.0
    for panel, base in ((left, 1.0), (right, 0.0)):
        panel.plot(shown, base + curve, color=THEORY, lw=1.0, label="exact, $n = \\infty$")
        panel.errorbar(
            ratio,
            base + excess,
            2.0 * error,
            fmt="o",
            ms=4,
            lw=1,
            color=COLOURS[0],
            zorder=3,
            label="network",
        )
        panel.set_xscale("log")
        panel.set_xlabel("mean degree over the critical one, $k/k_c$")
        panel.axvspan(0.7, 1.0, color=COLOURS[1], alpha=0.15, lw=0)
        panel.set_xlim(0.7, shown[-1])
    left.axhline(1.0, color=THEORY, lw=0.5, ls=":")
    left.set_ylim(0.9, 1.0 + 1.25 * np.nanmax(excess))
    left.text(0.83, 0.95, "unstable", rotation=90, ha="center", va="top", fontsize=8,
              color=COLOURS[1], transform=left.get_xaxis_transform())  # fmt: skip
    left.set_title("variance of a neuron")
    left.set_ylabel("Var $x$ / mean field")
    right.set_yscale("log")
    right.plot(shown, 0.5 / shown, color=THEORY, lw=1.0, ls="--", label="$k_c/2k$")
    right.set_ylim(0.3 * curve[-1], 3.0 * np.nanmax(excess))
    right.set_title("beyond the mean field")
    right.set_ylabel("excess of the variance")
    right.legend(frameon=False, fontsize=8)
    note_failures(picture, dataset, note)
    return picture


def example() -> xr.Dataset:
    """Return made-up variances close to the exact ones."""
    degree = np.array([5.0, 8.0, 16.0, 64.0])
    excess = (1.0 - 4.0 / degree) ** -0.5 - 1.0
    return xr.Dataset(
        {
            "excess": (("in_degree", "replica"), 1.02 * excess[:, None]),
            "excess_error": ("in_degree", 0.02 * excess),
            "degree_ratio": ("in_degree", degree / 4.0),
        },
        {"in_degree": degree},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("excess", "excess_error", "degree_ratio")


FIGURE = Figure(
    summary="Variance of linear neurons on a sparse random graph beside the exact one.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
