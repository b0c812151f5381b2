"""Means that act on each other through drifts: the exponential step takes them together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm, solve_continuous_lyapunov

from neurolim import core
from neurolim.core import (
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
from neurolim.math import cos, sin
from neurolim.solvers.parts.rates import joint_rate_at_rest

KEY = 4
P = 9
X = np.linspace(0.0, 1.0, P)
KERNEL = 4.0 * np.exp(-5.0 * np.abs(X[:, None] - X)) / (0.5 * P)


def simulate(model, replicas=1, **options):
    solver = core.get("solver", "particles")
    core.check_model(model)
    params = core.resolve(model.params, {})
    resolved = core.resolve(solver.options, {"n_neurons": 4, "records": 1, **options})
    solver.accept(model, params, resolved)
    found = solver.solve(model, params, resolved, KEY, range(replicas))
    assert (found.status == Status.OK).all()
    return found.arrays["state_mean"]


def places(params):
    rates = KERNEL.sum(axis=1)
    own = (
        {"exchange": float(r), "bump": float(np.sin(3 * x))} for r, x in zip(rates, X, strict=True)
    )
    return Sites(tuple(X), KERNEL, tuple(own))


LINE = Model(
    summary="A line of linear neurons that exchange by a kernel, feel their mean and a synapse.",
    source="this test",
    name="line",
    state=(State("v", start="bump"), State("w")),
    params=(Param("size", 0.0, doc="sigma"),),
    drift=lambda x, m, c, p: (c.v - p.exchange * x.v - x.w, 0.3 * x.v - 0.1 * x.w + 0.2 * m.v),
    coupling=(GapJunctions("v", 10.0), Synapses("w", 0.5, lambda c: 0.5 * c.v)),
    noise=Noise("v", "size"),
    prepare=places,
)


def generator():
    """Return the matrix of the means of the line, (v, w) of site after site."""
    B = np.zeros((2 * P, 2 * P))
    for s in range(P):
        B[2 * s, 2 * s] -= KERNEL[s].sum()
        B[2 * s, 2 * s + 1] -= 1.0
        B[2 * s + 1, 2 * s] += 0.3 + 0.2
        B[2 * s + 1, 2 * s + 1] -= 0.1 + 0.5
        B[2 * s, ::2] += KERNEL[s]
        B[2 * s + 1, ::2] += 0.5 * KERNEL[s]
    return B


@pytest.mark.parametrize("dt", [2.0, 0.5])
def test_the_means_of_a_linear_network_in_space_are_exact_at_any_step(dt):
    start = np.zeros(2 * P)
    start[::2] = np.sin(3.0 * X)
    found = simulate(LINE, dt=dt, t_end=2.0)[0, -1].ravel()
    np.testing.assert_allclose(found, expm(2.0 * generator()) @ start, atol=1e-13)


def covariance_of_steps(h, t, S):
    """Return the covariance at t of steps whose noise is exact at each site by itself.

    A step adds (I + h phi2(h B) A) C z, with A = B - D what other sites do, and C C' exact for D.
    """
    B = generator()
    D = B * np.kron(np.eye(P), np.ones((2, 2)))
    E = expm(h * D)
    local = solve_continuous_lyapunov(D, E @ S @ E.T - S)
    # h phi2(h B) stands in the corner of the exponential of a larger matrix.
    zero, one = np.zeros_like(B), np.eye(2 * P)
    larger = np.block([[h * B, one, zero], [zero, zero, one], [zero, zero, zero]])
    spread = one + h * expm(larger)[: 2 * P, 4 * P :] @ (B - D)
    added, E = spread @ local @ spread.T, expm(h * B)
    total = np.zeros_like(B)
    for _ in range(round(t / h)):
        total = E @ total @ E.T + added
    return total


def test_noise_spreads_over_the_sites_to_second_order():
    # Cov of the means at t: the integral of e^(B s) S e^(B' s), S = size^2/n on the voltages.
    t, B, S = 2.0, generator(), np.diag([0.25, 0.0] * P)
    E = expm(t * B)
    exact = solve_continuous_lyapunov(B, E @ S @ E.T - S)
    errors = [np.abs(covariance_of_steps(h, t, S) - exact).max() for h in (0.25, 0.125)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.3)
    assert errors[0] < 0.01 * np.abs(exact).max()
    # The sites do covary.
    assert exact[0, 2] > 0.1 * exact[0, 0]
    replicas = 4000
    noisy = replace(LINE, noise=Noise("v", 1.0), name="noisy_line")
    found = simulate(noisy, replicas, dt=0.25, t_end=t)[:, -1].reshape(replicas, -1)
    away = found - found.mean(axis=0)
    products = away[:, :, None] * away[:, None, :]
    error = products.std(axis=0, ddof=1) / np.sqrt(replicas)
    # 171 different numbers: beyond 4.5 once in 800 keys.
    off = np.abs(products.mean(axis=0) - covariance_of_steps(0.25, t, S))
    assert (off < 4.5 * error).all()


def test_a_front_keeps_its_speed_at_long_steps():
    # Bistable neurons with a kernel of rate 4: steps of .2 have h rate = .8.
    line = np.linspace(0.0, 20.0, 80)
    kernel = np.exp(-np.abs(line[:, None] - line))
    kernel *= 4.0 / kernel.sum(axis=1, keepdims=True)

    def sites(params):
        own = tuple({"bump": float(1.0 / (1.0 + np.exp(2.0 * (x - 4.0))))} for x in line)
        return Sites(tuple(line), kernel, own)

    model = Model(
        summary="Bistable neurons on a line.", source="this test", name="bistable",
        state=(State("v", start="bump"),), params=(), prepare=sites,
        drift=lambda x, c: (4.0 * x.v * (1.0 - x.v) * (x.v - 0.25) + c.v - 4.0 * x.v,),
        coupling=GapJunctions("v", 10.0),
    )  # fmt: skip
    flow = lambda t, v: 4.0 * v * (1.0 - v) * (v - 0.25) + kernel @ v - 4.0 * v  # noqa: E731
    start = 1.0 / (1.0 + np.exp(2.0 * (line - 4.0)))
    exact = solve_ivp(flow, (0.0, 8.0), start, t_eval=(4.0, 8.0), rtol=1e-9, atol=1e-10).y.T

    def speed(means):
        first, last = (np.interp(-0.5, -v, line) for v in means)
        return last - first

    for dt, allowed in ((0.4, 1e-3), (0.2, 2e-4)):
        means = simulate(model, dt=dt, t_end=8.0, records=2)[0, 1:, :, 0]
        assert speed(means) / speed(exact) == pytest.approx(1.0, abs=allowed)


def test_fields_that_enter_drifts_are_taken_along():
    # Two oscillators that hear each other's fields: second order, against scipy.
    K = np.array([[0.5, 1.5], [-1.0, 0.8]])
    model = Model(
        summary="Two phases.", source="this test", name="phases",
        state=(State("phi", start="begin"),), params=(),
        drift=lambda x, c: (1.0 + c.sine * cos(x.phi) - c.cosine * sin(x.phi),),
        fields=(Field("cosine", lambda x: cos(x.phi)), Field("sine", lambda x: sin(x.phi))),
        prepare=lambda params: Sites((0.0, 1.0), K, ({"begin": 0.3}, {"begin": 2.0})),
    )  # fmt: skip

    def flow(t, y):
        return 1.0 + np.cos(y) * (K @ np.sin(y)) - np.sin(y) * (K @ np.cos(y))

    exact = solve_ivp(flow, (0.0, 3.0), (0.3, 2.0), rtol=1e-11, atol=1e-11).y[:, -1]
    errors = [
        np.abs(simulate(model, dt=dt, t_end=3.0)[0, -1, :, 0] - exact).max()
        for dt in (0.1, 0.05, 0.025)
    ]
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2.0, abs=0.3)
    assert errors[2] < 1e-3


def test_the_rate_of_all_means_bounds_their_generator_and_long_steps_are_refused():
    rate = joint_rate_at_rest(LINE, LINE.sites({"size": 0.0}))
    rows = np.abs(generator()).sum(axis=1).max()
    assert rows <= rate <= 2.0 * rows

    solver = core.get("solver", "particles")
    dt = 3001.0 / rate
    options = core.resolve(solver.options, {"n_neurons": 4, "records": 1, "dt": dt, "t_end": dt})
    with pytest.raises(StudyError, match=r"sites move each other.*allowed: dt <= "):
        solver.accept(LINE, core.resolve(LINE.params, {}), options)
