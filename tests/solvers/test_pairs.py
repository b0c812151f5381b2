"""Pairs of networks: every copy has the right law, and couplings do what is proven of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurolim import core
from neurolim.core import Status, StudyError
from neurolim.core.model import MULTIPLICATIVE
from neurolim.statistics.agreement.reflection_bias import chain_mean, stationary_mean

SOLVER = core.get("solver", "pairs")
FAR = {"other": ["voltage_start", "conductance_start"], "other_values": [1.1, 0.1]}
HIGH = {"voltage_start": 1.9, "conductance_start": 1.5}


def run(given, replicas=4, model="morris_lecar", key=3, **options):
    plugin = core.get("model", model)
    params = core.resolve(plugin.params, given)
    chosen = core.resolve(SOLVER.options, {"t_end": 2.0, "records": 4, "dt": 0.05, **options})
    SOLVER.check(plugin, params, chosen)
    found = SOLVER.solve(plugin, params, chosen, key, range(replicas))
    assert (found.status == Status.OK).all()
    return found.arrays


def test_same_key_same_bits_and_replicas_do_not_depend_on_company():
    plugin = core.get("model", "morris_lecar")
    params = core.resolve(plugin.params, HIGH)
    given = {"t_end": 1.0, "records": 2, "coupling": "mirror", "n_pairs": 70, **FAR}
    options = core.resolve(SOLVER.options, given)
    whole = SOLVER.solve(plugin, params, options, 5, range(3)).arrays
    part = SOLVER.solve(plugin, params, options, 5, range(2, 3)).arrays
    other = SOLVER.solve(plugin, params, options, 6, range(3)).arrays
    for name, array in whole.items():
        np.testing.assert_array_equal(array[2:], part[name])
    assert (whole["copy_mean"][:, :, -1] != other["copy_mean"][:, :, -1]).all()


def test_synchronous_copies_contract_on_every_path_and_keep_their_order():
    # D K = .5 < g_L: lambda_sync = 1 - sqrt(1/2), best weight 2; docs/contraction.md.
    found = run(HIGH, n_pairs=500, weights=[1.0, 2.0], **FAR)
    time = np.linspace(0.0, 2.0, 5)
    assert (found["log_worst"] <= -(1.0 - 0.5**0.5) * time + 1e-12).all()
    # Ordered starts stay ordered, so E|x - x'| is E x - E x'.
    means = found["copy_mean"][:, 0] - found["copy_mean"][:, 1]
    np.testing.assert_allclose(found["distance"], means, rtol=1e-10)


def test_a_second_copy_with_other_noise_is_the_network_with_it():
    size = {"n_pairs": 300, "t_end": 1.0, "records": 1}
    near = HIGH | {"base": 0.1, "conductance_start": 0.2}
    silent = run(near | {"noise": 0.0}, other=["noise"], other_values=[0.6], **size)
    alone = run(near | {"noise": 0.6}, **size)
    np.testing.assert_array_equal(silent["copy_mean"][:, 1], alone["copy_mean"][:, 0])
    assert (silent["copy_covariance"][:, 0] < 1e-30).all()


@pytest.mark.parametrize("coupling", ["mirror", "independent", "maximal"])
def test_both_copies_have_the_stationary_law_under_every_coupling(coupling):
    base, noise, step = 0.3, 0.5, 0.1
    given = {"base": base, "amplitude": 0.0, "noise": noise, "conductance_start": 0.5}
    options = {"n_pairs": 2000, "t_end": 12.0, "dt": step, "coupling": coupling}
    found = run(given, 8, **options, other=["conductance_start"], other_values=[1.5])
    means = found["copy_mean"][:, :, 2:, 0, 1].mean(axis=2)
    expected = chain_mean("bridge", step, base, noise, 1.0)
    # What is left of the starts after 6 times: 1.5 e^{-6}, on average over later records less.
    left = np.exp(-6.0)
    error = means.std(axis=0, ddof=1) / 8**0.5
    assert (np.abs(means.mean(axis=0) - expected) <= 5.0 * error + left).all()


def test_copies_meet_under_the_maximal_coupling_and_mirror_noise_is_opposite():
    given = {"base": 5.0, "amplitude": 0.0, "noise": 0.3, "conductance_start": 5.0}
    there = {"other": ["conductance_start"], "other_values": [7.0]}
    options = {"n_pairs": 500, "t_end": 0.1, "records": 2, "dt": 0.05}
    mirror = run(given, 1, coupling="mirror", samples=500, **options, **there)["sample"][0]
    # Far from the wall the sum of mirrored copies has no noise: it follows the drift.
    total = mirror[:, -1, 0, 1].sum(axis=0)
    np.testing.assert_allclose(total, 10.0 + 2.0 * np.exp(-0.1), rtol=1e-10)
    same = run(given, 1, coupling="synchronous", samples=500, **options, **there)["sample"][0]
    difference = same[1, -1, 0, 1] - same[0, -1, 0, 1]
    np.testing.assert_allclose(difference, 2.0 * np.exp(-0.1), rtol=1e-10)


def test_drift_is_followed_to_second_order():
    given = {"noise": 0.0, "amplitude": 1.6, "steepness": 9.0, **HIGH}

    def slope(_, x):
        v, g = x
        target = 0.2 + 0.8 * (1.0 + np.tanh(9.0 * (v - 1.5)))
        return [(1.0 - v) + g * (2.0 - v), target - g]

    exact = solve_ivp(slope, (0.0, 2.0), [1.9, 1.5], rtol=1e-11, atol=1e-12).y[:, -1]
    errors = [
        np.abs(run(given, 1, n_pairs=1, dt=dt)["copy_mean"][0, 0, -1, 0] - exact).max()
        for dt in (0.1, 0.05, 0.025)
    ]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (np.abs(orders - 2.0) < 0.15).all(), orders


def test_voltage_stays_between_its_reversal_potentials_at_any_step():
    given = {"noise": 3.0, "amplitude": 1.6, "steepness": 9.0, "voltage_spread": 0.5}
    sample = run(given, 1, n_pairs=2000, samples=2000, dt=0.5)["sample"]
    assert sample[..., 0, :].min() >= 1.0 - 1e-12
    assert sample[..., 0, :].max() <= 2.0 + 1e-12
    assert sample[..., 1, :].min() >= 0.0


def test_linear_network_has_its_closed_form_law():
    model = core.get("model", "linear")
    given = {"eps": 0.1, "voltage_start": 1.0, "voltage_spread": 1.0, "sigma": 1.0}
    n, replicas = 20, 32
    found = run(given, replicas, model="linear", n_neurons=n, n_pairs=50, t_end=1.0, dt=0.01)
    moments = core.get("solver", "moments")
    options = core.resolve(moments.options, {"n_neurons": n, "t_end": 1.0, "records": 4})
    exact = moments.solve(model, core.resolve(model.params, given), options, 0, range(1)).arrays
    expected = exact["covariance"][0] + exact["mean_covariance"][0]
    for name, value in (("copy_mean", exact["state_mean"][0]), ("copy_covariance", expected)):
        samples = found[name][:, 0, 1:]
        error = samples.std(axis=0, ddof=1) / replicas**0.5
        # Splitting: relative error of the variance (h/eps)^2/12.
        bias = 1e-3 * np.abs(value[1:])
        share = 1.0 / (n * 50)  # covariance is about the sample's own mean
        assert (np.abs(samples.mean(axis=0) - value[1:]) <= 5 * error + bias + share).all(), name


def test_distance_to_limit_copies_falls_with_the_root_of_the_size():
    given = {"amplitude": 0.6, "interaction": 0.8, "noise": 0.3, "voltage_spread": 0.2}
    squared = [
        run(given, 16, n_neurons=n, n_pairs=16, limit_copy=True, mean_over="others")[
            "distance_squared"
        ][:, -1, 0].sum(axis=-1)
        for n in (10, 40)
    ]
    ratio = squared[0].mean() / squared[1].mean()
    relative = [s.std(ddof=1) / s.mean() / 4.0 for s in squared]
    # 4 to leading order; (n - 1) instead of n shifts it to 39/9 at most.
    assert 4.0 - 4.5 * 4.0 * np.hypot(*relative) < ratio
    assert ratio < 39.0 / 9.0 * (1.0 + 4.5 * np.hypot(*relative))


@pytest.mark.parametrize(
    ("given", "options", "word"),
    [
        ({}, {"other": ["voltage_start"], "other_values": [1.2, 1.3]}, "one value per name"),
        ({}, {"other": ["voltage_star"], "other_values": [1.2]}, "voltage_start"),
        ({}, {"other": ["voltage_start"], "other_values": [5.0]}, "between the reversal"),
        ({"noise": 0.0}, {"coupling": "mirror"}, "needs noise"),
        ({}, {"coupling": "mirror", "other": ["noise"], "other_values": [0.7]}, "equal noise"),
        ({}, {"mean_over": "others"}, "no others"),
        ({}, {"dt": 0.3}, "does not divide"),
        ({}, {"weights": [1.0, 2.0, 3.0]}, "weights"),
        ({}, {"samples": 2000}, "samples"),
    ],
)
def test_what_cannot_be_coupled_is_refused(given, options, word):
    with pytest.raises(StudyError, match=word):
        run(given, **options)


def test_exact_law_of_the_wall():
    # The chain's theory: half the exponent of projection, three halves of the exact steps.
    mean, density = stationary_mean(0.3, 0.5)
    steps = np.array([0.02, 0.01, 0.005])
    projected = [chain_mean("projected", h, 0.3, 0.5, 1.0) - mean for h in steps]
    lead = np.linalg.solve(np.stack([steps**0.5, steps, steps**1.5], axis=1), projected)[0]
    expected = -0.5825971579390106 * 2.0**0.5 * 0.5 * density * mean
    assert abs(lead / expected - 1.0) < 0.01
    exact = [chain_mean("bridge", h, 0.3, 0.5, 1.0) - mean for h in steps]
    assert abs(np.log2(exact[1] / exact[2]) - 1.5) < 0.1


def test_mirrored_noise_sets_in_smoothly_and_only_beyond_the_switch_scale():
    given = {"base": 5.0, "amplitude": 0.0, "noise": 0.3, "conductance_start": 5.0}
    options = {"n_pairs": 64, "samples": 64, "t_end": 0.01, "records": 1, "dt": 0.01}
    scale, spreads = 0.4, []
    for apart in (0.19, 0.21, 0.39, 0.41):
        there = {"other": ["conductance_start"], "other_values": [5.0 + apart]}
        found = run(given, 1, coupling="mirror", switch_scale=scale, **options, **there)
        sample = found["sample"][0, :, -1, 0, 1]
        spreads.append((sample[0] - sample[1]).std() / (2.0 * 0.3 * 2.0**0.5 * 0.1))
    # beta = 0 below half of the scale and 1 beyond it; C^2, so nearly so just inside.
    assert spreads[0] < 1e-12
    assert spreads[1] < 0.01
    assert abs(spreads[2] / spreads[3] - 1.0) < 0.01
    assert abs(spreads[3] - 1.0) < 0.3  # 64 normals


GENERIC: dict[str, dict[str, Any]] = {
    "fitzhugh_nagumo": {"eps": 0.1, "sites": 2, "recovery_noise": 0.3},
    "linear": {"eps": 0.1},
    "balanced": {"gamma": 5.0, "sigma": (0.5,)},
    "balanced_dynamic": {"gamma": 5.0, "sigma": (0.5,)},
    "morris_lecar": {"interaction": 0.4, "joint": 0.3},
    "hindmarsh_rose": {"eps": 0.1},
    "morris_lecar_voltage": {"voltage_start": -40.0, "eps": 0.5},
    "hodgkin_huxley": {"voltage_start": 0.0},
}
STARTS = {"desai_zwanzig": "start", "kuramoto": "spread"}


@pytest.mark.slow
@pytest.mark.parametrize("name", core.names("model"))
def test_every_model_is_coupled_and_both_copies_have_its_law(name):
    plugin = core.get("model", name)
    given = GENERIC.get(name, {})
    size = {"n_neurons": 20, "t_end": 1.0, "records": 2, "dt": 0.01}
    chosen = core.resolve(core.get("solver", "particles").options, size)
    params = core.resolve(plugin.params, given)
    alone = core.get("solver", "particles").solve(plugin, params, chosen, 99, range(320)).arrays
    law = alone["state_mean"][:, -1]
    same = run(given, 1, name, coupling="synchronous", n_pairs=10, **size)
    assert (same["distance"] == 0.0).all()
    start = STARTS.get(name, "voltage_start")
    there = {"other": [start], "other_values": [first_of(params[start]) + 0.5]}
    # Under noise that depends on the state copies cannot be made to meet.
    meets = MULTIPLICATIVE not in plugin.features
    for coupling in ("mirror", "independent", "maximal")[: 3 if meets else 2]:
        found = run(given, 8, name, coupling=coupling, n_pairs=40, **size, **there)
        means = found["copy_mean"][:, 0, -1]
        error = (means.var(axis=0, ddof=1) / 8 + law.var(axis=0, ddof=1) / 320) ** 0.5
        # What both schemes leave at this step.
        bias = 1e-3 * (1.0 + np.abs(means.mean(axis=0)))
        assert (np.abs(means.mean(axis=0) - law.mean(axis=0)) < 5.0 * error + bias).all(), coupling
        assert (found["distance"][:, 0, :, 0] > 0.0).all()
    # Maximally coupled voltages meet neuron by neuron where the model pulls both to one place;
    # Hindmarsh-Rose networks that start apart are spiking at different times, and phases that are
    # spread over an arc and over most of the circle take longer.
    if meets and name not in ("hindmarsh_rose", "kuramoto"):
        assert found["distance"][:, -1].mean() < 0.9 * found["distance"][:, 0].mean()


def first_of(value):
    """Return the first population's value."""
    return float(np.ravel(value)[0])


@pytest.mark.slow
@pytest.mark.ci
def test_fitzhugh_nagumo_networks_are_coupled_too():
    given = {"eps": 0.1, "current": 0.0, "voltage_start": 1.0, "sigma": 0.5, "voltage_spread": 0.1}
    options = {"n_neurons": 50, "n_pairs": 10, "t_end": 2.0, "dt": 0.01}
    found = run(given, 2, "fitzhugh_nagumo", **options, other=["voltage_start"], other_values=[0.0])
    assert (found["weighted_distance"][:, -1] > 0).all()
    fine = run(given, 2, "fitzhugh_nagumo", **{**options, "dt": 0.005})
    # Coarse and fine steps have other noise: equal means up to the noise of 500 neurons.
    gap = found["copy_mean"][:, 0, -1, 0] - fine["copy_mean"][:, 0, -1, 0]
    assert np.abs(gap).max() < 5.0 * 0.5 * (2.0 / 500.0) ** 0.5 * 2.0
