r"""The law near the balance point against its first-order theory, constant by constant.

    balance_shift   = <v> - v*                  predicted  m1/gamma
    balance_spread  = sqrt( (<v> - v*)^2 + Var ), the W2 distance to the Dirac mass at v*
    shift_ratio     = (<v> - v*) / (m1/gamma),      shift_excess    = shift_ratio - 1
    variance_ratio  = Var / (sigma^2/(2 gamma A)),  variance_excess = variance_ratio - 1
    residual_ratio  = (E + I) / (-f(v*) + w),       residual_excess = residual_ratio - 1

The ratios tend to 1 like 1/gamma whatever unit of time is used; predictions are those of
``balance_points``, which has to be the study's reference.

The table compares each ratio at the largest gamma with 1: it agrees within ``allowed`` plus three
standard errors over replicas, and is inconclusive where these exceed one half.

Source: docs/balance.md (reconstruction).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurolim.core import Param, Statistic
from neurolim.statistics._balance import (
    POINT,
    at_balance,
    average,
    balance_voltage,
    gaussian_balance,
    late,
    on_grid,
    voltage_moments,
)
from neurolim.statistics._common import AFTER

#: Three standard errors wider than this say nothing about a ratio of 1.
_WIDEST = 0.5
_RATIOS = ("shift_ratio", "variance_ratio", "residual_ratio")
_EXCESSES = ("shift_excess", "variance_excess", "residual_excess")


def apply(dataset: xr.Dataset, *, after: float, allowed: float) -> xr.Dataset:
    """Return shift, spread and ratios [grid, replica, site].

    Parameters
    ----------
    dataset : mean, covariance, excitation, inhibition; outputs of the reference balance_points
    after : records later than this are averaged, time
    allowed : deviation of a ratio from 1 that the table allows beside its standard error
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
    return on_grid(dataset, named).assign_attrs({**dataset.attrs, "allowed": allowed})


def tables(dataset: xr.Dataset, expect: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return ``first_order_constants``: each ratio at the largest gamma, with a verdict."""
    allowed = float(dataset.attrs["allowed"])
    rows = []
    for name in _RATIOS:
        array = dataset[name]
        if "gamma" in array.dims:
            array = array.isel(gamma=int(np.argmax(dataset["gamma"].values)))
        gamma = float(array["gamma"]) if "gamma" in array.coords else np.nan
        keep = [dim for dim in array.dims if dim != "replica"]
        for place in np.ndindex(*(array.sizes[dim] for dim in keep)):
            here = array.isel(dict(zip(keep, place, strict=True)))
            values = np.atleast_1d(here.values)
            values = values[np.isfinite(values)]
            label = ", ".join(
                f"{dim}={array[dim].values[i]}" for dim, i in zip(keep, place, strict=True)
            )
            error = values.std(ddof=1) / values.size**0.5 if values.size > 1 else 0.0
            ratio = float(values.mean()) if values.size else np.nan
            off = abs(ratio - 1.0)
            word = "agrees" if off <= allowed + 3.0 * error else "disagrees"
            if not values.size or 3.0 * error > _WIDEST:
                word = "inconclusive"
            rows.append(
                {
                    "quantity": f"{name} [{label}]",
                    "gamma": gamma,
                    "ratio": ratio,
                    "standard_error": float(error),
                    "compared": int(values.size),
                    "largest_z": off / error if error > 0 else np.nan,
                    "verdict": f"{word}: allowed {allowed:g} and 3 standard errors",
                }
            )
    return {"first_order_constants": pd.DataFrame(rows)}


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
        "mean",
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
        Param("allowed", 1e-3, doc="deviation of a ratio from 1 that is allowed", low=0.0),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    tables=tables,
    table_names=("first_order_constants",),
)
