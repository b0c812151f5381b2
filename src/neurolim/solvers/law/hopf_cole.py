r"""The logarithm of the mean-field law: its tails, which no density on a grid can hold.

With x = v - V, y = w - W, D = sigma^2/2, B(v, w) the drift of v without gap junctions,

    log mu = -gap x^2/(2 D) - y^2/(2 r^2) - log(2 pi s r) + phibar + psi,       s^2 = D/gap,
    phibar = int_V^v (B - V') / D          (Blaustein & Bouin 2023, eq. (3.3)),
    dr^2/dt = sigma_w^2 + 2 q r^2          (the law of w carried along, with its own diffusion),

turns the equation of their phi_1 (3.2) into one for a small psi on x and zeta = y/r:

    psi_t + U psi_x + (b x/r + kappa zeta - 2 kappa r e x/D) psi_zeta
        - D (psi_xx + psi_x^2) - kappa (psi_zetazeta + psi_zeta^2) + R = 0,
    U = gap x - [f(V + x) - f(V)] - e y + E,          kappa = sigma_w^2/(2 r^2),
    R = { V' [f(V + x) - f(V)] + x (d_t B - V'' + e (W' + b x + q y)) } / D
        - b x y/r^2 + kappa (2 e x y/D - r^2 e^2 x^2/D^2).

U points outward at both ends of the box, so upwind differences in x need no boundary condition;
implicit, they are monotone for every step whatever gap.  Transport in zeta is followed along
characteristics with four-point interpolation.  The start is the paper's example: the model's normal
law times exp(n(v)/D), n' = f, normalised.  V, W and E come from the Gaussian closure, right to
O(eps^2).

Source: Blaustein & Bouin 2023, eqs (3.1)-(3.3); Quininao & Touboul 2020, sec. 6 (recovery
diffusion); derivation: docs/mean-field.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.linalg import solve_banded
from scipy.ndimage import map_coordinates

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, StudyError, Var
from neurolim.solvers.law.closure import Closure
from neurolim.solvers.parts.background import (
    Background,
    Means,
    Network,
    antiderivative,
    data,
    planar_network,
)
from neurolim.solvers.parts.gap_network import GAP_NETWORK
from neurolim.solvers.parts.needs import LINEAR_GAIN, variables
from neurolim.solvers.parts.times import LAYER_OPTIONS, record_times, state_coords

OPTIONS = (
    *LAYER_OPTIONS,
    Param("voltage_box", 3.0, doc="box |v - V| up to this", positive=True),
    Param("recovery_box", 2.5, doc="box |w - W| up to this, at t = 0; moves with r", positive=True),
    Param("voltage_points", 121, doc="points in v", kind="integer", low=11, high=5001),
    Param("recovery_points", 61, doc="points in w", kind="integer", low=11, high=5001),
    Param("dt", 0.01, "time", "largest step", positive=True),
    Param(
        "growth",
        0.2,
        doc="of the first steps, each on the one before; the first is growth/(2 gap)",
        positive=True,
        high=1.0,
    ),
    Param(
        "largest_loss",
        0.05,
        doc="refuse a result whose mass in the box, or offset, is wrong by more than this",
        positive=True,
    ),
)
#: What multiplies 1, x, x^2, x y and y^2 in log(mu) + gap x^2/(2D) + log s - n(v)/D - psi.
TERMS = ("1", "x", "x^2", "x y", "y^2")


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return psi on its grid, and all that turns it into the logarithm of the law."""
    dims = ("time", "site")
    return (
        Var("state_mean", "state", "mean of the site", (*dims, "variable")),
        Var("frame", "state", "s = sqrt(D/gap) and r", (*dims, "variable")),
        Var("psi", "1", "psi", (*dims, "offset_v", "offset_w")),
        Var(
            "expansion", "1", "log(mu) + gap x^2/(2D) + log s - n/D - psi by terms", (*dims, "term")
        ),
        Var("primitive", "1", "n(v)/D on the grid, n(0) = 0", (*dims, "offset_v")),
        Var(
            "mass",
            "1",
            "mass of the law in the box: 1 but for what is outside or wrong",
            dims,
            residual=True,
        ),
        Var(
            "offset",
            "1",
            "mean of (v - V)/s in the box: 0 but for what is wrong",
            dims,
            residual=True,
        ),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variables, grid and terms."""
    axes = state_coords(model, params, options)
    del axes["variable_b"]
    x, z = _grid(options)
    axes["offset_v"] = Coord(tuple(x.tolist()), "1", "x = v - V")
    axes["offset_w"] = Coord(tuple(z.tolist()), "1", "z = (w - W) r(0)/r")
    axes["term"] = Coord(TERMS, "1", "term")
    return axes


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return the time of the steps, the first hundred of them in the initial layer."""
    size = options["voltage_points"] * options["recovery_points"]
    sites = len(model.sites(params).labels)
    steps = 24.0 / options["growth"] + options["t_end"] / options["dt"] + options["records"]
    return Cost(
        0.2 + steps * sites * (1e-4 + 2.5e-7 * size), 8.0 * size * sites * options["records"]
    )


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse data whose width in v is not that of the limit law, or that have none in w.

    Raises
    ------
    StudyError
    """
    network = planar_network(model, params)
    record_times(options)
    if (network.width[:, 1] <= 0.0).any():
        symbol = model.symbols[network.order[1]]
        raise StudyError("model", f"the initial law of {symbol} has no width", "a spread > 0")
    prepared = network.sigma / np.sqrt(2.0 * network.gap)
    if not np.allclose(network.width[:, 0], prepared, rtol=1e-9):
        raise StudyError(
            "model",
            f"the initial width of {model.symbols[network.order[0]]} is not that of the limit law",
            "a spread of noise/sqrt(2 gap)",
        )


def _grid(options: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-options["voltage_box"], options["voltage_box"], options["voltage_points"])
    return x, np.linspace(
        -options["recovery_box"], options["recovery_box"], options["recovery_points"]
    )


@np.errstate(all="ignore")
def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Solve for psi from the paper's example of initial data.

    Returns
    -------
    as in ``outputs``; all is NaN but ``mass``, which says how much is left, and ``offset`` with
    the status OUT_OF_DOMAIN if the law does not fit the box, is too wide for the expansion, or if
    the flow enters the box at an end of v; DIVERGED if psi leaves the finite numbers; NOT_CONVERGED
    if the closure cannot be integrated.

    Notes
    -----
    First order in the steps (``dt`` and ``growth`` together, whatever eps) and in x, on a psi that
    is O(eps): the error of eps log(mu) is O(eps) times that.  In zeta psi is a low polynomial,
    which the interpolation follows nearly exactly.
    """
    network = planar_network(model, params)
    times = np.array(record_times(options))
    x, z = _grid(options)
    zeta = z / network.width[:, 1:]
    sites, diffusion = len(network.gap), network.sigma**2 / 2.0
    start, constant, shift = data(network)
    means = Means(network, Closure(model, params), start, float(times[-1]))
    shape = {"state_mean": (2,), "frame": (2,), "psi": (x.size, z.size), "expansion": (5,)}
    shape |= {"primitive": (x.size,), "mass": (), "offset": ()}
    arrays = {name: np.full((len(times), sites, *ends), np.nan) for name, ends in shape.items()}
    status = Status.OK if means.success else Status.NOT_CONVERGED
    psi = np.empty((sites, x.size, z.size))
    growth = options["growth"]
    t, dt = 0.0, 0.5 * growth / float(network.gap.max())
    for record, end in enumerate(times):
        while status is Status.OK and t < end:
            size = (end - t) / np.ceil((end - t) / min(dt, options["dt"]) - 1e-9)
            after = means(t + size)
            for s in range(sites):
                psi[s], inward = _step(network, s, x, zeta[s], psi[s], after, size)
                if inward:
                    status = Status.OUT_OF_DOMAIN
            t, dt = t + size, (1.0 + growth) * dt
            if end - t < 1e-12 * end:
                t = float(end)
        if status is not Status.OK:
            break
        background = means(t)
        primitive = antiderivative(network, background.mean, background.mean[:, :1] + x)
        if record == 0:
            psi[:] = _first_psi(network, background, primitive, constant, shift, x, zeta)
        arrays["psi"][record], arrays["primitive"][record] = psi, primitive / diffusion[:, None]
        arrays["expansion"][record] = _expansion(network, background)
        order = list(network.order)
        arrays["state_mean"][record][:, order] = background.mean
        arrays["frame"][record][:, order] = np.stack(
            [np.sqrt(diffusion / network.gap), background.r], axis=1
        )
        mass, offset = _moments(network, background, arrays["expansion"][record], psi, x, zeta)
        arrays["mass"][record], arrays["offset"][record] = mass, offset
        if not np.isfinite(psi).all():
            status = Status.DIVERGED
        elif max(np.abs(mass - 1.0).max(), np.abs(offset).max()) > options["largest_loss"]:
            status = Status.OUT_OF_DOMAIN
    if status is not Status.OK:
        lost = (var.name for var in outputs(model, options) if not var.residual)
        arrays |= {name: np.full_like(arrays[name], np.nan) for name in lost}
    return Solution({name: a[None] for name, a in arrays.items()}, np.array([status], np.int8))


def _steep(network: Network, background: Background) -> tuple[np.ndarray, np.ndarray]:
    """Return V' - e W and n(V) [site], what the law's logarithm is expanded about."""
    steep = background.velocity[:, 0] - network.e * background.mean[:, 1]
    return steep, antiderivative(network, background.mean, background.mean[:, :1])[:, 0]


def _expansion(network: Network, background: Background) -> np.ndarray:
    """Return what multiplies TERMS in the logarithm of the law [site, term]."""
    diffusion = network.sigma**2 / 2.0
    steep, base = _steep(network, background)
    return np.stack(
        [
            -np.log(2.0 * np.pi * background.r) - base / diffusion,
            -steep / diffusion,
            np.zeros(base.size),
            network.e / diffusion,
            -0.5 / background.r**2,
        ],
        axis=1,
    )


def _first_psi(
    network: Network,
    background: Background,
    primitive: np.ndarray,
    constant: np.ndarray,
    shift: np.ndarray,
    x: np.ndarray,
    zeta: np.ndarray,
) -> np.ndarray:
    """Return log of the paper's data minus everything but psi [site, x, zeta]."""
    diffusion = network.sigma**2 / 2.0
    steep, base = _steep(network, background)
    y = zeta * background.r[:, None]
    cross = (network.e / diffusion)[:, None, None] * x[:, None] * y[:, None, :]
    linear = (steep - network.gap * shift)[:, None, None] * x[:, None]
    offset = (base / diffusion + constant)[:, None, None]
    # The data's n sees the other sites at V_0, the primitive at V.
    moved = antiderivative(network, network.mean, background.mean[:, :1] + x) - primitive
    linear = linear + moved[:, :, None]
    psi: np.ndarray = linear / diffusion[:, None, None] + offset - cross
    return psi


def _moments(
    network: Network,
    background: Background,
    expansion: np.ndarray,
    psi: np.ndarray,
    x: np.ndarray,
    zeta: np.ndarray,
) -> np.ndarray:
    """Return mass and mean of (v - V)/s of the law in the box [2, site], by trapezoids."""
    y = np.linspace(-8.0, 8.0, 161)
    across = y * (network.sigma / np.sqrt(2.0 * network.gap))[:, None]
    diffusion = 0.5 * network.sigma[:, None] ** 2
    height = antiderivative(network, background.mean, background.mean[:, :1] + across) / diffusion
    integrals = np.empty((2, len(zeta)))
    for s, (r, v) in enumerate(zip(background.r, across[:, :, None], strict=True)):
        places = np.broadcast_arrays(
            (v - x[0]) / (x[1] - x[0]), (y - zeta[s, 0]) / (zeta[s, 1] - zeta[s, 0])
        )
        rise = map_coordinates(psi[s], places, order=1, mode="nearest") + height[s][:, None]
        rise += expansion[s, 0] + np.log(r) + v * (expansion[s, 1] + expansion[s, 3] * y * r)
        inside = (np.abs(v) <= x[-1]) & (np.abs(y) <= zeta[s, -1])
        density = np.where(inside, np.exp(rise - 0.5 * (y[:, None] ** 2 + y**2)), 0.0)
        integrals[:, s] = np.array([density.sum(), y @ density.sum(axis=1)]) * (y[1] - y[0]) ** 2
    return integrals


def _step(
    network: Network,
    s: int,
    x: np.ndarray,
    zeta: np.ndarray,
    psi: np.ndarray,
    after: Background,
    dt: float,
) -> tuple[np.ndarray, bool]:
    """Return psi of a site after dt, and whether the flow enters the box at an end of v."""
    e, b, q, gap = (float(a[s]) for a in (network.e, network.b, network.q, network.gap))
    d, noise = float(network.sigma[s] ** 2) / 2.0, float(network.sigma_w[s] ** 2)
    dx, dz = x[1] - x[0], zeta[1] - zeta[0]
    r = float(after.r[s])
    points = np.repeat(after.mean[:, :1], x.size + 1, axis=1)
    points[s, 1:] += x
    f = network.drift(points, after.mean)[0, s]
    rise = (f[1:] - f[0])[:, None]
    y, across = (zeta * r)[None, :], x[:, None]
    kappa = 0.5 * noise / r**2
    speed = gap * across - rise - e * y + after.error[s]
    inward = bool((speed[0] > 0.0).any() or (speed[-1] < 0.0).any())
    bend = after.field_change[s] - after.acceleration[s]
    source = (
        after.velocity[s, 0] * rise
        + across * (bend + e * (after.velocity[s, 1] + b * across + q * y))
    ) / d
    source = source - b * across * y / r**2
    source = source + kappa * (2.0 * e * across * y / d - (r * e * across / d) ** 2)

    # Along characteristics in zeta, then sources, then implicit upwind differences in x.
    drift = b * across / r + kappa * zeta - 2.0 * kappa * r * e * across / d
    moved = _interpolated(psi, (zeta - dt * drift - zeta[0]) / dz)
    slope = np.gradient(moved, dx, axis=0, edge_order=2)
    right = moved - dt * (source - d * slope**2)
    if kappa > 0.0:
        tilt = np.gradient(moved, dz, axis=1, edge_order=2)
        right += dt * kappa * (tilt**2 + np.gradient(tilt, dz, axis=1, edge_order=2))
    lower = -dt * (np.maximum(speed, 0.0) / dx + d / dx**2)
    upper = -dt * (np.maximum(-speed, 0.0) / dx + d / dx**2)
    lower[0] = upper[-1] = 0.0
    upper[0], lower[-1] = np.minimum(dt * speed[0], 0.0) / dx, -np.maximum(dt * speed[-1], 0.0) / dx
    # All columns of zeta in one banded system without coupling between them.
    bands = np.zeros((3, psi.size))
    bands[1] = (1.0 - lower - upper).T.ravel()
    bands[0, 1:] = upper.T.ravel()[:-1]
    bands[2, :-1] = lower.T.ravel()[1:]
    solved = solve_banded((1, 1), bands, right.T.ravel(), check_finite=False)
    return solved.reshape(zeta.size, x.size).T, inward


def _interpolated(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return rows of values at fractional places [x, zeta] by four-point Lagrange polynomials."""
    base = np.clip(np.floor(places).astype(int), 1, values.shape[1] - 3)
    u = places - base
    rows = np.arange(values.shape[0])[:, None]
    weights = (
        -u * (u - 1.0) * (u - 2.0) / 6.0,
        (u + 1.0) * (u - 1.0) * (u - 2.0) / 2.0,
        -(u + 1.0) * u * (u - 2.0) / 2.0,
        (u + 1.0) * u * (u - 1.0) / 6.0,
    )
    return sum(w * values[rows, base + k - 1] for k, w in enumerate(weights))


SOLVER = Solver(
    summary="Hopf-Cole potential of the mean-field law: its logarithm, tails included.",
    source="Blaustein & Bouin 2023, eqs (3.1)-(3.3)",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    needs=(variables(2, 2), *GAP_NETWORK, LINEAR_GAIN),
)
