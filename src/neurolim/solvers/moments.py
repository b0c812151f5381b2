r"""The exact law of a linear network of n neurons: mean and covariances in closed form.

With x_i = M + y_i, M the mean of the site, the two parts of a linear network are independent
Ornstein-Uhlenbeck processes,

    dM = (B M + k) dt + Sigma dWbar,                B = slope of the site mean,  Wbar ~ t/n
    dy_i = L y_i dt + Sigma (dW_i - dWbar),         L = J - pull - gap,

so the expected covariance about the site mean is (1 - 1/n) S(t), S' = L S + S L^T + Sigma^2, and
the site mean has covariance C(t), C' = B C + C B^T + Sigma^2/n.  Both are solved with the
stationary solution S*:  S(t) = S* + e^{Lt} (S(0) - S*) e^{L^T t}.  No step is involved.

Source: docs/science.md, section on the linear network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.linalg import expm, solve_continuous_lyapunov

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, StudyError, Var
from neurolim.solvers._times import TIME_OPTIONS, record_times, state_coords

OPTIONS = (
    Param("n_neurons", 1000, doc="neurons of the network", kind="integer", low=2, high=2**30),
    *TIME_OPTIONS,
)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the mean, the expected covariance, and the covariance of the site mean."""
    square = ("time", "site", "variable", "variable_b")
    return (
        Var("mean", "state", "expected mean of the site", ("time", "site", "variable")),
        Var("covariance", "state^2", "expected covariance about the mean of the site", square),
        Var("mean_covariance", "state^2", "covariance of the mean of the site", square),
    )


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return three matrix exponentials per record."""
    return Cost(0.005 + 2e-4 * options["records"], 1e6)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse models that are not linear, more than one site, and neutral directions.

    Raises
    ------
    StudyError
    """
    if not model.linear:
        raise StudyError("solver", "moments is exact for linear models only", "a linear model")
    sites = model.prepare(params)
    if len(sites.labels) != 1:
        raise StudyError("solver", f"moments needs one site, got {len(sites.labels)}", "one site")
    slope, _, fluctuation = _generators(model, sites)
    for matrix in (slope, fluctuation):
        values = np.linalg.eigvals(matrix)
        if np.min(np.abs(values[:, None] + values[None, :])) < 1e-12 * np.abs(values).max():
            raise StudyError(
                "solver",
                "the network has a neutral direction (eigenvalues that cancel)",
                "other rates",
            )


def _generators(model: Model, sites: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (B, k, L): the affine dynamics of the site mean and the slope of fluctuations."""
    (p,) = sites.params
    d = len(model.state)
    origin = np.zeros(d)

    def of_mean(mean: np.ndarray) -> np.ndarray:
        m = tuple(mean)
        c = tuple(sites.coupling[0, 0] * mean)
        pull, target, _ = (np.array(part) for part in model.relax(m, c, p))
        return np.array(model.drift(m, m, c, p)) + pull * (target - mean)

    def of_fluctuation(y: np.ndarray) -> np.ndarray:
        zero = tuple(origin)
        pull, _, gap = (np.array(part) for part in model.relax(zero, zero, p))
        change = np.array(model.drift(tuple(y), zero, zero, p))
        return change - np.array(model.drift(zero, zero, zero, p)) - (pull + gap) * y

    constant = of_mean(origin)
    return _columns(lambda x: of_mean(x) - constant, d), constant, _columns(of_fluctuation, d)


def _columns(linear: Callable[[np.ndarray], np.ndarray], d: int) -> np.ndarray:
    """Return the matrix of a linear map."""
    return np.stack([linear(unit) for unit in np.eye(d)], axis=1)


def _covariances(
    generator: np.ndarray, noise: np.ndarray, start: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Return the covariance [time, d, d] of dx = generator x dt + dW, Cov(dW) = noise dt."""
    stationary = solve_continuous_lyapunov(generator, -noise)
    powers = np.stack([expm(generator * t) for t in times])
    return stationary + powers @ (start - stationary) @ np.swapaxes(powers, 1, 2)


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
    mean [1, time, 1, variable], covariance and mean_covariance [1, time, 1, variable, variable]
    """
    sites = model.prepare(params)
    (p,) = sites.params
    d, n = len(model.state), options["n_neurons"]
    slope, constant, fluctuation = _generators(model, sites)
    times = np.array(record_times(options))
    noise = np.diag(np.array(model.noise(p)) ** 2)
    start = np.array(model.initial((0.0,) * d, p))
    width = _columns(lambda z: np.array(model.initial(tuple(z), p)) - start, d)
    initial = width @ width.T
    affine = np.zeros((d + 1, d + 1))
    affine[:d, :d], affine[:d, d] = slope, constant
    mean = np.stack([(expm(affine * t) @ np.append(start, 1.0))[:d] for t in times])
    covariance = (1.0 - 1.0 / n) * _covariances(fluctuation, noise, initial, times)
    mean_covariance = _covariances(slope, noise / n, initial / n, times)
    return Solution(
        {
            "mean": mean[None, :, None, :],
            "covariance": covariance[None, :, None],
            "mean_covariance": mean_covariance[None, :, None],
        },
        np.array([Status.OK], np.int8),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site and both variable coordinates."""
    return state_coords(model, params, options)


SOLVER = Solver(
    summary="Exact mean and covariances of a linear network of n neurons.",
    source="docs/science.md, section on the linear network",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
)
