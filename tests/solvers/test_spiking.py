"""The spiking neurons of the package against published values and against scipy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import neurolim
from neurolim import core
from neurolim.api import run_study
from neurolim.models import hodgkin_huxley
from neurolim.models.morris_lecar_voltage import gate
from neurolim.numerics.structure import derivatives_of
from neurolim.statistics.spiking.spikes import measures, spike_times

QUIET = {"scheme": "euler_maruyama", "records": 1, "bins": 1}


def numbers(name, **params):
    model = core.get("model", name)
    (p,) = model.sites(core.resolve(model.params, params)).params
    return model, p


def slopes(model, p, x):
    """Return the Jacobian that solvers use at a state."""
    d = len(x)
    return np.reshape(derivatives_of(model).drift_x(x, x, x, p), (d, d))


def at_rest(name, state, v, **params):
    """Return current, Jacobian and eigenvalues where v is an equilibrium."""
    model, p = numbers(name, current=0.0, voltage_start=0.0, **params)
    x = (v, *state(v, p))
    # Both voltages obey dv/dt = I/C + ...; the rest of the state is steady at any current.
    own = model.equations.drift(x, x, x, p)[0]
    per_current = model.equations.drift(x, x, x, p._replace(current=1.0))[0] - own
    return -own / per_current, np.linalg.eigvals(slopes(model, p, x))


def hopf_currents(name, state, voltages, **params):
    """Return the currents at which a pair of eigenvalues crosses the imaginary axis."""

    def growth(v):
        values = at_rest(name, state, v, **params)[1]
        pair = values[np.abs(values.imag) > 1e-6]
        return float(pair.real.max()) if pair.size else np.nan

    found = [growth(v) for v in voltages]
    return [
        float(at_rest(name, state, brentq(growth, a, b), **params)[0])
        for (a, f), (b, g) in pairwise(zip(voltages, found, strict=True))
        if f * g < 0
    ]


def test_class_2_morris_lecar_neurons_lose_and_regain_rest_at_the_published_currents():
    # Rinzel & Ermentrout 1998, Fig. 3: 93.86 and 212.0 (there rounded to these digits).
    found = hopf_currents(
        "morris_lecar_voltage",
        lambda v, p: (gate(v, p),),
        np.linspace(-40.0, 20.0, 121),
        excitability="class_2",
    )
    np.testing.assert_allclose(found, [93.86, 212.0], atol=0.02)
    assert found[0] == pytest.approx(93.86, abs=0.005)


def test_class_1_morris_lecar_neurons_lose_rest_at_the_published_saddle_node():
    # Rinzel & Ermentrout 1998: 39.96, where an eigenvalue is zero and the current has its maximum.
    def state(v, p):
        return (gate(v, p),)

    def determinant(v):
        values = at_rest("morris_lecar_voltage", state, v, excitability="class_1")[1]
        return float(np.prod(values).real)

    v = brentq(determinant, -35.0, -20.0)
    current, values = at_rest("morris_lecar_voltage", state, v, excitability="class_1")
    assert current == pytest.approx(39.96, abs=0.005)
    assert np.abs(values).min() < 1e-9
    # The upper end of spikes in the study: its own Hopf point, from eigenvalues alone.
    (upper,) = hopf_currents(
        "morris_lecar_voltage", state, np.linspace(0.0, 20.0, 41), excitability="class_1"
    )
    assert upper == pytest.approx(97.79, abs=0.005)


def test_hodgkin_huxley_neurons_rest_and_lose_rest_at_the_published_currents():
    # Rinzel & Miller 1980; Hassard 1978: Hopf points at I = 9.78 and 154.5 uA/cm^2 at 6.3 degrees.
    found = hopf_currents(
        "hodgkin_huxley", lambda v, p: hodgkin_huxley.steady(v), np.linspace(1.0, 30.0, 59)
    )
    np.testing.assert_allclose(found, [9.78, 154.5], atol=0.05)
    _, p = numbers("hodgkin_huxley", current=0.0, voltage_start="rest")
    # Hodgkin & Huxley 1952 measured voltages from rest; V_L = 10.6 leaves .003 mV of it.
    assert p.voltage_start == pytest.approx(0.0, abs=0.01)
    assert (p.m_start, p.h_start, p.n_start) == pytest.approx((0.053, 0.596, 0.318), abs=5e-4)


@pytest.mark.parametrize(
    ("name", "currents"),
    [("hodgkin_huxley", (-50.0, 0.0, 500.0)), ("morris_lecar_voltage", (-200.0, 0.0, 500.0))],
)
def test_neurons_find_their_rest_at_every_current_that_is_allowed(name, currents):
    for current in currents:
        model, p = numbers(name, current=current, voltage_start="rest")
        x = model.equations.initial((0.0,) * len(model.state), p)
        np.testing.assert_allclose(model.equations.drift(x, x, x, p), 0.0, atol=1e-8)


def test_rates_of_gates_are_continued_where_their_formula_is_zero_over_zero():
    for v in (25.0, 10.0):
        for rates in (hodgkin_huxley.m_rates, hodgkin_huxley.n_rates):
            here, beside = rates(v)[0], rates(v + 1e-6)[0]
            assert here == pytest.approx(beside, abs=1e-6)
    assert hodgkin_huxley.m_rates(25.0)[0] == pytest.approx(1.0)
    assert hodgkin_huxley.n_rates(10.0)[0] == pytest.approx(0.1)


def test_channel_noise_vanishes_at_the_walls_and_is_that_of_the_paper_between():
    _, p = numbers("hodgkin_huxley", sigma=0.3)
    rates = hodgkin_huxley.m_rates(20.0)
    for x in (0.0, 1.0, 1e-4):
        assert hodgkin_huxley.fluctuation(rates, x, p) < 1e-100
    rho, zeta = 0.5 / (np.exp(0.5) - 1.0), 4.0 * np.exp(-20.0 / 18.0)
    chi = np.exp(-0.5 / (1.0 - (2 * 0.3 - 1.0) ** 2))
    expected = 0.3 * np.sqrt(rho * 0.7 + zeta * 0.3) * chi
    assert hodgkin_huxley.fluctuation(rates, 0.3, p) == pytest.approx(expected, rel=1e-9)


def test_bursts_of_a_hindmarsh_rose_neuron_are_those_of_scipy():
    # Periodic bursts of more than one spike; equations written out anew from the paper.
    current, r, t_end = 2.5, 0.006, 1500.0

    def equations(t, state):
        x, y, z = state
        return (y - x**3 + 3 * x**2 - z + current, 1 - 5 * x**2 - y, r * (4 * (x + 1.6) - z))

    times = np.arange(0.0, t_end + 1e-9, 0.05)
    x = solve_ivp(
        equations, (0.0, t_end), (-1.0, 0.0, 2.0), "DOP853", times, rtol=1e-10, atol=1e-10
    ).y[0]
    late = times > 300.0
    expected = measures(spike_times(times[late], x[late], 1.0, 0.0), 1200.0, 30.0)
    network = neurolim.solve(
        "hindmarsh_rose",
        "particles",
        params={"current": current, "r": r, "sigma": 0.0},
        options=QUIET | {"n_neurons": 1, "dt": 0.0005, "t_end": t_end, "trace_every": 100},
    )
    options = {"of": "trace", "after": 300.0, "high": 1.0, "low": 0.0, "pause": 30.0}
    found = core.get("statistic", "spikes").apply(network, **options)
    assert expected[2] >= 3.0
    assert found["spikes_per_burst"].item() == pytest.approx(expected[2], abs=1e-9)
    # Of first order in the step: 5e-4 of a slope of 10 per time, over a period of about 150.
    assert found["burst_period"].item() == pytest.approx(expected[3], rel=2e-3)
    assert found["firing_rate"].item() == pytest.approx(expected[0], rel=2e-3)


def test_linear_noise_is_the_exact_law_of_a_linear_network():
    options = {"t_end": 2.0, "records": 4, "n_neurons": 10}
    found = neurolim.solve("linear", "linear_noise", options=options)
    exact = neurolim.solve("linear", "moments", options=options)
    for name in ("state_mean", "covariance", "mean_covariance"):
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-6, atol=1e-9)


def test_linear_noise_knows_common_and_state_dependent_noise():
    # Geometric Brownian motion and an Ornstein-Uhlenbeck process that all neurons share.
    model = core.Model(
        summary="Noise of both kinds.",
        source="this test",
        name="both",
        state=(core.State("x", start=2.0), core.State("y")),
        params=(core.Param("rate", 0.5, doc="r"),),
        drift=lambda x, p: (-p.rate * x.x, -x.y),
        noise=(core.Noise("x", lambda x: 0.1 * x.x), core.Noise("y", 0.3, common=True)),
    )
    solver = core.get("solver", "linear_noise")
    options = core.resolve(solver.options, {"t_end": 1.0, "records": 1, "n_neurons": 5})
    params = core.resolve(model.params, {})
    solver.accept(model, params, options)
    arrays = solver.solve(model, params, options, 0, range(1)).arrays
    # E x^2 = 4 e^((-2 r + .01) t), exactly, as the amplitude is linear.
    x = 4.0 * np.exp(-1.0) * np.expm1(0.01)
    np.testing.assert_allclose(arrays["covariance"][0, 1, 0], [[0.8 * x, 0], [0, 0]], atol=1e-9)
    y = 0.09 * (1.0 - np.exp(-2.0)) / 2.0
    np.testing.assert_allclose(arrays["mean_covariance"][0, 1, 0], [[x / 5, 0], [0, y]], atol=1e-9)


def second_moments(n, drift, noises, start, times):
    """Return mean and covariance [time, 2 n, 2 n] of dX = G X dt + sum (a + B X) dW, all neurons.

    drift : (own, of the mean) slopes [2, 2]; noises : (amplitude, own slope, slope of the mean,
    common) each; start : mean and deviation of every variable.
    """
    average = np.full((n, n), 1.0 / n)

    def spread(own, felt):
        return np.kron(np.eye(n), own) + np.kron(average, felt)

    generator, kicks = spread(*drift), []
    for amplitude, own, felt, common in noises:
        whole, size = spread(own, felt), np.tile(amplitude, n)
        neuron = np.arange(2 * n) // 2
        moved = [neuron >= 0] if common else [neuron == i for i in range(n)]
        kicks += [(size * here, whole * here[:, None]) for here in moved]

    def flow(t, y):
        mean, whole = y[: 2 * n], y[2 * n :].reshape(2 * n, 2 * n)
        moved = generator @ whole
        change = moved + moved.T
        for a, b in kicks:
            at = a + b @ mean
            change = change + np.outer(at, at) + b @ whole @ b.T
        return np.concatenate([generator @ mean, change.ravel()])

    first = np.tile(start[0], n), np.diag(np.tile(np.square(start[1]), n)).ravel()
    found = solve_ivp(
        flow, (0, times[-1]), np.concatenate(first), t_eval=times, rtol=1e-10, atol=1e-12
    )
    return found.y[: 2 * n].T, found.y[2 * n :].T.reshape(-1, 2 * n, 2 * n)


@pytest.mark.parametrize("n", [1, 3])
def test_linear_noise_is_exact_for_noise_that_is_affine_in_the_state(n):
    # Amplitudes that move with the neuron, with the mean of all, on one or two variables, shared.
    model = core.Model(
        summary="A linear network with noise of many kinds.",
        source="this test",
        name="affine",
        state=(core.State("x", start=1.0, spread=0.4), core.State("y", start=-0.5, spread=0.2)),
        params=(core.Param("gap", 0.8),),
        drift=lambda x, m: (-x.x - x.y + 0.3 * m.y, 0.6 * x.x - 0.4 * x.y),
        coupling=core.GapJunctions("x", "gap"),
        noise=(
            core.Noise("x", lambda x, m: 0.2 + 0.5 * x.x - 0.3 * m.y),
            core.Noise(("x", "y"), (0.3, lambda x: 0.4 * x.y - 0.1)),
            core.Noise("y", lambda x, m: 0.1 + 0.3 * x.x + 0.6 * m.x, common=True),
        ),
    )
    times = np.linspace(0.0, 2.0, 5)
    zero = np.zeros((2, 2))
    mean, whole = second_moments(
        n,
        (np.array([[-1.8, -1.0], [0.6, -0.4]]), np.array([[0.8, 0.3], [0.0, 0.0]])),
        [
            ([0.2, 0.0], np.array([[0.5, 0.0], [0.0, 0.0]]), np.array([[0.0, -0.3], [0, 0]]), 0),
            ([0.3, -0.1], np.array([[0.0, 0.0], [0.0, 0.4]]), zero, 0),
            ([0.0, 0.1], np.array([[0.0, 0.0], [0.3, 0.0]]), np.array([[0, 0], [0.6, 0]]), 1),
        ],
        ([1.0, -0.5], [0.4, 0.2]),
        times,
    )
    blocks = whole.reshape(-1, n, 2, n, 2)
    of_mean = blocks.mean(axis=(1, 3))
    own = np.einsum("tiaib->tab", blocks) / n - of_mean
    options = {"t_end": 2.0, "records": 4, "n_neurons": n}
    found = neurolim.solve(model, "linear_noise", options=options)
    np.testing.assert_allclose(found["state_mean"][:, 0], mean[:, :2], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["mean_covariance"][:, 0], of_mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["covariance"][:, 0], own, rtol=1e-7, atol=1e-9)


def simulate(gap, **params):
    options = QUIET | {"n_neurons": 500, "dt": 0.01, "t_end": 60.0, "records": 60}
    start = {"voltage_start": 0.0, "voltage_spread": 10.0, "gate_spread": 0.1}
    found = neurolim.solve(
        "hodgkin_huxley", "particles", params=start | {"gap": gap} | params, options=options
    )
    return found["covariance"].values[0, :, 0, 0, 0]


def test_strong_gap_junctions_synchronise_spiking_neurons_and_weak_ones_do_not():
    # Bossy, Fontbona & Olivero 2019: an error of the order of the noise once J_E is large.
    weak = simulate(0.05, sigma=0.1)
    strong = simulate(16.0, sigma=0.1)
    assert weak[30:].mean() > 100.0
    assert strong[0] > 50.0
    assert strong[30:].mean() < 3.0
    quiet = simulate(16.0, sigma=0.025)
    # A sixteenth, but for what lies in the start of sampled networks: spikes at other times.
    assert quiet[30:].mean() == pytest.approx(strong[30:].mean() / 16.0, rel=0.5)


def test_thresholds_in_the_wrong_order_and_windows_without_records_are_refused():
    spikes = core.get("statistic", "spikes")
    dataset, options, _ = spikes.exact()[0]
    with pytest.raises(core.StudyError, match="low: 2 is not below high, 1"):
        spikes.apply(dataset, **options | {"low": 2.0})
    with pytest.raises(core.StudyError, match="after: nothing of state_mean later than 99"):
        spikes.apply(dataset, **options | {"after": 99.0})
    onset = core.get("statistic", "onset")
    dataset, options, _ = onset.exact()[0]
    with pytest.raises(core.StudyError, match="onsets: 3 values; allowed: 1 or 2"):
        onset.apply(dataset, **options | {"onsets": (1.0, 2.0, 3.0)})
    synchrony = core.get("statistic", "synchrony")
    dataset, options, _ = synchrony.exact()[0]
    with pytest.raises(core.StudyError, match="until: 1 records in"):
        synchrony.apply(dataset, **options | {"until": 0.5})


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("hodgkin-huxley", marks=pytest.mark.ci),
        "hodgkin-huxley-spikes",
        "hindmarsh-rose",
        "morris-lecar-classes",
    ],
)
def test_tiny_study_runs_and_nothing_disagrees(root, tmp_path, name):
    run_study(root / "config" / "studies" / f"{name}.yaml", tmp_path, tiny=True)
    for table in sorted((tmp_path / "tiny" / name / "tables").glob("*.csv")):
        frame = pd.read_csv(table)
        if "verdict" in frame:
            assert not frame["verdict"].str.startswith("disagrees").any(), frame
