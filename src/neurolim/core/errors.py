"""Refusals and outcomes: what is wrong with an input, how a run ended."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """Outcome of one run (one grid point, one replica); anything but OK carries NaN data.

    SKIPPED is no failure: a map that is refined left this point out.
    """

    OK = 0
    DIVERGED = 1
    NOT_CONVERGED = 2
    OUT_OF_DOMAIN = 3
    SKIPPED = 4

    @classmethod
    def flags(cls) -> dict[str, Any]:
        """Return the attributes of a variable whose values are of this kind (CF, section 3.5)."""
        return {
            "flag_values": [int(flag) for flag in cls],
            "flag_meanings": " ".join(flag.name for flag in cls),
        }


class StudyError(ValueError):
    """Input that is refused before any job starts: ``file:line: key: problem; allowed: ...``.

    Parameters
    ----------
    key : dotted place in the study, e.g. ``grid.eps``
    problem : what is wrong with it, in one clause
    allowed : what would be right (text or list of names); may be empty
    file : the study file; empty for calls from a notebook
    line : of the file; 0 where none is known
    """

    def __init__(
        self,
        key: str,
        problem: str,
        allowed: str | Sequence[str] = "",
        file: str = "",
        line: int = 0,
    ) -> None:
        self.file, self.line, self.key, self.problem = file, line, key, problem
        self.allowed = allowed if isinstance(allowed, str) else ", ".join(allowed)
        at = f"{file}:{line}" if file and line else file
        place = ": ".join(part for part in (at, _short(key)) if part)
        text = f"{place}: {problem}" + (f"; allowed: {self.allowed}" if self.allowed else "")
        super().__init__(_printable(" ".join(text.split())))

    def within(self, prefix: str = "", file: str = "", line: int = 0) -> StudyError:
        """Return the same refusal seen from further out: key prefixed, file and line named."""
        key = ".".join(part for part in (prefix, self.key) if part)
        return StudyError(key, self.problem, self.allowed, file or self.file, line or self.line)


def show(value: Any) -> str:
    """Return a value in words short enough for a line."""
    try:
        text = repr(value)
    except ValueError:
        # Python writes no integer of more than 4300 digits.
        return f"{type(value).__name__} with too many digits to show"
    return _short(text, 60)


def _short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _printable(text: str) -> str:
    """Return a text without what a terminal, or a reader, takes for a command."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def hint(name: Any, known: Any) -> str:
    """Return " (did you mean ...?)" if a known name is close to the given one, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1) if isinstance(name, str) else ()
    return f" (did you mean {close[0]!r}?)" if close else ""
