r"""The mean-field (McKean-Vlasov) equation of infinitely many neurons, at any coupling strength.

    d_t mu + d_v[(f(v) + e y) mu] + div_y[(g(v) + q y) mu]
        = gap d_v[(v - V) mu] + (sigma^2/2) d_vv mu + sum_i (sigma_i^2/2) d_ii mu,

V, Y the means of mu, per site, f and g possibly seeing time and the means of other sites, is solved
in the frame u = (v - V)/s(t), eta = R(t)^-1 (y - Y), in which the law stays near a normal one:

    ds^2/dt = sigma^2 - 2 gap s^2          (the initial layer theta of Blaustein 2022, eq. (1.11)),
    P = R R^T, R lower triangular,  P' = q P + P q^T + G + G^T + diag(sigma_i^2)
                                           (the exact covariance of y, G = <g (y - Y)^T>).

With nu = phi(u) phi(eta) sum C_kl h_k(u) h_l(eta), l one degree per variable of y, U_i raising the
degree of eta_i, J_i multiplication by eta_i, lambda = sigma^2/(2 s^2), N = R^-1 diag(sigma^2) R^-T,
H = R^-1 (q R - R'),

    dC_k/dt = -lambda k C_k + sqrt(k) sum_i (e R/s)_i J_i C_{k-1} + sqrt(k) <F(u) h_{k-1} .>
              + sum_i U_i <(R^-1 (g - <g>))_i h_k .> + sum_ij U_i (H_ij J_j + N_ij U_j/2) C_k,
    F(u) = (f(V + s u) - f(V) - E)/s,      E = <f> - f(V),      V' = f(V) + E + e Y.

The stiff parts are implicit: -(lambda k + sum_i N_ii l_i/2), diagonal, and the second term, one
step up in k, solved by forward substitution; the rest is explicit.  Nothing explicit grows as
gap -> infinity, so step and cost do not depend on eps.  <.> of f and g is a Gauss rule: exact for
polynomial drifts.  C_0 = 1, C_1 = 0 and so on for all t: mass and means are exact to rounding.
Variables of y share one total degree, below ``recovery_modes``; with two of them a run takes three
times as long as with one, and three would take two hundred times as long: they are refused.

A law without width is given a thousandth of a percent of that which noise makes it, to begin with.

Source: Blaustein 2022, eqs (1.2), (1.6)-(1.11); discretisation: docs/mean-field.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, StudyError, Var
from neurolim.core.model import TIME
from neurolim.numerics import hermite
from neurolim.numerics.extrapolation import StepError, integrate
from neurolim.solvers.parts.gap_network import GAP_NETWORK, read_network
from neurolim.solvers.parts.hermite_law import Galerkin, total_degrees
from neurolim.solvers.parts.needs import variables
from neurolim.solvers.parts.times import LAYER_OPTIONS, record_times, state_coords

OPTIONS = (
    *LAYER_OPTIONS,
    Param("voltage_modes", 24, doc="Hermite modes in v", kind="integer", low=6, high=120),
    Param(
        "recovery_modes", 16, doc="Hermite modes in what is linear", kind="integer", low=4, high=120
    ),
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
#: Names of the mode numbers of y: as many variables as there are names.
_REST = ("recovery_mode", "recovery_mode_b")


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return means, covariance, the law in its frame, and how far it can be trusted."""
    dims = ("time", "site", "variable")
    return (
        Var("state_mean", "state", "mean of the site", dims),
        Var("covariance", "state^2", "covariance of the site", (*dims, "variable_b")),
        Var("frame", "state", "unit of the frame: s for v, standard deviation of the rest", dims),
        Var(
            "coefficients",
            "1",
            "Hermite coefficients C_kl of the law in its frame",
            ("time", "site", "voltage_mode", *_REST[: len(model.state) - 1]),
        ),
        Var("drift_error", "state/time", "E = mean of f(v) minus f(mean)", ("time", "site")),
        Var(
            "tail_share",
            "1",
            "share of the norm in the last two modes of v or y",
            ("time", "site"),
            residual=True,
        ),
        Var(
            "negative",
            "1",
            "probability mass below zero: how far the cut series is from positive",
            ("time", "site"),
        ),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variables and mode numbers."""
    axes = state_coords(model, params, options)
    for name in ("voltage_mode", *_REST[: len(model.state) - 1]):
        count = options[f"{name.removesuffix('_b')}s"]
        axes[name] = Coord(tuple(float(k) for k in range(count)), "1", "degree")
    return axes


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return what about 40 steps per unit of time and 60 for the initial layer take."""
    sites = len(model.sites(params).labels)
    rest = len(model.state) - 1
    modes = options["voltage_modes"] * len(total_degrees(rest, options["recovery_modes"]))
    kept = options["voltage_modes"] * options["recovery_modes"] ** rest
    substeps = options["order"] * (options["order"] + 3) / 2
    steps = max(60.0 + 40.0 * options["t_end"], float(options["records"]))
    seconds = 0.05 + steps * substeps * (6e-5 + _SECONDS_PER_MODE * modes * sites)
    return Cost(seconds, 1e7 + 8.0 * sites * (kept * options["records"] + 20 * modes))


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse gap junctions that do not act, and laws without density.

    Raises
    ------
    StudyError
    """
    network = read_network(model, params)
    record_times(options)
    sharp = (network.width[:, 1:] <= 0.0) & (network.sigma_y <= 0.0)
    if sharp.any():
        name = model.state[network.order[1 + int(np.argmax(sharp.any(axis=0)))]].symbol
        problem = f"the initial law of {name} has no width, and no noise gives it one"
        raise StudyError("model", problem, "a spread > 0, or noise")
    widest = float(network.width[:, 0].max())
    if 0.0 < options["theta_start"] <= widest / np.sqrt(1.9):
        raise StudyError(
            "theta_start",
            f"{options['theta_start']:g} is too narrow a frame for data of width {widest:g}",
            f"above {widest / np.sqrt(1.9):.3g}, or 0",
        )


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
    solution leaves the finite numbers; all is NaN then but ``tail_share``, the residual of every
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
    if status is Status.OK:
        records = _arrays(galerkin, times, moments, law, modes[1])
    else:
        sizes = {name: len(part.values) for name, part in coords(model, params, options).items()}
        records = {
            var.name: np.full([sizes[dim] for dim in var.dims], np.nan)
            for var in outputs(model, options)
        }
    records["tail_share"] = galerkin.tail(flat)
    return Solution(
        {name: array[None] for name, array in records.items()}, np.array([status], np.int8)
    )


def _arrays(
    galerkin: Galerkin, times: np.ndarray, moments: np.ndarray, law: np.ndarray, modes: int
) -> dict[str, np.ndarray]:
    """Return the outputs that follow from states [time, site, ...], the model's order kept."""
    network, rest, d = galerkin.network, galerkin.rest, galerkin.d
    s2 = np.stack([network.frame_variance(t, galerkin.first) for t in times])
    s, variance = np.sqrt(s2), galerkin.covariance(moments)
    root = np.linalg.cholesky(variance)
    covariance = np.empty((*s.shape, d, d))
    covariance[..., 0, 0] = s2 * (1.0 + np.sqrt(2.0) * law[:, :, 2, 0])
    mixed = s[..., None] * (root @ law[:, :, 1, rest.first, None])[..., 0]
    covariance[..., 0, 1:] = covariance[..., 1:, 0] = mixed
    second = np.empty_like(variance)
    for i in range(d - 1):
        for j in range(d - 1):
            both = int(rest.above[i, rest.first[j]])
            second[..., i, j] = (i == j) + np.sqrt(1.0 + (i == j)) * law[:, :, 0, both]
    covariance[..., 1:, 1:] = root @ second @ root.swapaxes(-1, -2)
    error = np.stack(
        [
            galerkin.excess(moments[k, :, :d], s[k], law[k, :, :, 0], t)[2][:, 0]
            for k, t in enumerate(times)
        ]
    )
    frame = np.concatenate(
        [s[..., None], np.sqrt(np.diagonal(variance, axis1=2, axis2=3))], axis=-1
    )
    box = rest.box(law, modes)
    order = network.places
    return {
        "state_mean": moments[:, :, :d][..., order],
        "covariance": covariance[..., order, :][..., order],
        "frame": frame[..., order],
        "coefficients": box,
        "drift_error": error,
        "negative": _negative(box),
    }


def _negative(law: np.ndarray) -> np.ndarray:
    """Return the mass below zero [time, site] of laws of these coefficients."""
    degrees = law.shape[2:]
    grid = np.linspace(-7.0, 7.0, 57 if len(degrees) < 3 else 29)
    cell = (grid[1] - grid[0]) ** len(degrees)
    masses = np.empty(law.shape[:2])
    for index in np.ndindex(*masses.shape):
        density = law[index]
        # Each product takes the first axis away and puts that of the grid last.
        for count in degrees:
            density = np.tensordot(density, hermite.functions(grid, count), axes=(0, 1))
        masses[index] = -cell * np.minimum(density, 0.0).sum()
    return masses


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
    takes=frozenset({TIME}),
    needs=(variables(1, 1 + len(_REST)), *GAP_NETWORK),
)
