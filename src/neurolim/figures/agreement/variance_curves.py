"""Variance on a sparse random graph against the mean degree, and how near it is to instability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

from neurolim.core import Figure
from neurolim.figures.parts.style import (
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
    """Return the variance over that of the mean field (left) and the instability q (right).

    The axis is k/k_c = 1/q; below k_c, shaded, the graph is unstable.  Bars are two standard
    errors, lines exact in large networks.

    Parameters
    ----------
    dataset : what the statistic ``sparse_variance`` gives
    expect : not used
    """
    chosen, note = at_first_of_others(dataset, "in_degree")
    ratio = np.atleast_1d(chosen["degree_ratio"].values).astype(float)
    if not np.isfinite(chosen["excess"].values).any():
        return nothing_to_show(dataset)
    picture, axes = figure(1, 2, 7.6, 3.2)
    left, right = axes[0]
    shown = np.geomspace(1.001, 1.3 * max(ratio.max(), 1.5), 1000)
    curves = ((1.0 - 1.0 / shown) ** -0.5, 1.0 / shown)
    measured = (1.0 + chosen["excess"], chosen["instability"])
    for panel, curve, values in zip(axes[0], curves, measured, strict=True):
        mean = np.atleast_1d(values.mean("replica").values)
        count = values.notnull().sum("replica")
        error = np.atleast_1d((values.std("replica", ddof=1) / count**0.5).values)
        panel.plot(shown, curve, color=THEORY, lw=1.0, label="exact, $n = \\infty$")
        panel.errorbar(
            ratio, mean, 2.0 * error, fmt="o", ms=4, lw=1, color=COLOURS[0], zorder=3,
            label="network",
        )  # fmt: skip
        panel.axvspan(0.7, 1.0, color=COLOURS[1], alpha=0.15, lw=0)
        panel.set_xscale("log")
        panel.set_xlim(0.7, shown[-1])
        panel.xaxis.set_major_locator(FixedLocator([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]))
        panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xlabel("mean degree over the critical one, $k/k_c$")
    left.axhline(1.0, color=THEORY, lw=0.5, ls=":")
    left.set_ylim(0.9, 1.0 + 1.25 * float(chosen["excess"].max()))
    left.text(0.83, 0.95, "unstable", rotation=90, ha="center", va="top", fontsize=8,
              color=COLOURS[1], transform=left.get_xaxis_transform())  # fmt: skip
    left.set_title("variance of a neuron")
    left.set_ylabel("Var $x$ / mean field")
    left.legend(frameon=False, fontsize=8)
    right.set_yscale("log")
    right.set_title("instability $q$")
    right.set_ylabel("1 - (mean field / Var $x$)$^2$")
    note_failures(picture, dataset, note)
    return picture


def example() -> xr.Dataset:
    """Return made-up variances close to the exact ones."""
    degree = np.array([5.0, 8.0, 16.0, 64.0])
    excess = (1.0 - 4.0 / degree) ** -0.5 - 1.0
    measured = excess[:, None] * np.array([0.98, 1.0, 1.05])
    dims = ("in_degree", "replica")
    return xr.Dataset(
        {
            "excess": (dims, measured),
            "instability": (dims, 1.0 - (1.0 + measured) ** -2.0),
            "degree_ratio": ("in_degree", degree / 4.0),
        },
        {"in_degree": degree},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("excess", "instability", "degree_ratio")


FIGURE = Figure(
    summary="Variance of linear neurons on a sparse random graph beside the exact one.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
