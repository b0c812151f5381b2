"""Errors against the small parameter, with fitted and expected slopes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.figures.parts.style import (
    COLOURS,
    THEORY,
    Picture,
    figure,
    label_log,
    note_failures,
    styled,
    symbol,
)

_COLUMNS = 3


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return one log-log panel per quantity.

    Parameters
    ----------
    dataset : what the statistic ``convergence_rate`` gives
    expect : orders to draw as reference slopes, by quantity
    """
    quantities = [str(name) for name in dataset["quantity"].values]
    over = str(dataset["level_value"].attrs["axis"])
    levels = dataset["level_value"].values
    rows = -(-len(quantities) // _COLUMNS)
    columns = min(_COLUMNS, len(quantities))
    picture, axes = figure(rows, columns, 2.7 * columns + 0.4, 2.5 * rows + 0.3)
    for place, panel in enumerate(axes.ravel()):
        if place >= len(quantities):
            panel.set_visible(False)
            continue
        here = dataset.isel(quantity=place)
        error = here["level_error"].values
        spread = 1.96 * here["level_standard_error"].values
        used = here["level_used"].values.astype(bool)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlim(levels.min() / 1.25, levels.max() * 1.25)
        label_log(panel.xaxis, levels)
        shown = np.isfinite(error) & (error > 0)
        bars = np.stack([np.minimum(spread, 0.95 * error), spread])
        for chosen, filled in ((used & shown, True), (~used & shown, False)):
            if chosen.any():
                limits = bars[:, chosen]
                panel.errorbar(
                    levels[chosen],
                    error[chosen],
                    yerr=None if np.isnan(limits).any() else limits,
                    fmt="o",
                    ms=4.5,
                    color=COLOURS[0],
                    capsize=2,
                    lw=1,
                    mfc=COLOURS[0] if filled else "white",
                )
        order, low, high = (float(here[n]) for n in ("order", "order_low", "order_high"))
        dropped = sorted({str(why) for why in here["level_reason"].values if why})
        hope = expect.get(quantities[place].split(" [")[0], {}).get("order")
        text = "no order: too few levels"
        if np.isfinite(order):
            text = f"order {order:.2f} [{low:.2f}, {high:.2f}]"
        if hope is not None:
            text += f"\nexpected {hope:g} (dashed)"
            if used.any():
                finest = np.flatnonzero(used)[-1]  # levels come nearest to the limit last
                panel.plot(
                    levels,
                    error[finest] * (levels / levels[finest]) ** hope,
                    "--",
                    color=THEORY,
                    lw=1,
                )
        if dropped:
            text += f"\nhollow: dropped ({', '.join(dropped)})"
        name, _, family = quantities[place].replace("_", " ").partition(" [")
        panel.set_title(f"{name}\n{family.rstrip(']')}" if family else name, fontsize=8.5)
        panel.text(0.03, 0.97, text, transform=panel.transAxes, va="top", fontsize=7.5)
        bottom, top = panel.get_ylim()
        panel.set_ylim(bottom, top * (top / bottom) ** 0.3)
        panel.set_xlabel(symbol(over, str(dataset["level_value"].attrs.get("units", "1"))))
        if place % columns == 0:
            panel.set_ylabel("|deviation|")
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return four levels of one quantity, the last lost in noise."""
    eps = np.array([0.1, 0.05, 0.02, 0.01])
    columns = ("quantity", "level")
    return xr.Dataset(
        {
            "order": ("quantity", [0.97]),
            "order_low": ("quantity", [0.9]),
            "order_high": ("quantity", [1.04]),
            "level_error": (columns, [2 * eps]),
            "level_standard_error": (columns, [np.full(4, 0.008)]),
            "level_used": (columns, [[True, True, True, False]]),
            "level_reason": (columns, [["", "", "", "noise"]]),
        },
        {"quantity": ["x_mean"], "level_value": ("level", eps, {"units": "time", "axis": "eps"})},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "order",
        "order_low",
        "order_high",
        "level_error",
        "level_standard_error",
        "level_used",
        "level_reason",
    )


FIGURE = Figure(
    summary="Errors against the small parameter with fitted and expected orders.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
