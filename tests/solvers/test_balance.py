"""Balanced networks: closed forms, levels of description against each other, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from neurolim import Status, StudyError, solve
from neurolim.api import run_study
from neurolim.solvers.limit.balance_points import starting_values
from neurolim.solvers.parts.graphs import lay_wires

WEIGHTS, REVERSAL = np.array([[1.0, 2.0], [1.5, 1.0]]), np.array([3.0, -1.0])
CURRENT = np.array([0.5, 0.2])
#: One population that receives both synapses, written as two equal ones.
ONE = {
    "weights": [[1.0, 1.2], [1.0, 1.2]],
    "reversal": [2.0, -1.5],
    "threshold": [0.0, 0.5],
    "slope": [0.5, 0.4],
    "drift_constant": [0.5],
    "drift_linear": [1.0],
    "drift_cubic": [-1.0],
}
#: Weights whose only balance point is a spiral that does not attract.
SPIRAL = {
    "weights": [[1.73, 1.49], [0.41, 0.45]],
    "threshold": [0.88, 0.29],
    "slope": [0.32, 0.19],
}


def sigmoid(v, threshold=0.5, slope=0.8):
    """Return S, S' and S''."""
    s = 1.0 / (1.0 + np.exp(-(v - threshold) / slope))
    return s, s * (1 - s) / slope, s * (1 - s) * (1 - 2 * s) / slope**2


def points(gamma=1.0, params=None, **options):
    return solve("balanced", "balance_points", {"gamma": gamma, **(params or {})}, options)


def test_check_values_of_two_populations():
    # Computed independently of this code; four digits are given.
    found = points(1000.0).isel(branch=0)
    np.testing.assert_allclose(found["predicted_shift"] * 1000, [1.0074, 0.2818], atol=6e-5)
    np.testing.assert_allclose(found["predicted_variance"] * 1000, [0.3430, 0.4855], atol=6e-5)


def test_check_values_of_one_population_with_both_synapses():
    found = points(1000.0, ONE).isel(branch=0)
    voltage = found["balance_state"].sel(variable="voltage").values

    def current(v):
        excitation, _, _ = sigmoid(v, 0.0, 0.5)
        inhibition, _, _ = sigmoid(v, 0.5, 0.4)
        return excitation * (2 - v) + 1.2 * inhibition * (-1.5 - v)

    assert voltage == pytest.approx(brentq(current, -1.5, 2.0, xtol=1e-14), abs=1e-9)
    assert voltage == pytest.approx(0.452385, abs=6e-7)
    assert found["pull"].values / 1000 == pytest.approx(1.2763, abs=6e-5)
    assert np.abs(found["predicted_residual"].values) == pytest.approx(0.85980, abs=6e-6)


@pytest.mark.parametrize(
    ("weights", "width"),
    # A sigmoid of width 0.003 is steeper than any step of a difference.
    [(WEIGHTS, 0.8), ([[0.7, 2.5], [2.0, 0.3]], 0.8), ([[1.0, 1.0], [1.0, 1.0]], 0.003)],
)
def test_points_slopes_and_shift_follow_their_formulas(weights, width):
    gamma, weights = 50.0, np.array(weights)
    threshold = [0.5, 0.5] if width == 0.8 else [1.0, 1.001]
    given = {"weights": weights.tolist(), "slope": [width], "threshold": threshold}
    found = points(gamma, given).isel(branch=0)
    v = found["balance_state"].sel(variable="voltage").values
    s, first, second = sigmoid(v, np.array(threshold), width)
    total = weights @ s
    np.testing.assert_allclose(v, weights @ (s * REVERSAL) / total, atol=1e-10)
    away = weights * (v[:, None] - REVERSAL)
    matrix = np.diag(total) + away * first
    modes = np.linalg.eigvals(matrix)
    modes = modes[np.argsort(modes.real)]
    np.testing.assert_allclose(found["growth"] / gamma, -modes.real, atol=1e-9)
    np.testing.assert_allclose(np.sort(found["frequency"] / gamma), np.sort(-modes.imag), atol=1e-9)
    variance = 1.0 / (2.0 * total)
    force = CURRENT - v - 0.5 * away @ (second * variance)
    np.testing.assert_allclose(
        found["predicted_shift"] * gamma, np.linalg.solve(matrix, force), atol=1e-8
    )
    wander = found["predicted_mean_variance"].values * gamma
    # M Sigma + Sigma M^T = 1 has three unknowns: solved as such.
    (a, b), (c, d) = matrix
    system = [[2 * a, 2 * b, 0], [c, a + d, b], [0, 2 * c, 2 * d]]
    np.testing.assert_allclose(wander, np.linalg.solve(system, [1, 0, 1])[[0, 2]], atol=1e-8)


def test_all_three_points_of_a_bistable_network_are_found():
    params = {"weights": [[1.0, 1.0], [2.0, 0.3]], "slope": [0.15], "threshold": [0.5, 1.0]}
    found = points(1.0, params)
    assert int(found["points"]) == 3
    assert found["attractive"].values.tolist() == [1.0, 0.0, 1.0]
    # A saddle-node pair has one unstable direction.
    assert (found["growth"].values[1] > 0).sum() == 1
    assert points(1.0, params, branches=2)["status"] == Status.OUT_OF_DOMAIN


def test_stationary_law_is_self_consistent_by_adaptive_quadrature():
    gamma = 30.0
    found = solve("balanced", "stationary_law", {"gamma": gamma, **ONE})
    law = {"voltage_nodes": found["voltage_nodes"][0], "density": found["density"][0]}
    nodes, density = (array.values for array in law.values())
    step = nodes[1] - nodes[0]
    sent = [step * np.sum(density * sigmoid(nodes, *part)[0]) for part in ((0.0, 0.5), (0.5, 0.4))]

    def log_density(v):
        drift = 0.5 * v + v**2 / 2 - v**4 / 4
        pull = sent[0] * (2 * v - v**2 / 2) + 1.2 * sent[1] * (-1.5 * v - v**2 / 2)
        return 2.0 * (drift + gamma * pull)

    peak = log_density(nodes[density.argmax()])

    def average(function):
        weight = quad(lambda v: np.exp(log_density(v) - peak), -2, 3, epsabs=1e-13)[0]
        return (
            quad(lambda v: function(v) * np.exp(log_density(v) - peak), -2, 3, epsabs=1e-13)[0]
            / weight
        )

    mean = average(lambda v: v)
    assert float(found["state_mean"][0, 0]) == pytest.approx(mean, abs=1e-9)
    assert float(found["covariance"][0, 0, 0]) == pytest.approx(
        average(lambda v: (v - mean) ** 2), abs=1e-9
    )
    assert average(lambda v: sigmoid(v, 0.0, 0.5)[0]) == pytest.approx(sent[0], abs=1e-9)


@pytest.mark.parametrize("params", [{}, ONE])
def test_stationary_mean_field_has_the_first_order_constants(params):
    gamma = 1e5
    found = solve("balanced", "stationary_law", {"gamma": gamma, **params})
    theory = points(gamma, params).isel(branch=0)
    shift = found["state_mean"][:, 0] - theory["balance_state"][:, 0]
    current = found["excitation"] + found["inhibition"]
    variance = found["covariance"][:, 0, 0]
    # The next order is O(1/gamma), with constants up to 4.
    for measured, predicted in (
        (shift, theory["predicted_shift"]),
        (variance, theory["predicted_variance"]),
        (current, theory["predicted_residual"]),
    ):
        np.testing.assert_allclose(measured / predicted, 1.0, atol=5.0 / gamma)


@pytest.mark.parametrize("gamma", [10.0, 1e4])
def test_the_mean_field_relaxes_to_the_stationary_law(gamma):
    params = {"gamma": gamma, "clock": "layer", "voltage_spread": [0.3]}
    moving = solve("balanced", "moving_grid", params, {"t_end": 25.0, "records": 5, "nodes": 81})
    still = solve("balanced", "stationary_law", params)
    np.testing.assert_allclose(moving["state_mean"][-1], still["state_mean"], atol=1e-6)
    np.testing.assert_allclose(moving["covariance"][-1], still["covariance"], rtol=1e-5, atol=1e-12)
    width = moving["voltage_nodes"].diff("node").isel(node=0)
    np.testing.assert_allclose(moving["density"].sum("node") * width, 1.0, atol=1e-7)


def test_the_potential_relaxes_to_the_stationary_one_with_second_order():
    params = {"gamma": 1000.0, "clock": "layer", "voltage_spread": [0.05], **ONE}
    errors = []
    for nodes in (21, 41):
        still = solve("balanced", "stationary_law", params, {"window_nodes": nodes})
        options = {"t_end": 16.0, "records": 2, "window_nodes": nodes}
        found = solve("balanced", "hopf_cole_populations", params, options)
        # Both windows are about a centre, which differs by the error of the means only.
        away = (found["window_voltage"] - still["window_voltage"]).values
        slope = np.gradient(still["log_density"].values, axis=1) / np.gradient(
            still["window_voltage"].values, axis=1
        )
        difference = found["log_density"] - still["log_density"] - slope * away
        errors.append(float(np.abs(difference).max()))
    # The density there is e^-1000; the logarithm is right to two digits behind the point.
    assert errors[1] < 0.01
    assert errors[0] / errors[1] == pytest.approx(4.0, abs=1.0)


def test_the_mean_field_of_a_linear_silent_network_is_an_ornstein_uhlenbeck_process():
    # Equal reversal potentials far above threshold: s = 1, so B = 0.5 - v + 2 gamma (3 - v).
    params = {
        "gamma": 4.0, "weights": [[1.0, 1.0]] * 2, "reversal": [3.0], "threshold": [-50.0],
        "drift_constant": [0.5], "voltage_start": [1.0], "voltage_spread": [0.4],
    }  # fmt: skip
    found = solve("balanced", "moving_grid", params, {"t_end": 0.4, "records": 4, "nodes": 161})
    t, rate = found["time"].values, 9.0
    end = (0.5 + 24.0) / rate
    np.testing.assert_allclose(
        found["state_mean"][:, 0, 0], end + (1 - end) * np.exp(-rate * t), atol=1e-6
    )
    variance = 0.5 / rate + (0.16 - 0.5 / rate) * np.exp(-2 * rate * t)
    # Transients are second order in the spacing of the nodes, 0.1 theta.
    np.testing.assert_allclose(found["covariance"][:, 0, 0, 0], variance, rtol=2e-3)


def test_an_unstable_point_is_left_at_its_predicted_rate_and_frequency():
    theory = points(1.0, SPIRAL).isel(branch=0)
    assert theory["attractive"] == 0.0
    assert int(theory["attained"]) == -1
    growth, frequency = float(theory["growth"][0]), abs(float(theory["frequency"][0]))
    assert growth > 0
    assert frequency > 0
    start = theory["balance_state"].sel(variable="voltage").values
    near = (start + np.array([1e-4, 0.0])).tolist()
    params = {"gamma": 1e8, "clock": "layer", **SPIRAL, "voltage_start": near}
    found = solve("balanced", "limit", params, {"t_end": 40.0, "records": 80})
    away = found["state_mean"].values[:, :, 0] - start
    early = np.linalg.norm(away, axis=1) < 0.01
    early[-1] = False
    k = np.flatnonzero(early)
    flow = np.linalg.lstsq(away[k], away[k + 1], rcond=None)[0]
    rates = np.log(np.linalg.eigvals(flow).astype(complex)) / 0.5
    # Deviations up to 0.01 bend the flow by a few per mille; gamma = 1e8 by nothing.
    assert rates.real.max() == pytest.approx(growth, rel=0.02)
    assert np.abs(rates.imag).max() == pytest.approx(frequency, rel=0.02)
    assert np.linalg.norm(away[-10:], axis=1).max() > 0.05


def test_wires_are_a_function_of_key_and_replica_with_the_degrees_asked_for():
    options = {"wires": "fixed", "in_degree": 7, "junctions": "mean"}
    fixed = lay_wires(2, 100, options, 3, 0)
    assert (np.diff(fixed.starts, axis=2) == 7).all()
    assert fixed.source.min() >= 0
    assert fixed.source.max() < 100
    again, other = lay_wires(2, 100, options, 3, 0), lay_wires(2, 100, options, 3, 1)
    np.testing.assert_array_equal(fixed.source, again.source)
    assert not np.array_equal(fixed.source, other.source)
    n, k = 4000, 20
    drawn = lay_wires(1, n, {**options, "wires": "binomial", "in_degree": k}, 3, 0)
    degrees = np.diff(drawn.starts[0, 0])
    variance = k * (1 - k / n)
    assert degrees.mean() == pytest.approx(k, abs=4 * (variance / n) ** 0.5)
    # The fourth central moment of a binomial is close to 3 variance^2 + variance.
    error = ((2 * variance**2 + variance) / n) ** 0.5
    assert degrees.var() == pytest.approx(variance, abs=4 * error)
    assert np.bincount(drawn.source, minlength=n).max() < k + 8 * k**0.5


def test_random_in_degrees_spread_the_balance_voltages_by_their_own_law():
    # v*_i = sum_q g s V K_iq/k / sum_q g s K_iq/k: to first order in the deviation of the degrees,
    # Var = sum_q (g_pq s_q (V_q - v_p*)/A_p)^2 (1 - k/n)/k; the next order is O(1/k) of it.
    n, k = 2000, 400
    params = {"gamma": 1e4, "clock": "layer", "voltage_start": [-0.174, 0.753]}
    options = {
        "n_neurons": n, "in_degree": k, "wires": "binomial", "dt": 0.25, "t_end": 4.0, "records": 2
    }  # fmt: skip
    found = solve("balanced", "graph", params, options).isel(replica=0, time=-1)
    v = points().isel(branch=0)["balance_state"].sel(variable="voltage").values
    s, _, _ = sigmoid(v)
    share = WEIGHTS * s * (REVERSAL - v[:, None]) / (WEIGHTS @ s)[:, None]
    predicted = (share**2).sum(axis=1) * (1 - k / n) / k
    relative = found["target_variance"].values / predicted - 1.0
    assert (np.abs(relative) < 4 * (2 / n) ** 0.5 + 5.0 / k).all()
    # Every neuron has come to its own balance all the same.
    assert (found["neuron_index"].values < 0.01).all()


@pytest.mark.slow
@pytest.mark.ci
def test_wired_all_to_all_and_particles_are_one_network():
    # The same noise; the schemes treat the coupled means differently, so that their difference
    # vanishes faster than the step, and at no step is an O(1) one hidden.
    params = {"gamma": 100.0, "clock": "layer", "voltage_spread": [0.2]}

    def difference(dt):
        options = {"n_neurons": 640, "dt": dt, "t_end": 3.0, "records": 3}
        one = solve("balanced", "graph", params, options)
        other = solve("balanced", "particles", params, options)
        return [
            float(np.abs(one[name] - other[name]).max()) for name in ("state_mean", "covariance")
        ]

    coarse, fine = np.array(difference(0.1)), np.array(difference(0.025))
    assert (fine < 1e-4).all()
    assert (np.log(coarse / fine) / np.log(4.0) > 1.3).all()


@pytest.mark.parametrize("wires", ["all", "fixed"])
def test_a_network_without_synapses_can_be_wired_and_keeps_its_exact_law(wires):
    # Neurons that broadcast nothing hear nothing: the linear network, whoever is wired to whom.
    params = {"eps": 0.1, "voltage_start": 1.0, "recovery_noise": 0.5}
    shared = {"n_neurons": 128, "t_end": 1.0, "records": 2}
    found = solve(
        "linear", "graph", params, {**shared, "dt": 0.01, "wires": wires, "in_degree": 5},
        seed=3, replicas=64,
    )  # fmt: skip
    exact = solve("linear", "moments", params, shared)
    for name in ("state_mean", "covariance"):
        sample = found[name].isel(time=-1)
        error = sample.std("replica", ddof=1) / np.sqrt(sample.sizes["replica"])
        off = np.abs(sample.mean("replica") - exact[name].isel(time=-1)) / error
        # Five different numbers, Student's t with 63 degrees: passed once in 1100 keys.
        assert float(off.max()) < 4.0


def test_a_slow_spiral_is_followed_to_its_point():
    # It decays by e in 105 units of the layer, hundreds of relaxation times of a neuron.
    weights = {"weight_ee": 0.9, "weight_ei": 1.3, "voltage_start": [0.3]}
    found = points(1.0, {**SPIRAL, **weights})
    assert int(found["attained"]) == 0
    assert -0.02 < float(found["growth"][0, 0]) < 0.0


def test_many_populations_are_searched_from_points_that_fill_the_cube():
    few, many = starting_values(2, 9), starting_values(12, 9)
    assert few.shape == (81, 2)
    assert many.shape[1] == 12
    # Every interval of a tenth is hit in every direction.
    for values in (*few.T, *many.T):
        assert np.histogram(values, 9, (0.0, 1.0))[0].min() > 0
    assert np.unique(many, axis=0).shape == many.shape


def test_a_population_whose_synapses_are_all_shut_has_no_balance():
    assert points(1.0, {"threshold": [1e6]})["status"] == Status.OUT_OF_DOMAIN


def test_an_uncoupled_mean_field_with_a_sharp_start_diffuses():
    params = {"gamma": 0.0, "drift_linear": [0.0], "drift_constant": [0.0]}
    found = solve("balanced", "moving_grid", params, {"t_end": 0.5, "records": 2, "nodes": 41})
    # (1 % of the unit width)^2/2 at the start, then sigma^2 t.
    np.testing.assert_allclose(
        found["covariance"][:, :, 0, 0].values.T, [[0, 0.25, 0.5]] * 2, atol=1e-4
    )


STUDIES = (
    "separable-1d",
    "separable-1d-mean-field",
    "separable-1d-hopf-cole",
    "balance-layer",
    "balance-layer-network",
    "balance-joint-limits",
    "balance-unstable",
    "balance-phases",
    "balance-wiring",
    "balance-electrical",
    "balance-dynamic",
    "balance-index",
)


# Random wiring is meant to depart from the first-order theory of full wiring.
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STUDIES if name != "balance-wiring"])
def test_tiny_study_runs_and_nothing_disagrees(root, tmp_path, name):
    run_study(root / "config" / "studies" / f"{name}.yaml", tmp_path, tiny=True)
    verdicts = [
        kind
        for table in (tmp_path / "tiny" / name / "tables").glob("*.csv")
        for kind in pd.read_csv(table).get("verdict", pd.Series(dtype=str))
    ]
    assert "disagrees" not in verdicts


def test_dynamic_synapses_rest_at_their_own_balance():
    found = solve("balanced_dynamic", "balance_points", {"gamma": 10.0}).isel(branch=0)
    v, _, y = found["balance_state"].values.T
    s, _, _ = sigmoid(v)
    np.testing.assert_allclose(2.0 * s * (1 - y) - y, 0.0, atol=1e-9)
    np.testing.assert_allclose(v, WEIGHTS @ (y * REVERSAL) / (WEIGHTS @ y), atol=1e-9)
    # With frozen synapses every balance point attracts, at the rates gamma A.
    np.testing.assert_allclose(np.sort(-found["growth"]), np.sort(10.0 * WEIGHTS @ y), atol=1e-8)


@pytest.mark.parametrize(
    ("solver", "params", "words"),
    [
        ("balance_points", {"reversal": [2.0]}, "reversal potentials equal to 2: .* told apart"),
        ("graph", {"gamma": 1e6}, "longer than the relaxation time"),
        ("balance_points", {"weights": [[0.0, 0.0], [1.0, 1.0]]}, "receives no synapses"),
        ("balance_points", {"weight_ie": 0.0, "weight_ii": 0.0}, "population I receives no"),
        ("balance_points", {"gamma": 0.0}, "nothing to balance"),
        ("stationary_law", {"weights": [[1.0, 2.0]]}, r"weights: shape \(1, 2\)"),
        ("stationary_law", {"b": [0.1]}, "w moves on site E: the law of v alone"),
        ("moving_grid", {"sigma": [0.0]}, r"params\.sigma: no noise in v on site E"),
        ("graph", {"slope": [0.1, 0.2, 0.3]}, "3 values for 2 populations"),
        ("graph", {"weights": [[1.0]], "reversal": [1.0], "weight_ee": 2.0}, "1 populations"),
        ("graph", {"gamma": 0.0, "clock": "layer"}, "rate gamma = 0"),
    ],
)
def test_networks_that_cannot_balance_are_refused_by_name(solver, params, words):
    with pytest.raises(StudyError, match=words) as caught:
        solve("balanced", solver, params)
    assert "\n" not in str(caught.value)


def test_solvers_of_balance_refuse_other_models_and_impossible_wires():
    with pytest.raises(StudyError, match="no chemical synapses"):
        solve("fitzhugh_nagumo", "balance_points")
    with pytest.raises(StudyError, match="at most n_neurons"):
        solve("balanced", "graph", {}, {"wires": "fixed", "n_neurons": 10, "in_degree": 11})
