"""Counter-based noise: known answers, moments, correlations, resolution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neurolim.numerics.random import (
    BLOCK,
    log_float32,
    noise_key,
    normals,
    philox4x32,
    sincos_turn,
    uniforms,
)

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


def sample(n_steps: int, n: int = 8192, key: int = 7, replica: int = 0, stream: int = 0):
    out = np.empty((n_steps, n))
    for step in range(n_steps):
        normals(out[step], 0, np.uint64(key), replica, step, stream)
    return out


def test_normals_have_gaussian_moments_and_pass_kolmogorov_smirnov():
    z = sample(250).ravel()
    n = z.size
    # Standard errors of the first six sample moments of a standard normal.
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)]:
        error = np.mean(z**power) - moment
        assert abs(error) < 4 * np.sqrt(variance / n), power
    assert stats.kstest(z, "norm").pvalue > 1e-3


def test_normals_have_gaussian_tails():
    z = np.abs(sample(500).ravel())
    for threshold in (3.0, 4.0, 5.0):
        expected = z.size * 2 * stats.norm.sf(threshold)
        found = np.count_nonzero(z > threshold)
        assert abs(found - expected) < 4 * np.sqrt(expected) + 1


def test_normals_of_neighbours_in_every_counter_are_uncorrelated():
    z = sample(120)
    size = z.size
    others = {
        "step": (z[:-1], z[1:]),
        "neuron": (z[:, :-1], z[:, 1:]),
        "lane": (z[:, :-16], z[:, 16:]),
        "block": (z[:, :-BLOCK], z[:, BLOCK:]),
        "replica": (z, sample(120, replica=1)),
        "stream": (z, sample(120, stream=1)),
        "key": (z, sample(120, key=8)),
    }
    for name, (a, b) in others.items():
        assert abs(np.mean(a * b)) < 4 / np.sqrt(size), name
        # Squares too: Box-Muller partners share a radius only if something is wrong.
        assert abs(np.mean((a**2 - 1) * (b**2 - 1))) < 4 * 2 / np.sqrt(size), name


def test_noise_of_a_neuron_does_not_depend_on_how_many_are_drawn_with_it():
    whole = np.empty(4 * BLOCK)
    normals(whole, 0, np.uint64(3), 2, 5, 1)
    part = np.empty(BLOCK)
    normals(part, 2 * BLOCK, np.uint64(3), 2, 5, 1)
    np.testing.assert_array_equal(part, whole[2 * BLOCK : 3 * BLOCK])


def test_log_and_sincos_are_accurate_to_a_few_ulp():
    rng = np.random.default_rng(1)
    u = np.concatenate([rng.random(2000), 2.0 ** -rng.uniform(0, 32, 2000)]).astype(np.float32)
    exact = np.log(u.astype(np.float64))
    found = np.array([log_float32(value) for value in u], dtype=np.float64)
    ulp = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(found - exact) / np.maximum(ulp, 2.0**-31)) < 2.0
    words = rng.integers(0, 2**32, 4000, dtype=np.uint32)
    pairs = np.array([sincos_turn(word) for word in words], dtype=np.float64)
    angles = 2 * np.pi * words / 2.0**32
    assert np.max(np.abs(pairs[:, 0] - np.sin(angles))) < 1.5 * 2.0**-24
    assert np.max(np.abs(pairs[:, 1] - np.cos(angles))) < 1.5 * 2.0**-24


def test_uniforms_lie_strictly_inside_the_unit_interval_and_are_uniform():
    out = np.empty(64 * 2000)
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
