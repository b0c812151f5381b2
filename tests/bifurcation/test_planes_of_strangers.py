"""Planar networks of other authors: the solvers call their equations, whatever the names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurolim import GapJunctions, Model, Noise, Number, State, StudyError, solve
from neurolim.bifurcation import cycles
from neurolim.bifurcation.flow import Flow
from neurolim.core import get, resolve
from neurolim.math import tanh


def bonhoeffer(x, p):
    return x.u - x.u**3 / 3.0 - 2.0 * x.y + p.stimulus, p.slow * (x.u + 0.7 - 0.8 * x.y)


#: FitzHugh-Nagumo neurons in the letters of 1961, the recovery counted in halves.
BONHOEFFER = Model(
    summary="FitzHugh-Nagumo neurons.", source="FitzHugh 1961",
    state=(State("u", start=-1.0, spread=0.1), State("y", start=-0.2)),
    params=(
        Number("stimulus", 0.4, doc="current"), Number("slow", 0.08, doc="rate"),
        Number("tie", 50.0, doc="gap junctions"), Number("loud", 0.2, doc="noise"),
    ),
    drift=bonhoeffer, coupling=GapJunctions("u", "tie"), noise=Noise("u", "loud"),
)  # fmt: skip
#: The same with w = 2 y.
BUILT_IN = {
    "drift": "polynomial", "coefficients": [0.0, 1.0, 0.0, -1.0 / 3.0], "current": 0.4,
    "a": 0.064, "b": 0.16, "c": 0.112, "eps": 0.02, "sigma": 0.2, "voltage_start": -1.0,
    "recovery_start": -0.4, "initial": "absolute", "voltage_spread": 0.1, "recovery_spread": 0.0,
}  # fmt: skip


def morris(x, p):
    open_now = 0.5 * (1.0 + tanh((x.volt + 0.01) / 0.15))
    target = 0.5 * (1.0 + tanh((x.volt - 0.1) / 0.145))
    calcium = 1.1 * open_now * (x.volt - 1.0)
    potassium = 2.0 * x.gate * (x.volt + 0.7)
    return p.push - calcium - potassium - 0.5 * (x.volt + 0.5), 0.3 * (target - x.gate)


#: A plane that is no polynomial: calcium and potassium of Morris & Lecar 1981.
MORRIS = Model(
    summary="Calcium and potassium on gap junctions.", source="Morris & Lecar 1981",
    state=(State("volt", start=-0.2), State("gate", start=0.1)),
    params=(
        Number("push", 0.15, doc="current"), Number("tie", 50.0, doc="gap junctions"),
        Number("loud", 1e-6, doc="noise"),
    ),
    drift=morris, coupling=GapJunctions("volt", "tie"), noise=Noise("volt", "loud"),
)  # fmt: skip


def flow_of(model: Model) -> Flow:
    (p,) = model.sites({param.name: param.default for param in model.params}).params
    return Flow(model, p)


def test_the_skeleton_of_another_fitzhugh_nagumo_is_the_same():
    options = {"branch": 12, "curves": 20, "trajectory": True, "t_end": 30.0, "records": 10}
    theirs = solve(BONHOEFFER, "equilibria", {}, options)
    ours = solve("fitzhugh_nagumo", "equilibria", BUILT_IN, options)
    assert int(theirs["limit_class"]) == int(ours["limit_class"]) == 3
    for name in ("bifurcation_current", "cycle_branch", "cycle_period", "eigenvalue", "knee"):
        np.testing.assert_allclose(theirs[name].values, ours[name].values, rtol=1e-6, atol=1e-9)
    for name in ("equilibrium", "state_mean", "centre"):
        rescaled = theirs[name].values * [1.0, 2.0]
        np.testing.assert_allclose(rescaled, ours[name].values, rtol=1e-6, atol=1e-9)
    curves = theirs["nullcline"].values * [1.0, 2.0, 2.0]
    np.testing.assert_allclose(curves, ours["nullcline"].values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("every", [0, 10])
def test_the_reduced_mean_of_another_fitzhugh_nagumo_is_the_same(every):
    options = {"n_neurons": 100, "t_end": 20.0, "records": 5, "trace_every": every}
    theirs = solve(BONHOEFFER, "reduced", {}, options, seed=3, replicas=10)
    ours = solve("fitzhugh_nagumo", "reduced", BUILT_IN, options, seed=3, replicas=10)
    for name in ("state_mean", *(["trace"] if every else [])):
        rescaled = theirs[name].values * [1.0, 2.0]
        np.testing.assert_allclose(rescaled, ours[name].values, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("model", [BONHOEFFER, MORRIS])
def test_a_flow_is_linearised_exactly(model):
    flow, x = flow_of(model), np.array([[-0.3, 0.2], [0.1, 0.4], [0.7, -0.1]])
    value, slopes, of_current = flow.linearised(x, 0.1)
    np.testing.assert_allclose(value, flow(x.T, 0.1).T)
    h = 1e-6
    for k in range(2):
        moved = h * np.eye(2)[:, [k]]
        central = (flow(x.T + moved, 0.1) - flow(x.T - moved, 0.1)) / (2.0 * h)
        np.testing.assert_allclose(slopes[:, :, k], central.T, atol=1e-8)
    assert of_current.tolist() == [[1.0, 0.0]] * 3


def test_means_and_fields_enter_a_linearisation():
    from tests.statistics.test_conductance_theorems import STRANGER

    flow = flow_of(STRANGER)
    flow.p = flow.p._replace(heard=0.3, both=0.4)
    x, h = np.array([[1.4, 0.5]]), 1e-6
    _, slopes, _ = flow.linearised(x, 0.0)
    for k in range(2):
        moved = h * np.eye(2)[:, [k]]
        central = (flow(x.T + moved) - flow(x.T - moved)) / (2.0 * h)
        np.testing.assert_allclose(slopes[:, :, k], central.T, atol=1e-8)


def turn_of(flow: Flow) -> tuple[np.ndarray, np.ndarray]:
    """Return times and states of one turn of a settled trajectory."""

    def upwards(t: float, x: np.ndarray) -> float:
        return float(x[0])

    upwards.direction = 1.0  # type: ignore[attr-defined]
    settings: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12, "method": "LSODA"}
    settled = solve_ivp(lambda t, x: flow(x), (0.0, 300.0), [0.3, 0.1], events=upwards, **settings)
    assert settled.t_events
    assert settled.y_events
    first, last = settled.t_events[0][-2:]
    start = settled.y_events[0][-2]
    times = np.linspace(0.0, last - first, 2000)
    path = solve_ivp(lambda t, x: flow(x), (0.0, last - first), start, t_eval=times, **settings)
    return times, path.y.T


@pytest.mark.parametrize("model", [BONHOEFFER, MORRIS])
def test_the_cycle_of_a_strangers_plane_has_the_period_of_its_trajectory(model):
    flow = flow_of(model)
    times, states = turn_of(flow)
    cycle = cycles.from_trajectory(flow, times, states, 0.0, intervals=40)
    assert cycle.period == pytest.approx(times[-1], rel=1e-6)
    one, other = cycles.multipliers(flow, cycle)
    assert one.real == pytest.approx(1.0, abs=1e-5)
    assert abs(other) < 1.0
    assert cycles.divergence(flow, cycle) < 0.0


def test_a_plane_that_is_no_polynomial_has_a_reduced_mean():
    options = {"n_neurons": 2**40, "t_end": 40.0, "records": 8, "variance": "limit"}
    mean = solve(MORRIS, "reduced", {}, options)["state_mean"].values[0, :, 0]
    flow = flow_of(MORRIS)
    times = np.linspace(0.0, 40.0, 9)
    path = solve_ivp(lambda t, x: flow(x), (0.0, 40.0), [-0.2, 0.1], "LSODA", times, rtol=1e-11,
                     atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(mean, path.y.T, atol=1e-6)


def test_what_has_no_closed_form_is_refused_in_a_line():
    solver = get("solver", "equilibria")
    params, options = resolve(MORRIS.params, {}), resolve(solver.options, {})
    with pytest.raises(StudyError) as caught:
        solver.accept(MORRIS, params, options)
    assert "equilibria needs all but the coupled variable to enter linearly" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "fault"), [("balanced", "synapses"), ("hodgkin_huxley", None)])
def test_a_flow_says_what_it_cannot_follow(name, fault):
    model = get("model", name)
    (p, *_) = model.sites({param.name: param.default for param in model.params}).params
    if fault is None:
        assert Flow(model, p)(np.array([[-65.0, 0.1, 0.5, 0.3]]).T).shape == (4, 1)
        return
    with pytest.raises(StudyError, match=fault):
        Flow(model, p)
