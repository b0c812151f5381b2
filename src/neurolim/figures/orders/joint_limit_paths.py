"""Bias and fluctuation of the mean along joint limits of size and coupling, and the sum formula."""

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
    nothing_to_show,
    ordered_colours,
    styled,
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return fluctuation and bias over n, one colour per path, and the error over the formula.

    Parameters
    ----------
    dataset : what the statistic ``joint_limits`` gives [grid, replica], gamma and n_neurons
    expect : not used
    """
    if not np.isfinite(dataset["mean_fluctuation"].values).any():
        return nothing_to_show(dataset)
    gamma, n = dataset["gamma"].values, dataset["n_neurons"].values.astype(float)
    beta = dataset["path_beta"].values
    over = [dim for dim in dataset["mean_bias"].dims if dim == "replica"]
    several = bool(over) and dataset.sizes["replica"] > 1
    bias = dataset["mean_bias"].mean(over)
    squares = dataset["error_ratio"] ** 2
    ratio = squares.mean(over) ** 0.5

    def spread(array: xr.DataArray) -> xr.DataArray:
        return array.std(over, ddof=int(several)) / array.count(over) ** 0.5

    panels = {
        "fluctuation of the mean": (
            dataset["mean_fluctuation"].mean(over),
            spread(dataset["mean_fluctuation"]),
        ),
        "bias of the mean": (abs(bias), spread(dataset["mean_bias"])),
        "error over the sum formula": (ratio, spread(squares) / (2.0 * ratio)),
    }
    picture, axes = figure(1, 3, 9.6, 3.0)
    paths = sorted(set(beta[np.isfinite(beta)]), key=lambda b: (b == 0.0, b))
    colours = ordered_colours(len(paths))
    for panel, (title, (values, errors)) in zip(axes[0], panels.items(), strict=True):
        formula = title.startswith("error")
        for colour, path in zip(colours, paths, strict=True):
            here = np.flatnonzero(beta == path)
            here = here[np.argsort(n[here])]
            x, y = (gamma if formula else n)[here], values.values[here]
            if formula and path == 0.0:
                continue
            panel.errorbar(x, y, yerr=errors.values[here], fmt="o", ms=3.5, lw=1, color=colour)
            slope = -path if title.startswith("bias") else -0.5 * (1.0 + path)
            if not formula and not (path == 0.0 and title.startswith("bias")):
                panel.plot(x, y[-1] * (x / x[-1]) ** slope, "--", lw=0.9, color=colour)
        panel.set_xscale("log")
        panel.set_yscale("linear" if formula else "log")
        panel.set_xlabel("gamma (1/time)" if formula else "neurons n")
        panel.set_title(title)
    axes[0, 0].set_ylabel("voltage; dashed, the exponent of theory")
    axes[0, 2].axhline(1.0, ls="--", lw=0.9, color=THEORY)
    names = [f"gamma = n^{path:g}" if path else "gamma first (M2)" for path in paths]
    label_levels(axes[0, 2], list(zip(names, colours, strict=True)))
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return two paths that follow their exponents."""
    n = np.array([16.0, 64.0, 256.0] * 2)
    beta = np.repeat([0.5, 1.0], 3)
    fluctuation = n ** (-0.5 * (1.0 + beta))
    return xr.Dataset(
        {
            "mean_bias": ("path", n**-beta),
            "mean_fluctuation": ("path", fluctuation),
            "error_ratio": ("path", np.ones(6)),
            "path_beta": ("path", beta),
        },
        {"path": np.arange(6), "n_neurons": ("path", n), "gamma": ("path", n**beta)},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("mean_bias", "mean_fluctuation", "error_ratio", "path_beta")


FIGURE = Figure(
    summary="Bias and fluctuation of the mean along joint limits, with the sum formula.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
