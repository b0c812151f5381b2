"""Explicit steps are refused where a mode of the network, damped by its equations, would grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurolim import core
from neurolim.core import Delay, Field, GapJunctions, Model, Sites, State, StudyError, Synapses
from neurolim.math import sin
from neurolim.solvers.parts import rates
from neurolim.solvers.parts.rates import longest_euler_step

KEY = 7
K = np.array([[1.0, -0.5], [0.7, 1.2]])
#: So long a run that every damped mode decays and none may grow.
LONG = 1e15


def network(weights: Any = ((1.0,),), d: int = 1, **terms: Any) -> Model:
    """Return a model of d variables that start spread out, on sites with these weights."""
    weights = np.array(weights)
    return Model(
        summary="A linear network.", source="this test", name="net",
        state=tuple(State(name, start=1.0, spread=0.5) for name in "vwu"[:d]), params=(),
        prepare=lambda params: Sites(tuple(range(len(weights))), weights, ({},) * len(weights)),
        **terms,
    )  # fmt: skip


#: Linear networks; what reads their fastest mode off the means [site][variable], and its rate.
MODES: dict[str, tuple[Model, Any, float]] = {
    "a drift that hears its own mean": (network(drift=lambda m: (-40.0 * m.v,)), [[1.0]], 40.0),
    "a drift that hears an input": (
        network([[0.5]], drift=lambda x, c: (-2.0 * x.v - 80.0 * c.v,)), [[1.0]], 42.0,
    ),
    "synapses": (
        network(drift=lambda: (0.0,), coupling=Synapses("v", 1.0, lambda c: -40.0 * c.v)),
        [[1.0]], 41.0,
    ),
    "a field, felt by its mean": (
        network(
            drift=lambda x, m: (-5.0 * m.double,),
            fields=(Field("double", lambda x: 2.0 * x.v),), coupling=GapJunctions("v", 3.0),
        ),
        [[1.0]], 10.0,
    ),
    "two sites that drive each other": (
        network([[0.0, 1.0], [4.0, 0.0]], drift=lambda x, c: (10.0 * c.v - 25.0 * x.v,)),
        [[2.0], [-1.0]], 45.0,
    ),
    "two variables of one neuron": (
        network(d=2, drift=lambda x: (-7.0 * x.v - 9.0 * x.w, -7.0 * x.w - 4.0 * x.v)),
        [[2.0, 3.0]], 13.0,
    ),
}  # fmt: skip


def run(name: str, model: Model, dt: float, steps: int, **given: Any) -> tuple[Any, np.ndarray]:
    """Return what a solver refuses, None for nothing, and the means [time, site, variable]."""
    solver = core.get("solver", name)
    given = {"n_neurons": 6, "dt": dt, "t_end": steps * dt, "records": 1} | given
    if name == "particles":
        given["scheme"] = "euler_maruyama"
    options = core.resolve(solver.options, given)
    refusal = None
    try:
        solver.accept(model, {}, options)
    except StudyError as error:
        refusal = str(error)
    return refusal, solver.solve(model, {}, options, KEY, range(1)).arrays["state_mean"][0]


@pytest.mark.parametrize("kind", MODES)
def test_euler_s_factor_of_the_fastest_mode_is_one_at_the_step_that_is_refused(kind):
    model, reader, rate = MODES[kind]
    assert longest_euler_step(model, {}, 6, LONG) == pytest.approx(2.0 / rate, rel=1e-12)
    steps, factors = 200, {}
    for share in (0.98, 1.02):
        dt = share * 2.0 / rate
        refusal, mean = run("particles", model, dt, steps)
        assert bool(refusal) == (share > 1.0)
        assert not refusal or f"stability limit {2.0 / rate:g} of" in refusal
        start, end = (mean * reader).sum(axis=(1, 2))
        factors[share] = abs(end / start)
        assert factors[share] == pytest.approx(abs(1.0 - dt * rate) ** steps, rel=1e-8)
    assert factors[0.98] < 1.0 < factors[1.02]


def spiral(damping: float, turning: float) -> Model:
    """Return a plane of the modes -damping +- i turning."""
    return network(
        d=2,
        drift=lambda x: (-damping * x.v - turning * x.w, turning * x.v - damping * x.w),
    )


#: The factor of a step on a mode, and the step that a run of length 20 allows for -1 +- 20 i.
FACTORS = {
    "particles": (lambda z: 1.0 + z, 2.0 * (1.0 + np.log(10.0) / 20.0) / 401.0),
    "graph": (lambda z: 1.0 + z + z**2 / 2.0, 0.0407),
}


@pytest.mark.parametrize("solver", FACTORS)
def test_a_damped_spiral_is_refused_where_the_run_would_amplify_it_tenfold(solver):
    (factor, limit), mode = FACTORS[solver], -1.0 + 20.0j
    for share in (0.9, 0.97, 1.05, 2.0):
        dt = share * limit
        steps = round(20.0 / dt)
        refusal, mean = run(solver, spiral(1.0, 20.0), dt, steps)
        grown = np.linalg.norm(mean[1]) / np.linalg.norm(mean[0])
        assert grown == pytest.approx(abs(factor(mode * dt)) ** steps, rel=1e-8)
        assert bool(refusal) == (grown > 10.0) == (share > 1.0)


@pytest.mark.parametrize("solver", FACTORS)
def test_a_damped_spiral_that_a_step_does_not_resolve_is_refused_however_short_the_run(solver):
    refusal, mean = run(solver, spiral(1.0, 20.0), 0.5, 2)
    assert refusal
    assert np.linalg.norm(mean[1]) > 10.0 * np.linalg.norm(mean[0])


@pytest.mark.parametrize(("damping", "turning"), [(0.0, 20.0), (-0.1, 20.0), (-3.0, 0.0)])
def test_what_no_equation_damps_has_no_limit(damping, turning):
    assert longest_euler_step(spiral(damping, turning), {}, 6, LONG) == np.inf


def test_a_weakly_damped_spiral_is_resolved_by_the_steps_of_a_run_that_does_not_outlast_it():
    # Steps of .01 amplify it by 1 + h^2/2 - 1e-3 h: e^4 within 1000, less than e within 100.
    model = spiral(1e-3, 1.0)
    assert longest_euler_step(model, {}, 6, 100.0) == np.inf
    limit = longest_euler_step(model, {}, 6, 1000.0)
    assert limit == pytest.approx(2e-3 * (1.0 + np.log(10.0)), rel=1e-5)


def test_fitzhugh_nagumo_with_a_fast_recovery_is_refused_where_it_would_diverge():
    model, solver = core.get("model", "fitzhugh_nagumo"), core.get("solver", "particles")
    params = core.resolve(model.params, {"a": 0.5, "b": 400.0})
    for dt, stable in ((0.05, False), (0.0005, True)):
        given = {"dt": dt, "t_end": 5.0, "records": 1, "n_neurons": 20, "scheme": "euler_maruyama"}
        options = core.resolve(solver.options, given)
        if stable:
            solver.accept(model, params, options)
        else:
            with pytest.raises(StudyError, match="beyond the stability limit"):
                solver.accept(model, params, options)
        status = solver.solve(model, params, options, KEY, range(1)).status
        assert (status == core.Status.OK).all() == stable


@pytest.mark.parametrize("solver", FACTORS)
def test_a_variable_may_decay_faster_by_itself_than_any_mode(solver):
    # The double eigenvalue -50: v alone would decay at 100.
    model = network(d=2, drift=lambda x: (-100.0 * x.v - 50.0 * x.w, 50.0 * x.v))
    refusal, mean = run(solver, model, 0.03, 60)
    assert refusal is None
    assert np.abs(mean[1]).max() < 1e-8
    refusal, _ = run(solver, model, 0.041, 60)
    assert refusal


def test_a_single_neuron_has_no_differences_that_gap_junctions_could_damp():
    model = network(drift=lambda x: (-x.v,), coupling=GapJunctions("v", 100.0))
    refusal, mean = run("particles", model, 0.05, 100, n_neurons=1)
    assert refusal is None
    assert mean[1] == pytest.approx(0.95**100 * mean[0])
    refusal, _ = run("particles", model, 0.05, 100, n_neurons=2)
    assert f"limit {2.0 / 101.0:g} of" in str(refusal)


def test_a_decay_that_comes_late_limits_the_steps_of_euler_whatever_the_delay():
    # x' = -19 x - 15 x(t - .1) decays for every delay, as 15 < 19.
    model = network(
        delay=Delay("past", "v", 0.1), drift=lambda x, m: (-19.0 * x.v - 15.0 * m.past,)
    )
    assert longest_euler_step(model, {}, 6, LONG) == pytest.approx(2.0 / 34.0, rel=1e-12)
    for dt, lag in ((0.1, 1), (0.05, 2)):
        refusal, mean = run("particles", model, dt, 60)
        # The fastest root of mu^(lag + 1) = (1 - 19 h) mu^lag - 15 h.
        steps = np.zeros(lag + 2)
        steps[0], steps[1], steps[-1] = 1.0, 19.0 * dt - 1.0, steps[-1] + 15.0 * dt
        grows = np.abs(np.roots(steps)).max() > 1.0
        assert bool(refusal) == grows == bool(abs(mean[1]) > abs(mean[0]))
        assert grows == (dt == 0.1)
    refusal, mean = run("graph", model, 0.1, 60)
    assert refusal is None
    assert abs(mean[1]) < abs(mean[0])


@pytest.mark.parametrize("n", [1, 4])
def test_the_step_is_that_of_the_jacobian_of_all_neurons(n):
    # Fields, synapses whose rates move, gap junctions, two sites: by central differences.
    model = network(
        K, d=2,
        drift=lambda x, m, c: (c.sent - x.v + 0.1 * x.w * c.w, 3.0 * x.v - 7.0 * m.v - 2.0 * x.w),
        fields=(Field("sent", lambda x: 20.0 * sin(x.v) + x.w * x.w),),
        coupling=(
            Synapses("v", lambda c: 30.0 + c.sent, lambda c: 3.0 * c.sent + c.w),
            GapJunctions("w", 5.0),
        ),
    )  # fmt: skip

    def flow(y):
        v, w = y.reshape(2, 2, n)
        sent = K @ (20.0 * np.sin(v) + w * w).mean(axis=1)
        heard, mean = (K @ w.mean(axis=1))[:, None], w.mean(axis=1, keepdims=True)
        sent = sent[:, None]
        dv = sent - v + 0.1 * w * heard + 3.0 * sent + heard - (30.0 + sent) * v
        dw = 3.0 * v - 7.0 * v.mean(axis=1, keepdims=True) - 2.0 * w + 5.0 * (mean - w)
        return np.concatenate([dv.ravel(), dw.ravel()])

    y = np.ones(4 * n)
    steps = 1e-6 * np.eye(len(y))
    jacobian = np.array([(flow(y + h) - flow(y - h)) / 2e-6 for h in steps]).T
    modes = np.linalg.eigvals(jacobian)
    (damped,) = np.nonzero(modes.real < 0.0)
    assert damped.size > 0
    limit = (-2.0 * modes.real / np.abs(modes) ** 2)[damped].min()
    assert longest_euler_step(model, {}, n, LONG) == pytest.approx(limit, rel=1e-6)


def test_the_means_of_very_many_sites_count_by_a_bound(monkeypatch):
    model = network(K, drift=lambda x, c: (-3.0 * x.v - 2.0 * c.v,))
    modes = -3.0 - 2.0 * np.linalg.eigvals(K)
    exact = (-2.0 * modes.real / np.abs(modes) ** 2).min()
    assert longest_euler_step(model, {}, 6, LONG) == pytest.approx(exact, rel=1e-12)
    monkeypatch.setattr(rates, "_MOST_MODES", 1)
    bound = 2.0 / (3.0 + 2.0 * np.abs(K).sum(axis=1).max())
    assert longest_euler_step(model, {}, 6, LONG) == pytest.approx(bound)


#: Wires that sum to 40 at each of two neurons.
FORTY = [(0, 0, 20.0), (0, 1, 20.0), (1, 0, 20.0), (1, 1, 20.0)]


@pytest.mark.parametrize(
    ("strength", "rate", "given"),
    [(40.0, 41.0, {}), (1.0, 40.0, {"n_neurons": 2, "wires": "given", "graph": FORTY})],
    ids=["all to all", "given wires"],
)
def test_what_synapses_do_limits_the_steps_of_a_graph_too(strength, rate, given):
    # x' = -x - 40 X: a predictor and corrector of the second order, x relaxing exactly.
    model = network(drift=lambda: (0.0,), coupling=Synapses("v", 1.0, lambda c: -strength * c.v))
    for dt, grows in ((0.048, False), (0.0515, True)):
        refusal, mean = run("graph", model, dt, 100, **given)
        assert (abs(mean[1]) > abs(mean[0])) == grows
        assert bool(refusal) == grows
        assert not refusal or f"stability limit {2.0 / rate:g};" in refusal
