"""Equilibria and cycles of the limit against the current, with what the network does on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from neurolim.core import Figure, Param
from neurolim.figures.parts.skeleton import fixed, legend_of_all
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
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, of: str, after: float) -> Picture:
    """Return one panel: violins of the network's mean voltage over time at every current.

    Parameters
    ----------
    dataset : the signal; reference_nullcline, reference_cycle_branch (both at any one point),
        reference_bifurcation_current
    expect : not used
    of, after : signal and where it starts

    Notes
    -----
    The width of a violin is the square root of the density: a spiking mean spends nearly all of
    its time on two branches, and the way between them would not be seen.
    """
    clock = "trace_time" if of == "trace" else "time"
    others = [
        dim
        for dim in dataset[of].dims
        if dim not in ("current", "replica", clock, "site", "variable")
    ]
    chosen = dataset.isel(dict.fromkeys(others, 0)).isel(site=0, variable=0)
    chosen = chosen.isel({clock: np.flatnonzero(dataset[clock].values > after)})
    currents = chosen["current"].values
    gap = float(np.diff(np.sort(currents)).min()) if currents.size > 1 else 0.1
    picture, axes = figure(1, 1, 7.0, 4.6)
    panel = axes[0, 0]
    values = chosen[of].transpose("current", ...).values
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    edges = np.linspace(low - 0.05, high + 0.05, 161)
    for current, signal in zip(currents, values, strict=True):
        density, _ = np.histogram(signal[np.isfinite(signal)], edges)
        if density.sum() == 0:
            continue
        width = 0.45 * gap * np.sqrt(density / density.max())
        centres = 0.5 * (edges[1:] + edges[:-1])
        panel.fill_betweenx(
            centres, current - width, current + width, color=COLOURS[5], lw=0, alpha=0.9,
            label="mean of the network over time",
        )  # fmt: skip
    panel.set_xlim(currents.min() - gap, currents.max() + gap)
    _limit(panel, dataset.isel(dict.fromkeys(others, 0)))
    panel.set_ylim(low - 0.3, high + 0.3)
    panel.set_title("bifurcation diagram of the limit, and the network")
    panel.set_xlabel(symbol("current", str(dataset["current"].attrs.get("units", "1"))))
    panel.set_ylabel(f"mean {dataset['variable'].values[0]}")
    legend_of_all(picture, [panel], 3)
    note_failures(picture, dataset)
    return picture


def _limit(panel: Any, dataset: xr.Dataset) -> None:
    """Draw equilibria, cycles and bifurcation currents of the limit."""
    point = dataset.isel(current=0)
    at, nullcline, line = point["reference_nullcline"].values.T
    # A spline through the samples, exact for a cubic, ends the stable branch where it ends.
    spline = CubicSpline(at, nullcline)
    v = np.linspace(at[0], at[-1], 50 * at.size)
    cubic, straight = spline(v), np.interp(v, at, line)
    # At the point's own current the v-nullcline is f + I: the equilibrium v needs this current.
    needed = straight - cubic + float(point["current"])
    a = fixed(dataset, "a")
    slope = spline(v, 1)
    stable = (slope < (a if a is not None else 0.0)) & (slope < np.gradient(straight, v))
    for mask, line, text in (
        (stable, "-", "stable equilibrium"),
        (~stable, "--", "unstable equilibrium"),
    ):
        # One sample more on either side, so that the pieces meet.
        wide = mask | np.roll(mask, 1) | np.roll(mask, -1)
        panel.plot(np.where(wide, needed, np.nan), v, line, color=THEORY, lw=1.2, label=text)
    branch = point["reference_cycle_branch"]
    current, bottom, top, attracts = (
        branch.sel(branch_value=name).values for name in ("current", "low", "high", "stable")
    )
    for mask, line, text in (
        (attracts == 1, "-", "stable cycle (lowest, highest)"),
        (attracts == 0, "--", "unstable cycle"),
    ):
        for extreme in (bottom, top):
            shown = np.where(mask, current, np.nan)
            panel.plot(shown, extreme, line, color=COLOURS[1], lw=1.2, label=text)
    for name in ("hopf_low", "closure_hopf_low"):
        value = float(point["reference_bifurcation_current"].sel(bifurcation=name))
        if panel.get_xlim()[0] < value < panel.get_xlim()[1]:
            colour, text = (
                (THEORY, "Hopf") if name == "hopf_low" else (COLOURS[3], "closure's Hopf")
            )
            panel.axvline(value, color=colour, ls=":", lw=0.9, label=text)


def example() -> xr.Dataset:
    """Return a cubic with a cycle and a noisy network."""
    v = np.linspace(-2.0, 2.0, 101)
    current = np.array([0.0, 0.5])
    time = np.linspace(0.0, 10.0, 200)
    mean = np.stack([np.sin(time), 0.1 * np.sin(time)])[:, None, :, None, None]
    lines = np.stack([v, v - v**3 / 3, 0.5 * v], axis=1)
    branch = np.stack([[0.4, -0.1, 0.1, 6.0, 1.0], [0.5, -0.5, 0.5, 7.0, 1.0]])
    return xr.Dataset(
        {
            "trace": (("current", "replica", "trace_time", "site", "variable"), mean),
            "reference_nullcline": (
                ("current", "curve_point", "curve_value"),
                np.stack([lines, lines + np.array([0.0, 0.5, 0.0])]),
            ),
            "reference_cycle_branch": (
                ("current", "branch_point", "branch_value"),
                np.stack([branch, branch]),
            ),
            "reference_bifurcation_current": (
                ("current", "bifurcation"),
                [[0.4, 0.39], [0.4, 0.39]],
            ),
        },
        {
            "current": current,
            "trace_time": time,
            "variable": ["v"],
            "branch_value": ["current", "low", "high", "period", "stable"],
            "bifurcation": ["hopf_low", "closure_hopf_low"],
        },
    )


FIGURE = Figure(
    summary="Equilibria and cycles of the limit against the current, and the network's mean.",
    options=(
        Param("of", "trace", doc="signal", kind="choice", choices=("trace", "state_mean")),
        Param("after", 0.0, "time", "use the signal later than this", low=0.0),
    ),
    needs=lambda options, state: (
        options["of"],
        "reference_nullcline",
        "reference_cycle_branch",
        "reference_bifurcation_current",
    ),
    draw=draw,
    example=example,
)
