r"""All attractors of the planar system  v' = f(v) - w, w' = b v - a w + c  by its return map.

On the w-nullcline the flow is horizontal, and beyond the outermost equilibria it points inwards.
The half-lines beyond them are therefore crossed by every cycle that surrounds an outermost
equilibrium or all of them: with up to three equilibria these are all cycles (index theory).  Where
the displacement  d(x) = P(x) - x  changes from plus to minus, going outwards, there is a stable
cycle, from minus to plus an unstable one.  Cycles closer together than the scan are missed.

Source: Andronov et al. 1973 (return maps); steps by the classical Runge-Kutta method, order 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.polynomial.polynomial import polyder, polyval

from neurolim.bifurcation.plane import Plane, equilibria, flow

_STEP = 0.01
#: Slower than this, a trajectory has come to rest.
_RESTING = 1e-9


class Attractor(NamedTuple):
    """A stable cycle: period (time) and the extremes of its voltage."""

    period: float
    low: float
    high: float


_slope = njit(error_model="numpy", inline="always")(flow)


@njit(error_model="numpy", inline="always")
def _move(v, w, h, f, a, b, c):
    """Return the state after one Runge-Kutta step."""
    p1, q1 = _slope(v, w, f, a, b, c)
    p2, q2 = _slope(v + 0.5 * h * p1, w + 0.5 * h * q1, f, a, b, c)
    p3, q3 = _slope(v + 0.5 * h * p2, w + 0.5 * h * q2, f, a, b, c)
    p4, q4 = _slope(v + h * p3, w + h * q3, f, a, b, c)
    return v + h / 6.0 * (p1 + 2 * p2 + 2 * p3 + p4), w + h / 6.0 * (q1 + 2 * q2 + 2 * q3 + q4)


@njit(error_model="numpy", nogil=True)
def follow(starts, f, a, b, c, edge, side, longest, h, found):
    """Fill found [k, 5] with (landing v, w, time, lowest v, highest v) of the return from starts.

    starts : on the section [k, 2]
    edge, side : the section is the half-line beyond the state edge, upwards (+1) or downwards
    longest : give up, with NaN, after this time
    """
    for k in range(starts.shape[0]):
        v, w = starts[k, 0], starts[k, 1]
        low = high = v
        found[k, :2] = np.nan
        before = 0.0
        for step in range(int(longest / h)):
            v_old, w_old = v, w
            v, w = _move(v, w, h, f, a, b, c)
            low, high = min(low, v), max(high, v)
            g = side * _slope(v, w, f, a, b, c)[1]
            if not np.isfinite(g) or abs(v - v_old) + abs(w - w_old) < _RESTING * h:
                break
            # The flow crosses both half-lines from g > 0 to g < 0.
            if before > 0.0 and g <= 0.0:
                tau, reach = 0.0, h
                for _ in range(60):
                    middle = 0.5 * (tau + reach)
                    v_mid, w_mid = _move(v_old, w_old, middle, f, a, b, c)
                    if side * _slope(v_mid, w_mid, f, a, b, c)[1] > 0.0:
                        tau = middle
                    else:
                        reach = middle
                v_mid, w_mid = _move(v_old, w_old, reach, f, a, b, c)
                beyond = v_mid - edge[0] if a > 0.0 else w_mid - edge[1]
                if side * beyond > 0.0:
                    found[k, 0], found[k, 1], found[k, 2] = v_mid, w_mid, step * h + reach
                    found[k, 3], found[k, 4] = low, high
                    break
            before = g


def returns(
    plane: Plane, current: float, starts: np.ndarray, side: float, longest: float = 2000.0
) -> np.ndarray:
    """Return where trajectories from the w-nullcline meet it again on the same side.

    Parameters
    ----------
    plane, current : the system
    starts : places beyond the outermost equilibrium [k]: voltages, recoveries if a = 0
    side : +1 beyond the highest equilibrium, -1 beyond the lowest
    longest : time after which a trajectory counts as lost

    Returns
    -------
    place of the return, time, lowest and highest voltage on the way [k, 4]; NaN if lost
    """
    f = np.array(plane.f, dtype=float)
    f[0] += current
    found = np.full((len(starts), 5), np.nan)
    edge = equilibria(plane, current)[-1 if side > 0.0 else 0]
    at = np.asarray(starts, float)
    if plane.a > 0.0:
        states = np.stack([at, (plane.b * at + plane.c) / plane.a], axis=1)
    else:
        states = np.stack([np.full(at.size, edge.v), at], axis=1)
    corner = np.array([edge.v, edge.w])
    follow(states, f, plane.a, plane.b, plane.c, corner, side, longest, _STEP, found)
    return np.delete(found, 1 if plane.a > 0.0 else 0, axis=1)


def stable_cycles(
    plane: Plane, current: float, samples: int = 40, longest: float = 2000.0
) -> list[Attractor]:
    """Return all stable cycles that a scan of the return map finds, outermost last.

    Parameters
    ----------
    plane, current : the system; there are no cycles unless b > 0
    samples : points of the scan per section, from 1e-3 of its length on
    longest : time after which a trajectory counts as lost
    """
    rest = equilibria(plane, current)
    # A straight f has no isolated cycle.
    if plane.b <= 0.0 or not rest or len(plane.f) < 3:
        return []
    found: dict[float, Attractor] = {}
    for side, point in ((1.0, rest[-1]), (-1.0, rest[0])):
        if side < 0.0 and len(rest) == 1:
            break
        slow = np.roots(polyder(plane.f)[::-1]).real
        reach = 3.0 * (1.0 + abs(point.v)) + float(np.ptp(slow))
        centre = point.v
        if plane.a == 0.0:
            # In w: w'' = -b w far out where b is large, the v-nullcline where it is small.
            centre = point.w
            reach = reach * np.sqrt(1.0 + plane.b) + float(np.ptp(polyval(slow, plane.f)))
        distance = np.geomspace(1e-3, 1.0, samples) * reach
        # Between a Hopf point and the first sample the sign of d is that of the trace.
        starts = centre + side * distance
        landed = returns(plane, current, starts, side, longest)
        moved = side * (landed[:, 0] - starts)
        outwards = np.where(np.isnan(moved), 0.0, np.sign(moved))
        first = 0.0 if point.saddle else float(np.sign(point.trace))
        signs = np.concatenate([[first], outwards])
        edges = np.concatenate([[1e-7 * reach], distance])
        for k in np.flatnonzero((signs[:-1] > 0) & (signs[1:] < 0)):
            low, high = edges[k], edges[k + 1]
            last = landed[k]
            for _ in range(20):
                middle = np.sqrt(low * high)
                at = np.array([centre + side * middle])
                last = returns(plane, current, at, side, longest)[0]
                if side * (last[0] - centre) > middle:
                    low = middle
                else:
                    high = middle
            cycle = Attractor(float(last[1]), float(last[2]), float(last[3]))
            if np.isfinite(cycle.period):
                found[round(cycle.high - cycle.low, 3)] = cycle
    return [found[size] for size in sorted(found)]
