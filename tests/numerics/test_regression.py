"""Order fits: exact powers, noise, corrections, and the coverage of intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from neurolim.core import Kind
from neurolim.numerics.regression import (
    OrderFit,
    fit_constant,
    fit_order,
    measure_levels,
    pairwise_orders,
)
from neurolim.statistics.parts.common import judge_order

LEVELS = np.array([0.1, 0.05, 0.02, 0.01, 0.005])
#: Those of Figure 6.1.
FIGURE_LEVELS = 1 / np.array([10.0, 25.0, 50.0, 100.0, 150.0, 225.0])


def corrected(eps, bend):
    """Return eps (1 + |D| eps)^(+-1), the exponent -1 for D > 0."""
    return eps * (1.0 + abs(bend) * eps) ** (-1.0 if bend > 0 else 1.0)


def test_exact_power_law_is_recovered_to_rounding():
    fit = fit_order(LEVELS, [np.array([-3.0 * eps**1.5]) for eps in LEVELS])
    assert fit.order == pytest.approx(1.5, abs=1e-12)
    assert fit.constant == pytest.approx(3.0, rel=1e-12)
    assert fit.high - fit.low < 1e-10


def test_correction_recovers_order_and_constant_where_the_plain_fit_is_bent():
    samples = [np.array([2.0 * eps / (1.0 + 8.0 * eps)]) for eps in LEVELS]
    plain = fit_order(LEVELS, samples)
    assert abs(plain.order - 1.0) > 0.05


@pytest.mark.parametrize("levels", [LEVELS, FIGURE_LEVELS])
@pytest.mark.parametrize("bend", [0.0, 8.0, -8.0])
def test_a_curve_of_the_family_is_recovered_to_rounding_and_not_excluded(levels, bend):
    samples = [np.array([2.0 * corrected(eps, bend)]) for eps in levels]
    fit = fit_order(levels, samples, correction=True)
    # Rounding of the logarithms, 1e-15, times the condition of the fit, below 1e3.
    assert fit.order == pytest.approx(1.0, abs=1e-12)
    assert fit.constant == pytest.approx(2.0, rel=1e-11)
    assert fit.high - fit.low < 1e-11
    assert judge_order(fit, {"order": 1.0}).kind == Kind.AGREES
    errors = np.array([sample[0] for sample in samples])
    assert fit_constant(levels, errors, 1.0, True) == pytest.approx(2.0, rel=1e-11)


@pytest.mark.parametrize(
    ("bend", "noise"), [(0.0, 1e-2), (8.0, 1e-4), (8.0, 1e-2), (-8.0, 1e-2), (40.0, 1e-2)]
)
def test_intervals_with_correction_cover_the_truth_without_replicas(bend, noise):
    rng = np.random.default_rng(17)
    trials, hits = 200, 0
    for _ in range(trials):
        samples = [
            np.array([corrected(eps, bend) * np.exp(noise * rng.standard_normal())])
            for eps in FIGURE_LEVELS
        ]
        fit = fit_order(FIGURE_LEVELS, samples, correction=True)
        hits += fit.low <= 1.0 <= fit.high
    # Exact where the errors are small against the curvature in D: neither less nor more.
    assert stats.binom.ppf(1e-3, trials, 0.95) <= hits <= stats.binom.ppf(1 - 1e-3, trials, 0.95)


@pytest.mark.parametrize("noise", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("bend", [10.4, -10.4])
def test_intervals_with_correction_cover_the_truth_with_replicas(bend, noise):
    rng = np.random.default_rng(23)
    trials, hits, replicas = 150, 0, 24
    for trial in range(trials):
        samples = [
            corrected(eps, bend) * (1 + noise * replicas**0.5 * rng.standard_normal(replicas))
            for eps in FIGURE_LEVELS
        ]
        fit = fit_order(FIGURE_LEVELS, samples, correction=True, resamples=300, seed=trial)
        hits += fit.low <= 1.0 <= fit.high
        # Not by being wide: the error of an order is some multiple of the noise below 10.
        assert fit.high - fit.low < 2 * 1.96 * 10 * noise
    assert hits >= stats.binom.ppf(1e-3, trials, 0.95)


def test_an_interval_with_correction_keeps_all_orders_that_fit_as_well():
    # Direct minimisation over C and D at the two ends, by scipy.
    rng = np.random.default_rng(2)
    errors = corrected(FIGURE_LEVELS, 40.0) * np.exp(0.02 * rng.standard_normal(6))
    fit = fit_order(FIGURE_LEVELS, [np.array([e]) for e in errors], correction=True)

    def least_squares(order):
        def squares(bend):
            rest = np.log(errors / FIGURE_LEVELS ** (order - 1.0) / corrected(FIGURE_LEVELS, bend))
            return rest.var() * len(rest)

        found = [
            optimize.minimize_scalar(squares, bounds=bounds, method="bounded").fun
            for bounds in [(-100, -10), (-10, 0), (0, 10), (10, 40), (40, 100)]
        ]
        return min(found)

    ratio = 1.0 + stats.f.ppf(0.95, 1, 3) / 3
    for end in (fit.low, fit.high):
        # Ends are found to .3 % of the distance.
        assert least_squares(end) == pytest.approx(ratio * least_squares(fit.order), rel=0.01)


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


def with_noise(rng, replicas, common):
    """Return replicas of order 1 whose noise has another amplitude and sign at every level.

    Equal amplitudes on common noise would cancel in the order, whatever the bootstrap does.
    """
    shared = rng.standard_normal(replicas)
    return [
        eps * (1.0 + size * (shared if common else rng.standard_normal(replicas)))
        for eps, size in zip(LEVELS, [0.3, 0.2, 0.1, -0.1, -0.2], strict=True)
    ]


@pytest.mark.parametrize("replicas", [8, 16, 64])
@pytest.mark.parametrize("common", [False, True])
def test_intervals_cover_the_truth_as_often_as_they_say(replicas, common):
    rng = np.random.default_rng(replicas + common)
    trials, hits = 300, 0
    for trial in range(trials):
        samples = with_noise(rng, replicas, common)
        fit = fit_order(LEVELS, samples, common=common, resamples=400, seed=trial)
        hits += fit.low <= 1.0 <= fit.high
    # One-sided: more than the nominal 95 % is allowed, less only by chance (1 in 1000).
    assert hits >= stats.binom.ppf(1e-3, trials, 0.95)


def test_common_noise_is_resampled_jointly():
    sizes = np.array([0.3, 0.2, 0.1, -0.1, -0.2])
    shared = np.random.default_rng(3).standard_normal(400)
    shared = (shared - shared.mean()) / shared.std()
    weights = np.linalg.pinv(np.stack([np.ones(5), np.log(LEVELS)], axis=1))[1]
    samples = [eps * (1.0 + size * shared) for eps, size in zip(LEVELS, sizes, strict=True)]
    joint, apart = (fit_order(LEVELS, samples, common=common) for common in (True, False))
    # Linearised standard errors of the order: amplitudes add with their signs, or in squares.
    for fit, error in [(joint, abs(weights @ sizes)), (apart, np.linalg.norm(weights * sizes))]:
        width = 2 * 1.96 * error / 400**0.5
        # Quantiles of 2000 resamples are good to 3 %, the linearisation to 2 %.
        assert fit.high - fit.low == pytest.approx(width, rel=0.12)
    assert joint.high - joint.low > 1.5 * (apart.high - apart.low)


def test_replicas_on_common_noise_stay_paired_when_runs_fail():
    rng = np.random.default_rng(11)
    samples = with_noise(rng, 40, common=True)
    broken = [values.copy() for values in samples]
    for k, values in enumerate(broken):
        values[[k, 20 + k]] = np.nan
    whole = np.delete(np.arange(40), np.concatenate([np.arange(5), 20 + np.arange(5)]))
    fit = fit_order(LEVELS, broken, common=True)
    assert fit == fit_order(LEVELS, [values[whole] for values in samples], common=True)
    assert [len(kept) for kept in measure_levels(broken, common=True).kept] == [30] * 5
    assert [len(kept) for kept in measure_levels(broken).kept] == [38] * 5
    # A level that is dropped anyway costs the others nothing.
    broken[0][:39] = np.nan
    assert [len(kept) for kept in measure_levels(broken, common=True).kept] == [1] + [32] * 4


def test_a_single_surviving_replica_is_no_level():
    samples = with_noise(np.random.default_rng(4), 30, common=False)
    samples[0][1:] = np.nan
    assert measure_levels(samples).reason == ["one sample", "", "", "", ""]
    assert fit_order(LEVELS, samples) == fit_order(LEVELS[1:], samples[1:])
    # Alone it is a deterministic value, unless it is known to be a replica.
    single = [values[:1] for values in samples]
    assert measure_levels(single).reason == [""] * 5
    assert measure_levels(single, replicated=True).reason == ["one sample"] * 5
    assert np.isnan(fit_order(LEVELS, single, replicated=True).order)


@pytest.mark.parametrize("replicas", [3, 4])
def test_replicas_that_agree_are_deterministic(replicas):
    rng = np.random.default_rng(6)
    errors = LEVELS * np.exp(0.05 * rng.standard_normal(5))
    fit = fit_order(LEVELS, [np.full(replicas, error) for error in errors])
    alone = fit_order(LEVELS, [np.array([error]) for error in errors])
    np.testing.assert_allclose(fit, alone, rtol=1e-13)
    assert 0.0 < fit.high - fit.low < 0.5


def test_a_resample_without_logarithm_leaves_the_order_inconclusive():
    # Of ten +-1, one of them negative, one resample in 700 has mean zero.
    values = np.array([1.0, 1, 1, 1, -1, 1, 1, 1, 1, 1])
    fit = fit_order(LEVELS, [eps * values for eps in LEVELS], resamples=4000)
    assert np.isfinite(fit.order)
    assert judge_order(fit, {"order": 1.0}).reason == "no finite interval"


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
    assert judge_order(fit, {"order": 1.0}).kind == Kind.UNDECIDED


@pytest.mark.parametrize(
    ("fit", "expected", "tolerance", "kind"),
    [
        (OrderFit(1.0, 0.9, 1.1, 1.0), 1.05, 0.0, Kind.AGREES),
        (OrderFit(1.0, 0.9, 1.1, 1.0), 1.12, 0.0, Kind.DISAGREES),
        (OrderFit(1.0, 0.9, 1.1, 1.0), 1.12, 0.03, Kind.AGREES),
        (OrderFit(1.0, 0.6, 1.4, 1.0), 1.0, 0.0, Kind.UNDECIDED),
        (OrderFit(1.0, 0.9, 1.1, 1.0), None, 0.0, Kind.NOT_JUDGED),
        (OrderFit(0.5, 0.22, np.nan, 1.0), 1.0, 0.0, Kind.UNDECIDED),
        (OrderFit(0.5, -np.inf, 0.6, 1.0), 1.0, 0.0, Kind.UNDECIDED),
    ],
)
def test_orders_are_judged_by_their_interval(fit, expected, tolerance, kind):
    assert judge_order(fit, {"order": expected, "tolerance": tolerance}).kind == kind
