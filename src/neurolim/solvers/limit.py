r"""The concentrated limit: every site sits at one point, with the width of the limit law beside it.

    dx_s/dt = drift(x_s, m_s, c_s) + pull (target - x_s),   m_s = (x_s, field(x_s)),  c = K m

Gap junctions do not act on a site that sits at one point, so for FitzHugh-Nagumo networks this is
the plain FitzHugh-Nagumo equation, whatever eps.  The width of the law about that point is given
to leading order, variable by variable: with rate = gap + pull > 0 an Ornstein-Uhlenbeck process of
that rate (the drift's own slope is the O(eps) correction that experiments measure), otherwise the
linearised drift,

    d var/dt = noise^2 - 2 rate var     or     d var/dt = noise^2 + 2 (d drift/dx) var.

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
from neurolim.solvers._times import TIME_OPTIONS, record_times, state_coords

_STEP = 2.0**-17

OPTIONS = (
    *TIME_OPTIONS,
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
    """Return the trajectory and the width of the law about it."""
    dims = ("time", "site", "variable")
    return (
        Var("mean", "state", "point at which the law concentrates", dims),
        Var("spread", "state", "standard deviation of the limit law about that point", dims),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site and variable."""
    found = state_coords(model, params, options)
    del found["variable_b"]
    return found


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return a small constant per site: some thousand evaluations of the drift."""
    n_sites = len(model.prepare(params).labels)
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
    mean, spread [1, time, site, variable]; spread is NaN where the model knows no limit law.
    Status NOT_CONVERGED if the integrator gives up, DIVERGED if the solution leaves the finite
    numbers.

    Notes
    -----
    Accuracy is the integrator's, ``rtol`` and ``atol`` per step.
    """
    sites = model.prepare(params)
    n_sites, d = len(sites.labels), len(model.state)
    origin = tuple(0.0 for _ in range(d))
    start = np.array([model.initial(origin, p) for p in sites.params], dtype=float)
    width = np.array([_initial_width(model, p, d) for p in sites.params])
    times = np.array(record_times(options))

    def slope(t: float, flat: np.ndarray) -> np.ndarray:
        x = flat[: n_sites * d].reshape(n_sites, d)
        variance = flat[n_sites * d :].reshape(n_sites, d)
        means = np.array(
            [(*row, *model.field(tuple(row), p)) for row, p in zip(x, sites.params, strict=True)]
        )
        inputs = sites.coupling @ means
        change, widening = np.empty_like(x), np.empty_like(variance)
        for s, p in enumerate(sites.params):
            m, c, here = tuple(means[s]), tuple(inputs[s]), tuple(x[s])
            pull, target, gap = (np.array(part) for part in model.relax(m, c, p))
            change[s] = np.array(model.drift(here, m, c, p)) + pull * (target - x[s])
            rate = pull + gap
            for k in range(d):
                if rate[k] == 0.0:
                    rate[k] = -_own_slope(model, here, m, c, p, k)
            widening[s] = np.array(model.noise(p)) ** 2 - 2.0 * rate * variance[s]
        return np.concatenate([change.ravel(), widening.ravel()])

    shape = (1, len(times), n_sites, d)
    mean, spread = np.full(shape, np.nan), np.full(shape, np.nan)
    found = None
    # What integrators and model functions raise once numbers are no longer finite; LinAlgError is
    # a ValueError.
    with np.errstate(all="ignore"), contextlib.suppress(ArithmeticError, ValueError):
        found = solve_ivp(
            slope,
            (0.0, float(times[-1])),
            np.concatenate([start.ravel(), (width**2).ravel()]),
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
        mean[0] = found.y[: n_sites * d].T.reshape(shape[1:])
        variances = found.y[n_sites * d :].T.reshape(shape[1:])
        if model.spread is not None:
            known = np.array([model.spread(p) for p in sites.params]) > 0.0
            spread[0] = np.where(known, np.sqrt(np.maximum(variances, 0.0)), np.nan)
    return Solution({"mean": mean, "spread": spread}, np.array([status], np.int8))


def _initial_width(model: Model, p: Any, d: int) -> np.ndarray:
    """Return the standard deviations of the initial law [d] from its map of normals."""
    width = np.empty(d)
    for k in range(d):
        up = model.initial(tuple(float(j == k) for j in range(d)), p)
        down = model.initial(tuple(-float(j == k) for j in range(d)), p)
        width[k] = 0.5 * (up[k] - down[k])
    return width


def _own_slope(model: Model, x: tuple[float, ...], m: Any, c: Any, p: Any, k: int) -> float:
    """Return d drift_k / d x_k by central differences."""
    up = tuple(value + _STEP * (j == k) for j, value in enumerate(x))
    down = tuple(value - _STEP * (j == k) for j, value in enumerate(x))
    difference = model.drift(up, m, c, p)[k] - model.drift(down, m, c, p)[k]
    return float(difference / (2.0 * _STEP))


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
