"""Histograms of intervals between spikes and of the small oscillations before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.skeleton import legend_of_all
from neurolim.figures.parts.style import COLOURS, THEORY, Picture, figure, note_failures, styled

_MOST = 5


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, over: str) -> Picture:
    """Return a column per level: intervals over their mean above, N with its fitted tail below.

    Parameters
    ----------
    dataset : what the statistic ``mmo`` gives
    expect : not used
    over : axis of the columns, at most five levels evenly chosen; other axes at their first value
    """
    others = [str(dim) for dim in dataset["spikes"].dims if dim != over]
    chosen = dataset.isel(dict.fromkeys(others, 0))
    levels = np.arange(chosen.sizes.get(over, 1))
    if len(levels) > _MOST:
        levels = np.unique(np.linspace(0, len(levels) - 1, _MOST).round().astype(int))
    picture, axes = figure(2, len(levels), 2.5 * len(levels) + 0.9, 5.0)
    for column, place in enumerate(levels):
        here = chosen.isel({over: int(place)}) if over in chosen.dims else chosen
        above, below = axes[0, column], axes[1, column]
        value = f"{over} = {here[over].item():.6g}" if over in here.coords else "all"
        above.set_title(value)
        mean, cv = float(here["interval_mean"]), float(here["interval_cv"])
        counts = here["interval_histogram"].values
        bins = here["interval_bin"].values
        if np.isfinite(counts).all() and counts.sum() > 0:
            width = bins[1] - bins[0]
            above.bar(bins, counts / counts.sum() / width, width, color=COLOURS[0])
            used = bins[counts > 0]
            above.set_xlim(max(0.0, used[0] - 4 * width), used[-1] + 4 * width)
            text = f"mean {mean:.4g}\nCV {cv:.3g}"
            above.text(
                0.97, 0.96, text, transform=above.transAxes, ha="right", va="top", fontsize=7.5
            )
        above.set_xlabel("interval / mean")
        _numbers(below, here)
        if column == 0:
            above.set_ylabel("density")
            below.set_ylabel("share of spikes")
    legend_of_all(picture, axes[1], 3)
    note_failures(picture, dataset)
    return picture


def _numbers(below: Any, here: xr.Dataset) -> None:
    """Draw the law of N with the geometric tail."""
    histogram = here["small_histogram"].values
    below.set_title("small oscillations before a spike")
    below.set_xlabel("N")
    if not np.isfinite(histogram).all() or histogram.sum() == 0:
        below.text(0.5, 0.5, "fewer than 30 spikes", transform=below.transAxes, ha="center")
        return
    total = histogram.sum()
    k = np.arange(histogram.size)
    error = 1.96 * np.sqrt(histogram * (1.0 - histogram / total)) / total
    filled = histogram > 0
    for chosen, face, text in (
        (filled & (k < k[-1]), COLOURS[0], "measured, ± 1.96 se"),
        (filled & (k == k[-1]), "white", "this N or more"),
    ):
        if chosen.any():
            below.errorbar(
                k[chosen],
                histogram[chosen] / total,
                error[chosen],
                fmt="o",
                ms=3.5,
                capsize=2,
                color=COLOURS[0],
                mfc=face,
                label=text,
            )
    below.set_yscale("log")
    first, goes_on = here["tail_from"].item(), here["tail_parameter"].item()
    if np.isfinite(goes_on) and goes_on > 0.0:
        first = int(first)
        tail = k[first : max(int(k[filled][-1]), first + 1) + 1]
        share = histogram[first:].sum() / total
        below.plot(
            tail, share * (1 - goes_on) * goes_on ** (tail - first), "--", color=THEORY, lw=1.0,
            label="geometric from k0 on",
        )  # fmt: skip
        p = here["tail_p"].item()
        verdict = f"p = {p:.2f}" if np.isfinite(p) else "too few for a test"
        text = f"lambda0 = {goes_on:.3f}\nk0 = {first}, {verdict}"
        below.text(0.97, 0.96, text, transform=below.transAxes, ha="right", va="top", fontsize=7.5)
    below.set_xlim(-0.5, max(4.5, k[filled][-1] + 0.5))
    below.set_ylim(0.3 / total, 3.0)


def example() -> xr.Dataset:
    """Return one geometric law."""
    k = np.arange(9)
    counts = np.round(1000 * 0.5 ** (k + 1))
    bins = (np.arange(80) + 0.5) * 0.05
    one = {"tail_from": 0.0, "tail_parameter": 0.5, "tail_p": 0.4, "spikes": counts.sum(),
           "interval_mean": 260.0, "interval_cv": 0.2}  # fmt: skip
    return xr.Dataset(
        {name: ("current", [value]) for name, value in one.items()}
        | {
            "small_histogram": (("current", "small"), counts[None]),
            "interval_histogram": (
                ("current", "interval_bin"),
                np.round(300 * np.exp(-0.5 * ((bins - 1) / 0.2) ** 2))[None],
            ),
        },
        {"current": [5.534], "small": k, "interval_bin": bins},
    )


FIGURE = Figure(
    summary="Histograms of intervals between spikes and of small oscillations, with fits.",
    options=(Param("over", "current", doc="axis of the columns", kind="text"),),
    needs=lambda options, state: (
        "spikes",
        "interval_mean",
        "interval_cv",
        "interval_histogram",
        "small_histogram",
        "tail_from",
        "tail_parameter",
        "tail_p",
    ),
    draw=draw,
    example=example,
)
