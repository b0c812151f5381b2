"""``neurolim.testing`` as the author of a plug-in uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.running import environment

from neurolim import StudyError, core
from neurolim.core import Cost, Param, Solution, Solver, Status, Var
from neurolim.testing import (
    checks,
    figure_checks,
    model_checks,
    solver_checks,
    statistic_checks,
)
from neurolim.testing.pairs import Pair, check_pairs, outcome, outcomes, refusals_by_name

SOLVER = '''"""Numbers that need no model, and what goes wrong."""

import os
import signal

import numpy as np

from neurolim import Cost, Solution, Solver, StudyError, Var


def solve(model, params, options, key, replicas):
    if len(model.state) == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if len(model.state) == 3:
        os._exit(7)
    assert len(model.state) != 4, "four"
    return Solution({"one": np.ones((1,))}, np.zeros(1, np.int8))


def check(model, params, options):
    if model.fields:
        raise StudyError("model", "fields", "none")


SOLVER = Solver(
    summary="One.",
    source="nobody",
    options=(),
    outputs=lambda model, options: (Var("one", long_name="one"),),
    coords=lambda model, params, options: {},
    cost=lambda model, params, options: Cost(0.0, 0.0),
    solve=solve,
    check=check,
    stochastic=False,
    takes=frozenset(__import__("neurolim").core.FEATURES),
)
'''


def test_a_pair_that_ends_its_process_is_named_and_the_others_go_on(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(SOLVER)
    models = ("linear", "desai_zwanzig", "hindmarsh_rose", "hodgkin_huxley", "balanced", "linear")
    found = outcomes([Pair(str(path), name) for name in models])
    assert [how for _, how, _ in found] == ["runs", "fails", "fails", "fails", "refuses", "runs"]
    assert [found[k].words for k in (0, 4, 5)] == ["OK", "model: fields; allowed: none", "OK"]
    assert found[1].pair.endswith("own.py x desai_zwanzig")
    assert found[1].words.startswith("ended by SIGSEGV")
    assert found[2].words == "ended by exit code 7"
    assert found[3] == ("own x hodgkin_huxley", "fails", "AssertionError: four")
    with pytest.raises(StudyError, match=r"^.*own\.py x desai_zwanzig: ended by SIGSEGV"):
        check_pairs([Pair(str(path), name) for name in models[:2]])


def test_one_process_runs_all_pairs_of_a_folder(tmp_path, monkeypatch):
    path = tmp_path / "own.py"
    path.write_text(SOLVER.replace('"fields", "none"', 'str(os.getpid()), "none"'))

    def process():
        (found,) = outcomes([Pair(str(path), "balanced")])
        return int(found.words.split()[1].rstrip(";"))

    first = process()
    assert process() == first != os.getpid()
    monkeypatch.chdir(tmp_path)
    assert process() not in (first, os.getpid())


def one(**parts):
    """Return a solver that gives 1, with some parts replaced."""
    given: dict[str, Any] = {
        "summary": "One.",
        "source": "nobody",
        "options": (),
        "outputs": lambda model, options: (Var("one", long_name="one"),),
        "coords": lambda model, params, options: {},
        "cost": lambda model, params, options: Cost(0.0, 0.0),
        "solve": lambda *given: Solution({"one": np.ones(1)}, np.zeros(1, np.int8)),
        "check": lambda model, params, options: None,
        "stochastic": False,
    }
    return Solver(**(given | parts))


def refusing(*words):
    """Return a check that refuses with these words."""

    def check(*given):
        raise StudyError(*words)

    return check


def knows(model, params, options):
    """Refuse a model by its name."""
    if model.name == "linear":
        raise StudyError("model", "too linear", "another one")


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        (one(check=knows), "solver knows the name linear: model: too linear; allowed: another one"),
        (
            one(check=refusing("nowhere", "it is", "so")),
            "names no option or parameter: nowhere: it",
        ),
        (one(check=refusing("model", "", "so")), "a refusal that names no problem"),
        (one(check=refusing("model", "it is")), "names nothing that is allowed: model: it is"),
        (
            one(
                options=(Param("size", 9, kind="integer", low=1),),
                check=lambda model, params, options: (
                    refusing("size", "1", "2")() if options["size"] < 2 else None
                ),
            ),
            "refuses the least values that its options allow: size: 1; allowed: 2",
        ),
        (one(check=lambda *given: 1 / 0), "ZeroDivisionError: division by zero"),
        (one(solve=lambda *given: np.zeros(1) / 0.0), "RuntimeWarning: invalid value"),
        (one(solve=lambda *given: sys.exit("enough")), "SystemExit: enough"),
    ],
)
def test_what_is_neither_a_run_nor_one_refusal_fails(solver, words):
    found = outcome(Pair(solver, "linear"))
    assert found.how == "fails"
    assert words in found.words
    assert "\n" not in found.words


def test_gaps_and_residuals_are_declared():
    gaps, lost = np.full(1, np.nan), np.full(1, Status.DIVERGED, np.int8)
    for solve, var in (
        (
            lambda *given: Solution({"one": gaps}, np.zeros(1, np.int8)),
            Var("one", long_name="one", gaps=True),
        ),
        (
            lambda *given: Solution({"one": np.ones(1)}, lost),
            Var("one", long_name="one", residual=True),
        ),
    ):
        plain, declared = (
            one(solve=solve, outputs=lambda model, options, part=part: (part,))
            for part in (Var("one", long_name="one"), var)
        )
        assert outcome(Pair(plain, "linear")).how == "fails"
        assert outcome(Pair(declared, "linear")).how == "runs"


def test_no_solver_knows_the_name_of_a_model():
    count, pairs = refusals_by_name()
    assert count == 0
    assert pairs == len(core.names("solver")) * len(core.names("model"))


def test_checks_take_a_name_a_file_and_an_object(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(SOLVER.replace("== 1", "== 9"))
    for solver in (str(path), path, f"{path}:SOLVER", one()):
        quick = [check for check in solver_checks(solver) if not check.minutes]
        assert [str(check) for check in quick] == ["is_documented", "solves_a_model"]
        for check in quick:
            check()
    assert [check() for check in checks("statistic", "wasserstein")][-1][0].endswith("reproduced")
    model = replace(core.get("model", "linear"), drift=lambda x: (x.v, float("nan")))
    finds = [check for check in model_checks(model) if not check.minutes]
    with pytest.raises(StudyError, match=r"test_testing\.py:\d+: linear\.drift: is not finite"):
        finds[0]()


def test_checks_are_there_without_pytest_and_without_loading_anything():
    program = """
import sys
sys.modules["pytest"] = None
from neurolim.testing import figure_checks, model_checks, solver_checks, statistic_checks
for make in (figure_checks, model_checks, solver_checks, statistic_checks):
    assert make("nothing_of_that_name")
print("fine")
"""
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.strip() == "fine"


@pytest.mark.parametrize("make", [model_checks, solver_checks, statistic_checks, figure_checks])
def test_a_plug_in_that_is_not_there_fails_every_check(make):
    for check in make("nothing_of_that_name"):
        with pytest.raises(StudyError, match=r"unknown .* 'nothing_of_that_name'"):
            check()


def test_three_lines_are_a_test_suite(tmp_path):
    name = Path(__file__).parents[1] / "conformance" / "strangers.py"
    (tmp_path / "test_own.py").write_text(f"""
import pytest
from neurolim.testing import model_checks

@pytest.mark.parametrize("check", model_checks({str(name)!r} + ":STILL"), ids=str)
def test_model(check):
    check()
""")
    words = [
        sys.executable,
        "-m",
        "pytest",
        *("-q", "--disable-plugin-autoload", "-k", "not network and not solved"),
        str(tmp_path),
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=environment(), cwd=tmp_path
    )
    assert "3 passed, 2 deselected" in done.stdout, done.stdout
