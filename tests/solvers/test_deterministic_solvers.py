"""The limit and exact-moment solvers against independent computations."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from neurolim import StudyError, solve
from neurolim.core import Status

TIMES = {"t_end": 3.0, "records": 6}


@pytest.mark.parametrize("eps", [0.1, 1e-6])
def test_limit_of_fitzhugh_nagumo_is_its_ordinary_equation_whatever_eps(eps):
    params = {"eps": eps, "voltage_start": 0.3, "recovery_start": 0.2, "current": 0.7}
    found = solve("fitzhugh_nagumo", "limit", params, TIMES)

    def slope(t, x):
        v, w = x
        return [-v * (v - 4) * (v - 1) + 0.7 - w, 0.1 * v - 0.3 * w]

    exact = solve_ivp(slope, (0, 3), [0.3, 0.2], t_eval=found["time"], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found["state_mean"].values[:, 0], exact.y.T, atol=1e-7)


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
    v = found["state_mean"].values[-1, :, 0]
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
        np.testing.assert_allclose(found["state_mean"].values[t, 0], mean[[0, n]], atol=1e-9)
        np.testing.assert_allclose(found["mean_covariance"].values[t, 0], of_mean, atol=1e-9)
        np.testing.assert_allclose(found["covariance"].values[t, 0], second, atol=1e-9)


def exact_covariance(matrix, noise, start, time):
    """Return e^{Lt} S e^{L^T t} + int_0^t e^{Ls} N e^{L^T s} ds by eigenvalues, in 60 digits."""
    with localcontext() as context:
        context.prec = 60
        (a, b), (c, d) = [[Decimal(x) for x in row] for row in matrix.tolist()]
        root = (((a - d) / 2) ** 2 + b * c).sqrt()
        one, two = (a + d) / 2 + root, (a + d) / 2 - root
        # Spectral projections, (L - other)/(value - other).
        project = {
            value: [
                [(a - other) / (value - other), b / (value - other)],
                [c / (value - other), (d - other) / (value - other)],
            ]
            for value, other in [(one, two), (two, one)]
        }
        total = [[Decimal(0), Decimal(0)], [Decimal(0), Decimal(0)]]
        for x, left in project.items():
            for y, right in project.items():
                factor = ((x + y) * Decimal(time)).exp()
                inner = [
                    Decimal(start[k]) * factor + Decimal(noise[k]) * (factor - 1) / (x + y)
                    for k in range(2)
                ]
                for i in range(2):
                    for j in range(2):
                        total[i][j] += sum(left[i][k] * inner[k] * right[j][k] for k in range(2))
        return np.array([[float(x) for x in row] for row in total])


@pytest.mark.parametrize("eps", [1e-2, 1e-6, 1e-9, 1e-12])
def test_exact_moments_keep_their_digits_when_the_coupling_is_stiff(eps):
    k, a, b, n = 2.0, 0.3, 0.4, 100
    params = {
        "eps": eps, "leak": k, "a": a, "b": b, "sigma": 1.1, "recovery_noise": 0.3,
        "initial": "absolute", "voltage_spread": 0.5, "recovery_spread": 0.8,
    }  # fmt: skip
    found = solve("linear", "moments", params, {**TIMES, "n_neurons": n})
    slow = np.array([[-k, -1.0], [b, -a]])
    stiff = np.array([[-k - 1 / eps, -1.0], [b, -a]])
    noise, start = np.array([1.1**2, 0.3**2]), np.array([0.25, 0.64])
    for name, matrix, scale in [
        ("covariance", stiff, 1 - 1 / n),
        ("mean_covariance", slow, 1 / n),
    ]:
        exact = scale * exact_covariance(matrix, noise, start, 3.0)
        # Rounding of 1e-16 in each of some forty doublings and of six records.
        np.testing.assert_allclose(found[name].values[-1, 0], exact, rtol=1e-13)


@pytest.mark.parametrize("leak", [0.0, 1e-11, 1e-9, 1e-6])
def test_exact_moments_hold_along_neutral_directions(leak):
    params = {"leak": leak, "b": 0.0, "eps": 0.01, "current": 0.5, "voltage_start": 1.5}
    params |= {"recovery_start": 0.0, "initial": "absolute", "voltage_spread": 0.5}
    params |= {"sigma": 1.1, "recovery_noise": 0.0, "recovery_spread": 0.0}
    found = solve("linear", "moments", params, {"t_end": 2.0, "records": 4, "n_neurons": 10})
    rate = 2 * leak * 2.0
    growing = 2.0 * (-np.expm1(-rate) / rate if leak else 1.0)
    variance = (1.1**2 * growing + 0.25 * np.exp(-rate)) / 10
    lasting = 2.0 * (-np.expm1(-rate / 2) / (rate / 2) if leak else 1.0)
    mean = 1.5 * np.exp(-rate / 2) + 0.5 * lasting
    assert found["mean_covariance"].values[-1, 0, 0, 0] == pytest.approx(variance, rel=1e-14)
    assert found["state_mean"].values[-1, 0, 0] == pytest.approx(mean, rel=1e-14)


def test_moments_that_overflow_are_marked_and_hold_no_number():
    found = solve("linear", "moments", {"leak": -100.0}, {"t_end": 10.0, "records": 2})
    assert found["status"] == Status.DIVERGED
    for name in ("state_mean", "covariance", "mean_covariance"):
        assert np.isnan(found[name].values).all()


def test_a_limit_that_leaves_the_numbers_is_marked_though_the_integrator_raises():
    params = {"leak": -1000.0, "voltage_start": 1.0}
    options = {"t_end": 10.0, "records": 2, "method": "Radau", "rtol": 1e-2, "atol": 1e-2}
    found = solve("linear", "limit", params, options)
    assert found["status"] == Status.DIVERGED
    assert np.isnan(found["state_mean"].values).all()


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
    np.testing.assert_allclose(limit["state_mean"].values, exact.transpose(2, 1, 0), atol=1e-7)
    network = solve("fitzhugh_nagumo", "particles", params, {**TIMES, "dt": 0.01, "n_neurons": 64})
    # Second order in the step, noise of the mean 1e-4/8.
    np.testing.assert_allclose(
        network["state_mean"].values[0], limit["state_mean"].values, atol=2e-4
    )


def test_a_network_that_nothing_shakes_and_nothing_damps_has_a_law():
    params = {
        "eps": 0.05, "leak": 0.4, "a": 0.0, "b": 0.7, "sigma": 0.0, "current": 0.2, "c": 0.1,
        "voltage_start": 0.5, "initial": "absolute", "voltage_spread": 0.3, "recovery_spread": 0.2,
    }  # fmt: skip
    slopes, constant = np.array([[-0.4, -1.0], [0.7, 0.0]]), np.array([0.2, 0.1])
    rest = -np.linalg.solve(slopes, constant)
    mean = rest + expm(3.0 * slopes) @ (np.array([0.5, 0.0]) - rest)
    carried = expm(3.0 * (slopes - np.diag([20.0, 0.0])))
    law = carried @ np.diag([0.09, 0.04]) @ carried.T
    for solver, options in (
        ("moments", {"n_neurons": 2**30}),
        ("gaussian_closure", {}),
        ("limit", {}),
        ("reduced", {"n_neurons": 2**60}),
    ):
        found = solve("linear", solver, params, TIMES | options)
        got = found["state_mean"].isel(time=-1).values.reshape(-1)
        np.testing.assert_allclose(got, mean, atol=1e-7, err_msg=solver)
        if "covariance" in found:
            np.testing.assert_allclose(found["covariance"].values[-1, 0], law, atol=1e-8)
