"""Means that come late: against the method of steps, and a known law of a delayed equation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurolim import core
from neurolim.core import (
    Delay,
    Field,
    GapJunctions,
    Model,
    Noise,
    Param,
    Sites,
    State,
    Status,
    StudyError,
    Synapses,
)
from neurolim.math import sigmoid
from neurolim.text.model import written

KEY = 5
SCHEMES = ("euler_maruyama", "exponential")
#: Errors of steps h fall like h^order; the next order is worth a few percent at these steps.
ORDERS = {"euler_maruyama": 1.0, "exponential": 2.0}


def simulate(model, replicas=1, given=None, **options):
    solver = core.get("solver", "particles")
    core.check_model(model)
    params = core.resolve(model.params, given or {})
    resolved = core.resolve(solver.options, {"n_neurons": 4, "records": 1, **options})
    solver.accept(model, params, resolved)
    found = solver.solve(model, params, resolved, KEY, range(replicas))
    assert (found.status == Status.OK).all()
    return found.arrays


def simulate_pairs(model, replicas=1, given=None, other=None, **options):
    solver = core.get("solver", "pairs")
    core.check_model(model)
    params = core.resolve(model.params, given or {})
    names = {"other": [*other], "other_values": [*other.values()]} if other else {}
    resolved = core.resolve(solver.options, {"n_pairs": 3, "records": 1, **names, **options})
    solver.accept(model, params, resolved)
    found = solver.solve(model, params, resolved, KEY, range(replicas))
    assert (found.status == Status.OK).all()
    return found.arrays


def by_steps(flow, start, lag, t_end):
    """Return the solution at t_end of dx/dt = flow(x, late x), from the method of steps."""
    pieces: list[Any] = []
    t = 0.0

    def late(time):
        if time <= 0.0:
            return start
        return pieces[min(int(time / lag), len(pieces) - 1)](time)

    state = start
    while t < t_end - 1e-12:
        end = min(t + lag, t_end)
        piece = solve_ivp(
            lambda u, y: flow(y, late(u - lag)), (t, end), state, rtol=1e-11, atol=1e-12,
            dense_output=True, max_step=lag / 20,
        )  # fmt: skip
        pieces.append(piece.sol)
        state, t = piece.y[:, -1], end
    return state


def cubic(x, m, p):
    return (
        x.v - x.v**3 / 3.0 - x.w + p.current + p.pull * (m.past - x.v),
        p.slow * (x.v + 0.7 - 0.8 * x.w),
    )


FEEDBACK = Model(
    summary="FitzHugh-Nagumo neurons, each pulled at the mean of some time ago.",
    source="Krupa & Touboul 2016 (the equation without noise)",
    name="feedback",
    state=(State("v", start=-1.0), State("w", start=-0.5)),
    params=(
        Param("current", 0.5, doc="I"),
        Param("pull", 0.8, doc="J"),
        Param("slow", 0.08, doc="rate"),
        Param("lag", 1.7, doc="delay"),
    ),
    drift=cubic,
    delay=Delay("past", "v", "lag"),
)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_errors_fall_with_the_order_of_the_scheme(scheme):
    exact = by_steps(cubic_flow, np.array([-1.0, -0.5]), 1.7, 17.0)
    errors = []
    for dt in (0.1, 0.05, 0.025):
        arrays = simulate(FEEDBACK, scheme=scheme, dt=dt, t_end=17.0)
        errors.append(np.abs(arrays["state_mean"][0, -1, 0] - exact).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders == pytest.approx(ORDERS[scheme], abs=0.2)
    assert errors[-1] < 0.02


def cubic_flow(y, late):
    v, w = y
    return v - v**3 / 3.0 - w + 0.5 + 0.8 * (late[0] - v), 0.08 * (v + 0.7 - 0.8 * w)


def test_steps_that_do_not_divide_the_delay_are_of_second_order_too():
    exact = by_steps(cubic_flow, np.array([-1.0, -0.5]), 1.7, 17.0)
    errors = []
    for steps in (244, 488, 976):
        dt = 17.0 / steps  # the delay is 24.4, 48.8, 97.6 of them
        arrays = simulate(FEEDBACK, scheme="exponential", dt=dt, t_end=17.0)
        errors.append(np.abs(arrays["state_mean"][0, -1, 0] - exact).max())
    # The kinks at multiples of the delay fall between steps: second order, unevenly.
    assert errors[0] / errors[-1] > 10.0
    assert errors[-1] < 1e-4


def opened(x, p):
    return sigmoid(4.0 * (x.v - p.threshold))


SYNAPSES = Model(
    summary="Two populations whose synapses open some time after their cells are excited.",
    source="this test",
    name="late_synapses",
    state=(State("v", start=0.1),),
    params=(Param("threshold", 0.3, doc="theta"),),
    drift=lambda x: (-x.v,),
    fields=(Field("open", opened),),
    delay=(Delay("opened", "open", "lag"), Delay("before", "v", lambda p: 0.5 * p.lag)),
    coupling=(
        Synapses("v", lambda c: 3.0 + c.opened, lambda c: 2.0 * c.opened + 0.3 * c.before),
        GapJunctions("v", 2.0),
    ),
    prepare=lambda params: Sites(
        ("E", "I"), np.array([[1.5, -0.8], [1.2, 0.0]]), ({"lag": 1.0}, {"lag": 0.5})
    ),
)


def synaptic_end():
    """Return the voltages of both populations at time 4."""
    K = np.array([[1.5, -0.8], [1.2, 0.0]])
    # Euler's polygon in the plain, extrapolated: an independent solution of the equations.
    found = []
    for dt in (1.0 / 1024, 1.0 / 2048, 1.0 / 4096):
        steps = round(4.0 / dt)
        path = np.empty((steps + 1, 2))
        path[0] = 0.1
        for n in range(steps):
            v = path[n]
            late = [path[max(n - round(lag / dt), 0), s] for s, lag in enumerate((1.0, 0.5))]
            half = [path[max(n - round(lag / dt / 2), 0), s] for s, lag in enumerate((1.0, 0.5))]
            gates = 1.0 / (1.0 + np.exp(-4.0 * (np.array(late) - 0.3)))
            heard, past = K @ gates, K @ np.array(half)
            flow = -v + 2.0 * heard + 0.3 * past - (3.0 + heard) * v
            path[n + 1] = v + dt * flow
        found.append(path[-1])
    first = 2.0 * found[1] - found[0], 2.0 * found[2] - found[1]
    return (4.0 * first[1] - first[0]) / 3.0


def test_synapses_may_be_late_by_the_time_of_who_sends():
    fine = synaptic_end()
    errors = []
    for dt in (0.05, 0.025):
        arrays = simulate(SYNAPSES, scheme="exponential", dt=dt, t_end=4.0)
        errors.append(np.abs(arrays["state_mean"][0, -1, :, 0] - fine).max())
    assert errors[1] < 2e-4
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.4)


def test_pairs_have_late_synapses_too():
    fine = synaptic_end()
    errors = []
    for dt in (0.05, 0.025):
        arrays = simulate_pairs(SYNAPSES, n_neurons=2, dt=dt, t_end=4.0)
        errors.append(np.abs(arrays["copy_mean"][0, :, -1, :, 0] - fine).max())
    assert errors[1] < 2e-4
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.4)


LANGEVIN = Model(
    summary="One neuron with delayed negative feedback.",
    source="Kuchler & Mensch 1992, eq. (1.1)",
    name="langevin",
    state=(State("v"),),
    params=(Param("a", 0.4, doc="decay"), Param("k", 1.1, doc="feedback")),
    drift=lambda x, m, p: (-p.a * x.v - p.k * m.past,),
    noise=Noise("v", 1.0),
    delay=Delay("past", "v", 0.75),
)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_neuron_with_late_feedback_has_the_known_variance(scheme):
    a, k, lag = 0.4, 1.1, 0.75
    expected = known_variance(a, k, lag)
    replicas = 4000
    arrays = simulate(LANGEVIN, replicas=replicas, scheme=scheme, dt=0.05, t_end=25.0, n_neurons=1)
    found = arrays["state_mean"][:, -1, 0, 0]
    error = expected * math.sqrt(2.0 / replicas)
    if scheme == "euler_maruyama":
        # Its own recursion x' = x + h (-a x - k x_r) + z sqrt(h), summed up.
        h, steps, late = 0.05, 500, 15
        answer = np.zeros(steps + late)  # to a unit of noise
        answer[late] = 1.0
        for n in range(late + 1, steps + late):
            answer[n] = answer[n - 1] - h * (a * answer[n - 1] + k * answer[n - 1 - late])
        expected = h * (answer**2).sum()
    assert found.mean() == pytest.approx(0.0, abs=4.0 * math.sqrt(expected / replicas))
    assert found.var() == pytest.approx(expected, abs=4.0 * error)


@pytest.mark.parametrize("records", [1, 17])
def test_each_copy_of_a_pair_is_late_by_its_own_time(records):
    lags = (1.7, 2.3)
    exact = [by_steps(cubic_flow, np.array([-1.0, -0.5]), lag, 17.0) for lag in lags]
    errors = []
    for dt in (0.1, 0.05, 0.025):
        arrays = simulate_pairs(
            FEEDBACK, 2, other={"lag": lags[1]}, dt=dt, t_end=17.0, n_neurons=2, records=records
        )
        ends = arrays["copy_mean"][:, :, -1, 0]
        np.testing.assert_array_equal(ends[0], ends[1])  # no noise: a replica forgets the last
        errors.append(np.abs(ends[0] - exact).max(axis=1))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders == pytest.approx(2.0, abs=0.2)
    assert np.max(errors[-1]) < 1e-3


def test_copies_alike_on_the_same_noise_stay_alike():
    noisy = replace(FEEDBACK, name="noisy", noise=Noise("v", 0.4))
    arrays = simulate_pairs(noisy, dt=0.125, t_end=17.0, n_neurons=5, records=8)
    assert (arrays["distance"] == 0.0).all()
    assert (arrays["copy_covariance"][0, 0, -1, 0] > 0.0).all()


#: The equation of ``LANGEVIN`` from a start that can differ between copies.
STARTED = replace(
    LANGEVIN,
    name="started",
    state=(State("v", start="start"),),
    params=(*LANGEVIN.params, Param("start", 0.0, doc="v(0)"), Param("lag", 0.75, doc="r")),
    delay=Delay("past", "v", "lag"),
)


@pytest.mark.parametrize("n", [1, 3])
def test_linear_copies_differ_by_a_solution_of_the_equation_without_noise(n):
    exact = by_steps(lambda y, late: -0.4 * y - 1.1 * late, np.array([1.5]), 0.75, 3.0)[0]
    errors = []
    for dt in (0.05, 0.025, 0.0125):
        options = {"dt": dt, "t_end": 3.0, "n_neurons": n, "samples": 3}
        arrays = simulate_pairs(STARTED, 2, other={"start": 1.5}, **options)
        ends = arrays["sample"][:, :, -1, 0, 0]
        apart = ends[:, 1] - ends[:, 0]
        np.testing.assert_allclose(apart, apart[0, 0], rtol=1e-12)  # whatever the noise
        errors.append(abs(apart[0, 0] - exact))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders == pytest.approx(2.0, abs=0.2)
    assert errors[-1] < 1e-4


def known_variance(a, k, lag):
    """Return the variance of dx = (-a x - k x(t - lag)) dt + dW, k > |a|.

    Source: Kuchler & Mensch 1992, theorem 2.6.
    """
    q = math.sqrt(k * k - a * a)
    return (q + k * math.sin(q * lag)) / (2.0 * q * (a + k * math.cos(q * lag)))


def test_each_copy_of_a_pair_has_the_variance_of_its_delay():
    pairs, lags = 4000, (0.75, 0.4)
    options = {"n_pairs": pairs, "dt": 0.05, "t_end": 25.0, "coupling": "independent"}
    arrays = simulate_pairs(STARTED, other={"lag": lags[1]}, **options)
    for copy, lag in enumerate(lags):
        expected = known_variance(0.4, 1.1, lag)
        found = arrays["copy_covariance"][0, copy, -1, 0, 0, 0]
        assert found == pytest.approx(expected, abs=4.0 * expected * math.sqrt(2.0 / pairs))


def test_second_copies_may_feel_the_law_of_some_time_ago():
    # Alone, a neuron hears its own past; in the law only the mean, which leaves the variance alone.
    pairs = 4000
    options = {"n_pairs": pairs, "dt": 0.05, "t_end": 25.0, "limit_copy": True}
    arrays = simulate_pairs(STARTED, **options)
    for copy, expected in enumerate((known_variance(0.4, 1.1, 0.75), 1.0 / 0.8)):
        found = arrays["copy_covariance"][0, copy, -1, 0, 0, 0]
        assert found == pytest.approx(expected, abs=4.0 * expected * math.sqrt(2.0 / pairs))


@pytest.mark.parametrize(
    ("model", "other", "options", "words"),
    [
        (FEEDBACK, {"lag": 0.05}, {}, "dt: 0.1 is longer than the delay 0.05 of past"),
        (FEEDBACK, {"lag": 1e7}, {}, "feedback.delay.past: 6e+08 numbers to remember"),
        (FEEDBACK, {"lag": -1.0}, {}, "feedback.delay.past: the delay is -1"),
        (SYNAPSES, None, {"mean_over": "others"}, "mean_over: the field open comes late"),
    ],
)
def test_delays_that_pairs_cannot_take_are_refused(model, other, options, words):
    with pytest.raises(StudyError) as refusal:
        simulate_pairs(model, other=other, dt=0.1, t_end=1.0, n_neurons=2, **options)
    assert words in str(refusal.value)


def test_no_delay_is_the_mean_of_now():
    now = replace(LANGEVIN, name="now", drift=lambda x, m, p: (-p.a * x.v - p.k * m.v,), delay=())
    late = replace(LANGEVIN, name="nothing_late", delay=Delay("past", "v", 0.0))
    options = {"scheme": "euler_maruyama", "dt": 0.1, "t_end": 2.0}
    one, other = simulate(now, **options), simulate(late, **options)
    np.testing.assert_array_equal(one["state_mean"], other["state_mean"])


def test_a_run_in_parts_remembers():
    # One record or many: a run is cut into calls, and the ring goes round several times.
    once = simulate(FEEDBACK, scheme="exponential", dt=0.1, t_end=17.0, records=1)
    often = simulate(FEEDBACK, scheme="exponential", dt=0.1, t_end=17.0, records=17)
    np.testing.assert_array_equal(once["state_mean"][:, -1], often["state_mean"][:, -1])
    again = simulate(FEEDBACK, replicas=2, scheme="exponential", dt=0.1, t_end=17.0)
    np.testing.assert_array_equal(again["state_mean"][0], once["state_mean"][0])
    np.testing.assert_array_equal(again["state_mean"][1], once["state_mean"][0])  # no noise


TEXT = {
    "name": "feedback",
    "state": {"v": {"start": -1.0}, "w": {"start": -0.5}},
    "drift": {
        "v": "v - v^3/3 - w + current + pull*(mean(past) - v)",
        "w": "slow*(v + 0.7 - 0.8*w)",
    },
    "delays": {"past": {"of": "v", "time": "lag"}},
    "params": {"current": 0.5, "pull": 0.8, "slow": 0.08, "lag": 1.7},
}


def test_a_text_may_say_delays():
    source = written(TEXT)
    model = core.get("model", source)
    options = {"scheme": "exponential", "dt": 0.1, "t_end": 17.0}
    np.testing.assert_allclose(
        simulate(model, **options)["state_mean"],
        simulate(FEEDBACK, **options)["state_mean"],
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    ("delays", "words"),
    [
        ({"past": {"of": "u", "time": 1}}, "delays.past.of: got 'u'; allowed: v, w"),
        ({"past": {"of": "v"}}, "delays.past.time: missing"),
        ({"past": {"of": "v", "time": "v"}}, "delays.past.time: 'v' cannot enter here"),
        ({"v": {"of": "v", "time": 1}}, "also in state"),
        ({"past": {"of": "v", "time": 1, "by": 2}}, "delays.past.by: unknown key"),
    ],
)
def test_a_text_with_wrong_delays_is_refused(delays, words):
    with pytest.raises(StudyError) as refusal:
        written({**TEXT, "delays": delays})
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("delay", "given", "options", "words"),
    [
        (Delay("past", "u", 1.0), {}, {}, "'u' is no variable and no field"),
        (Delay("v", "v", 1.0), {}, {}, "two things named 'v'"),
        (Delay("past", "v", "lagg"), {}, {}, "no number 'lagg' in p (did you mean 'lag'?)"),
        (Delay("past", "v", "lag"), {"lag": -1.0}, {}, "the delay is -1; allowed: a time >= 0"),
        (Delay("past", "v", "lag"), {"lag": 0.05}, {}, "dt: 0.1 is longer than the delay 0.05"),
        (Delay("past", "v", "lag"), {"lag": 1e9}, {}, "numbers to remember"),
        (Delay("past", "v", lambda p: 1.0 / p.lag), {"lag": 0.0}, {}, "the delay cannot be found"),
    ],
)
def test_delays_that_cannot_be_are_refused(delay, given, options, words):
    with pytest.raises(StudyError) as refusal:
        simulate(replace(FEEDBACK, delay=delay), given=given, dt=0.1, **options)
    assert words in str(refusal.value)


def test_solvers_of_the_mean_field_name_what_they_do_not_take():
    for name in ("limit", "moments", "hermite", "gaussian_closure"):
        solver = core.get("solver", name)
        params = core.resolve(FEEDBACK.params, {})
        with pytest.raises(StudyError, match="does not take delayed means"):
            solver.accept(FEEDBACK, params, core.resolve(solver.options, {}))
