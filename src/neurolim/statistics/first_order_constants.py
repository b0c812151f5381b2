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
least; it is inconclusive where even that exceeds one half.

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

#: What lets more than this pass says nothing about a ratio of 1.
_WIDEST = 0.5
_RATIOS = ("shift_ratio", "variance_ratio", "residual_ratio")
_EXCESSES = ("shift_excess", "variance_excess", "residual_excess")


def apply(dataset: xr.Dataset, *, after: float, allowed: float) -> xr.Dataset:
    """Return shift, spread and ratios [grid, replica, site].

    Parameters
    ----------
    dataset : mean, covariance, excitation, inhibition; outputs of the reference balance_points
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
    return on_grid(dataset, named).assign_attrs({**dataset.attrs, "allowed": allowed})


def tables(dataset: xr.Dataset, expect: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return ``first_order_constants``: each ratio where it tells most, with a verdict."""
    rows = []
    for name in _RATIOS:
        array = dataset[name]
        if "gamma" not in array.dims:
            array = array.expand_dims(gamma=[float(array.coords.get("gamma", np.nan))])
        keep = [dim for dim in array.dims if dim not in ("replica", "gamma")]
        for place in np.ndindex(*(array.sizes[dim] for dim in keep)):
            here = array.isel(dict(zip(keep, place, strict=True)))
            label = ", ".join(
                f"{dim}={array[dim].values[i]}" for dim, i in zip(keep, place, strict=True)
            )
            rows.append({"quantity": f"{name} [{label}]"} | _judged(here, dataset.attrs["allowed"]))
    return {"first_order_constants": pd.DataFrame(rows)}


def _judged(ratios: xr.DataArray, allowed: float) -> dict[str, Any]:
    """Return a row of the table: the ratio at the gamma where least is let pass, and a verdict."""
    gammas = ratios["gamma"].values
    found = []
    for place, gamma in enumerate(gammas):
        values = np.atleast_1d(ratios.isel(gamma=place).values)
        values = values[np.isfinite(values)]
        # Of replicas that failed but for one nothing is known.
        few = values.size < 2 <= ratios.sizes.get("replica", 1)
        error = float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else 0.0
        # What is left of a first-order theory is of the next order.
        share = allowed * gammas.max() / gamma if gammas.size > 1 else allowed
        passes = share + 3.0 * error if values.size and not few else np.inf
        found.append((passes, float(gamma), values, error, share))
    passes, gamma, values, error, share = min(found, key=lambda one: one[0])
    off = abs(float(values.mean()) - 1.0) if values.size else np.nan
    word = "agrees" if off <= passes else "disagrees"
    if passes > _WIDEST:
        word = "inconclusive"
    return {
        "gamma": gamma,
        "ratio": float(values.mean()) if values.size else np.nan,
        "standard_error": error,
        "compared": int(values.size),
        "largest_z": off / error if error > 0 else np.nan,
        "verdict": f"{word}: allowed {share:.2g} and 3 standard errors",
    }


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
    tables=tables,
    table_names=("first_order_constants",),
)
