"""Weighted wires of a graph, and files of them: a line per wire, below a header."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from neurolim.core.errors import StudyError, hint, show
from neurolim.sources import read_file

#: Ending of a file of wires.
ENDING = ".csv"
#: Nodes are below.
MOST_NODES = 10**18
_NODE = "[0-9]{1,18}"
_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
#: What a cell of each column is, as a pattern and in words.
_CELLS = {
    "to": (_NODE, "number of a node"),
    "from": (_NODE, "number of a node"),
    "weight": (_NUMBER, "finite number"),
}
_DTYPES = {"to": np.int64, "from": np.int64, "weight": np.float64}


class Graph:
    """Weighted wires, along which nodes hear other nodes: as a sequence, (to, from, weight) each.

    Parameters
    ----------
    to, source, weight : who hears whom, and the weights [wire]
    file : in which the wires stand, line 2 first; empty where they stand in none
    """

    def __init__(
        self,
        to: Sequence[int] | np.ndarray = (),
        source: Sequence[int] | np.ndarray = (),
        weight: Sequence[float] | np.ndarray = (),
        *,
        file: str = "",
    ) -> None:
        self.to, self.source = (np.array(nodes, np.dtype("<i8")) for nodes in (to, source))
        self.weight = np.array(weight, np.dtype("<f8"))
        self.file = file
        for column in (self.to, self.source, self.weight):
            column.setflags(write=False)

    @cached_property
    def digest(self) -> str:
        """Return a digest of the wires in their order."""
        columns = (self.to, self.source, self.weight)
        return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()

    def wire(self, row: int) -> str:
        """Return how a refusal names a wire: by file and line, or by its number."""
        return f"{self.file}:{row + 2}" if self.file else f"wire {row + 1}"

    def __len__(self) -> int:
        return len(self.to)

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        columns = (self.to.tolist(), self.source.tolist(), self.weight.tolist())
        return zip(*columns, strict=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"{len(self)} wires"


def is_wires_file(value: Any) -> bool:
    """Return whether the value of an option names a file of wires."""
    return isinstance(value, str) and value.endswith(ENDING)


def read_wires(path: str) -> Graph:
    """Return the wires of a file with the columns to, from and weight, in any order.

    Parameters
    ----------
    path : of the file, as it is named in refusals

    Raises
    ------
    StudyError : no such file, a missing or unknown column, something that is no number, a wire
        that is there twice, or no wires; with file and line
    """
    header, *lines = _text(path).rstrip().split("\n")
    names = _columns(path, header)
    if not lines:
        raise _fault(path, 1, "no wires below the header")
    # One pattern runs over all lines and stops at the first that is no wire.
    cells = ",".join(f"[ \t]*{_CELLS[name][0]}[ \t]*" for name in names)
    body = "\n".join([*lines, ""])
    stop = re.compile(f"(?:{cells}\n)*+").match(body)
    good = body.count("\n", 0, stop.end() if stop else 0)
    if good < len(lines):
        raise _fault(path, good + 2, _no_wire(lines[good], names))
    dtype = np.dtype([(name, _DTYPES[name]) for name in names])
    wires = np.loadtxt(lines, dtype, comments=None, delimiter=",", ndmin=1)
    graph = Graph(wires["to"], wires["from"], wires["weight"], file=path)
    infinite = np.flatnonzero(~np.isfinite(graph.weight))
    if infinite.size:
        row = int(infinite[0])
        raise _fault(path, row + 2, _no_wire(lines[row], names))
    _check_once(graph)
    return graph


def _text(path: str) -> str:
    """Return the text of a file."""
    try:
        return read_file(path, "utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _fault(path, line, "not UTF-8 text") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise _fault(path, 0, f"cannot be read: {why}") from None


def _columns(path: str, header: str) -> list[str]:
    """Return the names of the columns in their order."""
    names = [name.strip() for name in header.split(",")]
    for name in _CELLS:
        if names.count(name) != 1:
            many = "two columns" if name in names else "no column"
            raise _fault(path, 1, f"{many} {name!r} in the header {show(header)}")
    for name in names:
        if name not in _CELLS:
            raise _fault(path, 1, f"unknown column {name!r}{hint(name, _CELLS)}")
    return names


def _no_wire(line: str, names: Sequence[str]) -> str:
    """Return why a line is no wire."""
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) != len(names):
        return f"{show(line)} has {len(cells)} cells, not {len(names)}"
    for name, cell in zip(names, cells, strict=True):
        pattern, meaning = _CELLS[name]
        if not re.fullmatch(pattern, cell) or not math.isfinite(float(cell)):
            return f"{name}: {show(cell)} is no {meaning}"
    return f"{show(line)} is no wire"


def _check_once(graph: Graph) -> None:
    """Refuse a wire that stands in two lines."""
    order = np.lexsort((graph.source, graph.to))
    to, source = graph.to[order], graph.source[order]
    again = np.flatnonzero((to[1:] == to[:-1]) & (source[1:] == source[:-1])) + 1
    if again.size:
        first = again[order[again].argmin()]
        problem = f"the wire from {source[first]} to {to[first]} is in line {order[first - 1] + 2}"
        raise _fault(graph.file, int(order[first]) + 2, f"{problem}, too")


def _fault(path: str, line: int, problem: str) -> StudyError:
    """Return the refusal of a file; line 0 stands for none."""
    where = f"{path}:{line}" if line else path
    return StudyError("", f"{where}: {problem}", "a header to,from,weight and a line per wire")
