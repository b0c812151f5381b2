"""Solver x model: a run of a tiny configuration, or one refusal; nothing else may happen.

Pairs run in another process, which is kept for those that follow.  A signal that ends it is a fault
of the pair that ran, and those after it run in the next process.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

from numba.core.errors import NumbaError

from neurolim import core
from neurolim.core import Model, Solver, Status, StudyError, outside
from neurolim.testing._solutions import check_solution
from neurolim.testing._tiny import tiny_run

#: What the other process does.
_PROGRAM = f"from {__name__} import main; main()"
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
    return [_elsewhere(pair) if _is_named(pair) else outcome(pair) for pair in named]


def outcome(pair: Pair) -> Outcome:
    """Return how a pair goes, in this process."""
    words = _words(pair.solver, pair.model, pair.options)
    try:
        solver, model = core.get("solver", pair.solver), core.get("model", pair.model)
        words = _words(solver.name, model.name, pair.options)
        refused, line = _outcome(solver, model, pair.options)
    except StudyError as error:
        return Outcome(words, "fails", str(error))
    except (Exception, SystemExit) as error:
        return Outcome(words, "fails", _in_one_line(error))
    return Outcome(words, "refuses" if refused else "runs", line)


def _words(solver: Any, model: Any, options: Mapping[str, Any]) -> str:
    """Return what a pair is called."""
    return " ".join([f"{solver} x {model}", *(f"{key}={word}" for key, word in options.items())])


def _outcome(solver: Solver, model: Model, given: Mapping[str, Any]) -> tuple[bool, str]:
    """Return (whether the solver refuses the model, its refusal or how its runs ended)."""
    stranger = replace(model, name=_STRANGER)
    _check_name(solver, model, stranger, given)
    try:
        params, options = tiny_run(solver, stranger, given)
    except StudyError as refusal:
        line = str(refusal).replace(_STRANGER, model.name)
        known = {"model", "solver", *(param.name for param in (*solver.options, *model.params))}
        for there, what in (
            (refusal.key.split(".")[0] in known, "no option or parameter"),
            (refusal.problem, "no problem"),
            (refusal.allowed, "nothing that is allowed"),
        ):
            if not there:
                raise StudyError("", f"a refusal that names {what}: {line}") from None
        return True, line
    with warnings.catch_warnings():
        # What numpy has to say of numbers is for the solver to know, and to put into a status.
        warnings.simplefilter("error", RuntimeWarning)
        found = check_solution(solver, stranger, params, options)
        if (found.status != Status.OK).any():
            params, options = tiny_run(solver, stranger, given, "default")
            found = check_solution(solver, stranger, params, options)
        try:
            params, options = tiny_run(solver, stranger, given, "least")
        except StudyError as refusal:
            problem = f"refuses the least values that its options allow: {refusal}"
            raise StudyError("", problem, "limits of the options that hold") from None
        check_solution(solver, stranger, params, options)
    ends = {Status(status).name for status in found.status.tolist()}
    return False, ", ".join(sorted(ends))


def _check_name(solver: Solver, model: Model, stranger: Model, given: Mapping[str, Any]) -> None:
    """Refuse a solver that answers otherwise when it does not know the name of a model.

    Raises
    ------
    StudyError
    """
    said = _answer(solver, model, given)
    unknown = _answer(solver, stranger, given).replace(stranger.name, model.name)
    if said != unknown:
        problem = f"{solver.name} knows the name {model.name}: {said}; without it: {unknown}"
        raise StudyError("", problem, "a condition on its equations")


def _answer(solver: Solver, model: Model, given: Mapping[str, Any]) -> str:
    """Return what a solver says to a model: its refusal, or the run that it accepts."""
    try:
        return str(tiny_run(solver, model, given))
    except StudyError as refusal:
        return str(refusal)


def refusals_by_name() -> tuple[int, int]:
    """Return (pairs in which the model's name matters, pairs) of all that is registered."""
    count, pairs = 0, [*itertools.product(*(core.names(kind) for kind in ("solver", "model")))]
    for names in pairs:
        solver, model = (core.get(*item) for item in zip(("solver", "model"), names, strict=True))
        try:
            _check_name(solver, model, replace(model, name=_STRANGER), {})
        except StudyError:
            count += 1
    return count, len(pairs)


def _in_one_line(error: BaseException) -> str:
    """Return what an error says, in one line; numba's errors begin with a line about themselves."""
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


class _Process:
    """A process in which pairs run, one after the other, until one of them ends it."""

    def __init__(self) -> None:
        self.place = _place()
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # see `end`
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def outcome(self, pair: Pair) -> Outcome | None:
        """Return how a pair goes, or None if the process ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(pair) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        return Outcome(*json.loads(line)) if line else None

    def end(self) -> str:
        """Let the process end, and return how it did, in one line."""
        # Nothing more is asked, which ends a process that still runs.
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        returned = self._process.returncode
        with self._said:
            self._said.seek(0)
            last = self._said.read().strip().splitlines()[-1:]
        end = signal.Signals(-returned).name if returned < 0 else f"exit code {returned}"
        return f"ended by {end}" + "".join(f": {line.strip()}" for line in last)


def _place() -> tuple[str, ...]:
    """Return what decides which plug-in a name or a path stands for."""
    return (os.getcwd(), *sys.path)


#: The process that runs, if one does: to start Python and to load what solvers need takes longer
#: than most pairs.
_running: list[_Process] = []
_lock = Lock()


def _elsewhere(pair: Pair) -> Outcome:
    """Return how a pair goes in another process."""
    with _lock:
        if _running and _running[0].place != _place():
            _end_all()
        if not _running:
            _running.append(_Process())
        return _running[0].outcome(pair) or Outcome(_words(*pair), "fails", _running.pop().end())


@atexit.register
def _end_all() -> None:
    while _running:
        _running.pop().end()


def main() -> None:
    """Answer every pair that is asked for, a line of JSON each, with how it went."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1) as answers:
        # What plug-ins print is no answer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        for line in sys.stdin:
            answers.write(json.dumps(outcome(Pair(*json.loads(line)))) + "\n")
