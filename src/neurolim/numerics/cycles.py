r"""Limit cycles by collocation, continued in a parameter past their folds.

A cycle of period T is a function on [0, 1] with  x' = T F(x, p),  x(0) = x(1).  It is sought as a
continuous piecewise polynomial of degree m = 4 that fulfils the equation at the Gauss points of N
intervals, together with an integral phase condition and, along a branch, pseudo-arclength:

    sum <x, x_before'> = 0,       <u - u_before, tangent> = step.

The error is O(h^m) in between and O(h^2m) at the ends of intervals, so in T, p and multipliers;
the mesh moves so that every interval has the same share of the error.  Stable and unstable cycles
are the same to the method.  Jacobians are taken by the complex step, exact to rounding, so F must
be analytic and accept complex arrays.

Source: Doedel, Keller & Kernevez 1991, parts I, II; de Boor 1973 (mesh); Squire & Trapp 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

M = 4
_COMPLEX_STEP = 1e-30
_SCALED_GAUSS, _WEIGHTS = np.polynomial.legendre.leggauss(M)
_GAUSS = 0.5 * (_SCALED_GAUSS + 1.0)
_WEIGHTS = 0.5 * _WEIGHTS
_NODES = np.linspace(0.0, 1.0, M + 1)

#: F(x [d, points], parameter) -> [d, points]
Field = Callable[[np.ndarray, complex], np.ndarray]


class ContinuationError(RuntimeError):
    """Newton's method did not converge or the step became too small; the text says where."""


class Cycle(NamedTuple):
    """A periodic orbit.

    mesh : ends of intervals in [0, 1] [N + 1]
    points : states at M + 1 equally spaced nodes of every interval, shared ends [N M + 1, d]
    period : T
    parameter : p
    tangent : direction of the branch in (points, T, p), of length one; empty if unknown
    """

    mesh: np.ndarray
    points: np.ndarray
    period: float
    parameter: float
    tangent: np.ndarray = np.empty(0)

    @property
    def times(self) -> np.ndarray:
        """Return the times of the points in units of the period [N M + 1]."""
        widths = np.diff(self.mesh)
        inner = self.mesh[:-1, None] + widths[:, None] * _NODES[None, :-1]
        return np.append(inner.ravel(), 1.0)

    def extent(self, variable: int = 0) -> tuple[float, float]:
        """Return the smallest and largest value of a variable at the points."""
        column = self.points[:, variable]
        return float(column.min()), float(column.max())


def _lagrange(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values and slopes [len(at), M + 1] of the Lagrange polynomials of the nodes."""
    powers = np.linalg.inv(np.vander(_NODES, increasing=True))
    values = np.vander(at, M + 1, increasing=True) @ powers
    lowered = np.zeros((M + 1, M + 1))
    for k in range(1, M + 1):
        lowered[k, k - 1] = k
    return values, np.vander(at, M + 1, increasing=True) @ lowered.T @ powers


_VALUE, _SLOPE = _lagrange(_GAUSS)


def _blocks(points: np.ndarray) -> np.ndarray:
    """Return the nodal values of each interval [N, M + 1, d]."""
    count = (len(points) - 1) // M
    return points[np.arange(count)[:, None] * M + np.arange(M + 1)[None, :]]


def _linearised(field: Field, x: np.ndarray, p: float) -> tuple[np.ndarray, ...]:
    """Return F [K, d], dF/dx [K, d, d], dF/dp [K, d] at points x [K, d]."""
    columns = x.T.astype(complex)
    d = len(columns)
    slopes = np.empty((len(x), d, d))
    for k in range(d):
        moved = columns.copy()
        moved[k] += 1j * _COMPLEX_STEP
        slopes[:, :, k] = field(moved, p).imag.T / _COMPLEX_STEP
    of_parameter = field(columns, p + 1j * _COMPLEX_STEP).imag.T / _COMPLEX_STEP
    return np.ascontiguousarray(field(x.T, p).T.real), slopes, of_parameter


class _System:
    """Residual and Jacobian of the discretised problem on one mesh."""

    def __init__(self, field: Field, mesh: np.ndarray, reference: np.ndarray) -> None:
        self.field, self.mesh = field, mesh
        self.widths = np.diff(mesh)
        self.n, self.d = len(self.widths), reference.shape[1]
        self.size = (self.n * M + 1) * self.d
        # Phase condition: integral of <x, reference'> over the cycle is zero.
        slope = np.einsum("gj,ijd->igd", _SLOPE, _blocks(reference))
        row = np.zeros((self.n * M + 1, self.d))
        for j in range(M + 1):
            np.add.at(
                row,
                np.arange(self.n) * M + j,
                np.einsum("g,g,igd->id", _WEIGHTS, _VALUE[:, j], slope),
            )
        self.phase = row.ravel()
        self.offset = float(self.phase @ reference.ravel())
        self.rows, self.columns = self._pattern()
        # Weights of the inner product: mean square over the points, T in units of itself, p.
        node = np.zeros(self.n * M + 1)
        for j in range(M + 1):
            np.add.at(node, np.arange(self.n) * M + j, self.widths * (_WEIGHTS @ _VALUE[:, j]))
        self.weight = np.repeat(np.maximum(node, 0.0), self.d)

    def _pattern(self) -> tuple[np.ndarray, np.ndarray]:
        n, d = self.n, self.d
        i, g, r, j, k = np.meshgrid(
            np.arange(n), np.arange(M), np.arange(d), np.arange(M + 1), np.arange(d), indexing="ij"
        )
        return ((i * M + g) * d + r).ravel(), ((i * M + j) * d + k).ravel()

    def product(self, u: np.ndarray, v: np.ndarray, period: float) -> float:
        """Return the inner product in which the arclength is measured."""
        inside = float((self.weight * u[:-2]) @ v[:-2])
        return inside + u[-2] * v[-2] / period**2 + float(u[-1] * v[-1])

    def residual(self, points, period, p):
        """Return the collocation residual [N M d], with F and its derivatives."""
        blocks = _blocks(points)
        x = np.einsum("gj,ijd->igd", _VALUE, blocks)
        slope = np.einsum("gj,ijd->igd", _SLOPE, blocks) / self.widths[:, None, None]
        flow, jacobian, of_p = _linearised(self.field, x.reshape(-1, self.d), p)
        return (slope.reshape(-1, self.d) - period * flow).ravel(), flow, jacobian, of_p

    def transfer(self, period, jacobian):
        """Return the blocks of the Jacobian [N, M, d, M + 1, d]."""
        shape = (self.n, M, self.d, self.d)
        eye = np.eye(self.d)
        derivative = np.einsum("i,gj,rk->igrjk", 1.0 / self.widths, _SLOPE, eye)
        return derivative - period * np.einsum("gj,igrk->igrjk", _VALUE, jacobian.reshape(shape))

    def matrix(self, period, flow, jacobian, of_p, last: np.ndarray):
        """Return the sparse Jacobian, with the last row given."""
        size, d, inner = self.size, self.d, self.n * M * self.d
        block = self.transfer(period, jacobian).ravel()
        each = np.arange(inner)
        unit = np.arange(d)
        row = [self.rows, each, each, inner + unit, inner + unit]
        column = [
            self.columns,
            np.full(inner, size),
            np.full(inner, size + 1),
            unit,
            size - d + unit,
        ]
        value = [block, -flow.ravel(), -period * of_p.ravel(), np.ones(d), -np.ones(d)]
        for place, entries in ((size, np.append(self.phase, [0.0, 0.0])), (size + 1, last)):
            row.append(np.full(size + 2, place))
            column.append(np.arange(size + 2))
            value.append(entries)
        parts = (np.concatenate(value), (np.concatenate(row), np.concatenate(column)))
        return csc_array(parts, shape=(size + 2, size + 2))


def correct(
    field: Field,
    guess: Cycle,
    *,
    fixed: str = "parameter",
    step: float = 0.0,
    adapt: bool = True,
    tolerance: float = 1e-11,
    iterations: int = 12,
) -> Cycle:
    """Return the cycle near a guess, with its tangent to the branch.

    Parameters
    ----------
    field : F(x [d, points], p) -> [d, points], analytic
    guess : mesh, points, period and parameter to start from
    fixed : "parameter" or "period" keeps that number; "arclength" moves ``step`` along the
        guess's tangent
    step : arclength, only with fixed="arclength"
    adapt : move the mesh to the solution and correct once more
    tolerance : on the relative Newton update
    iterations : most Newton steps

    Raises
    ------
    ContinuationError : no convergence
    """
    found = _newton(field, guess, fixed, step, tolerance, iterations)
    if adapt:
        found = _newton(field, _remeshed(found), fixed, 0.0, tolerance, iterations)
    return found


def _newton(
    field: Field, guess: Cycle, fixed: str, step: float, tolerance: float, iterations: int
) -> Cycle:
    system = _System(field, guess.mesh, guess.points)
    size = system.size
    start = np.concatenate([guess.points.ravel(), [guess.period, guess.parameter]])
    u = start.copy()
    last = np.zeros(size + 2)
    if fixed == "arclength":
        u = start + step * guess.tangent
        last[:-2] = system.weight * guess.tangent[:-2]
        last[-2] = guess.tangent[-2] / guess.period**2
        last[-1] = guess.tangent[-1]
    else:
        last[-1 if fixed == "parameter" else -2] = 1.0
    for _ in range(iterations):
        points, period, p = u[:-2].reshape(-1, system.d), u[-2], u[-1]
        residual, flow, jacobian, of_p = system.residual(points, period, p)
        closing = points[0] - points[-1]
        phase = float(system.phase @ u[:-2]) - system.offset
        condition = float(last @ (u - start)) - (step if fixed == "arclength" else 0.0)
        if not np.isfinite(residual).all():
            break
        try:
            factors = splu(system.matrix(period, flow, jacobian, of_p, last))
        except RuntimeError:
            break
        change = factors.solve(-np.concatenate([residual, closing, [phase, condition]]))
        u = u + change
        scale = 1.0 + float(np.abs(u[:-2]).max())
        size_of_change = max(
            float(np.abs(change[:-2]).max()) / scale,
            abs(change[-2]) / max(abs(u[-2]), 1e-12),
            abs(change[-1]),
        )
        if not np.isfinite(size_of_change) or u[-2] <= 0.0:
            break
        if size_of_change < tolerance:
            unit = np.zeros(size + 2)
            unit[-1] = 1.0
            tangent = factors.solve(unit)
            tangent /= np.sqrt(system.product(tangent, tangent, u[-2]))
            if guess.tangent.size == tangent.size:
                tangent *= np.sign(system.product(tangent, guess.tangent, u[-2])) or 1.0
            return Cycle(guess.mesh, u[:-2].reshape(-1, system.d), u[-2], u[-1], tangent)
    raise ContinuationError(
        f"no convergence near parameter {guess.parameter:.9g}, period {guess.period:.6g}; "
        "take a shorter step or more intervals"
    )


def _interpolate(mesh: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the piecewise polynomial with nodal values [N M + 1, k] at times in [0, 1]."""
    place = np.clip(np.searchsorted(mesh, at, side="right") - 1, 0, len(mesh) - 2)
    local = (at - mesh[place]) / np.diff(mesh)[place]
    return np.einsum("kj,kjd->kd", _lagrange(local)[0], _blocks(values)[place])


def _remeshed(cycle: Cycle) -> Cycle:
    """Return the cycle on a mesh whose intervals have equal shares of the error."""
    widths = np.diff(cycle.mesh)
    n, d = len(widths), cycle.points.shape[1]
    blocks = _blocks(cycle.points)
    # The m-th derivative of each piece; its jumps estimate the (m+1)-th.
    differences = np.diff(blocks, M, axis=1)[:, 0, :] / (widths[:, None] / M) ** M
    scale = np.ptp(cycle.points, axis=0) + 1e-300
    jumps = np.diff(np.vstack([differences[-1:], differences, differences[:1]]), axis=0)
    distance = 0.5 * (np.append(widths[-1], widths) + np.append(widths, widths[0]))
    per_edge = np.abs(jumps / scale) / distance[:, None]
    monitor = (0.5 * (per_edge[:-1] + per_edge[1:])).sum(axis=1) ** (1.0 / (M + 1))
    monitor = monitor + 0.1 * float(monitor @ widths) + 1e-12
    share = np.append(0.0, np.cumsum(monitor * widths))
    mesh = np.interp(np.linspace(0.0, share[-1], n + 1), share, cycle.mesh)
    mesh[0], mesh[-1] = 0.0, 1.0
    moved = cycle._replace(mesh=mesh)
    at = moved.times
    points = _interpolate(cycle.mesh, cycle.points, at)
    tangent = cycle.tangent
    if tangent.size:
        inside = _interpolate(cycle.mesh, tangent[:-2].reshape(-1, d), at)
        tangent = np.concatenate([inside.ravel(), tangent[-2:]])
    return moved._replace(points=points, tangent=tangent)


def from_hopf(
    field: Field, x: np.ndarray, parameter: float, amplitude: float, intervals: int = 60
) -> Cycle:
    """Return the small cycle near a Hopf point, corrected at fixed distance from it.

    Parameters
    ----------
    field : F(x, p)
    x : the equilibrium at the Hopf point [d]
    parameter : p of the Hopf point
    amplitude : length of the first arclength step, root mean square distance from x
    intervals : N

    Raises
    ------
    ContinuationError : no convergence, or no pair of imaginary eigenvalues at x
    """
    _, slopes, _ = _linearised(field, np.asarray(x, dtype=float)[None, :], parameter)
    values, vectors = np.linalg.eig(slopes[0])
    upper = np.flatnonzero(values.imag > 0)
    if upper.size == 0:
        raise ContinuationError(f"no imaginary eigenvalues at parameter {parameter:.9g}")
    chosen = upper[np.argmin(np.abs(values[upper].real))]
    mesh = np.linspace(0.0, 1.0, intervals + 1)
    flat = Cycle(mesh, np.tile(np.asarray(x, dtype=float), (intervals * M + 1, 1)), 1.0, parameter)
    angle = 2.0 * np.pi * flat.times[:, None]
    wave = np.cos(angle) * vectors[:, chosen].real - np.sin(angle) * vectors[:, chosen].imag
    wave /= np.sqrt(np.mean(np.sum(wave**2, axis=1)))
    period = float(2.0 * np.pi / values[chosen].imag)
    tangent = np.concatenate([wave.ravel(), [0.0, 0.0]])
    guess = Cycle(mesh, flat.points + amplitude * wave, period, parameter, tangent)
    return _newton(field, guess, "arclength", 0.0, 1e-11, 20)


def from_trajectory(
    field: Field, times: np.ndarray, points: np.ndarray, parameter: float, intervals: int = 100
) -> Cycle:
    """Return the cycle near one turn of a simulated trajectory, corrected at fixed parameter.

    Parameters
    ----------
    field : F(x, p)
    times : of the points, increasing; first and last are one period apart [K]
    points : states [K, d]
    parameter : p
    intervals : N

    Raises
    ------
    ContinuationError : no convergence: the trajectory has not settled, or too few intervals
    """
    period = float(times[-1] - times[0])
    # Equal shares of arclength: a relaxation cycle spends its time where nothing happens.
    scale = np.ptp(points, axis=0) + 1e-300
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points / scale, axis=0), axis=1)))
    monitor = 0.5 * (length / length[-1] + (times - times[0]) / period)
    mesh = np.interp(np.linspace(0.0, 1.0, intervals + 1), monitor, (times - times[0]) / period)
    mesh[0], mesh[-1] = 0.0, 1.0
    guess = Cycle(mesh, points[:1], period, parameter)
    at = guess.times * period + times[0]
    columns = [np.interp(at, times, points[:, k]) for k in range(points.shape[1])]
    return correct(field, guess._replace(points=np.stack(columns, axis=1)), iterations=30)


def along(
    field: Field,
    start: Cycle,
    *,
    step: float = 0.02,
    longest: float = 0.3,
    until: Callable[[Cycle], bool] = lambda cycle: False,
) -> Iterator[Cycle]:
    """Yield the cycles of a branch one by one, in the direction of the start's tangent.

    Parameters
    ----------
    field : F(x, p)
    start : corrected cycle with tangent; the first one yielded
    step, longest : first and longest arclength step
    until : stop after the first cycle for which this is true

    Raises
    ------
    ContinuationError : the step became shorter than 1e-8 of the first
    """
    here, first = start, step
    yield here
    while not until(here):
        try:
            here = correct(field, here, fixed="arclength", step=step, iterations=8)
        except ContinuationError:
            step *= 0.4
            if step < 1e-8 * first:
                raise
            continue
        yield here
        step = min(step * 1.4, longest)


def fold(field: Field, before: Cycle, after: Cycle) -> Cycle:
    """Return the fold of cycles between two neighbours of a branch.

    Parameters
    ----------
    field : F(x, p)
    before, after : neighbours whose tangents point to opposite sides in the parameter

    Returns
    -------
    the cycle at which the parameter is extreme, found by the secant method in arclength; the
    parameter's error is the square of the arclength's

    Raises
    ------
    ContinuationError : the tangents do not change side, or Newton fails
    """
    if before.tangent[-1] * after.tangent[-1] >= 0.0:
        raise ContinuationError("no fold between these cycles")
    system = _System(field, before.mesh, before.points)
    moved = _interpolate(after.mesh, after.points, before.times)
    change = np.concatenate(
        [
            (moved - before.points).ravel(),
            [after.period - before.period, after.parameter - before.parameter],
        ]
    )
    low, high = 0.0, abs(system.product(change, before.tangent, before.period))
    at_low, at_high = float(before.tangent[-1]), float(after.tangent[-1])
    best = before
    for _ in range(60):
        middle = high - at_high * (high - low) / (at_high - at_low)
        middle = float(np.clip(middle, low + 0.05 * (high - low), high - 0.05 * (high - low)))
        best = correct(field, before, fixed="arclength", step=middle, adapt=False)
        slope = float(best.tangent[-1])
        if abs(slope) < 1e-9 or high - low < 1e-10:
            return best
        if slope * at_low > 0.0:
            low, at_low = middle, slope
        else:
            high, at_high = middle, slope
    return best


def multipliers(field: Field, cycle: Cycle) -> np.ndarray:
    """Return the Floquet multipliers [d], largest modulus first; one of them is 1.

    Each interval's collocation equations give the transfer matrix over it; their product is the
    monodromy.  Multipliers far below rounding, as of relaxation cycles, come out as about 0.

    Parameters
    ----------
    field : F(x, p)
    cycle : a corrected cycle
    """
    system = _System(field, cycle.mesh, cycle.points)
    _, _, jacobian, _ = system.residual(cycle.points, cycle.period, cycle.parameter)
    block = system.transfer(cycle.period, jacobian)
    d = system.d
    monodromy = np.eye(d)
    for i in range(system.n):
        whole = block[i].reshape(M * d, (M + 1) * d)
        inner = np.linalg.solve(whole[:, d:], -whole[:, :d])
        monodromy = inner[-d:] @ monodromy
    values = np.linalg.eigvals(monodromy)
    return values[np.argsort(-np.abs(values))]


def divergence(field: Field, cycle: Cycle) -> float:
    """Return the integral over one period of the trace of dF/dx: log of the product of multipliers.

    In the plane this is the logarithm of the one multiplier that is not 1, however small it is.

    Parameters
    ----------
    field : F(x, p)
    cycle : a corrected cycle
    """
    system = _System(field, cycle.mesh, cycle.points)
    _, _, jacobian, _ = system.residual(cycle.points, cycle.period, cycle.parameter)
    trace = np.einsum("kii->k", jacobian).reshape(system.n, M)
    return float(cycle.period * np.einsum("i,g,ig->", system.widths, _WEIGHTS, trace))
