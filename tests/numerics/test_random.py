"""Counter-based noise: known answers, moments, correlations, resolution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neurolim.numerics.random import (
    BLOCK,
    LANES,
    direction,
    direction_float32,
    minus_log_float32,
    noise_key,
    normals,
    normals_and_points,
    philox4x32,
    points_float32,
    uniforms,
    wide_normals,
)

DRAWS = {"float32": (normals, np.float32), "float64": (wide_normals, np.float64)}

LOW = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((LOW,) * 4, (LOW, LOW), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_random123_known_answers(counter, key, expected):
    words = philox4x32(*(np.uint64(value) for value in counter + key))
    assert tuple(int(word) & LOW for word in words) == expected


def sample(kind, n_steps: int, n: int = 8192, key: int = 7, replica: int = 0, stream: int = 0):
    draw, dtype = DRAWS[kind]
    out = np.empty((n_steps, n), dtype)
    for step in range(n_steps):
        draw(out[step], 0, np.uint64(key), replica, step, stream)
    return out.astype(np.float64)


@pytest.mark.parametrize("kind", DRAWS)
def test_normals_have_gaussian_moments_and_pass_kolmogorov_smirnov(kind):
    z = sample(kind, 250).ravel()
    check_moments([np.sum(z**power) for power in range(1, 7)], z.size)
    assert stats.kstest(z, "norm").pvalue > 1e-3


def check_moments(sums, n):
    # Variances of the powers of a standard normal: E z^2q - (E z^q)^2.
    for power, total in enumerate(sums, start=1):
        moment, square = stats.norm.moment(power), stats.norm.moment(2 * power)
        error = np.sqrt((square - moment**2) / n)
        assert abs(total / n - moment) < 4 * error, power


@pytest.mark.slow
@pytest.mark.parametrize("kind", DRAWS)
def test_a_hundred_million_normals_are_gaussian(kind):
    # Kolmogorov's statistic on 4095 cuts (a lower bound of the full one), moments, tails and the
    # correlations of neighbours; 4 standard errors each, 1e-4 for Kolmogorov.
    n_neurons, n_steps = 2**18, 384
    n = n_neurons * n_steps
    cuts = stats.norm.ppf(np.arange(1, 4096) / 4096)
    counts, sums, tails = np.zeros(4096), np.zeros(6), np.zeros(3)
    products, before = np.zeros(4), np.zeros(n_neurons)
    for step in range(n_steps):
        draw, dtype = DRAWS[kind]
        row = np.empty(n_neurons, dtype)
        draw(row, 0, np.uint64(2024), 3, step, 0)
        z = row.astype(np.float64)
        counts += np.bincount(np.searchsorted(cuts, z), minlength=4096)
        sums += [np.sum(z**power) for power in range(1, 7)]
        tails += [np.count_nonzero(np.abs(z) > t) for t in (4.0, 5.0, 5.5)]
        partner = z.reshape(-1, BLOCK)
        products += [
            np.sum(z[1:] * z[:-1]),
            np.sum(z * before),
            np.sum(partner[:, :LANES] * partner[:, LANES : 2 * LANES]) * 4,
            np.sum((z[1:] ** 2 - 1) * (z[:-1] ** 2 - 1)) / 2,
        ]
        before = z
    distance = np.abs(np.cumsum(counts)[:-1] / n - np.arange(1, 4096) / 4096).max()
    assert distance * np.sqrt(n) < stats.kstwobign.isf(1e-4)
    check_moments(sums, n)
    expected = n * 2 * stats.norm.sf([4.0, 5.0, 5.5])
    assert (np.abs(tails - expected) < 4 * np.sqrt(expected)).all()
    # The partner product counts a quarter of the pairs four times: twice the standard error.
    assert (np.abs(products) / np.sqrt(n) < [4, 4, 8, 4]).all()


@pytest.mark.parametrize("kind", DRAWS)
def test_normals_have_gaussian_tails(kind):
    z = np.abs(sample(kind, 500).ravel())
    for threshold in (3.0, 4.0, 5.0):
        expected = z.size * 2 * stats.norm.sf(threshold)
        found = np.count_nonzero(z > threshold)
        assert abs(found - expected) < 4 * np.sqrt(expected) + 1


@pytest.mark.parametrize("kind", DRAWS)
def test_normals_of_neighbours_in_every_counter_are_uncorrelated(kind):
    z = sample(kind, 120)
    size = z.size
    others = {
        "step": (z[:-1], z[1:]),
        "neuron": (z[:, :-1], z[:, 1:]),
        "lane": (z[:, :-LANES], z[:, LANES:]),
        "block": (z[:, :-BLOCK], z[:, BLOCK:]),
        "replica": (z, sample(kind, 120, replica=1)),
        "stream": (z, sample(kind, 120, stream=1)),
        "key": (z, sample(kind, 120, key=8)),
    }
    for name, (a, b) in others.items():
        assert abs(np.mean(a * b)) < 4 / np.sqrt(size), name
        # Squares too: Box-Muller partners share a radius only if something is wrong.
        assert abs(np.mean((a**2 - 1) * (b**2 - 1))) < 4 * 2 / np.sqrt(size), name


@pytest.mark.parametrize("kind", DRAWS)
def test_noise_of_a_neuron_does_not_depend_on_how_many_are_drawn_with_it(kind):
    draw, dtype = DRAWS[kind]
    whole = np.empty(4 * BLOCK, dtype)
    draw(whole, 0, np.uint64(3), 2, 5, 1)
    part = np.empty(BLOCK, dtype)
    draw(part, 2 * BLOCK, np.uint64(3), 2, 5, 1)
    np.testing.assert_array_equal(part, whole[2 * BLOCK : 3 * BLOCK])


def test_the_two_resolutions_are_different_numbers_and_float64_uses_all_its_bits():
    coarse, fine = sample("float32", 4), sample("float64", 4)
    assert np.all(coarse == coarse.astype(np.float32))
    assert np.mean(fine == fine.astype(np.float32)) < 1e-3
    assert abs(np.mean(coarse * fine)) < 4 / np.sqrt(coarse.size)


WORDS = np.random.default_rng(1).integers(0, 2**32, 4000, dtype=np.uint32)
EDGES = np.array([0, 1, 2, 3, 2**31 - 1, 2**31, 2**32 - 300, 2**32 - 1], dtype=np.uint32)


def test_logarithm_of_a_word_is_accurate():
    words = np.concatenate([WORDS, WORDS >> 12, WORDS >> 24, EDGES, ~(WORDS >> 20)])
    exact = -np.log((words | 1).astype(np.float32).astype(np.float64) / 2.0**32)
    found = np.array([minus_log_float32(word) for word in words], dtype=np.float64)
    assert (found >= 0).all()
    # 2 ulp of float32: 2^-23 relative.
    assert (np.abs(found - exact) <= 2 * 2.0**-23 * exact).all()


def test_directions_lie_on_the_circle_and_fill_it_evenly():
    pairs = np.array([direction_float32(word) for word in WORDS], dtype=np.float64)
    t = ((WORDS >> 7) & 0x7FFFFF) / 2.0**23 - 0.5
    angle = np.pi / 4 + np.pi / 2 * t
    signs = np.stack([1.0 - 2 * (WORDS >> 31), 1.0 - 2 * ((WORDS >> 30) & 1)], axis=1)
    exact = np.sqrt(2) * signs * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert np.abs(pairs - exact).max() < 2.5 * 2.0**-23
    fine = np.array([direction(a, b) for a, b in zip(WORDS, WORDS[::-1], strict=True)])
    rest = ((WORDS & 0x3FFFFFFF) * 2.0**32 + WORDS[::-1] + 0.5) / 2.0**62 - 0.5
    turn = np.pi / 4 + np.pi / 2 * rest
    sharp = np.sqrt(2) * signs * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    assert np.abs(fine - sharp).max() < 1e-15


def test_uniforms_lie_strictly_inside_the_unit_interval_and_are_uniform():
    out = np.empty(BLOCK * 500)
    uniforms(out, 0, np.uint64(11), 0, 0, 16)
    assert out.min() > 0.0
    assert out.max() < 1.0
    assert stats.kstest(out, "uniform").pvalue > 1e-3


def test_noise_key_ignores_order_and_sees_every_bit():
    assert noise_key(1, {"eps": 0.1, "n": 3}) == noise_key(1, {"n": 3, "eps": 0.1})
    keys = {
        noise_key(1, {}),
        noise_key(2, {}),
        noise_key(1, {"eps": 0.1}),
        noise_key(1, {"eps": np.nextafter(0.1, 1.0).item()}),
        noise_key(1, {"b": 0.1}),
    }
    assert len(keys) == 5
    assert all(0 <= key < 2**64 for key in keys)


def test_points_have_a_normals_moments_to_order_five_exactly():
    # All 64 values of the six bits: an exhaustive sum, equal to rounding of float32.
    pairs = np.array([points_float32(np.uint32(word)) for word in range(64)], dtype=np.float64)
    for power, moment in enumerate((1.0, 0.0, 1.0, 0.0, 3.0, 0.0)):
        np.testing.assert_allclose(np.mean(pairs**power, axis=0), moment, atol=1e-6)
    assert abs(np.mean(pairs[:, 0] * pairs[:, 1])) < 1e-12


def test_points_come_with_the_same_normals_and_are_independent_of_them():
    n_steps, n = 250, 8192
    z, points = np.empty((n_steps, n), np.float32), np.empty((n_steps, n), np.float32)
    for step in range(n_steps):
        normals_and_points(z[step], points[step], 0, np.uint64(7), 0, step, 0)
    np.testing.assert_array_equal(z, sample("float32", n_steps, n).astype(np.float32))
    z, points = z.astype(np.float64), points.astype(np.float64)
    partners = points.reshape(n_steps, -1, 2, LANES)
    pairs = {
        "own": (z, points),
        "sign": (np.sign(z), np.sign(points)),
        "size": (z**2 - 1, points**2 - 1),
        "step": (points[:-1], points[1:]),
        "neighbour": (points[:, :-1], points[:, 1:]),
        "partner": (partners[:, :, 0], partners[:, :, 1]),
    }
    for name, (a, b) in pairs.items():
        spread = np.std(a) * np.std(b) / np.sqrt(a.size)
        assert abs(np.mean(a * b)) < 4 * spread, name
    counts = np.unique(np.round(points, 6), return_counts=True)[1]
    expected = np.array([1, 3, 3, 1]) / 8 * points.size
    assert stats.chisquare(counts, expected).pvalue > 1e-3
