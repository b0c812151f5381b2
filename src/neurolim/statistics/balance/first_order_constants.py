r"""The law near the balance point against its first-order theory, constant by constant.

    balance_shift   = <v> - v*                  predicted  m1/gamma
    balance_spread  = sqrt( (<v> - v*)^2 + Var ), the W2 distance to the Dirac mass at v*
    shift_ratio     = (<v> - v*) / (m1/gamma),      shift_excess    = shift_ratio - 1
    variance_ratio  = Var / (sigma^2/(2 gamma A)),  variance_excess = variance_ratio - 1
    residual_ratio  = (E + I) / (-f(v*) + w),       residual_excess = residual_ratio - 1

The ratios tend to 1 like 1/gamma whatever unit of time is used; predictions are those of
``balance_points``, which has to be the study's reference.

The table compares each ratio with 1 at one gamma: it agrees within ``allowed`` gamma_max/gamma, for
the next order, plus three standard errors over replicas, and the gamma is the one where this is
least; it is undecided where even that exceeds one half.

Source: docs/balance.md (reconstruction).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Param, Row, Statistic, Table
from neurolim.core.verdict import contains
from neurolim.statistics.parts.balance import (
    POINT,
    at_balance,
    average,
    balance_voltage,
    gaussian_balance,
    late,
    on_grid,
    voltage_moments,
)
from neurolim.statistics.parts.common import AFTER, grid_points

#: What lets more than this pass says nothing about a ratio of 1.
_WIDEST = 0.5
_RATIOS = ("shift_ratio", "variance_ratio", "residual_ratio")
_EXCESSES = ("shift_excess", "variance_excess", "residual_excess")
_COLUMNS = (
    Column("gamma", "1/time"),
    Column("ratio", digits=6, error="standard_error"),
    Column("standard_error", digits=2),
    Column("compared", digits=9),
    Column("largest_z", "standard errors"),
)


def apply(dataset: xr.Dataset, *, after: float, allowed: float) -> xr.Dataset:
    """Return shift, spread and ratios [grid, replica, site].

    Parameters
    ----------
    dataset : state_mean, covariance, excitation, inhibition; outputs of the reference
        ``balance_points``
    after : records later than this are averaged, time
    allowed : deviation of a ratio from 1 at the largest gamma that the table allows beside its
        standard error
    """
    chosen = late(dataset, after)
    mean, variance = voltage_moments(chosen)
    mean, variance = average(mean), average(variance)
    shift = mean - balance_voltage(dataset)
    current = average(chosen["excitation"] + chosen["inhibition"])
    found = {
        "balance_shift": shift,
        "balance_spread": (shift**2 + variance) ** 0.5,
    }
    ratios = (
        shift / at_balance(dataset, "predicted_shift"),
        variance / at_balance(dataset, "predicted_variance"),
        current / at_balance(dataset, "predicted_residual"),
    )
    found |= dict(zip(_RATIOS, ratios, strict=True))
    found |= {name: ratio - 1.0 for name, ratio in zip(_EXCESSES, ratios, strict=True)}
    named = {
        name: array.assign_attrs(long_name=name.replace("_", " "), units="1")
        for name, array in found.items()
    }
    return on_grid(dataset, named).assign_attrs(dataset.attrs)


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``first_order_constants``: each ratio where it tells most, with a verdict."""
    rows = []
    for name in _RATIOS:
        keep = [dim for dim in dataset[name].dims if dim not in ("replica", "gamma")]
        for at, point in grid_points(dataset, keep):
            rows.append(_judged(name, at, point[name], options["allowed"]))
    return (Table("first_order_constants", _COLUMNS, tuple(rows)),)


def _judged(name: str, at: Mapping[str, Any], ratios: xr.DataArray, allowed: float) -> Row:
    """Return a row of the table: the ratio at the gamma where least is let pass, and a verdict."""
    several = "gamma" in ratios.dims
    levels = ratios.transpose("gamma", ...) if several else [ratios]
    gammas = [float(level.coords.get("gamma", np.nan)) for level in levels]
    measured = []
    for gamma, level in zip(gammas, levels, strict=True):
        values = np.atleast_1d(level.values)
        values = values[np.isfinite(values)]
        # A value without replicas is exact; of replicas that failed but for one nothing is known.
        error = 0.0 if level.size == 1 else np.nan
        if values.size > 1:
            error = float(values.std(ddof=1) / values.size**0.5)
        # What is left of a first-order theory is of the next order.
        share = allowed * max(gammas) / gamma if several else allowed
        passes = share + 3.0 * error if values.size and np.isfinite(error) else np.inf
        measured.append((passes, gamma, values, error, share))
    _, gamma, values, error, share = min(measured, key=lambda level: level[0])
    ratio = float(values.mean()) if values.size else np.nan
    cells = {
        "gamma": gamma,
        "ratio": ratio,
        "standard_error": error,
        "compared": int(values.size),
        "largest_z": abs(ratio - 1.0) / error if error > 0 else np.nan,
    }
    low, high = ratio - 3.0 * error, ratio + 3.0 * error
    verdict = contains(ratio, low, high, 1.0, share, 2.0 * (_WIDEST - share))
    return Row(cells, verdict, name, at)


def exact() -> list[Any]:
    """Return made-up laws with deviations of known size from the first-order theory."""
    dataset = gaussian_balance([10.0, 1000.0], correction=0.5)
    checks = []
    for gamma in (10.0, 1000.0):
        at = {"gamma": gamma, "site": "P"}
        excess = 0.5 / gamma
        shift = 0.35 / gamma * (1 + excess)
        checks += [
            ("balance_shift", at, shift, 1e-12),
            ("balance_spread", at, (shift**2 + (1 + excess) / (4 * gamma)) ** 0.5, 1e-12),
            *((name, at, excess, 1e-9) for name in _EXCESSES),
            *((name, at, 1.0 + excess, 1e-9) for name in _RATIOS),
        ]
    return [(dataset, {"after": 0.0, "allowed": 1e-3}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "state_mean",
        "covariance",
        "excitation",
        "inhibition",
        *POINT,
        "reference_predicted_shift",
        "reference_predicted_variance",
        "reference_predicted_residual",
    )


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("balance_shift", "balance_spread", *_RATIOS, *_EXCESSES)


STATISTIC = Statistic(
    summary="Mean, variance and current near the balance point over their first-order theory.",
    source="docs/balance.md (reconstruction)",
    options=(
        AFTER,
        Param(
            "allowed",
            1e-3,
            doc="deviation of a ratio from 1 that is allowed at the largest gamma",
            low=0.0,
        ),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("first_order_constants",),
)
