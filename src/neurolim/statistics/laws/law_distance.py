r"""How far the mean-field law is from its limit: L1, entropies, Wasserstein distances.

With mu the law, M the limit profile of v (width theta) and mubar the marginal of w,

    l1_law       = int sup_x || mu - M(v - V_limit) x mubar_limit ||_L1 dt        (Theorem 3.3)
    l1_centred   = the same with both laws centred at the means of mu             (Theorem 3.2)
    l1_voltage   = int sup_x || marginal of v - M || dt, centred;   l1_recovery: marginal of w, not
    entropy      = int sup_x H[ mu | M(v - V) x mubar ] dt                        (Proposition 3.6)
    fisher       = int sup_x I[ mu | M(v - V) x mubar ] dt,  derivative in u = (v - V)/theta
    entropy_half = int sup_x H_{1/2}[ mu | limit law ] dt                         (eq. (2.8))
    w1_voltage, w1_recovery = sup W_1 of the marginals to those of the limit
    w2_dirac     = sup W_2( mu, delta_V x mubar_limit ); its square is the second moment of
                   v - V_limit plus that of the marginals of w, as the first part is the same for
                   every coupling

Integrals run over records later than ``after`` by trapezoids; suprema over those records and sites.
Entropies are summed as mu ln(mu/nu) - mu + nu, which has no cancellation; a density below zero
(cut series) counts as zero.

Source: Blaustein 2022, sections 2.2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import erf
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Statistic
from neurolim.numerics import hermite
from neurolim.statistics.parts.common import AFTER, window
from neurolim.statistics.parts.law import (
    CELL,
    GRID,
    NEEDS,
    Law,
    integral,
    largest,
    measure,
    synthetic,
)

_INTEGRATED = {
    "l1_law": "L1 distance to the limit law",
    "l1_centred": "L1 distance to the limit law, both centred",
    "l1_voltage": "L1 distance of the marginal of v to the profile, centred",
    "l1_recovery": "L1 distance of the marginal of w to its limit",
    "entropy": "relative entropy to local equilibrium",
    "fisher": "relative Fisher information in v to local equilibrium",
    "entropy_half": "modified entropy H_1/2 relative to the limit law",
}
_LARGEST = {
    "w1_voltage": "W1 distance of the marginals of v",
    "w1_recovery": "W1 distance of the marginals of w",
    "w2_dirac": "W2 distance to the Dirac mass in v",
}


def _distances(law: Law) -> dict[str, float]:
    """Return all distances of one law."""
    mu = law.density
    limit = law.limit(0)[:, None] * law.limit(1)
    centred = law.limit(0, centred=True)[:, None] * law.limit(1, centred=True)
    profile, memory = law.limit(0, centred=True), law.marginal(1)
    equilibrium = profile[:, None] * np.maximum(memory, 0.0)
    found = {
        "l1_law": np.abs(mu - limit).sum() * CELL**2,
        "l1_centred": np.abs(mu - centred).sum() * CELL**2,
        "l1_voltage": np.abs(law.marginal(0) - profile).sum() * CELL,
        "l1_recovery": np.abs(memory - law.limit(1)).sum() * CELL,
        "entropy": _entropy(mu, equilibrium),
        "fisher": _fisher(law),
        "entropy_half": _entropy(mu, 0.5 * (np.maximum(mu, 0.0) + limit)),
    }
    for name, place in (("w1_voltage", 0), ("w1_recovery", 1)):
        rest = np.cumsum(law.marginal(place) - law.limit(place)) * CELL
        found[name] = np.abs(rest).sum() * CELL * law.frame[place]
    second = law.frame[0] ** 2 * (law.marginal(0) * GRID**2).sum() * CELL
    shift = law.mean[0] - law.limit_mean[0]
    found["w2_dirac"] = np.sqrt(second + shift**2 + _w2_squared(law))
    return {name: float(value) for name, value in found.items()}


def _entropy(mu: np.ndarray, nu: np.ndarray) -> float:
    """Return the integral of mu ln(mu/nu) - mu + nu on the grid of u and y."""
    keep = nu > 0.0
    rise = np.maximum(mu[keep], 0.0) / nu[keep] - 1.0
    # (1 + x) log(1 + x) - x, and its limit 1 at x = -1.
    inside = (1.0 + rise) * np.log1p(np.maximum(rise, -1.0 + 1e-16)) - rise
    return float((nu[keep] * np.where(rise > -1.0, inside, 1.0)).sum() * CELL**2)


def _fisher(law: Law) -> float:
    """Return int |d_u ln(mu/(M mubar))|^2 mu du dy: the marginal of w and phi drop out."""
    raised = np.sqrt(np.arange(1.0, len(law.coefficients)))[:, None] * law.coefficients[1:]
    slope = hermite.values(GRID, len(raised)) @ raised @ hermite.values(GRID, raised.shape[1]).T
    weight = law.normal[:, None] * law.normal
    keep = law.factor > 1e-3
    return float((weight[keep] * slope[keep] ** 2 / law.factor[keep]).sum() * CELL**2)


def _w2_squared(law: Law) -> float:
    """Return W_2^2 of the marginals of w by quantiles."""
    levels = (np.arange(400) + 0.5) / 400
    edges = GRID + 0.5 * CELL
    places = []
    for density in (law.marginal(1), law.limit(1)):
        cumulated = np.maximum.accumulate(np.cumsum(np.maximum(density, 0.0)) * CELL)
        places.append(np.interp(levels, cumulated / cumulated[-1], edges))
    return float(law.frame[1] ** 2 * np.mean((places[0] - places[1]) ** 2))


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return the quantities of the module docstring [grid].

    Parameters
    ----------
    dataset : of the solver ``kinetic`` with reference ``limit``
    after : records later than this count, time
    """
    distances = measure(window(dataset, after), gives({}, ()), _distances)
    found = {
        name: integral(distances[name]).assign_attrs(
            long_name=f"{text}, integrated over time", units="time"
        )
        for name, text in _INTEGRATED.items()
    }
    for name, text in _LARGEST.items():
        found[name] = largest(distances[name]).assign_attrs(
            long_name=f"largest {text}", units="state"
        )
    return xr.Dataset(found)


def exact() -> list[Any]:
    """Return a displaced normal law, and one that differs by a single Hermite mode."""

    def plain(eps: float) -> np.ndarray:
        return np.eye(6)[:, :1] @ np.eye(4)[:1]

    eps, shift = 0.04, 3.0
    displaced = synthetic([eps, 0.01], plain, shift)
    offset = shift * eps / np.sqrt(eps)
    # L1 distance of two unit normals at this offset; kinks cost CELL^2.
    total = 2.0 * erf(offset / 8.0**0.5)

    def bent(eps: float) -> np.ndarray:
        found = plain(eps)
        found[1, 1] = 0.1 * np.sqrt(eps)
        return found

    mode = synthetic([eps, 0.01], bent)
    amplitude = 0.1 * eps**0.5
    at, record = {"eps": eps}, 0.5  # records after 0 are 0.5 apart: integrals over a length 0.5
    return [
        (
            displaced,
            {"after": 0.0},
            [
                ("l1_law", at, record * total, 2e-3 * total),
                ("l1_centred", at, 0.0, 1e-12),
                ("entropy", at, 0.0, 1e-12),
                ("w1_voltage", at, shift * eps, 1e-9),
                ("w2_dirac", at, np.sqrt(eps + (shift * eps) ** 2), 1e-9),
                ("w1_recovery", at, 0.0, 1e-12),
            ],
        ),
        (
            mode,
            {"after": 0.0},
            [
                # <|u|> <|y|> = 2/pi; entropy = chi^2/2 up to the fourth power of the amplitude.
                ("l1_law", at, record * amplitude * 2 / np.pi, 2e-3 * amplitude),
                ("entropy", at, record * amplitude**2 / 2, 10 * amplitude**4),
                ("fisher", at, record * amplitude**2, 10 * amplitude**4),
                ("entropy_half", at, record * amplitude**2 / 8, 10 * amplitude**4),
                ("l1_voltage", at, 0.0, 1e-12),
            ],
        ),
    ]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return NEEDS


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return (*_INTEGRATED, *_LARGEST)


STATISTIC = Statistic(
    summary="Distances of the mean-field law to its limit: L1, entropies, Wasserstein.",
    source="Blaustein 2022, sections 2.2 and 3",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
