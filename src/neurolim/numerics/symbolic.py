"""Questions to a model's equations, answered by algebra; asking the first imports SymPy."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from neurolim.core import Model

#: Arguments of the derivatives, whatever enters them.
_HEAD = "(x, m, c, p, t=0.0)"
#: Where floats end that are worth writing as integers.
_LARGE = 2.0**53
#: The line of a derivative that gives its arguments names.
NAMING = "    x, m, c = State(*x), Means(*m), Means(*c)"


class Symbols:
    """Symbols for a model's arguments, named as the equations name them, and what is asked.

    Parameters
    ----------
    model : the model
    """

    def __init__(self, model: Model) -> None:
        import sympy

        self.sympy = sympy

        def named(kind: str, prefix: str, names: Iterable[str]) -> Any:
            parts = [sympy.Symbol(f"{prefix}.{name}", real=True) for name in names]
            return namedtuple(kind, list(names))(*parts)

        self.x = named("State", "x", model.symbols)
        self.z = named("State", "z", model.symbols)
        self.m = named("Means", "m", model.means)
        self.c = named("Means", "c", model.means)
        self.p = named("Numbers", "p", model.numbers._fields)
        self.t = sympy.Symbol("t", real=True)

    def numbers(self, value: Any) -> Any:
        """Return a value of a model's function as an expression."""
        expression = self.sympy.sympify(value)
        if not isinstance(expression, self.sympy.Expr):
            raise TypeError(f"returns {value!r}")
        # 0.0 and 1.0 become 0 and 1, which vanish from sums and products.
        return expression.replace(
            lambda part: part.is_Float and abs(part) < _LARGE and float(part).is_integer(),
            lambda part: self.sympy.Integer(int(part)),
        )

    def entering(self, expressions: Iterable[Any], variables: Iterable[Any]) -> tuple[str, ...]:
        """Return the names of the variables on which the expressions depend."""
        free = set().union(*(f.free_symbols for f in expressions))
        kept = [v for v in variables if v in free]
        return tuple(
            v.name for v in kept if any(self._left(f.diff(v)) is not None for f in expressions)
        )

    def bending(self, expressions: Iterable[Any], variables: Iterable[Any]) -> tuple[str, ...]:
        """Return the names of the variables that enter otherwise than affinely."""
        names = set(variables)
        return tuple(
            v.name
            for v in variables
            if any((self._left(f.diff(v)) or set()) & names for f in expressions)
        )

    def mixing(self, expressions: Iterable[Any]) -> list[tuple[Any, Any]]:
        """Return the pairs of states such that a slope in the one moves with the other."""
        slopes = [[self._left(f.diff(v)) or set() for v in self.x] for f in expressions]
        return [
            (v, w)
            for i, v in enumerate(self.x)
            for w in self.x[i:]
            if any(w in row[i] for row in slopes)
        ]

    def degree(self, expression: Any) -> int | None:
        """Return the total degree of a polynomial in x, or None."""
        if not expression.is_polynomial(*self.x):
            return None
        return int(self.sympy.Poly(self._flat(expression)[0], *self.x).total_degree())

    def power(self, expression: Any, variable: Any) -> int | None:
        """Return the degree of a polynomial in one variable, or None."""
        if not expression.is_polynomial(variable):
            return None
        # The zero polynomial is of degree -oo.
        flat = self._flat(expression)[0]
        return 0 if flat == 0 else int(self.sympy.degree(flat, variable))

    def coefficients(self, expression: Any, variable: Any) -> list[Any]:
        """Return the coefficients of a polynomial in one variable, lowest first, or nothing."""
        if self.power(expression, variable) is None:
            return []
        flat, inside = self._flat(expression)
        coefficients = self.sympy.Poly(flat, variable).all_coeffs()
        return [part.xreplace(inside) for part in reversed(coefficients)]

    def normal(self, start: Iterable[Any]) -> bool:
        """Return whether each variable starts as an affine function of its own normal."""
        own = [self.entering([f], self.z) for f in start]
        bent = self.bending(list(start), self.z)
        return not bent and all(
            set(names) <= {z.name} for names, z in zip(own, self.z, strict=True)
        )

    def check_smooth(self, expressions: Iterable[Any]) -> None:
        """Refuse what has no derivative as a formula.

        Raises
        ------
        ArithmeticError : remainders, floors and ceilings
        """
        steps = (self.sympy.Mod, self.sympy.floor, self.sympy.ceiling, self.sympy.frac)
        for expression in expressions:
            if self.sympy.sympify(expression).atoms(*steps):
                raise ArithmeticError("%, //, floor and ceiling have no derivative as a formula")

    def text(self, name: str, expressions: list[Any]) -> str:
        """Return the text of a function with these values."""
        printer = _printer()
        shared, values = self.sympy.cse(expressions, self.sympy.numbered_symbols("part"))
        lines = [f"def {name}{_HEAD}:", NAMING]
        lines += [f"    {symbol} = {printer.doprint(value)}" for symbol, value in shared]
        result = "".join(f"{printer.doprint(self.sympy.sympify(v))}, " for v in values)
        return "\n".join([*lines, f"    return ({result})", ""])

    def vanishes(self, expression: Any) -> bool:
        """Return whether an expression is zero when brackets are multiplied out."""
        return self._left(self.numbers(expression)) is None

    def _left(self, expression: Any) -> set[Any] | None:
        """Return the symbols that are left when brackets are multiplied out, None for zero."""
        flat, inside = self._flat(expression)
        found = self.numbers(self.sympy.expand(flat))
        if found == 0:
            return None
        return set().union(*(inside.get(s, s).free_symbols for s in found.free_symbols))

    def _flat(self, expression: Any) -> tuple[Any, dict[Any, Any]]:
        """Return a polynomial in symbols, and what those stand for that are not the model's.

        Functions and denominators get such symbols: what is inside them cancels with nothing, and
        multiplying it out takes time without end.
        """
        inside: dict[Any, Any] = {}

        def flat(part: Any) -> Any:
            if part.is_Add or part.is_Mul:
                return part.func(*(flat(inner) for inner in part.args))
            if part.is_Pow and part.exp.is_Integer and part.exp > 0:
                return flat(part.base) ** part.exp
            return part if part.is_Atom else inside.setdefault(part, self.sympy.Dummy())

        found = flat(expression)
        return found, {symbol: part for part, symbol in inside.items()}


@lru_cache(maxsize=1)
def _printer() -> Any:
    """Return what writes expressions with the functions of ``neurolim.math``."""
    from sympy.printing.pycode import PythonCodePrinter

    class Printer(PythonCodePrinter):
        def _print_Integer(self, expr: Any) -> str:
            return f"{int(expr)}.0"

        def _print_Rational(self, expr: Any) -> str:
            return repr(int(expr.p) / int(expr.q))

        def _print_Float(self, expr: Any) -> str:
            return repr(float(expr))

        def _print_Pow(self, expr: Any, **settings: Any) -> str:
            base, power = self.parenthesize(expr.base, 100), expr.exp
            if power.is_Integer:
                # Products, which have the same bits everywhere; powers come from a library.
                product = "*".join([base] * abs(int(power)))
                return f"({product})" if power > 0 else f"(1.0/({product}))"
            if power.is_Rational and abs(power) * 2 == 1:
                return f"sqrt({base})" if power > 0 else f"(1.0/sqrt({base}))"
            return f"exp({self._print(power)}*log({base}))"

        def _print_sign(self, expr: Any) -> str:
            value = self._print(expr.args[0])
            return f"where({value} > 0.0, 1.0, where({value} < 0.0, -1.0, 0.0))"

        def _print_DiracDelta(self, expr: Any) -> str:
            return "0.0"  # a kink has no curvature but in its point

        def _print_Piecewise(self, expr: Any) -> str:
            text = self._print(expr.args[-1][0])
            for value, condition in reversed(expr.args[:-1]):
                text = f"where({self._print(condition)}, {self._print(value)}, {text})"
            return text

        def _print_Function(self, expr: Any) -> str:
            return f"{expr.func.__name__}({', '.join(self._print(a) for a in expr.args)})"

        _print_exp = _print_log = _print_tanh = _print_sin = _print_cos = _print_Function

    return Printer({"fully_qualified_modules": False})
