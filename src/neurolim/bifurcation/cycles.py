r"""Limit cycles by collocation, continued in a parameter past their folds.

A cycle of period T is a function on [0, 1] with  x' = T F(x, p),  x(0) = x(1).  It is sought as a
continuous piecewise polynomial of degree m = 4 that fulfils the equation at the Gauss points of N
intervals, together with an integral phase condition and, along a branch, pseudo-arclength:

    sum <x, x_before'> = 0,       <u - u_before, tangent> = step.

The error is O(h^m) in between and O(h^2m) at the ends of intervals, so in T, p and multipliers;
the mesh moves so that every interval has the same share of the error.  Stable and unstable cycles
are the same to the method.  Jacobians are those of the model where F is its ``Flow``, else taken by
the complex step, exact to rounding: F must then be analytic and accept complex arrays.

Source: Doedel, Keller & Kernevez 1991, parts I, II; de Boor 1973 (mesh); Squire & Trapp 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.sparse.linalg import splu

from neurolim.bifurcation.collocation import (
    WEIGHTS,
    CollocationSystem,
    ContinuationError,
    Cycle,
    Field,
    M,
    lagrange,
    linearised,
    pieces_of,
)


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
    system = CollocationSystem(field, guess.mesh, guess.points)
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
    return np.einsum("kj,kjd->kd", lagrange(local)[0], pieces_of(values)[place])


def _remeshed(cycle: Cycle) -> Cycle:
    """Return the cycle on a mesh whose intervals have equal shares of the error."""
    widths = np.diff(cycle.mesh)
    n, d = len(widths), cycle.points.shape[1]
    blocks = pieces_of(cycle.points)
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
    _, slopes, _ = linearised(field, np.asarray(x, dtype=float)[None, :], parameter)
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
    system = CollocationSystem(field, before.mesh, before.points)
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
    system = CollocationSystem(field, cycle.mesh, cycle.points)
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
    system = CollocationSystem(field, cycle.mesh, cycle.points)
    _, _, jacobian, _ = system.residual(cycle.points, cycle.period, cycle.parameter)
    trace = np.einsum("kii->k", jacobian).reshape(system.n, M)
    return float(cycle.period * np.einsum("i,g,ig->", system.widths, WEIGHTS, trace))
