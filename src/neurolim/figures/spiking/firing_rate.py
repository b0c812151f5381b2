"""The rate of spikes along an axis, with its onsets, and how it rises from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.style import (
    COLOURS,
    THEORY,
    Picture,
    figure,
    note_failures,
    styled,
    symbol,
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, over: str) -> Picture:
    """Return the rate against the axis, and on logarithmic axes against the distance to the onset.

    Parameters
    ----------
    dataset : firing_rate, and what ``onset`` gives
    expect : not used
    over : the axis; the points of the other ones are the curves
    """
    rate = dataset["firing_rate"]
    rate = rate.mean("replica") if "replica" in rate.dims else rate
    rest = [str(dim) for dim in rate.dims if dim != over]
    rate = rate.transpose(*rest, over).sortby(over)
    levels = rate[over].values
    picture, axes = figure(1, 2, 7.6, 3.0)
    whole, near = axes[0]
    for number, place in enumerate(np.ndindex(*(rate.sizes[dim] for dim in rest))):
        colour = COLOURS[number % len(COLOURS)]
        here = dataset.isel(dict(zip(rest, place, strict=True)))
        label = ", ".join(
            str(rate[dim].values[i]).replace("_", " ") for dim, i in zip(rest, place, strict=True)
        )
        values = rate.values[place]
        whole.plot(levels, values, "o-", ms=2.5, lw=1.0, color=colour, label=label)
        for name in ("onset", "offset"):
            expected = float(here[f"expected_{name}"])
            if np.isfinite(expected):
                whole.axvline(expected, ls=":", lw=1.0, color=THEORY)
        low, high = float(here["onset_low"]), float(here["onset_high"])
        distance = levels - 0.5 * (low + high)
        shown = (distance > 0) & (values > 0)
        # The onset is known to half its interval.
        half = np.minimum(0.5 * (high - low), 0.95 * distance[shown])
        near.errorbar(
            distance[shown], values[shown], xerr=half, fmt="o", ms=3, lw=0.8, color=colour
        )
        order, constant = float(here["onset_order"]), float(here["onset_constant"])
        if np.isfinite(order) and shown.any():
            line = np.geomspace(distance[shown].min(), distance[shown].max(), 2)
            text = f"order {order:.2f}"
            near.plot(line, constant * line**order, "--", lw=1.0, color=colour, label=text)
            near.legend(frameon=False, fontsize=8)
    units = str(dataset["firing_rate"].attrs.get("units", "1/time"))
    whole.set_xlabel(symbol(over, str(rate[over].attrs.get("units", "1"))))
    whole.set_ylabel(symbol("spikes per time", units))
    whole.set_title("rate; dotted: expected begin and end")
    if rest:
        whole.legend(frameon=False, fontsize=8)
    near.set_xscale("log")
    near.set_yscale("log")
    near.set_xlabel(f"{over} beyond the onset")
    near.set_ylabel(symbol("spikes per time", units))
    near.set_title("from the onset; dashed: C distance^order")
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return a root from 2.05 and a jump between 1.05 and 4.95."""
    from neurolim.core import get

    dataset, options, _ = get("statistic", "onset").exact()[0]
    return dataset.merge(get("statistic", "onset").apply(dataset, **options))


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    names = ("low", "high", "order", "constant")
    return (
        "firing_rate",
        *(f"onset_{name}" for name in names),
        "expected_onset",
        "expected_offset",
    )


FIGURE = Figure(
    summary="Rate of spikes along an axis with its onsets, and its order there.",
    options=(Param("over", "current", doc="axis along which spikes begin", kind="axis"),),
    needs=needs,
    draw=draw,
    example=example,
)
