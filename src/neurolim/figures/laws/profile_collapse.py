"""Collapse of eps log(density) on its limit, as in Fig. 6.1 of Quininao & Touboul (2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.style import (
    THEORY,
    Picture,
    at_first_of_others,
    figure,
    label_levels,
    note_failures,
    nothing_to_show,
    ordered_colours,
    styled,
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, over: str) -> Picture:
    """Return, per state variable, the profiles (top) and their distance to the limit (bottom).

    Parameters
    ----------
    dataset : what the statistic ``profile`` gives
    expect : not used
    over : axis whose levels are the curves
    """
    whole = dataset
    dataset, note = at_first_of_others(dataset, over)
    names = [
        str(name)
        for name in dataset["variable"].values
        if np.isfinite(dataset[f"{name}_log_density"].values).any()
    ]
    if not names:
        return nothing_to_show(whole)
    levels = dataset[over].values
    order = np.argsort(levels)[::-1]
    colours = ordered_colours(len(order))
    picture, axes = figure(2, len(names), 3.6 * len(names), 5.2)
    for column, name in enumerate(names):
        top, bottom = axes[:, column]
        labels = []
        extent = 0.0
        for colour, place in zip(colours, order, strict=True):
            here = dataset.isel({over: place})
            offset = here[f"{name}_log_offset"].values
            density = here[f"{name}_log_density"].values
            error = here[f"{name}_log_error"].values
            # Beyond this the tail holds too few neurons for a picture.
            shown = np.isfinite(density)
            if not shown.any():
                continue
            # A single replica has no error; it is shown as far as its counts go.
            shown &= ~(error >= 0.1 * np.abs(density[shown]).max())
            error = np.nan_to_num(error)
            x, y = offset[shown], density[shown]
            prediction = here[f"{name}_log_prediction"].values[shown]
            extent = max(extent, float(np.abs(x).max()))
            top.plot(x, y, color=colour)
            bottom.plot(x, y - prediction, color=colour)
            bottom.fill_between(
                x,
                y - prediction - 2 * error[shown],
                y - prediction + 2 * error[shown],
                color=colour,
                alpha=0.25,
                lw=0,
            )
            labels.append((f"1/{over} = {1 / levels[place]:.4g}", colour))
        # The limit does not depend on eps: any level's prediction is the same parabola.
        finite = dataset[f"{name}_log_prediction"].values
        offsets = dataset[f"{name}_log_offset"].values
        good = np.isfinite(finite) & (np.abs(offsets) > 0)
        curvature = float(np.median(finite[good] / offsets[good] ** 2))
        x = np.linspace(-extent, extent, 200)
        top.plot(x, curvature * x**2, "--", color=THEORY, lw=1.2)
        bottom.axhline(0.0, color=THEORY, ls="--", lw=1.2)
        top.set_title(f"{name}: dashed, the limit")
        top.set_ylabel(f"{over} log density" if column == 0 else "")
        bottom.set_title(f"{name}: measured minus limit (band: 2 s.e.)")
        bottom.set_ylabel("difference" if column == 0 else "")
        bottom.set_xlabel(f"{name} minus its limit")
        if column == len(names) - 1:
            label_levels(top, labels)
    note_failures(picture, whole, note)
    return picture


def example() -> xr.Dataset:
    """Return two levels of a Gaussian that is a little too narrow."""
    eps = np.array([0.1, 0.01])
    u = np.linspace(-3, 3, 31)
    offset = np.sqrt(eps)[:, None] * u
    prediction = -(offset**2) / 2
    dims = ("eps", "bin")
    return xr.Dataset(
        {
            "x_log_density": (dims, prediction * (1 + eps[:, None])),
            "x_log_prediction": (dims, prediction),
            "x_log_offset": (dims, offset),
            "x_log_error": (dims, 1e-3 * np.ones_like(offset) * eps[:, None]),
        },
        {"eps": eps, "variable": ["x"]},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    kinds = ("log_density", "log_prediction", "log_offset", "log_error")
    return tuple(f"{name}_{kind}" for name in state for kind in kinds)


FIGURE = Figure(
    summary="eps log(density) of every variable against the Gaussian profile of the limit.",
    options=(Param("over", "eps", doc="axis whose levels are the curves", kind="axis"),),
    needs=needs,
    draw=draw,
    example=example,
)
