r"""The mean-field (McKean-Vlasov) equation of infinitely many neurons, at any coupling strength.

    d_t mu + d_v[(f(v) + e w) mu] + d_w[(b v + q w + c) mu]
        = gap d_v[(v - V) mu] + (sigma^2/2) d_vv mu + (sigma_w^2/2) d_ww mu,

V, W the means of mu, per site, f possibly seeing the means of other sites,

is solved in the frame u = (v - V)/s(t), y = (w - W)/r(t), in which the law stays near a normal one:

    ds^2/dt = sigma^2 - 2 gap s^2          (the initial layer theta of Blaustein 2022, eq. (1.11)),
    dr^2/dt = sigma_w^2 + 2 q r^2 + 2 b Cov(v, w)          (the exact variance of w).

With nu = phi(u) phi(y) sum C_kl h_k(u) h_l(y), lambda = sigma^2/(2 s^2), kappa = sigma_w^2/(2 r^2),

    dC_kl/dt = -(lambda k + kappa l) C_kl + sqrt(k) (e r/s) (C J)_{k-1,l}
             + sqrt(k) <g(u) h_{k-1} h_l> + sqrt(l) (b s/r) <(u - C_11 y) h_k h_{l-1}>,
    g(u) = (f(V + s u) - f(V) - E)/s,       E = <f> - f(V),      V' = f(V) + E + e W,

J being multiplication by y.  The first line is implicit: diagonal plus one step up in k, solved by
forward substitution; the second is explicit.  Nothing explicit grows as gap -> infinity, so step
and cost do not depend on eps.  <.> of f is a Gauss rule: exact for polynomial drifts.  C_00 = 1,
C_10 = C_01 = C_02 = 0 for all t: mass and means are exact to rounding.

Source: Blaustein 2022, eqs (1.2), (1.6)-(1.11); discretisation: docs/mean-field.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, StudyError, Var
from neurolim.numerics import hermite
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.extrapolation import StepError, integrate
from neurolim.provenance import code_digest
from neurolim.solvers._gap_network import GapNetwork, read_network
from neurolim.solvers._times import LAYER_OPTIONS, record_times, state_coords

OPTIONS = (
    *LAYER_OPTIONS,
    Param("voltage_modes", 24, doc="Hermite modes in v", kind="integer", low=6, high=120),
    Param("recovery_modes", 16, doc="Hermite modes in w", kind="integer", low=4, high=120),
    Param("tolerance", 1e-10, doc="error of the means per step", low=1e-13, high=1e-2),
    Param("law_tolerance", 1e-7, doc="error of the coefficients per step", low=1e-13, high=1e-2),
    Param("order", 5, doc="order of the extrapolated steps", kind="integer", low=2, high=8),
    Param(
        "theta_start",
        0.0,
        "state",
        "first width s(0) of the frame; 1/sqrt(rho0) is Blaustein's theta(0) = 1 (0: the data's)",
        low=0.0,
    ),
    Param(
        "largest_tail",
        1e-3,
        doc="refuse a result whose last modes hold more than this share of the norm",
        positive=True,
        high=1.0,
    ),
)
#: Seconds per substep and mode, for the cost model: measured on one core.
_SECONDS_PER_MODE = 1e-7


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return means, covariance, the law in its frame, and how far it can be trusted."""
    dims = ("time", "site", "variable")
    return (
        Var("mean", "state", "mean of the site", dims),
        Var("covariance", "state^2", "covariance of the site", (*dims, "variable_b")),
        Var("frame", "state", "unit of the frame: s for v, r for w", dims),
        Var(
            "coefficients",
            "1",
            "Hermite coefficients C_kl of the law in its frame",
            ("time", "site", "voltage_mode", "recovery_mode"),
        ),
        Var("drift_error", "state/time", "E = mean of f(v) minus f(mean)", ("time", "site")),
        Var("tail", "1", "share of the norm in the last two modes of v or w", ("time", "site")),
        Var(
            "negative",
            "1",
            "probability mass below zero: how far the cut series is from positive",
            ("time", "site"),
        ),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variables and mode numbers."""
    found = state_coords(model, params, options)
    for name in ("voltage_mode", "recovery_mode"):
        found[name] = Coord(tuple(float(k) for k in range(options[f"{name}s"])), "1", "degree")
    return found


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return what about 40 steps per unit of time and 60 for the initial layer take."""
    sites = len(model.sites(params).labels)
    modes = options["voltage_modes"] * options["recovery_modes"]
    substeps = options["order"] * (options["order"] + 3) / 2
    steps = max(60.0 + 40.0 * options["t_end"], float(options["records"]))
    seconds = 0.05 + steps * substeps * (6e-5 + _SECONDS_PER_MODE * modes * sites)
    return Cost(seconds, 1e7 + 8.0 * sites * modes * (options["records"] + 20))


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse networks of another form than the module equation, and laws without width.

    Raises
    ------
    StudyError
    """
    network = read_network(model, params)
    record_times(options)
    widest = float(network.width[:, 0].max())
    if 0.0 < options["theta_start"] <= widest / np.sqrt(1.9):
        raise StudyError(
            "theta_start",
            f"{options['theta_start']:g} is too narrow a frame for data of width {widest:g}",
            f"above {widest / np.sqrt(1.9):.3g}, or 0",
        )


class Galerkin:
    """The equation cut to K x L modes: one Euler substep, explicit and implicit part.

    The state is [site, 3 + K L]: V, W, r^2 and the coefficients.
    """

    def __init__(
        self, network: GapNetwork, modes: tuple[int, int], theta_start: float = 0.0
    ) -> None:
        self.network, self.modes = network, modes
        data = network.width[:, 0] ** 2
        self.first = np.full_like(data, theta_start**2) if theta_start > 0.0 else data
        k, count = modes
        # Exact for h_j h_k times a polynomial drift of degree 7.
        self.nodes, self.weights = hermite.nodes(k + 4)
        self.basis = hermite.values(self.nodes, k)
        self.up_k, self.up_l = np.sqrt(np.arange(k)), np.sqrt(np.arange(count))
        self.times_u, self.times_y = hermite.shift(k), hermite.shift(count)

    def flat(self, moments: float, law: float) -> np.ndarray:
        """Return a flat state with one number for all moments and one for all coefficients."""
        state = np.full((len(self.network.gap), 3 + self.modes[0] * self.modes[1]), law)
        state[:, :3] = moments
        return state.ravel()

    def start(self) -> np.ndarray:
        """Return the initial state, flat."""
        network = self.network
        state = self.flat(0.0, 0.0).reshape(len(network.gap), -1)
        state[:, :2] = network.mean
        state[:, 2] = network.width[:, 1] ** 2
        # A centred normal law of relative variance 1 + 2 x has c_2m = x^m sqrt((2 m)!)/m!.
        half = 0.5 * (network.width[:, 0] ** 2 / self.first - 1.0)
        even = np.ones(len(half))
        for k in range(0, self.modes[0], 2):
            state[:, 3 + k * self.modes[1]] = even
            even = even * half * np.sqrt((k + 1.0) * (k + 2.0)) / (k / 2 + 1.0)
        return state.ravel()

    def tail(self, flat: np.ndarray) -> np.ndarray:
        """Return the share of the norm in the last two modes of v or w [..., site]."""
        law = self.split(flat)[1]
        ends = law.copy()
        ends[..., :-2, :-2] = 0.0
        return np.sqrt((ends**2).sum(axis=(-2, -1)) / (law**2).sum(axis=(-2, -1)))

    def split(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return views [..., site, 3] and [..., site, K, L] of flat states [..., n]."""
        state = flat.reshape(*flat.shape[:-1], len(self.network.gap), -1)
        return state[..., :3], state[..., 3:].reshape(*state.shape[:-1], *self.modes)

    def excess(
        self, mean: np.ndarray, s: np.ndarray, marginal: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (drift of the means without E, f(V + s u) - f(V) at the nodes, E)."""
        network = self.network
        points = np.concatenate([mean[:, :1], mean[:, :1] + s[:, None] * self.nodes], axis=1)
        drift = network.drift(points, mean)
        rise = drift[0, :, 1:] - drift[0, :, :1]
        error = (rise * (self.weights * (marginal @ self.basis.T))).sum(axis=1)
        return drift[:, :, 0].T, rise, error

    def substep(self, flat: np.ndarray, t: float, h: float) -> np.ndarray:
        """Return the state after an Euler substep of size h, implicit in all that is stiff."""
        network = self.network
        moments, law = self.split(flat)
        mean, variance = moments[:, :2], moments[:, 2]
        s, r = np.sqrt(network.frame_variance(t, self.first)), np.sqrt(variance)
        velocity, rise, error = self.excess(mean, s, law[:, :, 0])
        # <g h_{k-1} h_j> as a matrix, then raised by sqrt(k).
        weighted = self.basis.T * ((rise - error[:, None]) * self.weights / s[:, None])[:, None, :]
        right = law.copy()
        right[:, 1:] += h * self.up_k[1:, None] * (weighted @ self.basis @ law)[:, :-1]
        mixed = law[:, 1, 1]
        turn = self.times_u @ law - mixed[:, None, None] * (law @ self.times_y)
        right[:, :, 1:] += (h * network.b * s / r)[:, None, None] * self.up_l[1:] * turn[:, :, :-1]

        new = np.empty_like(flat)
        new_moments, new_law = self.split(new)
        new_moments[:, :2] = mean + h * velocity
        new_moments[:, 0] += h * error
        new_moments[:, 2] = variance + h * (
            network.sigma_w**2 + 2.0 * network.q * variance + 2.0 * network.b * s * r * mixed
        )
        later = network.frame_variance(t + h, self.first)
        stiff = h * network.sigma**2 / (2.0 * later)
        slow = (h * network.sigma_w**2 / (2.0 * variance))[:, None] * np.arange(self.modes[1])
        lift = h * network.e * r / np.sqrt(later)
        _substitute(new_law, right, stiff, slow, lift)
        return new


@njit(nogil=True)
def _substitute(new, right, stiff, slow, lift):
    """Solve (1 + stiff k + slow_l) C_k = right_k + lift sqrt(k) C_{k-1} J for C, k by k."""
    sites, modes, width = new.shape
    for s in range(sites):
        for k in range(modes):
            for j in range(width):
                value = right[s, k, j]
                if k > 0:
                    source = 0.0
                    if j > 0:
                        source += np.sqrt(j) * new[s, k - 1, j - 1]
                    if j + 1 < width:
                        source += np.sqrt(j + 1.0) * new[s, k - 1, j + 1]
                    value += lift[s] * np.sqrt(k) * source
                new[s, k, j] = value / (1.0 + stiff[s] * k + slow[s, j])


keep_compiled(_substitute, code_digest(__name__))


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Solve the mean-field equation from the model's initial law.

    Returns
    -------
    as in ``outputs``; status NOT_CONVERGED if a step fails or the cut modes matter, DIVERGED if the
    solution leaves the finite numbers; all is NaN then but ``tail``, the residual of every
    record that was reached and, in the next place, of the state where it stopped.

    Notes
    -----
    Order ``order`` in the step, adaptive; spectral in the modes; both uniform in eps.
    """
    network = read_network(model, params)
    modes = (options["voltage_modes"], options["recovery_modes"])
    galerkin = Galerkin(network, modes, options["theta_start"])
    times = np.array(record_times(options))
    status = Status.OK
    fast = max(float((network.sigma**2 / (2.0 * galerkin.first)).max()), network.gap.max())
    try:
        with np.errstate(all="ignore"):
            flat = integrate(
                galerkin.substep,
                galerkin.start(),
                times,
                galerkin.flat(options["tolerance"], options["law_tolerance"]),
                min(0.1 / fast, float(times[1])),
                options["order"],
                lambda x: not galerkin.tail(x).max() > options["largest_tail"],
            )
    except StepError as error:
        status, flat = Status.NOT_CONVERGED, error.found
    moments, law = galerkin.split(flat)
    if status is Status.OK and not np.isfinite(flat).all():
        status = Status.DIVERGED
    found = _arrays(galerkin, times, moments, law)
    if status is not Status.OK:
        found = {name: np.full_like(array, np.nan) for name, array in found.items()}
    found["tail"] = galerkin.tail(flat)
    return Solution(
        {name: array[None] for name, array in found.items()}, np.array([status], np.int8)
    )


def _arrays(
    galerkin: Galerkin, times: np.ndarray, moments: np.ndarray, law: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the outputs that follow from the states [time, site, ...]."""
    network = galerkin.network
    s2 = np.stack([network.frame_variance(t, galerkin.first) for t in times])
    s, r = np.sqrt(s2), np.sqrt(moments[:, :, 2])
    covariance = np.empty((*s.shape, 2, 2))
    covariance[..., 0, 0] = s2 * (1.0 + np.sqrt(2.0) * law[:, :, 2, 0])
    covariance[..., 0, 1] = covariance[..., 1, 0] = s * r * law[:, :, 1, 1]
    covariance[..., 1, 1] = moments[:, :, 2] * (1.0 + np.sqrt(2.0) * law[:, :, 0, 2])
    error = np.stack(
        [galerkin.excess(moments[t, :, :2], s[t], law[t, :, :, 0])[2] for t in range(len(times))]
    )
    grid = np.linspace(-7.0, 7.0, 57)
    left, right = (hermite.functions(grid, count) for count in galerkin.modes)
    density = left @ law @ right.T
    cell = (grid[1] - grid[0]) ** 2
    return {
        "mean": moments[:, :, :2].copy(),
        "covariance": covariance,
        "frame": np.stack([s, r], axis=-1),
        "coefficients": law.copy(),
        "drift_error": error,
        "negative": -cell * np.minimum(density, 0.0).sum(axis=(2, 3)),
    }


SOLVER = Solver(
    summary="The mean-field equation of infinitely many neurons, at any coupling strength.",
    source="Blaustein 2022, eqs (1.2), (1.6)-(1.11)",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
)
