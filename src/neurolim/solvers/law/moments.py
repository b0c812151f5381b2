r"""A linear network of n neurons: its mean and covariances in closed form, whatever its start.

With x_i = M + y_i, M the mean of the site, the two parts of a linear network are independent
Ornstein-Uhlenbeck processes,

    dM = (B M + k) dt + A dWbar + D dW0,      B = slope of the site mean,  Wbar ~ t/n
    dy_i = L y_i dt + A (dW_i - dWbar),       L = J - pull - gap,

W0 the noise that all neurons share, so the expected covariance about the site mean is
(1 - 1/n) S(t), S' = L S + S L^T + A A^T, and the site mean has covariance C(t),
C' = B C + C B^T + A A^T/n + D D^T.  Both are carried exactly from one record to the next,

    S(t + h) = Q + e^{Lh} S(t) e^{L^T h},      Q = int_0^h e^{Ls} A A^T e^{L^T s} ds,

which needs no stationary state, so it holds for neutral and growing directions too.

Source: docs/science.md, section on the linear network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Cost, Model, Solution, Solver, Status, Var
from neurolim.core.model import COMMON, CORRELATED, LAW
from neurolim.numerics.structure import derivatives_of
from neurolim.solvers.parts.laws import START_MOMENTS, intensity, start_moments
from neurolim.solvers.parts.mean_and_covariance import (
    NETWORK_OPTIONS,
    check_network,
    network_arrays,
    network_outputs,
)
from neurolim.solvers.parts.needs import LINEAR, NO_WALLS, derivatives
from neurolim.solvers.parts.times import state_coords

#: Terms of the series at |L| tau <= 1/4: what is left out, 2^-k/(k + 1)!, is below rounding.
_TERMS = 16


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the mean, the expected covariance, and the covariance of the site mean."""
    return network_outputs("expected mean of the site")


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return three small matrix products per record."""
    return Cost(0.005 + 2e-5 * options["records"], 1e6)


def _generators(model: Model, sites: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (B, k, L): the affine dynamics of the site mean and the slope of fluctuations.

    Slopes of a linear model are the same everywhere: they are taken at the origin.
    """
    (p,) = sites.params
    d, weight = len(model.state), float(sites.coupling[0, 0])
    x = (0.0,) * d
    m = (*x, *model.equations.field(x, p))
    c = tuple(weight * value for value in m)
    slopes = derivatives_of(model)

    def matrix(values: Any, columns: int) -> np.ndarray:
        return np.array(values, dtype=float).reshape(-1, columns)

    own = matrix(slopes.drift_x(x, m, c, p), d)
    # What the mean of the site adds, through its states and what its neurons broadcast.
    of_mean = np.concatenate([np.eye(d), matrix(slopes.field_x(x, m, c, p), d)])
    felt = matrix(slopes.drift_m(x, m, c, p), len(m)) + matrix(slopes.current_m(x, m, c, p), len(m))
    carried = slopes.drift_c(x, m, c, p), slopes.current_c(x, m, c, p)
    felt = felt + weight * sum(matrix(part, len(m)) for part in carried)
    pull, target, gap = (np.array(part, dtype=float) for part in model.equations.relax(m, c, p))
    constant = np.array(model.equations.drift(x, m, c, p), dtype=float) + pull * target
    own = own - np.diag(pull)
    return own + felt @ of_mean, constant, own - np.diag(gap)


def _step(generator: np.ndarray, noise: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """Return e^{Lh} - 1 and Q = int_0^h e^{Ls} noise e^{L^T s} ds [d, d] of L = ``generator``.

    Taylor series on h/2^k, then k doublings.  Doubling e^{Lh} itself would lose k digits (base 2)
    of a slow direction beside a stiff one; e^{Lh} - 1 keeps them.
    """
    norm = float(np.abs(generator).sum(axis=1).max())
    doublings = max(0, math.ceil(math.log2(norm) + math.log2(h) + 2.0)) if norm > 0.0 else 0
    tau = h / 2.0**doublings
    growth, covariance = np.zeros_like(generator), np.zeros_like(generator)
    power, gained = np.eye(len(generator)), noise * tau
    for k in range(1, _TERMS):
        covariance = covariance + gained
        turned = generator @ gained
        gained = (turned + turned.T) * (tau / (k + 1))
        power = generator @ power * (tau / k)
        growth = growth + power
    for _ in range(doublings):
        covariance = covariance + _carried(growth, covariance)
        growth = 2.0 * growth + growth @ growth
    return growth, covariance


def _carried(growth: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return e^{Lh} S e^{L^T h} for growth = e^{Lh} - 1."""
    whole = np.eye(len(growth)) + growth
    return whole @ covariance @ whole.T


def _covariances(
    generator: np.ndarray, noise: np.ndarray, start: np.ndarray, h: float, records: int
) -> np.ndarray:
    """Return the covariance [time, d, d] of dx = generator x dt + dW, Cov(dW) = noise dt."""
    growth, gained = _step(generator, noise, h)
    covariances = [start]
    for _ in range(records):
        covariances.append(gained + _carried(growth, covariances[-1]))
    return np.stack(covariances)


def _means(
    slope: np.ndarray, constant: np.ndarray, start: np.ndarray, h: float, records: int
) -> np.ndarray:
    """Return the solution [time, d] of m' = slope m + constant."""
    d = len(start)
    affine = np.zeros((d + 1, d + 1))
    affine[:d, :d], affine[:d, d] = slope, constant
    growth, _ = _step(affine, np.zeros_like(affine), h)
    means = [np.append(start, 1.0)]
    for _ in range(records):
        means.append(means[-1] + growth @ means[-1])
    return np.stack(means)[:, :d]


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Return the exact moments at the record times.

    Returns
    -------
    mean [1, time, 1, variable], covariance and mean_covariance [1, time, 1, variable, variable].
    Status DIVERGED, and NaN throughout, if a moment leaves the finite numbers.

    Notes
    -----
    Exact but for rounding, whatever the ratio of the rates.
    """
    sites = model.sites(params)
    (p,) = sites.params
    n = options["n_neurons"]
    slope, constant, fluctuation = _generators(model, sites)
    h, records = options["t_end"] / options["records"], options["records"]
    noise, common = intensity(model, p), intensity(model, p, common=True)
    start, initial = start_moments(model, p)
    with np.errstate(all="ignore"):
        arrays = network_arrays(
            _means(slope, constant, start, h, records),
            _covariances(fluctuation, noise, initial, h, records),
            _covariances(slope, noise / n + common, initial / n, h, records),
            n,
        )
    status = Status.OK
    if not all(np.isfinite(array).all() for array in arrays.values()):
        status = Status.DIVERGED
        arrays = {name: np.full_like(array, np.nan) for name, array in arrays.items()}
    return Solution(arrays, np.array([status], np.int8))


SOLVER = Solver(
    summary="Exact mean and covariances of a linear network of n neurons.",
    source="docs/science.md, section on the linear network",
    options=NETWORK_OPTIONS,
    outputs=outputs,
    coords=state_coords,
    cost=cost,
    solve=solve,
    check=check_network,
    stochastic=False,
    takes=frozenset({CORRELATED, COMMON, LAW}),
    needs=(derivatives(), LINEAR, NO_WALLS, START_MOMENTS),
)
