r"""The Gaussian closure of the mean-field equation: five equations per site, a cheap reference.

With v, w replaced by a normal law of the same mean (V, W) and covariance (S, C, D),

    V' = <f> + e W,                        W' = b V + q W + c,
    S' = 2 (<f'> - gap) S + 2 e C + sigma^2,
    C' = (<f'> - gap + q) C + e D + b S,
    D' = 2 q D + 2 b C + sigma_w^2,

as <(v - V) f> = S <f'> for normal v; for a cubic f, <f> = f(V) + f'' S/2, <f'> = f'(V) + f''' S/2.
Exact for linear f; otherwise its means are wrong by O(eps^2), those of the limit by O(eps).

Source: docs/mean-field.md; second moments of Quininao & Touboul 2020, sec. 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.numerics import hermite
from neurolim.solvers._gap_network import GapNetwork, read_network
from neurolim.solvers._times import LAYER_OPTIONS, record_times, state_coords

OPTIONS = (
    *LAYER_OPTIONS,
    Param("rtol", 1e-9, doc="relative tolerance", low=1e-13, high=1e-2),
    Param("atol", 1e-12, doc="absolute tolerance", positive=True, high=1e-2),
)
#: Gauss rule exact for polynomial drifts up to degree 7 times v - V.
_NODES, _WEIGHTS = hermite.nodes(6)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return mean and covariance."""
    dims = ("time", "site", "variable")
    return (
        Var("mean", "state", "mean of the site", dims),
        Var("covariance", "state^2", "covariance of the site", (*dims, "variable_b")),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site and both variable coordinates."""
    return state_coords(model, params, options)


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return some thousand evaluations of the drift at a time."""
    return Cost(0.1 + 0.005 * len(model.sites(params).labels), 1e7)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse networks of another form than the module equation, and laws without width.

    Raises
    ------
    StudyError
    """
    read_network(model, params)
    record_times(options)


def closure_slope(network: GapNetwork) -> Callable[[float, np.ndarray], np.ndarray]:
    """Return the right-hand side of the closure.

    Parameters
    ----------
    network : the network

    Returns
    -------
    (t, state) -> rate, both flat: (V, W) per site, then all S, all C, all D
    """
    sites = len(network.gap)

    def slope(t: float, flat: np.ndarray) -> np.ndarray:
        mean, (s, c, d) = flat[: 2 * sites].reshape(sites, 2), flat[2 * sites :].reshape(3, sites)
        root = np.sqrt(np.maximum(s, 1e-300))[:, None]
        drift = network.drift(mean[:, :1] + root * _NODES, mean)
        steepness = (drift[0] @ (_WEIGHTS * _NODES)) / root[:, 0]
        change = np.stack([drift[0] @ _WEIGHTS, drift[1] @ _WEIGHTS], axis=1)
        covariance = [
            2.0 * (steepness - network.gap) * s + 2.0 * network.e * c + network.sigma**2,
            (steepness - network.gap + network.q) * c + network.e * d + network.b * s,
            2.0 * network.q * d + 2.0 * network.b * c + network.sigma_w**2,
        ]
        return np.concatenate([change.ravel(), *covariance])

    return slope


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Integrate the closure from the model's initial law.

    Returns
    -------
    mean [1, time, site, variable], covariance [1, time, site, variable, variable_b]; NaN and
    NOT_CONVERGED if the integrator gives up, DIVERGED if the variance leaves the positive numbers.
    """
    network = read_network(model, params)
    sites = len(network.gap)
    times = np.array(record_times(options))
    variance = network.width**2
    start = np.concatenate([network.mean.ravel(), variance[:, 0], np.zeros(sites), variance[:, 1]])
    with np.errstate(all="ignore"):
        found = solve_ivp(
            closure_slope(network),
            (0.0, float(times[-1])),
            start,
            method="LSODA",
            t_eval=times,
            rtol=options["rtol"],
            atol=options["atol"],
        )
    mean = np.full((1, len(times), sites, 2), np.nan)
    covariance = np.full((1, len(times), sites, 2, 2), np.nan)
    status = Status.OK
    if not found.success or found.y.shape[1] != len(times):
        status = Status.NOT_CONVERGED
    elif not np.isfinite(found.y).all() or found.y[2 * sites : 3 * sites].min() <= 0.0:
        status = Status.DIVERGED
    else:
        mean[0] = found.y[: 2 * sites].T.reshape(len(times), sites, 2)
        s, c, d = found.y[2 * sites :].reshape(3, sites, -1).transpose(0, 2, 1)
        covariance[0] = np.stack([np.stack([s, c], -1), np.stack([c, d], -1)], -1)
    return Solution({"mean": mean, "covariance": covariance}, np.array([status], np.int8))


SOLVER = Solver(
    summary="Gaussian closure of the mean-field equation: mean and covariance of each site.",
    source="docs/mean-field.md",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
)
