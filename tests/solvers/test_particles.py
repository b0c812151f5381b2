"""The particle schemes against closed forms and known orders."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import solve_continuous_lyapunov

import neurolim
from neurolim import Status, StudyError, solve

NOISY = {"recovery_noise": 2**0.5, "recovery_noise_scale": "root_eps"}


@pytest.mark.parametrize("dt", [0.5, 0.1])
@pytest.mark.parametrize("noise", [NOISY, {}], ids=["two-noises", "one-noise"])
def test_exponential_scheme_has_exact_moments_on_linear_networks_at_any_step(dt, noise):
    params = {"eps": 0.02, "voltage_start": 2.0, "voltage_spread": 3.0, **noise}
    options = {"t_end": 2.0, "records": 4, "n_neurons": 50}
    exact = solve("linear", "moments", params, options)
    found = solve("linear", "particles", params, {**options, "dt": dt}, replicas=2000)
    variance = np.stack([exact["covariance"][..., k, k] for k in range(2)], axis=-1)
    pairs = {name: (found[name], exact[name].values) for name in ("state_mean", "covariance")}
    # For Gaussian samples, both 3 ((1 - 1/n) Var)^2; the noise of a variable that has none of its
    # own is a four-point variable, of the same fourth moment.
    pairs["fourth moment"] = found["central_moment"].sel(moment=4), 3 * variance**2
    for quantity, expected in pairs.values():
        error = quantity.std("replica", ddof=1) / np.sqrt(2000)
        difference = (quantity.mean("replica") - expected).values
        # At the start the recovery has no spread at all.
        z = difference / np.where(error.values > 0, error.values, np.inf)
        assert np.abs(z).max() < stats.norm.isf(1e-3 / z.size)
    ratio = found["state_mean"].var("replica", ddof=1) / np.stack(
        [exact["mean_covariance"].values[..., k, k] for k in range(2)], axis=-1
    )
    assert np.abs(ratio.values[1:] - 1).max() < 4.5 * np.sqrt(2 / 1999)


def test_euler_maruyama_widens_the_law_as_theory_says():
    # Without drift, Var = eps/(1 - h/(2 eps)) exactly (docs/science.md).
    eps, h = 0.01, 0.005
    params = {"eps": eps, "leak": 0.0, "b": 0.0}
    options = {"dt": h, "t_end": 1.0, "records": 20, "n_neurons": 2000}
    found = solve(
        "linear", "particles", params, options | {"scheme": "euler_maruyama"}, replicas=10
    )
    variance = found["covariance"][:, 10:, 0, 0, 0] * 2000 / 1999
    expected = eps / (1 - h / (2 * eps))
    assert abs(variance.mean() / expected - 1) < 4 * np.sqrt(2 / (2000 * 10 * 11))


def test_a_step_beyond_the_stability_limit_is_refused_with_the_limit_and_the_alternative():
    params = {"eps": 0.01}
    options = {"dt": 0.025, "t_end": 5.0, "records": 10, "scheme": "euler_maruyama"}
    # The recovery slows the decay of differences a little, from 104 to 103.999.
    with pytest.raises(StudyError, match=r"limit 0\.0192309 of .* or scheme: exponential"):
        solve("fitzhugh_nagumo", "particles", params, options)
    good = solve("fitzhugh_nagumo", "particles", params, options | {"scheme": "exponential"})
    assert (good["status"] == Status.OK).all()


def test_a_replica_that_overflows_is_frozen_and_marked_while_the_others_go_on():
    # The explicit cubic overflows from |v| > (2/h)^1/2: some of the replicas start beyond it.
    params = {"eps": 0.5, "initial": "absolute", "voltage_spread": 4.0}
    options = {
        "dt": 0.02, "t_end": 1.0, "records": 5, "n_neurons": 10, "scheme": "euler_maruyama",
    }  # fmt: skip
    found = solve("fitzhugh_nagumo", "particles", params, options, replicas=24)
    failed = (found["status"] == Status.DIVERGED).values
    assert 0 < failed.sum() < 24
    for name in ("state_mean", "covariance", "central_moment", "state_quantile"):
        assert np.isnan(found[name].values[failed]).all()
        assert np.isfinite(found[name].values[~failed]).all()
    assert (found["histogram"].values[failed] == 0).all()


def test_moments_quantiles_and_means_are_those_of_the_recorded_states():
    found = solve(
        "fitzhugh_nagumo",
        "particles",
        {"eps": 0.1, "positions": [0.0, 1.0], "density": [1.0, 2.0], "recovery_noise": 0.3},
        {"n_neurons": 777, "t_end": 1.0, "records": 2, "dt": 0.05, "states": True},
        replicas=2,
    )
    x = found["state"].values
    mean = x.mean(axis=-1)
    np.testing.assert_allclose(found["state_mean"], mean, rtol=1e-13)
    y = x - mean[..., None]
    covariance = np.einsum("...in,...jn->...ij", y, y) / 777
    np.testing.assert_allclose(found["covariance"], covariance, rtol=1e-12, atol=1e-15)
    for order in found["moment"].values:
        np.testing.assert_allclose(
            found["central_moment"].sel(moment=order), np.mean(y**order, axis=-1), rtol=1e-10,
            atol=1e-15,
        )  # fmt: skip
    expected = np.moveaxis(np.quantile(x, found["probability"].values, axis=-1), 0, -1)
    np.testing.assert_allclose(found["state_quantile"], expected, rtol=1e-14)


@pytest.mark.parametrize("scheme", ["exponential", "euler_maruyama"])
def test_traces_hold_the_mean_after_every_few_steps_and_change_nothing(scheme):
    params = {"eps": 0.05, "recovery_noise": 0.3}
    options = {"n_neurons": 300, "t_end": 1.0, "records": 5, "dt": 0.02, "scheme": scheme}
    plain = solve("fitzhugh_nagumo", "particles", params, options)
    traced = solve("fitzhugh_nagumo", "particles", params, options | {"trace_every": 5})
    np.testing.assert_array_equal(plain["state_mean"], traced["state_mean"])
    assert traced["trace"].sizes["trace_time"] == 11
    at = traced["trace"].sel(trace_time=traced["time"].values, method="nearest")
    # The trace is the mean the step works with; it follows the sum over neurons to rounding.
    np.testing.assert_allclose(at.values, traced["state_mean"].values, rtol=1e-12, atol=1e-14)
    with pytest.raises(StudyError, match="trace_every"):
        solve("linear", "particles", {}, options | {"trace_every": 7})


def test_float64_normals_are_an_option_with_the_same_law():
    options = {"n_neurons": 500, "t_end": 1.0, "records": 2, "dt": 0.05}
    exact = solve("linear", "moments", {"eps": 0.05}, {"t_end": 1.0, "records": 2})
    coarse = solve("linear", "particles", {"eps": 0.05}, options, replicas=100)
    fine = solve(
        "linear", "particles", {"eps": 0.05}, options | {"normals": "float64"}, replicas=100
    )
    assert not np.array_equal(coarse["state_mean"], fine["state_mean"])
    for found in (coarse, fine):
        error = found["covariance"].std("replica", ddof=1) / 10
        z = ((found["covariance"].mean("replica") - exact["covariance"]) / error)[1:].values
        assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("eps", [1e-2, 1e-3, 1e-4])
def test_the_first_correction_of_the_variance_survives_steps_far_beyond_eps(eps):
    # Same-noise control variate: the network without local drift, whose law is known, on the same
    # key.  The remainder resolves Var(v)/eps - 1 -> f'(alpha) eps at h up to 200 eps.
    a, b, n, h = 0.3, 0.1, 4000, 0.02
    alpha = (5 + np.sqrt(25 - 4 * (4 + b / a))) / 2
    slope = -3 * alpha**2 + 10 * alpha - 4
    common = {"eps": eps, "a": a, "b": b, "drift": "polynomial", **NOISY}
    options = {"n_neurons": n, "dt": h, "t_end": 4.0, "records": 40}

    def covariance(coefficients, start):
        given = {
            "coefficients": coefficients,
            "voltage_start": start,
            "recovery_start": b / a * start,
        }
        found = solve("fitzhugh_nagumo", "particles", common | given, options, seed=3)
        return found["covariance"].values[0, 20:, 0]

    def lyapunov(local):
        drift = np.array([[local - 1 / eps, -1.0], [b, -a]])
        return solve_continuous_lyapunov(drift, -np.diag([2.0, 2 * eps]))

    difference = covariance([0.0, -4.0, 5.0, -1.0], alpha) - covariance([0.0, -1e-12], 0.0)
    error = difference.std(axis=0, ddof=1) / np.sqrt(20) / eps**2
    found = ((difference.mean(axis=0) + lyapunov(0.0)) / eps - np.diag([1, 1 / a])) / eps
    expected = (lyapunov(slope) / eps - np.diag([1, 1 / a])) / eps
    # Beyond the linearisation: relative O(eps), 3 f''-sized; beyond the step: O(h).
    allowance = 60 * eps + 2 * h
    assert abs(found[0, 0] - expected[0, 0]) < 4 * error[0, 0] + allowance
    assert abs(found[1, 1] - expected[1, 1]) < 4 * error[1, 1] + 0.1 * allowance


def test_exponential_scheme_has_second_order_in_the_step():
    # Without noise the network is the FitzHugh-Nagumo equation: the order is that of its mean.
    params = {"eps": 0.05, "sigma": 1e-9, "voltage_start": 0.6, "recovery_start": 0.1}
    exact = solve("fitzhugh_nagumo", "limit", params, {"t_end": 2.0, "records": 1})
    errors = []
    for dt in (0.1, 0.05, 0.025):
        found = solve(
            "fitzhugh_nagumo",
            "particles",
            params,
            {"t_end": 2.0, "records": 1, "dt": dt, "n_neurons": 2},
        )
        errors.append(float(np.abs(found["state_mean"][0, -1] - exact["state_mean"][-1]).max()))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (np.abs(orders - 2.0) < 0.25).all(), orders


def test_fluctuations_of_the_mean_fall_like_the_root_of_n():
    spread = []
    for n in (50, 3200):
        found = solve(
            "fitzhugh_nagumo",
            "particles",
            {"eps": 0.01},
            {"n_neurons": n, "t_end": 2.0, "records": 10, "dt": 0.02},
            replicas=100,
        )
        spread.append(float(found["state_mean"][:, 4:, 0, 0].std()))
    order = np.log(spread[0] / spread[1]) / np.log(3200 / 50)
    assert abs(order - 0.5) < 0.05


@pytest.mark.parametrize("scheme", ["exponential", "euler_maruyama"])
def test_reflected_conductance_has_the_truncated_gaussian_law(scheme):
    # G constant: g is an Ornstein-Uhlenbeck process reflected at 0, whose stationary law is
    # N(G0, a^2/gamma) cut at 0.
    noise, base = 0.5, 0.2
    params = {"noise": noise, "base": base, "amplitude": 0.0, "conductance_start": 0.3}
    found = solve(
        "morris_lecar",
        "particles",
        params,
        {"n_neurons": 4000, "t_end": 20.0, "records": 20, "dt": 0.01, "scheme": scheme},
        replicas=4,
    )
    law = stats.truncnorm(-base / noise, np.inf, base, noise)
    late = found["state_mean"].values[:, 10:, 0, 1]
    # 40 records about a relaxation time apart of 4000 neurons; bridge reflection errs by O(h).
    tolerance = 4 * law.std() / np.sqrt(4000 * 40 / 2) + 0.3 * 0.01
    assert abs(late.mean() - law.mean()) < tolerance


def test_histogram_counts_neurons_in_units_of_the_limit_law():
    found = solve(
        "linear",
        "particles",
        {"eps": 0.05, **NOISY},
        {"n_neurons": 1000, "t_end": 1.0, "records": 2, "dt": 0.1, "bins": 120, "bin_range": 6.0},
        replicas=3,
    )
    counts = found["histogram"].values
    assert (counts.sum(axis=-1) == 1000).all()
    u = found["bin"].values
    width = u[1] - u[0]
    second = (counts * u**2).sum(axis=-1) / 1000
    scale = found["scale"].values[:, None]
    variance = np.stack([found["covariance"].values[..., k, k] for k in range(2)], axis=-1)
    # Sheppard's correction for binning; the mean of a bin is not its centre, hence the slack.
    np.testing.assert_allclose(second * scale**2, variance, rtol=0.02 + width**2)


def test_a_single_neuron_has_the_exact_law_of_its_own_equation():
    # Its mean is itself, so no gap junction acts; the exponential step is exact at any length.
    params = {"eps": 0.1, "voltage_start": 1.0, "recovery_noise": 0.5}
    options = {"n_neurons": 1, "t_end": 1.0, "records": 2}
    found = solve("linear", "particles", params, {**options, "dt": 0.1}, seed=7, replicas=4000)
    exact = solve("linear", "moments", params, options).isel(time=-1, site=0)
    x, covariance = (
        found["state_mean"].isel(time=-1, site=0).values,
        exact["mean_covariance"].values,
    )
    error = np.sqrt(np.diag(covariance) / len(x))
    assert (np.abs(x.mean(axis=0) - exact["state_mean"].values) < 4.0 * error).all()
    variances = np.diag(covariance)
    sampling = np.sqrt((np.outer(variances, variances) + covariance**2) / len(x))
    assert (np.abs(np.cov(x.T) - covariance) < 4.0 * sampling).all()
    assert (found["covariance"].values == 0.0).all()


def test_bad_options_are_refused_before_anything_runs():
    with pytest.raises(StudyError, match="does not divide"):
        solve("linear", "particles", {}, {"dt": 0.03, "t_end": 1.0, "records": 10})
    with pytest.raises(StudyError, match="n_neurons"):
        solve("linear", "particles", {}, {"n_neurons": 0})
    with pytest.raises(StudyError, match="dt"):
        solve("linear", "particles", {}, {"dt": -0.1})
    assert neurolim.__all__


def test_the_mean_is_that_of_the_neurons_where_fluctuations_grow():
    # Between its outer states a weakly coupled network tears apart: errors of the mean that are
    # carried along instead of summed would grow with the fluctuations.
    params = {
        "drift": "canonical", "eps": 1e3, "b": 0.0, "initial": "absolute",
        "voltage_spread": 1.0, "sigma": 0.3,
    }  # fmt: skip
    options = {"n_neurons": 1000, "dt": 0.05, "t_end": 80.0, "records": 8, "trace_every": 200}
    found = solve("fitzhugh_nagumo", "particles", params, options)
    carried = found["trace"].values[0, 0:9, 0]
    np.testing.assert_allclose(carried, found["state_mean"].values[0, :, 0], atol=1e-12)


def test_neurons_of_a_site_are_exchangeable():
    # The same law at every place: of a lane, of a word of a counter, of a block.
    options = {"n_neurons": 1024, "dt": 0.02, "t_end": 1.0, "records": 1, "states": True}
    params = {"eps": 0.5, "initial": "absolute", "voltage_spread": 1.0}
    found = solve("fitzhugh_nagumo", "particles", params, options, replicas=100)
    v = found["state"].sel(variable="voltage").isel(time=-1, site=0).values
    y = v - v.mean(axis=1, keepdims=True)
    for name, groups in {
        "word": y.reshape(100, 4, 4, 64).transpose(2, 0, 1, 3).reshape(4, -1),
        "lane": y.reshape(100, 16, 64).transpose(2, 0, 1).reshape(64, -1),
        "block": y.reshape(100, 4, 256).transpose(1, 0, 2).reshape(4, -1),
    }.items():
        assert stats.kruskal(*groups).pvalue > 1e-3, name
        assert stats.levene(*groups).pvalue > 1e-3, name
    # Neighbours are no more alike than strangers: all are correlated by -1/(n - 1).
    for gap in (1, 64, 256):
        product = y * np.roll(y, gap, axis=1)
        expected = -np.mean(y**2) / 1023
        error = product.std() / np.sqrt(product.size)
        assert abs(product.mean() - expected) < 4 * error, gap


@pytest.mark.parametrize(
    ("model", "given", "dt"),
    [
        ("fitzhugh_nagumo", {"eps": 0.005}, 0.01),
        ("linear", {"leak": 500.0}, 0.01),
        ("morris_lecar", {"rate": 1000.0}, 0.01),
        ("balanced", {"drift_linear": [-1e4]}, 0.01),
    ],
)
def test_every_decay_counts_for_the_stability_limit(model, given, dt):
    options = {"dt": dt, "t_end": 1.0, "records": 1, "scheme": "euler_maruyama"}
    with pytest.raises(StudyError, match="stability limit"):
        solve(model, "particles", given, options)
