r"""Normalised Hermite polynomials h_k of the standard normal law phi: <h_j h_k>_phi = delta_jk.

    sqrt(k+1) h_{k+1} = u h_k - sqrt(k) h_{k-1},     h_k' = sqrt(k) h_{k-1},     h_0 = 1.

A density nu(u) = phi(u) sum_k c_k h_k(u) has coefficients c_k = <h_k>_nu, its L2 norm with weight
1/phi is that of the coefficients, and multiplication by u is a symmetric tridiagonal matrix.

Source: textbook material; checked in tests/numerics/test_hermite.py.
"""

from __future__ import annotations

import numpy as np


def values(x: np.ndarray, count: int) -> np.ndarray:
    """Return h_k(x), k = 0 .. count - 1.

    Parameters
    ----------
    x : points, any shape
    count : number of polynomials

    Returns
    -------
    [*x.shape, count]
    """
    x = np.asarray(x, dtype=float)
    found = np.ones((*x.shape, count))
    if count > 1:
        found[..., 1] = x
    for k in range(1, count - 1):
        found[..., k + 1] = (x * found[..., k] - np.sqrt(k) * found[..., k - 1]) / np.sqrt(k + 1)
    return found


def functions(x: np.ndarray, count: int) -> np.ndarray:
    """Return phi(x) h_k(x), k = 0 .. count - 1 [*x.shape, count]; 0 where phi underflows."""
    x = np.asarray(x, dtype=float)
    gauss = np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi)
    return values(np.where(gauss > 0.0, x, 0.0), count) * gauss[..., None]


def nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights [count] of the Gauss rule of phi, exact to degree 2 count - 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    return points, weights / np.sqrt(2.0 * np.pi)


def shift(count: int) -> np.ndarray:
    """Return the matrix [count, count] of multiplication by u, cut at ``count`` polynomials."""
    root = np.sqrt(np.arange(1.0, count))
    return np.diag(root, 1) + np.diag(root, -1)


def moments(order: int, count: int) -> np.ndarray:
    """Return <u^order h_k>_phi [count]: the moment of sum c_k h_k phi is its product with c."""
    found = np.zeros(order + 2)
    found[0] = 1.0
    matrix = shift(order + 2)
    for _ in range(order):
        found = matrix @ found
    result = np.zeros(max(count, order + 1))
    result[: order + 1] = found[: order + 1]
    return result[:count]
