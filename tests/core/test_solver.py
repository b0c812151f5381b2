"""Whatever a solver does, a run that fails is NaN and a status, and costs no other run."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from neurolim import core, solve
from neurolim.core import Cost, Solution, Solver, Status, StudyError, Var
from neurolim.pipeline.engine import Engine, Task, run_tasks

MODEL = core.get("model", "linear")
PARAMS = core.resolve(MODEL.params, {})


def solver(**parts):
    """Return a solver of two outputs, one of which may have gaps, that does what is given."""

    def well(model, params, options, key, replicas):
        count = len(replicas)
        arrays = {
            "mean": np.ones(count),
            "gap": np.full(count, np.nan),
            "count": np.ones(count, int),
        }
        return Solution(arrays, np.zeros(count, np.int8))

    outputs = (
        Var("mean", "1", "mean", ()),
        Var("gap", "1", "with gaps", (), gaps=True),
        Var("count", "1", "count", (), "int64"),
    )
    given: dict[str, Any] = {
        "summary": "Nothing.",
        "source": "nowhere",
        "options": (),
        "outputs": lambda model, options: outputs,
        "coords": lambda model, params, options: {},
        "cost": lambda model, params, options: Cost(0.0, 0.0),
        "solve": well,
        "check": lambda model, params, options: None,
        "stochastic": True,
        "name": "mine",
    }
    return Solver(**(given | parts))


def run(one, said=None):
    """Return the solution of three replicas."""
    words = [] if said is None else said
    return one.run(MODEL, PARAMS, {}, 1, range(3), words.append)


def changed(name, row, value, status=Status.OK):
    """Return a solver that gives another number in one row."""

    def odd(*arguments):
        found = solver().solve(*arguments)
        found.arrays[name][row] = value
        found.status[row] = status
        return found

    return solver(solve=odd)


def test_a_run_that_keeps_the_contract_is_left_alone():
    found = run(solver())
    assert found.status.tolist() == [Status.OK] * 3
    assert np.isnan(found.arrays["gap"]).all()


@pytest.mark.parametrize(
    ("name", "value"), [("mean", np.inf), ("mean", -np.inf), ("mean", np.nan), ("gap", np.inf)]
)
def test_numbers_that_are_not_finite_are_a_failure(name, value):
    found = run(changed(name, 1, value))
    assert found.status.tolist() == [Status.OK, Status.DIVERGED, Status.OK]
    assert np.isnan(found.arrays["mean"]).tolist() == [False, True, False]
    assert np.isnan(found.arrays["gap"]).all()


def test_a_failed_run_holds_no_numbers():
    found = run(changed("mean", 2, 7.0, Status.OUT_OF_DOMAIN))
    assert found.status.tolist() == [Status.OK, Status.OK, Status.OUT_OF_DOMAIN]
    assert np.isnan(found.arrays["mean"][2])


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("0"), ValueError("x"), IndexError(), OSError()]
)
def test_a_solver_that_raises_has_failed_and_says_so(error):
    def broken(*arguments):
        raise error

    said: list[str] = []
    found = run(solver(solve=broken), said)
    assert found.status.tolist() == [Status.NOT_CONVERGED] * 3
    assert np.isnan(found.arrays["mean"]).all()
    assert found.arrays["count"].tolist() == [0, 0, 0]
    assert type(error).__name__ in said[0]


def test_refusals_and_a_full_memory_are_no_failed_runs():
    for error in (StudyError("a", "b"), MemoryError()):

        def refuses(*arguments, error=error):
            raise error

        with pytest.raises(type(error)):
            run(solver(solve=refuses))


def test_one_point_that_fails_costs_no_other(monkeypatch, capfd):
    moments = core.get("solver", "moments")

    def sometimes(model, params, options, key, replicas):
        if params["eps"] == 0.5:
            raise FloatingPointError("only here")
        return moments.solve(model, params, options, key, replicas)

    broken = dataclasses.replace(moments, solve=sometimes)
    get = core.get
    monkeypatch.setattr(
        core, "get", lambda kind, name: broken if name == "moments" else get(kind, name)
    )
    options = core.resolve(moments.options, {})
    tasks = [
        Task("linear", "moments", PARAMS | {"eps": eps}, options, 1, 0, 1)
        for eps in (0.1, 0.5, 0.9)
    ]
    status = [solved.solution.status[0] for solved in run_tasks(tasks, Engine())]
    assert status == [Status.OK, Status.NOT_CONVERGED, Status.OK]
    assert "only here" in capfd.readouterr().err


def test_a_fold_that_is_none_is_no_error():
    params = {"drift": "polynomial", "coefficients": [0.0, 0.0, 0.0, -1.0]}
    found = solve("fitzhugh_nagumo", "equilibria", params)
    assert found["status"] == Status.OK
