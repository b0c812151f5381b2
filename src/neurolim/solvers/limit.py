r"""The concentrated limit: every site sits at one point, with the width of the limit law beside it.

    dx_s/dt = drift(x_s, m_s, c_s) + pull (target - x_s),   m_s = (x_s, field(x_s)),  c = K m

Gap junctions do not act on a site that sits at one point, so for FitzHugh-Nagumo networks this is
the plain FitzHugh-Nagumo equation, whatever eps.  The width of the law about that point is given
to leading order, variable by variable: with rate = gap + pull > 0 an Ornstein-Uhlenbeck process of
that rate (the drift's own slope is the O(eps) correction that experiments measure), otherwise the
linearised drift,

    d var/dt = noise^2 - 2 rate var     or     d var/dt = noise^2 + 2 (d drift/dx) var.

Where the model has a limit law that width is ``spread``; ``width`` is given for every variable: a
recovery variable without noise carries its normal initial law along, which is the limit of its
marginal (Blaustein 2022, eq. (1.5)).  To first order in 1/gap mean and variance differ from this by

    shift' = (d motion/dx) shift + (1/2) sum_k (d^2 drift/dx_k^2) var_k        (k with gap > 0),
    widening_k = [ d drift_k/dx_k + 2 sum_j (d drift_k/dx_j)^2 var_j / noise_k^2 ] / gap_k,

with j over variables without gap junctions: for FitzHugh-Nagumo eps (v1, w1) and
(f' + 2 Var(w)/sigma^2)/gap.

Source: Quininao & Touboul 2020, eqs (2.5), (6.4), (6.5); Blaustein 2022, eq. (1.11) (initial
layer); width of the recovery variable for any start: docs/science.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.solvers._times import LAYER_OPTIONS, record_times, state_coords

_STEP = 2.0**-17
_WIDE_STEP = 2.0**-8

OPTIONS = (
    *LAYER_OPTIONS,
    Param(
        "method",
        "LSODA",
        doc="scipy integrator",
        kind="choice",
        choices=("LSODA", "DOP853", "Radau"),
    ),
    Param("rtol", 1e-10, doc="relative tolerance", low=1e-13, high=1e-2),
    Param("atol", 1e-12, doc="absolute tolerance", positive=True, high=1e-2),
)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the trajectory, the width of the law about it, and both to the next order."""
    dims = ("time", "site", "variable")
    return (
        Var("mean", "state", "point at which the law concentrates", dims),
        Var("spread", "state", "standard deviation of the limit law about that point", dims),
        Var("width", "state", "standard deviation of the transported initial law", dims),
        Var("shift", "state", "first-order displacement of the mean by the width of the law", dims),
        Var("widening", "1", "first-order relative change of the variance", dims),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site and variable."""
    found = state_coords(model, params, options)
    del found["variable_b"]
    return found


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return a small constant per site: some thousand evaluations of the drift."""
    n_sites = len(model.sites(params).labels)
    return Cost(0.02 + 0.01 * n_sites, 1e6)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Accept every combination."""


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Integrate the limit equation and the variances along it.

    Returns
    -------
    as in ``outputs`` [1, time, site, variable]; spread is NaN where the model knows no limit law,
    widening where there are no gap junctions.
    Status NOT_CONVERGED if the integrator gives up, DIVERGED if the solution leaves the finite
    numbers.

    Notes
    -----
    Accuracy is the integrator's, ``rtol`` and ``atol`` per step.
    """
    sites = model.sites(params)
    n_sites, d = len(sites.labels), len(model.state)
    origin = tuple(0.0 for _ in range(d))
    start = np.array([model.equations.initial(origin, p) for p in sites.params], dtype=float)
    width = np.array([_initial_width(model, p, d) for p in sites.params])
    times = np.array(record_times(options))

    def fields(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = np.array(
            [
                (*row, *model.equations.field(tuple(row), p))
                for row, p in zip(x, sites.params, strict=True)
            ]
        )
        return means, sites.coupling @ means

    def motion(x: np.ndarray) -> np.ndarray:
        means, inputs = fields(x)
        change = np.empty_like(x)
        for s, p in enumerate(sites.params):
            m, c = tuple(means[s]), tuple(inputs[s])
            pull, target, _ = (np.array(part) for part in model.equations.relax(m, c, p))
            change[s] = np.array(model.equations.drift(tuple(x[s]), m, c, p)) + pull * (
                target - x[s]
            )
        return change

    def slope(t: float, flat: np.ndarray) -> np.ndarray:
        x, variance, shift = flat.reshape(3, n_sites, d)
        means, inputs = fields(x)
        widening, push = np.empty_like(variance), np.zeros_like(x)
        for s, p in enumerate(sites.params):
            m, c, here = tuple(means[s]), tuple(inputs[s]), tuple(x[s])
            pull, _, gap = (np.array(part) for part in model.equations.relax(m, c, p))
            rate = pull + gap
            for k in range(d):
                if gap[k] > 0.0:
                    push[s] += 0.5 * variance[s, k] * _curvature(model, here, m, c, p, k)
                if rate[k] == 0.0:
                    rate[k] = -_slopes(model, here, m, c, p, k)[k]
            widening[s] = np.array(model.equations.noise(p)) ** 2 - 2.0 * rate * variance[s]
        # Derivative of the motion along the shift, which may be tiny: scaled to the step.
        size = np.abs(shift).max()
        if size > 0.0:
            step = shift * (_STEP / size)
            push += (motion(x + step) - motion(x - step)) * (size / (2.0 * _STEP))
        return np.concatenate([motion(x).ravel(), widening.ravel(), push.ravel()])

    shape = (1, len(times), n_sites, d)
    arrays = {var.name: np.full(shape, np.nan) for var in outputs(model, options)}
    found = None
    # What integrators and model functions raise once numbers are no longer finite; LinAlgError is
    # a ValueError.
    with np.errstate(all="ignore"), contextlib.suppress(ArithmeticError, ValueError):
        found = solve_ivp(
            slope,
            (0.0, float(times[-1])),
            np.concatenate([start.ravel(), (width**2).ravel(), np.zeros(n_sites * d)]),
            method=options["method"],
            t_eval=times,
            rtol=options["rtol"],
            atol=options["atol"],
        )
    status = Status.OK
    if found is None:
        status = Status.DIVERGED
    elif not found.success or found.y.shape[1] != len(times):
        status = Status.NOT_CONVERGED
    elif not np.isfinite(found.y).all():
        status = Status.DIVERGED
    else:
        states = found.y.T.reshape(len(times), 3, n_sites, d)
        arrays["mean"][0], arrays["shift"][0] = states[:, 0], states[:, 2]
        arrays["width"][0] = np.sqrt(np.maximum(states[:, 1], 0.0))
        if model.equations.profile is not None:
            known = np.array([model.equations.profile(p) for p in sites.params]) > 0.0
            arrays["spread"][0] = np.where(known, arrays["width"][0], np.nan)
        for t in range(len(times)):
            means, inputs = fields(states[t, 0])
            for s, p in enumerate(sites.params):
                m, c, here = tuple(means[s]), tuple(inputs[s]), tuple(states[t, 0, s])
                arrays["widening"][0, t, s] = _widening(model, here, m, c, p, states[t, 1, s])
    return Solution(arrays, np.array([status], np.int8))


def _initial_width(model: Model, p: Any, d: int) -> np.ndarray:
    """Return the standard deviations of the initial law [d] from its map of normals."""
    width = np.empty(d)
    for k in range(d):
        up = model.equations.initial(tuple(float(j == k) for j in range(d)), p)
        down = model.equations.initial(tuple(-float(j == k) for j in range(d)), p)
        width[k] = 0.5 * (up[k] - down[k])
    return width


def _slopes(model: Model, x: tuple[float, ...], m: Any, c: Any, p: Any, k: int) -> np.ndarray:
    """Return d drift / d x_k [d] by central differences, fields held fixed."""
    up = tuple(value + _STEP * (j == k) for j, value in enumerate(x))
    down = tuple(value - _STEP * (j == k) for j, value in enumerate(x))
    difference = np.array(model.equations.drift(up, m, c, p)) - np.array(
        model.equations.drift(down, m, c, p)
    )
    return difference / (2.0 * _STEP)


def _curvature(model: Model, x: tuple[float, ...], m: Any, c: Any, p: Any, k: int) -> np.ndarray:
    """Return d^2 drift / d x_k^2 [d] by central differences, exact for cubic drifts."""
    up = tuple(value + _WIDE_STEP * (j == k) for j, value in enumerate(x))
    down = tuple(value - _WIDE_STEP * (j == k) for j, value in enumerate(x))
    bend = np.array(model.equations.drift(up, m, c, p)) + np.array(
        model.equations.drift(down, m, c, p)
    )
    return (bend - 2.0 * np.array(model.equations.drift(x, m, c, p))) / _WIDE_STEP**2


def _widening(
    model: Model, x: tuple[float, ...], m: Any, c: Any, p: Any, variance: np.ndarray
) -> np.ndarray:
    """Return the first-order relative change [d] of the variances held by gap junctions."""
    found = np.full(len(x), np.nan)
    gap, noise = np.array(model.equations.relax(m, c, p)[2]), np.array(model.equations.noise(p))
    slopes = np.stack([_slopes(model, x, m, c, p, j) for j in range(len(x))], axis=1)
    for k in range(len(x)):
        if gap[k] > 0.0 and noise[k] > 0.0:
            free = [j for j in range(len(x)) if gap[j] == 0.0]
            carried = sum(slopes[k, j] ** 2 * variance[j] for j in free)
            found[k] = (slopes[k, k] + 2.0 * carried / noise[k] ** 2) / gap[k]
    return found


SOLVER = Solver(
    summary="The concentrated limit: an ordinary differential equation per site, with the law's "
    "width.",
    source="Quininao & Touboul 2020, eqs (2.5), (6.4), (6.5); Blaustein 2022, eq. (1.11)",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
)
