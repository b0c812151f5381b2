"""A model as text says the same as in a file, to the bit, and nothing else is ever run."""

from __future__ import annotations

import math
import pickle
import re
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from tests.running import ROOT, environment
from tests.text_models import TEXTS
from tests.texts import said_by, yaml_of

from neurolim import StudyError, core, load_study, run_study, solve
from neurolim.archive.again import REMADE
from neurolim.archive.verify import verify
from neurolim.archive.write import archive
from neurolim.check import check
from neurolim.cli import main
from neurolim.core import Model
from neurolim.core.assembly import assemble_step
from neurolim.core.model import COMMON, MULTIPLICATIVE
from neurolim.kernels.model_code import compiled_equations, kernel_key
from neurolim.laws import Mixture, Samples, Uniform
from neurolim.numerics.structure import structure_of
from neurolim.pipeline import engine
from neurolim.pipeline.outline import outline
from neurolim.study.read import parse_study
from neurolim.text.model import written


def as_text(name: str) -> Model:
    """Return a model of the package, read from its text."""
    model: Model = core.get("model", written(TEXTS[name]))
    return model


def as_file(name: str, **given: Any) -> tuple[Model, dict[str, Any]]:
    """Return a model of the package with parameters."""
    model = core.get("model", name)
    return model, core.resolve(model.params, given)


#: Numbers that no term is zero for, by the name they have in both.
OTHERS: dict[str, dict[str, Any]] = {
    "fitzhugh_nagumo": {"lam": 3.7, "eps": 0.03, "current": 0.2, "c": 0.3, "recovery_noise": 0.7},
    "linear": {"leak": 1.3, "eps": 0.03, "current": 0.2, "c": 0.3, "recovery_noise": 0.7},
    "morris_lecar": {"interaction": 0.3, "joint": 0.2, "voltage_spread": 0.7}
    | {"conductance_spread": 0.9},
    "balanced": {"gamma": 7.0, "weight_ei": 1.3, "b": [0.3, 0.1], "drift_cubic": [-0.1, -0.7]}
    | {"electrical": [0.3, 1.7], "voltage_spread": [0.3]},
    "balanced_dynamic": {"gamma": 7.0, "weight_ie": 1.3, "b": [0.3, 0.1], "rise": [2.0, 1.1]}
    | {"electrical": [0.3, 1.7], "decay": [0.7]},
}


@pytest.mark.parametrize("name", TEXTS)
def test_equations_as_text_give_the_numbers_of_the_file(name):
    text, (file, params) = as_text(name), as_file(name, **OTHERS[name])
    assert text.symbols == file.symbols
    assert text.means == file.means
    assert [var.name for var in text.state] == [var.name for var in file.state]
    # Of the file's parameters, those that a text can say.
    own, theirs = text.sites(core.resolve(text.params, OTHERS[name])), file.sites(params)
    assert own.labels == theirs.labels
    np.testing.assert_array_equal(own.coupling, theirs.coupling)
    generator = np.random.default_rng(5)
    d, n = len(file.state), len(file.means)
    for p, q in zip(own.params, theirs.params, strict=True):
        for _ in range(20):
            x, z = generator.normal(size=(2, d)).tolist()
            m, c = generator.uniform(0.1, 2.0, size=(2, n)).tolist()
            kicks = generator.normal(size=len(file.noises)).tolist()
            a, b = text.equations, file.equations
            assert a.drift(x, m, c, p) == b.drift(x, m, c, q)
            assert a.relax(m, c, p) == b.relax(m, c, q)
            assert a.field(x, p) == b.field(x, q)
            assert a.initial(z, p) == b.initial(z, q)
            profiles = [one and one(r) for one, r in ((a.profile, p), (b.profile, q))]
            assert profiles[0] == profiles[1]
            moved = [
                assemble_step(model).kick(0.0, x, m, c, numbers, kicks, 0.1, tuple(x))
                for model, numbers in ((text, p), (file, q))
            ]
            assert moved[0] == moved[1]


def same_bits(name: str, solver: str, options: dict[str, Any], replicas: int) -> None:
    """Compare all that a solver gives of a model in both forms."""
    found, expected = (
        solve(model, solver, OTHERS[name], options, seed=3, replicas=replicas)
        for model in (TEXTS[name], name)
    )
    assert set(found) == set(expected)
    for key, array in expected.items():
        assert array.values.tobytes() == found[key].values.tobytes(), key
    assert expected["status"].values.max() == 0


NETWORK = {"n_neurons": 300, "dt": 0.002, "t_end": 0.2, "records": 2}
EULER = NETWORK | {"scheme": "euler_maruyama"}


@pytest.mark.parametrize(
    "name",
    [name if name == "linear" else pytest.param(name, marks=pytest.mark.slow) for name in TEXTS],
)
def test_a_network_as_text_has_the_bits_of_the_file(name):
    same_bits(name, "particles", EULER, 2)


@pytest.mark.slow
def test_the_exponential_scheme_has_the_same_bits_too():
    same_bits("morris_lecar", "particles", NETWORK, 2)


@pytest.mark.parametrize("name", ["linear", "morris_lecar"])
def test_what_follows_from_a_text_follows_from_the_file(name):
    # Where all names are the same, the derivatives are the same to the letter.
    assert structure_of(as_text(name)) == structure_of(core.get("model", name))


def test_the_limit_of_a_text_has_the_same_bits():
    same_bits("balanced", "limit", {"t_end": 0.5, "records": 4}, 1)


# -- what a text can say ---------------------------------------------------------------------


def network(**changes: Any) -> dict[str, Any]:
    """Return a small model, changed as told; what is None goes."""
    given: dict[str, Any] = {
        "state": {"v": {"start": 0.5, "spread": 0.1}, "w": None},
        "drift": {"v": "v - v^3 - w + current", "w": "b*v - a*w"},
        "gap_junctions": {"v": "1/eps"},
        "noise": {"v": "sigma"},
        "params": {"eps": {"default": 0.1, "positive": True}, "current": 0.5, "a": 1, "b": 2}
        | {"sigma": 0.1},
    } | changes
    return {key: value for key, value in given.items() if value is not None}


def model_of(**changes: Any) -> Model:
    """Return the small model, read from its text."""
    model: Model = core.get("model", written(network(**changes)))
    return model


def drift_of(text: str, v: float = 1.5, w: float = 0.25) -> float:
    """Return the drift of v, at one state."""
    model = model_of(drift={"v": text, "w": 0})
    (p,) = model.sites(core.resolve(model.params, {})).params
    compiled = compiled_equations(model, kernel_key(model)[0])
    plain, fast = (
        float(functions.drift((v, w), (0.3, 0.2), (0.3, 0.2), p)[0])
        for functions in (model.equations, compiled)
    )
    assert fast == pytest.approx(plain, rel=1e-15)
    return plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("v - v^3", 1.5 - 1.5**3),
        ("-v^2", -(1.5**2)),
        ("2*v^-2", 2 * 1.5**-2),
        ("v**2.0", 1.5**2),
        ("(v^16)^-1", 1.5**-16),
        ("1/2/v", 1 / 2 / 1.5),
        ("v - (w - 1)", 1.5 - (0.25 - 1)),
        ("1e-3*v + .5", 1e-3 * 1.5 + 0.5),
        ("mean(v) - sum(w)", 0.3 - 0.2),
        ("where(v < w, 1, where(v >= 1.5, 7, 8))", 7),
        ("pi*cos(w)", math.pi * math.cos(0.25)),
        ("exp(b*log(v))", 1.5**2),
        ("t + v", 1.5),
        ("+v\n  - w", 1.25),
        (3, 3),
    ],
)
def test_a_text_means_what_it_says_on_paper(text, value):
    assert drift_of(text) == pytest.approx(value, rel=1e-15)


def test_another_spelling_is_the_same_module_and_another_equation_is_not():
    first = written(network())
    spelt = network(drift={"w": " b*v-(a*w)", "v": "( v-v **3.0)- w+current "}, name="mine")
    spelt["params"] = {**spelt["params"], "eps": {"positive": True, "default": "0.1"}}
    spelt["params"]["eps"]["default"] = 0.1
    second = written(spelt)
    assert (first.module, first.text) == (second.module, second.text)
    assert (first.label, second.label) == ("model", "mine")
    assert written(network(drift={"v": "v^3", "w": "b*v - a*w"})).module != first.module


def test_terms_of_parameters_are_numbers_and_others_are_worked_out_where_they_are_used():
    model = model_of(
        terms={"k": "2*a", "s": "k*tanh(v)", "unused": "exp(w)", "start_of_w": "k + 1"},
        drift={"v": "s*s - w", "w": "k"},
        state={"v": {}, "w": {"start": "start_of_w"}},
    )
    (p,) = model.sites(core.resolve(model.params, {"a": 3.0})).params
    assert (p.k, p.start_of_w) == (6.0, 7.0)
    assert not hasattr(p, "s")
    value = 6.0 * math.tanh(0.5)
    found = model.equations.drift((0.5, 1.0), (0.0, 0.0), (0.0, 0.0), p)
    assert found == pytest.approx((value * value - 1.0, 6.0))
    assert model.equations.initial((0.0, 0.0), p) == (0.0, 7.0)


def test_every_kind_of_noise_wall_and_circle_has_a_spelling():
    model = model_of(
        state={
            "v": {"floor": 0, "ceiling": 1, "start": 0.5, "unit": "mV", "long_name": "voltage"},
            "w": {"period": "2*pi", "law": {"uniform": [0, "2*pi"]}},
        },
        drift={"v": "cos(t)", "w": "-w"},
        gap_junctions=None,
        noise=[
            {"moves": {"v": "sigma*v", "w": 1}, "stratonovich": True},
            {"moves": {"w": 0.5}, "common": True},
        ],
        delays={"past": {"of": "v", "time": "2*tau"}},
        params={"sigma": 1.0, "tau": 0.5},
    )
    assert model.features == core.FEATURES
    assert model.delays[0].of == "v"
    first, second = model.noises
    assert (first.variable, first.stratonovich, first.common) == (("v", "w"), True, False)
    assert (second.variable, second.amplitude, second.common) == ("w", 0.5, True)
    assert model.state[0].unit == "mV"
    assert model.state[1].period == 2 * math.pi


def test_sites_have_their_own_parameters_and_weights_of_shared_ones():
    model = model_of(
        sites=["E", "I"],
        weights=[["b", 0], ["-2*b", "exp(a)"]],
        params={"eps": [0.1, 0.2], "current": [0.5], "a": 0, "b": 2, "sigma": 0},
    )
    sites = model.sites(core.resolve(model.params, {"b": 3.0, "current": [1, 2]}))
    assert sites.labels == ("E", "I")
    np.testing.assert_array_equal(sites.coupling, [[3.0, 0.0], [-6.0, 1.0]])
    assert [(p.eps, p.current, p.b) for p in sites.params] == [(0.1, 1.0, 3.0), (0.2, 2.0, 3.0)]
    with pytest.raises(StudyError, match="current: 3 values for 2 sites; allowed: 1 or 2 values"):
        solve(
            network(sites=[0.0, 0.5], params={**network()["params"], "current": [1]}),
            "limit",
            {"current": [1, 2, 3]},
            {"t_end": 1.0},
        )


def test_no_name_of_a_model_is_taken_for_something_else_in_the_program():
    names = ["x", "m", "c", "p", "z", "self", "count", "drift", "derive", "prepare", "function_1"]
    names += ["State", "Sites", "params", "len", "SimpleNamespace", "term", "k", "MODEL", "own"]
    model = model_of(
        sites=["E", "I"],
        params={"E": [1, 2]} | dict.fromkeys(names, 0.5),
        state={"v": {"start": "drift"}, "y": None},
        terms={"exp_": "exp(len)", "tuple": "count*v"},
        drift={"v": f"tuple - {' - '.join(names)}", "y": "E + exp_*0"},
        gap_junctions={"v": "prepare"},
        noise={"v": "function_1"},
    )
    p = model.sites(core.resolve(model.params, {})).params[1]
    assert model.equations.initial((0.0, 0.0), p) == (0.5, 0.0)
    compiled = compiled_equations(model, kernel_key(model)[0])
    for equations in (model.equations, compiled):
        found = equations.drift((1.0, 0.0), (0.0, 0.0), (0.0, 0.0), p)
        assert found == (0.5 - 0.5 * len(names), 2.0)


def test_the_rates_of_a_neuron_that_spikes_are_not_too_large():
    # Wang & Buzsaki 1996: the activation of sodium, cubed, is at once what it tends to.
    given = network(
        state={"v": {"start": -64}, "h": {"start": 0.78}, "n": {"start": 0.09}},
        params={"gna": 35, "gk": 9, "gl": 0.1, "ena": 55, "ek": -90, "el": -65, "phi": 5}
        | {"current": 1, "eps": 0.1, "sigma": 0.1},
        terms={
            "am": "0.1*(v + 35)/(1 - exp(-(v + 35)/10))",
            "bm": "4*exp(-(v + 60)/18)",
            "m": "am/(am + bm)",
            "ah": "0.07*exp(-(v + 58)/20)",
            "bh": "1/(1 + exp(-(v + 28)/10))",
            "an": "0.01*(v + 34)/(1 - exp(-(v + 34)/10))",
            "bn": "0.125*exp(-(v + 44)/80)",
        },
        drift={
            "v": "gna*m^3*h*(ena - v) + gk*n^4*(ek - v) + gl*(el - v) + current",
            "h": "phi*(ah*(1 - h) - bh*h)",
            "n": "phi*(an*(1 - n) - bn*n)",
        },
    )

    def slope(t, y):
        v, h, n = y
        am = 0.1 * (v + 35) / (1 - np.exp(-(v + 35) / 10))
        m = am / (am + 4 * np.exp(-(v + 60) / 18))
        an = 0.01 * (v + 34) / (1 - np.exp(-(v + 34) / 10))
        return (
            35 * m**3 * h * (55 - v) + 9 * n**4 * (-90 - v) + 0.1 * (-65 - v) + 1,
            5 * (0.07 * np.exp(-(v + 58) / 20) * (1 - h) - h / (1 + np.exp(-(v + 28) / 10))),
            5 * (an * (1 - n) - 0.125 * np.exp(-(v + 44) / 80) * n),
        )

    times = np.linspace(0.0, 20.0, 6)
    found = solve(given, "limit", options={"t_end": 20.0, "records": 5})["state_mean"].isel(site=0)
    exact = solve_ivp(slope, (0, 20), (-64, 0.78, 0.09), "LSODA", times, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found, exact.y.T, rtol=1e-5, atol=1e-6)


# -- what is refused -------------------------------------------------------------------------

V = "model.drift.v: "
REFUSED = {
    "v - 2v": V + "no operator between two values in 'v - 2v'; allowed: v - 2*v",
    "3 (v - 1) w": V + "no operator between two values in '3 (v - 1) w'; allowed: 3*(v - 1)*w",
    "a (v)": V + "no operator between two values in 'a (v)'; allowed: a*(v)",
    "v + u": V + "unknown name 'u'; allowed: v, w, t, mean(v), mean(w), sum(v), sum(w), eps",
    "currant": V + "unknown name 'currant' (did you mean 'current'?)",
    "tan(v)": V + "unknown function 'tan' (did you mean 'tanh'?)",
    "open(v)": V + "unknown function 'open'; allowed: cos, exp",
    "exp": V + "'exp' is a function; allowed: exp(...)",
    "exp(v, w)": V + "exp of 2 arguments",
    "exp(*v)": V + "'*v' is no part of an equation",
    "v.real": V + "'.' is no part of an equation; allowed: + - * / ^ ( )",
    "v[0]": V + "'[' is no part",
    "'v'": V + '"\'" is no part',
    "lambda: v": V + "'lambda' is no part",
    "(v for v in w)": V + "'for' is no part",
    "v if w else 1": V + "'if' is no part",
    "v; w": V + "';' is no part",
    "v := w": V + "':' is no part",
    "v < w": V + "'v < w' is no part",
    "v, w": V + "'(v, w)' is no part",
    "where(v, 1, 2)": V + "condition 'v'; allowed: one comparison",
    "where(0 < v < 1, 1, 2)": V + "condition '0 < v < 1'",
    "where(" + "where(v < 1, v, w) + " * 3 + "0 < v, 1, 2)": V + "3 where(...) within one",
    "mean(v + w)": V + "'mean(v + w)' is not known; allowed: mean(v), mean(w)",
    "field(v)": V + "'field(v)' is not known; allowed: a model with fields",
    "normal(v)": V + "normal(...) cannot enter here",
    "v^w": V + "power w; allowed: a whole number up to 16; otherwise sqrt(a), or exp(b*log(a))",
    "v^0.5": V + "power 0.5",
    "9^9^9": V + "power 9 ** 9",
    "2^1e9": V + "power 1000000000.0",
    "1e99*1e99": V + "a constant of 1e+198",
    "1e999*v": V + "a constant of inf",
    "9" * 500: V + "a constant of inf",
    "v/0": V + "division by zero",
    "1/w": V + "cannot be called: ZeroDivisionError",
    "sqrt(v - 1)": V + "cannot be called: ValueError: math domain error",
    "(" * 300 + "v" + ")" * 300: V + "too many nested parentheses",
    "-" * 500 + "v": V + "nested too deeply",
    "+".join(["v"] * 400): V + "nested too deeply",
    "v" * 2000: V + "2000 characters; allowed: at most 1000",
    "(v + w + a + b)^16": V + "969 terms when brackets are multiplied out; allowed: at most 500",
    "(((v^16)^16)^16)": V + "256 factors in one term",
    "tanh(" * 20 + "v" + ")" * 20: V + "2187 terms in a derivative",
    "(v": V + "'(' was never closed in '(v'",
    "v +": V + "invalid syntax in 'v +'",
    " ": V + "empty",
    "v\n - v^3\n - 2w\n": V + "line 3: no operator between two values in 'v - v^3 - 2w'",
    "v\n\n - u*v": V + "line 3: unknown name 'u'",
    "\n v\n - w[0]": V + "line 3: '[' is no part",
    "v -\n (w": V + "line 2: '(' was never closed in 'v - (w'",
    "v\n - \n": V + "line 2: invalid syntax in 'v -'",
    "v\n + *w": V + "line 2: invalid syntax",
    "v\n + where(v,\n 1, 2)": V + "line 2: condition 'v'",
    "v\n + where(v < 1,\n tan(v),\n 2)": V + "line 3: unknown function 'tan'",
    "exp(v)\n - w^v\n + v": V + "line 2: power v",
    "v\n + w/0": V + "line 2: division by zero",
    "v\n - 1e300*w": V + "line 2: a constant of 1e+300",
    "v\n - (v + w + a + b)^16": V + "line 2: 969 terms",
    "v" + " + v*w\n" * 59: V + "nested too deeply",
    "(v + w)*(v - w)*(v + 2)^4\n * (v + w + a + b)^4": V + "700 terms",
    True: V + "got True",
    math.nan: V + "got nan",
    10**400: V + "a number that is too large",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: str(text)[:20])
def test_an_equation_that_is_none_is_one_line_with_its_key(text):
    refused({"drift": {"v": text, "w": "b*v - a*w"}}, REFUSED[text])


def refused(changes: dict[str, Any], told: str) -> None:
    """Check in which words a changed model is refused."""
    with pytest.raises(StudyError) as caught:
        parse_study({"model": network(**changes), "solver": "limit"}, file="mine.yaml")
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"mine.yaml: {told}")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"reset": {"v": 1}}, "model.reset: thresholds with reset: no model here can have them"),
    ({"jumps": []}, "model.jumps: jumps: no model"),
    ({"threshold": 1}, "model.threshold: thresholds with reset"),
    ({"states": {}}, "model.states: unknown key (did you mean 'state'?)"),
    ({"state": {f"v{k}": {} for k in range(9)}}, "model.state: 9 of them; allowed: 1 to 8"),
    ({"state": {}}, "model.state: 0 of them"),
    ({"state": 3}, "model.state: got 3"),
    ({"drift": {"v": "v"}}, "model.drift.w: missing; allowed: an equation; 0 for what stays"),
    ({"drift": {"v": 1, "w": 1, "u": 1}}, "model.drift.u: unknown key; allowed: v, w"),
    ({"drift": "v"}, "model.drift: got 'v'; allowed: a mapping"),
    ({"gap_junctions": {"v": "v"}}, "model.gap_junctions.v: 'v' cannot enter here"),
    ({"noise": {"u": 1}}, "model.noise.u: unknown key"),
    ({"noise": [{"on": {}}]}, "model.noise.1.on: unknown key"),
    ({"noise": [{"moves": {"v": 1}, "common": 1}]}, "model.noise.1.common: got 1"),
    ({"synapses": {"v": {"current": 1}}}, "model.synapses.v.conductance: missing"),
    ({"params": {"eps": {"default": -1, "positive": True}}}, "model.params.eps: out of range"),
    ({"params": {"eps": {"positive": True}}}, "model.params.eps: wrong type: got None"),
    ({"params": {"eps": "1/3"}}, "model.params.eps: wrong type"),
    ({"params": {"eps": [1, 2]}}, "model.params.eps: a list, one number per site"),
    ({"params": {"exp": 1}}, "model.params.exp: has a meaning in equations"),
    ({"params": {"_a": 1}}, "model.params: '_a' is no name"),
    ({"params": {"v": 1}}, "model.state.v: also in params"),
    ({"params": {3: 1}}, "model.params: 3 is no name"),
    ({"terms": {"k": "l", "l": "1"}}, "model.terms.k: unknown name 'l'"),
    ({"state": {"v": {"start": "v"}, "w": {}}}, "model.state.v.start: 'v' cannot enter here"),
    ({"state": {"v": {"floor": 1, "ceiling": 0}, "w": {}}}, "model.state.v.floor: 1"),
    ({"state": {"v": {"period": -1}, "w": {}}}, "model.state.v.period: got -1"),
    ({"state": {"v": {"range": 1}, "w": {}}}, "model.state.v.range: got 1"),
    ({"state": {"v": {"name": "a b"}, "w": {}}}, "model.state: 'a b' is no name"),
    ({"terms": {"j": "a", "k": "1/(a - 1)"}}, "model.terms.k: no number with these parameters: "),
    ({"terms": {"k": "1/w"}, "noise": {"v": "k"}}, "model.terms.k: cannot be called: ZeroDiv"),
    ({"terms": {"j": "v", "k": "j +\n l"}}, "model.terms.k: line 2: unknown name 'l'"),
    ({"noise": {"w": "1/w"}}, "model.noise.w: cannot be called: ZeroDiv"),
    ({"gap_junctions": {"v": "1/mean(w)"}}, "model.gap_junctions.v: cannot be called: ZeroDiv"),
    ({"fields": {"f": "1/w"}}, "model.fields.f: cannot be called: ZeroDiv"),
    ({"drift": {"v": 0, "w": "v +\n 1/w"}}, "model.drift.w: cannot be called: ZeroDiv"),
    ({"state": {"v": {"start": "1/(a - 1)"}, "w": {}}}, "model.state.v.start: cannot be called"),
    ({"initial": {"v": 0, "w": 0}}, "model.state.v.start: the section `initial` says"),
    ({"sites": ["E", "E"]}, "model.sites: two with one label"),
    ({"sites": ["E"], "weights": [[1, 2]]}, "model.weights.1: got [1, 2]"),
    ({"weights": [[1]]}, "model.weights: weights without `sites`"),
    ({"name": "a b"}, "model.name: 'a b' cannot be the name of a result"),
    ({"summary": "two\nlines"}, "model.summary: got 'two"),
    ({"work": 0}, "model.work: got 0"),
]


@pytest.mark.parametrize(("changes", "told"), BAD, ids=lambda part: str(part)[:30])
def test_a_mapping_that_is_no_model_is_one_line_with_its_key(changes, told):
    refused(changes, told)


# -- as part of studies ----------------------------------------------------------------------

STUDY: dict[str, Any] = {
    "title": "A model as text",
    "model": network(name="mine", summary="Made here."),
    "solver": "limit",
    "options": {"t_end": 0.5, "records": 2},
    "grid": {"eps": [0.1, 0.05]},
    "chunk_seconds": 1e-9,
}


@pytest.fixture
def study(tmp_path):
    """Return the file of a study with a model as text."""
    path = tmp_path / "text.yaml"
    path.write_text(yaml_of(STUDY))
    return path


def digests(path):
    """Return the digests of all chunks and stages of a study."""
    found = outline(str(path), path.parent)
    return found.chunks, found.digests


def test_spaces_make_nothing_again_and_an_equation_does(study, tmp_path):
    found = run_study(study, tmp_path / "results")
    assert found.attrs["model"] == "mine"
    assert found["state_mean"].sizes["eps"] == 2
    # The library takes the same as a dictionary.
    assert run_study(STUDY, tmp_path / "library")["state_mean"].identical(found["state_mean"])
    before = digests(study)
    text = study.read_text()
    study.write_text("# A remark.\n" + text.replace("v - v^3 - w", "v-v ** 3  -w"))
    assert digests(study) == before
    study.write_text(text.replace("v - v^3 - w", "v - v^3 - 2*w"))
    assert digests(study)[0] != before[0]
    study.write_text(text.replace("v - v^3 - w", "v - v^3 - 2w"))
    with pytest.raises(StudyError, match=r"text\.yaml:8: model\.drift\.v: no operator"):
        load_study(study)


def test_another_process_finds_what_was_compiled_for_a_text(study):
    loaded = load_study(study)
    source = loaded.model_choice.source
    task = engine.Task(source, "limit", loaded.params_at(0), loaded.options_at(0), 0, 0, 1)
    program = (
        "import pickle, sys; from neurolim import core; from neurolim.pipeline import engine;"
        "from neurolim.kernels.model_code import kernel_key;"
        "tasks, code = pickle.loads(sys.stdin.buffer.read());"
        "(solved,) = engine.run_batch(tasks, code, True);"
        "key = kernel_key(core.get('model', tasks[0].model));"
        "sys.stdout.buffer.write(pickle.dumps((solved.solution.arrays['state_mean'], key)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(([task], engine.code_of([task]))),
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr.decode()
    mean, (key, kept) = pickle.loads(said.stdout)
    assert kept
    assert key == kernel_key(loaded.model)[0]
    assert mean.tobytes() == engine.run_task(task).solution.arrays["state_mean"].tobytes()


def test_an_archive_with_a_text_has_no_foreign_code_and_is_simulated_again(study, tmp_path):
    run_study(study, tmp_path / "results")
    path = archive([str(study)], tmp_path / "results", date="2026-01-02", root=ROOT)
    with zipfile.ZipFile(path) as opened:
        assert not [name for name in opened.namelist() if name.startswith("code/plugins/")]
    study.unlink()
    found = verify(path, recompute=2, here=True)
    assert "fit the study" in found[1]
    again = [f"text: chunk {k} came again, bit for bit" for k in range(2)]
    assert found[2:] == [REMADE, *again]


def test_check_says_what_follows_from_a_text(study, capsys):
    first, _, _, model, *facts = check(str(study))
    assert first.endswith("text.yaml: study text: A model as text. ok")
    assert model == "  model mine: Made here."
    assert "  drift of v: not linear in x.v (polynomial of degree 3)" in facts
    assert "  gap junctions on v" in facts
    study.write_text(study.read_text().replace("b*v", "b v"))
    for verb in ("check", "plan"):
        with pytest.raises(SystemExit) as caught:
            main([verb, str(study)])
        assert caught.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{study}:9: model.drift.w: no operator between two values")


def test_the_guide_s_texts_work_as_they_stand(tmp_path):
    guide = (ROOT / "docs" / "models.md").read_text("utf-8")
    first, second = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    for name, text in (("first", first), ("second", second)):
        (tmp_path / f"{name}.yaml").write_text(text, "utf-8")
    text = load_study(tmp_path / "first.yaml")
    # The same neurons stand in another guide as a file.
    others = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (file,) = re.findall(r"^```python\n(.*?MODEL = .*?)^```", others, re.MULTILINE | re.DOTALL)
    (tmp_path / "hindmarsh_rose.py").write_text(file, "utf-8")
    again = parse_study(said_by(first) | {"model": str(tmp_path / "hindmarsh_rose.py")})
    assert text.definition() == again.definition()
    results = [run_study(study, tmp_path / study.name)["state_mean"] for study in (text, again)]
    assert results[0].identical(results[1])
    assert load_study(tmp_path / "second.yaml").model.features == {COMMON, MULTIPLICATIVE}


@pytest.mark.parametrize(
    ("law", "same"),
    [
        ({"uniform": ["-sigma", 1]}, Uniform(lambda p: -p.sigma, 1.0)),
        ({"mixture": [[1, "-1", 0.1], [3, "sigma", 0.2]]},
         Mixture((1.0, -1.0, 0.1), (3.0, "sigma", 0.2))),
        ({"samples": [1, 2.5, -3]}, Samples((1.0, 2.5, -3.0))),
    ],
)  # fmt: skip
def test_initial_laws_of_a_text_are_those_of_a_file(law, same):
    model = model_of(state={"v": {"law": law}, "w": {}})
    (p,) = model.sites(core.resolve(model.params, {})).params
    given = [a if not callable(a) else a(p) for a in same.arguments]
    given = [getattr(p, a) if isinstance(a, str) else a for a in given]
    for z in (-2.0, 0.1, 1.3):
        assert model.equations.initial((z, 0.0), p)[0] == same.draw(z, *given)


@pytest.mark.parametrize(
    "law", [{}, {"normal": [0, 1]}, {"uniform": [1]}, {"mixture": [[1, 2]]}, {"samples": ["a"]}, 3]
)
def test_laws_of_a_text_that_are_none_are_refused_in_one_line(law):
    with pytest.raises(StudyError, match=r"state\.v\.law"):
        model_of(state={"v": {"law": law}, "w": {}})
    with pytest.raises(StudyError, match="a law beside start"):
        model_of(state={"v": {"law": {"uniform": [0, 1]}, "start": 1}, "w": {}})
