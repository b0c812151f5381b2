r"""All balance points of a network, whether they attract, and what happens on and near them.

Balance point: voltages v* (and resting slow variables) at which every population's synaptic
currents cancel,

    v_p* = sum_q g_pq s_q V_q / A_p,     A_p = sum_q g_pq s_q,     s_q = S_q(v_q*).

It attracts the network in the layer of length 1/gamma iff

    M_pq = A_p delta_pq + g_pq (v_p* - V_q) S_q'(v_q*)

has its spectrum in Re > 0.  To first order in 1/gamma the stationary law has variance and mean

    Var_p = sigma_p^2 / (2 gamma A_p + 2 J_p),
    <v_p> = v_p* + shift_p,
    gamma M shift = f(v*) - w - (gamma/2) sum_q g_pq (v_p* - V_q) S_q'' Var_q,

and leaves the current -f(v*) + w uncancelled; the mean of n neurons has the variance Sigma/n,

    gamma (M Sigma + Sigma M^T) = diag(sigma^2)   (gap junctions leave the mean alone).

All are given with their gamma, in the units of the model, and come from the model's own kernels
(``parts.balance``), so they hold for every model with chemical synapses.  On the manifold the slow
variables (recovery, open synapses) move by

    rest' = drift(v*(rest), rest),

whose slopes at rest are given too.

Source: Quininao & Touboul 2025, abstract (balance manifold, attraction); formulas reconstructed in
docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.linalg import solve_continuous_lyapunov
from scipy.stats.qmc import Halton

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.solvers.parts.balance import Network, layer_end
from neurolim.solvers.parts.synapses import BALANCING, check_synapses, open_pull, reversals

OPTIONS = (
    Param("branches", 3, doc="most balance points reported", kind="integer", low=1, high=99),
    Param("starts", 9, doc="starting values of the search per population", kind="integer", low=2),
)
#: Points closer than this share of the range of reversal potentials are one point.
_SAME = 1e-6
_NEWTON = 60
#: Decay rates below this share of the fastest are zero to rounding.
_NEUTRAL = 1e-12
#: A population whose pull is below this share of what open synapses give receives nothing.
_SILENT = 1e-12
_MOST_STARTS = 1000


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the points, sorted by the first population's voltage, NaN where there are fewer."""
    point, mode = ("branch", "site"), ("branch", "mode")
    quantities = (
        Var("points", "1", "number of balance points", (), "int32"),
        Var("balance_state", "state", "balance point", ("branch", "site", "variable")),
        Var("pull", "1/time", "gamma A, rate of the pull to the balance voltage", point),
        Var("growth", "1/time", "growth rates near the point, Re of -gamma M", mode),
        Var("frequency", "1/time", "angular frequencies near the point, Im of -gamma M", mode),
        Var("attractive", "1", "1 if all growth rates are negative, 0 if not", ("branch",)),
        Var("predicted_variance", "1", "first-order variance of v", point),
        Var(
            "predicted_mean_variance",
            "1",
            "first-order variance of the mean voltage, times the number of neurons",
            point,
        ),
        Var("predicted_shift", "1", "first-order mean of v minus the balance voltage", point),
        Var("predicted_residual", "1/time", "first-order uncancelled synaptic current", point),
        Var(
            "step_multiplier",
            "1",
            "spectral radius of v -> target(v): steps >> 1/gamma of `wired` need it below 1",
            ("branch",),
        ),
        Var(
            "slow_growth",
            "1/time",
            "growth rates of the slow variables on the manifold",
            ("branch", "slow_mode"),
        ),
        Var("attained", "1", "branch reached from the initial state, -1 if none", (), "int32"),
    )
    return tuple(replace(var, gaps="branch" in var.dims) for var in quantities)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return branch, site, variable and mode coordinates."""
    labels = model.sites(params).labels
    slow = len(labels) * (len(model.state) - 1)
    return {
        "branch": Coord(tuple(float(i) for i in range(options["branches"])), "1", "balance point"),
        "site": Coord(labels, "1", "site"),
        "variable": Coord(tuple(var.name for var in model.state), "1", "state variable"),
        "mode": Coord(tuple(float(i) for i in range(len(labels))), "1", "fastest growing first"),
        "slow_mode": Coord(tuple(float(i) for i in range(slow)), "1", "fastest growing first"),
    }


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return about half a millisecond per starting point of the search for two populations."""
    count = len(model.sites(params).labels)
    starts = min(options["starts"] ** count, _MOST_STARTS)
    return Cost(0.1 + 1.2e-4 * starts * count**2, 1e6)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse networks without synapses to balance.

    Raises
    ------
    StudyError : see ``check_synapses``
    """
    check_synapses(model, params)


def find_points(network: Network, low: float, high: float, per_axis: int) -> np.ndarray:
    """Return all balance points found [count, P, d], sorted by their voltages.

    Parameters
    ----------
    network : the network
    low, high : the reversal potentials between which every balance voltage lies
    per_axis : starting values per population, even between low and high

    Notes
    -----
    Newton's method from ``starting_values``: no proof of completeness.  A point always exists, by
    Brouwer's theorem.
    """
    count, d = network.count, network.d
    span = high - low
    grid = low + span * starting_values(count, per_axis)
    points: list[np.ndarray] = []
    for start in grid:
        point = _newton(network, _at_rest(network, start), span)
        if point is None or (point[:, 0] < low - _SAME).any() or (point[:, 0] > high + _SAME).any():
            continue
        if all(np.abs(point - other).max() > _SAME * span for other in points):
            points.append(point)
    points.sort(key=lambda point: tuple(point[:, 0]))
    return np.array(points).reshape(-1, count, d)


def starting_values(count: int, per_axis: int) -> np.ndarray:
    """Return points of the unit cube [n, count]: a grid, or 1000 of Halton's where it has more.

    Parameters
    ----------
    count : dimensions
    per_axis : points of the grid per dimension
    """
    if per_axis**count > _MOST_STARTS:
        return np.asarray(Halton(count, scramble=False).random(_MOST_STARTS))
    axis = (np.arange(per_axis) + 0.5) / per_axis
    return np.stack(np.meshgrid(*[axis] * count, indexing="ij"), -1).reshape(-1, count)


def _at_rest(network: Network, voltage: np.ndarray) -> np.ndarray:
    """Return the state [P, d] with these voltages and the other variables at rest.

    One Newton step: their drift is affine in them.
    """
    x = np.zeros((network.count, network.d))
    x[:, 0] = voltage
    slow = np.flatnonzero(np.arange(x.size) % network.d)
    if slow.size:
        slope = network.slope(x)[np.ix_(slow, slow)]
        x.flat[slow] = -np.linalg.solve(slope, network.flow(x).ravel()[slow])
    return x


def _newton(network: Network, x: np.ndarray, span: float) -> np.ndarray | None:
    """Return the zero of the flow that Newton's method reaches from x, or None."""
    size = np.inf
    for _ in range(_NEWTON):
        try:
            change = np.linalg.solve(network.slope(x), network.flow(x).ravel()).reshape(x.shape)
        except np.linalg.LinAlgError:
            return None
        largest = np.abs(change[:, 0]).max()
        if not np.isfinite(largest):
            return None
        # A damped first phase keeps the search near its start.
        x = x - change * min(1.0, 0.25 * span / max(largest, 1e-300))
        if largest < 1e-10 * span and largest >= 0.5 * size:
            return x
        size = largest
    return x if size < 1e-9 * span else None


def describe_point(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return attraction, first-order law and slow dynamics at a balance point.

    Parameters
    ----------
    network : the network
    x : the balance point [P, d]

    Returns
    -------
    the outputs of this solver for one branch, by name
    """
    count, d = network.count, network.d
    whole = network.slope(x).reshape(count, d, count, d)
    fast = whole[:, 0, :, 0]
    pull, _, gap = network.rates(x)
    variance = network.noise**2 / (2.0 * (pull + gap))
    # Fields of a Gaussian law instead of a point: one half of the second derivative times variance.
    extra = network.still.copy()
    extra[:, d:] = 0.5 * network.bend(x) * variance[:, None]
    local = network.flow(x, weak=True)[:, 0] - network.flow(x)[:, 0]
    shift = np.linalg.solve(-fast, local + network.flow(x, extra=extra)[:, 0])
    modes = np.linalg.eigvals(fast)
    modes = modes[np.argsort(-modes.real, kind="stable")]
    # Without attraction the mean has no stationary law.
    wandering = np.full(count, np.nan)
    if modes.real.max() < -_NEUTRAL * np.abs(modes).max():
        wandering = np.diag(solve_continuous_lyapunov(fast, -np.diag(network.noise**2)))
    slow = np.zeros(0)
    if d > 1:
        rest = np.arange(1, d)
        of_rest = whole[:, rest][:, :, :, rest].reshape(count * (d - 1), -1)
        to_rest = whole[:, rest][:, :, :, 0].reshape(count * (d - 1), count)
        to_fast = whole[:, 0][:, :, rest].reshape(count, -1)
        slow = np.sort(np.linalg.eigvals(of_rest - to_rest @ np.linalg.solve(fast, to_fast)).real)[
            ::-1
        ]
    return {
        "balance_state": x,
        "pull": pull,
        "growth": modes.real,
        "frequency": modes.imag,
        "attractive": np.array(float(modes.real.max() < 0.0)),
        "predicted_variance": variance,
        "predicted_mean_variance": wandering,
        "predicted_shift": shift,
        "predicted_residual": -local,
        "step_multiplier": np.abs(np.linalg.eigvals(np.eye(count) + fast / pull[:, None])).max(),
        "slow_growth": slow,
    }


def _silent(network: Network, x: np.ndarray) -> bool:
    """Return whether some population receives nothing at x [P, d]: no current to balance."""
    return bool((network.rates(x)[0] <= _SILENT * open_pull(network.model, network.sites)).any())


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Return the balance points of one network.

    Returns
    -------
    arrays [1, ...] as in ``outputs``.  Status NOT_CONVERGED if no point is found, OUT_OF_DOMAIN if
    there are more than ``branches``, or if all synapses of a population are shut (A = 0).
    """
    sites = model.sites(params)
    network = Network(model, sites)
    reversal = reversals(model, sites)
    if reversal.size == 0:  # no synapse opens at any voltage that a number can hold
        reversal = np.array([-1.0, 1.0])
    low, high = float(reversal.min()), float(reversal.max())
    points = find_points(network, low, high, options["starts"])
    axes = {name: len(coord.values) for name, coord in coords(model, params, options).items()}
    arrays: dict[str, np.ndarray] = {}
    for var in outputs(model, options):
        shape = (1, *(axes[dim] for dim in var.dims))
        empty = np.nan if var.dtype == "float64" else -1
        arrays[var.name] = np.full(shape, empty, dtype=var.dtype)
    status = Status.OK
    if len(points) == 0:
        status = Status.NOT_CONVERGED
    elif len(points) > options["branches"] or _silent(network, points[0]):
        status = Status.OUT_OF_DOMAIN
    else:
        for branch, point in enumerate(points):
            for name, value in describe_point(network, point).items():
                arrays[name][0, branch] = value
        origin = tuple(0.0 for _ in model.state)
        end = layer_end(
            network, np.array([model.equations.initial(origin, p) for p in sites.params])
        )
        distance = np.abs(points[:, :, 0] - end[:, 0]).max(axis=1)
        near = int(np.argmin(distance))
        arrays["points"][0] = len(points)
        if distance[near] < 1e-3 * (high - low):
            arrays["attained"][0] = near
    return Solution(arrays, np.array([status], np.int8))


SOLVER = Solver(
    summary="All balance points with their attraction, first-order law and slow dynamics.",
    source="Quininao & Touboul 2025, abstract; formulas reconstructed in docs/balance.md",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    needs=BALANCING,
)
