"""The mean of one variable over space and time: waves and patterns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.style import Picture, figure, note_failures, nothing_to_show, styled

_MOST = 4


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, of: str) -> Picture:
    """Return one map per grid point, at most four: the mean over sites and time.

    Parameters
    ----------
    dataset : state_mean over sites, and reference_state_mean beside it
    expect : not used
    of : state variable
    """
    mean = dataset["state_mean"].sel(variable=of)
    if "replica" in mean.dims:
        mean = mean.mean("replica")
    if not np.isfinite(mean.values).any():
        return nothing_to_show(dataset)
    grid = [str(dim) for dim in mean.dims if dim not in ("time", "site")]
    if np.prod([mean.sizes[dim] for dim in grid]) > _MOST:
        # Words stay apart; of numbers the first is shown.
        numbers = [dim for dim in grid if np.issubdtype(mean[dim].dtype, np.number)]
        mean = mean.isel({dim: slice(1) for dim in numbers})
    maps = mean.stack(point=grid) if grid else mean.expand_dims("point")
    limit = dataset["reference_state_mean"].sel(variable=of)
    limit = limit.sel({dim: mean[dim] for dim in grid})
    limit = limit.stack(point=grid) if grid else limit.expand_dims("point")
    count = min(_MOST, maps.sizes["point"])
    chosen = np.unique(np.linspace(0, maps.sizes["point"] - 1, count).astype(int))
    site, time = dataset["site"].values, dataset["time"].values
    low, high = float(mean.min()), float(mean.max())
    picture, axes = figure(2, len(chosen), 2.5 * len(chosen) + 0.7, 4.6)
    for column, place in enumerate(chosen):
        here, reference = maps.isel(point=place), limit.isel(point=place)
        words = ""
        if grid:
            label = zip(grid, maps["point"].values[place], strict=True)
            words = ", ".join(v if isinstance(v, str) else f"{d} = {v:.3g}" for d, v in label)
        upper, lower = axes[0, column], axes[1, column]
        image = upper.pcolormesh(
            time,
            site,
            here.transpose("site", "time").values,
            vmin=low,
            vmax=high,
            shading="nearest",
        )
        upper.set_title(words.replace("_", " ") or of)
        for k, colour in zip(np.linspace(0, len(time) - 1, 4).astype(int), "0369", strict=True):
            shade = f"#{colour * 6}" if colour != "9" else "#999999"
            lower.plot(site, here.isel(time=k).values, color=shade, label=f"t = {time[k]:.3g}")
            lower.plot(site, reference.isel(time=k).values, ls=":", color=shade)
        lower.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        lower.set_title("dotted: limit")
        lower.set_xlabel("site x")
        upper.set_xlabel("time")
        if column == 0:
            upper.set_ylabel("site x")
            lower.set_ylabel(of)
            lower.legend(fontsize=6.5, frameon=False)
    picture.colorbar(image, ax=axes[0, -1]).ax.set_title(of, loc="left", fontsize=7.5)
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return a travelling front."""
    time, site = np.linspace(0, 2, 9), np.linspace(0.05, 0.95, 10)
    mean = np.tanh(8 * (0.4 * time[:, None] - site))[..., None]
    dims = ("time", "site", "variable")
    return xr.Dataset(
        {"state_mean": (dims, mean), "reference_state_mean": (dims, 1.02 * mean)},
        {"time": time, "site": site, "variable": ["voltage"]},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "reference_state_mean")


FIGURE = Figure(
    summary="Mean of one variable over space and time, with the limit beside it.",
    options=(Param("of", "voltage", doc="state variable", kind="text"),),
    needs=needs,
    draw=draw,
    example=example,
)
