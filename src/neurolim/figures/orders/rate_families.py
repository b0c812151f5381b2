"""One quantity a column: errors of every family against eps, and the order between neighbours."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.core.table import short
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

_COLUMNS = 4
_MARKERS = "os^Dv<>"


def _families(dataset: xr.Dataset) -> list[tuple[str, str]]:
    """Return (quantity, family) of every row."""
    return [
        (str(name), ", ".join(map(short, json.loads(at).values())).replace("_", " "))
        for name, at in zip(
            dataset["quantity_name"].values, dataset["quantity_at"].values, strict=True
        )
    ]


def _draw_family(
    upper: Any, lower: Any, levels: np.ndarray, family: xr.Dataset, style: Mapping[str, Any]
) -> Any:
    """Draw errors, hollow where they are not fitted, and pairwise orders; return the line."""
    error, used = family["level_error"].values, family["level_used"].values.astype(bool)
    shown = np.isfinite(error) & (error > 0)
    (line,) = upper.loglog(levels[shown], error[shown], ms=3, lw=0.8, **style)
    hollow = shown & ~used
    upper.loglog(levels[hollow], error[hollow], ls="", ms=3.4, mfc="white", **style)
    middle = np.sqrt(levels[1:] * levels[:-1])
    lower.semilogx(middle, family["pairwise_order"].values[1:], ms=3, lw=0.8, **style)
    return line


def _draw_slope(upper: Any, levels: np.ndarray, family: xr.Dataset, order: float) -> None:
    """Draw the expected slope below the errors that are fitted."""
    fitted = np.flatnonzero(family["level_used"].values)
    if fitted.size:
        finest = fitted[-1]  # levels come nearest to the limit last
        error = float(family["level_error"].values[finest])
        slope = 0.45 * error * (levels / levels[finest]) ** order
        upper.loglog(levels, slope, "--", color=THEORY, lw=0.9)


def _in_words(orders: Sequence[float]) -> str:
    """Return the range of the orders of all families."""
    if not orders:
        return "no order: too few levels"
    text = f"order {min(orders):.3f}"
    return text if max(orders) - min(orders) < 5e-4 else f"{text} .. {max(orders):.3f}"


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return, per quantity, errors (log-log) above and pairwise orders below.

    Parameters
    ----------
    dataset : what the statistic ``convergence_rate`` gives
    expect : orders to draw, by quantity
    """
    labels = _families(dataset)
    names = list(dict.fromkeys(name for name, _ in labels))
    families = list(dict.fromkeys(family for _, family in labels))
    levels = dataset["level_value"].values
    over = symbol(
        str(dataset["level_value"].attrs["axis"]),
        str(dataset["level_value"].attrs.get("units", "1")),
    )
    columns = min(_COLUMNS, len(names))
    blocks = -(-len(names) // columns)
    picture, axes = figure(2 * blocks, columns, 2.3 * columns + 0.3, 3.7 * blocks + 0.5)
    handles: dict[str, Any] = {}
    for place in range(blocks * columns):
        row, column = 2 * (place // columns), place % columns
        upper, lower = axes[row, column], axes[row + 1, column]
        if place >= len(names):
            upper.set_visible(False)
            lower.set_visible(False)
            continue
        name = names[place]
        hope = expect.get(name, {}).get("order")
        orders = []
        for i, (of, family) in enumerate(labels):
            if of != name:
                continue
            here = dataset.isel(quantity=i)
            number = families.index(family)
            style = {"color": COLOURS[number % len(COLOURS)], "marker": _MARKERS[number % 7]}
            handles.setdefault(family, _draw_family(upper, lower, levels, here, style))
            if np.isfinite(here["order"]):
                orders.append(float(here["order"]))
            if hope is not None and family == families[0]:
                _draw_slope(upper, levels, here, hope)
        upper.set_title(name.replace("_", " "))
        text = _in_words(orders)
        if hope is not None:
            text += f"\nexpected {hope:g} (dashed)"
            lower.axhline(hope, ls="--", color=THEORY, lw=0.9)
            low, high = lower.get_ylim()
            lower.set_ylim(min(low, hope - 0.15), max(high, hope + 0.15))
        upper.text(0.04, 0.97, text, transform=upper.transAxes, va="top", fontsize=7.5)
        claim = textwrap.fill(str(expect.get(name, {}).get("claim", "")), 24)
        upper.text(
            0.98, 0.03, claim, transform=upper.transAxes, ha="right", va="bottom", fontsize=6
        )
        bottom, top = upper.get_ylim()
        upper.set_ylim(bottom, top * (top / bottom) ** 0.25)
        lower.set_xlim(upper.get_xlim())
        label_log(upper.xaxis, levels)
        label_log(lower.xaxis, levels)
        lower.set_xlabel(over)
        lower.set_title("order between neighbours", fontsize=7.5)
        if column == 0:
            upper.set_ylabel("deviation")
            lower.set_ylabel("order")
    if families != [""]:
        picture.legend(
            list(handles.values()),
            list(handles),
            loc="outside upper left",
            ncols=min(len(handles), 4),
            frameon=False,
            fontsize=8,
        )
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return two quantities of two families, the coarsest level not fitted."""
    eps = np.array([0.1, 0.01, 0.001])
    columns = ("quantity", "level")
    errors = np.stack([2 * eps, 3 * eps, eps**0.5 * (1 + eps), 2 * eps**0.5])
    pairwise = np.full((4, 3), np.nan)
    pairwise[:, 1:] = np.diff(np.log(errors)) / np.diff(np.log(eps))
    about = [(q, json.dumps({"drift": d})) for q in ("mean", "law") for d in ("cubic", "canonical")]
    return xr.Dataset(
        {
            "order": ("quantity", [1.0, 1.0, 0.5, 0.5]),
            "level_error": (columns, errors),
            "level_used": (columns, np.array([[False, True, True]] * 4)),
            "pairwise_order": (columns, pairwise),
        },
        {
            "quantity_name": ("quantity", [name for name, _ in about]),
            "quantity_at": ("quantity", [at for _, at in about]),
            "level_value": ("level", eps, {"units": "time", "axis": "eps"}),
        },
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("order", "level_error", "level_used", "pairwise_order")


FIGURE = Figure(
    summary="Errors and orders between neighbouring levels, one column per quantity.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
