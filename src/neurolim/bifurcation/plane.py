r"""Equilibria and their bifurcations, in closed form, of a planar system with polynomial f.

    v' = f(v) + I - w,        w' = b v - a w + c.

Everything that has a formula is a formula here, for f of any odd degree; the current I at which
something happens is given, because I moves equilibria along the w-nullcline and nothing else.
Without decay, a = 0, that line is vertical: I moves the equilibrium v = -c/b in w, nothing happens
at any I, and the functions below find no bifurcation.  Cycles, which have no formula, are
continued in ``cycles.py``.

Write f2 = f''(v), f3 = f'''(v), d = b - a^2.  At an equilibrium the trace is f' - a and the
determinant b - a f'.

    saddle-node          f'(v) = b/a
    cusp                 f'(v) = b/a, f''(v) = 0
    Hopf                 f'(v) = a, d > 0;   16 l1 = f3 + a f2^2/d
    Bautin               b = a^2 - a f2^2/f3 at a Hopf point
    Bogdanov-Takens      b = a^2
    homoclinic           I_hom - I_H ~ -(12/25) d^2/(a^2 f2), near Bogdanov-Takens
    canard               I_c = I(v_f) + (b/k) (1/4 - r f3/(16 k^2)) + O(b^2), f'(v_f) = 0,
                         k = f2/2, r = b/a: where a small cycle grows into a relaxation cycle

Source: Kuznetsov 2004, secs 3.5, 8.3, 8.4; Krupa & Szmolyan 2001, eqs (3.13), (3.16) (canonical
form X = k x, Y = k (w - w_f)); docs/phase-diagrams.md.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import polynomial as poly
from scipy.integrate import solve_ivp
from scipy.optimize import brentq


class Plane(NamedTuple):
    """The system without its current: f lowest degree first, decay a >= 0, gain b, drive c.

    b is not zero where a is.
    """

    f: tuple[float, ...]
    a: float
    b: float
    c: float = 0.0

    def slope(self, v: float, order: int = 1) -> float:
        """Return a derivative of f at v."""
        return float(poly.polyval(v, poly.polyder(self.f, order)))

    def current(self, v: float) -> float:
        """Return the current I at which v is an equilibrium: (b v + c)/a - f(v); a > 0."""
        return float((self.b * v + self.c) / self.a - poly.polyval(v, self.f))

    def recovery(self, v: float) -> float:
        """Return w on the w-nullcline; a > 0."""
        return (self.b * v + self.c) / self.a


class Equilibrium(NamedTuple):
    """An equilibrium (v, w), trace and determinant of its linearisation."""

    v: float
    w: float
    trace: float
    determinant: float

    @property
    def stable(self) -> bool:
        """Return whether it attracts."""
        return self.trace < 0.0 < self.determinant

    @property
    def saddle(self) -> bool:
        """Return whether it is a saddle."""
        return self.determinant < 0.0

    @property
    def eigenvalues(self) -> tuple[complex, complex]:
        """Return both eigenvalues, the one with the larger real part first."""
        root = np.sqrt(complex(0.25 * self.trace**2 - self.determinant))
        return complex(0.5 * self.trace + root), complex(0.5 * self.trace - root)


class Hopf(NamedTuple):
    """A Hopf point: current, voltage, first Lyapunov coefficient, frequency (1/time)."""

    current: float
    v: float
    lyapunov: float
    frequency: float


def real_roots(coefficients: tuple[float, ...] | np.ndarray) -> list[float]:
    """Return the real roots of odd multiplicity, in order, to rounding.

    Between two neighbouring critical points a polynomial is monotone, so every root is bracketed.

    Parameters
    ----------
    coefficients : lowest degree first
    """
    p = np.trim_zeros(np.asarray(coefficients, dtype=float), "b")
    if p.size < 2:
        return []
    if p.size == 2:
        return [float(-p[0] / p[1])]
    bound = 1.0 + float(np.abs(p[:-1] / p[-1]).max())
    edges = [-bound, *real_roots(poly.polyder(p)), bound]
    found = []
    for low, high in pairwise(edges):
        ends = poly.polyval(low, p), poly.polyval(high, p)
        if ends[0] * ends[1] < 0.0:
            found.append(float(brentq(poly.polyval, low, high, (p,), xtol=1e-15, rtol=1e-15)))
        elif ends[1] == 0.0 and high < bound:
            found.append(float(high))
    return found


def equilibria(plane: Plane, current: float) -> list[Equilibrium]:
    """Return all equilibria at a current, lowest voltage first.

    Parameters
    ----------
    plane : the system
    current : I
    """
    if plane.a == 0.0:
        v = -plane.c / plane.b
        w = float(poly.polyval(v, plane.f)) + current
        return [Equilibrium(v, w, plane.slope(v), plane.b)]
    g = np.array(plane.f, dtype=float)
    g[0] += current - plane.c / plane.a
    g[1] -= plane.b / plane.a
    return [
        Equilibrium(
            v,
            plane.recovery(v),
            plane.slope(v) - plane.a,
            plane.b - plane.a * plane.slope(v),
        )
        for v in real_roots(g)
    ]


def saddle_nodes(plane: Plane) -> list[tuple[float, float]]:
    """Return (current, voltage) of all folds of equilibria, lowest voltage first."""
    if plane.a == 0.0:
        return []
    return [(plane.current(v), v) for v in _where_slope_is(plane, plane.b / plane.a)]


def knees(plane: Plane) -> list[float]:
    """Return the voltages of the folds of the v-nullcline, f'(v) = 0, lowest first."""
    return _where_slope_is(plane, 0.0)


def cusps(plane: Plane) -> list[tuple[float, float, float]]:
    """Return (current, voltage, b) of all cusps at this a: f'' = 0 and b = a f'.

    Parameters
    ----------
    plane : the system; its b is not used
    """
    found = []
    for v in real_roots(poly.polyder(plane.f, 2)):
        at = plane._replace(b=plane.a * plane.slope(v))
        found.append((at.current(v), v, at.b))
    return found


def hopf_points(plane: Plane) -> list[Hopf]:
    """Return all Hopf points, lowest voltage first; none unless b > a^2 > 0."""
    d = plane.b - plane.a**2
    if d <= 0.0 or plane.a == 0.0:
        return []
    return [
        Hopf(
            plane.current(v),
            v,
            (plane.slope(v, 3) + plane.a * plane.slope(v, 2) ** 2 / d) / 16.0,
            float(np.sqrt(d)),
        )
        for v in _where_slope_is(plane, plane.a)
    ]


def bautin_gains(plane: Plane) -> list[tuple[float, float]]:
    """Return (b, voltage) at which a Hopf point of this a has l1 = 0.

    Parameters
    ----------
    plane : the system; its b is not used
    """
    return [
        (plane.a**2 - plane.a * plane.slope(v, 2) ** 2 / plane.slope(v, 3), v)
        for v in _where_slope_is(plane, plane.a)
        if plane.slope(v, 3) < 0.0
    ]


def homoclinic_estimates(plane: Plane) -> list[float]:
    """Return the currents of homoclinic orbits next to Bogdanov-Takens points, to O(d^3).

    None beyond d = a^2/2, for the estimate holds near the point only, and none at a cusp, f'' = 0.
    """
    d = plane.b - plane.a**2
    if d > 0.5 * plane.a**2:
        return []
    return [
        point.current - 12.0 / 25.0 * d**2 / (plane.a**2 * plane.slope(point.v, 2))
        for point in hopf_points(plane)
        if plane.slope(point.v, 2) != 0.0
    ]


def canard_currents(plane: Plane) -> list[float]:
    """Return the currents of canard explosions at the folds of f, to O(b^2) at fixed b/a.

    None where f has an inflection with a level tangent: it folds nothing.
    """
    if plane.a == 0.0:
        return []
    found = []
    for v in knees(plane):
        k = 0.5 * plane.slope(v, 2)
        if k == 0.0:
            continue
        ratio = plane.b / plane.a
        shift = plane.b / k * (0.25 - ratio * plane.slope(v, 3) / (16.0 * k**2))
        found.append(plane.current(v) + shift)
    return found


def _where_slope_is(plane: Plane, value: float) -> list[float]:
    """Return the voltages with f'(v) = value."""
    slope = np.array(poly.polyder(plane.f), dtype=float)
    slope[0] -= value
    return real_roots(slope)


def flow(v, w, f, a, b, c):
    """Return (v', w'), for numbers and arrays, and compiled by ``return_map``.

    Parameters
    ----------
    v, w : state
    f, a, b, c : of the plane, the current in f[0]
    """
    value = f[len(f) - 1] + 0.0 * v
    for k in range(len(f) - 2, -1, -1):
        value = value * v + f[k]
    return value - w, b * v - a * w + c


def velocity(plane: Plane, current: complex, x: np.ndarray) -> np.ndarray:
    """Return (v', w') at states x [2, ...]."""
    f = (plane.f[0] + current, *plane.f[1:])
    return np.stack(flow(x[0], x[1], f, plane.a, plane.b, plane.c))


def separatrix(
    plane: Plane, current: float, saddle: Equilibrium, length: float, reach: float = 20.0
) -> np.ndarray:
    """Return the stable manifold of a saddle: the border between basins.

    Parameters
    ----------
    plane, current : the system
    saddle : the equilibrium it ends at
    length : time to follow each branch backwards
    reach : branches are cut at |v| or |w| = reach

    Returns
    -------
    [points, 2] in order along the curve, the saddle in the middle
    """
    branches = []
    for side in (-1.0, 1.0):
        path = _manifold(plane, current, saddle, side, False, length, reach)
        branches.append(path.y.T)
    middle = np.array([[saddle.v, saddle.w]])
    return np.concatenate([branches[0][::-1], middle, branches[1]])


def homoclinic_gap(plane: Plane, current: float) -> float:
    """Return how far the manifolds of the saddle miss each other around the lower equilibrium.

    Both are followed to the w-nullcline beyond the focus; the gap is a difference of voltages and
    vanishes at a homoclinic orbit.  NaN if there is no saddle or a manifold does not turn round.

    Parameters
    ----------
    plane, current : the system
    """
    found = equilibria(plane, current)
    saddles = [place for place, point in enumerate(found) if point.saddle]
    if not saddles or saddles[0] == 0:
        return float("nan")
    saddle, focus = found[saddles[0]], found[saddles[0] - 1]
    crossings = []
    for outgoing in (True, False):
        side = -1.0  # towards the focus, which has the lower voltage
        path = _manifold(plane, current, saddle, side, outgoing, 1e4, 50.0)
        beyond = [x[0] for x in path.y_events[0] if x[0] < focus.v]
        if not beyond:
            return float("nan")
        crossings.append(beyond[0])
    return float(crossings[0] - crossings[1])


def homoclinic_current(plane: Plane, low: float, high: float) -> float:
    """Return the current of a homoclinic orbit between two currents, to about 1e-10.

    Parameters
    ----------
    plane : the system
    low, high : the gap has opposite signs here

    Returns
    -------
    I_hom, or NaN where the gap has one sign or does not exist at the ends
    """
    ends = homoclinic_gap(plane, low), homoclinic_gap(plane, high)
    if not ends[0] * ends[1] < 0.0:
        return float("nan")
    return float(brentq(lambda current: homoclinic_gap(plane, current), low, high, xtol=1e-12))


def _manifold(
    plane: Plane,
    current: float,
    saddle: Equilibrium,
    side: float,
    outgoing: bool,
    length: float,
    reach: float,
):
    """Return scipy's solution along a branch of the unstable (outgoing) or stable manifold."""
    value = saddle.eigenvalues[0 if outgoing else 1].real
    # (f' - value) dv = dw; the first component sets the side.
    direction = np.array([1.0, plane.slope(saddle.v) - value])
    direction *= side * 1e-6 / np.linalg.norm(direction)
    sign = 1.0 if outgoing else -1.0

    def slope(t, x):
        return sign * velocity(plane, current, x)

    def nullcline(t, x):
        return velocity(plane, current, x)[1]

    def away(t, x):
        return reach - max(abs(x[0]), abs(x[1]))

    events: Any = (nullcline, away)
    events[0].terminal, events[1].terminal = 2, True
    start = np.array([saddle.v, saddle.w]) + direction
    return solve_ivp(slope, (0.0, length), start, "DOP853", rtol=1e-12, atol=1e-13, events=events)
