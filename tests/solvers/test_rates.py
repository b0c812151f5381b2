"""Explicit steps are refused where a mode of the network, damped by its equations, would grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurolim import core
from neurolim.core import Field, GapJunctions, Model, Sites, State, StudyError, Synapses
from neurolim.math import sin
from neurolim.solvers.parts import rates
from neurolim.solvers.parts.rates import rate_of_modes

KEY = 7
K = np.array([[1.0, -0.5], [0.7, 1.2]])


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


@pytest.mark.parametrize("kind", MODES)
def test_euler_s_factor_of_the_fastest_mode_is_one_at_the_step_that_is_refused(kind):
    model, reader, rate = MODES[kind]
    assert rate_of_modes(model, {}) == pytest.approx(rate, rel=1e-12)
    solver, steps = core.get("solver", "particles"), 200
    factors = {}
    for share in (0.98, 1.02):
        dt = share * 2.0 / rate
        given = {"n_neurons": 6, "dt": dt, "t_end": steps * dt, "records": 1}
        options = core.resolve(solver.options, given | {"scheme": "euler_maruyama"})
        if share > 1.0:
            with pytest.raises(StudyError, match=f"stability limit 2/rate = {2.0 / rate:g} "):
                solver.accept(model, {}, options)
        else:
            solver.accept(model, {}, options)
        mean = solver.solve(model, {}, options, KEY, range(1)).arrays["state_mean"][0]
        start, end = (mean * reader).sum(axis=(1, 2))
        factors[share] = abs(end / start)
        assert factors[share] == pytest.approx(abs(1.0 - dt * rate) ** steps, rel=1e-8)
    assert factors[0.98] < 1.0 < factors[1.02]


@pytest.mark.parametrize("n", [1, 4])
def test_the_rate_is_that_of_the_jacobian_of_all_neurons(n):
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
    fastest = max(-np.linalg.eigvals(jacobian).real.min(), -np.diag(jacobian).min())
    rate = rate_of_modes(model, {})
    # One neuron has no differences from its mean; their modes count all the same.
    assert rate == pytest.approx(fastest, rel=1e-6) if n > 1 else rate > fastest * (1.0 - 1e-6)


def test_the_means_of_very_many_sites_count_by_a_bound(monkeypatch):
    model = network(K, drift=lambda x, c: (-3.0 * x.v - 2.0 * c.v,))
    exact = rate_of_modes(model, {})
    assert exact == pytest.approx(3.0 + 2.0 * np.linalg.eigvals(K).real.max(), rel=1e-12)
    monkeypatch.setattr(rates, "_MOST_MODES", 1)
    assert rate_of_modes(model, {}) == pytest.approx(3.0 + 2.0 * np.abs(K).sum(axis=1).max())


def test_what_synapses_do_limits_the_steps_of_a_graph_too():
    # x' = -x - 40 X: a predictor and corrector of the second order, x relaxing exactly.
    model, _, rate = MODES["synapses"]
    solver, growth = core.get("solver", "graph"), {}
    for dt in (0.048, 0.0515):
        given = {"n_neurons": 6, "dt": dt, "t_end": 100 * dt, "records": 1}
        options = core.resolve(solver.options, given)
        mean = solver.solve(model, {}, options, KEY, range(1)).arrays["state_mean"][0, :, 0, 0]
        growth[dt] = abs(mean[1] / mean[0])
    assert growth[0.048] < 1.0 < growth[0.0515]
    with pytest.raises(StudyError, match=f"stability limit 2/rate = {2.0 / rate:g};"):
        solver.accept(model, {}, options)
