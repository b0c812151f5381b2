r"""The Hopf-Cole potential of P populations in one dimension over time.

In the frame of ``moving_grid``, v = c + y, the law is written as

    f = (2 pi theta^2)^{-1/2} exp( -y^2/(2 theta^2) + q(t, y) ),

so that (1/gamma) log f is the parabola of the strong synapses plus q/gamma.  With l = pull + gap
the correction, which stays of order one, obeys

    d_t q + b d_y q = (sigma^2/2) d_yy q - drift' + (drift - <drift>) y/theta^2,
    b = (sigma^2/theta^2 - l) y + drift - <drift> - (sigma^2/2) d_y q,

drift at c + y.  Transport goes outward at both ends of a window in y, so it needs no boundary
values; it is upwind to second order, diffusion is central.  No logarithm of a density is taken:
the window may reach where f is e^{-gamma}.  Means are Gauss-Hermite sums with q at c + theta u.
(q, c, log theta^2) is one stiff ordinary equation, solved by backward differentiation.

Source: Quininao & Touboul 2025, abstract (Hopf-Cole approach); Blaustein & Bouin 2023, eq. (3.2),
for the equation of the correction; docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.solvers.parts.compiled import COMPILED
from neurolim.solvers.parts.mean_field import MeanField, check_one_dimension
from neurolim.solvers.parts.needs import GAUSSIAN_START, NO_WALLS, derivatives
from neurolim.solvers.parts.times import TIME_OPTIONS, record_times, state_coords

OPTIONS = (
    *TIME_OPTIONS,
    Param("window", 1.0, doc="half width of the window in y", positive=True),
    Param("window_nodes", 81, doc="nodes of the window", kind="integer", low=11, high=2001),
    Param(
        "nodes",
        601,
        doc="nodes at which the density is given",
        kind="integer",
        low=11,
        high=100_000,
    ),
    Param("rtol", 1e-8, doc="relative tolerance of the integrator", low=1e-12, high=1e-2),
)
_PLACES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_WEIGHTS = _WEIGHTS / np.sqrt(2.0 * np.pi)
_REACH = 6.0


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return moments over time, density and log density at the end."""
    site = ("time", "site")
    return (
        Var("state_mean", "state", "mean of the site", (*site, "variable")),
        Var("covariance", "state^2", "covariance of the site", (*site, "variable", "variable_b")),
        Var("voltage_nodes", "1", "voltage of the nodes at the end", ("site", "node")),
        Var("density", "1", "density of v at the nodes at the end", ("site", "node")),
        Var("window_voltage", "1", "voltages of the window at the end", ("site", "window_node")),
        Var("log_density", "1", "log density of v on the window", ("site", "window_node")),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variable, node and window coordinates."""
    scaled = np.linspace(-_REACH, _REACH, options["nodes"])
    window = np.linspace(-options["window"], options["window"], options["window_nodes"])
    return state_coords(model, params, options) | {
        "node": Coord(tuple(map(float, scaled)), "theta", "(v - centre)/theta"),
        "window_node": Coord(tuple(map(float, window)), "1", "voltage minus that of the centre"),
    }


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return some tens of factorisations of a full matrix and some thousand evaluations."""
    size = len(model.sites(params).labels) * (options["window_nodes"] + 2)
    return Cost(0.5 + 2e-8 * size**3 + 5e-3 * size, 50.0 * size**2 + 1e6)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse networks in more dimensions or without noise.

    Raises
    ------
    StudyError : see ``check_one_dimension``
    """
    check_one_dimension(model, params)


class _Potential:
    """The ordinary equation of (q, c, log theta^2) of all populations."""

    def __init__(self, field: MeanField, options: Mapping[str, Any]) -> None:
        self.field = field
        self.y = np.linspace(-options["window"], options["window"], options["window_nodes"])
        self.dy = float(self.y[1] - self.y[0])

    def unpack(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return q [P, N], c [P] and theta^2 [P]."""
        count, size = self.field.count, self.y.size
        q = state[: count * size].reshape(count, size)
        return q, state[count * size : -count], np.exp(state[-count:])

    def start(self) -> np.ndarray:
        """Return the initial law: Gaussians, q = 0."""
        zero = np.zeros(self.field.count * self.y.size)
        return np.concatenate([zero, self.field.start[:, 0], self.field.log_start_square()])

    def law(self, q: np.ndarray, theta: float) -> tuple[np.ndarray, np.ndarray]:
        """Return places y [K] and weights [K], of sum one, that average over a law."""
        places = np.clip(theta * _PLACES, self.y[0], self.y[-1])
        weights = _WEIGHTS * np.exp(CubicSpline(self.y, q)(places))
        return theta * _PLACES, weights / weights.sum()

    def means(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean fields [P, d + n_fields] and mean drifts [P]."""
        field = self.field
        q, c, square = self.unpack(state)
        values = field.means(c, np.zeros((field.count, field.network.n_fields)))
        drifts = np.empty(field.count)
        for s in range(field.count):
            places, weights = self.law(q[s], float(np.sqrt(square[s])))
            drift, sent = field.local(s, c[s] + places, values)
            values[s, field.d :] = weights @ sent
            drifts[s] = weights @ drift
        return values, drifts

    def slope(self, t: float, state: np.ndarray) -> np.ndarray:
        """Return the time derivative of (q, c, log theta^2)."""
        field, y, dy = self.field, self.y, self.dy
        q, c, square = self.unpack(state)
        means, drifts = self.means(state)
        change, moved, widened = np.empty_like(q), np.empty_like(c), np.empty_like(c)
        ends = np.array([y[0] - dy, *y, y[-1] + dy])
        for s, (pull, target, gap) in enumerate(field.synapses(means)):
            variance, rate = field.noise[s] ** 2, pull + gap
            drift, _ = field.local(s, c[s] + ends, means)
            steep = (drift[2:] - drift[:-2]) / (2.0 * dy)
            away = drift[1:-1] - drifts[s]
            central = np.gradient(q[s], dy, edge_order=2)
            curved = np.empty_like(y)
            curved[1:-1] = np.diff(q[s], 2) / dy**2
            curved[0], curved[-1] = curved[1], curved[-2]
            speed = (variance / square[s] - rate) * y + away - 0.5 * variance * central
            change[s] = (
                0.5 * variance * curved
                - steep
                + away * y / square[s]
                - speed * _upwind(q[s], dy, speed, central)
            )
            moved[s] = drifts[s] + pull * (target - c[s])
            widened[s] = variance / square[s] - 2.0 * rate
        return np.concatenate([change.ravel(), moved, widened])


def _upwind(q: np.ndarray, dy: float, speed: np.ndarray, central: np.ndarray) -> np.ndarray:
    """Return d_y q from the side the transport comes from, to second order."""
    left, right = central.copy(), central.copy()
    left[2:] = (3.0 * q[2:] - 4.0 * q[1:-1] + q[:-2]) / (2.0 * dy)
    right[:-2] = (-3.0 * q[:-2] + 4.0 * q[1:-1] - q[2:]) / (2.0 * dy)
    return np.where(speed > 0.0, left, right)


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Integrate the potential from a Gaussian law.

    Returns
    -------
    arrays [1, ...] as in ``outputs``.  Status NOT_CONVERGED if the integrator gives up.

    Notes
    -----
    Second order in the spacing of the window.  Needs laws well inside the window: widths theta of
    more than a sixth of it are refused as OUT_OF_DOMAIN.
    """
    field = MeanField(model, params)
    equation = _Potential(field, options)
    times = np.array(record_times(options))
    sizes = {name: len(coord.values) for name, coord in coords(model, params, options).items()}
    arrays = {
        var.name: np.full((1, *(sizes[dim] for dim in var.dims)), np.nan)
        for var in outputs(model, options)
    }
    if field.start_width.max() > options["window"] / _REACH:
        return Solution(arrays, np.array([Status.OUT_OF_DOMAIN], np.int8))
    with np.errstate(all="ignore"):
        try:
            path = solve_ivp(
                equation.slope,
                (0.0, float(times[-1])),
                equation.start(),
                method="BDF",
                t_eval=times,
                rtol=options["rtol"],
                atol=1e-2 * options["rtol"],
            )
        except ValueError:  # the spline refuses numbers that are not finite
            return Solution(arrays, np.array([Status.DIVERGED], np.int8))
    if not path.success or path.y.shape[1] != times.size or not np.isfinite(path.y).all():
        return Solution(arrays, np.array([Status.NOT_CONVERGED], np.int8))
    arrays["covariance"][0] = 0.0
    for t, state in enumerate(path.y.T):
        q, c, square = equation.unpack(state)
        arrays["state_mean"][0, t] = field.means(
            c, np.zeros((field.count, field.network.n_fields))
        )[:, : field.d]
        for s in range(field.count):
            places, weights = equation.law(q[s], float(np.sqrt(square[s])))
            first = float(weights @ places)
            arrays["state_mean"][0, t, s, 0] = c[s] + first
            arrays["covariance"][0, t, s, 0, 0] = float(weights @ (places - first) ** 2)
    scaled = np.linspace(-_REACH, _REACH, options["nodes"])
    for s in range(field.count):
        theta = np.sqrt(square[s])
        if theta > options["window"] / _REACH:
            for array in arrays.values():
                array[:] = np.nan
            return Solution(arrays, np.array([Status.OUT_OF_DOMAIN], np.int8))
        peak = -0.5 * np.log(2.0 * np.pi * square[s])
        at_nodes = CubicSpline(equation.y, q[s])(theta * scaled)
        arrays["voltage_nodes"][0, s] = c[s] + theta * scaled
        arrays["density"][0, s] = np.exp(peak - 0.5 * scaled**2 + at_nodes)
        arrays["window_voltage"][0, s] = c[s] + equation.y
        arrays["log_density"][0, s] = peak - 0.5 * equation.y**2 / square[s] + q[s]
    return Solution(arrays, np.array([Status.OK], np.int8))


SOLVER = Solver(
    summary="Hopf-Cole potential of P populations in one dimension over time.",
    source="Quininao & Touboul 2025, abstract; Blaustein & Bouin 2023, eq. (3.2)",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    needs=(derivatives(), NO_WALLS, GAUSSIAN_START, COMPILED),
)
