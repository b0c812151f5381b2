"""Means of the network and the width of its law, around the trajectory of the limit."""

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
    symbol,
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, over: str) -> Picture:
    """Return means over time and in the plane of the first two variables.

    Parameters
    ----------
    dataset : state_mean, covariance, reference_state_mean of a study with replicas
    expect : not used
    over : axis whose levels are the curves
    """
    whole = dataset
    dataset, note = at_first_of_others(dataset, over)
    names = [str(name) for name in dataset["variable"].values][:2]
    if not np.isfinite(dataset["state_mean"].values).any():
        return nothing_to_show(whole)
    levels = dataset[over].values
    order = np.argsort(levels)[::-1]
    colours = ordered_colours(len(order))
    time = dataset["time"].values
    first = dataset.isel(site=0)
    panels = len(names) + (len(names) == 2)
    picture, axes = figure(1, panels, 3.3 * panels, 3.0)
    labels = []
    for colour, place in zip(colours, order, strict=True):
        here = first.isel({over: place})
        labels.append((f"1/{over} = {1 / levels[place]:.4g}", colour))
        for column, name in enumerate(names):
            mean = here["state_mean"].sel(variable=name).mean("replica").values
            width = np.sqrt(
                here["covariance"].sel(variable=name, variable_b=name).mean("replica").values
            )
            panel = axes[0, column]
            panel.plot(time, mean, color=colour, lw=1.0)
            panel.fill_between(time, mean - width, mean + width, color=colour, alpha=0.12, lw=0)
        if len(names) == 2:
            pair = [here["state_mean"].sel(variable=name).mean("replica").values for name in names]
            axes[0, 2].plot(*pair, color=colour, lw=1.0)
    limit = first["reference_state_mean"]
    limit = limit.isel(
        {
            dim: int(order[-1]) if dim == over else 0
            for dim in limit.dims
            if dim not in ("time", "variable")
        }
    )
    for column, name in enumerate(names):
        panel = axes[0, column]
        panel.plot(time, limit.sel(variable=name).values, "--", color=THEORY, lw=1.2)
        panel.set_title(f"{name}: mean and standard deviation")
        panel.set_xlabel(symbol("time", "1"))
        panel.set_ylabel(name)
    label_levels(axes[0, -1], labels)
    if len(names) == 2:
        panel = axes[0, 2]
        panel.plot(*(limit.sel(variable=name).values for name in names), "--", color=THEORY, lw=1.2)
        panel.plot(
            *(limit.sel(variable=name).values[:1] for name in names), "o", color=THEORY, ms=4
        )
        panel.set_title("mean in the plane; dashed, the limit")
        panel.set_xlabel(names[0])
        panel.set_ylabel(names[1])
    note_failures(picture, whole, note)
    return picture


def example() -> xr.Dataset:
    """Return two levels of a decaying mean."""
    time, eps = np.linspace(0, 3, 20), np.array([0.1, 0.01])
    limit = np.stack([np.exp(-time), time * np.exp(-time)], axis=-1)[:, None, :]
    mean = limit[None, None] * (1 + eps[:, None, None, None, None] * np.ones((1, 3, 1, 1, 1)))
    covariance = eps[:, None, None, None, None, None] * np.ones((1, 3, 20, 1, 2, 2))
    lead = ("eps", "replica", "time", "site", "variable")
    return xr.Dataset(
        {
            "state_mean": (lead, mean),
            "covariance": ((*lead, "variable_b"), covariance),
            "reference_state_mean": (("eps", "time", "site", "variable"), np.stack([limit, limit])),
        },
        {"eps": eps, "time": time, "variable": ["x", "y"], "variable_b": ["x", "y"]},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "covariance", "reference_state_mean")


FIGURE = Figure(
    summary="Means of the network with the width of its law around the limit's trajectory.",
    options=(Param("over", "eps", doc="axis whose levels are the curves", kind="axis"),),
    needs=needs,
    draw=draw,
    example=example,
)
