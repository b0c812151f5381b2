r"""Both limits at once: errors of the mean voltage along paths gamma = n^beta.

With e(t) = <v>(t) - v* [populations], averages over records,

    mean_bias        = average of e, its largest component         ~ 1/gamma         = n^-beta
    mean_fluctuation = standard deviation of e, |.| over sites     ~ (n gamma)^-1/2  = n^-(1+beta)/2
    mean_error       = root mean square of e
    error_ratio      = mean_error / sqrt( |m1/gamma|^2 + tr Sigma/(n gamma) ),       the sum formula

    path_beta        = beta of the point's path, 0 where gamma comes first

with m1 and Sigma as ``balance_points`` predicts them.  Points of the study belong to one path if
they share beta = ln gamma / ln n, or else gamma (method M2: gamma first); at least three make a
path. Orders in n are fitted path by path.

Source: Quininao & Touboul 2025, abstract (double limit, methods M1 and M2); exponents:
docs/balance.md (reconstruction).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Param, Row, Statistic, Table
from neurolim.numerics.regression import fit_order
from neurolim.statistics.parts.balance import POINT, at_balance, balance_voltage, on_grid
from neurolim.statistics.parts.common import AFTER, grid_points, judge_order, parameter, window

_NAMES = ("mean_bias", "mean_fluctuation", "mean_error", "error_ratio")
_ORDERS = (
    Column("over", ""),
    Column("order"),
    Column("order_low"),
    Column("order_high"),
    Column("expected"),
)
_FORMULA = (
    Column("error_over_formula", error="standard_error"),
    Column("standard_error", digits=2),
)


def apply(dataset: xr.Dataset, *, after: float, tolerance: float) -> xr.Dataset:
    """Return bias, fluctuation, error and its ratio to the sum formula [grid, replica].

    Parameters
    ----------
    dataset : state_mean over time; the reference's points and first-order law
    after : records later than this are used, time
    tolerance : of the exponents, for the table's verdicts
    """
    chosen = window(dataset, after)
    away = chosen["state_mean"].isel(variable=0, drop=True) - balance_voltage(dataset)
    shift = at_balance(dataset, "predicted_shift")
    n = parameter(dataset, "n_neurons")
    # The component in which theory expects most: a sum would mix signs.
    largest = xr.where(abs(shift) == abs(shift).max("site"), 1.0, 0.0)
    bias = (away.mean("time", skipna=False) * largest).sum("site", skipna=False)
    variance = away.var("time", ddof=1, skipna=False).sum("site", skipna=False)
    error = (away**2).mean("time", skipna=False).sum("site", skipna=False)
    wandering = at_balance(dataset, "predicted_mean_variance").sum("site", skipna=False) / n
    hoped = (shift**2).sum("site", skipna=False) + wandering
    found = (bias, variance**0.5, error**0.5, (error / hoped) ** 0.5)
    named = on_grid(
        dataset,
        {
            name: array.assign_attrs(long_name=name.replace("_", " "), units="1")
            for name, array in zip(_NAMES, found, strict=True)
        },
    )
    beta = np.full(dataset["gamma"].size, np.nan)
    for _, value, points in paths(dataset):
        beta[points] = value
    return named.assign(
        path_beta=(dataset["gamma"].dims, beta, {"long_name": "exponent beta", "units": "1"})
    ).assign_attrs(dataset.attrs)


def paths(dataset: xr.Dataset) -> Iterator[tuple[dict[str, float], float, np.ndarray]]:
    """Yield (what points share, beta, their positions in order of n); beta is 0 at fixed gamma.

    Parameters
    ----------
    dataset : with coordinates gamma and n_neurons
    """
    gamma, n = dataset["gamma"].values, dataset["n_neurons"].values.astype(float)
    beta = np.round(np.log(gamma) / np.log(n), 3)
    left = np.ones(gamma.size, bool)
    for name, keys in (("beta", beta), ("gamma", gamma)):
        for value in np.unique(keys):
            points = np.flatnonzero((keys == value) & left)
            if points.size >= 3:
                left[points] = False
                exponent = float(value) if name == "beta" else 0.0
                yield {name: float(value)}, exponent, points[np.argsort(n[points])]


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``joint_limits``, exponents in n along every path, and ``sum_formula``."""
    rows = []
    (dim,) = dataset["gamma"].dims
    for at, beta, points in paths(dataset):
        path = dataset.isel({dim: points})
        levels = path["n_neurons"].values.astype(float)
        quantities = {"mean_fluctuation": -0.5 * (1.0 + beta)}
        if beta > 0.0:
            quantities["mean_bias"] = -beta
        for name, expected in quantities.items():
            fit = fit_order(levels, list(path[name].transpose(dim, "replica").values))
            values = {
                "over": "n_neurons",
                "order": fit.order,
                "order_low": fit.low,
                "order_high": fit.high,
                "expected": expected,
            }
            rows.append(Row(values, judge_order(fit, options, expected), name, at))
    return Table("joint_limits", _ORDERS, tuple(rows)), _sum_formula(dataset)


def _sum_formula(dataset: xr.Dataset) -> Table:
    """Return the rms over replicas of the total error over the sum formula, point by point."""
    rows = []
    for at, point in grid_points(dataset, dataset["gamma"].dims):
        squares = point["error_ratio"].values ** 2
        squares = squares[np.isfinite(squares)]
        mean = float(squares.mean()) if squares.size else np.nan
        error = float(squares.std(ddof=1) / squares.size**0.5) if squares.size > 1 else np.nan
        values = {
            "error_over_formula": mean**0.5,
            "standard_error": 0.5 * error / mean**0.5 if mean > 0 else np.nan,
        }
        rows.append(Row(values, at=at))
    return Table("sum_formula", _FORMULA, tuple(rows))


def exact() -> list[Any]:
    """Return two populations with a known bias and a fluctuation of known size."""
    n, gamma = np.array([16, 64, 256]), np.array([4.0, 8.0, 16.0])  # n^1/2
    sign = np.where(np.arange(200) % 2 == 0, 1.0, -1.0)
    bias = np.array([0.3, -0.1])
    wander = 1.0 / np.sqrt(n * gamma)
    mean = bias / gamma[:, None, None] + (wander[:, None] * sign)[:, :, None]
    dataset = xr.Dataset(
        {
            "state_mean": (
                ("path", "replica", "time", "site", "variable"),
                mean[:, None, :, :, None],
            ),
            "status": (("path", "replica"), np.zeros((3, 1), np.int8)),
            "reference_attained": ("path", np.zeros(3, np.int32)),
            "reference_balance_state": (
                ("path", "branch", "site", "variable"),
                np.zeros((3, 1, 2, 1)),
            ),
            "reference_predicted_shift": (
                ("path", "branch", "site"),
                (bias / gamma[:, None])[:, None],
            ),
            "reference_predicted_mean_variance": (
                ("path", "branch", "site"),
                np.repeat(1.0 / gamma, 2).reshape(3, 1, 2),
            ),
        },
        {
            "path": np.arange(3),
            "n_neurons": ("path", n),
            "gamma": ("path", gamma),
            "time": np.linspace(0.1, 20.0, 200),
            "site": ["E", "I"],
            "variable": ["v"],
        },
    )
    checks = []
    for k in range(3):
        at = {"path": k}
        # Both populations move together: variance 2 wander^2, with Bessel's 200/199.
        spread = float((2 * wander[k] ** 2 * 200 / 199) ** 0.5)
        checks += [
            ("mean_bias", at, float(0.3 / gamma[k]), 1e-12),
            ("mean_fluctuation", at, spread, 1e-12),
            ("error_ratio", at, 1.0, 1e-12),
            ("path_beta", at, 0.5, 0.0),
        ]
    return [(dataset, {"after": 0.0, "tolerance": 0.05}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "state_mean",
        *POINT,
        "reference_predicted_shift",
        "reference_predicted_mean_variance",
    )


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return (*_NAMES, "path_beta")


STATISTIC = Statistic(
    summary="Bias and fluctuation of the mean along joint limits of size and coupling.",
    source="Quininao & Touboul 2025, abstract; docs/balance.md",
    options=(
        AFTER,
        Param("tolerance", 0.05, doc="tolerance of the exponents", low=0.0),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("joint_limits", "sum_formula"),
)
