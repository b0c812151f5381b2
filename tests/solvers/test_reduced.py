"""The reduced equation of the mean: exact cases, order of its scheme, and the network."""

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov

from neurolim import core
from neurolim.bifurcation import closure
from neurolim.bifurcation.plane import Plane, equilibria
from neurolim.core import GapJunctions, Model, Noise, State, Status, StudyError
from neurolim.math import cos
from neurolim.numerics.events import find_events


def run(params, options, key=1, replicas=range(1), solver="reduced"):
    model, plugin = core.get("model", "fitzhugh_nagumo"), core.get("solver", solver)
    p, o = core.resolve(model.params, params), core.resolve(plugin.options, options)
    plugin.check(model, p, o)
    return plugin.solve(model, p, o, key, replicas)


CYCLE = {"a": 0.03, "b": 0.15, "current": 4.0, "voltage_start": 1.2, "recovery_start": 1.0}


def test_without_noise_it_is_the_limit_to_fourth_order():
    quiet = CYCLE | {"sigma": 1e-12}
    times = {"t_end": 60.0, "records": 6}
    limit = run(CYCLE, {**times, "rtol": 1e-12}, solver="limit").arrays["state_mean"]
    errors = [
        np.abs(run(quiet, {**times, "dt": dt}).arrays["state_mean"] - limit).max()
        for dt in (0.05, 0.025)
    ]
    assert errors[1] < 1e-4
    # Order 4 gives 16; the integrator of the limit leaves 1e-9.
    assert 11 < errors[0] / errors[1] < 23


def test_linear_drift_has_the_exact_stationary_law():
    n, sigma, sigma_w, a, b, k = 40, 1.1, 0.4, 0.5, 0.8, 1.3
    params = {
        "drift": "polynomial", "coefficients": [0.3, -k], "a": a, "b": b, "sigma": sigma,
        "recovery_noise": sigma_w, "eps": 0.1,
    }  # fmt: skip
    found = run(
        params, {"n_neurons": n, "dt": 0.1, "t_end": 400.0, "records": 40}, replicas=range(40)
    )
    sample = found.arrays["state_mean"][:, 4:, 0].reshape(-1, 2)
    drift = np.array([[-k, -1.0], [b, -a]])
    exact = solve_continuous_lyapunov(drift, -np.diag([sigma**2, sigma_w**2]) / n)
    rest = np.linalg.solve(drift, [-0.3, 0.0])
    # Records are 10 apart, the slowest decay is e^{-.9 t}: independent.
    size = len(sample)
    np.testing.assert_allclose(
        sample.mean(axis=0), rest, atol=4 * np.sqrt(np.diag(exact).max() / size)
    )
    error = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / size)
    # Weak order 2: h^2 |drift|^2/12 = .2 % of the variance.
    assert (np.abs(np.cov(sample.T) - exact) < 4 * error + 3e-3 * exact.max()).all()


def test_drift_of_the_mean_is_the_closures():
    plane, network = Plane((0.0, -4.0, 5.0, -1.0), 0.01, 0.1), closure.Network(100.0, 1.0)
    quiet = {"a": 0.01, "b": 0.1, "eps": 0.01, "sigma": 1.0, "current": 5.0}
    for v in (-0.5, 0.4, 1.5, 3.0):
        s = 0.0
        for _ in range(50):
            slope = closure.gaussian_average(np.polynomial.polynomial.polyder(plane.f), v, s)
            s = network.sigma**2 / (2 * (network.coupling - slope))
        wanted = closure.gaussian_average(plane.f, v, s) + 5.0 - 1.0
        start = {"voltage_start": v, "recovery_start": 1.0, "voltage_spread": 0.0}
        options = {"n_neurons": 2**60, "dt": 1e-6, "t_end": 1e-6, "records": 1}
        mean = run(quiet | start, options).arrays["state_mean"][0, :, 0, 0]
        assert (mean[1] - mean[0]) / 1e-6 == pytest.approx(wanted, abs=2e-4)


def test_replicas_do_not_depend_on_company_and_traces_meet_the_records():
    options = {"n_neurons": 200, "t_end": 40.0, "records": 4, "dt": 0.02, "trace_every": 50}
    whole = run(CYCLE, options, replicas=range(11))
    part = run(CYCLE, options, replicas=range(9, 11))
    other = run(CYCLE, options, key=2, replicas=range(2))
    np.testing.assert_array_equal(whole.arrays["trace"][9:], part.arrays["trace"])
    assert not np.array_equal(whole.arrays["trace"][:2], other.arrays["trace"])
    np.testing.assert_array_equal(whole.arrays["trace"][:, ::10], whole.arrays["state_mean"])
    assert len({row.tobytes() for row in whole.arrays["trace"]}) == 11


def test_a_single_neuron_is_its_own_mean():
    options = {"n_neurons": 1, "t_end": 20.0, "records": 4, "dt": 0.02}
    alone, point = (
        run(CYCLE, options | {"variance": variance}, replicas=range(2)).arrays["state_mean"]
        for variance in ("closure", "limit")
    )
    np.testing.assert_array_equal(alone, point)
    pair = run(CYCLE, options | {"n_neurons": 2}, replicas=range(2)).arrays["state_mean"]
    assert not np.array_equal(pair, alone)


def test_a_step_too_long_is_a_status_not_a_number():
    found = run(CYCLE, {"dt": 2.0, "t_end": 100.0, "records": 5}, replicas=range(2))
    assert found.status.tolist() == [Status.DIVERGED] * 2
    assert np.isnan(found.arrays["state_mean"]).all()


def test_refusals():
    with pytest.raises(StudyError, match="largest slope"):
        run(CYCLE | {"eps": 1.0}, {})
    run(CYCLE | {"eps": 1.0}, {"variance": "limit", "t_end": 1.0, "records": 1})
    with pytest.raises(StudyError, match="does not divide"):
        run(CYCLE, {"dt": 0.03})
    with pytest.raises(StudyError, match="one site"):
        run({"positions": [0.0, 1.0]}, {})


def test_a_drift_that_moves_in_time_moves_the_mean_as_in_the_limit():
    model = Model(
        summary="A plane that is pushed.", source="this test", name="pushed",
        state=(State("v", start=0.5, spread=0.01), State("w")), params=(),
        drift=lambda t, x: (x.v - x.v**3 - x.w + cos(3.0 * t), 0.2 * x.v - 0.1 * x.w),
        coupling=GapJunctions("v", 20.0), noise=Noise("v", 1e-9),
    )  # fmt: skip
    given = {
        "reduced": {"dt": 0.01, "n_neurons": 2**40},
        "limit": {"rtol": 1e-11},
    }
    means = {}
    for name, options in given.items():
        solver = core.get("solver", name)
        resolved = core.resolve(solver.options, {"t_end": 5.0, "records": 5} | options)
        solver.accept(model, {}, resolved)
        means[name] = solver.solve(model, {}, resolved, 1, range(1)).arrays["state_mean"]
    # The push moves v by .3; the scheme is of order 4, the start and the noise count 1e-8.
    np.testing.assert_allclose(means["reduced"], means["limit"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.ci
def test_spikes_come_as_often_as_in_the_network():
    params = {"a": 0.01, "b": 0.1, "current": 5.1, "sigma": 1.0, "eps": 0.01, "recovery_start": 5.0}
    counts = {}
    for solver, time, replicas in (("reduced", 20000.0, 8), ("particles", 1600.0, 24)):
        options = {"n_neurons": 500, "dt": 0.02, "t_end": time, "records": int(2 * time)}
        if solver == "particles":
            options["bins"] = 1
        means = run(params, options, replicas=range(replicas), solver=solver).arrays["state_mean"]
        (rest,) = equilibria(Plane((0.0, -4.0, 5.0, -1.0), 0.01, 0.1), 5.1)
        rates = []
        for v, w in means[:, 200:, 0].transpose(0, 2, 1):
            rates.append(find_events(v, w, 2.8, 0.2, (rest.v, rest.w), 0.3).spikes.size)
        span = (means.shape[1] - 200) * 0.5
        counts[solver] = np.mean(rates) / span, np.std(rates, ddof=1) / np.sqrt(replicas) / span
    (rate, error), (network, network_error) = counts["reduced"], counts["particles"]
    assert network_error < 0.03 * network
    # What the reduction leaves out is a few percent (docs/phase-diagrams.md).
    assert abs(rate - network) < 0.05 * network + 3 * np.hypot(error, network_error)
