"""The error over n and eps together, with the fitted sum of noise and bias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.figures.parts.style import (
    THEORY,
    Picture,
    figure,
    label_levels,
    note_failures,
    ordered_colours,
    styled,
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return errors over n and over eps; dashed, the fit.

    Parameters
    ----------
    dataset : what the statistic ``double_limit`` gives
    expect : not used
    """
    noise, bias, order = (float(value) for value in dataset["displacement"].values[:3])
    names = {"n_neurons": "number of neurons n", "eps": "eps (time)"}
    error = dataset["double_error"].sortby("n_neurons").sortby("eps")
    picture, axes = figure(1, 2, 7.6, 3.3)
    for panel, along, other in zip(axes[0], names, reversed(names), strict=True):
        x, levels = error[along].values, error[other].values
        colours = ordered_colours(len(levels))
        fine = np.geomspace(x.min(), x.max(), 60)
        for colour, level in zip(colours, levels, strict=True):
            panel.loglog(x, error.sel({other: level}), "o", ms=3.5, color=colour)
            n, eps = (fine, level) if along == "n_neurons" else (level, fine)
            fit = np.hypot(noise / np.sqrt(n), bias * eps**order) + 0.0 * fine
            panel.loglog(fine, fit, "--", lw=0.9, color=colour)
        text = "n = {:g}" if other == "n_neurons" else "1/eps = {:g}"
        values = [text.format(v if other == "n_neurons" else round(1 / v)) for v in levels]
        label_levels(panel, list(zip(values, colours, strict=True)))
        panel.set_xlabel(names[along])
    axes[0, 0].set_ylabel("rms error of the mean against the limit")
    axes[0, 0].set_title("noise falls with n ...")
    axes[0, 1].set_title("... displacement with eps")
    axes[0, 1].text(
        0.97,
        0.04,
        f"fit: {noise:.3g} n$^{{-1/2}}$ and {bias:.3g} eps$^{{{order:.2f}}}$",
        transform=axes[0, 1].transAxes,
        ha="right",
        fontsize=7.5,
        color=THEORY,
    )
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return an exact sum of both errors."""
    n, eps = np.array([100, 1000, 10000]), np.array([0.1, 0.01])
    error = np.hypot(1.0 / np.sqrt(n)[:, None], eps)
    return xr.Dataset(
        {
            "double_error": (("n_neurons", "eps"), error),
            "displacement": ("estimate", [1.0, 1.0, 1.0, 0.9, 1.1]),
        },
        {"n_neurons": n, "eps": eps},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("double_error", "displacement")


FIGURE = Figure(
    summary="Errors over the number of neurons and eps together, with the fit.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
