"""Synapses faster than the step: the means of the sites move on their common path."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_lyapunov

from neurolim import core, solve

#: Attractive, but the map from voltages to balance voltages is not a contraction there.
SHARP = {"weights": [[0.2, 2.0], [2.0, 0.2]], "slope": [0.3]}
#: The only balance point is a spiral that does not attract.
SPIRAL = {
    "weights": [[1.73, 1.49], [0.41, 0.45]],
    "threshold": [0.88, 0.29],
    "slope": [0.32, 0.19],
}
GAMMA = 1e4


def mean_flow(given):
    """Return the flow of voltages of a network whose neurons sit at their means; layer clock."""
    model = core.get("model", "balanced")
    sites = model.sites(core.resolve(model.params, {"gamma": GAMMA, "clock": "layer", **given}))

    def flow(voltages):
        states = [(float(v), 0.0) for v in voltages]
        each = list(zip(states, sites.params, strict=True))
        means = np.array([(*x, *model.equations.field(x, p)) for x, p in each])
        found = []
        for (x, p), m, c in zip(each, means, sites.coupling @ means, strict=True):
            pull, target, _ = model.equations.relax(tuple(m), tuple(c), p)
            found.append(model.equations.drift(x, m, c, p)[0] + pull[0] * (target[0] - x[0]))
        return np.array(found)

    return flow, np.array([model.equations.noise(p)[0] for p in sites.params])


def slope(flow, point):
    step = 1e-5
    return np.array(
        [(flow(point + step * e) - flow(point - step * e)) / (2 * step) for e in np.eye(2)]
    ).T


def rest(flow, start):
    return solve_ivp(lambda _, v: flow(v), (0, 200), start, rtol=1e-10, atol=1e-12).y[:, -1]


@pytest.mark.parametrize("network", [{}, SHARP], ids=["default", "sharp"])
@pytest.mark.parametrize("step", [1.0, 1e3])
def test_means_fluctuate_as_their_matrix_says_at_any_step(network, step):
    flow, sigma = mean_flow(network)
    point = rest(flow, [0.5, 0.5])
    B = slope(flow, point)
    neurons, records, replicas = 200, 1500, 4
    found = solve(
        "balanced",
        "particles",
        {"gamma": GAMMA, "clock": "layer", "voltage_start": point.tolist(), **network},
        {"n_neurons": neurons, "dt": step, "t_end": step * records, "records": records, "bins": 1},
        replicas=replicas,
    )
    means = found["state_mean"].values[:, 20:, :, 0]
    expected = solve_continuous_lyapunov(B, -np.diag(sigma**2)) / neurons
    deviation = means - point - (means - point).mean(axis=(0, 1))
    found_variance = np.mean(deviation**2, axis=(0, 1))
    # Correlated over 1/(slowest rate): at most this many records per independent one.
    slowest = -np.linalg.eigvals(B).real.max()
    correlated = max(1.0, (1 + np.exp(-slowest * step)) / (1 - np.exp(-slowest * step)))
    error = np.sqrt(2 * correlated / (means.shape[1] * replicas))
    # Nonlinear corrections are of the order of the variance, 1/gamma.
    assert np.abs(found_variance / np.diag(expected) - 1).max() < 4 * error + 5 / GAMMA
    # Finite n displaces the mean by a share 1/n of what the law of one neuron does, O(1/gamma).
    law = solve("balanced", "stationary_law", {"gamma": GAMMA, "clock": "layer", **network})
    resolution = np.sqrt(np.diag(expected) * correlated / (means.shape[1] * replicas))
    displaced = np.abs(means.mean(axis=(0, 1)) - law["state_mean"].values[:, 0])
    assert (displaced < 4 * resolution + 10 / (GAMMA * neurons)).all()


@pytest.mark.parametrize("step", [0.1, 2.0, 5.0])
def test_an_unstable_spiral_is_left_at_its_rate_at_any_step(step):
    flow, _ = mean_flow(SPIRAL)
    point = np.array([0.4423106, 0.2270545])
    for _ in range(20):
        point = point - np.linalg.solve(slope(flow, point), flow(point))
    rate = np.linalg.eigvals(slope(flow, point)).real.max()
    assert rate > 0.1
    found = solve(
        "balanced",
        "particles",
        {"gamma": GAMMA, "clock": "layer", "sigma": [1e-12], **SPIRAL,
         "voltage_start": (point + np.array([1e-5, 0.0])).tolist()},
        {"n_neurons": 10, "dt": step, "t_end": 60.0, "records": 6, "bins": 1},
    )  # fmt: skip
    away = found["state_mean"].values[0, :, :, 0] - point
    # The length in the frame of the spiral, in which it grows without wobbling.
    _, vectors = np.linalg.eig(slope(flow, point))
    grown = np.abs((np.linalg.inv(vectors) @ away.T)[0])
    early = grown < 1e-3
    fit = np.polyfit(found["time"].values[early], np.log(grown[early]), 1)[0]
    assert fit == pytest.approx(rate, rel=0.01)


def test_one_long_step_lands_where_the_mean_flow_does():
    flow, _ = mean_flow({})
    start = [2.5, -0.8]
    exact = solve_ivp(lambda _, v: flow(v), (0, 10.0), start, rtol=1e-10, atol=1e-12).y[:, -1]
    found = solve(
        "balanced",
        "particles",
        {"gamma": GAMMA, "clock": "layer", "sigma": [1e-12], "voltage_start": start},
        {"n_neurons": 10, "dt": 10.0, "t_end": 10.0, "records": 1, "bins": 1},
    )
    assert np.abs(found["state_mean"].values[0, -1, :, 0] - exact).max() < 1e-2


def test_steps_are_of_second_order_where_synapses_are_as_slow_as_the_drift():
    params = {
        "gamma": 20.0, "sigma": [1e-12], "drift_linear": [1.0], "drift_cubic": [-1.0],
        "voltage_start": [0.0, 1.0], "voltage_spread": [0.5], "electrical": [1.0],
    }  # fmt: skip

    def end(steps):
        options = {"n_neurons": 400, "dt": 0.5 / steps, "t_end": 0.5, "records": 1, "bins": 1}
        found = solve("balanced", "particles", params, options)
        last = found.isel(replica=0, time=-1)
        return np.append(last["state_mean"].values[:, 0], last["covariance"].values[:, 0, 0])

    coarse, middle, fine = (end(steps) for steps in (64, 128, 256))
    order = np.log2(np.abs(coarse - middle) / np.abs(middle - fine))
    np.testing.assert_allclose(order, 2.0, atol=0.15)
