r"""Weighted L2 norms of the mean-field law, in which Blaustein 2022 proves pointwise rates.

In the paper's frame (v - V)/theta, w - W, with the weight m of eq. (4.1) (exponent kappa),

    perp_k   = sup || nu_perp ||_{H^k(m)},  nu_perp = nu - M x nubar,  k = 0, 1     (Th 4.1 (2))
    memory   = sup || nubar - nubar_limit ||_{H^0(mbar)}                            (Th 4.1 (3))

and in the variables v, w with the weights m^-, exp(rho0 v^2/8 + kappa w^2/8),

    law_i    = sup || (v - V_limit)^i (mu - limit law) ||_{H^0(m^-)},  i = 0, 1, 2  (Th 4.2 (1))
    slope_i  = the same in H^1(m^-): with the derivative in w                       (k = 1)
    recovery = sup || mubar - mubar_limit ||_{H^0(mbar^-)}                          (Th 4.2 (2))

Suprema run over records later than ``after`` and over sites.  The weight of v makes the norms sums
of squares of Hermite coefficients when the frame's width is theta; where a norm is infinite (kappa
r^2 >= 2) it is NaN.  m^- is used with rho0 = 1 in the exponent, a constant factor at most.

Source: Blaustein 2022, sections 4.1, 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Param, Statistic
from neurolim.numerics import hermite
from neurolim.statistics.parts.common import AFTER, window
from neurolim.statistics.parts.law import CELL, GRID, NEEDS, Law, largest, measure, synthetic

_NAMES = {
    "perp_0": "norm of nu_perp in H^0(m)",
    "perp_1": "norm of nu_perp in H^1(m)",
    "memory": "norm of nubar minus its limit",
    "law_0": "norm of mu minus the limit law",
    "law_1": "norm of (v - V)(mu - limit law)",
    "law_2": "norm of (v - V)^2 (mu - limit law)",
    "slope_0": "H^1 norm of mu minus the limit law",
    "slope_1": "H^1 norm of (v - V)(mu - limit law)",
    "slope_2": "H^1 norm of (v - V)^2 (mu - limit law)",
    "recovery": "norm of mubar minus its limit",
}


def _norms(law: Law, kappa: float) -> dict[str, float]:
    """Return all norms of one law."""
    r = law.frame[1]
    count = law.coefficients.shape[1]
    weight = np.sqrt(2.0 * np.pi / kappa) * np.exp(0.5 * kappa * (r * GRID) ** 2) * CELL * r
    if kappa * r**2 >= 2.0:
        return dict.fromkeys(_NAMES, np.nan)
    shapes = hermite.functions(GRID, count + 1)
    # d/dy (phi h_l) = -sqrt(l + 1) phi h_{l+1}
    slopes = -np.sqrt(np.arange(1.0, count + 1)) * shapes[:, 1:]
    inner = law.coefficients[1:] @ shapes[:, :-1].T / r
    slope = law.coefficients[1:] @ slopes.T / r**2
    zero = float((inner**2 @ weight).sum())
    one = float((slope**2 @ weight).sum())
    centred = (law.marginal(1) - law.limit(1, centred=True)) / r
    found = {
        "perp_0": np.sqrt(zero),
        "perp_1": np.sqrt(zero + one),
        "memory": np.sqrt((centred**2 * weight).sum()),
    }
    v, w = law.mean[0] + law.frame[0] * GRID, law.mean[1] + r * GRID
    light_v, light_w = np.exp(v**2 / 8.0), np.exp(kappa * w**2 / 8.0)
    profile, memory = law.limit(0)[:, None], law.limit(1)
    difference = law.density - profile * memory
    # d/dw of both; the limit's marginal is normal.
    rise = hermite.functions(GRID, len(law.coefficients)) @ law.coefficients @ slopes.T / r
    away = (w - law.limit_mean[1]) / law.limit_width[1] ** 2
    tilt = rise + profile * (memory * away)
    scale = CELL**2 / (law.frame[0] * r * np.sqrt(kappa))
    for i in range(3):
        weights = (v - law.limit_mean[0])[:, None] ** (2 * i) * light_v[:, None] * light_w * scale
        squares = float((difference**2 * weights).sum())
        found[f"law_{i}"] = np.sqrt(squares)
        found[f"slope_{i}"] = np.sqrt(squares + float((tilt**2 * weights).sum()))
    rest = (law.marginal(1) - law.limit(1)) ** 2 / r / np.sqrt(kappa)
    found["recovery"] = np.sqrt((rest * light_w).sum() * CELL)
    return {name: float(value) for name, value in found.items()}


def apply(dataset: xr.Dataset, *, after: float, kappa: float) -> xr.Dataset:
    """Return the norms of the module docstring [grid].

    Parameters
    ----------
    dataset : of the solver ``kinetic`` with reference ``limit``
    after : records later than this count, time
    kappa : exponent of the weight in w; the theorems ask for kappa > 1/(2 a)
    """
    norms = measure(window(dataset, after), _NAMES, lambda law: _norms(law, kappa))
    return xr.Dataset(
        {
            name: largest(norms[name]).assign_attrs(long_name=f"largest {text}", units="1")
            for name, text in _NAMES.items()
        }
    )


def exact() -> list[Any]:
    """Return a law that differs from its limit in one coefficient."""
    r, kappa, amplitude = 0.5, 1.0, 0.3

    def law(eps: float) -> np.ndarray:
        found = np.eye(6)[:, :1] @ np.eye(4)[:1]
        found[3, 0] = amplitude * eps**0.5
        return found

    eps = 0.04
    dataset = synthetic([eps, 0.01], law)
    # int (phi(y)/r)^2 sqrt(2 pi/kappa) e^{kappa r^2 y^2/2} r dy, and of its derivative.
    rate = 2.0 - kappa * r**2
    zero = np.sqrt(2 * np.pi / kappa) / (2 * np.pi * r) * np.sqrt(2 * np.pi / rate)
    one = zero / (rate * r**2)
    size = amplitude * eps**0.5
    # The light weights leave normal laws of precision a in u and b in y; 6 h_3^2 = (u^3 - 3 u)^2.
    a, b = 2.0 - eps / 4.0, 2.0 - kappa * r**2 / 4.0
    light = (15.0 / a**3 - 18.0 / a**2 + 9.0 / a) / 6.0 / (2.0 * np.pi * np.sqrt(a * b))
    light = size * np.sqrt(light / (np.sqrt(eps * kappa) * r))
    at = {"eps": eps}
    checks = [
        ("law_0", at, light, 1e-9),
        ("slope_0", at, light * np.sqrt(1.0 + 1.0 / (b * r**2)), 1e-9),
        ("perp_0", at, size * np.sqrt(zero), 1e-9),
        ("perp_1", at, size * np.sqrt(zero + one), 1e-9),
        ("memory", at, 0.0, 1e-12),
        ("recovery", at, 0.0, 1e-12),
    ]
    return [(dataset, {"after": 0.0, "kappa": kappa}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return NEEDS


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return tuple(_NAMES)


STATISTIC = Statistic(
    summary="Weighted L2 norms of the mean-field law minus its limit.",
    source="Blaustein 2022, sections 4.1, 4.2, Theorems 4.1 and 4.2",
    options=(
        AFTER,
        Param("kappa", 1.0, doc="exponent of the weight in w", positive=True),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
