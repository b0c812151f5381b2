"""What a check is, and how it says what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from neurolim import core
from neurolim.core import Figure, Model, Solver, Statistic, StudyError, outside
from neurolim.core.parameters import check_defaults

PlugIn = Model | Solver | Statistic | Figure
#: The function that a plug-in is about, by kind.
_MAIN = {"model": "drift", "solver": "solve", "statistic": "apply", "figure": "draw"}


@dataclass(frozen=True)
class Check:
    """One promise of a plug-in, kept if the call returns.

    Parameters
    ----------
    kind : "model", "solver", "statistic", "figure"
    word : a registered name, a file (``file.py``, ``file.py:NAME``) or the plug-in itself
    function : plug-in -> what there is to say about it, a line each; raises StudyError
    minutes : whether it compiles networks, and is therefore left out by ``neurolim check``; such a
        function takes the word, by which another process finds the plug-in
    """

    kind: str
    word: Any
    function: Callable[[Any], list[str]]
    minutes: bool = False

    def __call__(self) -> list[str]:
        """Return what there is to say about the plug-in, a line each.

        Raises
        ------
        StudyError : what is wrong, in words of the author, with file and line
        """
        plug_in = core.get(self.kind, self.word)
        try:
            return self.function(self.word if self.minutes else plug_in)
        except StudyError as error:
            at = outside.shown(error.file) if error.file else self._place(plug_in)
            raise StudyError(error.key, error.problem, error.allowed, at) from None
        except Exception as error:
            main = _main(self.kind, plug_in)
            raise outside.fault(self.kind, main.file.resolve(), error, main.line) from error

    def _place(self, plug_in: PlugIn) -> str:
        """Return where a plug-in stands, by its name in its file if it has one."""
        if not outside.is_file(self.word):
            return outside.shown(_main(self.kind, plug_in).file)
        path, attribute = outside.split(self.word)
        return f"{outside.shown(path)}:{outside.line_of(path, attribute or self.kind.upper())}"

    def __str__(self) -> str:
        """Return the promise in words, by which pytest names a test."""
        return self.function.__name__


def checks_of(
    kind: str,
    word: Any,
    seconds: Sequence[Callable[[Any], list[str]]],
    minutes: Sequence[Callable[[Any], list[str]]] = (),
) -> list[Check]:
    """Return the checks of a plug-in, the quick ones first.

    Parameters
    ----------
    kind, word : of the plug-in
    seconds, minutes : functions of the checks that take as long
    """
    word = str(word) if isinstance(word, PathLike) else word
    quick = [Check(kind, word, function) for function in seconds]
    return quick + [Check(kind, word, function, minutes=True) for function in minutes]


class Place(NamedTuple):
    """Where a function stands: its file, and its first line (0: not known)."""

    file: Path
    line: int


def place_of(function: Any) -> Place | None:
    """Return where a function stands, if it is written in Python."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Place(Path(code.co_filename), code.co_firstlineno) if code else None


def _main(kind: str, plug_in: PlugIn) -> Place:
    """Return where the main function of a plug-in stands."""
    return place_of(getattr(plug_in, _MAIN[kind])) or Place(Path(plug_in.name), 0)


def refusal(function: Any, problem: str, allowed: str = "") -> StudyError:
    """Return the refusal of a function of a plug-in, with the file and line where it stands."""
    place = place_of(function)
    at = f"{outside.shown(place.file)}:{place.line}" if place else ""
    return StudyError("", problem, allowed, at)


def is_hidden(name: str) -> bool:
    """Return whether ``dataset.NAME`` is a method or property, not the variable."""
    return hasattr(xr.Dataset, name)


def is_documented(plug_in: PlugIn) -> list[str]:
    """Refuse a plug-in that does not say what it is, or with defaults that it does not allow."""
    if not isinstance(plug_in.summary, str) or len(plug_in.summary.splitlines()) != 1:
        raise StudyError(f"{plug_in.name}.summary", f"is {plug_in.summary!r}", "one line of text")
    try:
        check_defaults(plug_in.params if isinstance(plug_in, Model) else plug_in.options)
    except StudyError as error:
        raise error.within(plug_in.name) from None
    return []
