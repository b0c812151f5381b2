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
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.numerics.structure import derivatives_of
from neurolim.solvers._needs import need_derivatives
from neurolim.solvers._times import LAYER_OPTIONS, record_times, state_coords

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
    """Refuse models whose slopes are not known.

    Raises
    ------
    StudyError
    """
    need_derivatives(model, "drift", "coupling", "fields", "initial")


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
    points = _Points(model, params)
    sites, n_sites, d = points.sites, len(points.sites.labels), len(model.state)
    start, width = points.start()
    times = np.array(record_times(options))

    shape = (1, len(times), n_sites, d)
    arrays = {var.name: np.full(shape, np.nan) for var in outputs(model, options)}
    found = None
    # What integrators and model functions raise once numbers are no longer finite; LinAlgError is
    # a ValueError.
    with np.errstate(all="ignore"), contextlib.suppress(ArithmeticError, ValueError):
        found = solve_ivp(
            points.slope,
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
        for t, state in enumerate(states):
            arrays["widening"][0, t] = points.widening(times[t], state[0], state[1])
    return Solution(arrays, np.array([status], np.int8))


class _Point(NamedTuple):
    """A site at one point: its numbers, its means and inputs, rates of the couplings there [d]."""

    p: Any
    x: tuple[float, ...]
    m: tuple[float, ...]
    c: tuple[float, ...]
    pull: np.ndarray
    target: np.ndarray
    gap: np.ndarray


class _Points:
    """Sites that sit at one point each: motion, variances and first-order corrections.

    Parameters
    ----------
    model, params : the network
    """

    def __init__(self, model: Model, params: Mapping[str, Any]) -> None:
        self.model, self.sites = model, model.sites(params)
        self.d, self.slopes = len(model.state), derivatives_of(model)
        self.noise = np.array([model.equations.noise(p) for p in self.sites.params], dtype=float)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """Return centre and standard deviations of the initial law [site, d].

        The law is a map of independent normals; its width is its slope where they are zero.
        """
        d, zero = self.d, (0.0,) * len(self.model.means)
        centre = [self.model.equations.initial((0.0,) * d, p) for p in self.sites.params]
        own = [
            self.slopes.initial_z((0.0,) * d, zero, zero, p)[:: d + 1] for p in self.sites.params
        ]
        return np.array(centre, dtype=float), np.abs(np.array(own, dtype=float))

    def at(self, x: np.ndarray) -> list[_Point]:
        """Return what the sites see when they sit at x [site, d]."""
        states = [tuple(row) for row in x.tolist()]
        means = np.array(
            [
                (*row, *self.model.equations.field(row, p))
                for row, p in zip(states, self.sites.params, strict=True)
            ]
        )
        inputs = self.sites.coupling @ means
        found = []
        for p, row, m, c in zip(
            self.sites.params, states, means.tolist(), inputs.tolist(), strict=True
        ):
            m, c = tuple(m), tuple(c)
            rates = (np.array(part, dtype=float) for part in self.model.equations.relax(m, c, p))
            found.append(_Point(p, row, m, c, *rates))
        return found

    def own(self, t: float, at: _Point) -> np.ndarray:
        """Return d drift / d x [d, d] at given means."""
        found = self.slopes.drift_x(at.x, at.m, at.c, at.p, t)
        return np.array(found, dtype=float).reshape(self.d, self.d)

    def slope(self, t: float, flat: np.ndarray) -> np.ndarray:
        """Return the time derivative of points, variances and shifts, flat."""
        x, variance, shift = flat.reshape(3, -1, self.d)
        points = self.at(x)
        motion, widening, push = np.empty_like(x), np.empty_like(x), np.empty_like(x)
        moved = self.felt(points, shift)
        for s, at in enumerate(points):
            drift = self.model.equations.drift(at.x, at.m, at.c, at.p, t)
            motion[s] = np.array(drift) + at.pull * (at.target - x[s])
            own = self.own(t, at)
            rate = at.pull + at.gap
            rate = np.where(rate == 0.0, -np.diag(own), rate)
            widening[s] = self.noise[s] ** 2 - 2.0 * rate * variance[s]
            bend = self.slopes.drift_xx(at.x, at.m, at.c, at.p, t)
            bend = np.array(bend, dtype=float).reshape(self.d, self.d)
            push[s] = 0.5 * bend @ np.where(at.gap > 0.0, variance[s], 0.0)
            push[s] += own @ shift[s] - at.pull * shift[s] + self.carried(t, at, *moved[s])
        return np.concatenate([motion.ravel(), widening.ravel(), push.ravel()])

    def felt(self, points: list[_Point], shift: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return how means and inputs of every site change when points move by shift [site, d]."""
        means = []
        for at, moved in zip(points, shift, strict=True):
            sent = np.array(self.slopes.field_x(at.x, at.m, at.c, at.p), dtype=float)
            means.append(np.concatenate([moved, sent.reshape(-1, self.d) @ moved]))
        return [*zip(means, self.sites.coupling @ np.array(means), strict=True)]

    def carried(self, t: float, at: _Point, dm: np.ndarray, dc: np.ndarray) -> np.ndarray:
        """Return the change [d] of drift + pull (target - x) by changes of means and inputs."""
        found = np.zeros(self.d)
        here = (at.x, at.m, at.c, at.p, t)
        slopes = self.slopes
        for change, parts in (
            (dm, (slopes.drift_m, slopes.current_m, slopes.pull_m)),
            (dc, (slopes.drift_c, slopes.current_c, slopes.pull_c)),
        ):
            drift, current, pull = (
                np.array(part(*here), dtype=float).reshape(self.d, -1) @ change for part in parts
            )
            found += drift + current - pull * np.array(at.x)
        return found

    def widening(self, t: float, x: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the first-order relative change [site, d] of the variances held by gaps."""
        found = np.full_like(x, np.nan)
        for s, at in enumerate(self.at(x)):
            own, free = self.own(t, at), at.gap == 0.0
            carried = own[:, free] ** 2 @ variance[s, free]
            for k in np.flatnonzero((at.gap > 0.0) & (self.noise[s] > 0.0)):
                spread = 2.0 * carried[k] / self.noise[s, k] ** 2
                found[s, k] = (own[k, k] + spread) / at.gap[k]
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
