"""Hermite polynomials: orthonormal, with the moments and derivatives they promise."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest

from neurolim.numerics import hermite


def test_polynomials_are_orthonormal_under_their_gauss_rule():
    x, weights = hermite.nodes(20)
    values = hermite.values(x, 12)
    np.testing.assert_allclose(values.T @ (weights[:, None] * values), np.eye(12), atol=1e-12)


@pytest.mark.parametrize("order", range(9))
def test_moments_are_those_of_the_normal_law(order):
    x, weights = hermite.nodes(20)
    expected = (x**order * weights) @ hermite.values(x, 6)
    np.testing.assert_allclose(hermite.moments(order, 6), expected, atol=1e-10)
    if order % 2 == 0:
        double = factorial(order) / (2 ** (order // 2) * factorial(order // 2))
        assert hermite.moments(order, 1)[0] == pytest.approx(double)


def test_shift_multiplies_by_u_and_functions_are_the_density_times_the_polynomials():
    x = np.linspace(-3, 3, 7)
    values = hermite.values(x, 9)
    np.testing.assert_allclose(
        values[:, :8] * x[:, None], (values @ hermite.shift(9))[:, :8], atol=1e-13
    )
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(hermite.functions(x, 9), values * density[:, None])
    assert np.isfinite(hermite.functions(np.array([-60.0, 60.0]), 40)).all()
