"""The words of an equation: numbers, names, operators, brackets and commas."""

from __future__ import annotations

import ast
import itertools
import keyword
import re
from collections.abc import Collection
from typing import NamedTuple

from neurolim.core import StudyError

#: Functions of ``neurolim.math`` by their number of arguments.
FUNCTIONS = {
    **dict.fromkeys(("cos", "exp", "expm1", "log", "sigmoid", "sin", "sqrt", "tanh"), 1),
    "where": 3,
}
#: What is said of another name: which argument of a model's functions that name is read from.
READERS = {"mean": "m", "field": "m", "sum": "c", "normal": "z"}
#: Names that no part of a model can have.
RESERVED = frozenset((*FUNCTIONS, *READERS, "t", "pi"))

#: Characters of an equation.
MAX_LENGTH = 1000

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\*\*|//|<=|>=|==|!=|\S))",
    re.ASCII,
)
_SIGNS = frozenset(("+", "-", "*", "/", "**", "^", "(", ")", ",", "<", "<=", ">", ">="))
GRAMMAR = (
    "+ - * / ^ ( ), numbers, names, "
    + ", ".join(name for name in FUNCTIONS if name != "where")
    + ", where(a < b, then, else)"
)


class Token(NamedTuple):
    """A word of an equation and where it stands in the text."""

    kind: str
    word: str
    start: int
    stop: int


def tokens_of(text: str, names: Collection[str]) -> list[Token]:
    """Return the words of an equation.

    Parameters
    ----------
    text : the equation
    names : of the model; in front of a bracket they are no functions

    Raises
    ------
    StudyError : a sign or word that no equation has, or two values without an operator between
    """
    if len(text) > MAX_LENGTH:
        raise StudyError("", f"{len(text)} characters", f"at most {MAX_LENGTH}")
    tokens: list[Token] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        assert match is not None
        kind = str(match.lastgroup)
        word = match[kind]
        if (kind == "sign" and word not in _SIGNS) or keyword.iskeyword(word):
            error = StudyError("", f"{word!r} is no part of an equation", GRAMMAR)
            raise on_line(error, text, match.start(kind))
        tokens.append(Token(kind, word, match.start(kind), match.end()))
        position = match.end()
    if not tokens:
        raise StudyError("", "empty", "an equation or a number")
    values = {*names, "t", "pi"}
    gaps = [
        left.stop
        for left, right in itertools.pairwise(tokens)
        if _is_value(left.kind, left.word, ")")
        and _is_value(right.kind, right.word, "(")
        and not (left.kind == "name" and right.word == "(" and left.word not in values)
    ]
    if gaps:
        right = text
        for stop in reversed(gaps):
            right = f"{right[:stop]}*{right[stop:].lstrip()}"
        problem = f"no operator between two values in {short(text)!r}"
        raise on_line(StudyError("", problem, short(right)), text, gaps[0])
    return tokens


def on_line(error: StudyError, text: str, position: int) -> StudyError:
    """Return a refusal with the number of the line in an equation of several lines."""
    if "\n" not in text.strip():
        return error
    line = text.count("\n", 0, position) + 1
    return StudyError(error.key, f"line {line}: {error.problem}", error.allowed)


def _is_value(kind: str, word: str, bracket: str) -> bool:
    return kind in ("number", "name") or word == bracket


def short(text: str | ast.expr) -> str:
    """Return a text, or that of a tree, in one line, cut where it is long."""
    try:
        line = " ".join((text if isinstance(text, str) else ast.unparse(text)).split())
    except RecursionError:
        return "..."
    return line if len(line) <= 120 else f"{line[:117]}..."
