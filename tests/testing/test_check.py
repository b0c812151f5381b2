"""``neurolim check FILE``: the typical mistakes end in one line with file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neurolim import StudyError, core
from neurolim.check import check
from neurolim.cli import main
from neurolim.testing.statistics import variables_given

MODEL = '''"""A neuron of two variables."""

from neurolim import Field, GapJunctions, Model, Noise, Number, State
from neurolim.laws import Mixture
from neurolim.math import exp, log, sqrt


def drift(x, m, p):
    rest = p.current - x.w
    return (x.v - x.v**3 + rest + m.sent, x.v - x.w)


MODEL = Model(
    summary="Two variables.",
    source="this test",
    state=(State("v", spread=0.1), State("w", start=0.2)),
    params=(
        Number("eps", 0.1, "time", "inverse coupling", positive=True),
        Number("current", 0.5, doc="applied"),
        Number("share", -1.0, doc="of a part of the initial law"),
    ),
    drift=drift,
    coupling=GapJunctions("v", lambda p: 1.0 / p.eps),
    noise=Noise("v", 0.1),
    fields=(Field("sent", lambda x: 1.0 / (1.0 + exp(-x.v))),),
)
'''
SOLVER = """import numpy as np

from neurolim import Coord, Cost, Number, Solution, Solver, StudyError, Var


def coords(model, params, options):
    return {"axis": Coord((0.0, 1.0, 2.0), long_name="axis")}


def check(model, params, options):
    pass


def solve(model, params, options, key, replicas):
    numbers = np.array([[key + replica + k for k in range(3)] for replica in replicas], float)
    return Solution({"start": numbers}, np.zeros(len(replicas), np.int8))


SOLVER = Solver(
    summary="Numbers of key and replica.",
    source="nobody",
    options=(Number("size", 3, doc="nothing", kind="integer"),),
    outputs=lambda model, options: (Var("start", long_name="start", dims=("axis",)),),
    coords=coords,
    cost=lambda model, params, options: Cost(1e-5, 1e3),
    solve=solve,
    check=check,
    stochastic=True,
)
"""
STATISTIC = """import numpy as np
import xarray as xr

from neurolim import Number, Statistic


def apply(dataset, after):
    top = dataset["state_mean"].where(dataset["time"] > after).max("time")
    return xr.Dataset({"top": top.assign_attrs(units="1", long_name="largest mean")})


def exact():
    dataset = xr.Dataset({"state_mean": ("time", np.arange(5.0))}, {"time": np.arange(5)})
    return [(dataset, {"after": 1.0}, [("top", {}, 4.0, 0.0)])]


STATISTIC = Statistic(
    summary="Largest mean.",
    source="definition",
    options=(Number("after", 0.0, "time", "later than"),),
    needs=lambda options: ("state_mean",),
    gives=lambda options, state: ("top",),
    apply=apply,
    exact=exact,
)
"""
FIGURE = """import numpy as np
import xarray as xr

from neurolim import Figure
from neurolim.figures.parts.style import figure, styled


@styled
def draw(dataset, expect):
    picture, axes = figure(1, 1, 4.0, 3.0)
    axes[0, 0].plot(dataset["time"], dataset["state_mean"])
    axes[0, 0].set_xlabel("time")
    return picture


def example():
    time = np.linspace(0.0, 6.0, 5)
    return xr.Dataset({"state_mean": ("time", np.sin(time))}, {"time": time})


FIGURE = Figure(
    summary="The mean against time.",
    options=(),
    needs=lambda options, state: ("state_mean",),
    draw=draw,
    example=example,
)
"""

#: (a piece of the good file, what stands there instead, line and words of the refusal)
MISTAKES = {
    MODEL: [
        (", x.v - x.w)", ",)", r"8: bad.drift: returns \(0.8,\); allowed: a tuple of 2 numbers"),
        ("p.current -", "p.curent -", "9: bad.drift: cannot be called: no number 'curent' in p"),
        ("rest + m.sent", "rest + m.set", "10: .*no mean or field 'set' in m and c .did you mean"),
        ("x.v - x.w)", "x.u - x.w)", "10: .*no variable 'u' in x"),
        ("x.v - x.w)", "x[0] - x.w)", r"10: .*numbers have names here: write .v, not \[0\]"),
        (
            "x.v - x.w)",
            "log(0.1 - x.w) - x.w)",
            r"8: bad.drift: is not finite at the start: \(0.8, nan\)",
        ),
        ("x.v - x.w)", "float('nan'))", "8: bad.drift: is not finite at the start"),
        ("x.v - x.w)", "log(x.v + 0.05))", "8: bad.drift: is not finite at the start: .*nan"),
        ("x.v - x.w)", "x.v - float(str(x.w)))", "8: bad.drift: cannot be compiled: ValueError"),
        ("1.0 / p.eps", "-1.0 / p.eps", "13: bad.coupling.v.rate: is -10 at the start"),
        ('"v", spread=0.1', '"v", law="normal"', "13: bad.state.v.law: 'normal' is no law"),
        (
            '"v", spread=0.1',
            '"v", law=Mixture(("share", 0.0, 1.0), (1.0, 0.0, "current"))',
            "13: bad.initial: .*",
        ),
        (
            "    fields=(",
            "    initial=lambda z: (sqrt(z.v), z.w),\n    fields=(",
            "25: bad.initial: cannot be called: ValueError: math domain error",
        ),
        (
            'State("w", start=0.2)',
            'State("w"), *(State(f"u{k}") for k in range(7))',
            "13: bad.state: 9 state variables; allowed: 1 to 8 variables",
        ),
        ("fields=(", "reset=(", "13: Model does not take thresholds with reset; allowed: .*drift"),
        ("fields=(", "jumps=(", "13: Model does not take jumps; allowed: .*noise"),
        ("spread=0.1", "spraed=0.1", "16: State has no 'spraed' .did you"),
        (
            "0.5, doc",
            "'much', doc",
            "13: bad.params.current: wrong type: got 'much'",
        ),
    ],
    SOLVER: [
        ('"start"', '"tail"', "23: bad: 'tail' is an attribute of xarray.Dataset, so dataset.tail"),
        ('long_name="start", ', "", "23: bad: start has no description; allowed: Var"),
        (', long_name="axis"', "", "6: bad: axis has no description; allowed: Coord"),
        ("range(3)]", "range(2)]", r"14: bad: start has the shape \(3, 2\); allowed: \(3, 3\)"),
        ('{"start"', '{"end"', r"14: bad: gives \['end'\]; allowed: outputs: \['start'\]"),
        ('dims=("axis",)', 'dims=("other",)', "6: bad: no values of other, a dimension of start"),
        ("1.0, 2.0", "1.0, 1.0", "6: bad: two equal values of axis"),
        ("float)", "np.int64)", "14: bad: start holds int64; allowed: float64, as outputs says"),
        ("zeros(len(replicas),", "zeros(2,", r"14: bad: status has the shape \(2,\)"),
        (
            "np.zeros(len",
            "7 + np.zeros(len",
            r"14: bad: status is \[7.*; allowed: values of Status",
        ),
        ("np.zeros(len", "1 + np.zeros(len", "14: bad: start has numbers where the status is not"),
        ("key + replica + k", "key + replica + k + np.inf", "14: bad: start is not finite, and"),
        ("    numbers =", "    params['eps'] = 2.0\n    numbers =", "14: bad: changes the param"),
        ("    numbers =", "    options.clear()\n    numbers =", "14: bad: changes the parameters"),
        ("key + replica + k", "np.random.random()", "14: bad: start is another at the second time"),
        ("key + replica + k", "key + replica - replicas[0]", "14: bad: start of a replica depends"),
        ("key + replica + k", "replica + k", "14: bad: does not depend on the key"),
        ("key, replicas)", "key)", "TypeError: solve.. takes"),
        ("    numbers =", "    options['dt']\n    numbers =", "15: KeyError: 'dt'"),
        (
            "    numbers =",
            "    raise StudyError('dt', 'long')\n    numbers =",
            "14: bad: refuses while it solves",
        ),
        (
            "    pass",
            "    raise StudyError('model', 'strange')",
            "10: bad accepts none of the models",
        ),
        ("return Solution(", "return (", "14: bad: returns tuple; allowed: Solution"),
        ('"start": numbers', '"start": 1.0', "14: bad: start is of type float; allowed: a numpy"),
        ("1e-5, 1e3", "float('nan'), 1e3", r"25: bad: the cost is \(nan, 1000.0\)"),
    ],
    STATISTIC: [
        ('"top"', '"max"', "7: bad: 'max' is an attribute of xarray.Dataset; allowed: another"),
        ('units="1", ', "", "7: bad: 'top' has no attribute 'units'; allowed: top.assign_attrs"),
        ('units="1"', 'units="1", flag_values=[0]', "7: bad: 'top' has the flags of a status"),
        ("4.0, 0.0", "5.0, 0.0", r"12: bad: top is 4, not 5 as exact\(\) says; allowed: within 0"),
        (
            '("state_mean",)',
            '("state_maen",)',
            "12: bad: needs 'state_maen', .*did you mean 'state_mean'.*; allowed: state_mean",
        ),
        ('{"top": t', '{"tops": t', r"7: bad: gives \['tops'\]; allowed: \['top'\]"),
        ('"top", {}', '"tops", {}', r"12: bad: exact.. knows 'tops', which is not given"),
        (
            "    top =",
            "    dataset['state_mean'] += 1.0\n    top =",
            "7: bad: changes the dataset",
        ),
        ("    return [(d", "    dataset.nothing\n    return [(d", "14: AttributeError: 'Dataset'"),
        ("return [(dataset, {", "return [({", r"12: bad: exact\(\) gives something else"),
        ('{"after": 1.0}', '{"before": 1.0}', r"TypeError: apply\(\) got an unexpected keyword"),
        ('[("top", {}, 4.0, 0.0)]', "[]", "12: bad: no known answer; allowed: at least one"),
        ("return xr.Dataset({", "return ({", "7: bad: returns a dict; allowed: an xarray.Dataset"),
        (
            '.max("time")',
            '.max("time").expand_dims(other=2)',
            r"12: bad: exact\(\) leaves other of top open; allowed: one number",
        ),
        ('0.0, "time"', "'late', \"time\"", "17: bad.after: wrong type: got 'late'"),
    ],
    FIGURE: [
        (
            '    axes[0, 0].plot(dataset["time"], dataset["state_mean"])\n',
            "",
            "8: bad: draws nothing",
        ),
        ('    axes[0, 0].set_xlabel("time")\n', "", "8: bad: no axis has a label"),
        ("    return picture", "    return axes", "8: bad: returns ndarray; allowed: a matplotlib"),
        ("    return picture", "    pass", "8: bad: returns NoneType; allowed: a matplotlib"),
        (
            '("state_mean",)',
            '("state_maen",)',
            "16: bad: needs 'state_maen', which example.. does not have .did you",
        ),
        ('dataset["state_mean"])', 'dataset["state_maen"])', r"11: KeyError: .*state_maen"),
        (
            "    picture,",
            '    dataset["state_mean"] += 1.0\n    picture,',
            "8: bad: changes the dataset",
        ),
        ("axes[0, 0].plot(", "axes[0, 0].plot(np.random.random(5), ", "8: bad: another .svg at"),
        ("(dataset, expect)", "(dataset)", "TypeError: draw.. takes 1 positional argument"),
    ],
}


@pytest.mark.parametrize("good", MISTAKES, ids=["model", "solver", "statistic", "figure"])
def test_a_good_file_passes(tmp_path, monkeypatch, good):
    monkeypatch.chdir(tmp_path)
    Path("good.py").write_text(good)
    first, *facts = check("good.py")
    assert first.endswith(". ok")
    assert facts


@pytest.mark.parametrize(
    ("good", "old", "new", "told"),
    [(good, *parts) for good in MISTAKES for parts in MISTAKES[good]],
)
def test_a_mistake_is_one_line_with_file_and_line(
    tmp_path, monkeypatch, capsys, good, old, new, told
):
    monkeypatch.chdir(tmp_path)
    assert good.count(old) >= 1
    Path("bad.py").write_text(good.replace(old, new))
    with pytest.raises(SystemExit) as caught:
        main(["check", "bad.py"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    line = told if told[0].isdigit() else rf"\d+: .*{told}"
    assert re.match(rf"((model|solver|statistic|figure|file): )?bad\.py:{line}", said), said


STUDY = """title: Two variables
model:
  params: {sigma: 0.1}
  state: {v: {spread: 0.3}}
  drift: {v: "log(v + 0.1) - v"}
  noise: {v: sigma}
solver: particles
options: {n_neurons: 5, dt: 0.01, t_end: 0.1, records: 1, scheme: euler_maruyama}
"""


def test_a_mistake_in_a_study_names_the_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(STUDY)
    with pytest.raises(StudyError, match=r"^own\.yaml:\d+: model\.drift: is not finite"):
        check("own.yaml")
    Path("own.yaml").write_text(STUDY.replace("v + 0.1", "v^2 + 0.1"))
    assert check("own.yaml")[0] == "own.yaml: study own: Two variables. ok"


def test_what_nobody_gives_is_said_with_file_and_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(STATISTIC.replace('"state_mean"', '"state_maen"'))
    first, known, unknown = check("own.py")
    assert first.endswith(". ok")
    assert known == "  1 known answer reproduced"
    assert re.match(
        r"  own\.py:21: needs 'state_maen', which no solver .*did you mean 'state_mean'", unknown
    )


def test_everything_that_statistics_need_is_given_by_something_registered():
    for statistic in (core.get("statistic", name) for name in core.names("statistic")):
        for dataset, options, _ in statistic.exact():
            for name in statistic.needs(options):
                # Some names are those of an option, or of coordinates.
                given = name in str(options) or name in dataset.coords
                assert given or name.removeprefix("reference_") in variables_given(), name
