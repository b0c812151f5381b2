r"""How far mean and variance of the network are from the concentrated limit.

    x_mean     = average over time of  (mean of x) - alpha(t)
    x_variance = average over time of  Var(x)/s(t)^2 - 1

for each state variable x, with alpha and s the point and width of the limit law (``limit``).  Both
are signed and linear in what a replica measured, so averages over replicas are unbiased and their
standard errors are what they seem.  Var is the population's second moment about its own mean with
divisor n - 1, so that finite n alone gives no deviation.  Sites count equally.

Source: Quininao & Touboul 2020, sec. 6.2 (variances eps and eps/a); orders: docs/science.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from neurolim.core import Statistic
from neurolim.statistics.parts.common import (
    AFTER,
    parameter,
    standard_normal_network,
    variables,
    window,
)


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return ``x_mean`` and ``x_variance`` [grid, replica] of every state variable x.

    Parameters
    ----------
    dataset : state_mean, covariance, reference_state_mean, reference_spread
    after : records later than this are averaged, time
    """
    chosen = window(dataset, after)
    n = parameter(dataset, "n_neurons")
    found = {}
    for name in variables(dataset):
        here = chosen.sel(variable=name, variable_b=name, drop=True)
        shift = (here["state_mean"] - here["reference_state_mean"]).mean(
            ("time", "site"), skipna=False
        )
        found[f"{name}_mean"] = shift.assign_attrs(
            long_name=f"mean {name} minus its limit", units="1"
        )
        width = here["reference_spread"].where(here["reference_spread"] > 0)
        excess = here["covariance"] * (n / (n - 1.0)) / width**2 - 1.0
        found[f"{name}_variance"] = excess.mean(("time", "site"), skipna=False).assign_attrs(
            long_name=f"variance of {name} over that of the limit law, minus 1", units="1"
        )
    return xr.Dataset(found)


def exact() -> list[Any]:
    """Return a network sampled from N(2 eps, eps (1 + 3 eps)): deviations 2 eps and 3 eps."""
    n, replicas = 4000, 16
    dataset = standard_normal_network([0.1, 0.4], replicas, n, 1, shift=2.0, widening=3.0)
    checks = []
    for eps in (0.1, 0.4):
        variance = eps * (1 + 3 * eps)
        samples = n * replicas * 2
        checks.append(("x_mean", {"eps": eps}, 2 * eps, 4 * (variance / samples) ** 0.5))
        checks.append(
            ("x_variance", {"eps": eps}, 3 * eps, 4 * (1 + 3 * eps) * (2 / samples) ** 0.5)
        )
    return [(dataset, {"after": 0.0}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "covariance", "reference_state_mean", "reference_spread")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return tuple(f"{name}_{what}" for name in state for what in ("mean", "variance"))


STATISTIC = Statistic(
    summary="Deviation of mean and variance from the concentrated limit.",
    source="Quininao & Touboul 2020, sec. 6.2",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
