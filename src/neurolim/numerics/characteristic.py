r"""Rightmost roots of the characteristic equation of a linear system with discrete delays.

    y'(t) = sum_k A_k y(t - tau_k),          det( lambda - sum_k A_k exp(-lambda tau_k) ) = 0.

The roots are the eigenvalues of the generator of the semigroup on the functions over the longest
delay; on Chebyshev points it is a matrix whose rightmost eigenvalues converge faster than any
power of their number.  Newton's method on the equation itself takes each to rounding.

Source: Breda, Maset & Vermiglio 2005, SIAM J. Sci. Comput. 27, 482-495.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Chebyshev points, and how many more per unit of |A| tau, up to the most.
_POINTS, _PER_LENGTH, _MOST = 24, 4.0, 240
_NEWTON = 30


def rightmost_roots(
    matrices: Sequence[np.ndarray], delays: Sequence[float], count: int
) -> np.ndarray:
    """Return the roots of largest real part, those of Im >= 0 only, rightmost first [count].

    Parameters
    ----------
    matrices : A_k [d, d] each
    delays : tau_k >= 0
    count : roots wanted; NaN stands for those that there are not

    Notes
    -----
    To rounding; a double root to its square root.
    """
    at_once = [A for A, delay in zip(matrices, delays, strict=True) if delay == 0.0]
    late = [(A, delay) for A, delay in zip(matrices, delays, strict=True) if delay > 0.0]
    start = np.sum(at_once, axis=0) if at_once else np.zeros_like(matrices[0])
    values = np.linalg.eigvals(_generator(start, late)).astype(complex)
    values = values[values.imag >= -1e-12 * np.abs(values)]
    found = np.full(count, complex(np.nan, np.nan))
    known = 0
    for value in values[np.argsort(-values.real, kind="stable")]:
        if known == count:
            break
        root = _polished(value, start, late)
        # An eigenvalue of the matrix that is no root has none nearby.
        if np.isfinite(root):
            found[known] = root
            known += 1
    return found[np.argsort(-found.real, kind="stable")]


def _generator(start: np.ndarray, late: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    """Return the generator on Chebyshev points from 0 back to the longest delay."""
    if not late:
        return start
    d, longest = len(start), max(delay for _, delay in late)
    size = longest * (np.linalg.norm(start, 2) + sum(np.linalg.norm(A, 2) for A, _ in late))
    last = min(_MOST, int(_POINTS + _PER_LENGTH * float(size)))
    angle = np.pi * np.arange(last + 1) / last
    point = 0.5 * longest * (np.cos(angle) - 1.0)
    weight = np.where((angle == 0.0) | (np.arange(last + 1) == last), 0.5, 1.0)
    weight = weight * (-1.0) ** np.arange(last + 1)
    gap = point[:, None] - point
    np.fill_diagonal(gap, 1.0)
    slope = weight / weight[:, None] / gap
    np.fill_diagonal(slope, 0.0)
    np.fill_diagonal(slope, -slope.sum(axis=1))
    found = np.kron(slope, np.eye(d))
    first = np.zeros((d, (last + 1) * d))
    first[:, :d] = start
    for A, delay in late:
        away = -delay - point
        share = np.zeros(last + 1)
        if (away == 0.0).any():
            share[away == 0.0] = 1.0
        else:
            share = weight / away / (weight / away).sum()
        first += np.kron(share, A)
    found[:d] = first
    return found


def _polished(
    root: complex, start: np.ndarray, late: Sequence[tuple[np.ndarray, float]]
) -> complex:
    """Return the root nearby, or NaN: Newton's method on the determinant."""
    unit, first, change = np.eye(len(start)), root, complex(np.inf)
    for _ in range(_NEWTON):
        residual, slope = root * unit - start, unit.astype(complex)
        for A, delay in late:
            part = A * np.exp(-root * delay)
            residual, slope = residual - part, slope + delay * part
        try:
            change = 1.0 / np.trace(np.linalg.solve(residual, slope))
        except np.linalg.LinAlgError:
            return root  # singular to rounding: this is the root
        root = root - change
        if not abs(root - first) < 1e-2 * (1.0 + abs(first)):
            return complex(np.nan, np.nan)
        if abs(change) < 1e-13 * (1.0 + abs(root)):
            return root
    return root if abs(change) < 1e-6 * (1.0 + abs(root)) else complex(np.nan, np.nan)
