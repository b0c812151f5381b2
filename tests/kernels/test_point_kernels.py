"""Kernels of populations at points, and of laws on a grid, against the author's own functions."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest

from neurolim import Field, Model, Noise, Sites, State, Synapses
from neurolim.core import Param
from neurolim.kernels import grid, points
from neurolim.kernels.model_code import exponential_code, step_code
from neurolim.math import tanh

COUNT, D = 3, 2


def sent(x, p):
    return tanh(x.v + p.bias) * x.w


def drift(x, m, c, p):
    return x.w - x.v**3 + p.bias * m.w, tanh(c.sent) - x.w * m.v


def prepare(params):
    """Return three sites that differ in everything, with weights of no symmetry."""
    weights = np.array([[0.3, -0.7, 1.1], [0.9, 0.2, -0.4], [-0.5, 0.8, 0.6]])
    rows = tuple({"bias": b, "size": s} for b, s in ((0.4, 2.0), (-0.3, 1.5), (1.2, 0.7)))
    return Sites(("one", "two", "three"), weights, rows)


MODEL = Model(
    summary="A network in which everything enters everything.",
    source="made up",
    state=(State("v", "voltage"), State("w", "slow", start=0.5)),
    params=(Param("bias", 0.1), Param("size", 1.0)),
    prepare=prepare,
    drift=drift,
    coupling=Synapses(
        "v",
        conductance=lambda c, p: p.size + 0.3 * c.sent,
        current=lambda m, c, p: p.size * c.w - 0.2 * m.sent,
    ),
    noise=Noise("v", 1.0),
    fields=(Field("sent", sent),),
)


@pytest.fixture(scope="module")
def network():
    """Return the model's code, its sites, its parameters as rows, and a state."""
    sites = MODEL.sites({"bias": 0.1, "size": 1.0})
    rows = np.array([[*map(float, p)] for p in sites.params])
    x = np.array([[0.3, -0.6], [1.1, 0.4], [-0.7, 0.9]])
    return exponential_code(MODEL), sites, rows, x


def by_hand(sites, x, extra, weak):
    """Return flow and rates from the model's functions, one population after the other."""
    fields = [MODEL.equations.field(tuple(row), p) for row, p in zip(x, sites.params, strict=True)]
    m = np.concatenate([x, fields], axis=1) + extra
    flow, rates = np.empty_like(x), np.empty((COUNT, 3))
    for s, p in enumerate(sites.params):
        own, inputs = tuple(m[s]), tuple(sites.coupling[s] @ m)
        pull, target, gap = MODEL.equations.relax(own, inputs, p)
        flow[s] = MODEL.equations.drift(tuple(x[s]), own, inputs, p)
        flow[s, 0] = pull[0] * (target[0] - x[s, 0]) + (flow[s, 0] if weak else 0.0)
        rates[s] = pull[0], target[0], gap[0]
    return flow, rates


@pytest.mark.parametrize("weak", [False, True])
def test_flow_and_rates_are_those_of_the_models_functions(network, weak):
    code, sites, rows, x = network
    extra = np.linspace(-0.2, 0.3, 9).reshape(COUNT, 3)
    flow, rates = np.empty((COUNT, D)), np.empty((COUNT, 3))
    points.fill_flow(code, x, extra, rows, sites.coupling, weak, flow)
    points.fill_rates(code, x, extra, rows, sites.coupling, rates)
    expected = by_hand(sites, x, extra, weak)
    np.testing.assert_allclose(flow, expected[0], rtol=1e-13)
    np.testing.assert_allclose(rates, expected[1], rtol=1e-13)


def test_slopes_are_those_of_central_differences(network):
    code, sites, rows, x = network
    found = np.empty((COUNT, D, COUNT, D))
    points.fill_slope(code, x, rows, sites.coupling, found)
    still, step = np.zeros((COUNT, 3)), 1e-5
    for place in np.ndindex(COUNT, D):
        moved = np.zeros_like(x)
        moved[place] = step
        ahead, _ = by_hand(sites, x + moved, still, False)
        behind, _ = by_hand(sites, x - moved, still, False)
        # Truncation step^2 f'''/6 and rounding 1e-16/step, values of order one.
        np.testing.assert_allclose(found[(..., *place)], (ahead - behind) / (2 * step), atol=2e-9)


def test_neurons_along_a_line_drift_and_send_as_the_models_functions_say(network):
    code, sites, rows, _ = network
    v, rest, m, c = np.linspace(-1, 1, 5), np.array([0.7]), np.full(3, 0.2), np.full(3, -0.4)
    local, found = np.empty(v.size), np.empty((v.size, 1))
    points.fill_along(code, v, rest, m[None], c[None], rows[1:2], local, found)
    for i, place in enumerate(v):
        x, p = (place, 0.7), sites.params[1]
        assert local[i] == pytest.approx(MODEL.equations.drift(x, tuple(m), tuple(c), p)[0])
        assert found[i] == pytest.approx(MODEL.equations.field(x, p))


def test_a_grid_has_drifts_observations_and_slopes_at_every_place(network):
    code, sites, rows, _ = network
    v, w = np.linspace(-1.0, 1.0, 4), np.linspace(0.0, 2.0, 3)
    m, p, weight, step = np.array([0.3, -0.2, 0.5]), sites.params[2], 0.8, 1e-5
    row, both = rows[2:], np.meshgrid(v, w, indexing="ij")

    def drifts(means):
        return np.array(MODEL.equations.drift(tuple(both), tuple(means), tuple(weight * means), p))

    drift, observed = np.empty((2, 4, 3)), np.empty((3, 4, 3))
    for component in range(2):
        grid.fill_drift(code, v, w, row, m[None], weight * m[None], component, drift[component])
    grid.fill_observed(code, v, w, row, observed)
    np.testing.assert_allclose(drift, drifts(m), rtol=1e-13)
    np.testing.assert_allclose(observed, [*both, *MODEL.equations.field(tuple(both), p)])
    felt = np.empty((6, 4, 3))
    grid.fill_felt(code, v, w, row, m[None], weight * m[None], weight, felt)
    for k, unit in enumerate(step * np.eye(3)):
        expected = (drifts(m + unit) - drifts(m - unit)) / (2 * step)
        np.testing.assert_allclose(felt.reshape(2, 3, 4, 3)[:, k], expected, atol=2e-9)


def test_threads_that_ask_at_once_get_one_code():
    # Threads change places as often as they can, so that two would build a code each.
    interval = sys.getswitchinterval()
    together = Barrier(4)

    def ask(make):
        together.wait()
        return make(replace(MODEL, name="asked"))

    try:
        sys.setswitchinterval(1e-6)
        with ThreadPoolExecutor(4) as threads:
            for make in (step_code, exponential_code):
                assert len({id(code) for code in threads.map(ask, [make] * 4)}) == 1
    finally:
        sys.setswitchinterval(interval)
