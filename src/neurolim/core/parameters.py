"""Labelled quantities, and parameters and options: documented, bounded, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurolim.core.errors import StudyError, hint, show
from neurolim.core.wires import MOST_NODES, Graph, is_wires_file, read_wires


@dataclass(frozen=True, slots=True)
class Var:
    """A labelled quantity: a state variable of a model or an output array of a solver.

    Parameters
    ----------
    name, unit, long_name : label, unit ("1" if dimensionless) and description
    dims : dimensions after the replica dimension, outermost first (empty for state variables)
    dtype : numpy dtype name
    gaps : whether it may be not finite in runs that went well, too: NaN where there is none of
        what it says, an infinity as the logarithm of zero
    residual : whether it has numbers in runs that failed, too: how far they came
    """

    name: str
    unit: str = "1"
    long_name: str = ""
    dims: tuple[str, ...] = ()
    dtype: str = "float64"
    gaps: bool = False
    residual: bool = False


@dataclass(frozen=True, slots=True)
class Param:
    """A documented, bounded parameter of a model or option of a solver, statistic or figure.

    Parameters
    ----------
    name, default, unit, doc : label, default value (None: has to be given), unit, description
    kind : "number", "integer", "boolean", "text", "choice", "vector" (list of numbers),
        "names" (list of words), "matrix" (list of equal rows of numbers) or "graph" (list of
        wires [to, from, weight], or a file of them); three more name parts of a study and are
        checked against it: "axis" (a numeric positive axis), "parameter" (a number, fixed or on an
        axis), "record time" (a time before the last record)
    low, high : closed bounds for numbers (each entry of a vector or matrix)
    positive : exclude zero and below
    choices : the words allowed for "choice"; for "number" words allowed instead of a number
    """

    name: str
    default: Any
    unit: str = "1"
    doc: str = ""
    kind: str = "number"
    low: float = -math.inf
    high: float = math.inf
    positive: bool = False
    choices: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the allowed values in words, for error messages and documentation."""
        if self.kind in ("choice", "boolean", "text", "axis", "parameter", "names"):
            return {
                "boolean": "true or false",
                "text": "a word",
                "axis": "the name of an axis",
                "parameter": "the name of a parameter or option",
                "names": "a list of words",
            }.get(self.kind, ", ".join(self.choices))
        noun = {
            "number": "a number",
            "record time": "a time",
            "integer": "an integer",
            "vector": "a list of numbers",
            "matrix": "a list of equally long lists of numbers",
            "graph": "a list of wires, [to, from] or [to, from, weight], or a .csv file of them",
        }[self.kind]
        low = 0.0 if self.positive and self.low < 0 else self.low
        if self.positive and low == 0:
            noun += " > 0"
        elif low > -math.inf:
            noun += f" >= {low:g}"
        if self.high < math.inf:
            noun += f"{' and' if '>' in noun else ''} <= {self.high:g}"
        return noun + (f", or {', '.join(self.choices)}" if self.choices else "")

    def check(self, value: Any) -> Any:
        """Return ``value`` in its canonical type, or raise StudyError naming this parameter.

        Numbers become float, integers int, vectors tuples of float; booleans are never numbers.
        """
        if self.kind == "boolean":
            if isinstance(value, (bool, np.bool_)):
                return bool(value)
        elif self.kind in ("text", "axis", "parameter"):
            if isinstance(value, str) and value:
                return value
        elif self.kind == "choice" and isinstance(value, str):
            return self._choice(value)
        elif self.kind == "names":
            words = [value] if isinstance(value, str) else value
            if isinstance(words, (list, tuple)) and words and all(_is_word(w) for w in words):
                return self._names(words)
        elif self.kind in ("number", "integer", "record time"):
            if self.choices and isinstance(value, str) and value in self.choices:
                return value
            return self._number(value)
        elif self.kind == "vector":
            if _is_list(value) and len(value) > 0:
                return tuple(self._number(entry) for entry in value)
        elif self.kind == "graph":
            return self._graph(value)
        elif self.kind == "matrix" and (
            _is_list(value)
            and len(value) > 0
            and all(_is_list(row) for row in value)
            and len({len(row) for row in value}) == 1
            and len(value[0]) > 0
        ):
            return tuple(tuple(self._number(entry) for entry in row) for row in value)
        raise StudyError(self.name, f"wrong type: got {show(value)}", self.describe())

    def _choice(self, word: str) -> str:
        """Return a word that is one of the choices."""
        if word not in self.choices:
            problem = f"unknown word {word!r}{hint(word, self.choices)}"
            raise StudyError(self.name, problem, self.choices)
        return word

    def _names(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return names of which none is listed twice."""
        twice = sorted({word for word in words if list(words).count(word) > 1})
        if twice:
            raise StudyError(self.name, f"listed twice: {', '.join(twice)}", "once")
        return tuple(words)

    def _graph(self, value: Any) -> Graph:
        """Return the graph of wires (to, from, weight); a sparse matrix has them as entries."""
        if isinstance(value, Graph):
            return value
        if is_wires_file(value):
            try:
                return read_wires(value)
            except StudyError as error:
                raise error.within(self.name) from None
        if callable(getattr(value, "tocoo", None)):
            matrix = value.tocoo()
            weights = matrix.data.astype(float)
            columns = (matrix.row.tolist(), matrix.col.tolist(), weights.tolist())
            value = [*zip(*columns, strict=True)]
        if not _is_list(value) or not all(_is_list(wire) for wire in value):
            raise StudyError(self.name, f"wrong type: got {show(value)}", self.describe())
        node = Param(self.name, 0, kind="integer", low=0, high=MOST_NODES - 1)
        wires = []
        for row, wire in enumerate(value):
            if len(wire) not in (2, 3):
                raise StudyError(self.name, f"wire {row + 1} is {show(wire)}", self.describe())
            to, source, weight = (*wire, 1.0)[:3]
            try:
                wires.append((node.check(to), node.check(source), float(self._number(weight))))
            except StudyError as error:
                problem = f"wire {row + 1}: {error.problem}"
                raise StudyError(self.name, problem, self.describe()) from None
        return Graph(*zip(*wires, strict=True))

    def _number(self, value: Any) -> float | int:
        if isinstance(value, (bool, np.bool_)) or not isinstance(
            value, (int, float, np.integer, np.floating)
        ):
            raise StudyError(self.name, f"wrong type: got {show(value)}", self.describe())
        number: float | int
        try:
            number = float(value)
            finite = math.isfinite(number)
        except OverflowError:
            finite = False
        if not finite:
            raise StudyError(self.name, f"not finite: {show(value)}", self.describe())
        if isinstance(value, (int, np.integer)) and self.kind == "integer":
            number = int(value)  # exactly, beyond 2^53 too
        too_low = number <= 0 if self.positive else number < self.low
        if too_low or number < self.low or number > self.high:
            raise StudyError(self.name, f"out of range: {number:g}", self.describe())
        if self.kind == "integer":
            if number != int(number):
                raise StudyError(self.name, f"not an integer: {number:g}", self.describe())
            return int(number)
        # There is one zero: -0.0 would have other noise and another digest.
        return number + 0.0


def resolve(params: Sequence[Param], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter by name: the given value, checked, or its default.

    Raises
    ------
    StudyError : unknown or missing name, wrong type, out of range
    """
    known = {param.name: param for param in params}
    for name in given:
        if name not in known:
            raise StudyError(
                str(name), f"unknown key{hint(name, known)}", sorted(known) or "nothing"
            )
    for name, param in known.items():
        if param.default is None and name not in given:
            raise StudyError(name, "missing", param.describe())
    return {
        name: param.check(given[name]) if name in given else param.default
        for name, param in known.items()
    }


def check_defaults(params: Sequence[Param]) -> None:
    """Refuse defaults that parameters do not allow, or that are not as `Param.check` gives them.

    Raises
    ------
    StudyError
    """
    for param in params:
        if param.default is not None:
            canonical = param.check(param.default)
            if canonical != param.default:
                raise StudyError(param.name, f"the default {show(param.default)}", show(canonical))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)
