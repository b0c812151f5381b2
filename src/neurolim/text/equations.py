r"""One equation as text, read into the tree of a Python expression that uses nothing but its names.

    text -> tokens -> Python's syntax tree -> checked tree

Among the tokens ``^`` becomes ``**``, since Python's own ``^`` binds weaker than a minus.  Of the
tree every node is looked at and made anew: numbers, names of the model, + - * / and whole powers,
functions of ``neurolim.math``, and one comparison as the condition of ``where``.  Nothing of the
text is evaluated.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from neurolim.core import StudyError, hint
from neurolim.text import bounds
from neurolim.text.bounds import (
    MAX_CONSTANT,
    MAX_DEPTH,
    MAX_POWER,
    Bounds,
    added,
    called,
    chosen,
    compared,
    divided,
    multiplied,
    raised,
)
from neurolim.text.tokens import FUNCTIONS, GRAMMAR, READERS, RESERVED, on_line, short, tokens_of

_FOUR = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Part:
    """An equation, or a part of one, that has been checked.

    Parameters
    ----------
    tree : the same as a Python expression in t, x, m, c, p, z, functions and terms
    arguments : which of t, x, m, c, p, z enter
    terms, functions : names of terms, and of functions of ``neurolim.math``, that enter
    bounds : how large it is, with its terms
    constant : its value if it has no names, else None
    key : of the equation in the model; empty for a part
    """

    tree: ast.expr
    arguments: frozenset[str] = frozenset()
    terms: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    bounds: Bounds = bounds.NUMBER
    constant: float | None = None
    key: str = ""

    @property
    def text(self) -> str:
        """Return the Python expression."""
        return ast.unparse(ast.fix_missing_locations(self.tree))


@dataclass
class Names:
    """What the names of a model stand for.

    Parameters
    ----------
    params, state, fields, delays : names of parameters, state variables, fields and means that come
        late
    terms : terms by name, each made of earlier ones
    """

    params: Collection[str]
    state: Collection[str]
    fields: Collection[str]
    delays: Collection[str] = ()
    terms: dict[str, Part] = field(default_factory=dict)

    @property
    def all(self) -> list[str]:
        """Return all names of the model."""
        return [*self.params, *self.state, *self.fields, *self.delays, *self.terms]

    def allowed(self, arguments: Collection[str]) -> list[str]:
        """Return what may be written where a function has these arguments."""
        heard, met = [*self.state, *self.fields, *self.delays], [*self.state, *self.delays]
        kinds: Mapping[str, Sequence[str]] = {
            "x": list(self.state),
            "t": ["t"],
            "m": [*(f"mean({n})" for n in met), *(f"field({n})" for n in self.fields)],
            "c": [f"sum({n})" for n in heard],
            "z": [f"normal({n})" for n in self.state],
            "p": list(self.params),
        }
        inside = [n for n, part in self.terms.items() if part.arguments <= set(arguments)]
        return [*(n for kind in kinds if kind in arguments for n in kinds[kind]), *inside]


def read(text: str, names: Names, arguments: Collection[str]) -> Part:
    """Return a checked equation.

    Parameters
    ----------
    text : the equation
    names : of the model
    arguments : those of t, x, m, c, p, z that may enter

    Raises
    ------
    StudyError : whatever else is in it than numbers, arithmetic, functions and allowed names; with
        the line of an equation that has several
    """
    tokens = tokens_of(text, names.all)
    # A token a line: lines of the tree are numbers of tokens.
    program = " \\\n".join("**" if token.word == "^" else token.word for token in tokens)
    try:
        tree = ast.parse(program, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        problem = getattr(error, "msg", "") or "cannot be read"
        refusal = StudyError("", f"{problem} in {short(text)!r}", GRAMMAR)
        number = getattr(error, "lineno", None)
        if number is None:
            raise refusal from None
        raise on_line(refusal, text, tokens[min(number, len(tokens)) - 1].start) from None
    reader = _Reader(names, frozenset(arguments))
    try:
        return reader.part(tree)
    except StudyError as error:
        if reader.node is None:
            raise
        raise on_line(error, text, tokens[reader.node.lineno - 1].start) from None


class _Reader:
    """Checks a tree and makes it anew, node by node.

    Parameters
    ----------
    names, arguments : as of `read`

    Attributes
    ----------
    node : the node that is looked at; None where it is the equation as a whole
    """

    def __init__(self, names: Names, arguments: frozenset[str]) -> None:
        self.names, self.arguments = names, arguments
        self.node: ast.expr | None = None

    def part(self, node: ast.expr, depth: int = 1) -> Part:
        """Return a checked part of an equation."""
        outer, self.node = self.node, node
        if depth > MAX_DEPTH:
            self.node = None
            raise StudyError("", "nested too deeply", f"{MAX_DEPTH} levels; write `terms`")
        match node:
            case ast.Constant(value=int() | float() as digits) if not isinstance(digits, bool):
                made = self._constant(digits)
            case ast.Name(id=name):
                made = self._name(name)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                inner = self.part(operand, depth + 1)
                same = inner.constant
                size = inner.bounds._replace(size=inner.bounds.size + 1)
                value = -same if same is not None and isinstance(sign, ast.USub) else same
                made = _joined(ast.UnaryOp(sign, inner.tree), [inner], size, value)
            case ast.BinOp(op=ast.Pow(), left=left, right=right):
                made = self._power(self.part(left, depth + 1), right)
            case ast.BinOp(left=left, op=sign, right=right) if isinstance(sign, _FOUR):
                made = self._two(sign, self.part(left, depth + 1), self.part(right, depth + 1))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                made = self._call(name, args, depth)
            case _:
                problem = f"{short(node)!r} is no part of an equation"
                raise StudyError("", problem, GRAMMAR)
        if outer is None:
            self.node = None
        checked, self.node = _bounded(made), outer
        return checked

    def _constant(self, value: int | float) -> Part:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        return Part(ast.Constant(number), constant=number)

    def _name(self, name: str) -> Part:
        if name == "pi":
            return self._constant(math.pi)
        if name == "t" and "t" in self.arguments:
            return Part(ast.Name("t"), frozenset("t"), bounds=bounds.NAME)
        if name in self.names.params and "p" in self.arguments:
            return _read_of("p", name)
        if name in self.names.state and "x" in self.arguments:
            return _read_of("x", name)
        term = self.names.terms.get(name)
        if term is not None and term.arguments <= self.arguments:
            return referred(name, term)
        raise self._unknown(name)

    def _unknown(self, name: str) -> StudyError:
        """Return the refusal of a name that is not known, or not where it stands."""
        allowed = self.names.allowed(self.arguments)
        if name in self.names.all or name == "t":
            if name in self.names.fields:
                return StudyError("", f"{name!r} is a field", f"field({name}), sum({name})")
            if name in self.names.delays:
                return StudyError("", f"{name!r} is a mean", f"mean({name}), sum({name})")
            return StudyError("", f"{name!r} cannot enter here", allowed or "a number")
        if name in RESERVED:
            return StudyError("", f"{name!r} is a function", f"{name}(...)")
        close = hint(name, self.names.all)
        return StudyError("", f"unknown name {name!r}{close}", allowed or "a number")

    def _power(self, base: Part, exponent: ast.expr) -> Part:
        sign, node = 1, exponent
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            sign, node = -1, node.operand
        value = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(value, (int, float)) or value not in range(MAX_POWER + 1):
            allowed = f"a whole number up to {MAX_POWER}; otherwise sqrt(a), or exp(b*log(a))"
            raise StudyError("", f"power {short(exponent)}", allowed)
        power = sign * int(value)
        constant = None if base.constant is None else _value_of(ast.Pow(), base.constant, power)
        tree: ast.expr = ast.Constant(abs(power))
        tree = ast.UnaryOp(ast.USub(), tree) if power < 0 else tree
        size = raised(base.bounds, power)
        return _joined(ast.BinOp(base.tree, ast.Pow(), tree), [base], size, constant)

    def _two(self, sign: ast.operator, left: Part, right: Part) -> Part:
        """Return a sum, difference, product or quotient."""
        a, b = left.constant, right.constant
        if b == 0.0 and isinstance(sign, ast.Div):
            raise StudyError("", "division by zero", "a denominator that is not 0")
        constant = None if a is None or b is None else _value_of(sign, a, b)
        grown = {ast.Mult: multiplied, ast.Div: divided}.get(type(sign), added)
        size = grown(left.bounds, right.bounds)
        return _joined(ast.BinOp(left.tree, sign, right.tree), [left, right], size, constant)

    def _call(self, name: str, args: list[ast.expr], depth: int) -> Part:
        if name in READERS:
            return self._reader(name, args)
        if name not in FUNCTIONS:
            problem = f"unknown function {name!r}{hint(name, [*FUNCTIONS, *READERS])}"
            raise StudyError("", problem, [*FUNCTIONS, *READERS])
        if len(args) != FUNCTIONS[name]:
            problem = f"{name} of {len(args)} arguments"
            raise StudyError("", problem, f"{name} of {FUNCTIONS[name]}")
        parts: list[Part] = []
        if name == "where":
            match args[0]:
                case ast.Compare(left=left, ops=[sign], comparators=[right]):
                    pair = [self.part(side, depth + 2) for side in (left, right)]
                    asked = ast.Compare(pair[0].tree, [sign], [pair[1].tree])
                    parts.append(_joined(asked, pair, compared(pair[0].bounds, pair[1].bounds)))
                case _:
                    problem = f"condition {short(args[0])!r}"
                    raise StudyError("", problem, "one comparison, such as v < 1")
            args = args[1:]
        parts += [self.part(arg, depth + 1) for arg in args]
        tree = ast.Call(ast.Name(name), [part.tree for part in parts], [])
        size = (chosen if name == "where" else called)(*(part.bounds for part in parts))
        made = _joined(tree, parts, size)
        return replace(made, functions=made.functions | {name})

    def _reader(self, name: str, args: list[ast.expr]) -> Part:
        """Return what `mean`, `field`, `sum` and `normal` read of a variable or field."""
        known = {
            "mean": [*self.names.state, *self.names.delays],
            "field": list(self.names.fields),
            "sum": [*self.names.state, *self.names.fields, *self.names.delays],
            "normal": list(self.names.state),
        }[name]
        argument = READERS[name]
        if argument not in self.arguments:
            problem = f"{name}(...) cannot enter here"
            raise StudyError("", problem, self.names.allowed(self.arguments) or "a number")
        match args:
            case [ast.Name(id=inner)] if inner in known:
                return _read_of(argument, inner)
        text = f"{name}({', '.join(short(arg) for arg in args)})"
        allowed = ", ".join(f"{name}({name_inside})" for name_inside in known)
        raise StudyError("", f"{text!r} is not known", allowed or "a model with fields")


def _read_of(argument: str, name: str) -> Part:
    """Return what a name reads of an argument."""
    return Part(ast.Attribute(ast.Name(argument), name), frozenset(argument), bounds=bounds.NAME)


def referred(name: str, term: Part) -> Part:
    """Return the name of a term in place of the term.

    A term of parameters alone is a number of the model; any other is worked out where it is used.
    """
    if term.arguments <= {"p"}:
        return _read_of("p", name)
    # It counts as if it were written out.
    inside = term.terms | {name}
    return replace(term, tree=ast.Name(f"term_{name}"), terms=inside)


def _joined(
    tree: ast.expr, parts: Sequence[Part], size: Bounds, constant: float | None = None
) -> Part:
    """Return a part made of others."""

    def union(sets: Iterator[frozenset[str]]) -> frozenset[str]:
        return frozenset().union(*sets)

    return Part(
        tree,
        union(part.arguments for part in parts),
        union(part.terms for part in parts),
        union(part.functions for part in parts),
        size,
        constant,
    )


def _value_of(sign: ast.operator, a: float, b: float) -> float:
    """Return what an operator makes of two numbers, infinity where that is too much."""
    try:
        return float(_OPERATORS[type(sign)](a, b))
    except (OverflowError, ZeroDivisionError):
        return math.inf


def _bounded(part: Part) -> Part:
    """Return a part that is not too large."""
    part.bounds.checked()
    value = part.constant
    if value and not 1.0 / MAX_CONSTANT <= abs(value) <= MAX_CONSTANT:
        raise StudyError("", f"a constant of {value:g}", f"0, or 1e-100 to {MAX_CONSTANT:g}")
    return part
