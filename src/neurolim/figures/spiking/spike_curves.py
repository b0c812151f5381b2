"""Statistics of spikes and small oscillations along an axis, with error bars and theory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.skeleton import current_marks, legend_of_all
from neurolim.figures.parts.style import (
    THEORY,
    Picture,
    figure,
    note_failures,
    ordered_colours,
    styled,
    symbol,
)

_PANELS = (
    ("spike_rate", "spike_rate_error", "spikes per time"),
    ("interval_cv", "interval_cv_error", "CV of intervals"),
    ("small_mean", "small_mean_error", "mean number N of small oscillations"),
    ("small_none", "small_none_error", "P(N = 0)"),
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, over: str, log: bool) -> Picture:
    """Return four panels: rate, CV, mean N, P(N = 0), a curve per level of a second axis.

    Parameters
    ----------
    dataset : what the statistic ``mmo`` gives; reference_bifurcation_current
    expect : not used
    over : axis along x
    log : logarithmic x

    Notes
    -----
    Mean N is logarithmic from .1 on, linear below.
    """
    others = [str(dim) for dim in dataset["spike_rate"].dims if dim != over]
    picture, axes = figure(2, 2, 7.2, 5.6)
    chosen = dataset.isel(dict.fromkeys(others[1:], 0))
    second = others[0] if others else ""
    levels = chosen[second].values if second else np.array([np.nan])
    x = chosen[over].values
    for colour, place in zip(ordered_colours(len(levels)), range(len(levels)), strict=True):
        here = chosen.isel({second: place}) if second else chosen
        text = f"{second} = {levels[place]:.4g}" if second else "measured, ± 1.96 se"
        for panel, (name, error, _) in zip(axes.ravel(), _PANELS, strict=True):
            values = here[name].values
            bars = 1.96 * here[error].values
            panel.errorbar(
                x, values, yerr=bars, fmt="o-", ms=3, lw=0.9, capsize=2, color=colour, label=text
            )
            if name == "small_none" and np.isfinite(here["small_none_theory"]).any():
                label = r"weak noise: $\Phi(-2\pi^{1/4}\mu/\sigma_1)$"
                line = {"color": THEORY if not second else colour, "lw": 0.9, "ls": "--"}
                panel.plot(x, here["small_none_theory"].values, label=label, **line)
    for panel, (_, _, text) in zip(axes.ravel(), _PANELS, strict=True):
        if log:
            panel.set_xscale("log")
        if text.startswith("mean"):
            panel.set_yscale("symlog", linthresh=0.1)
            panel.set_ylim(bottom=0.0)
        panel.set_title(text)
        panel.set_xlabel(symbol(over, str(dataset[over].attrs.get("units", "1"))))
        panel.set_ylabel(text.split(" of ")[0] if len(text) > 22 else text)
        if over == "current":
            current_marks(panel, dataset)
    legend_of_all(picture, axes.ravel(), 3)
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return two noises along four currents."""
    current, sigma = np.array([5.4, 5.5, 5.6, 5.7]), np.array([0.5, 1.0])
    ramp = np.stack([np.linspace(0.1, 1.0, 4), np.linspace(0.3, 0.9, 4)])
    dims = ("sigma", "current")
    names = [name for name, _, _ in _PANELS] + ["small_none_theory"]
    data: dict[str, Any] = dict.fromkeys(names, (dims, ramp))
    data |= {error: (dims, 0.05 * ramp) for _, error, _ in _PANELS}
    return xr.Dataset(data, {"current": current, "sigma": sigma})


FIGURE = Figure(
    summary="Rate, regularity and small oscillations along an axis, with theory.",
    options=(
        Param("over", "current", doc="axis along x", kind="text"),
        Param("log", False, doc="logarithmic x", kind="boolean"),
    ),
    needs=lambda options, state: (
        "spike_rate",
        "spike_rate_error",
        "interval_cv",
        "interval_cv_error",
        "small_mean",
        "small_mean_error",
        "small_none",
        "small_none_error",
        "small_none_theory",
    ),
    draw=draw,
    example=example,
)
