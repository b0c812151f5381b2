"""Exact steps of linear stochastic systems against scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import quad_vec
from scipy.linalg import expm

from neurolim.numerics.exponential import propagator

SYSTEMS = {
    "scalar": (np.array([[-3.0]]), np.array([1.5])),
    "stiff": (np.array([[-1e4, -1.0], [0.1, -0.3]]), np.array([1.4, 0.01])),
    "no recovery noise": (np.array([[-50.0, -1.0], [0.1, -0.3]]), np.array([1.4, 0.0])),
    "growing": (np.array([[2.0, -1.0], [0.5, -0.3]]), np.array([1.0, 0.2])),
    "rotation": (np.array([[-0.1, -4.0], [4.0, -0.1]]), np.array([1.0, 1.0])),
    "zero": (np.zeros((2, 2)), np.array([1.0, 2.0])),
    "correlated": (np.array([[-3.0, 1.0], [0.5, -1.0]]), np.array([[2.0, 0.9], [0.9, 0.7]])),
    "three": (np.array([[-9.0, 1, 0], [0.5, -1, 2], [0, 3, -4.0]]), np.array([1.0, 0, 0.5])),
}


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("h", [1e-3, 0.02, 0.7])
def test_propagator_matches_matrix_exponential_and_quadrature(name, h):
    L, noise = SYSTEMS[name]
    d = len(noise)
    S = np.diag(noise**2) if noise.ndim == 1 else noise
    E, P1, P2, C = (np.empty((d, d)) for _ in range(4))
    propagator(d)(L, S, h, E, P1, P2, C)
    np.testing.assert_allclose(E, expm(L * h), rtol=1e-10, atol=1e-12 * np.abs(expm(L * h)).max())

    # phi functions from one augmented exponential, the covariance by Van Loan's block matrix,
    # in pieces short enough that its growing half stays accurate.
    block = np.zeros((3 * d, 3 * d))
    block[:d, :d] = L * h
    block[:d, d : 2 * d] = block[d : 2 * d, 2 * d :] = np.eye(d)
    augmented = expm(block)
    scale = np.abs(augmented).max()
    np.testing.assert_allclose(P1, h * augmented[:d, d : 2 * d], atol=1e-12 * h * scale)
    np.testing.assert_allclose(P2, h * augmented[:d, 2 * d :], atol=1e-12 * h * scale)

    def integrand(s):
        spread = expm(L * s)
        return spread @ S @ spread.T

    rate = np.abs(L).max()
    edges = np.unique([0.0, *np.geomspace(min(h, 0.1 / max(rate, 1e-9)), h, 12)])
    expected = sum(
        quad_vec(integrand, low, high, epsabs=0, epsrel=1e-12)[0]
        for low, high in itertools.pairwise(edges)
    )
    np.testing.assert_allclose(C @ C.T, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())
    assert np.all(np.triu(C, 1) == 0.0)


@pytest.mark.parametrize("rate", [1e4, 1e8, 1e12])
def test_slow_modes_beside_stiff_ones_keep_their_digits(rate):
    # phi1 by Sylvester's formula in extended precision.
    L, h = np.array([[-rate, -1.0], [0.1, -0.3]]), 1.0
    E, P1, P2, C = (np.empty((2, 2)) for _ in range(4))
    propagator(2)(L, np.diag([1.96, 0.09]), h, E, P1, P2, C)
    wide, one = L.astype(np.longdouble), np.eye(2, dtype=np.longdouble)
    trace, determinant = wide[0, 0] + wide[1, 1], np.longdouble(rate) * wide[1, 1] * -1 + wide[1, 0]
    fast = (trace - np.sqrt(trace**2 - 4 * determinant)) / 2
    slow = determinant / fast
    exact = (
        np.expm1(fast) / fast * (wide - slow * one) - np.expm1(slow) / slow * (wide - fast * one)
    ) / (fast - slow)
    np.testing.assert_allclose(P1, exact.astype(float), rtol=1e-11)
