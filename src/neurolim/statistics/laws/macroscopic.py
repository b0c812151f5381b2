r"""Means, moments and first-order constants of the mean-field law against the limit equation.

    x_error          = sup |mean of x - its limit|
    drift_mismatch   = sup |E(mu)|,  E(mu) = <f(v)> - f(<v>)
    moment_q         = sup D_q,  D_q = <|v - V|^q>,  q = 2, 4, 6
    gaussian_q       = sup |D_q / ((q - 1)!! s^q) - 1|,  s the width of the limit law
    x_constant       = sup |mean of x - limit - shift| / sup |shift|
    variance_constant= sup |D_2/s^2 - 1 - widening| / sup |widening|

shift and widening are the exact first-order terms in eps: the last two vanish at order 1 only if
the first-order constant is right, which no slope of an error can show.  Suprema are over
records later than ``after`` and over sites.

Source: Blaustein 2022, Theorem 2.7; constants: docs/mean-field.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Statistic
from neurolim.numerics import hermite
from neurolim.statistics.parts.common import AFTER, variables, window
from neurolim.statistics.parts.law import largest, synthetic

_MOMENTS = {2: 1.0, 4: 3.0, 6: 15.0}


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return the quantities of the module docstring [grid].

    Parameters
    ----------
    dataset : of the solver ``kinetic`` with reference ``limit``
    after : records later than this count, time
    """
    chosen = window(dataset, after)
    found = {}
    error = chosen["state_mean"] - chosen["reference_state_mean"]
    shift = chosen["reference_mean_shift"]
    for name in variables(dataset):
        here = {"variable": name}
        found[f"{name}_error"] = largest(abs(error.sel(here, drop=True))).assign_attrs(
            long_name=f"largest error of the mean of {name}", units="state"
        )
        rest = largest(abs((error - shift).sel(here, drop=True)))
        found[f"{name}_constant"] = (rest / largest(abs(shift.sel(here, drop=True)))).assign_attrs(
            long_name=f"relative error of the first-order term of {name}", units="1"
        )
    found["drift_mismatch"] = largest(abs(chosen["drift_error"])).assign_attrs(
        long_name="largest |E(mu)|", units="1/time"
    )
    marginal = chosen["coefficients"].isel(recovery_mode=0)
    width = chosen["reference_width"].isel(variable=0, drop=True)
    s = chosen["frame"].isel(variable=0, drop=True)
    count = marginal.sizes["voltage_mode"]
    for q, gaussian in _MOMENTS.items():
        weights = xr.DataArray(hermite.moments(q, count), dims="voltage_mode")
        moment = s**q * (marginal.drop_vars("voltage_mode", errors="ignore") * weights).sum(
            "voltage_mode", skipna=False
        )
        found[f"moment_{q}"] = largest(moment).assign_attrs(
            long_name=f"largest D_{q}", units=f"state^{q}"
        )
        relative = moment / (gaussian * width**q) - 1.0
        found[f"gaussian_{q}"] = largest(abs(relative)).assign_attrs(
            long_name=f"largest relative deviation of D_{q} from the limit law", units="1"
        )
        if q == 2:
            widening = chosen["reference_widening"].isel(variable=0, drop=True)
            found["variance_constant"] = (
                largest(abs(relative - widening)) / largest(abs(widening))
            ).assign_attrs(long_name="relative error of the first-order term of Var(v)", units="1")
    return xr.Dataset(
        {k: a.drop_vars([c for c in a.coords if c not in a.dims]) for k, a in found.items()}
    )


def exact() -> list[Any]:
    """Return laws whose moments, and distance to the first-order terms, are known."""

    def law(eps: float) -> np.ndarray:
        found = np.zeros((8, 4))
        found[0, 0] = 1.0
        found[2, 0] = -np.sqrt(2.0) * eps + eps**2 / np.sqrt(2.0)
        return found

    dataset = synthetic([0.1, 0.01], law, shift=1.2)
    checks = []
    for eps in (0.1, 0.01):
        # <u^2> = 1 + sqrt(2) C_20, <u^4> = 3 + 6 sqrt(2) C_20.
        two = -2.0 * eps + eps**2
        at = {"eps": eps}
        checks += [
            ("voltage_error", at, 1.2 * eps, 1e-12),
            ("voltage_constant", at, 0.2, 1e-12),
            ("moment_2", at, eps * (1.0 + two), 1e-12),
            ("gaussian_2", at, abs(two), 1e-12),
            ("gaussian_4", at, abs(2.0 * two), 1e-12),
            ("variance_constant", at, eps / 2.0, 1e-12),
            ("drift_mismatch", at, eps, 1e-12),
        ]
    return [(dataset, {"after": 0.0}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "state_mean",
        "frame",
        "coefficients",
        "drift_error",
        "reference_state_mean",
        "reference_width",
        "reference_mean_shift",
        "reference_widening",
    )


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return (
        *(f"{name}_{what}" for name in state for what in ("error", "constant")),
        "drift_mismatch",
        *(f"{what}_{q}" for q in _MOMENTS for what in ("moment", "gaussian")),
        "variance_constant",
    )


STATISTIC = Statistic(
    summary="Means, moments and first-order constants of the mean-field law against its limit.",
    source="Blaustein 2022, Theorem 2.7",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
