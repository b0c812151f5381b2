r"""The law of voltage and conductance: Fokker-Planck equation, its stationary state and its gap.

    d_t f + d_v [ b_v f ] + d_g [ b_g f ] - a^2 d_gg f = 0   on [V_L, V_E] x [0, inf),

v the first variable, which has a range, g the second, which has a floor (here 0) and noise, b the
drift of the model, which may depend on the means of the law (the non-linear equation of the
mean-field limit).  No mass leaves: b_v points inward at both reversal potentials, and the flux
b_g f - a^2 d_g f vanishes at g = 0.

Finite volumes on [V_L, V_E] x [0, g_max].  In g the exponentially fitted flux of Scharfetter and
Gummel, second order; in v the upwind flux, first order, or for the gap the third-order flux biased
upstream.  With the upwind flux the generator has non-negative rates between cells and zero column
sums, so implicit Euler keeps mass to rounding and signs for every step.  The stationary state comes
from one sparse direct solution (a fixed point over the means if the equation is non-linear), the
spectral gap from shift-invert ARPACK.  Everything, moments in time too, is extrapolated over three
grids, h, h/1.5 and h/2, with steps in proportion; the difference between extrapolation from three
and from two grids is the error estimate.

For a non-linear equation the gap is that of the generator linearised about the stationary state,
whose dependence on the means is a perturbation of low rank (Woodbury's identity).

Sources: Herda, Monmarche & Perthame 2024, eqs (1), (21), with a^2 before d_gg and gamma in the
flux (docs/contraction.md); Scharfetter & Gummel 1969; Lehoucq, Sorensen & Yang 1998 (ARPACK).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs, splu

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, StudyError, Var
from neurolim.numerics.structure import derivatives_of
from neurolim.solvers.parts.cells import VOLTAGE_AND_CONDUCTANCE, Grid, feels_means, top_of
from neurolim.solvers.parts.compiled import COMPILED
from neurolim.solvers.parts.needs import noise_key, one_site
from neurolim.solvers.parts.times import TIME_OPTIONS, record_times, state_coords, steps_per_record

#: Grids of the extrapolation, in units of the coarsest.
REFINEMENTS = (1.0, 1.5, 2.0)
_FIXED_POINT_STEPS = 200
#: Along one axis; a factorisation of so many squared fills the largest machines.
_MOST_CELLS = 4096

OPTIONS = (
    Param(
        "n_voltage",
        64,
        doc="voltage cells of the coarsest grid",
        kind="integer",
        low=8,
        high=_MOST_CELLS,
    ),
    Param(
        "n_conductance",
        64,
        doc="conductance cells of the coarsest grid",
        kind="integer",
        low=8,
        high=_MOST_CELLS,
    ),
    Param(
        "reach",
        6.0,
        doc="g_max is this many standard deviations a/sqrt(gamma) above the largest target",
        low=3.0,
        high=20.0,
    ),
    Param("dt", 0.05, "time", "step of implicit Euler on the coarsest grid", positive=True),
    Param(
        "gap_tolerance",
        0.02,
        doc="largest relative error estimate of the gap that counts as converged",
        positive=True,
    ),
    Param("gap", True, doc="compute the spectral gap", kind="boolean"),
    Param("evolve", True, doc="solve the equation in time too", kind="boolean"),
    *TIME_OPTIONS,
)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return moments in time, the stationary law and the spectral gap."""
    by_variable = ("time", "site", "variable")
    quantities = []
    if options["evolve"]:
        quantities = [
            Var("state_mean", "state", "mean of the law", by_variable),
            Var("covariance", "state^2", "covariance of the law", (*by_variable, "variable_b")),
            Var("state_mean_error", "state", "error estimate of the mean", by_variable),
            Var("covariance_error", "state^2", "error estimate", (*by_variable, "variable_b")),
            Var("mass", "1", "mass of the law", ("time",)),
            Var("lowest", "1", "smallest mass in a cell", ("time",)),
        ]
    quantities += [
        Var("stationary_mean", "state", "mean of the stationary law", by_variable[1:]),
        Var(
            "stationary_covariance",
            "state^2",
            "covariance of the stationary law",
            (*by_variable[1:], "variable_b"),
        ),
        Var("stationary_mean_error", "state", "error estimate", by_variable[1:]),
        Var(
            "stationary_covariance_error",
            "state^2",
            "error estimate",
            (*by_variable[1:], "variable_b"),
        ),
        Var("density", "1/state^2", "stationary density on the finest grid", ("v_cell", "g_cell")),
        Var("v_centre", "state", "voltage of a cell", ("v_cell",)),
        Var("g_centre", "state", "conductance of a cell", ("g_cell",)),
    ]
    if options["gap"]:
        quantities += [
            Var("gap", "1/time", "spectral gap, extrapolated"),
            Var("gap_error", "1/time", "error estimate of the gap"),
            Var("gap_levels", "1/time", "spectral gap on each grid", ("grid",)),
        ]
    return tuple(quantities)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variables, cell numbers of the finest grid and the grids' refinement."""
    axes = state_coords(model, params, options)
    nv, ng = _shape(options, REFINEMENTS[-1])
    axes["v_cell"] = Coord(tuple(float(i) for i in range(nv)), "1", "voltage cell")
    axes["g_cell"] = Coord(tuple(float(i) for i in range(ng)), "1", "conductance cell")
    axes["grid"] = Coord(REFINEMENTS, "1", "refinement of the grid")
    return axes


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return three factorisations per quantity, and solutions in time on the coarsest grid."""
    cells = options["n_voltage"] * options["n_conductance"]
    steps = options["t_end"] / options["dt"] if options["evolve"] else 0.0
    nonlinear = _nonlinear(model, params)
    # Measured: one factorisation per grid, ten for a fixed point over the means, then the gap.
    factors = (0.8 if nonlinear else 0.08) + (0.48 if options["gap"] else 0.0)
    per_step = 2e-5 if nonlinear else 2e-6
    seconds = factors * (cells / 4096) ** 1.25 + steps * cells * per_step
    return Cost(0.01 + seconds, 3e4 * cells)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse other noise than that of the module equation, several sites, and bad time steps.

    Raises
    ------
    StudyError
    """
    sites, (v, g) = one_site(model.sites(params)), model.symbols
    noise = model.equations.noise(sites.params[0])
    if noise[0] != 0.0:
        raise StudyError(noise_key(model, v), f"{v} has noise {noise[0]:g}", "no noise in it")
    if noise[1] <= 0.0:
        problem = f"the law has no density without noise in {g}"
        raise StudyError(noise_key(model, g), problem, "an amplitude > 0")
    top_of(model, sites, options["reach"])
    steps_per_record(options)


def _nonlinear(model: Model, params: Mapping[str, Any]) -> bool:
    """Return whether the drift depends on the means where the law starts, to predict costs."""
    sites = model.sites(params)
    p, weight = sites.params[0], float(sites.coupling[0, 0])
    x = model.equations.initial((0.0,) * len(model.state), p)
    m = (*x, *model.equations.field(x, p))
    at = (x, m, tuple(weight * mean for mean in m), p)

    def known() -> bool:
        slopes = derivatives_of(model)
        both = zip(slopes.drift_m(*at), slopes.drift_c(*at), strict=True)
        return any(direct + weight * carried != 0.0 for direct, carried in both)

    return feels_means(model, known)


def _shape(options: Mapping[str, Any], refinement: float) -> tuple[int, int]:
    """Return the numbers of cells of a grid."""
    return round(options["n_voltage"] * refinement), round(options["n_conductance"] * refinement)


def stationary(grid: Grid, third_order: bool = False) -> np.ndarray:
    """Return the stationary masses of cells, by a sparse direct solution.

    Parameters
    ----------
    grid : the equation on its cells
    third_order : see ``Grid.generator``

    Raises
    ------
    ArithmeticError : the fixed point over the means was not found
    """
    means = grid.observed.mean(axis=1)
    nonlinear = grid.nonlinear
    for _ in range(_FIXED_POINT_STEPS):
        generator = grid.generator(means, third_order)
        # One balance follows from the others: fix one mass, drop its balance.
        keep = generator.shape[0] // 2
        rest = np.delete(np.arange(generator.shape[0]), keep)
        masses = np.ones(generator.shape[0])
        masses[rest] = splu(generator[rest][:, rest]).solve(
            -generator[rest][:, [keep]].toarray().ravel()
        )
        masses /= masses.sum()
        updated = grid.means(masses)
        if not nonlinear or np.abs(updated - means).max() < 1e-11:
            return masses
        means = updated
    raise ArithmeticError("no fixed point of the means")


def spectral_gap(grid: Grid) -> float:
    """Return minus the real part of the leading eigenvalue below 0 of the generator.

    Parameters
    ----------
    grid : the equation on its cells; a non-linear one is linearised at its stationary state

    Raises
    ------
    ArithmeticError, ArpackError : not converged
    """
    masses = stationary(grid, third_order=True)
    means = grid.means(masses)
    generator = grid.generator(means, third_order=True)
    n = generator.shape[0]
    low_rank: np.ndarray = np.zeros((n, 0))
    observed = np.zeros((0, n))
    if grid.nonlinear:
        low_rank, observed = grid.response(means, masses, third_order=True), grid.observed
    # A little above zero, so that the stationary state is not singular; in units of relaxation.
    shift = 1e-3 * float(-grid.drift(means, 1, grid.v, np.array([0.0, 1.0]))[:, 1].min() + 1.0)
    shift = max(abs(shift), 1e-4)
    solver = splu((generator - shift * sparse.identity(n)).tocsc())
    image = solver.solve(low_rank) if low_rank.size else low_rank
    small = np.linalg.inv(np.eye(low_rank.shape[1]) + observed @ image)

    def inverse(x: np.ndarray) -> np.ndarray:
        y = solver.solve(np.ascontiguousarray(x))
        solved: np.ndarray = y - image @ (small @ (observed @ y))
        return solved

    operator = LinearOperator((n, n), matvec=lambda x: generator @ x, dtype=float)
    values = eigs(
        operator,
        k=4,
        sigma=shift,
        OPinv=LinearOperator((n, n), matvec=inverse, dtype=float),
        v0=np.cos(np.arange(n)) + masses * n,
        return_eigenvectors=False,
        tol=1e-10,
    )
    # The stationary state is the eigenvalue nearest zero.
    values = np.delete(values, np.argmin(np.abs(values)))
    return float(-values.real.max())


def extrapolate(values: np.ndarray, orders: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the limit of values on the three grids, and the change from two grids to three.

    Parameters
    ----------
    values : on the grids of REFINEMENTS [3, ...]
    orders : exponents of the two leading errors

    Returns
    -------
    limit [...] and error estimate [...]
    """
    h = 1.0 / np.array(REFINEMENTS)
    full = np.stack([h**0, h ** orders[0], h ** orders[1]], axis=1)
    flat = values.reshape(3, -1)
    three = np.linalg.solve(full, flat)[0]
    two = np.linalg.solve(full[1:, :2], flat[1:])[0]
    return three.reshape(values.shape[1:]), np.abs(three - two).reshape(values.shape[1:])


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Solve the equation in time, for its stationary state, and for its spectral gap.

    Returns
    -------
    arrays [1, ...] as in ``outputs``; NaN and NOT_CONVERGED where an iteration did not converge
    or the gap's error estimate is above ``gap_tolerance``
    """
    grids = [Grid(model, params, _shape(options, r), options["reach"]) for r in REFINEMENTS]
    arrays: dict[str, Any] = {}
    status = Status.OK
    try:
        laws = [stationary(grid) for grid in grids]
        moments = [grid.moments(law) for grid, law in zip(grids, laws, strict=True)]
        for name, levels in zip(("mean", "covariance"), zip(*moments, strict=True), strict=True):
            value, error = extrapolate(np.stack(levels), (1, 2))
            arrays |= {f"stationary_{name}": value[None], f"stationary_{name}_error": error[None]}
        fine = grids[-1]
        area = (fine.v_faces[1] - fine.v_faces[0]) * (fine.g_faces[1] - fine.g_faces[0])
        arrays |= {"density": laws[-1].reshape(fine.shape) / area}
        arrays |= {"v_centre": fine.v, "g_centre": fine.g}
        if options["gap"]:
            levels = np.array([spectral_gap(grid) for grid in grids])
            gap, error = extrapolate(levels, (2, 3))
            arrays |= {"gap": gap, "gap_error": error, "gap_levels": levels}
            if not error <= options["gap_tolerance"] * gap:
                status = Status.NOT_CONVERGED
        if options["evolve"]:
            arrays |= _evolved(grids, model, params, options)
    except (ArithmeticError, ArpackError, RuntimeError):
        status = Status.NOT_CONVERGED
    if status != Status.OK or not all(np.isfinite(value).all() for value in arrays.values()):
        status = status or Status.DIVERGED
        sizes = {name: len(coord.values) for name, coord in coords(model, params, options).items()}
        arrays = {
            var.name: np.full([sizes[dim] for dim in var.dims], np.nan)
            for var in outputs(model, options)
        }
    return Solution(
        {name: np.asarray(value)[None] for name, value in arrays.items()},
        np.array([status], np.int8),
    )


def _evolved(
    grids: list[Grid], model: Model, params: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return moments at the record times, extrapolated, and mass and sign on the finest grid."""
    # Steps shrink with the cells, so that errors of time and space vanish together.
    even = steps_per_record(options) + steps_per_record(options) % 2
    runs = [
        _in_time(grid, round(even * r), model, params, options)
        for grid, r in zip(grids, REFINEMENTS, strict=True)
    ]
    values = {name: runs[-1][name] for name in ("mass", "lowest")}
    for name in ("state_mean", "covariance"):
        levels = np.stack([run[name] for run in runs])
        values[name], values[f"{name}_error"] = extrapolate(levels, (1, 2))
    return values


def _in_time(
    grid: Grid, steps: int, model: Model, params: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return moments, mass and smallest mass of the law at the record times.

    ``steps`` of implicit Euler are made between records; in a non-linear equation the means are
    those of the step's start.
    """
    masses = grid.start(model, params)
    dt = options["t_end"] / options["records"] / steps
    nonlinear = grid.nonlinear
    identity = sparse.identity(masses.size, format="csc")
    solver = None
    mean, covariance, mass, lowest = [], [], [], []
    for record in range(len(record_times(options))):
        for _ in range(steps if record else 0):
            if solver is None or nonlinear:
                solver = splu(identity - dt * grid.generator(grid.means(masses)))
            masses = solver.solve(masses)
        m, c = grid.moments(masses)
        mean.append(m[None])
        covariance.append(c[None])
        mass.append(masses.sum())
        lowest.append(masses.min())
    return {
        "state_mean": np.stack(mean),
        "covariance": np.stack(covariance),
        "mass": np.array(mass),
        "lowest": np.array(lowest),
    }


SOLVER = Solver(
    summary="Fokker-Planck equation of voltage and conductance, stationary law, spectral gap.",
    source="Herda, Monmarche & Perthame 2024, eqs (1), (21); Scharfetter & Gummel 1969",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    needs=(*VOLTAGE_AND_CONDUCTANCE, COMPILED),
)
