r"""Rates at which the mean voltages approach or leave a balance point, spirals allowed.

While the deviation e = <v> - v* - m1/gamma [populations] is small it obeys e' = -gamma M e.  The
propagator over one record is fitted by least squares to all pairs of records inside a window,

    e(t + dt) = P e(t) + c,    eigenvalues of log(P)/dt:   growth rates and frequencies,

so a complex pair needs no envelope; c takes up what the resting place misses of the next order.
The predicted rates are of first order, too: the table judges levels gamma >= ``above``, where the
noise (two-sided level .01 of Student's t over all points judged) and what is allowed are no more
than half of the predicted rate.  The window is where |e| lies between ``low`` and ``high``: for
``approach`` from the first record below high to the first below low, for ``departure`` from the
last record below low to the first above high.

    flow_growth     = largest growth rate, per unit of the dataset's time
    flow_frequency  = its angular frequency (absolute)
    growth_excess   = flow_growth minus the predicted one, over |predicted|

Source: Quininao & Touboul 2025, abstract (attraction by the layer's flow); spectrum of M:
docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from neurolim.core import Column, Param, Row, Statistic, Table
from neurolim.core.verdict import CHANCE, WIDEST, within
from neurolim.statistics.parts.balance import POINT, at_balance, balance_voltage, on_grid
from neurolim.statistics.parts.common import grid_points

_NAMES = ("flow_growth", "flow_frequency", "growth_excess")
_COLUMNS = (
    Column("growth", "1/time"),
    Column("frequency", "1/time"),
    Column("excess", error="standard_error"),
    Column("standard_error", digits=2),
    Column("compared", digits=9),
    Column("largest_z", "standard errors"),
)


def apply(
    dataset: xr.Dataset,
    *,
    branch: int,
    direction: str,
    low: float,
    high: float,
    allowed: float,
    above: float,
) -> xr.Dataset:
    """Return growth rate, frequency and deviation from the prediction [grid, replica].

    Parameters
    ----------
    dataset : state_mean over time; the reference's points, first-order means and growth rates
    branch : balance point, -1 for the one attained
    direction : approach or departure
    low, high : the window, voltage
    allowed : relative deviation of the growth rate that the table allows
    above : smallest gamma the table judges, 1/time

    Returns
    -------
    NaN where the window holds no more pairs of records than a propagator has unknowns per row
    """
    shift = at_balance(dataset, "predicted_shift", branch)
    away = (
        dataset["state_mean"].isel(variable=0, drop=True) - balance_voltage(dataset, branch) - shift
    )
    time = dataset["time"].values
    step = float(time[1] - time[0])

    def one(values: np.ndarray) -> tuple[float, float]:
        pairs = _window(values, direction, low, high)
        if len(pairs) <= values.shape[1] + 1:
            return np.nan, np.nan
        before, after = np.insert(values[pairs], 0, 1.0, axis=1), values[pairs + 1]
        # Every pair counts by its relative change: late, small deviations say as much.
        weight = 1.0 / np.linalg.norm(before[:, 1:], axis=1, keepdims=True)
        propagator = np.linalg.lstsq(before * weight, after * weight, rcond=None)[0][1:]
        rates = np.log(np.linalg.eigvals(propagator).astype(complex)) / step
        fastest = rates[np.argmax(rates.real)]
        return float(fastest.real), abs(float(fastest.imag))

    growth, frequency = xr.apply_ufunc(
        one,
        away,
        input_core_dims=[["time", "site"]],
        output_core_dims=[[], []],
        vectorize=True,
    )
    predicted = at_balance(dataset, "growth", branch).isel(mode=0, drop=True)
    found = (growth, frequency, (growth - predicted) / abs(predicted))
    units = ("1/time", "1/time", "1")
    return on_grid(
        dataset,
        {
            name: array.assign_attrs(long_name=name.replace("_", " "), units=unit)
            for name, array, unit in zip(_NAMES, found, units, strict=True)
        },
    ).assign_attrs(dataset.attrs)


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``linear_flow``: growth and frequency at every point against the prediction."""
    rates = dataset[list(_NAMES)]
    grid = [dim for dim in rates["flow_growth"].dims if dim != "replica"]
    rows = []
    points = list(grid_points(rates, grid))
    count = sum(not _small(point, options) for _, point in points)
    for at, point in points:
        values = np.atleast_1d(point["growth_excess"].values)
        excess = values[np.isfinite(values)]
        mean = float(excess.mean()) if excess.size else np.nan
        # A value without replicas is exact; of a single one of them nothing is known.
        error, quantile = (np.nan if "replica" in rates.dims else 0.0), 0.0
        if excess.size > 1:
            error = float(excess.std(ddof=1) / excess.size**0.5)
            quantile = -float(special.stdtrit(excess.size - 1, CHANCE / (2.0 * max(1, count))))
        cells = {
            "growth": float(point["flow_growth"].mean()),
            "frequency": float(point["flow_frequency"].mean()),
            "excess": mean,
            "standard_error": error,
            "compared": int(excess.size),
            "largest_z": abs(mean) / error if error > 0 else np.nan,
        }
        expected = np.nan if _small(point, options) else 0.0
        verdict = within(mean, expected, options["allowed"], error, quantile, widest=WIDEST)
        rows.append(Row(cells, verdict, "growth_excess", at))
    return (Table("linear_flow", _COLUMNS, tuple(rows)),)


def _small(point: xr.Dataset, options: Mapping[str, Any]) -> bool:
    """Return whether gamma is so small that nothing is expected: theory is of first order."""
    return "gamma" in point.coords and float(point["gamma"]) < options["above"]


def _window(values: np.ndarray, direction: str, low: float, high: float) -> np.ndarray:
    """Return the first members of the pairs of records inside the window."""
    size = np.linalg.norm(values, axis=1)
    if not np.isfinite(size).all():
        return np.zeros(0, int)
    if direction == "approach":
        inside = np.flatnonzero(size < high)
        below = np.flatnonzero(size < low)
        first = int(inside[0]) if inside.size else size.size
    else:
        below = np.flatnonzero(size > high)
        calm = np.flatnonzero(size[: int(below[0]) if below.size else size.size] < low)
        first = int(calm[-1]) + 1 if calm.size else 0
    last = int(below[0]) if below.size else size.size - 1
    return np.arange(first, last)


def exact() -> list[Any]:
    """Return a spiral into the point and one out of it, of known rates."""
    time = np.linspace(0.0, 10.0, 201)
    cases = []
    for growth, direction in ((-0.8, "approach"), (0.6, "departure")):
        start = 1.0 if growth < 0 else 1e-3
        angle = 2.0 * time
        spiral = (
            start
            * np.exp(growth * time)[:, None]
            * np.stack([np.cos(angle), 0.5 * np.sin(angle)], axis=1)
        )
        dataset = xr.Dataset(
            {
                "state_mean": (("time", "site", "variable"), 0.3001 + spiral[:, :, None]),
                "status": ((), np.int8(0)),
                "reference_attained": ((), np.int32(0)),
                "reference_balance_state": (
                    ("branch", "site", "variable"),
                    np.full((1, 2, 1), 0.3),
                ),
                "reference_predicted_shift": (("branch", "site"), np.zeros((1, 2))),
                "reference_growth": (("branch", "mode"), np.full((1, 2), growth * 1.1)),
            },
            {"time": time, "site": ["E", "I"], "variable": ["v"]},
        )
        options = {"branch": 0, "direction": direction, "low": 0.005, "high": 0.2}
        options |= {"allowed": 0.02, "above": 0.0}
        checks: list[Any] = [
            ("flow_growth", {}, growth, 1e-8),
            ("flow_frequency", {}, 2.0, 1e-8),
            ("growth_excess", {}, -0.1 * growth / abs(1.1 * growth), 1e-8),
        ]
        cases.append((dataset, options, checks))
    return cases


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", *POINT, "reference_predicted_shift", "reference_growth")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return _NAMES


STATISTIC = Statistic(
    summary="Rates and frequencies at which the mean approaches or leaves a balance point.",
    source="Quininao & Touboul 2025, abstract; docs/balance.md",
    options=(
        Param("branch", -1, doc="balance point; -1: the one attained", kind="integer", low=-1),
        Param(
            "direction",
            "approach",
            doc="into the point or out of it",
            kind="choice",
            choices=("approach", "departure"),
        ),
        Param("low", 0.005, doc="smallest deviation fitted, voltage", positive=True),
        Param("high", 0.1, doc="largest deviation fitted, voltage", positive=True),
        Param("allowed", 0.02, doc="relative deviation that is allowed", low=0.0),
        Param("above", 0.0, "1/time", "smallest gamma the table judges", low=0.0),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("linear_flow",),
)
