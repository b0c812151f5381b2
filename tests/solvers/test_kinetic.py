"""The mean-field solver against closed forms, exact constants, the closure and the particles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurolim import StudyError, core, solve
from neurolim.core import Status
from neurolim.numerics.extrapolation import StepError, extrapolated_step, integrate
from neurolim.solvers.parts.gap_network import read_network
from neurolim.solvers.parts.hermite_law import Galerkin

TIMES = {"t_end": 1.0, "records": 4}
TIGHT = {"rtol": 1e-13, "atol": 1e-14}
DATA = {
    "a": 0.8,
    "b": 0.5,
    "voltage_start": 0.5,
    "recovery_start": 0.2,
    "recovery_spread": 0.7,
    "initial": "absolute",
}
LINEAR = DATA | {"leak": 0.7, "current": 0.3, "c": -0.2, "sigma": 1.1}


@pytest.mark.parametrize("noise", [0.0, 0.6])
@pytest.mark.parametrize("spread", [0.05, 1.0])
@pytest.mark.parametrize("eps", [0.1, 1e-3, 1e-6])
def test_linear_network_lands_on_its_closed_form(eps, spread, noise):
    params = LINEAR | {"eps": eps, "voltage_spread": spread, "recovery_noise": noise}
    exact = solve("linear", "moments", params, {**TIMES, "n_neurons": 2**30})
    found = solve("linear", "hermite", params, TIMES)
    assert found["status"] == Status.OK
    # Errors per step of 1e-10 and 1e-7 s^2 add up over some hundred steps, damped.
    np.testing.assert_allclose(found["state_mean"], exact["state_mean"], atol=2e-9)
    np.testing.assert_allclose(found["covariance"], exact["covariance"], atol=3e-7, rtol=3e-6)
    closure = solve("linear", "gaussian_closure", params, TIMES)
    np.testing.assert_allclose(closure["state_mean"], exact["state_mean"], atol=1e-7)
    np.testing.assert_allclose(closure["covariance"], exact["covariance"], atol=1e-7, rtol=1e-6)


def galerkin(eps, modes=(16, 12), name="fitzhugh_nagumo", **given):
    model = core.get("model", name)
    params = core.resolve(model.params, DATA | {"eps": eps, "voltage_spread": eps**0.5} | given)
    return Galerkin(read_network(model, params), modes)


@pytest.mark.parametrize(("eps", "order"), [(0.1, 2), (0.1, 3), (1e-6, 2), (1e-6, 3), (1e-6, 4)])
def test_order_in_the_step_does_not_fall_with_eps(eps, order):
    # Start on the slow manifold, at t = 0.2, so that no initial layer is in the way.
    here = galerkin(eps, drift="canonical")
    tolerance = here.flat(1e-11, 1e-8)
    begin = integrate(here.substep, here.start(), np.array([0.0, 0.2]), tolerance, 0.1 * eps)[-1]
    ends = []
    for count in (8, 16, 64):
        x = begin
        for i in range(count):
            x, _ = extrapolated_step(here.substep, x, 0.2 + 0.4 * i / count, 0.4 / count, order)
        ends.append(x)
    means = [np.abs(x[:3] - ends[-1][:3]).max() for x in ends[:2]]
    # At eps = 0.1 the step is of the size of eps, where orders are least clean.
    slack = 0.5 if eps > 1e-3 else 0.15
    assert np.log2(means[0] / means[1]) > order - slack
    slaved = [abs((here.split(x)[1] - here.split(ends[-1])[1])[0, 1, 1]) for x in ends[:2]]
    if eps < 1e-3:
        assert np.log2(slaved[0] / slaved[1]) > order - slack


def test_modes_converge_spectrally_where_the_law_is_least_normal():
    params = DATA | {"eps": 0.1, "voltage_spread": 0.3, "drift": "canonical"}
    fine = solve("fitzhugh_nagumo", "hermite", params, TIMES)
    errors = []
    for modes in (6, 8, 10):
        options = TIMES | {"voltage_modes": modes, "largest_tail": 1.0}
        found = solve("fitzhugh_nagumo", "hermite", params, options)
        errors.append(float(abs(found["state_mean"] - fine["state_mean"]).max()))
        # What the solver reports about its cut is larger than the error of the means, and of the
        # size of the error of the law.
        tail = float(found["tail_share"].max())
        assert errors[-1] < tail
        left = fine["coefficients"].values.copy()
        left[..., :modes, :] -= found["coefficients"].values
        assert 0.2 * tail < float(np.sqrt((left**2).sum(axis=(2, 3))).max()) < 3.0 * tail
    assert all(later < 0.1 * before for before, later in pairwise(errors))
    assert abs(fine["coefficients"][:, 0, 0, 0] - 1.0).max() == 0.0
    assert abs(fine["coefficients"][:, 0, 1, 0]).max() < 1e-9


def constants(eps, drift, start, spread):
    """Return sup |found - first order| / sup |first order| of V, W and Var(v)."""
    params = DATA | {"eps": eps, "drift": drift, "voltage_start": start}
    params |= {"initial": "absolute" if spread else "prepared_voltage"}
    found = solve("fitzhugh_nagumo", "hermite", params, TIMES)
    limit = solve("fitzhugh_nagumo", "limit", params, TIMES | TIGHT)
    shift = limit["mean_shift"].values[1:, 0]
    rest = (found["state_mean"] - limit["state_mean"]).values[1:, 0] - shift
    widening = limit["widening"].values[1:, 0, 0]
    ratio = found["covariance"].values[1:, 0, 0, 0] / limit["width"].values[1:, 0, 0] ** 2
    means = np.abs(rest).max(axis=0) / np.abs(shift).max(axis=0)
    return np.append(means, np.abs(ratio - 1.0 - widening).max() / np.abs(widening).max())


@pytest.mark.parametrize("ill_prepared", [False, True])
@pytest.mark.parametrize(("drift", "start"), [("canonical", 0.5), ("cubic", 2.0)])
def test_first_order_constants_are_exact(drift, start, ill_prepared):
    fine = constants(1e-4, drift, start, ill_prepared)
    assert (fine[:2] < 1e-3).all()
    # What is left is of second order: a tenth of it at a tenth of eps, to 15 %.
    np.testing.assert_allclose(constants(1e-3, drift, start, ill_prepared) / fine, 10.0, rtol=0.15)


def test_shift_of_the_limit_solves_the_linearised_equation():
    params = DATA | {"eps": 1e-3, "drift": "canonical", "voltage_spread": 1e-3**0.5}
    limit = solve("fitzhugh_nagumo", "limit", params, TIMES | TIGHT)
    mean = limit["state_mean"].values[:, 0]

    def slope(t, x):
        v, w, v1, w1 = x
        bend = -6.0 * v / 2.0
        return [
            v - v**3 - w, 0.5 * v - 0.8 * w,
            (1.0 - 3.0 * v**2) * v1 - w1 + bend, 0.5 * v1 - 0.8 * w1,
        ]  # fmt: skip

    exact = solve_ivp(
        slope, (0, 1), [0.5, 0.2, 0, 0], t_eval=limit["time"], rtol=1e-11, atol=1e-13
    ).y
    np.testing.assert_allclose(mean.T, exact[:2], atol=1e-9)
    np.testing.assert_allclose(limit["mean_shift"].values[:, 0].T, 1e-3 * exact[2:], atol=1e-10)


def test_steps_do_not_depend_on_eps(monkeypatch):
    counts = {}
    for eps in (1e-1, 1e-3, 1e-5, 1e-8):
        calls = [0]
        inner = Galerkin.substep

        def counted(self, flat, t, h, calls=calls, inner=inner):
            calls[0] += 1
            return inner(self, flat, t, h)

        monkeypatch.setattr(Galerkin, "substep", counted)
        params = DATA | {"eps": eps, "voltage_spread": eps**0.5, "drift": "canonical"}
        assert solve("fitzhugh_nagumo", "hermite", params, TIMES)["status"] == Status.OK
        counts[eps] = calls[0]
        monkeypatch.setattr(Galerkin, "substep", inner)
    assert max(counts.values()) < 4 * min(counts.values())


def test_the_frame_does_not_matter():
    params = DATA | {"eps": 0.02, "voltage_spread": 0.8, "drift": "canonical"}
    own = solve("fitzhugh_nagumo", "hermite", params, TIMES)
    paper = solve("fitzhugh_nagumo", "hermite", params, TIMES | {"theta_start": 1.0})
    np.testing.assert_allclose(own["state_mean"], paper["state_mean"], atol=1e-8)
    np.testing.assert_allclose(own["covariance"], paper["covariance"], rtol=1e-5, atol=1e-9)
    start = paper["covariance"].values[0, 0]
    np.testing.assert_allclose(start, np.diag([0.64, 0.49]), atol=1e-12)


def test_closure_is_wrong_by_the_second_order_only():
    errors = []
    for eps in (1e-2, 1e-3):
        params = DATA | {"eps": eps, "voltage_spread": eps**0.5, "drift": "cubic"}
        kinetic = solve("fitzhugh_nagumo", "hermite", params, TIMES)
        closure = solve("fitzhugh_nagumo", "gaussian_closure", params, TIMES)
        errors.append(float(abs(kinetic["state_mean"] - closure["state_mean"]).max()))
    assert 1.7 < np.log10(errors[0] / errors[1]) < 3.3


def test_records_may_grow_geometrically():
    options = {"t_end": 1.0, "records": 5, "first_record": 1e-4}
    times = solve("linear", "hermite", LINEAR, options)["time"].values
    np.testing.assert_allclose(times, [0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    with pytest.raises(StudyError, match="first_record"):
        solve("linear", "hermite", LINEAR, options | {"first_record": 2.0})


def test_what_cannot_be_solved_is_refused_by_name():
    with pytest.raises(StudyError, match="initial law of w has no width, and no noise gives"):
        solve("fitzhugh_nagumo", "hermite", {"recovery_noise": 0.0})
    with pytest.raises(StudyError, match="needs gap junctions in one variable: no couplings"):
        solve("morris_lecar", "hermite")
    with pytest.raises(StudyError, match="theta_start"):
        solve("linear", "hermite", LINEAR | {"voltage_spread": 1.0}, TIMES | {"theta_start": 0.5})


def test_too_few_modes_are_said_with_their_residual():
    params = DATA | {"eps": 0.5, "voltage_spread": 1.0, "drift": "cubic", "voltage_start": 2.0}
    found = solve("fitzhugh_nagumo", "hermite", params, TIMES | {"voltage_modes": 8})
    assert found["status"] == Status.NOT_CONVERGED
    assert np.isnan(found["state_mean"]).all()
    # The residual: where it stopped, just above what is allowed.
    assert 1e-3 < float(found["tail_share"].max()) < 0.1


def test_a_failing_step_says_where():
    def blow_up(x, t, h):
        return x + h * 1e3 * x**3 / max(0.5 - t, 0.0) ** 2 if t < 0.5 else x * np.nan

    with pytest.raises(StepError, match="t = 0"), np.errstate(all="ignore"):
        integrate(blow_up, np.ones(1), np.array([0.0, 1.0]), 1e-8, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.1, 0.01, 0.001])
def test_particles_agree_within_their_errors(eps):
    params = DATA | {"eps": eps, "initial": "prepared_voltage", "drift": "canonical"}
    kinetic = solve("fitzhugh_nagumo", "hermite", params, TIMES)
    n, replicas = 4000, 40
    options = TIMES | {"n_neurons": n, "dt": 0.01}
    particles = solve("fitzhugh_nagumo", "particles", params, options, seed=3, replicas=replicas)
    for name, factor in (("state_mean", 1.0), ("covariance", n / (n - 1))):
        samples = particles[name].values[:, 1:] * factor
        error = samples.std(axis=0, ddof=1) / np.sqrt(replicas)
        score = (samples.mean(axis=0) - kinetic[name].values[1:]) / error
        # Largest of 8 or 16 scores with 39 degrees of freedom: beyond 4.2 once in 300.
        assert np.abs(score).max() < 4.2, name
