r"""The law of voltage and conductance: Fokker-Planck equation, its stationary state and its gap.

    d_t f + d_v [ b_v f ] + d_g [ b_g f ] - a^2 d_gg f = 0   on [V_L, V_E] x [0, inf),

b the drift of the model, which may depend on the means of the law (the non-linear equation of the
mean-field limit).  No mass leaves: b_v points inward at both reversal potentials, and the flux
b_g f - a^2 d_g f vanishes at g = 0.

Finite volumes on [V_L, V_E] x [0, g_max].  In g the exponentially fitted flux of Scharfetter and
Gummel, second order; in v the upwind flux, first order, or for the gap the third-order flux
biased upstream.  With the upwind flux the generator has non-negative rates
between cells and zero column sums, so implicit Euler keeps mass to rounding and signs for every
step.  The stationary state comes from one sparse direct solution (a fixed point over the means if
the equation is non-linear), the spectral gap from shift-invert ARPACK.  Everything, moments in time
too, is extrapolated over three grids, h, h/1.5 and h/2, with steps in proportion; the difference
between extrapolation from three and from two grids is the error estimate.

For a non-linear equation the gap is that of the generator linearised about the stationary state,
whose dependence on the means is a perturbation of low rank (Woodbury's identity).

Sources: Herda, Monmarche & Perthame 2024, eqs (1), (21), with a^2 before d_gg and gamma in the
flux (docs/contraction.md); Scharfetter & Gummel 1969; Lehoucq, Sorensen & Yang 1998 (ARPACK).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple
from scipy import sparse
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs, splu
from scipy.special import ndtri

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, StudyError, Var
from neurolim.numerics.cache import keep_compiled, named
from neurolim.provenance import code_digest
from neurolim.solvers._times import TIME_OPTIONS, record_times, state_coords

#: Grids of the extrapolation, in units of the coarsest.
REFINEMENTS = (1.0, 1.5, 2.0)
_FIXED_POINT_STEPS = 200

OPTIONS = (
    Param("n_voltage", 64, doc="voltage cells of the coarsest grid", kind="integer", low=8),
    Param("n_conductance", 64, doc="conductance cells of the coarsest grid", kind="integer", low=8),
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
    found = []
    if options["evolve"]:
        found = [
            Var("mean", "state", "mean of the law", by_variable),
            Var("covariance", "state^2", "covariance of the law", (*by_variable, "variable_b")),
            Var("mean_error", "state", "error estimate of the mean", by_variable),
            Var("covariance_error", "state^2", "error estimate", (*by_variable, "variable_b")),
            Var("mass", "1", "mass of the law", ("time",)),
            Var("lowest", "1", "smallest mass in a cell", ("time",)),
        ]
    found += [
        Var("stationary_mean", "state", "mean of the stationary law", by_variable[1:]),
        Var(
            "stationary_covariance",
            "state^2",
            "covariance of the stationary law",
            (*by_variable[1:], "variable_b"),
        ),
        Var("density", "1/state^2", "stationary density on the finest grid", ("v_cell", "g_cell")),
        Var("v_centre", "state", "voltage of a cell", ("v_cell",)),
        Var("g_centre", "state", "conductance of a cell", ("g_cell",)),
    ]
    if options["gap"]:
        found += [
            Var("gap", "1/time", "spectral gap, extrapolated"),
            Var("gap_error", "1/time", "error estimate of the gap"),
            Var("gap_levels", "1/time", "spectral gap on each grid", ("grid",)),
        ]
    return tuple(found)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variables, cell numbers of the finest grid and the grids' refinement."""
    found = state_coords(model, params, options)
    nv, ng = _shape(options, REFINEMENTS[-1])
    found["v_cell"] = Coord(tuple(float(i) for i in range(nv)), "1", "voltage cell")
    found["g_cell"] = Coord(tuple(float(i) for i in range(ng)), "1", "conductance cell")
    found["grid"] = Coord(REFINEMENTS, "1", "refinement of the grid")
    return found


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return three factorisations per quantity, and solutions in time on the coarsest grid."""
    cells = options["n_voltage"] * options["n_conductance"]
    steps = options["t_end"] / options["dt"] if options["evolve"] else 0.0
    per_step = 3e-5 if _feels_means(model, params) else 2e-6
    seconds = 3.0 * (cells / 4096) ** 1.5 + steps * cells * per_step
    return Cost(0.3 + seconds, 3e4 * cells)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse models without voltage and conductance, without noise, and bad time steps.

    Raises
    ------
    StudyError
    """
    if not {"leak_voltage", "excitatory_voltage"} <= set(params) or len(model.state) != 2:
        raise StudyError(
            "solver",
            "fokker_planck needs a voltage between two reversal potentials and a conductance",
            "model morris_lecar",
        )
    sites = model.prepare(params)
    if len(sites.labels) != 1:
        raise StudyError("solver", f"fokker_planck needs one site, got {len(sites.labels)}")
    if model.noise(sites.params[0])[1] <= 0.0:
        raise StudyError("noise", "the law has no density without noise", "noise > 0")
    _stride(options)


def _stride(options: Mapping[str, Any]) -> int:
    """Return the steps between two records, or raise StudyError."""
    interval = options["t_end"] / options["records"]
    stride = round(interval / options["dt"])
    if stride < 1 or abs(stride * options["dt"] / interval - 1.0) > 1e-9:
        raise StudyError(
            "dt",
            f"{options['dt']:g} does not divide the recording interval {interval:g}",
            "t_end/records divided by an integer",
        )
    return int(stride)


def _feels_means(model: Model, params: Mapping[str, Any]) -> bool:
    """Return whether the drift depends on the means of the law."""
    (p,) = model.prepare(params).params
    x = model.initial((0.0, 0.0), p)
    n_means = 2 + len(model.field(x, p))
    zero, one = (0.0,) * n_means, (1.0,) * n_means
    found: bool = model.drift(x, zero, zero, p) != model.drift(x, one, zero, p)
    return found


def _shape(options: Mapping[str, Any], refinement: float) -> tuple[int, int]:
    """Return the numbers of cells of a grid."""
    return round(options["n_voltage"] * refinement), round(options["n_conductance"] * refinement)


class Kernels(NamedTuple):
    """Compiled evaluation of a model on a grid.

    n_means : state variables and fields
    drift : (v, g, row, means, inputs, component, out [n_v, n_g])
    observe : (v, g, row, out [n_means, n_v, n_g]), what enters the means
    """

    n_means: int
    drift: Callable[..., None]
    observe: Callable[..., None]


_compiling = Lock()


def kernels(model: Model) -> Kernels:
    """Return the compiled evaluation of a model's drift and fields on grids, built once.

    Parameters
    ----------
    model : with two state variables
    """
    with _compiling:
        return _build(model)


@lru_cache(maxsize=16)
def _build(model: Model) -> Kernels:
    sites = model.prepare({param.name: param.default for param in model.params})
    parameters_class = type(sites.params[0])
    n_parameters = len(sites.params[0])
    n_means = 2 + len(model.field((0.5, 0.5), sites.params[0]))
    tag = f"{code_digest(__name__, model.drift.__module__)}_law"

    def inline(function: Any) -> Any:
        return njit(error_model="numpy", forceinline=True)(named(function, tag))

    def compiled(function: Any) -> Any:
        return njit(error_model="numpy", nogil=True)(named(function, tag))

    slope, field = inline(model.drift), inline(model.field)

    @compiled
    def drift(v, g, row, means, inputs, component, out):
        p = parameters_class(*to_fixed_tuple(row, n_parameters))
        m, c = to_fixed_tuple(means, n_means), to_fixed_tuple(inputs, n_means)
        for i in range(v.size):
            for j in range(g.size):
                both = slope((v[i], g[j]), m, c, p)
                out[i, j] = both[0] if component == 0 else both[1]

    @compiled
    def observe(v, g, row, out):
        p = parameters_class(*to_fixed_tuple(row, n_parameters))
        for i in range(v.size):
            for j in range(g.size):
                found = (v[i], g[j]) + field((v[i], g[j]), p)  # noqa: RUF005
                for k in range(n_means):
                    out[k, i, j] = found[k]

    return Kernels(n_means, keep_compiled(drift, tag), keep_compiled(observe, tag))


def _bernoulli(x: np.ndarray) -> np.ndarray:
    """Return x/(e^x - 1), 1 at 0, for any x."""
    x = np.clip(x, -700.0, 700.0)
    near = np.abs(x) < 1e-8
    return np.where(near, 1.0 - 0.5 * x, x / np.expm1(np.where(near, 1.0, x)))


class Grid:
    """Cells of one grid and the generator of the law on it.

    Parameters
    ----------
    model, params : the equation
    shape : numbers of cells (voltage, conductance)
    reach : of the grid in g, see OPTIONS
    """

    def __init__(
        self, model: Model, params: Mapping[str, Any], shape: tuple[int, int], reach: float
    ) -> None:
        sites = model.prepare(params)
        self.kernels = kernels(model)
        self.row = np.array([float(value) for value in sites.params[0]])
        self.coupling = float(sites.coupling[0, 0])
        self.shape = shape
        self.diffusion = 0.5 * model.noise(sites.params[0])[1] ** 2
        low, high = params["leak_voltage"], params["excitatory_voltage"]
        self.v_faces = np.linspace(low, high, shape[0] + 1)
        self.g_faces = np.linspace(0.0, self._top(low, high, reach), shape[1] + 1)
        self.v = 0.5 * (self.v_faces[1:] + self.v_faces[:-1])
        self.g = 0.5 * (self.g_faces[1:] + self.g_faces[:-1])
        observed = np.empty((self.kernels.n_means, *shape))
        self.kernels.observe(self.v, self.g, self.row, observed)
        self.observed = observed.reshape(self.kernels.n_means, -1)

    def _top(self, low: float, high: float, reach: float) -> float:
        """Return g_max: the conductance's drift is affine in g with the slope -gamma."""
        v = np.linspace(low, high, 65)
        largest, rate = 0.0, 1.0
        observed = np.empty((self.kernels.n_means, v.size, 1))
        self.kernels.observe(v, np.zeros(1), self.row, observed)
        for extreme in (observed.min(axis=(1, 2)), observed.max(axis=(1, 2))):
            both = np.empty((v.size, 2))
            inputs = self.coupling * extreme
            self.kernels.drift(v, np.array([0.0, 1.0]), self.row, extreme, inputs, 1, both)
            rate = float((both[:, 0] - both[:, 1]).min())
            largest = max(largest, float(both[:, 0].max()) / rate)
        return float(largest + reach * np.sqrt(self.diffusion / rate))

    def drift(self, means: np.ndarray, component: int, v: np.ndarray, g: np.ndarray) -> np.ndarray:
        """Return one component of the drift [v, g] given the means of the law.

        Parameters
        ----------
        means : of state variables and fields [n_means]
        component : 0 for the voltage, 1 for the conductance
        v, g : where
        """
        out = np.empty((v.size, g.size))
        self.kernels.drift(v, g, self.row, means, self.coupling * means, component, out)
        return out

    def generator(self, means: np.ndarray, third_order: bool = False) -> sparse.csc_matrix:
        """Return A of dp/dt = A p, p the masses of cells; columns sum to zero.

        Parameters
        ----------
        means : of the law [n_means]
        third_order : reconstruct the voltage flux (signs are then not kept)
        """
        nv, ng = self.shape
        dv, dg = self.v_faces[1] - self.v_faces[0], self.g_faces[1] - self.g_faces[0]
        cell = np.arange(nv * ng).reshape(nv, ng)
        rows, columns, values = [], [], []

        def flux(source: np.ndarray, left: np.ndarray, right: np.ndarray, rate: Any) -> None:
            """Move mass of the source cells from left to right at a rate."""
            for place, sign in ((left, -1.0), (right, 1.0)):
                rows.append(place.ravel())
                columns.append(source.ravel())
                values.append(sign * np.broadcast_to(rate, source.shape).ravel())

        speed = self.drift(means, 0, self.v_faces[1:-1], self.g) / dv
        up, down = np.maximum(speed, 0.0), np.maximum(-speed, 0.0)
        left, right = cell[:-1], cell[1:]
        flux(left, left, right, up)
        flux(right, right, left, down)
        if third_order:
            # Face value (2 f_{i+1} + 5 f_i - f_{i-1})/6, i upstream; at the walls upwind.
            for source, weight in ((right[1:], 2.0), (left[1:], -1.0), (left[:-1], -1.0)):
                flux(source, left[1:], right[1:], weight / 6.0 * up[1:])
            for source, weight in ((left[:-1], 2.0), (right[:-1], -1.0), (right[1:], -1.0)):
                flux(source, right[:-1], left[:-1], weight / 6.0 * down[:-1])
        peclet = self.drift(means, 1, self.v, self.g_faces[1:-1]) * dg / self.diffusion
        scale = self.diffusion / dg**2
        left, right = cell[:, :-1], cell[:, 1:]
        flux(left, left, right, scale * _bernoulli(-peclet))
        flux(right, right, left, scale * _bernoulli(peclet))
        return sparse.csc_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
            shape=(nv * ng, nv * ng),
        )

    def means(self, masses: np.ndarray) -> np.ndarray:
        """Return the means of state variables and fields under cell masses [n_means]."""
        found: np.ndarray = self.observed @ masses / masses.sum()
        return found

    def moments(self, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean [2] and covariance [2, 2] of the law with the given cell masses."""
        masses = masses / masses.sum()
        x = self.observed[:2]
        mean = x @ masses
        centred = x - mean[:, None]
        return mean, (centred * masses) @ centred.T

    def nonlinear(self) -> bool:
        """Return whether the drift depends on the means of the law."""
        a, b = np.zeros(self.kernels.n_means), np.ones(self.kernels.n_means)
        g = self.g[:2]
        return any(
            (self.drift(a, k, self.v, g) != self.drift(b, k, self.v, g)).any() for k in (0, 1)
        )

    def start(self, model: Model, params: Mapping[str, Any], points: int = 64) -> np.ndarray:
        """Return cell masses of the model's initial law, from normal quantiles.

        Every quantile point is shared among its four nearest cells so that its mean is kept
        where those cells exist.
        """
        (p,) = model.prepare(params).params
        z = ndtri((np.arange(points) + 0.5) / points)
        states = np.array([model.initial((a, b), p) for a in z for b in z])
        masses = np.zeros(self.shape)
        place = []
        for k, centres in enumerate((self.v, self.g)):
            x = (states[:, k] - centres[0]) / (centres[1] - centres[0])
            x = np.clip(x, 0.0, len(centres) - 1.0)
            i = np.minimum(x.astype(int), len(centres) - 2)
            place.append((i, x - i))
        (i, s), (j, t) = place
        for di, wi in ((0, 1 - s), (1, s)):
            for dj, wj in ((0, 1 - t), (1, t)):
                np.add.at(masses, (i + di, j + dj), wi * wj)
        return masses.ravel() / masses.sum()


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
    nonlinear = grid.nonlinear()
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
        found = grid.means(masses)
        if not nonlinear or np.abs(found - means).max() < 1e-11:
            return masses
        means = found
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
    if grid.nonlinear():
        step = 1e-4
        change = []
        for unit in np.eye(len(means)) * step:
            above = grid.generator(means + unit, third_order=True) @ masses
            change.append(above - grid.generator(means - unit, third_order=True) @ masses)
        low_rank = np.stack(change, axis=1) / (2.0 * step)
        observed = grid.observed
    # A little above zero, so that the stationary state is not singular; in units of relaxation.
    shift = 1e-3 * float(-grid.drift(means, 1, grid.v, np.array([0.0, 1.0]))[:, 1].min() + 1.0)
    shift = max(abs(shift), 1e-4)
    solver = splu((generator - shift * sparse.identity(n)).tocsc())
    image = solver.solve(low_rank) if low_rank.size else low_rank
    small = np.linalg.inv(np.eye(low_rank.shape[1]) + observed @ image)

    def inverse(x: np.ndarray) -> np.ndarray:
        y = solver.solve(np.ascontiguousarray(x))
        found: np.ndarray = y - image @ (small @ (observed @ y))
        return found

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
    found: dict[str, Any] = {}
    status = Status.OK
    try:
        laws = [stationary(grid) for grid in grids]
        moments = [grid.moments(law) for grid, law in zip(grids, laws, strict=True)]
        found["stationary_mean"] = extrapolate(np.stack([m for m, _ in moments]), (1, 2))[0][None]
        found["stationary_covariance"] = extrapolate(np.stack([c for _, c in moments]), (1, 2))[0][
            None
        ]
        fine = grids[-1]
        area = (fine.v_faces[1] - fine.v_faces[0]) * (fine.g_faces[1] - fine.g_faces[0])
        found |= {"density": laws[-1].reshape(fine.shape) / area}
        found |= {"v_centre": fine.v, "g_centre": fine.g}
        if options["gap"]:
            levels = np.array([spectral_gap(grid) for grid in grids])
            gap, error = extrapolate(levels, (2, 3))
            found |= {"gap": gap, "gap_error": error, "gap_levels": levels}
            if not error <= options["gap_tolerance"] * gap:
                status = Status.NOT_CONVERGED
        if options["evolve"]:
            found |= _evolved(grids, model, params, options)
    except (ArithmeticError, ArpackError, RuntimeError):
        status = Status.NOT_CONVERGED
    if status != Status.OK or not all(np.isfinite(value).all() for value in found.values()):
        status = status or Status.DIVERGED
        sizes = {name: len(coord.values) for name, coord in coords(model, params, options).items()}
        found = {
            var.name: np.full([sizes[dim] for dim in var.dims], np.nan)
            for var in outputs(model, options)
        }
    return Solution(
        {name: np.asarray(value)[None] for name, value in found.items()},
        np.array([status], np.int8),
    )


def _evolved(
    grids: list[Grid], model: Model, params: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return moments at the record times, extrapolated, and mass and sign on the finest grid."""
    # Steps shrink with the cells, so that errors of time and space vanish together.
    even = _stride(options) + _stride(options) % 2
    runs = [
        _in_time(grid, round(even * r), model, params, options)
        for grid, r in zip(grids, REFINEMENTS, strict=True)
    ]
    found = {name: runs[-1][name] for name in ("mass", "lowest")}
    for name in ("mean", "covariance"):
        levels = np.stack([run[name] for run in runs])
        found[name], found[f"{name}_error"] = extrapolate(levels, (1, 2))
    return found


def _in_time(
    grid: Grid, steps: int, model: Model, params: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return moments, mass and smallest mass of the law at the record times.

    ``steps`` of implicit Euler are made between records; in a non-linear equation the means are
    those of the step's start.
    """
    masses = grid.start(model, params)
    dt = options["t_end"] / options["records"] / steps
    nonlinear = grid.nonlinear()
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
        "mean": np.stack(mean),
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
)
