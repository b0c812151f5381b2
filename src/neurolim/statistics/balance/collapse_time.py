r"""How long the layer lasts in which the network falls onto its balance point, in units of 1/gamma.

    mean_collapse      = gamma x last time at which  |<v> - v*|  exceeds 5 % of its initial size,
                         |.| over all populations (a spiral may come back: the last time counts)
    variance_collapse  = gamma x last time at which  Var exceeds sigma^2/(2 gamma A) by 5 %
    variance_slope     = 1/(2A), its predicted slope in ln gamma

The mean relaxes at the rates of M, so mean_collapse stays bounded.  A variance of order one takes
the longer the smaller its end: Var(t) - Var = Var(0) e^{-2 gamma A t} gives

    variance_collapse -> ln(20 Var(0) 2 gamma A / sigma^2) / (2 A),        slope 1/(2A) in ln gamma.

The table fits both times against ln gamma over the levels gamma >= ``above``: the mean's slope
has to vanish, the variance's to be 1/(2A), within ``allowed``/(2A) and the noise of the fit: its
standard error times the two-sided quantile of Student's t, level .01 over all slopes.  A itself
relaxes with the mean, so the slope is sharp only where the variance's layer is much the longer one.
Crossings are interpolated between records, in logarithms.

Source: Quininao & Touboul 2025, abstract (collapse in O(1/gamma)); the logarithm: docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from neurolim.core import Column, Param, Row, Statistic, Table
from neurolim.core.verdict import CHANCE, WIDEST, within
from neurolim.statistics.parts.balance import (
    POINT,
    at_balance,
    balance_voltage,
    layer_clock,
    on_grid,
    voltage_moments,
)
from neurolim.statistics.parts.common import grid_points

_COLUMNS = (
    Column("slope_in_ln_gamma", "1/gamma", error="standard_error"),
    Column("standard_error", "1/gamma", digits=2),
    Column("expected", "1/gamma"),
    Column("compared", digits=9),
    Column("largest_z", "standard errors"),
)


def apply(dataset: xr.Dataset, *, share: float, above: float, allowed: float) -> xr.Dataset:
    """Return the three times [grid, replica] and [grid, replica, site].

    Parameters
    ----------
    dataset : state_mean, covariance over time; the reference's points
    share : of the initial distance, and of the final variance, that counts as arrived
    above : levels of gamma from here on are fitted by the table
    allowed : share of 1/(2A) by which the fitted slopes of the table may be off

    Returns
    -------
    NaN where the network has not arrived by the last record
    """
    mean, variance = voltage_moments(dataset)
    away = ((mean - balance_voltage(dataset)) ** 2).sum("site", skipna=False) ** 0.5
    excess = variance / at_balance(dataset, "predicted_variance") - 1.0
    clock = layer_clock(dataset)
    by_mean = clock * _last_crossing(away / away.isel(time=0), share)
    by_variance = clock * _last_crossing(excess, share)
    slope = clock / (2.0 * at_balance(dataset, "pull"))
    named = {
        "mean_collapse": (by_mean, "time to collapse of the mean, gamma t"),
        "variance_collapse": (by_variance, "time to collapse of the variance, gamma t"),
        "variance_slope": (slope, "predicted slope of that in ln gamma"),
    }
    return on_grid(
        dataset,
        {
            name: array.assign_attrs(long_name=text, units="1/gamma")
            for name, (array, text) in named.items()
        },
    ).assign_attrs(dataset.attrs)


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``collapse_time``: slopes of both times in ln gamma, which has to be an axis."""
    rows = []
    if "gamma" in dataset["mean_collapse"].dims:
        first = float(dataset["variance_slope"].isel(site=0).mean())
        slopes = 1 + dataset.sizes["site"]
        rows.append(_slope("mean_collapse", {}, dataset, 0.0, first, options, slopes))
        for at, point in grid_points(dataset, ["site"]):
            unit = float(point["variance_slope"].mean())
            rows.append(_slope("variance_collapse", at, point, unit, unit, options, slopes))
    return (Table("collapse_time", _COLUMNS, tuple(rows)),)


def _slope(
    name: str,
    at: Mapping[str, Any],
    dataset: xr.Dataset,
    expected: float,
    unit: float,
    options: Mapping[str, Any],
    slopes: int,
) -> Row:
    """Return a row of the table: the slope of a time in ln gamma, with a verdict.

    Parameters
    ----------
    name, at : quantity and coordinates
    dataset : times [gamma, ...]
    expected : slope
    unit : what ``allowed`` is a share of
    options : of the statistic
    slopes : how many are judged together
    """
    array = dataset[name]
    levels = dataset["gamma"].values.astype(float)
    times = array.mean([dim for dim in array.dims if dim != "gamma"]).values
    used = np.isfinite(times) & (levels >= options["above"])
    slope, error, quantile = np.nan, np.nan, np.nan
    if used.sum() >= 3:
        fit = stats.linregress(np.log(levels[used]), times[used])
        # Of equal times linregress gives no error: the line misses none of them.
        slope, error = float(fit.slope), float(np.nan_to_num(fit.stderr))
        quantile = float(stats.t.isf(CHANCE / (2.0 * slopes), int(used.sum()) - 2))
    values = {
        "slope_in_ln_gamma": slope,
        "standard_error": error,
        "expected": expected,
        "compared": int(used.sum()),
        "largest_z": (slope - expected) / error if error > 0.0 else np.nan,
    }
    missing = "fewer than three levels"
    allowed, widest = options["allowed"] * unit, WIDEST * unit
    verdict = within(slope, expected, allowed, error, quantile, missing, widest)
    return Row(values, verdict, name, at)


def _last_crossing(array: xr.DataArray, level: float) -> xr.DataArray:
    """Return the time after which |array| stays below the level; NaN if it does not."""
    time = array["time"].values

    def one(values: np.ndarray) -> float:
        size = np.abs(values)
        above = np.flatnonzero(size > level)
        if not np.isfinite(values).all() or (above.size and above[-1] == size.size - 1):
            return np.nan
        if not above.size:
            return 0.0
        k = int(above[-1])
        high, low = np.log(size[k]), np.log(max(size[k + 1], 1e-300))
        part = (high - np.log(level)) / (high - low)
        return float(time[k] + part * (time[k + 1] - time[k]))

    return xr.apply_ufunc(one, array, input_core_dims=[["time"]], vectorize=True)


def exact() -> list[Any]:
    """Return exponential relaxations of known rates, as the formulas above have them."""
    gamma = np.array([10.0, 1000.0])
    time = np.linspace(0.0, 12.0, 241)
    lead = ("gamma", "replica", "time", "site")
    mean = 0.3 + 0.8 * np.exp(-1.5 * time)[None, None, :, None, None] * np.ones((2, 1, 1, 1, 1))
    end = 0.25 / gamma
    variance = end[:, None] + 0.09 * np.exp(-4.0 * time)
    dataset = xr.Dataset(
        {
            "state_mean": ((*lead, "variable"), mean),
            "covariance": (
                (*lead, "variable", "variable_b"),
                variance[:, None, :, None, None, None],
            ),
            "status": (("gamma", "replica"), np.zeros((2, 1), np.int8)),
            "reference_attained": ("gamma", np.zeros(2, np.int32)),
            "reference_balance_state": (
                ("gamma", "branch", "site", "variable"),
                np.full((2, 1, 1, 1), 0.3),
            ),
            "reference_predicted_variance": (("gamma", "branch", "site"), end[:, None, None]),
            "reference_pull": (("gamma", "branch", "site"), np.full((2, 1, 1), 2.0)),
        },
        {"gamma": gamma, "time": time, "site": ["P"], "variable": ["v"], "variable_b": ["v"]},
        {"params": '{"clock": "layer"}', "options": "{}"},
    )
    checks = []
    for g in gamma:
        at = {"gamma": g}
        layer = float(np.log(20 * 0.09 * 4 * g) / 4)
        checks += [
            ("mean_collapse", at, float(np.log(20.0) / 1.5), 1e-9),
            ("variance_collapse", {**at, "site": "P"}, layer, 1e-9),
            ("variance_slope", {**at, "site": "P"}, 0.25, 1e-12),
        ]
    return [(dataset, {"share": 0.05, "above": 100.0, "allowed": 0.02}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "covariance", *POINT, "reference_predicted_variance", "reference_pull")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("mean_collapse", "variance_collapse", "variance_slope")


STATISTIC = Statistic(
    summary="Time in which mean and variance fall onto the balance point, in units of 1/gamma.",
    source="Quininao & Touboul 2025, abstract; docs/balance.md",
    options=(
        Param("share", 0.05, doc="share that counts as arrived", positive=True, high=0.5),
        Param("above", 100.0, "1/time", "smallest gamma fitted by the table", low=0.0),
        Param("allowed", 0.02, doc="relative deviation of slopes that is allowed", low=0.0),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("collapse_time",),
)
