r"""The concentrated limit: every site sits at one point, with the width of the limit law beside it.

    dx_s/dt = drift(x_s, m_s, c_s) + pull (target - x_s),   m_s = (x_s, field(x_s)),  c = K m

Gap junctions do not act on a site that sits at one point, so for FitzHugh-Nagumo networks this is
the plain FitzHugh-Nagumo equation, whatever eps.  It holds where the law concentrates
(``parts.concentration``): what nothing strong holds has no width, or enters drifts and fields
affinely.  The width of the law about that point is given to leading order: for what is held, of
rate = gap + pull > 0, an Ornstein-Uhlenbeck process of that rate (the drift's own slope is the
O(eps) correction that experiments measure), for the rest the linearised drift; with G = -rate on
the diagonal of what is held and d drift/dx in the columns of the rest, covariances C that matter
obey

    dC/dt = G C + C G^T + Q,        so     d var/dt = noise^2 - 2 rate var   or
                                           d var/dt = noise^2 + 2 (d drift/dx) var  for one alone.

Where the model has a limit law that width is ``spread``; ``width`` is given for every variable: a
recovery variable without noise carries its initial law along, which is the limit of its marginal
(Blaustein 2022, eq. (1.5)).  To first order in 1/gap mean and variance differ from this by

    shift' = (d motion/dx) shift + (1/2) sum_ij (d^2 drift/dx_i dx_j) C_ij     (i or j held),
    gap_k widening_k = d drift_k/dx_k
                       + (2/noise_k^2) sum_ij (d drift_k/dx_i) (d drift_k/dx_j) C_ij,

fields curved in the same way, the second sum over variables that are not held: for FitzHugh-Nagumo
eps (v1, w1) and (f' + 2 Var(w)/sigma^2)/gap.

Of an initial law only mean and covariance enter, of any law: what is not held enters affinely, and
what is held forgets its start.  While it does so, for a time 1/gap, the shift counts it as normal.

Source: Quininao & Touboul 2020, eqs (2.5), (6.4), (6.5); Blaustein 2022, eq. (1.11) (initial
layer); width of the recovery variable for any start: docs/science.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.core.model import CEILING, CORRELATED, LAW, MULTIPLICATIVE, TIME
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.concentration import carried_pairs, check_concentrates, widths
from neurolim.solvers.parts.laws import START_MOMENTS, amplitudes, start_moments
from neurolim.solvers.parts.mean_and_covariance import integrate
from neurolim.solvers.parts.needs import ITO, derivatives
from neurolim.solvers.parts.times import LAYER_OPTIONS, record_times, state_coords

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
        Var("state_mean", "state", "point at which the law concentrates", dims),
        Var(
            "spread",
            "state",
            "standard deviation of the limit law about that point",
            dims,
            gaps=True,
        ),
        Var("width", "state", "standard deviation of the transported initial law", dims),
        Var(
            "mean_shift",
            "state",
            "first-order displacement of the mean by the width of the law",
            dims,
        ),
        Var("widening", "1", "first-order relative change of the variance", dims, gaps=True),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site and variable."""
    axes = state_coords(model, params, options)
    del axes["variable_b"]
    return axes


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return a small constant per site: some thousand evaluations of the drift."""
    n_sites = len(model.sites(params).labels)
    return Cost(0.02 + 0.01 * n_sites, 1e6)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse networks whose law does not concentrate.

    Raises
    ------
    StudyError
    """
    record_times(options)
    check_concentrates(model, widths(model, model.sites(params)))


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
    numbers, OUT_OF_DOMAIN if it leaves the walls of a variable.

    Notes
    -----
    Accuracy is the integrator's, ``rtol`` and ``atol`` per step.
    """
    points = _Points(model, params)
    sites, size = points.sites, points.size
    times = np.array(record_times(options))
    arrays = {var.name: np.full((1, len(times), *size), np.nan) for var in outputs(model, options)}
    flat, status = integrate(points.slope, points.start(), options, options["method"])
    if _beyond_walls(model, flat[:, : size[0] * size[1]].reshape(-1, size[1])):
        status = Status.OUT_OF_DOMAIN
    if status is Status.OK:
        states = [points.split(row) for row in flat]
        for name, part in (("state_mean", 0), ("mean_shift", 2)):
            arrays[name][0] = [state[part] for state in states]
        arrays["width"][0] = np.sqrt(np.maximum([state[1] for state in states], 0.0))
        if model.equations.profile is not None:
            known = np.array([model.equations.profile(p) for p in sites.params]) > 0.0
            arrays["spread"][0] = np.where(known, arrays["width"][0], np.nan)
        for t, (x, variance, _, mixed) in enumerate(states):
            arrays["widening"][0, t] = points.widening(times[t], x, variance, mixed)
    return Solution(arrays, np.array([status], np.int8))


def _beyond_walls(model: Model, states: np.ndarray) -> bool:
    """Return whether a state [..., d] is beyond a wall by more than rounding."""
    low = [-np.inf if var.floor is None else var.floor for var in model.state]
    high = [np.inf if var.ceiling is None else var.ceiling for var in model.state]
    return bool((states < np.array(low) - 1e-9).any() or (states > np.array(high) + 1e-9).any())


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

    The state is [site, d] points, variances and shifts, and [site, pairs] covariances, flat.

    Parameters
    ----------
    model, params : the network
    """

    def __init__(self, model: Model, params: Mapping[str, Any]) -> None:
        self.model, self.sites = model, model.sites(params)
        self.d, self.slopes = len(model.state), derivatives_of(model)
        self.size = (len(self.sites.labels), self.d)
        self.pairs = carried_pairs(model, widths(model, self.sites))
        places = {f"x.{symbol}": k for k, symbol in enumerate(model.symbols)}
        #: Where covariances carried stand among the products of `Derivatives.drift_mixed`.
        products = [tuple(places[n] for n in pair) for pair in structure_of(model).products]
        self.n_products = len(products)
        self.products = [
            (products.index(pair), number)
            for number, pair in enumerate(self.pairs)
            if pair in products
        ]
        self.plain = None
        if model.plain_noise:
            self.plain = np.array([model.equations.noise(p) for p in self.sites.params]) ** 2

    def start(self) -> np.ndarray:
        """Return the initial state: mean and covariance of the initial law, no shift."""
        laws = [start_moments(self.model, p) for p in self.sites.params]
        mean, variance = (np.array(part) for part in zip(*laws, strict=True))
        mixed = np.array([[law[i, j] for i, j in self.pairs] for law in variance]).ravel()
        centred = np.diagonal(variance, axis1=1, axis2=2)
        return np.concatenate([mean.ravel(), centred.ravel(), np.zeros(mean.size), mixed])

    def split(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return points, variances, shifts [site, d] and covariances [site, pairs]."""
        n_sites, d = self.size
        x, variance, shift = flat[: 3 * n_sites * d].reshape(3, n_sites, d)
        return x, variance, shift, flat[3 * n_sites * d :].reshape(n_sites, len(self.pairs))

    def noise(self, s: int, t: float, at: _Point) -> np.ndarray:
        """Return the intensity Q [d, d] of the noise of a site."""
        if self.plain is not None:
            return np.diag(self.plain[s])
        columns = amplitudes(self.model)(t, at.x, at.m, at.c, at.p)
        intensity: np.ndarray = columns @ columns.T
        return intensity

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
        points = []
        for p, row, m, c in zip(
            self.sites.params, states, means.tolist(), inputs.tolist(), strict=True
        ):
            m, c = tuple(m), tuple(c)
            rates = (np.array(part, dtype=float) for part in self.model.equations.relax(m, c, p))
            points.append(_Point(p, row, m, c, *rates))
        return points

    def own(self, t: float, at: _Point) -> np.ndarray:
        """Return d drift / d x [d, d] at given means."""
        slopes = self.slopes.drift_x(at.x, at.m, at.c, at.p, t)
        return np.array(slopes, dtype=float).reshape(self.d, self.d)

    def slope(self, t: float, flat: np.ndarray) -> np.ndarray:
        """Return the time derivative of points, variances, shifts and covariances, flat."""
        x, variance, shift, mixed = self.split(flat)
        points = self.at(x)
        motion, widening, push = np.empty_like(x), np.empty_like(x), np.empty_like(x)
        turning = np.empty_like(mixed)
        moved = self.felt(points, variance, shift, mixed)
        for s, at in enumerate(points):
            drift = self.model.equations.drift(at.x, at.m, at.c, at.p, t)
            motion[s] = np.array(drift) + at.pull * (at.target - x[s])
            own = self.own(t, at)
            widening[s], turning[s] = self.spreading(s, t, at, own, variance[s], mixed[s])
            arguments = (at.x, at.m, at.c, at.p, t)
            bends = self.slopes.drift_xx(*arguments), self.slopes.drift_mixed(*arguments)
            push[s] = self.excess(*bends, at, variance[s], mixed[s])
            push[s] += own @ shift[s] - at.pull * shift[s] + self.carried(t, at, *moved[s])
        return np.concatenate([motion.ravel(), widening.ravel(), push.ravel(), turning.ravel()])

    def spreading(
        self,
        s: int,
        t: float,
        at: _Point,
        own: np.ndarray,
        variance: np.ndarray,
        mixed: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the time derivatives of variances [d] and covariances [pairs] of a site."""
        noise, rate = self.noise(s, t, at), at.pull + at.gap
        alone = np.where(rate == 0.0, -np.diag(own), rate)
        change: np.ndarray = np.diag(noise) - 2.0 * alone * variance
        if not self.pairs:
            return change, np.empty(0)
        free = rate == 0.0
        generator = np.where(free[None, :], own, 0.0)
        np.fill_diagonal(generator, -alone)
        fed = generator @ self.covariance(variance, mixed)
        change = np.where(free, np.diag(noise) + 2.0 * np.diag(fed), change)
        whole = fed + fed.T + noise
        return change, np.array([whole[i, j] for i, j in self.pairs])

    def covariance(self, variance: np.ndarray, mixed: np.ndarray) -> np.ndarray:
        """Return the covariance [d, d] of a site: its variances and what is carried beside."""
        matrix = np.diag(variance)
        for (i, j), value in zip(self.pairs, mixed, strict=True):
            matrix[i, j] = matrix[j, i] = value
        return matrix

    def excess(
        self,
        second: np.ndarray,
        products: np.ndarray,
        at: _Point,
        variance: np.ndarray,
        mixed: np.ndarray,
    ) -> np.ndarray:
        """Return what the width of the law adds to the means of functions with these curvatures."""
        held = at.pull + at.gap > 0.0
        bend = np.array(second, dtype=float).reshape(-1, self.d)
        drift: np.ndarray = 0.5 * bend @ np.where(held, variance, 0.0)
        slopes = np.array(products, dtype=float).reshape(len(drift), self.n_products)
        for product, number in self.products:
            drift = drift + slopes[:, product] * mixed[number]
        return drift

    def felt(
        self, points: list[_Point], variance: np.ndarray, shift: np.ndarray, mixed: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return how means and inputs of every site change when points move by shift [site, d].

        What neurons broadcast changes by the width of the law, too.
        """
        means = []
        for s, (at, moved) in enumerate(zip(points, shift, strict=True)):
            arguments = (at.x, at.m, at.c, at.p)
            sent = np.array(self.slopes.field_x(*arguments), dtype=float)
            bends = self.slopes.field_xx(*arguments), self.slopes.field_mixed(*arguments)
            change = sent.reshape(-1, self.d) @ moved
            change = change + self.excess(*bends, at, variance[s], mixed[s])
            means.append(np.concatenate([moved, change]))
        return [*zip(means, self.sites.coupling @ np.array(means), strict=True)]

    def carried(self, t: float, at: _Point, dm: np.ndarray, dc: np.ndarray) -> np.ndarray:
        """Return the change [d] of drift + pull (target - x) by changes of means and inputs."""
        velocity = np.zeros(self.d)
        arguments = (at.x, at.m, at.c, at.p, t)
        slopes = self.slopes
        for change, parts in (
            (dm, (slopes.drift_m, slopes.current_m, slopes.pull_m)),
            (dc, (slopes.drift_c, slopes.current_c, slopes.pull_c)),
        ):
            drift, current, pull = (
                np.array(part(*arguments), dtype=float).reshape(self.d, -1) @ change
                for part in parts
            )
            velocity += drift + current - pull * np.array(at.x)
        return velocity

    def widening(
        self, t: float, x: np.ndarray, variance: np.ndarray, mixed: np.ndarray
    ) -> np.ndarray:
        """Return the first-order relative change [site, d] of the variances held by gaps."""
        factors = np.full_like(x, np.nan)
        for s, at in enumerate(self.at(x)):
            own, free = self.own(t, at), at.gap == 0.0
            noise, around = self.noise(s, t, at), self.covariance(variance[s], mixed[s])
            for k in np.flatnonzero((at.gap > 0.0) & (np.diag(noise) > 0.0)):
                slopes = np.where(free, own[k], 0.0)
                carried = slopes @ around @ slopes + slopes @ noise[k]
                factors[s, k] = (own[k, k] + 2.0 * carried / noise[k, k]) / at.gap[k]
        return factors


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
    takes=frozenset({TIME, CEILING, MULTIPLICATIVE, CORRELATED, LAW}),
    needs=(derivatives(), ITO, START_MOMENTS),
)
