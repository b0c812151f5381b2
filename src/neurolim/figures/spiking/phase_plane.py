"""Trajectories as time courses and in the phase plane: limit, mean and quantiles of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.skeleton import legend_of_all
from neurolim.figures.parts.style import (
    COLOURS,
    THEORY,
    Picture,
    figure,
    note_failures,
    nothing_to_show,
    styled,
)


@styled
def draw(
    dataset: xr.Dataset, expect: Mapping[str, Any], *, over: str, starts: str, until: float
) -> Picture:
    """Return two rows of panels, time course above and phase plane below, a column per level.

    Parameters
    ----------
    dataset : state_mean, state_quantile, and of the reference ``equilibria``: reference_state_mean,
        reference_nullcline, reference_separatrix, reference_equilibrium, reference_stability
    expect : not used
    over : axis whose levels are the columns
    starts : axis of initial states drawn together, or "none"
    until : last time drawn; 0: all
    """
    if not np.isfinite(dataset["state_mean"].values).any():
        return nothing_to_show(dataset)
    names = [str(name) for name in dataset["variable"].values[:2]]
    # The lowest coupling time last, as eps falls from left to right in the papers.
    order = np.argsort(dataset[over].values)
    order = order[::-1] if over == "eps" else order
    columns = len(order)
    picture, axes = figure(2, columns, 2.9 * columns + 0.9, 5.4)
    if until > 0.0:
        dataset = dataset.isel(time=np.flatnonzero(dataset["time"].values <= until))
    others = [
        dim
        for dim in dataset["reference_state_mean"].dims
        if dim not in (over, starts, "time", "site", "variable")
    ]
    data = dataset.isel(dict.fromkeys(others, 0)).isel(site=0, replica=0)
    time = data["time"].values
    for column, place in enumerate(order):
        level = data.isel({over: int(place)})
        value = float(level[over])
        above, below = axes[0, column], axes[1, column]
        title = f"1/{over} = {1 / value:.4g}" if over == "eps" else f"{over} = {value:.6g}"
        above.set_title(title)
        below.set_title("phase plane")
        count = level.sizes.get(starts, 1)
        for start in range(count):
            here = level.isel({starts: start}) if starts in level.dims else level
            _course(above, below, here, time, names, COLOURS[start % 2])
        here = level.isel({starts: 0}) if starts in level.dims else level
        _skeleton(below, here)
        extent = level["state_quantile"].isel(probability=[0, -1])
        v, w = (extent.sel(variable=name).values for name in names)
        for values, limits in ((v, below.set_xlim), (w, below.set_ylim)):
            low, high = np.nanmin(values), np.nanmax(values)
            limits(low - 0.12 * (high - low), high + 0.12 * (high - low))
        above.set_xlabel("time")
        below.set_xlabel(names[0])
        if column == 0:
            above.set_ylabel(names[0])
            below.set_ylabel(names[1])
    legend_of_all(picture, axes.ravel())
    note_failures(picture, dataset)
    return picture


def _course(
    above: Any, below: Any, here: xr.Dataset, time: np.ndarray, names: list[str], colour: str
) -> None:
    """Draw one run: bands of quantiles, mean, limit; in the plane, quantiles of both variables."""
    mean = [here["state_mean"].sel(variable=name).values for name in names]
    limit = [
        here["reference_state_mean"].isel(site=0, missing_dims="ignore").sel(variable=name).values
        for name in names
    ]
    quantiles = [here["state_quantile"].sel(variable=name).values for name in names]
    count = quantiles[0].shape[-1]
    levels = [float(level) for level in here["probability"].values]
    for low in range(count // 2):
        high = count - 1 - low
        text = f"{levels[low]:.0%} to {levels[high]:.0%} of the neurons"
        above.fill_between(
            time, quantiles[0][:, low], quantiles[0][:, high], color=colour,
            alpha=0.18 + 0.2 * low, lw=0, label=text,
        )  # fmt: skip
    for k in range(count):
        text = "quantiles in the plane"
        below.plot(*(part[:, k] for part in quantiles), color=colour, lw=0.5, alpha=0.5, label=text)
    above.plot(time, mean[0], color=colour, lw=1.1, label="mean of the network")
    above.plot(time, limit[0], "--", color=THEORY, lw=0.9, label="limit")
    below.plot(*mean, color=colour, lw=1.1)
    below.plot(*limit, "--", color=THEORY, lw=0.9)
    below.plot(mean[0][0], mean[1][0], "o", color=colour, ms=4, label="start")


def _skeleton(below: Any, here: xr.Dataset) -> None:
    """Draw nullclines, separatrix and equilibria of the limit, as far as they are known."""
    if "reference_nullcline" in here:
        v, cubic, straight = here["reference_nullcline"].values.T
        below.plot(v, cubic, color="0.6", lw=0.8, label="nullclines")
        below.plot(v, straight, color="0.6", lw=0.8)
    if "reference_separatrix" in here and np.isfinite(here["reference_separatrix"]).any():
        below.plot(
            *here["reference_separatrix"].values.T, ":", color=COLOURS[3], lw=1.4,
            label="separatrix",
        )  # fmt: skip
    if "reference_equilibrium" in here:
        points, kind = here["reference_equilibrium"].values, here["reference_stability"].values
        for (x, y), stable in zip(points, kind, strict=True):
            if np.isfinite(x):
                face = THEORY if stable == 1 else "white"
                text = "stable equilibrium" if stable == 1 else "unstable equilibrium"
                below.plot(x, y, "s", ms=4, color=THEORY, mfc=face, label=text, ls="none", zorder=5)


def example() -> xr.Dataset:
    """Return two levels of a rotation with bands."""
    time, eps = np.linspace(0, 6, 60), np.array([0.1, 0.01])
    limit = np.stack([np.cos(time), np.sin(time)], axis=-1)[:, None, :]
    mean = np.stack([limit * (1 - value) for value in eps])[:, None]
    z = np.array([-1.28, -0.67, 0.67, 1.28])
    quantile = mean[..., None] + 0.3 * np.sqrt(eps)[:, None, None, None, None, None] * z
    v = np.linspace(-1.5, 1.5, 30)
    return xr.Dataset(
        {
            "state_mean": (("eps", "replica", "time", "site", "variable"), mean),
            "state_quantile": (
                ("eps", "replica", "time", "site", "variable", "probability"),
                quantile,
            ),
            "reference_state_mean": (("eps", "time", "site", "variable"), np.stack([limit, limit])),
            "reference_nullcline": (
                ("eps", "curve_point", "curve_value"),
                np.stack([np.stack([v, v - v**3, v], axis=1)] * 2),
            ),
            "reference_separatrix": (
                ("eps", "curve_point", "variable"),
                np.stack([np.stack([0 * v, v], axis=1)] * 2),
            ),
            "reference_equilibrium": (("eps", "equilibria", "variable"), np.zeros((2, 1, 2))),
            "reference_stability": (("eps", "equilibria"), np.ones((2, 1), np.int8)),
        },
        {"eps": eps, "time": time, "variable": ["v", "w"], "probability": [0.1, 0.25, 0.75, 0.9]},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "state_quantile", "reference_state_mean")


FIGURE = Figure(
    summary="Time courses and phase plane: limit, mean and quantiles of the network.",
    options=(
        Param("over", "eps", doc="axis whose levels are the columns", kind="text"),
        Param("starts", "none", doc="axis of initial states, or none", kind="text"),
        Param("until", 0.0, "time", "last time drawn; 0: all", low=0.0),
    ),
    needs=needs,
    draw=draw,
    example=example,
)
