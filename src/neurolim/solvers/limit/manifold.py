r"""The slow dynamics on the balance manifold: what is left of a network when gamma is infinite.

Voltages sit where the strong synapses cancel, the other variables follow their drift there,

    F(v*, rest) = 0,        rest' = drift(v*(rest), rest),

with F of ``parts.balance``.  The run begins at the point onto which the initial voltages fall while
the rest stands still, and follows that branch of balance points by Newton's method.  With
instantaneous synapses v* is constant and recovery relaxes to b v*/a; with dynamic synapses v*
moves with the open synapses.

Source: Quininao & Touboul 2025, abstract (the law stays on the manifold); docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.solvers.parts.balance import Network, layer_end
from neurolim.solvers.parts.synapses import BALANCING, check_synapses
from neurolim.solvers.parts.times import TIME_OPTIONS, record_times, state_coords

OPTIONS = (
    *TIME_OPTIONS,
    Param("rtol", 1e-9, doc="relative tolerance of the integrator", low=1e-12, high=1e-2),
)
_NEWTON = 30


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the trajectory on the manifold."""
    dims = ("time", "site", "variable")
    return (Var("state_mean", "state", "point of the balance manifold", dims),)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site and variable."""
    axes = state_coords(model, params, options)
    del axes["variable_b"]
    return axes


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return some hundred steps of Newton's method."""
    return Cost(0.3, 1e6)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse networks without synapses to balance.

    Raises
    ------
    StudyError : see ``check_synapses``
    """
    check_synapses(model, params)


def balanced_voltage(network: Network, x: np.ndarray) -> np.ndarray:
    """Return x [P, d] with its voltages moved to the balance point nearby; NaN if there is none.

    Parameters
    ----------
    network : the network
    x : states [P, d]; the other variables stay
    """
    x = x.copy()
    fast = np.arange(network.count) * network.d
    for _ in range(_NEWTON):
        force = network.flow(x)[:, 0]
        slope = network.slope(x)[np.ix_(fast, fast)]
        change = np.linalg.solve(slope, force)
        x[:, 0] -= change
        if np.abs(change).max() < 1e-12:
            return x
    return np.full_like(x, np.nan)


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Integrate the slow variables along a branch of balance points.

    Returns
    -------
    mean [1, time, site, variable].  Status NOT_CONVERGED where the initial state falls onto no
    point or the branch ends (a fold: the network would jump).
    """
    sites = model.sites(params)
    network = Network(model, sites)
    origin = tuple(0.0 for _ in model.state)
    start = np.array([model.equations.initial(origin, p) for p in sites.params])
    times = np.array(record_times(options))
    mean = np.full((1, times.size, network.count, network.d), np.nan)
    failed = Solution({"state_mean": mean}, np.array([Status.NOT_CONVERGED], np.int8))
    # Newton's method starts from the voltages found last.
    state = layer_end(network, start)
    if np.abs(network.flow(state)[:, 0] / network.rates(state)[0]).max() > 1e-3:
        return failed

    def slope(t: float, rest: np.ndarray) -> np.ndarray:
        state[:, 1:] = rest.reshape(network.count, -1)
        state[:, 0] = balanced_voltage(network, state)[:, 0]
        return network.flow(state)[:, 1:].ravel()

    try:
        path = solve_ivp(
            slope,
            (0.0, float(times[-1])),
            start[:, 1:].ravel(),
            t_eval=times,
            rtol=options["rtol"],
            atol=1e-3 * options["rtol"],
        )
        if not path.success or not np.isfinite(path.y).all():
            return failed
        state = layer_end(network, start)
        for t, rest in enumerate(path.y.T):
            state[:, 1:] = rest.reshape(network.count, -1)
            state = balanced_voltage(network, state)
            mean[0, t] = state
    except np.linalg.LinAlgError:
        mean[:] = np.nan
        return failed
    if not np.isfinite(mean).all():
        mean[:] = np.nan
        return failed
    return Solution({"state_mean": mean}, np.array([Status.OK], np.int8))


SOLVER = Solver(
    summary="The slow dynamics of recovery and synapses on the balance manifold.",
    source="Quininao & Touboul 2025, abstract; docs/balance.md",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    needs=BALANCING,
)
