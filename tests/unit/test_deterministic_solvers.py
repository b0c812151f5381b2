"""The limit and exact-moment solvers against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurolim import StudyError, solve

TIMES = {"t_end": 3.0, "records": 6}


@pytest.mark.parametrize("eps", [0.1, 1e-6])
def test_limit_of_fitzhugh_nagumo_is_its_ordinary_equation_whatever_eps(eps):
    params = {"eps": eps, "voltage_start": 0.3, "recovery_start": 0.2, "current": 0.7}
    found = solve("fitzhugh_nagumo", "limit", params, TIMES)

    def slope(t, x):
        v, w = x
        return [-v * (v - 4) * (v - 1) + 0.7 - w, 0.1 * v - 0.3 * w]

    exact = solve_ivp(slope, (0, 3), [0.3, 0.2], t_eval=found["time"], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found["mean"].values[:, 0], exact.y.T, atol=1e-7)


def test_width_of_the_limit_law_follows_the_papers_formulas():
    eps, a, start = 0.05, 0.3, 0.7
    params = {
        "eps": eps,
        "a": a,
        "initial": "absolute",
        "voltage_spread": 1.0,
        "recovery_spread": start,
        "recovery_noise": 2**0.5,
        "recovery_noise_scale": "root_eps",
    }
    found = solve("fitzhugh_nagumo", "limit", params, TIMES)["spread"].values[:, 0]
    t = np.linspace(0, 3, 7)
    layer = eps * (1 - np.exp(-2 * t / eps)) + np.exp(-2 * t / eps)
    np.testing.assert_allclose(found[:, 0] ** 2, layer, rtol=1e-6)
    width0 = start**2 / eps
    slow = a / (1 + (a * width0 - 1) * np.exp(-2 * a * t))
    np.testing.assert_allclose(eps / found[:, 1] ** 2, slow, rtol=1e-6)


def test_limit_of_the_balanced_network_is_its_balance_voltage():
    found = solve("balanced", "limit", {"gamma": 1e6}, {"t_end": 5.0, "records": 1})
    v = found["mean"].values[-1, :, 0]
    s = 1 / (1 + np.exp(-(v - 0.5) / 0.8))
    weights, reversal = np.array([[1, 2], [1.5, 1]]), np.array([3, -1])
    np.testing.assert_allclose(v, (weights @ (s * reversal)) / (weights @ s), atol=1e-4)


def test_exact_moments_agree_with_the_full_network_of_three_neurons():
    # The 2n-dimensional linear system, integrated directly.
    n, eps, k, a, b, sigma, sigma_w = 3, 0.2, 0.7, 0.3, 0.4, 1.1, 0.3
    params = {
        "eps": eps,
        "leak": k,
        "a": a,
        "b": b,
        "sigma": sigma,
        "recovery_noise": sigma_w,
        "current": 0.4,
        "c": -0.1,
        "voltage_start": 1.5,
        "recovery_start": 0.2,
        "initial": "absolute",
        "voltage_spread": 0.5,
        "recovery_spread": 0.8,
    }
    found = solve("linear", "moments", params, {**TIMES, "n_neurons": n})
    eye, mix = np.eye(n), np.full((n, n), 1 / n)
    top = np.hstack([-k * eye + (mix - eye) / eps, -eye])
    matrix = np.vstack([top, np.hstack([b * eye, -a * eye])])
    constant = np.repeat([0.4, -0.1], n)
    noise = np.diag(np.repeat([sigma**2, sigma_w**2], n))
    size = 2 * n

    def slope(t, flat):
        mean, covariance = flat[:size], flat[size:].reshape(size, size)
        change = matrix @ covariance + covariance @ matrix.T + noise
        return np.concatenate([matrix @ mean + constant, change.ravel()])

    start = np.concatenate([np.repeat([1.5, 0.2], n), np.diag(np.repeat([0.25, 0.64], n)).ravel()])
    exact = solve_ivp(slope, (0, 3), start, t_eval=found["time"], rtol=1e-11, atol=1e-12)
    for t in range(7):
        mean = exact.y[:size, t]
        full = exact.y[size:, t].reshape(2, n, 2, n)
        of_mean = full.mean(axis=(1, 3))
        second = np.einsum("aibi->ab", full) / n - of_mean
        np.testing.assert_allclose(found["mean"].values[t, 0], mean[[0, n]], atol=1e-9)
        np.testing.assert_allclose(found["mean_covariance"].values[t, 0], of_mean, atol=1e-9)
        np.testing.assert_allclose(found["covariance"].values[t, 0], second, atol=1e-9)


def test_moments_refuses_what_it_cannot_do_exactly():
    with pytest.raises(StudyError, match="linear"):
        solve("fitzhugh_nagumo", "moments")


def test_sites_coupled_by_a_non_symmetric_kernel_follow_their_own_equations():
    kernel, density = np.array([[0.5, -1.0], [2.0, 0.3]]), np.array([1.0, 3.0])
    params = {
        "eps": 0.01, "drift": "canonical", "a": 0.2, "b": 0.5, "current": 0.3, "sigma": 1e-4,
        "voltage_start": 0.4, "positions": [0.0, 1.0], "density": density.tolist(),
        "kernel": kernel.tolist(),
    }  # fmt: skip
    weights = kernel * density / 2

    def slope(t, x):
        v, w = x[:2], x[2:]
        change = v - v**3 + 0.3 - w - weights.sum(axis=1) * v + weights @ v
        return np.concatenate([change, 0.5 * v - 0.2 * w])

    limit = solve("fitzhugh_nagumo", "limit", params, TIMES)
    exact = solve_ivp(
        slope, (0, 3), [0.4, 0.4, 0.0, 0.0], t_eval=limit["time"], rtol=1e-11, atol=1e-12
    ).y.reshape(2, 2, -1)
    np.testing.assert_allclose(limit["mean"].values, exact.transpose(2, 1, 0), atol=1e-7)
    network = solve("fitzhugh_nagumo", "particles", params, {**TIMES, "dt": 0.01, "n_neurons": 64})
    # Second order in the step, noise of the mean 1e-4/8.
    np.testing.assert_allclose(network["mean"].values[0], limit["mean"].values, atol=2e-4)
