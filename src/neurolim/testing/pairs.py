"""Solver x model: a run of a tiny configuration, or one refusal; nothing else may happen.

Pairs run in another process.  A signal that ends it is a fault of the pair that ran, and those
after it run in the next process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from numba.core.errors import NumbaError

from neurolim import core
from neurolim.core import Model, Solver, Status, StudyError, outside
from neurolim.testing._solutions import check_solution
from neurolim.testing._tiny import tiny_run

#: A name that no solver knows, for the model of every pair.
_STRANGER = "a_model_that_nobody_knows"


class Pair(NamedTuple):
    """A solver and a model, by name, as a file or as an object, and the options that matter."""

    solver: Any
    model: Any
    options: Mapping[str, Any] = {}  # nobody changes it


class Outcome(NamedTuple):
    """How a pair went.

    Parameters
    ----------
    pair : solver and model in words
    how : "runs", "refuses" or "fails"
    words : statuses, the refusal or the fault, in one line
    """

    pair: str
    how: str
    words: str


def check_pairs(pairs: Sequence[Pair]) -> list[str]:
    """Return how every pair went, a line each.

    Raises
    ------
    StudyError : what is wrong with the pairs that neither run nor refuse in one line
    """
    found = outcomes(pairs)
    wrong = [f"{pair}: {words}" for pair, how, words in found if how == "fails"]
    if wrong:
        raise StudyError("", "; ".join(wrong), "a run, or one StudyError")
    return [f"{pair} {how}: {words}" for pair, how, words in found]


def outcomes(pairs: Sequence[Pair]) -> list[Outcome]:
    """Return how every pair went, in their order.

    An object that stands in no file of its own runs in this process, which a signal would end.
    """
    named = [_named(pair) for pair in pairs]
    elsewhere = _elsewhere([pair for pair in named if _is_named(pair)])
    return [next(elsewhere) if _is_named(pair) else outcome(pair) for pair in named]


def outcome(pair: Pair) -> Outcome:
    """Return how a pair goes, in this process."""
    solver, model = core.get("solver", pair.solver), core.get("model", pair.model)
    words = f"{solver.name} x {model.name}"
    words += "".join(f" {key}={value}" for key, value in pair.options.items())
    try:
        refused, line = _outcome(solver, model, pair.options)
    except StudyError as error:
        return Outcome(words, "fails", str(error))
    except (Exception, SystemExit) as error:
        return Outcome(words, "fails", _in_one_line(error))
    return Outcome(words, "refuses" if refused else "runs", line)


def _outcome(solver: Solver, model: Model, given: Mapping[str, Any]) -> tuple[bool, str]:
    """Return (whether the solver refuses the model, its refusal or how its runs ended)."""
    stranger = replace(model, name=_STRANGER)
    try:
        params, options = tiny_run(solver, stranger, given)
    except StudyError as refusal:
        _check_refusal(solver, model, given, refusal)
        return True, str(refusal)
    with warnings.catch_warnings():
        # What numpy has to say of numbers is for the solver to know, and to put into a status.
        warnings.simplefilter("error", RuntimeWarning)
        found = check_solution(solver, stranger, params, options)
        if (found.status != Status.OK).any():
            params, options = tiny_run(solver, stranger, given, "default")
            found = check_solution(solver, stranger, params, options)
        with contextlib.suppress(_Refused):
            params, options = _least(solver, stranger, given)
            check_solution(solver, stranger, params, options)
    ends = {Status(status).name for status in found.status.tolist()}
    return False, ", ".join(sorted(ends))


class _Refused(Exception):  # noqa: N818  # no error: the least sizes may be too few
    """A refusal of sizes, which is as good as a run."""


def _least(
    solver: Solver, model: Model, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        return tiny_run(solver, model, given, "least")
    except StudyError as error:
        raise _Refused from error


def _check_refusal(
    solver: Solver, model: Model, given: Mapping[str, Any], refusal: StudyError
) -> None:
    """Refuse a refusal that does not say where, what and what else, or that knows the model.

    Raises
    ------
    AssertionError
    """
    known = {"model", "solver", *(param.name for param in (*solver.options, *model.params))}
    line = str(refusal)
    assert refusal.key.split(".")[0] in known, f"the refusal names no option or parameter: {line}"
    assert refusal.problem, f"the refusal names no problem: {line}"
    assert refusal.allowed, f"the refusal does not say what is allowed: {line}"
    try:
        tiny_run(solver, model, given)
    except StudyError as error:
        known_name, no_name = str(error), line.replace(_STRANGER, model.name)
        assert known_name == no_name, f"another refusal by that name: {known_name}; else {no_name}"
    else:
        raise AssertionError(f"accepted by the name {model.name}, else: {line}")


def _in_one_line(error: BaseException) -> str:
    """Return what an error says, in one line; numba's errors begin with a line about themselves."""
    if isinstance(error, AssertionError) and error.args:
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[min(isinstance(error, NumbaError), len(lines) - 1)] if lines else ""
    return f"{type(error).__name__}: {text}"


# -- another process -------------------------------------------------------------------------


def _named(pair: Pair) -> Pair:
    """Return a pair with objects replaced by the files in which they stand."""
    words: list[Any] = []
    for kind, plug_in in (("solver", pair.solver), ("model", pair.model)):
        source = None if isinstance(plug_in, str) else outside.origin(kind, plug_in)
        words.append(f"{source.path}:{source.attribute}" if source else plug_in)
    return Pair(words[0], words[1], pair.options)


def _is_named(pair: Pair) -> bool:
    return isinstance(pair.solver, str) and isinstance(pair.model, str)


def _elsewhere(pairs: list[Pair]) -> Iterator[Outcome]:
    """Yield how pairs went, in their order."""
    begun = 0
    while begun < len(pairs):
        returned, lines, said = _process(pairs[begun:])
        for line in lines:
            yield Outcome(*json.loads(line))
        begun += len(lines)
        if returned and begun < len(pairs):
            pair = pairs[begun]
            end = signal.Signals(-returned).name if returned < 0 else f"exit code {returned}"
            last = said.strip().splitlines()[-1:]
            words = f"ended by {end}" + "".join(f": {line.strip()}" for line in last)
            yield Outcome(f"{pair.solver} x {pair.model}", "fails", words)
            begun += 1


def _process(pairs: list[Pair]) -> tuple[int, list[str], str]:
    """Return (exit code, lines of outcomes, standard error) of a process that runs pairs."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "pairs.json", Path(folder) / "outcomes.jsonl"
        asked.write_text(json.dumps(pairs), "utf-8")
        answered.touch()
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(asked), str(answered)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.returncode, answered.read_text("utf-8").splitlines(), done.stderr


def main(asked: str, answered: str) -> None:
    """Run the pairs of a file, and write how they went to another, a line each as they end.

    Parameters
    ----------
    asked, answered : paths
    """
    with Path(answered).open("w", encoding="utf-8", buffering=1) as stream:
        for pair in json.loads(Path(asked).read_text("utf-8")):
            stream.write(json.dumps(outcome(Pair(*pair))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
