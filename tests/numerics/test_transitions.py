"""Closed forms of phase transitions, and the models that have them, against other methods."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import dblquad, quad, solve_ivp
from scipy.linalg import solve_continuous_lyapunov
from scipy.special import gamma, i0, i1

from neurolim import core, solve
from neurolim.api import run_study
from neurolim.core import Status
from neurolim.numerics.transitions import BistableUnits, Oscillators


def stationary_mean(h, d, nodes=64):
    """Return <cos phi> of the stationary law of dphi = (D d + D h sin(-phi)) dt + sqrt(2 D) dW.

    By collocation of the Fokker-Planck equation (d - h sin phi) p - p' = const on the circle.
    """
    phi = 2.0 * np.pi * np.arange(nodes) / nodes
    waves = np.fft.fftfreq(nodes, 1.0 / nodes)
    derivative = np.fft.ifft(1j * waves[:, None] * np.fft.fft(np.eye(nodes), axis=0), axis=0).real
    flux = np.diag(d - h * np.sin(phi)) - derivative
    matrix = derivative @ flux
    matrix[0] = 1.0
    p = np.linalg.solve(matrix, np.eye(nodes)[0])
    return float(p @ np.cos(phi))


def test_identical_oscillators_solve_bessels_equation():
    order = Oscillators(1.5, 1.0).order
    assert order == pytest.approx(i1(3.0 * order) / i0(3.0 * order), abs=1e-12)
    assert order == pytest.approx(stationary_mean(3.0 * order, 0.0), abs=1e-10)
    assert Oscillators(1.5, 1.0).critical == pytest.approx(1.0)
    assert Oscillators(0.99, 1.0).order == 0.0


def test_random_frequencies_have_the_mean_of_their_fokker_planck_equations():
    # omega = width tan(angle) is Lorentzian for uniform angles: the midpoint rule converges fast.
    angles = np.pi * ((np.arange(100) + 0.5) / 100 - 0.5)
    lorentzian = Oscillators(2.5, 1.0, 0.25)
    h = 2.0 * 2.5 * lorentzian.order
    means = [stationary_mean(h, 2.0 * 0.25 * value) for value in np.tan(angles)]
    assert np.mean(means) == pytest.approx(lorentzian.order, abs=1e-9)
    normal = Oscillators(2.5, 1.0, 0.25, normal=True)
    h = 2.0 * 2.5 * normal.order
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    means = [stationary_mean(h, 2.0 * 0.25 * value) for value in nodes]
    assert weights @ means / weights.sum() == pytest.approx(normal.order, abs=1e-8)


def test_the_critical_coupling_is_sakaguchis():
    assert Oscillators(1.0, 0.8, 0.3).critical == pytest.approx(0.8**2 + 2 * 0.3)
    decay = 0.5 * 0.8**2
    overlap, _ = quad(
        lambda w: decay / (decay**2 + w**2) * stats.norm.pdf(w, scale=0.3), -5, 5, limit=200
    )
    assert Oscillators(1.0, 0.8, 0.3, normal=True).critical == pytest.approx(2.0 / overlap)


@pytest.mark.parametrize("normal", [False, True])
def test_fluctuations_below_the_transition_solve_a_lyapunov_equation(normal):
    # Groups of one frequency each, dz_j = (i w_j - D) z_j + (K/2) sum_k g_k z_k + noise 2 D/g_j.
    size, decay, width, coupling = 400, 0.5, 0.3, 0.9
    share = np.full(size, 1.0 / size)
    quantiles = (np.arange(size) + 0.5) / size
    w = width * (stats.norm if normal else stats.cauchy).ppf(quantiles)
    matrix = np.diag(1j * w - decay) + 0.5 * coupling * np.outer(np.ones(size), share)
    noise = -np.diag(2.0 * decay / share).astype(complex)
    covariance = solve_continuous_lyapunov(matrix, noise)
    expected = float((share @ covariance @ share).real)
    found = Oscillators(coupling, 1.0, width, normal)
    n = 10**6
    # The midpoint rule in quantiles is of second order.
    assert n * found.square(n) == pytest.approx(expected, rel=2e-3)
    assert np.isnan(Oscillators(found.critical * 0.99, 1.0, width, normal).square(1000))


@pytest.mark.parametrize("a", [0.25, 1.0, 3.0])
def test_two_oscillators_have_the_exact_law(a):
    # Their difference has the density exp(a cos d): E |Z|^2 = (1 + I1(a)/I0(a))/2.
    assert Oscillators(a, 1.0).square(2) == pytest.approx((1 + i1(a) / i0(a)) / 2, rel=1e-5)


@pytest.mark.parametrize(
    "kind",
    [lambda s: Oscillators(1 / s, 1.0), lambda s: BistableUnits(1.0, s)],
    ids=["oscillators", "units"],
)
def test_large_networks_have_the_order_of_the_limit(kind):
    ordered, disordered = kind(0.7), kind(2.0)
    assert ordered.ratio > 1.0 > disordered.ratio
    assert ordered.square(10**5) == pytest.approx(ordered.order**2, rel=1e-4)
    spread = 1.0 if isinstance(ordered, Oscillators) else disordered.ratio * 2.0
    linear = spread / (1.0 - disordered.ratio) / 10**5
    assert disordered.square(10**5) == pytest.approx(linear, rel=1e-3)


def test_the_critical_noise_is_dawsons():
    assert BistableUnits(1.0, 1.0).critical == pytest.approx(8**0.5 * gamma(0.75) / gamma(0.25))


def test_bistable_units_solve_their_equation():
    theta, sigma = 0.7, 0.5
    m = BistableUnits(theta, sigma).order

    def weight(x):
        potential = x**4 / 4 - x**2 / 2 + theta * (x - m) ** 2 / 2
        return np.exp(-2.0 * potential / sigma**2)

    top, _ = quad(lambda x: x * weight(x), -4, 4, epsabs=1e-13)
    below, _ = quad(weight, -4, 4, epsabs=1e-13)
    assert m > 0.5
    assert top / below == pytest.approx(m, abs=1e-9)


def test_the_mean_field_in_time_ends_on_the_stationary_law():
    model, solver = core.get("model", "desai_zwanzig"), core.get("solver", "moving_grid")
    params = core.resolve(model.params, {"sigma": 0.7})
    options = core.resolve(solver.options, {"t_end": 40.0, "records": 1})
    solver.accept(model, params, options)
    found = solver.solve(model, params, options, 0, range(1))
    assert found.status[0] == Status.OK
    order = BistableUnits(1.0, 0.7).order
    assert found.arrays["state_mean"][0, -1, 0, 0] == pytest.approx(order, abs=1e-5)


def test_two_bistable_units_have_the_exact_law():
    theta, sigma = 1.0, 0.9

    def weight(x, y):
        own = sum(v**4 / 4 - v**2 / 2 for v in (x, y))
        # Gibbs law of the pair: the pull to the mean is theta/4 times the squared distance.
        return np.exp(-2.0 * (own + theta * (x - y) ** 2 / 4) / sigma**2)

    top, _ = dblquad(lambda x, y: ((x + y) / 2) ** 2 * weight(x, y), -3, 3, -3, 3)
    below, _ = dblquad(weight, -3, 3, -3, 3)
    assert BistableUnits(theta, sigma).square(2) == pytest.approx(top / below, rel=1e-6)


def test_lorentzian_frequencies_come_with_independent_uniform_phases():
    model = core.get("model", "kuramoto")
    params = core.resolve(model.params, {"width": 0.4, "spread": 1.0})
    (p,) = model.sites(params).params
    z = np.random.Generator(np.random.PCG64(4)).standard_normal((2, 4000))
    phase, frequency = model.equations.initial(tuple(z), p)
    assert stats.kstest(phase / (2 * np.pi), "uniform").pvalue > 0.001
    assert stats.kstest(frequency, stats.cauchy(scale=0.4).cdf).pvalue > 0.001
    assert stats.spearmanr(phase, np.abs(frequency)).pvalue > 0.001
    (p,) = model.sites(params | {"frequencies": "normal"}).params
    np.testing.assert_allclose(model.equations.initial(tuple(z), p), [z[0], 0.4 * z[1]])


LINEAR = {"growth": -0.5, "cubic": 0.0, "slope": 0.0, "gate": 0.0, "synapse_spread": 0.0}


def closed_moments(p, times):
    """Return (Y, means, Var v, Cov, Var w) [time, 6] of the linear part: a closed system."""

    def flow(t, s):
        share, v, w, vv, vw, ww = s
        rate = p.opening * p.transmitter / 2.0
        slope = p.growth - p.conductance * share
        drive = p.conductance * share * p.reversal + p.current
        noise = (p.conductance_noise * share) ** 2 * ((p.reversal - v) ** 2 + vv)
        return (
            rate * (1.0 - share) - p.closing * share,
            slope * v - w + drive,
            p.a * (v + p.b - p.c * w),
            2.0 * (slope * vv - vw) + p.sigma**2 + noise,
            slope * vw - ww + p.a * (vv - p.c * vw),
            2.0 * p.a * (vw - p.c * ww),
        )

    start = (
        p.synapse_start, p.voltage_start, p.recovery_start,
        p.voltage_spread**2, 0.0, p.recovery_spread**2,
    )  # fmt: skip
    return solve_ivp(flow, (0, times[-1]), start, t_eval=times, rtol=1e-10, atol=1e-12).y.T


def test_the_linear_part_of_noisy_conductances_has_its_closed_moments():
    model, solver = (
        core.get("model", "fitzhugh_nagumo_conductances"),
        core.get("solver", "particles"),
    )
    given = LINEAR | {"conductance": 2.0, "conductance_noise": 1.0, "closing": 0.3}
    params = core.resolve(model.params, given)
    (p,) = model.sites(params).params
    n, replicas, h = 2048, 16, 0.005
    options = {"scheme": "euler_maruyama", "n_neurons": n, "dt": h, "t_end": 4.0, "records": 4}
    resolved = core.resolve(solver.options, options)
    found = solver.solve(model, params, resolved, 3, range(replicas))
    assert (found.status == Status.OK).all()
    exact = closed_moments(p, np.arange(5.0))
    mean, covariance = found.arrays["state_mean"][:, :, 0], found.arrays["covariance"][:, :, 0]
    np.testing.assert_allclose(mean[..., 2], np.broadcast_to(exact[:, 0], mean.shape[:2]), atol=h)
    for values, expected in (
        (mean[..., 0], exact[:, 1]),
        (mean[..., 1], exact[:, 2]),
        (covariance[..., 0, 0] * n / (n - 1), exact[:, 3]),
        (covariance[..., 0, 1] * n / (n - 1), exact[:, 4]),
        (covariance[..., 1, 1] * n / (n - 1), exact[:, 5]),
    ):
        error = values.std(axis=0, ddof=1) / np.sqrt(replicas)
        # Weak order 1: relative to the rates of about 2, an error of h in mean and variance.
        bias = h * np.abs(expected).max()
        assert (np.abs(values.mean(axis=0) - expected) <= 4.0 * error + bias).all()
    # The conductance noise matters here: without it the variance would be another.
    assert exact[-1, 3] > 1.3 * closed_moments(p._replace(conductance_noise=0.0), [4.0])[-1, 3]


def test_linear_noise_has_the_closed_moments_of_noisy_conductances():
    model = core.get("model", "fitzhugh_nagumo_conductances")
    given = LINEAR | {"conductance": 2.0, "conductance_noise": 1.0, "closing": 0.3}
    (p,) = model.sites(core.resolve(model.params, given)).params
    n = 50
    options = {"t_end": 4.0, "records": 8, "n_neurons": n}
    found = solve("fitzhugh_nagumo_conductances", "linear_noise", given, options)
    exact = closed_moments(p, found["time"].values)
    mean, covariance = found["state_mean"].values[:, 0], found["covariance"].values[:, 0]
    np.testing.assert_allclose(mean[:, [2, 0, 1]], exact[:, :3], rtol=1e-6)
    entries = covariance[:, [0, 0, 1], [0, 1, 1]]
    np.testing.assert_allclose(entries, (1 - 1 / n) * exact[:, 3:], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found["mean_covariance"][:, 0] * (n - 1), covariance, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.ci
def test_the_study_of_noisy_conductances_agrees_at_test_size(root, tmp_path):
    run_study(root / "config" / "studies" / "noisy-conductances.yaml", tmp_path, tiny=True)
    found = pd.read_csv(tmp_path / "tiny" / "noisy-conductances" / "tables" / "agreement.csv")
    # Mean, and covariances of v and w at two points and four times: channels do not fluctuate.
    assert found["compared"].tolist() == [16, 24, 24]
    assert found["verdict"].str.startswith("agrees").all()


def test_channel_noise_ends_where_all_channels_are_open_or_closed():
    from neurolim.models.fitzhugh_nagumo_conductances import MODEL, gate_noise

    (p,) = MODEL.sites(core.resolve(MODEL.params, {})).params

    class Here:
        v, y = 0.0, 0.5

    opening = 1.0 / (1.0 + np.exp(0.4))
    expected = 0.1 * np.exp(-0.5) * np.sqrt(0.5 * opening + 0.5)
    assert gate_noise(Here, p) == pytest.approx(expected)
    for end in (0.0, 1.0):
        Here.y = end
        assert gate_noise(Here, p) == 0.0
