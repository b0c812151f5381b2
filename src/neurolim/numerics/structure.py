r"""What follows from a model's equations, derived once by calling them with symbols.

The functions of a model are called with SymPy symbols for t, x, m, c, p.  The expressions they
return say exactly what enters what, what is affine, of which degree a polynomial is, and what the
derivatives are.  The result is small data: booleans by name and the text of the derivatives, kept
on disk under the digest of the model's code, so that SymPy is imported once per model and never by
a job that finds it there.

A parameter counts as not zero: ``if p.f5 != 0.0`` is the general case for a symbol.  A function
that asks whether a state is positive (``if x.v > 0``) cannot be traced and says so; write
``neurolim.math.where``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from neurolim.core import Model
from neurolim.core.digests import model_digest
from neurolim.core.model import assemble
from neurolim.provenance import code_digest

#: Arguments of the derivatives, whatever enters them.
_HEAD = "(x, m, c, p, t=0.0)"


@dataclass(frozen=True)
class Structure:
    """What holds for a model whatever its parameters.

    Names are those of the equations: "x.v", "m.activity", "c.v", "t".

    Parameters
    ----------
    untraceable : by function that cannot be called with symbols, the reason; what depends on it
        below is missing
    depends : names that enter the drift of each variable [d]
    bends : those of them that enter it otherwise than affinely, with constant coefficients [d]
    degree : total degree in x of the drift of each variable, None where it is no polynomial [d]
    pulled, gapped : variables with synapses, with gap junctions [d]
    rates_depend, targets_depend : names that enter pull and gap, and the targets
    fields_bend : names that enter the fields otherwise than affinely
    normal : the initial law is normal: affine in z, each variable in its own
    texts : of the derivatives, by name
    """

    untraceable: dict[str, str]
    depends: tuple[tuple[str, ...], ...]
    bends: tuple[tuple[str, ...], ...]
    degree: tuple[int | None, ...]
    pulled: tuple[bool, ...]
    gapped: tuple[bool, ...]
    rates_depend: tuple[str, ...]
    targets_depend: tuple[str, ...]
    fields_bend: tuple[str, ...]
    normal: bool
    texts: dict[str, str]

    @property
    def traced(self) -> bool:
        """Return whether all that matters to solvers could be derived."""
        return not set(self.untraceable) - {"initial"}

    @property
    def relaxing(self) -> tuple[bool, ...]:
        """Return which variables have a strong coupling [d]."""
        return tuple(a or b for a, b in zip(self.pulled, self.gapped, strict=True))

    @property
    def rates_move(self) -> bool:
        """Return whether pull or gap change with means or fields."""
        return bool(self.rates_depend)

    @property
    def curved(self) -> tuple[bool, ...]:
        """Return which drifts are not affine in x alone with constant coefficients [d]."""
        return tuple(
            bool(bend) or any(not name.startswith("x.") for name in names)
            for bend, names in zip(self.bends, self.depends, strict=True)
        )

    @property
    def linear(self) -> bool:
        """Return whether drift and fields are affine in x, m, c and the rates constant."""
        return (
            self.traced
            and not any(self.bends)
            and not any("t" in names for names in self.depends)
            and not self.rates_depend
            and not any(self.pulled)
            and not self.fields_bend
        )


class Derivatives(NamedTuple):
    """Derivatives of a model's functions, of (x, m, c, p, t=0), row by row in one flat tuple.

    drift_x, drift_m, drift_c : d drift_k/d x_j [d, d], d m_j and d c_j [d, d + n_fields]
    drift_xx : d^2 drift_k/d x_j^2 [d, d]
    field_x, field_xx : d field_k/d x_j, d^2 field_k/d x_j^2 [n_fields, d]
    initial_z : d initial_k/d z_j at z = x [d, d]
    """

    drift_x: Callable[..., Any]
    drift_m: Callable[..., Any]
    drift_c: Callable[..., Any]
    drift_xx: Callable[..., Any]
    field_x: Callable[..., Any]
    field_xx: Callable[..., Any]
    initial_z: Callable[..., Any]


@lru_cache(maxsize=256)
def structure_of(model: Model) -> Structure:
    """Return the structure of a model, from disk where it was derived before."""
    digest = model_digest(model)
    path = None if digest is None else _folder() / f"structure-{digest}-{_own_digest()}.json"
    if path is not None:
        try:
            return _read(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not there, or spoilt: derived again
    found = derive(model)
    if path is not None:
        _keep(path, json.dumps(asdict(found)))
    return found


def derivatives_of(
    model: Model, take: Callable[[Any], Any] = lambda function: function
) -> Derivatives:
    """Return the derivatives of a model as functions.

    Parameters
    ----------
    model : the model
    take : turns a function that is called into what is called: itself, or compiled
    """
    from neurolim import math as names

    space: dict[str, Any] = {
        "__name__": __name__,
        "State": namedtuple("State", model.symbols),
        "Means": namedtuple("Means", model.means),
    }
    space |= {name: getattr(names, name) for name in names.__all__}
    for text in structure_of(model).texts.values():
        exec(text, space)  # text printed by this module
    return Derivatives(*(space.get(name, _missing(model, name)) for name in Derivatives._fields))


def _missing(model: Model, name: str) -> Callable[..., Any]:
    def fail(*arguments: Any, **more: Any) -> Any:
        raise ArithmeticError(f"{model.name}: {name} is not known")

    return fail


@lru_cache(maxsize=1)
def _own_digest() -> str:
    from importlib.metadata import version

    return f"{code_digest(__name__)}-{version('sympy')}"


def _folder() -> Path:
    """Return the folder of compiled code, where structures are kept, too."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return Path(given)
    beside = Path(__file__).parent / "__pycache__"
    if os.access(beside if beside.is_dir() else beside.parent, os.W_OK):
        return beside
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "neurolim"


def _keep(path: Path, text: str) -> None:
    """Write a file that others see whole or not at all; one that cannot be written is no loss."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, path)
    except OSError:
        return


def _read(text: str) -> Structure:
    raw = json.loads(text)

    def frozen(value: Any) -> Any:
        return tuple(frozen(part) for part in value) if isinstance(value, list) else value

    return Structure(**{name: frozen(value) for name, value in raw.items()})


def derive(model: Model) -> Structure:
    """Return the structure of a model by calling its functions with symbols."""
    symbols = _Symbols(model)
    equations = assemble(model)
    x, m, c, p, t = symbols.x, symbols.m, symbols.c, symbols.p, symbols.t
    reasons: dict[str, str] = {}

    def traced(name: str, call: Callable[[], Any]) -> tuple[Any, ...] | None:
        try:
            return tuple(symbols.numbers(part) for part in call())
        except Exception as error:  # whatever a stranger's function does with a symbol
            reasons[name] = _reason(error)
            return None

    d = len(x)
    drift = traced("drift", lambda: equations.drift(x, m, c, p, t))
    relaxed = traced("coupling", lambda: sum(equations.relax(m, c, p), ())) or (0,) * (3 * d)
    pull, target, gap = relaxed[:d], relaxed[d : 2 * d], relaxed[2 * d :]
    sent = traced("fields", lambda: equations.field(x, p))
    start = traced("initial", lambda: equations.initial(symbols.z, p))
    variables = (*x, *m, *c, t)
    texts: dict[str, str] = {}
    if drift is not None:
        texts |= {
            "drift_x": symbols.text("drift_x", [f.diff(v) for f in drift for v in x]),
            "drift_m": symbols.text("drift_m", [f.diff(v) for f in drift for v in m]),
            "drift_c": symbols.text("drift_c", [f.diff(v) for f in drift for v in c]),
            "drift_xx": symbols.text("drift_xx", [f.diff(v, 2) for f in drift for v in x]),
        }
    if sent is not None:
        texts |= {
            "field_x": symbols.text("field_x", [f.diff(v) for f in sent for v in x]),
            "field_xx": symbols.text("field_xx", [f.diff(v, 2) for f in sent for v in x]),
        }
    if start is not None:
        at_x = dict(zip(symbols.z, x, strict=True))
        slopes = [f.diff(v).subs(at_x) for f in start for v in symbols.z]
        texts["initial_z"] = symbols.text("initial_z", slopes)
    return Structure(
        untraceable=reasons,
        depends=tuple(symbols.entering([f], variables) for f in drift or ()),
        bends=tuple(symbols.bending([f], variables) for f in drift or ()),
        degree=tuple(symbols.degree(f) for f in drift or ()),
        pulled=tuple(f != 0 for f in pull),
        gapped=tuple(f != 0 for f in gap),
        rates_depend=symbols.entering([*pull, *gap], variables),
        targets_depend=symbols.entering(
            [f for f, rate in zip(target, pull, strict=True) if rate != 0], variables
        ),
        fields_bend=symbols.bending(sent or (), variables),
        normal=start is not None and symbols.normal(start),
        texts=texts,
    )


def _reason(error: Exception) -> str:
    """Return why a function cannot be traced, in words of its author."""
    if isinstance(error, TypeError) and "truth value of Relational" in str(error):
        return "asks `if` of a state or mean: write neurolim.math.where(condition, a, b)"
    return f"cannot be called with symbols: {type(error).__name__}: {' '.join(str(error).split())}"


class _Symbols:
    """Symbols for a model's arguments, named as the equations name them, and what is asked."""

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
            lambda part: part.is_Float and float(part).is_integer(),
            lambda part: self.sympy.Integer(int(part)),
        )

    def entering(self, expressions: Iterable[Any], variables: Iterable[Any]) -> tuple[str, ...]:
        """Return the names of the variables on which the expressions depend."""
        free = set().union(*(f.free_symbols for f in expressions))
        kept = [v for v in variables if v in free]
        return tuple(
            v.name for v in kept if any(self._expanded(f.diff(v)) != 0 for f in expressions)
        )

    def bending(self, expressions: Iterable[Any], variables: Iterable[Any]) -> tuple[str, ...]:
        """Return the names of the variables that enter otherwise than affinely."""
        names = set(variables)
        return tuple(
            v.name
            for v in variables
            if any(self._expanded(f.diff(v)).free_symbols & names for f in expressions)
        )

    def degree(self, expression: Any) -> int | None:
        """Return the total degree of a polynomial in x, or None."""
        if not expression.is_polynomial(*self.x):
            return None
        return int(self.sympy.Poly(expression, *self.x).total_degree())

    def normal(self, start: Iterable[Any]) -> bool:
        """Return whether each variable starts as an affine function of its own normal."""
        own = [self.entering([f], self.z) for f in start]
        bent = self.bending(list(start), self.z)
        return not bent and all(
            set(names) <= {z.name} for names, z in zip(own, self.z, strict=True)
        )

    def text(self, name: str, expressions: list[Any]) -> str:
        """Return the text of a function with these values."""
        printer = _printer()
        shared, values = self.sympy.cse(expressions, self.sympy.numbered_symbols("part"))
        lines = [f"def {name}{_HEAD}:", "    x, m, c = State(*x), Means(*m), Means(*c)"]
        lines += [f"    {symbol} = {printer.doprint(value)}" for symbol, value in shared]
        result = "".join(f"{printer.doprint(self.sympy.sympify(v))}, " for v in values)
        return "\n".join([*lines, f"    return ({result})", ""])

    def _expanded(self, expression: Any) -> Any:
        return self.numbers(self.sympy.expand(expression))


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

        def _print_Piecewise(self, expr: Any) -> str:
            text = self._print(expr.args[-1][0])
            for value, condition in reversed(expr.args[:-1]):
                text = f"where({self._print(condition)}, {self._print(value)}, {text})"
            return text

        def _print_Function(self, expr: Any) -> str:
            return f"{expr.func.__name__}({', '.join(self._print(a) for a in expr.args)})"

        _print_exp = _print_log = _print_tanh = _print_sin = _print_cos = _print_Function

    return Printer({"fully_qualified_modules": False})
