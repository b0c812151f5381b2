"""Exponential steps under noise of any kind: their orders, and their laws at stiff couplings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_lyapunov

from neurolim import core
from neurolim.core import GapJunctions, Model, Noise, Param, State, Status
from neurolim.math import cos
from neurolim.numerics.structure import structure_of

KEY = 5


def simulate(model, given=None, replicas=1, **options):
    solver = core.get("solver", "particles")
    core.check_model(model)
    params = core.resolve(model.params, given or {})
    defaults = {"scheme": "exponential", "t_end": 1.0, "records": 1, "n_neurons": 4096}
    resolved = core.resolve(solver.options, defaults | options)
    solver.accept(model, params, resolved)
    found = solver.solve(model, params, resolved, KEY, range(replicas))
    assert (found.status == Status.OK).all()
    return found.arrays


def model_of(drift, noise, state=("x", "y"), **more):
    return Model(
        summary="A model of this test.",
        source="this test",
        name="sample",
        state=tuple(State(symbol, start=1.0) for symbol in state),
        params=(Param("eps", 0.01, doc="e", positive=True), Param("size", 0.5, doc="s")),
        drift=drift,
        noise=noise,
        **more,
    )


def slow(x):
    return (-0.5 * x.x + 0.2 * x.y, -x.y)


#: One noise on both variables, and a second that commutes with it.
COMMUTING = model_of(
    slow,
    (
        Noise(("x", "y"), (lambda x, p: p.size * x.x, lambda x, p: p.size * x.y)),
        Noise("y", lambda x: 0.7 * x.y, stratonovich=True),
    ),
)
#: The first moves what the size of the second depends on.
NOT_COMMUTING = model_of(slow, (Noise("x", 0.5), Noise("y", lambda x: 0.7 * x.x)))


@pytest.mark.parametrize(("model", "order"), [(COMMUTING, 1.0), (NOT_COMMUTING, 0.5)])
def test_paths_converge_with_the_order_that_is_stated(model, order):
    assert structure_of(model).commuting == (order == 1.0)
    steps = [2**k for k in range(3, 9)]
    ends = [
        simulate(model, dt=1.0 / k, brownian_refinement=steps[-1] // k, states=True)["state"][
            0, -1, 0
        ]
        for k in steps
    ]
    # Means over the neurons of a network without couplings are independent of each other.
    errors = [np.sqrt(np.mean((a - b) ** 2)) for a, b in itertools.pairwise(ends)]
    found = -np.polyfit(np.log2(steps[:-1]), np.log2(errors), 1)[0]
    # A root mean square over 4096 neurons is known to about 2 %, a slope over 5 levels to .02; the
    # next order adds a share of h at the coarsest step, which tilts the fit by less than .05.
    assert found == pytest.approx(order, abs=0.08)


@pytest.mark.parametrize(
    ("noise", "commuting"),
    [
        ((Noise("x", 1.0), Noise("y", 2.0)), True),
        ((Noise("x", 1.0), Noise("y", lambda x: x.y)), True),
        ((Noise("x", 1.0), Noise("y", lambda x: x.x)), False),
        (Noise("x", lambda m: m.x), False),
        ((Noise("x", lambda x: x.x), Noise("x", lambda x: x.x * x.x)), False),
        (Noise("x", 0.3, common=True), True),
        (Noise("x", lambda t: 1.0 + t), True),
    ],
)
def test_commuting_noise_is_told_from_other_noise(noise, commuting):
    assert structure_of(model_of(slow, noise)).commuting == commuting


def test_orders_of_euler_maruyama_ask_whether_noise_moves_amplitudes():
    def strong(noise):
        model = model_of(slow, noise)
        return structure_of(model).orders(model, "euler_maruyama")[0]

    assert strong(Noise("x", "size")) == 1.0
    assert strong(Noise("x", lambda t: 1.0 + t)) == 1.0
    assert strong(Noise("x", lambda x: x.x)) == 0.5
    assert strong((Noise("x", 1.0), Noise("y", lambda x: x.x))) == 0.5


def stiff(size):
    """Return dv = [-v + (m - v)/eps] dt + size dW, w = 1 for ever."""
    coupling = GapJunctions("v", lambda p: 1.0 / p.eps)
    return model_of(lambda x: (-x.v, 0.0), Noise("v", size), ("v", "w"), coupling=coupling)


@pytest.mark.parametrize(
    "model",
    [stiff("size"), stiff(lambda x, p: p.size * x.w)],
    ids=["additive", "of the state"],
)
@pytest.mark.parametrize("ratio", [0.5, 50.0], ids=["short steps", "long steps"])
def test_noise_on_a_stiff_variable_has_its_variance_at_any_step(model, ratio):
    # The variance about the mean goes to s^2/(2 (1 + 1/eps)), that of the mean to s^2/(2 n).
    h, n, s, replicas = 0.01 * ratio, 256, 0.5, 200
    # At the end the mean has forgotten its start to exp(-8), which is subtracted.
    found = simulate(model, dt=h, t_end=8.0, n_neurons=n, replicas=replicas)
    variance = found["covariance"][:, -1, 0, 0, 0] * n / (n - 1)
    exact = s**2 / (2 * (1 + 1 / 0.01))
    error = variance.std(ddof=1) / np.sqrt(replicas)
    assert abs(variance.mean() - exact) < 4 * error
    means = found["state_mean"][:, -1, 0, 0] - np.exp(-8.0)
    expected = s**2 / (2 * n)
    assert abs(np.mean(means**2) / expected - 1) < 4 * np.sqrt(2 / replicas)


def test_correlated_noise_is_exact_in_a_linear_network_at_any_step():
    # dx = A x dt + (a, b) dW: the covariance solves A C + C A^T + q q^T = 0.
    A, q = np.array([[-1.0, 0.4], [-0.3, -2.0]]), np.array([0.8, -0.5])
    model = model_of(
        lambda x: (-1.0 * x.x + 0.4 * x.y, -0.3 * x.x - 2.0 * x.y), Noise(("x", "y"), (0.8, -0.5))
    )
    expected = solve_continuous_lyapunov(A, -np.outer(q, q))
    found = simulate(model, dt=2.5, t_end=30.0, n_neurons=4096, replicas=16)
    covariance = found["covariance"][:, -1, 0]
    error = covariance.std(axis=0, ddof=1) / 4.0
    assert (np.abs(covariance.mean(axis=0) * 4096 / 4095 - expected) < 4 * error).all()


def test_a_driven_equation_is_of_second_order_in_the_step():
    model = model_of(lambda t, x: (cos(3.0 * t) - x.x * x.x, -x.y), Noise("y", 0.1))
    exact = solve_ivp(
        lambda t, x: np.cos(3.0 * t) - x * x, (0, 2), [1.0], rtol=1e-12, atol=1e-12
    ).y[0, -1]

    def error(steps):
        found = simulate(model, dt=2.0 / steps, t_end=2.0, n_neurons=64)
        return abs(found["state_mean"][0, -1, 0, 0] - exact)

    assert np.log2(error(256) / error(512)) == pytest.approx(2.0, abs=0.1)


def test_two_noises_that_are_equal_are_two():
    # dx = s dB + s dB', both common: the mean of a network has the variance 2 s^2 t.
    noise = (Noise("x", "size", common=True), Noise("x", "size", common=True))
    model = model_of(lambda x: (0.0,), noise, state=("x",))
    found = simulate(model, dt=0.5, n_neurons=256, replicas=2000)["state_mean"][:, -1, 0, 0] - 1.0
    expected = 2.0 * 0.5**2
    assert abs(np.mean(found**2) / expected - 1.0) < 4.0 * np.sqrt(2.0 / 2000)
