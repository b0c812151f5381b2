"""Cycles as a boundary value problem: collocation at Gauss points, its linearisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.sparse import csc_array

from neurolim.bifurcation.flow import Flow

M = 4


_COMPLEX_STEP = 1e-30


_SCALED_GAUSS, WEIGHTS = np.polynomial.legendre.leggauss(M)


GAUSS = 0.5 * (_SCALED_GAUSS + 1.0)


WEIGHTS = 0.5 * WEIGHTS


_NODES = np.linspace(0.0, 1.0, M + 1)


#: F(x [d, points], parameter) -> [d, points], analytic; or a ``Flow``, which has its linearisation.
Field = Callable[[np.ndarray, complex], np.ndarray] | Flow


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


def lagrange(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values and slopes [len(at), M + 1] of the Lagrange polynomials of the nodes."""
    powers = np.linalg.inv(np.vander(_NODES, increasing=True))
    values = np.vander(at, M + 1, increasing=True) @ powers
    lowered = np.zeros((M + 1, M + 1))
    for k in range(1, M + 1):
        lowered[k, k - 1] = k
    return values, np.vander(at, M + 1, increasing=True) @ lowered.T @ powers


VALUE, SLOPE = lagrange(GAUSS)


def pieces_of(points: np.ndarray) -> np.ndarray:
    """Return the nodal values of each interval [N, M + 1, d]."""
    count = (len(points) - 1) // M
    return points[np.arange(count)[:, None] * M + np.arange(M + 1)[None, :]]


def linearised(field: Field, x: np.ndarray, p: float) -> tuple[np.ndarray, ...]:
    """Return F [K, d], dF/dx [K, d, d], dF/dp [K, d] at points x [K, d]."""
    if isinstance(field, Flow):
        return field.linearised(x, p)
    columns = x.T.astype(complex)
    d = len(columns)
    slopes = np.empty((len(x), d, d))
    for k in range(d):
        moved = columns.copy()
        moved[k] += 1j * _COMPLEX_STEP
        slopes[:, :, k] = field(moved, p).imag.T / _COMPLEX_STEP
    of_parameter = field(columns, p + 1j * _COMPLEX_STEP).imag.T / _COMPLEX_STEP
    return np.ascontiguousarray(field(x.T, p).T.real), slopes, of_parameter


class CollocationSystem:
    """Residual and Jacobian of the discretised problem on one mesh."""

    def __init__(self, field: Field, mesh: np.ndarray, reference: np.ndarray) -> None:
        self.field, self.mesh = field, mesh
        self.widths = np.diff(mesh)
        self.n, self.d = len(self.widths), reference.shape[1]
        self.size = (self.n * M + 1) * self.d
        # Phase condition: integral of <x, reference'> over the cycle is zero.
        slope = np.einsum("gj,ijd->igd", SLOPE, pieces_of(reference))
        row = np.zeros((self.n * M + 1, self.d))
        for j in range(M + 1):
            np.add.at(
                row,
                np.arange(self.n) * M + j,
                np.einsum("g,g,igd->id", WEIGHTS, VALUE[:, j], slope),
            )
        self.phase = row.ravel()
        self.offset = float(self.phase @ reference.ravel())
        self.rows, self.columns = self._pattern()
        # Weights of the inner product: mean square over the points, T in units of itself, p.
        node = np.zeros(self.n * M + 1)
        for j in range(M + 1):
            np.add.at(node, np.arange(self.n) * M + j, self.widths * (WEIGHTS @ VALUE[:, j]))
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
        blocks = pieces_of(points)
        x = np.einsum("gj,ijd->igd", VALUE, blocks)
        slope = np.einsum("gj,ijd->igd", SLOPE, blocks) / self.widths[:, None, None]
        flow, jacobian, of_p = linearised(self.field, x.reshape(-1, self.d), p)
        return (slope.reshape(-1, self.d) - period * flow).ravel(), flow, jacobian, of_p

    def transfer(self, period, jacobian):
        """Return the blocks of the Jacobian [N, M, d, M + 1, d]."""
        shape = (self.n, M, self.d, self.d)
        eye = np.eye(self.d)
        derivative = np.einsum("i,gj,rk->igrjk", 1.0 / self.widths, SLOPE, eye)
        return derivative - period * np.einsum("gj,igrk->igrjk", VALUE, jacobian.reshape(shape))

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
