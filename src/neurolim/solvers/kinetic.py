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
forward substitution; the second is explicit.  Nothing explicit grows as gap -> infinity, so step and cost do not depend on eps.
<.> of f is a Gauss rule: exact for polynomial drifts.  C_00 = 1, C_10 = C_01 = C_02 = 0 for all t:
mass and means are exact to rounding.

Source: Blaustein 2022, eqs (1.2), (1.6)-(1.11); discretisation: docs/mean-field.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, StudyError, Var
from neurolim.numerics import hermite
from neurolim.numerics.extrapolation import StepError, integrate
from neurolim.solvers._times import LAYER_OPTIONS, record_times, state_coords

OPTIONS = (
    *LAYER_OPTIONS,
    Param("voltage_modes", 24, doc="Hermite modes in v", kind="integer", low=6, high=120),
    Param("recovery_modes", 16, doc="Hermite modes in w", kind="integer", low=4, high=120),
    Param("tolerance", 1e-10, doc="error of the means per step", low=1e-13, high=1e-2),
    Param("law_tolerance", 1e-7, doc="error of the coefficients per step", low=1e-13, high=1e-2),
    Param("order", 5, doc="order of the extrapolated steps", kind="integer", low=2, high=8),
    Param(
        "largest_tail",
        1e-3,
        doc="refuse a result whose last modes hold more than this share of the norm",
        positive=True,
        high=1.0,
    ),
)
#: Seconds per substep and mode, for the cost model: measured on one core.
_SECONDS_PER_MODE = 3.5e-7
_PROBES = (-1.3, -0.4, 0.0, 0.7, 1.9)


class Network(NamedTuple):
    """What the solver reads from a model: numbers of the module equation, [site] each.

    coupling : long-range coupling of the sites [site, site];  p : the sites' parameters as one
    tuple, entries that differ between sites being arrays [site, 1]
    """

    coupling: np.ndarray
    p: Any
    gap: np.ndarray
    sigma: np.ndarray
    sigma_w: np.ndarray
    e: np.ndarray
    b: np.ndarray
    q: np.ndarray
    mean: np.ndarray
    width: np.ndarray


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
    sites = len(model.prepare(params).labels)
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
    read_network(model, params)


def read_network(model: Model, params: Mapping[str, Any]) -> Network:
    """Return the numbers of the module equation, found by evaluating the model's kernels.

    Raises
    ------
    StudyError : the model is not of that form, or its initial law has no width
    """
    sites = model.prepare(params)
    rows = sites.params
    if len(model.state) != 2 or model.field((0.0, 0.0), rows[0]):
        raise StudyError(
            "solver", f"{model.name} is not a network of (v, w) without fields", "fitzhugh_nagumo"
        )
    columns = [np.array(column, dtype=float) for column in zip(*rows, strict=True)]
    p = type(rows[0])(
        *(float(c[0]) if np.ptp(c) == 0.0 else c[:, None] for c in columns)  # same: a plain number
    )
    linear = []
    for row in rows:
        zero = (0.0, 0.0)
        pull, _, gap = model.relax(zero, zero, row)
        if any(pull) or gap[0] <= 0.0 or gap[1] != 0.0:
            raise StudyError("solver", "coupling is not by gap junctions in v alone", "gap > 0")
        linear.append(_linear_part(model, row))
    width = np.array([_spread(model, row) for row in rows])
    if (width <= 0.0).any():
        place = ("voltage_spread", "recovery_spread")[int(np.argmax((width <= 0.0).any(axis=0)))]
        raise StudyError(
            place, "the initial law has no width", "a positive width (initial: absolute)"
        )
    e, b, q = np.array(linear).T
    noise = np.array([model.noise(row) for row in rows])
    mean = np.array([model.initial((0.0, 0.0), row) for row in rows])
    gap = np.array([model.relax((0.0, 0.0), (0.0, 0.0), row)[2][0] for row in rows])
    if (noise[:, 0] <= 0.0).any():
        raise StudyError("sigma", "no voltage noise", "sigma > 0")
    return Network(sites.coupling, p, gap, noise[:, 0], noise[:, 1], e, b, q, mean, width)


def _linear_part(model: Model, p: Any) -> tuple[float, float, float]:
    """Return (e, b, q): the slopes the module equation asks to be constant."""
    m = c = (0.3, -0.2)

    def drift(v: float, w: float) -> np.ndarray:
        return np.array(model.drift((v, w), m, c, p), dtype=float)

    origin = drift(0.0, 0.0)
    e, q = drift(0.0, 1.0) - origin
    b = (drift(1.0, 0.0) - origin)[1]
    for v in _PROBES:
        for w in _PROBES:
            here, expected = drift(v, w), drift(v, 0.0)
            scale = 1e-9 * (1.0 + np.abs(here).max())
            affine = abs(here[1] - (origin[1] + b * v + q * w)) < scale
            if abs(here[0] - expected[0] - e * w) > scale or not affine:
                raise StudyError(
                    "solver",
                    "the drift is not f(v) + e w, b v + q w + c",
                    "FitzHugh-Nagumo",
                )
    return float(e), float(b), float(q)


def _spread(model: Model, p: Any) -> tuple[float, float]:
    """Return the standard deviations of the initial law."""
    centre = np.array(model.initial((0.0, 0.0), p))
    first = np.array(model.initial((1.0, 0.0), p)) - centre
    second = np.array(model.initial((0.0, 1.0), p)) - centre
    other = np.array(model.initial((-2.0, 3.0), p)) - centre
    if first[1] or second[0] or not np.allclose(other, 3.0 * second - 2.0 * first):
        raise StudyError("solver", "the initial law is not a product of two normal ones", "")
    return float(abs(first[0])), float(abs(second[1]))


def frame_width(network: Network, t: float) -> np.ndarray:
    """Return s(t)^2 [site]: from the initial variance to sigma^2/(2 gap) at rate 2 gap."""
    rest = network.sigma**2 / (2.0 * network.gap)
    return rest + (network.width[:, 0] ** 2 - rest) * np.exp(-2.0 * network.gap * t)


class Galerkin:
    """The equation cut to K x L modes: one Euler substep, explicit and implicit part.

    The state is [site, 3 + K L]: V, W, r^2 and the coefficients.
    """

    def __init__(self, model: Model, network: Network, modes: tuple[int, int]) -> None:
        self.model, self.network, self.modes = model, network, modes
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
        state[:, 3] = 1.0
        return state.ravel()

    def split(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return views [..., site, 3] and [..., site, K, L] of flat states [..., n]."""
        state = flat.reshape(*flat.shape[:-1], len(self.network.gap), -1)
        return state[..., :3], state[..., 3:].reshape(*state.shape[:-1], *self.modes)

    def drift(self, v: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return f(v) + e W [site, n] at voltages v [site, n], and b v + q W + c."""
        network = self.network
        inputs = network.coupling @ mean
        m = (mean[:, :1], mean[:, 1:2])
        c = (inputs[:, :1], inputs[:, 1:2])
        return np.stack(
            [
                np.broadcast_to(part, v.shape)
                for part in self.model.drift((v, m[1]), m, c, network.p)
            ]
        )

    def excess(
        self, mean: np.ndarray, s: np.ndarray, marginal: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (drift of the means without E, f(V + s u) - f(V) at the nodes, E)."""
        points = np.concatenate([mean[:, :1], mean[:, :1] + s[:, None] * self.nodes], axis=1)
        drift = self.drift(points, mean)
        rise = drift[0, :, 1:] - drift[0, :, :1]
        error = (rise * (self.weights * (marginal @ self.basis.T))).sum(axis=1)
        return drift[:, :, 0].T, rise, error

    def substep(self, flat: np.ndarray, t: float, h: float) -> np.ndarray:
        """Return the state after an Euler substep of size h, implicit in all that is stiff."""
        network = self.network
        moments, law = self.split(flat)
        mean, variance = moments[:, :2], moments[:, 2]
        s, r = np.sqrt(frame_width(network, t)), np.sqrt(variance)
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
        later = frame_width(network, t + h)
        stiff = h * network.sigma**2 / (2.0 * later)
        slow = (h * network.sigma_w**2 / (2.0 * variance))[:, None] * np.arange(self.modes[1])
        lift = h * network.e * r / np.sqrt(later)
        new_law[:, 0] = right[:, 0] / (1.0 + slow)
        for k in range(1, self.modes[0]):
            source = (lift * self.up_k[k])[:, None] * (new_law[:, k - 1] @ self.times_y)
            new_law[:, k] = (right[:, k] + source) / (1.0 + (stiff * k)[:, None] + slow)
        return new


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
    as in ``outputs``; status NOT_CONVERGED if a step fails or the cut modes matter (``tail`` keeps
    the residual then), DIVERGED if the solution leaves the finite numbers; all else is NaN then.

    Notes
    -----
    Order ``order`` in the step, adaptive; spectral in the modes; both uniform in eps.
    """
    network = read_network(model, params)
    modes = (options["voltage_modes"], options["recovery_modes"])
    galerkin = Galerkin(model, network, modes)
    times = np.array(record_times(options))
    n_sites = len(network.gap)
    status = Status.OK
    fast = max(
        float((network.sigma**2 / (2.0 * network.width[:, 0] ** 2)).max()), network.gap.max()
    )
    try:
        with np.errstate(all="ignore"):
            flat = integrate(
                galerkin.substep,
                galerkin.start(),
                times,
                galerkin.flat(options["tolerance"], options["law_tolerance"]),
                min(0.1 / fast, float(times[1])),
                options["order"],
            )
    except StepError:
        status = Status.NOT_CONVERGED
        flat = np.full((len(times), galerkin.start().size), np.nan)
    moments, law = galerkin.split(flat)
    norm = np.sqrt((law**2).sum(axis=(2, 3)))
    ends = law.copy()
    ends[:, :, :-2, :-2] = 0.0
    tail = np.sqrt((ends**2).sum(axis=(2, 3))) / norm
    if status is Status.OK:
        if not np.isfinite(flat).all():
            status = Status.DIVERGED
        elif tail.max() > options["largest_tail"]:
            status = Status.NOT_CONVERGED
    found = _arrays(galerkin, times, moments, law)
    if status is not Status.OK:
        found = {name: np.full_like(array, np.nan) for name, array in found.items()}
    found["tail"] = tail if np.isfinite(tail).all() else np.full((len(times), n_sites), np.nan)
    return Solution(
        {name: array[None] for name, array in found.items()}, np.array([status], np.int8)
    )


def _arrays(
    galerkin: Galerkin, times: np.ndarray, moments: np.ndarray, law: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the outputs that follow from the states [time, site, ...]."""
    network = galerkin.network
    s2 = np.stack([frame_width(network, t) for t in times])
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
