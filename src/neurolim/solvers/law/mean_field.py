r"""The mean field of P populations in one dimension over time, in the frame of its own width.

The law f_p(t, v) of population p obeys

    d_t f = -d_v (B f) + (sigma^2/2) d_vv f,     B = drift + pull (target - v) + gap (<v> - v).

With v = c + theta u, f = nu/theta and the frame

    c' = <drift> + pull (target - c),        (theta^2)' = sigma^2 - 2 (pull + gap) theta^2,

c is the mean and the strong forces leave the equation of nu,

    d_t nu = -d_u [ (drift(c + theta u) - <drift>)/theta nu ] + kappa d_u [ u nu + d_u nu ],
    kappa = sigma^2 / (2 theta^2),

which is uniformly well behaved as the coupling grows and through the initial layer.  nu is kept at
nodes, with Scharfetter-Gummel fluxes between them whose potential differences are exact for drifts
up to the third degree: the discrete steady state is the exact law at the nodes, transients are
second order in the spacing.  (nu, c, log theta^2) of all populations is one stiff ordinary
equation, solved by backward differentiation of variable order; its tolerances control the error in
time.

Source: Quininao & Touboul 2025, abstract (method M1); frame after Blaustein 2022, eq. (1.11);
Scharfetter & Gummel 1969; docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.solvers.parts.compiled import COMPILED
from neurolim.solvers.parts.mean_field import (
    MeanField,
    balance_index,
    check_one_dimension,
    split_currents,
)
from neurolim.solvers.parts.needs import GAUSSIAN_START, NO_WALLS, derivatives
from neurolim.solvers.parts.times import TIME_OPTIONS, record_times, state_coords

OPTIONS = (
    *TIME_OPTIONS,
    Param("nodes", 161, doc="nodes per population", kind="integer", low=31, high=2001),
    Param("reach", 8.0, doc="nodes cover +- this many widths theta", low=5.0, high=20.0),
    Param("rtol", 1e-8, doc="relative tolerance of the integrator", low=1e-12, high=1e-2),
)
#: Density at the ends of the grid, relative to its maximum, above which the grid is too short.
_EDGE = 1e-9


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return moments, currents and density over time."""
    site = ("time", "site")
    return (
        Var("state_mean", "state", "mean of the site", (*site, "variable")),
        Var("covariance", "state^2", "covariance of the site", (*site, "variable", "variable_b")),
        Var("excitation", "1/time", "mean depolarising synaptic current", site),
        Var("inhibition", "1/time", "mean hyperpolarising synaptic current", site),
        Var("neuron_index", "1", "mean over neurons of |E+I|/(|E|+|I|)", site),
        Var("voltage_nodes", "1", "voltage of the nodes", (*site, "node")),
        Var("density", "1", "density of v at the nodes", (*site, "node")),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variable and node coordinates."""
    scaled = np.linspace(-options["reach"], options["reach"], options["nodes"])
    return state_coords(model, params, options) | {
        "node": Coord(tuple(map(float, scaled)), "theta", "(v - mean)/theta")
    }


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return some tens of factorisations of a full matrix and some thousand evaluations."""
    size = len(model.sites(params).labels) * (options["nodes"] + 2)
    return Cost(0.5 + 2e-8 * size**3 + 2e-3 * size, 50.0 * size**2 + 1e6)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse networks in more dimensions or without noise.

    Raises
    ------
    StudyError : see ``check_one_dimension``
    """
    check_one_dimension(model, params)


class _Frame:
    """The ordinary equation of (nu, c, log theta^2) of all populations."""

    def __init__(self, field: MeanField, options: Mapping[str, Any]) -> None:
        self.field = field
        self.u = np.linspace(-options["reach"], options["reach"], options["nodes"])
        self.du = float(self.u[1] - self.u[0])
        # Nodes and the middles between them: Simpson's rule for potential differences.
        self.both = np.linspace(-options["reach"], options["reach"], 2 * self.u.size - 1)

    def pack(self, nu: np.ndarray, c: np.ndarray, logs: np.ndarray) -> np.ndarray:
        """Return one vector from nu [P, N], c [P] and log theta^2 [P]."""
        return np.concatenate([nu.ravel(), c, logs])

    def unpack(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return nu [P, N], c [P] and theta^2 [P]."""
        count, size = self.field.count, self.u.size
        return (
            y[: count * size].reshape(count, size),
            y[count * size : -count],
            np.exp(y[-count:]),
        )

    def start(self) -> np.ndarray:
        """Return the initial law: Gaussians of the model's initial mean and width."""
        field = self.field
        nu = np.exp(-0.5 * self.u**2)
        nu /= nu.sum() * self.du
        return self.pack(np.tile(nu, (field.count, 1)), field.start[:, 0], field.log_start_square())

    def means(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean fields [P, d + n_fields] and drifts at nodes and middles [P, 2 N - 1]."""
        field = self.field
        nu, c, square = self.unpack(y)
        empty = field.means(c, np.zeros((field.count, field.network.n_fields)))
        drifts = np.empty((field.count, self.both.size))
        for s in range(field.count):
            drifts[s], sent = field.local(s, c[s] + np.sqrt(square[s]) * self.both, empty)
            empty[s, field.d :] = self.du * (nu[s] @ sent[::2])
        return empty, drifts

    def slope(self, t: float, y: np.ndarray) -> np.ndarray:
        """Return the time derivative of (nu, c, log theta^2)."""
        field = self.field
        nu, c, square = self.unpack(y)
        means, drifts = self.means(y)
        change, moved, widened = np.empty_like(nu), np.empty_like(c), np.empty_like(c)
        for s, (pull, target, gap) in enumerate(field.synapses(means)):
            variance = field.noise[s] ** 2
            kappa = 0.5 * variance / square[s]
            drift = drifts[s]
            average = self.du * (nu[s] @ drift[::2])
            cell = (drift[:-2:2] + 4.0 * drift[1::2] + drift[2::2]) / 6.0 - average
            jump = cell * self.du / (np.sqrt(square[s]) * kappa) - 0.5 * np.diff(self.u**2)
            flux = np.zeros(self.u.size + 1)
            flux[1:-1] = (kappa / self.du) * (
                _bernoulli(-jump) * nu[s, :-1] - _bernoulli(jump) * nu[s, 1:]
            )
            change[s] = -np.diff(flux) / self.du
            moved[s] = average + pull * (target - c[s])
            widened[s] = variance / square[s] - 2.0 * (pull + gap)
        return self.pack(change, moved, widened)


def _bernoulli(x: np.ndarray) -> np.ndarray:
    """Return x/(e^x - 1), 1 at zero."""
    small = np.abs(x) < 1e-6
    safe = np.where(small, 1.0, np.clip(x, -500.0, 500.0))
    return np.where(small, 1.0 - 0.5 * x, safe / np.expm1(safe))


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Integrate the mean field from its initial law.

    Returns
    -------
    arrays [1, time, ...] as in ``outputs``.  Status NOT_CONVERGED if the integrator gives up,
    OUT_OF_DOMAIN where a law does not fit the nodes.

    Notes
    -----
    Mass is kept to rounding.  A start sharper than 1 % of the width it relaxes to is given that.
    """
    field = MeanField(model, params)
    frame = _Frame(field, options)
    times = np.array(record_times(options))
    sizes = {name: len(coord.values) for name, coord in coords(model, params, options).items()}
    arrays = {
        var.name: np.full((1, *(sizes[dim] for dim in var.dims)), np.nan)
        for var in outputs(model, options)
    }
    with np.errstate(all="ignore"):
        path = solve_ivp(
            frame.slope,
            (0.0, float(times[-1])),
            frame.start(),
            method="BDF",
            t_eval=times,
            rtol=options["rtol"],
            atol=1e-4 * options["rtol"],
        )
    if not path.success or path.y.shape[1] != times.size or not np.isfinite(path.y).all():
        return Solution(arrays, np.array([Status.NOT_CONVERGED], np.int8))
    worst = 0.0
    arrays["covariance"][0] = 0.0
    for t, y in enumerate(path.y.T):
        nu, c, square = frame.unpack(y)
        means, _ = frame.means(y)
        worst = max(worst, float((np.abs(nu[:, [0, -1]]) / nu.max(axis=1)[:, None]).max()))
        arrays["state_mean"][0, t] = means[:, : field.d]
        for s in range(field.count):
            theta = np.sqrt(square[s])
            first, second = (_moment(nu[s], frame.u, frame.du, k) for k in (1, 2))
            arrays["state_mean"][0, t, s, 0] = c[s] + theta * first
            arrays["covariance"][0, t, s, 0, 0] = square[s] * (second - first**2)
            nodes = c[s] + theta * frame.u
            at_mean = field.contributions(s, arrays["state_mean"][0, t, s, :1], means)
            excitation, inhibition = split_currents(at_mean)
            arrays["excitation"][0, t, s] = excitation[0]
            arrays["inhibition"][0, t, s] = inhibition[0]
            index = balance_index(field.contributions(s, nodes, means))
            arrays["neuron_index"][0, t, s] = frame.du * (nu[s] @ index)
            arrays["voltage_nodes"][0, t, s] = nodes
            arrays["density"][0, t, s] = nu[s] / theta
    if worst > _EDGE:
        for array in arrays.values():
            array[:] = np.nan
        return Solution(arrays, np.array([Status.OUT_OF_DOMAIN], np.int8))
    return Solution(arrays, np.array([Status.OK], np.int8))


def _moment(nu: np.ndarray, u: np.ndarray, du: float, order: int) -> float:
    """Return the moment of a law at nodes.

    Parameters
    ----------
    nu, u : densities and places [N]
    du : spacing
    order : of the moment
    """
    return float(du * (nu @ u**order))


SOLVER = Solver(
    summary="Mean field of P populations in one dimension over time, in its own moving frame.",
    source="Quininao & Touboul 2025, abstract (method M1); Scharfetter & Gummel 1969",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    needs=(derivatives(), NO_WALLS, GAUSSIAN_START, COMPILED),
)
