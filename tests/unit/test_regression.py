"""Order fits: exact powers, noise, corrections, and the coverage of intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neurolim.numerics.regression import (
    OrderFit,
    fit_order,
    measure_levels,
    pairwise_orders,
    verdict,
)

LEVELS = np.array([0.1, 0.05, 0.02, 0.01, 0.005])


def test_exact_power_law_is_recovered_to_rounding():
    fit = fit_order(LEVELS, [np.array([-3.0 * eps**1.5]) for eps in LEVELS])
    assert fit.order == pytest.approx(1.5, abs=1e-12)
    assert fit.constant == pytest.approx(3.0, rel=1e-12)
    assert fit.high - fit.low < 1e-10


def test_correction_recovers_order_and_constant_where_the_plain_fit_is_bent():
    samples = [np.array([2.0 * eps / (1.0 + 8.0 * eps)]) for eps in LEVELS]
    plain = fit_order(LEVELS, samples)
    corrected = fit_order(LEVELS, samples, correction=True, expected=1.0)
    assert abs(plain.order - 1.0) > 0.05
    # The correction is searched on a grid 8 % apart.
    assert corrected.order == pytest.approx(1.0, abs=0.01)
    assert corrected.constant == pytest.approx(2.0, rel=0.02)


def test_noisy_failed_and_zero_levels_are_dropped_and_named():
    rng = np.random.default_rng(0)
    samples = [
        1.0 + 0.1 * rng.standard_normal(50),
        np.array([np.nan] * 50),
        np.zeros(50),
        1e-3 + 0.1 * rng.standard_normal(50),
    ]
    assert measure_levels(samples).reason == ["", "failed", "zero", "noise"]


def test_pairwise_orders_are_those_of_neighbours():
    errors = LEVELS**2 * (1 + LEVELS)
    found = pairwise_orders(LEVELS, errors)
    expected = np.log(errors[3] / errors[2]) / np.log(LEVELS[3] / LEVELS[2])
    assert np.isnan(found[0])
    assert found[3] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("replicas", [8, 16, 64])
@pytest.mark.parametrize("common", [False, True])
def test_intervals_cover_the_truth_as_often_as_they_say(replicas, common):
    rng = np.random.default_rng(replicas + common)
    trials, hits = 300, 0
    for trial in range(trials):
        shared = rng.standard_normal(replicas)
        samples = []
        for eps in LEVELS:
            own = shared if common else rng.standard_normal(replicas)
            samples.append(eps * (1.0 + 0.2 * own))
        fit = fit_order(LEVELS, samples, common=common, resamples=400, seed=trial)
        hits += fit.low - 1e-12 <= 1.0 <= fit.high + 1e-12
    # One-sided: more than the nominal 95 % is allowed, less only by chance (1 in 1000).
    assert hits >= stats.binom.ppf(1e-3, trials, 0.95)


def test_a_curve_that_does_not_fit_widens_the_interval():
    rng = np.random.default_rng(5)
    bend = np.array([1.0, 1.4, 0.7, 1.3, 0.8])
    quiet = [
        eps * b + 1e-4 * eps * rng.standard_normal(20) for eps, b in zip(LEVELS, bend, strict=True)
    ]
    fit = fit_order(LEVELS, quiet)
    assert fit.high - fit.low > 0.2


def test_too_few_levels_give_no_order():
    fit = fit_order(LEVELS[:2], [np.array([1.0]), np.array([0.5])])
    assert np.isnan(fit.order)
    assert verdict(fit, 1.0).startswith("inconclusive")


@pytest.mark.parametrize(
    ("fit", "expected", "tolerance", "word"),
    [
        (OrderFit(1.0, 0.9, 1.1, 1.0), 1.05, 0.0, "contains"),
        (OrderFit(1.0, 0.9, 1.1, 1.0), 1.12, 0.0, "excludes"),
        (OrderFit(1.0, 0.9, 1.1, 1.0), 1.12, 0.03, "contains"),
        (OrderFit(1.0, 0.6, 1.4, 1.0), 1.0, 0.0, "inconclusive"),
        (OrderFit(1.0, 0.9, 1.1, 1.0), None, 0.0, "inconclusive"),
    ],
)
def test_verdicts(fit, expected, tolerance, word):
    assert verdict(fit, expected, tolerance).startswith(word)
