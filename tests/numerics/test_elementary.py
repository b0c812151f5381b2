"""Elementary functions against 40-digit arithmetic from the standard library."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext, localcontext

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from neurolim.numerics import elementary

getcontext().prec = 40


def worst_ulp(function, exact, points):
    worst = 0.0
    for x in points:
        found, true = function(float(x)), exact(Decimal(float(x)))
        ulp = Decimal(math.ulp(float(true))) if true != 0 else Decimal("5e-324")
        worst = max(worst, float(abs(Decimal(found) - true) / ulp))
    return worst


RNG = np.random.default_rng(3)
NARROW = RNG.uniform(-1, 1, 1500)
WIDE = RNG.uniform(-700, 700, 1500)
TINY = RNG.choice([-1, 1], 500) * 10.0 ** RNG.uniform(-12, 0, 500)


def tanh(x):
    up, down = x.exp(), (-x).exp()
    return (up - down) / (up + down)


def sine(x):
    """Return sin(x) by its Taylor series."""
    with localcontext(prec=80):
        term = total = x
        k = 1
        while abs(term) > Decimal("1e-45"):
            k += 2
            term *= -x * x / (k * (k - 1))
            total += term
    return +total


@pytest.mark.parametrize(
    ("name", "exact", "points", "ulps"),
    [
        ("exp", Decimal.exp, np.concatenate([NARROW, WIDE]), 1.5),
        ("expm1", lambda x: x.exp() - 1, np.concatenate([NARROW, WIDE, TINY]), 3.0),
        ("phi1", lambda x: (x.exp() - 1) / x, np.concatenate([NARROW, WIDE, TINY]), 4.0),
        ("log", Decimal.ln, np.concatenate([np.exp(WIDE / 2), 1 + TINY[TINY > -1]]), 2.0),
        ("tanh", tanh, np.concatenate([NARROW, 5 * NARROW, TINY]), 4.0),
        ("sigmoid", lambda x: 1 / (1 + (-x).exp()), np.concatenate([NARROW, WIDE]), 3.0),
    ],
)
def test_accuracy_is_as_documented(name, exact, points, ulps):
    assert worst_ulp(getattr(elementary, name), exact, points) < ulps


def test_sine_and_cosine_are_as_accurate_as_documented():
    half_pi = Decimal("1.5707963267948966192313216916397514420985846996876")
    points = [float(x) for x in (*(60 * NARROW[:400]), *TINY[:50])]
    for x in points:
        for name, exact in (("sin", sine(Decimal(x))), ("cos", sine(half_pi - Decimal(x)))):
            assert abs(Decimal(getattr(elementary, name)(x)) - exact) < Decimal("2e-16"), (name, x)
    for x in (1.5e6, -1.234e6, 3.3e5):
        assert elementary.sin(x) == pytest.approx(math.sin(x), abs=2e-16)
        assert elementary.cos(x) == pytest.approx(math.cos(x), abs=2e-16)


def test_normal_distribution_and_its_inverse_are_as_accurate_as_documented():
    points = np.concatenate([np.linspace(-36.9, 8.0, 900), TINY[:50]])
    exact = ndtr(points)
    found = np.array([elementary.normal_cdf(x) for x in points])
    # The square in the exponent is rounded.
    assert (np.abs(found / exact - 1.0) < 5e-15 + points**2 * 2.0**-52).all()
    shares = np.concatenate([np.geomspace(1e-290, 0.5, 500), 1.0 - np.geomspace(1e-15, 0.5, 200)])
    found = np.array([elementary.normal_quantile(u) for u in shares])
    np.testing.assert_allclose(found, ndtri(shares), rtol=1e-13, atol=1e-13)
    assert elementary.normal_cdf(1e3) == 1.0
    assert 0.0 <= elementary.normal_cdf(-1e3) < 1e-300
    assert np.isfinite([elementary.normal_quantile(u) for u in (0.0, 1.0)]).all()


def test_the_logarithm_of_equations_is_that_of_any_number():
    points = np.concatenate([np.exp(WIDE), [5e-324, 3e-310, 2.2250738585072014e-308]])
    assert worst_ulp(elementary.log_of_any, Decimal.ln, points) < 2.0
    assert elementary.log_of_any(0.0) == elementary.log_of_any(-0.0) == -math.inf
    assert elementary.log_of_any(math.inf) == math.inf
    assert np.isnan([elementary.log_of_any(x) for x in (-1.0, -math.inf, math.nan)]).all()


def test_saturation():
    assert elementary.exp(1e6) == elementary.exp(709.0)
    assert 0.0 < elementary.exp(-1e6) < 1e-300
    assert elementary.tanh(1e6) == 1.0
    assert elementary.tanh(-1e6) == -1.0
    assert elementary.sigmoid(1e6) == 1.0
    assert 0.0 <= elementary.sigmoid(-1e6) < 1e-300
