"""The order parameter through a phase transition, and how its fluctuations grow towards it."""

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
    label_levels,
    note_failures,
    nothing_to_show,
    styled,
)

_NAMES = {"coupling": "coupling K", "sigma": "noise sigma"}


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return order (left) and inverse of its square (right) against the control parameter.

    Bars are two standard errors.  In the disordered phase the inverse square is that of the linear
    response, which reaches zero at the critical value; finite n bends it.

    Parameters
    ----------
    dataset : what the statistic ``phase_transition`` gives
    expect : not used
    """
    if not np.isfinite(dataset["order"].values).any():
        return nothing_to_show(dataset)
    control = str(dataset["curve_control"].attrs["axis"])
    groups = [dim for dim in dataset["order"].dims if dim != control]
    places = list(np.ndindex(*(dataset.sizes[dim] for dim in groups)))[: len(COLOURS) - 1]
    picture, axes = figure(1, 2, 7.6, 3.2)
    left, right = axes[0]
    labels = []
    for place, colour in zip(places, COLOURS, strict=False):
        here = dataset.isel(dict(zip(groups, place, strict=True)))
        labels.append((", ".join(f"{dim} = {here[dim].item():g}" for dim in groups), colour))
        at = here[control].values if control in here.coords else np.array([np.nan])
        order, error = np.atleast_1d(here["order"].values), np.atleast_1d(here["order_error"])
        limit, finite = here["curve_limit"].values, here["curve_finite"].values
        shown = here["curve_control"].values
        left.plot(shown, limit, color=colour, lw=1)
        left.plot(shown, finite, color=colour, lw=1, ls="--")
        left.errorbar(at, order, 2.0 * error, fmt="o", ms=3.5, lw=1, color=colour)
        right.plot(shown, finite**-2.0, color=colour, lw=1, ls="--")
        inverse = order**-2.0
        right.errorbar(
            at, inverse, 4.0 * inverse * error / order, fmt="o", ms=3.5, lw=1, color=colour
        )
        for panel in (left, right):
            panel.axvline(float(here["critical_theory"]), color=THEORY, lw=0.6, ls=":")
    left.set_ylim(bottom=0.0)
    left.set_title("order; solid, infinite n; dashed, n")
    left.set_ylabel("root mean square |Z|")
    right.set_title("its inverse square; dashed, n")
    right.set_ylabel("1/(mean of |Z|$^2$)")
    right.set_ylim(bottom=0.0)
    for panel in (left, right):
        panel.set_xlabel(_NAMES[control])
    if groups:
        label_levels(right, labels)
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return a made-up transition at 1."""
    coupling = np.linspace(0.5, 1.5, 7)
    curve = np.linspace(0.5, 1.5, 60)
    limit = np.sqrt(np.maximum(0.0, curve - 1.0))
    order = np.sqrt(np.maximum(0.0, coupling - 1.0) + 0.02)
    return xr.Dataset(
        {
            "order": ("coupling", order),
            "order_error": ("coupling", np.full(coupling.size, 0.01)),
            "critical_theory": ((), 1.0),
            "curve_control": ("curve", curve, {"axis": "coupling"}),
            "curve_limit": ("curve", limit),
            "curve_finite": ("curve", np.sqrt(limit**2 + 0.02)),
        },
        {"coupling": coupling},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "order", "order_error", "critical_theory", "curve_control", "curve_limit", "curve_finite",
    )  # fmt: skip


FIGURE = Figure(
    summary="Order parameter through a phase transition, beside its closed forms.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
