"""Wires of a graph in a file: one line per wire, below a header that names the columns."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurolim.core.errors import StudyError, hint, show

#: Ending of a file of wires.
ENDING = ".csv"
_COLUMNS = ("to", "from", "weight")
_NODE = re.compile(r"[0-9]{1,18}")


class Wires(tuple[tuple[int, int, float], ...]):
    """Wires (to, from, weight) that know the file they were read from.

    Parameters
    ----------
    wires : in the order of the file, line 2 first
    file : as it is named in refusals
    """

    file: str

    def __new__(cls, wires: Iterable[tuple[int, int, float]], file: str = "") -> Wires:
        """Return the wires with the name of their file."""
        made = super().__new__(cls, wires)
        made.file = file
        return made


def is_wires_file(value: Any) -> bool:
    """Return whether the value of an option names a file of wires."""
    return isinstance(value, str) and value.endswith(ENDING)


def wire_name(wires: Any, row: int) -> str:
    """Return how a refusal names a wire: file and line, or its number."""
    return f"{wires.file}:{row + 2}" if isinstance(wires, Wires) else f"wire {row + 1}"


def read_wires(path: str) -> Wires:
    """Return the wires of a file with the columns to, from and weight, in any order.

    Parameters
    ----------
    path : of the file, as it is named in refusals

    Raises
    ------
    StudyError : no such file, a missing or unknown column, something that is no number, a wire
        that is there twice, or no wires; with file and line
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise _fault(f"{path}: not UTF-8 text") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise _fault(f"{path}: cannot be read: {why}") from None
    order = _columns(path, lines[0] if lines else "")
    known: dict[tuple[int, int], int] = {}
    wires = []
    for number, line in enumerate(lines[1:], 2):
        cells = line.split(",")
        if len(cells) != len(_COLUMNS):
            raise _fault(f"{path}:{number}: {show(line)} has {len(cells)} cells, not 3")
        to, source, weight = (cells[place].strip() for place in order)
        for column, cell in (("to", to), ("from", source)):
            if not _NODE.fullmatch(cell):
                raise _fault(f"{path}:{number}: {column}: {show(cell)} is no number of a node")
        ends = (int(to), int(source))
        if ends in known:
            problem = f"the wire from {ends[1]} to {ends[0]} is in line {known[ends]}, too"
            raise _fault(f"{path}:{number}: {problem}")
        known[ends] = number
        wires.append((*ends, _weight(path, number, weight)))
    if not wires:
        raise _fault(f"{path}: no wires below the header")
    return Wires(wires, path)


def _columns(path: str, header: str) -> list[int]:
    """Return where the columns to, from and weight are."""
    names = [name.strip() for name in header.split(",")]
    for name in _COLUMNS:
        if names.count(name) != 1:
            many = "two columns" if name in names else "no column"
            raise _fault(f"{path}:1: {many} {name!r} in the header {show(header)}")
    for name in names:
        if name not in _COLUMNS:
            raise _fault(f"{path}:1: unknown column {name!r}{hint(name, _COLUMNS)}")
    return [names.index(name) for name in _COLUMNS]


def _weight(path: str, number: int, cell: str) -> float:
    """Return the weight in a cell."""
    try:
        weight = float(cell)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise _fault(f"{path}:{number}: weight: {show(cell)} is no finite number")
    return weight


def _fault(problem: str) -> StudyError:
    return StudyError("", problem, "a header to,from,weight and a line per wire")
