"""What a model may say beside additive noise: each structure against its exact answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import i0, i1

from neurolim import core
from neurolim.core import Field, Model, Noise, Param, State, Status, StudyError
from neurolim.kernels.model_code import compiled_equations
from neurolim.math import cos, pi, sin
from neurolim.models import hodgkin_huxley

KEY = 11
TIME, N, REPLICAS = 1.0, 4096, 8


def simulate(model, given=None, replicas=REPLICAS, scheme="euler_maruyama", **options):
    """Return the arrays of `particles` by a scheme, or of `graph` as if it were one."""
    solver = core.get("solver", "graph" if scheme == "graph" else "particles")
    core.check_model(model)
    params = core.resolve(model.params, given or {})
    if scheme != "graph":
        options["scheme"] = scheme
    resolved = core.resolve(
        solver.options, {"t_end": TIME, "records": 1, "n_neurons": N, **options}
    )
    solver.accept(model, params, resolved)
    found = solver.solve(model, params, resolved, KEY, range(replicas))
    assert (found.status == Status.OK).all()
    return found.arrays


def drift(t, x, p):
    return (
        p.growth * x.ito,
        p.growth * x.stratonovich,
        0.0,
        0.0,
        0.0,
        0.0,
        cos(t) - x.common,
        0.0,
    )


EVERYTHING = Model(
    summary="Variables that do not feel each other, one per structure.",
    source="textbook solutions",
    name="everything",
    state=(
        State("ito", start=1.0),
        State("stratonovich", start=1.0),
        State("left"),
        State("right"),
        State("walled", start=0.1, floor=0.0, ceiling=1.0),
        State("angle", start=6.0, period=2.0 * pi),
        State("common", start=1.0),
        State("several"),
    ),
    params=(Param("growth", 0.3, doc="r"), Param("size", 0.5, doc="s")),
    drift=drift,
    noise=(
        Noise("ito", lambda x, p: p.size * x.ito),
        Noise("stratonovich", lambda x, p: p.size * x.stratonovich, stratonovich=True),
        Noise(("left", "right"), (1.0, -0.5)),
        Noise("walled", 1.0),
        Noise("angle", 1.0),
        Noise("common", 0.7, common=True),
        Noise("several", 0.6),
        Noise("several", lambda t: 2.0 * t),
    ),
)


@pytest.fixture(scope="module", params=["euler_maruyama", "exponential", "graph"])
def arrays(request):
    return simulate(EVERYTHING, dt=1e-3, states=True, scheme=request.param) | {
        "scheme": request.param
    }


def within(values, expected, bias=0.0):
    """Assert that the mean of independent values is the expected one, to 4 standard errors."""
    error = values.std(ddof=1) / np.sqrt(values.size)
    assert abs(values.mean() - expected) <= 4.0 * error + bias


def states(arrays, name):
    return arrays["state"][:, -1, 0, EVERYTHING.symbols.index(name)]


def test_geometric_brownian_motion_in_the_sense_of_ito_and_of_stratonovich(arrays):
    # E X = exp(r t), and exp((r + s^2/2) t) for Stratonovich; log X is normal of variance s^2 t.
    # Euler-Maruyama is of weak order 1: (1 + r h)^(t/h) = e^(r t) (1 - r^2 t h/2).
    r, s, h = 0.3, 0.5, 1e-3
    within(states(arrays, "ito").ravel(), np.exp(r), bias=r**2 * h)
    within(states(arrays, "stratonovich").ravel(), np.exp(r + s**2 / 2), bias=h)
    logs = np.log(states(arrays, "ito").ravel())
    within((logs - logs.mean()) ** 2, s**2, bias=2.0 * h)


def test_one_brownian_motion_on_two_variables(arrays):
    left, right = states(arrays, "left"), states(arrays, "right")
    np.testing.assert_allclose(right, -0.5 * left, rtol=1e-12, atol=1e-15)
    within(left.ravel() ** 2, TIME)


def test_two_walls_hold_a_brownian_motion(arrays):
    walled = states(arrays, "walled").ravel()
    assert walled.min() >= 0.0
    assert walled.max() <= 1.0
    # The cosine modes of the heat equation on [0, 1] decay as exp(-(k pi)^2 t/2).
    for k in (1, 2, 3):
        expected = np.cos(k * np.pi * 0.1) * np.exp(-((k * np.pi) ** 2) * TIME / 2)
        within(np.cos(k * np.pi * walled), expected)


def test_a_variable_on_a_circle_stays_there(arrays):
    angle = states(arrays, "angle").ravel()
    assert angle.min() >= 0.0
    assert angle.max() < 2.0 * np.pi
    within(np.cos(angle), np.cos(6.0) * np.exp(-TIME / 2))
    within(np.sin(angle), np.sin(6.0) * np.exp(-TIME / 2))


def test_common_noise_moves_all_neurons_of_a_site_alike(arrays):
    common = states(arrays, "common")
    np.testing.assert_array_equal(common, common[:, :1].repeat(N, axis=1))
    # Linear with drive: mean e^-t + (cos t + sin t - e^-t)/2; a variance of .245 (1 - e^-2t).
    many = simulate(
        EVERYTHING, dt=0.01, n_neurons=1, replicas=2000, records=1, scheme=arrays["scheme"]
    )["state_mean"][:, -1, 0, EVERYTHING.symbols.index("common")]  # fmt: skip
    mean = np.exp(-TIME) + (np.cos(TIME) + np.sin(TIME) - np.exp(-TIME)) / 2
    within(many, mean, bias=0.01)
    within((many - many.mean()) ** 2, 0.245 * (1 - np.exp(-2 * TIME)), bias=0.245 * 0.02)


def test_several_noises_on_one_variable_add_up_and_may_depend_on_time(arrays):
    # The sum of 4 t_k^2 h over the left ends of the steps is 4/3 - 2 h + ...
    within(states(arrays, "several").ravel() ** 2, 0.36 + 4.0 / 3.0, bias=2.5e-3)


def test_noisy_oscillators_synchronise_as_their_stationary_law_says():
    # dphi = K r sin(psi - phi) dt + s dW: r = I1(2 K r/s^2)/I0(2 K r/s^2).
    def oscillator(x, m, p):
        return (p.coupling * (m.sine * cos(x.phi) - m.cosine * sin(x.phi)),)

    model = Model(
        summary="Noisy Kuramoto oscillators.",
        source="Sakaguchi 1988",
        name="oscillators",
        state=(State("phi", spread=0.5, period=2.0 * pi),),
        params=(Param("coupling", 2.0, doc="K"), Param("noise", 1.0, doc="s")),
        drift=oscillator,
        noise=Noise("phi", "noise"),
        fields=(
            Field("cosine", lambda x: cos(x.phi)),
            Field("sine", lambda x: sin(x.phi)),
        ),
    )
    found = simulate(
        model, dt=0.01, t_end=40.0, records=40, states=True, n_neurons=2048, replicas=4
    )["state"][:, 20:, 0, 0]
    order = np.hypot(np.cos(found).mean(axis=-1), np.sin(found).mean(axis=-1)).mean(axis=1)
    expected = brentq(lambda r: r - i1(4.0 * r) / i0(4.0 * r), 0.1, 1.0)
    # Weak order 1: the stationary law of Euler-Maruyama is off by O(h K) = .02 times its slope.
    within(order, expected, bias=0.01)


def test_four_variables_with_noisy_gates_between_walls():

    def gate(symbol, start):
        return State(symbol, start=start, floor=0.0, ceiling=1.0)

    model = Model(
        summary="Hodgkin-Huxley neurons with channel noise.",
        source="Hodgkin & Huxley 1952",
        name="axon",
        state=(
            State("v", start=0.1),
            gate("m", 0.05),
            gate("h", 0.6),
            gate("n", 0.32),
        ),
        params=(Param("current", 10.0, doc="I"), Param("channel", 0.0, doc="channel noise", low=0)),
        drift=hodgkin_huxley.drift,
        noise=tuple(
            Noise(name, f)
            for name, f in (
                ("m", lambda x, p: p.channel * x.m * (1.0 - x.m)),
                ("h", lambda x, p: p.channel * x.h * (1.0 - x.h)),
                ("n", lambda x, p: p.channel * x.n * (1.0 - x.n)),
            )
        ),
    )
    quiet = {"dt": 5e-4, "t_end": 20.0, "records": 40, "n_neurons": 4, "replicas": 1}
    means = simulate(model, **quiet)["state_mean"][0, :, 0]
    (p,) = model.sites(core.resolve(model.params, {})).params
    exact = solve_ivp(
        lambda t, x: model.equations.drift(x, x, x, p), (0, 20), means[0],
        t_eval=np.linspace(0, 20, 41), rtol=1e-9, atol=1e-9,
    ).y.T  # fmt: skip
    # Two spikes of 100 mV that rise at 400 mV/ms: a time shift of h stays below 2 mV.
    np.testing.assert_allclose(means[:, 0], exact[:, 0], atol=2.0)
    np.testing.assert_allclose(means[:, 1:], exact[:, 1:], atol=0.02)
    noisy = simulate(model, {"channel": 3.0}, **(quiet | {"n_neurons": 500, "states": True}))
    gates = noisy["state"][0, :, 0, 1:]
    assert gates.min() >= 0.0
    assert gates.max() <= 1.0
    assert noisy["covariance"][0, -1, 0, 1, 1] > 1e-6


def test_solvers_that_do_not_take_a_feature_say_which():
    for name in ("limit", "moments", "hermite"):
        solver = core.get("solver", name)
        options = core.resolve(solver.options, {})
        with pytest.raises(StudyError, match=f"solver: {name} does not take .*everything has"):
            solver.accept(EVERYTHING, core.resolve(EVERYTHING.params, {}), options)


@pytest.mark.parametrize(
    ("changes", "scheme", "words"),
    [
        (
            {"drift": lambda x: (-x.v if x.v > 0 else x.v,)},
            "exponential",
            "one.drift asks `if` of a state",
        ),
        (
            {"noise": Noise("v", lambda x: x.v if x.v > 0 else 1.0, stratonovich=True)},
            "euler_maruyama",
            "one.noise asks `if` of a state",
        ),
        (
            {"noise": Noise("v", lambda m: m.v, stratonovich=True, common=True)},
            "euler_maruyama",
            "common noise whose amplitude depends on means",
        ),
    ],
)
def test_equations_that_do_not_say_what_a_scheme_needs_are_refused(changes, scheme, words):
    model = Model(
        summary="One variable.",
        source="this test",
        name="one",
        state=(State("v", start=1.0),),
        params=(),
        **({"drift": lambda x: (-x.v,)} | changes),
    )
    core.check_model(model)
    solver = core.get("solver", "particles")
    options = core.resolve(solver.options, {"scheme": scheme})
    with pytest.raises(StudyError, match=words):
        solver.accept(model, {}, options)


def decay(x, p):
    return p.decay * x.v


def helped(x, p):
    return (-decay(x, p),)


def endless(x, p):
    return endless(x, p)


def test_a_helper_may_have_the_name_of_a_parameter_but_not_call_itself():
    def model_with(drift):
        return Model(
            summary="One variable.",
            source="this test",
            name="one",
            state=(State("v", start=1.0),),
            params=(Param("decay", 2.0, doc="rate"),),
            drift=drift,
        )

    found = simulate(model_with(helped), dt=1e-3, n_neurons=4, replicas=1)["state_mean"][
        0, -1, 0, 0
    ]
    assert found == pytest.approx(np.exp(-2.0), abs=2e-3)
    with pytest.raises(StudyError, match="endless calls itself"):
        compiled_equations(model_with(endless), "endless")
