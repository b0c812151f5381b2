"""Growth and frequency of the mean about rest along an axis, and the mean over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Picture
from scipy.interpolate import CubicSpline

from neurolim.core import Figure
from neurolim.figures.parts.style import (
    THEORY,
    at_first_of_others,
    figure,
    note_failures,
    nothing_to_show,
    ordered_colours,
    styled,
)

_LABELS = {"growth": r"Re $\lambda$ (1/time)", "frequency": r"Im $\lambda$ (1/time)"}
_GREEK = ("tau", "eps", "sigma", "theta", "gamma", "lambda")
_SHOWN = 3


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return growth (left), frequency (middle) and size of the deviation (right).

    Lines are the exact root, a spline between the values of the axis; bars are two standard
    errors; the dotted line is where the growth is zero.  Right: the first replica, at the first,
    middle and last value of the axis.

    Parameters
    ----------
    dataset : what the statistic ``characteristic_growth`` gives
    expect : not used
    """
    if not np.isfinite(dataset["growth_measured"].values).any():
        return nothing_to_show(dataset)
    over = str(dataset["growth_measured"].attrs["axis"])
    chosen, note = at_first_of_others(dataset, over)
    axis = chosen[over].values.astype(float)
    order = np.argsort(axis)
    name = rf"$\{over}$" if over in _GREEK else over
    picture, axes = figure(1, 3, 9.4, 3.0)
    for panel, (kind, label) in zip(axes[0], _LABELS.items(), strict=False):
        exact = chosen[f"{kind}_exact"].values
        known = order[np.isfinite(exact[order])]
        if known.size > 1:
            shown = np.linspace(axis[known[0]], axis[known[-1]], 200)
            curve = CubicSpline(axis[known], exact[known])(shown)
            panel.plot(shown, curve, color=THEORY, lw=1.0, label="characteristic root")
        rate, error = chosen[f"{kind}_measured"].mean("replica"), chosen[f"{kind}_error"]
        panel.errorbar(
            axis, rate.values, 2.0 * error.values, fmt="o", ms=4, lw=1, zorder=3, label="network"
        )
        panel.axvline(float(chosen["critical_theory"]), color=THEORY, lw=0.7, ls=":")
        panel.set_title(f"{kind} about rest")
        panel.set_ylabel(label)
        panel.set_xlabel(f"{name} (time)" if over == "tau" else name)
    axes[0, 0].axhline(0.0, color=THEORY, lw=0.5)
    axes[0, 0].legend(edgecolor="none", framealpha=1.0, fontsize=8, loc="lower right")
    _draw_deviations(axes[0, 2], chosen, over, name, order)
    note_failures(picture, dataset, note)
    return picture


def _draw_deviations(
    panel: Any, chosen: xr.Dataset, over: str, name: str, order: np.ndarray
) -> None:
    """Draw how far the mean is from rest over time."""
    places = np.unique(np.linspace(0, order.size - 1, _SHOWN).round().astype(int))
    away = (chosen["state_mean"] - chosen["reference_equilibrium"]).isel(replica=0, site=0)
    size = (away**2).sum("variable", skipna=False) ** 0.5
    for place, colour in reversed(list(zip(places, ordered_colours(len(places)), strict=True))):
        here = size.isel({over: int(order[place])})
        label = f"{name} = {here[over].item():g}"
        panel.plot(here["time"], here, color=colour, lw=1.0, label=label)
    panel.set_yscale("log")
    panel.set_title("deviation from rest")
    panel.set_ylabel("norm of mean less rest")
    panel.set_xlabel("time")
    panel.legend(frameon=False, fontsize=8, loc="upper left")


def example() -> xr.Dataset:
    """Return a made-up loss of rest at 2."""
    tau, time = np.linspace(1.5, 2.5, 5), np.linspace(0.0, 60.0, 121)
    growth, frequency = 0.1 * (tau - 2.0), 0.7 - 0.1 * (tau - 2.0)
    wave = 0.05 * np.exp(growth[:, None] * time) * np.cos(frequency[:, None] * time)
    dims = ("tau", "replica", "time", "site", "variable")
    return xr.Dataset(
        {
            "state_mean": (dims, wave[:, None, :, None, None]),
            "growth_measured": (("tau", "replica"), growth[:, None] + 0.003, {"axis": "tau"}),
            "growth_error": ("tau", np.full(5, 0.002)),
            "frequency_measured": (("tau", "replica"), frequency[:, None]),
            "frequency_error": ("tau", np.full(5, 0.004)),
            "growth_exact": ("tau", growth),
            "frequency_exact": ("tau", frequency),
            "critical_theory": ((), 2.0),
            "reference_equilibrium": (("tau", "site", "variable"), np.zeros((5, 1, 1))),
        },
        {"tau": tau, "time": time, "site": [0.0], "variable": ["v"]},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    rates = ("growth", "frequency")
    kinds = ("measured", "error", "exact")
    found = (f"{name}_{kind}" for name in rates for kind in kinds)
    return ("state_mean", "reference_equilibrium", *found, "critical_theory")


FIGURE = Figure(
    summary="Growth and frequency about rest beside the exact root, and the deviation over time.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
