"""Map of the spectral gap over the slope of G, or a parameter, and noise; hatched where proven."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.style import (
    Picture,
    figure,
    note_failures,
    nothing_to_show,
    styled,
    symbol,
)


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return the edges of cells about their centres, half-way between neighbours."""
    if len(centres) < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = 0.5 * (centres[1:] + centres[:-1])
    first, last = 2.0 * centres[0] - middle[0], 2.0 * centres[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, over: str, against: str) -> Picture:
    """Return log10 of the gap in colour; hatched where Theorem 1 proves a rate.

    Parameters
    ----------
    dataset : ``gap`` of ``finite_volume`` and what ``proven_bounds`` gives
    expect : not used
    over, against : axes of the map, horizontal and vertical; the horizontal one is drawn as
        K = max |G'|, which the theorems know, where that is what changes along it
    """
    from matplotlib.patches import Rectangle

    others = {d: 0 for d in dataset["gap"].dims if d not in (over, against)}
    gap = dataset["gap"].isel(others).transpose(against, over)
    if not np.isfinite(gap.values).any():
        return nothing_to_show(dataset)
    proven = dataset["lambda_sync"]
    proven = proven.isel({d: 0 for d in others if d in proven.dims})
    known = proven.broadcast_like(gap).transpose(against, over).values
    slope = dataset["activation_slope"]
    along_slope = slope.dims == (over,) and bool((np.diff(slope.values) > 0).all())
    x = slope.values if along_slope else dataset[over].values
    y = dataset[against].values
    picture, axes = figure(1, 1, 5.2, 3.6)
    panel = axes[0, 0]
    drawn = panel.pcolormesh(x, y, np.log10(gap.values), cmap="viridis", shading="nearest")
    bar = picture.colorbar(drawn, ax=panel)
    bar.ax.set_title("log10", loc="left", fontsize=7.5)
    across, along = _edges(x), _edges(y)
    for j, i in np.argwhere(np.isfinite(known)):
        size = across[i + 1] - across[i], along[j + 1] - along[j]
        panel.add_patch(Rectangle((across[i], along[j]), *size, fill=False, hatch="///", lw=0))
    panel.set_title("log10 of the gap (1/time); hatched: proven for any noise")
    label = symbol(over, str(dataset[over].attrs.get("units", "1")))
    panel.set_xlabel("K = max |G'| (1/time)" if along_slope else label)
    panel.set_ylabel(symbol(against, str(dataset[against].attrs.get("units", "1"))))
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return a gap that closes, proven in one corner."""
    slope, noise = np.linspace(1.0, 8.0, 6), np.linspace(0.2, 0.5, 5)
    gap = np.exp(-0.02 * slope[:, None] / noise[None] ** 2)
    return xr.Dataset(
        {
            "gap": (("steepness", "noise"), gap),
            "lambda_sync": ("steepness", np.where(slope < 3.0, 0.2, np.nan)),
            "activation_slope": ("steepness", 0.8 * slope),
        },
        {"steepness": slope, "noise": noise},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("gap", "lambda_sync", "activation_slope")


FIGURE = Figure(
    summary="Map of the spectral gap over two parameters, hatched where a rate is proven.",
    options=(
        Param("over", "steepness", doc="horizontal axis", kind="axis"),
        Param("against", "noise", doc="vertical axis", kind="axis"),
    ),
    needs=needs,
    draw=draw,
    example=example,
)
