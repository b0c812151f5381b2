"""A model given as an object is what its functions read when it is given."""

from typing import Any

import numpy as np
import pytest

import neurolim
from neurolim import GapJunctions, Model, Noise, Param, State, StudyError
from neurolim.laws import Uniform

RATE = 1.0
RATES = np.array([1.0])
OPTIONS: dict[str, Any] = {"n_neurons": 10, "dt": 0.01, "t_end": 0.1, "records": 2}


def double(v):
    return 2.0 * v


def by_number(x):
    return (-RATE * x.v,)


def by_array(x):
    return (-RATES[0] * x.v,)


def by_helper(x):
    return (-double(x.v),)


def model(drift, *state, **parts):
    words: dict[str, Any] = {"summary": "One.", "source": "here", "params": ()}
    return Model(state=state or (State("v", start=1.0),), drift=drift, **(words | parts))


def end(one):
    found = neurolim.solve(one, "particles", options=OPTIONS)
    return float(found["state_mean"][0, -1, 0, 0])


@pytest.mark.parametrize(
    ("drift", "name", "value", "rate"),
    [
        (by_number, "RATE", 10.0, 1.0),
        (by_array, "RATES", np.array([10.0]), 1.0),
        (by_helper, "double", lambda v: 10.0 * v, 2.0),
    ],
)
def test_what_a_function_reads_may_change_between_two_runs(monkeypatch, drift, name, value, rate):
    one = model(drift)
    assert end(one) == pytest.approx(np.exp(-0.1 * rate), rel=1e-3)
    monkeypatch.setitem(globals(), name, value)
    assert end(one) == pytest.approx(np.exp(-1.0), rel=1e-3)
    monkeypatch.undo()
    assert end(one) == pytest.approx(np.exp(-0.1 * rate), rel=1e-3)


def flow(x):
    return (-x.v,)


def random(x):
    return (-np.random.rand() * x.v,)


WRONG = {
    "gives other numbers the second time": lambda: model(random),
    "spread: is -1": lambda: model(flow, State("v", spread=-1.0)),
    "period: is -1.0": lambda: model(flow, State("v", period=-1.0)),
    "uniform from 2 to 1": lambda: model(flow, State("v", law=Uniform(2.0, 1.0))),
    "start: is 1; allowed: a start between its walls, 2 and inf": lambda: model(
        flow, State("v", start=1.0, floor=2.0)
    ),
    "one noise moves 'v' twice": lambda: model(flow, noise=Noise(("v", "v"), (1.0, 1.0))),
    "rate: is -5 at the start": lambda: model(flow, coupling=GapJunctions("v", -5.0)),
    "start: got nan": lambda: model(flow, State("v", start=float("nan"))),
    "amplitude: got inf": lambda: model(flow, noise=Noise("v", float("inf"))),
    "'lambda' is a keyword of Python": lambda: model(flow, params=(Param("lambda", 1.0),)),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_model_that_makes_no_sense_is_refused_with_its_cause(words):
    with pytest.raises(StudyError) as caught:
        neurolim.solve(WRONG[words](), "particles", options=OPTIONS)
    assert words in str(caught.value)


def remainder(x):
    return (-(x.v % 2.0),)


def rounded(x):
    return (-(x.v // 1.0),)


@pytest.mark.parametrize("drift", [remainder, rounded])
def test_a_drift_without_a_formula_for_its_slope_is_simulated_and_otherwise_refused(drift):
    found = neurolim.solve(
        model(drift), "particles", options=OPTIONS | {"scheme": "euler_maruyama"}
    )
    assert found["status"] == 0
    with pytest.raises(StudyError, match="have no derivative as a formula"):
        neurolim.solve(model(drift), "particles", options=OPTIONS)


def test_a_slope_that_is_infinite_from_the_start_ends_at_once():
    text = {"state": {"v": {"start": 1.0}}, "drift": {"v": "exp(exp(exp(exp(v*10))))"}}
    options = {"t_end": 0.1, "records": 2}
    found = neurolim.solve(text | {"gap_junctions": {"v": 10.0}}, "limit", options=options)
    assert found["status"] != 0


def test_all_names_of_the_package_leave_the_builtins_alone():
    assert "open" not in neurolim.__all__
    assert callable(neurolim.open)
