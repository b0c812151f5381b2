r"""The Gaussian closure of the mean-field equation: mean and covariance of each site.

With the law of a site replaced by the normal one of the same mean M and covariance P, <.> its
average, J = <d drift/dx>, K = diag(pull + gap) and Q the intensity of the noise,

    M' = <drift> + pull (target - M),          P' = (J - K) P + P (J - K)^T + Q,

as <drift (x - M)^T> = J P for a normal law.  Pull, target and gap see the means of the law, means
of fields among them.  For FitzHugh-Nagumo, with M = (V, W) and P = (S, C; C, D),

    V' = <f> - W,          S' = 2 (<f'> - gap) S - 2 C + sigma^2,    <f> = f(V) + f'' S/2 + ...
    W' = b V - a W + c,    C' = (<f'> - gap - a) C - D + b S,        D' = 2 b C - 2 a D + sigma_w^2.

Averages are Gauss-Hermite sums over the variables that enter otherwise than affinely, at most
three; the others stand at their means.  They are exact for polynomials up to degree 7, and of
higher ones as many nodes are taken as they need; of other functions 12 nodes a variable.

Exact for linear models; otherwise the means are wrong by O(eps^2), those of the limit by O(eps).

Source: docs/mean-field.md; second moments of Quininao & Touboul 2020, sec. 6.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.core.model import CORRELATED, TIME
from neurolim.numerics import hermite
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.laws import AtOnce, intensity, start_moments
from neurolim.solvers.parts.mean_and_covariance import integrate, site_outputs
from neurolim.solvers.parts.needs import GAUSSIAN_START, NO_WALLS, derivatives, few_nonlinear
from neurolim.solvers.parts.times import LAYER_OPTIONS, record_times, state_coords

OPTIONS = (
    *LAYER_OPTIONS,
    Param("rtol", 1e-9, doc="relative tolerance", low=1e-13, high=1e-2),
    Param("atol", 1e-12, doc="absolute tolerance", positive=True, high=1e-2),
)
#: Variables over which averages are taken.
_MOST_NONLINEAR = 3
#: Gauss nodes: for polynomials up to degree 7 times x - M, and for what is no polynomial.
_NODES, _MANY_NODES = 6, 12
#: A variance below minus this many absolute tolerances is no error of the integrator.
_NEGATIVE = 1e3


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return mean and covariance."""
    return site_outputs("mean of the site", "covariance of the site")


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return some thousand evaluations of the drift at a time."""
    return Cost(0.1 + 0.005 * len(model.sites(params).labels), 1e7)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse record times that cannot be.

    Raises
    ------
    StudyError
    """
    record_times(options)


class Moments(NamedTuple):
    """Means [site, d] and covariances [site, d, d]."""

    mean: np.ndarray
    covariance: np.ndarray


class Closure:
    """The closure of a network: an ordinary equation for means and covariances, flat.

    A flat state has the means site by site, then, entry by entry of the upper triangle, the
    covariances of all sites.

    Parameters
    ----------
    model, params : the network
    """

    def __init__(self, model: Model, params: Mapping[str, Any]) -> None:
        self.model, sites = model, model.sites(params)
        self.coupling, self.params = sites.coupling, sites.params
        self.at_once = AtOnce(sites.params)
        self.count, self.d = len(sites.labels), len(model.state)
        self.slopes, structure = derivatives_of(model), structure_of(model)
        self.noise = np.array([intensity(model, p) for p in sites.params])
        self.upper = np.triu_indices(self.d)
        #: Pull, target and gap where nothing changes them, so that many sites cost little.
        self.gaps = None
        if not (structure.rates_depend or any(structure.pulled)):
            nowhere = np.zeros((self.count, len(model.means)))
            self.gaps = self.rates(nowhere, nowhere)
        bent = [model.symbols.index(name[2:]) for name in structure.nonlinear]
        degrees = [_MANY_NODES if n is None else n // 2 + 2 for n in structure.degree]
        nodes, weights = hermite.nodes(max(_NODES, *degrees))
        grid = np.array([*itertools.product(range(nodes.size), repeat=len(bent))], dtype=int)
        grid = grid.reshape(nodes.size ** len(bent), len(bent))
        #: Variables averaged over, standard normal nodes [variables, n] and weights [n].
        self.bent = np.array(bent, dtype=int)
        self.nodes = nodes[grid].T
        self.weights = weights[grid].prod(axis=1)

    def start(self) -> np.ndarray:
        """Return the initial law, flat."""
        laws = [start_moments(self.model, p) for p in self.params]
        mean, covariance = (np.array(part) for part in zip(*laws, strict=True))
        return self.pack(Moments(mean, covariance))

    def pack(self, moments: Moments) -> np.ndarray:
        """Return moments as a flat state."""
        entries = moments.covariance[:, *self.upper].T
        return np.concatenate([moments.mean.ravel(), entries.ravel()])

    def unpack(self, flat: np.ndarray) -> Moments:
        """Return the moments of a flat state."""
        size = self.count * self.d
        covariance = np.empty((self.count, self.d, self.d))
        entries = flat[size:].reshape(-1, self.count).T
        covariance[:, *self.upper] = entries
        covariance[:, *self.upper[::-1]] = entries
        return Moments(flat[:size].reshape(self.count, self.d), covariance)

    def slope(self, t: float, flat: np.ndarray) -> np.ndarray:
        """Return the time derivative of a flat state."""
        mean, covariance = self.unpack(flat)
        x = self.places(mean, covariance)
        sent = self.at_once(self.model.equations.field, x) @ self.weights
        m = np.concatenate([mean, sent.T], axis=1)
        c = self.coupling @ m
        seen = m.T[:, :, None], c.T[:, :, None]
        drift = self.at_once(self.model.equations.drift, x, *seen, t=t)
        steep = self.at_once(self.slopes.drift_x, x, *seen, t=t)
        moved = (drift @ self.weights).T
        slopes = (steep @ self.weights).reshape(self.d, self.d, self.count).transpose(2, 0, 1)
        pull, target, gap = self.gaps if self.gaps is not None else self.rates(m, c)
        moved += pull * (target - mean)
        slopes[:, range(self.d), range(self.d)] -= pull + gap
        turned = slopes @ covariance
        return self.pack(Moments(moved, turned + turned.transpose(0, 2, 1) + self.noise))

    def rates(self, m: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Return pull, target and gap [3, site, d] at means and inputs [site, ..]."""
        relax = self.model.equations.relax
        rows = [
            relax(tuple(means), tuple(inputs), p)
            for means, inputs, p in zip(m, c, self.params, strict=True)
        ]
        return np.array(rows, dtype=float).transpose(1, 0, 2)

    def places(self, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Return the nodes [d, site, n]: of the law where drifts bend, at the means elsewhere."""
        x = np.repeat(mean.T[:, :, None], self.weights.size, axis=2)
        if self.bent.size == 1:
            (k,) = self.bent
            x[k] += np.sqrt(np.maximum(covariance[:, k, k], 0.0))[:, None] * self.nodes[0]
        elif self.bent.size:
            # The symmetric root, which moves smoothly with the covariance.
            values, vectors = np.linalg.eigh(covariance[:, self.bent[:, None], self.bent])
            root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.transpose(
                0, 2, 1
            )
            x[self.bent] += (root @ self.nodes).transpose(1, 0, 2)
        return x


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
    NOT_CONVERGED if the integrator gives up, DIVERGED if a moment leaves the finite numbers or a
    variance the positive ones.
    """
    closure = Closure(model, params)
    flat, status = integrate(closure.slope, closure.start(), options)
    states = [closure.unpack(row) for row in flat]
    mean = np.array([state.mean for state in states])
    covariance = np.array([state.covariance for state in states])
    variances = np.diagonal(covariance, axis1=2, axis2=3)
    if status is Status.OK and not variances.min() > -_NEGATIVE * options["atol"]:
        status = Status.DIVERGED
        mean, covariance = np.full_like(mean, np.nan), np.full_like(covariance, np.nan)
    return Solution(
        {"state_mean": mean[None], "covariance": covariance[None]}, np.array([status], np.int8)
    )


SOLVER = Solver(
    summary="Gaussian closure of the mean-field equation: mean and covariance of each site.",
    source="docs/mean-field.md",
    options=OPTIONS,
    outputs=outputs,
    coords=state_coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    takes=frozenset({TIME, CORRELATED}),
    needs=(derivatives(), NO_WALLS, few_nonlinear(_MOST_NONLINEAR), GAUSSIAN_START),
)
