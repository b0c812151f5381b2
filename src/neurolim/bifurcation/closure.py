r"""The Gaussian closure of a network with polynomial drift: between limit and network.

With v_i = V + y_i, w_i = W + z_i Gaussian, S = <y^2>, C = <y z>, D = <z^2>, coupling J,

    V' = <f> - W                      W' = b V - a W + c
    S' = 2 (<f'> - J) S - 2 C + sigma^2
    C' = (<f'> - J - a) C - D + b S
    D' = -2 a D + 2 b C + sigma_w^2,

with Gaussian averages <f> = sum_k f^(2k)(V) S^k/(2^k k!), likewise <f'>.  Exact for linear f; for
the cubic <f> = f + f'' S/2 and <f'> = f' - 3 S.  As J -> infinity, S -> 0 and the first two
equations are the limit; n -> infinity throughout.

Source: docs/phase-diagrams.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial as poly
from scipy.optimize import brentq

from neurolim.bifurcation.plane import Plane, hopf_points


class Network(NamedTuple):
    """The strengths a closure needs beside the plane: coupling J, noise sigma and sigma_w."""

    coupling: float
    sigma: float
    sigma_w: float = 0.0


def gaussian_average(coefficients, v, s):
    """Return <f(v + y)>, y ~ N(0, s), of the polynomial f; v and s may be complex arrays.

    Parameters
    ----------
    coefficients : of f, lowest degree first
    v, s : mean and variance
    """
    derivative = np.asarray(coefficients, dtype=float)
    total, factor, k = 0.0, 1.0, 0
    while derivative.size and (derivative != 0.0).any():
        total = total + poly.polyval(v, derivative) * factor
        derivative = poly.polyder(derivative, 2)
        k += 1
        factor = factor * s / (2.0 * k)
        if derivative.size == 1 and derivative[0] == 0.0:
            break
    return total


def velocity(plane: Plane, network: Network, current, x):
    """Return the time derivative of (V, W, S, C, D) [5, ...] at x [5, ...]."""
    v, w, s, c, d = x
    mean = gaussian_average(plane.f, v, s) + current
    rate = gaussian_average(poly.polyder(plane.f), v, s) - network.coupling
    return np.stack(
        [
            mean - w,
            plane.b * v - plane.a * w + plane.c,
            2.0 * rate * s - 2.0 * c + network.sigma**2,
            (rate - plane.a) * c - d + plane.b * s,
            -2.0 * plane.a * d + 2.0 * plane.b * c + network.sigma_w**2,
        ]
    )


def equilibrium(plane: Plane, network: Network, v: float) -> tuple[np.ndarray, float]:
    """Return the equilibrium with mean voltage v, and the current at which it exists.

    Parameters
    ----------
    plane, network : the system
    v : mean voltage

    Returns
    -------
    (V, W, S, C, D) [5] and I; NaN where the coupling is too weak for a finite variance
    """

    def covariances(s: float) -> tuple[float, float, float]:
        rate = float(gaussian_average(poly.polyder(plane.f), v, s)) - network.coupling
        # D from its own equation, then C linear in S.
        c = (network.sigma_w**2 / (2.0 * plane.a) - plane.b * s) / (
            rate - plane.a - plane.b / plane.a
        )
        d = (network.sigma_w**2 + 2.0 * plane.b * c) / (2.0 * plane.a)
        return 2.0 * rate * s - 2.0 * c + network.sigma**2, c, d

    high = network.sigma**2 / network.coupling + 1e-12
    while covariances(high)[0] > 0.0 and high < 1e3:
        high *= 2.0
    if covariances(high)[0] > 0.0:
        return np.full(5, np.nan), float("nan")
    s = float(brentq(lambda s: covariances(s)[0], 0.0, high, xtol=1e-16, rtol=1e-14))
    _, c, d = covariances(s)
    w = plane.recovery(v)
    return np.array([v, w, s, c, d]), float(w - gaussian_average(plane.f, v, s))


def jacobian(plane: Plane, network: Network, current: float, x: np.ndarray) -> np.ndarray:
    """Return the linearisation [5, 5] at x, by the complex step."""
    columns = []
    for k in range(5):
        moved = x.astype(complex)
        moved[k] += 1e-30j
        columns.append(velocity(plane, network, current, moved).imag / 1e-30)
    return np.stack(columns, axis=1)


def hopf_currents(plane: Plane, network: Network) -> list[float]:
    """Return the currents of the closure's Hopf points near those of the limit.

    NaN stands for a Hopf point of the limit which the closure does not have within |dv| < .3.

    Parameters
    ----------
    plane, network : the system
    """
    found = []
    for point in hopf_points(plane):

        def growth(v: float) -> float:
            x, current = equilibrium(plane, network, v)
            if not np.isfinite(current):
                return float("nan")
            values = np.linalg.eigvals(jacobian(plane, network, current, x))
            slow = values[np.argsort(-values.real)][:2]
            return float(slow.real.mean())

        current = float("nan")
        for width in (0.003, 0.01, 0.03, 0.1, 0.3):
            low, high = point.v - width, point.v + width
            if growth(low) * growth(high) < 0.0:
                v = float(brentq(growth, low, high, xtol=1e-14))
                current = equilibrium(plane, network, v)[1]
                break
        found.append(current)
    return found
