"""Arithmetic on what a neuron has: tuples and numbers with names, entry by entry or by a matrix.

Matrices are tuples, row by row.  Sums of products are fused multiply-adds in the order of the
columns, so that they have the same bits on every processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

from neurolim.kernels.by_address import with_arity
from neurolim.kernels.numba_types import NumbersType

#: The length of a plain number, which stands for as many as there are.
_ANY = 1 << 30


def _length(typ: Any) -> int:
    if isinstance(typ, NumbersType):
        return len(typ.names)
    return len(typ) if isinstance(typ, types.BaseTuple) else _ANY


def _parts(context: Any, builder: Any, typ: Any, value: Any, count: int) -> list[Any]:
    """Return the numbers of a vector, or ``count`` times a number."""
    if isinstance(typ, NumbersType):
        return [builder.extract_value(value, k) for k in range(len(typ.names))]
    if isinstance(typ, types.BaseTuple):
        return [
            context.cast(builder, builder.extract_value(value, k), typ[k], types.float64)
            for k in range(len(typ))
        ]
    return [context.cast(builder, value, typ, types.float64)] * count


def _operation(
    doc: str,
    arity: int,
    count: Callable[..., int],
    compute: Callable[..., list[Any]],
    with_code: bool = False,
) -> Any:
    """Return an intrinsic of vectors, and of the model before them if ``with_code``.

    Parameters
    ----------
    doc, arity : what it returns, the number of its arguments
    count : types of the arguments -> length of the result
    compute : (builder, numbers of the arguments, [type of the model]) -> numbers of the result
    """

    def typer(typing_context: Any, *arguments: Any) -> Any:
        result = types.UniTuple(types.float64, count(*arguments))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vectors = [
                _parts(context, builder, typ, value, len(result))
                for typ, value in list(zip(signature.args, args, strict=True))[with_code:]
            ]
            more = [signature.args[0]] if with_code else []
            return context.make_tuple(builder, result, compute(builder, *vectors, *more))

        return result(*arguments), generate

    typer.__doc__ = doc
    return intrinsic(with_arity(typer, arity))


def _shortest(*arguments: Any) -> int:
    return min(map(_length, arguments))


def _entries(name: str) -> Callable[..., list[Any]]:
    def compute(builder: Any, *vectors: Any) -> list[Any]:
        return [getattr(builder, name)(*entries) for entries in zip(*vectors, strict=False)]

    return compute


each_add = _operation("Return a_k + b_k.", 2, _shortest, _entries("fadd"))
each_less = _operation("Return a_k - b_k.", 2, _shortest, _entries("fsub"))
each_times = _operation("Return a_k b_k.", 2, _shortest, _entries("fmul"))
each_fma = _operation("Return a_k b_k + c_k, rounded once.", 3, _shortest, _entries("fma"))


def _relaxed(builder: Any, a: Any, b: Any, c: Any, code: Any) -> list[Any]:
    return [builder.fma(a[k], b[k], c[k]) if k in code.coupled else b[k] for k in range(len(b))]


relaxed = _operation(
    "Return a_k b_k + c_k of the coupled variables of a model, rounded once, b_k of the others.",
    4,
    lambda code, a, b, c: _length(b),
    _relaxed,
    with_code=True,
)


def _product(builder: Any, matrix: list[Any], x: list[Any]) -> list[Any]:
    d = len(x)
    rows = [matrix[k * d : (k + 1) * d] for k in range(d)]
    start = [builder.fmul(row[0], x[0]) for row in rows]
    return [_add_to(builder, total, row[1:], x[1:]) for total, row in zip(start, rows, strict=True)]


def _add_to(builder: Any, total: Any, row: list[Any], x: list[Any]) -> Any:
    for factor, value in zip(row, x, strict=True):
        total = builder.fma(factor, value, total)
    return total


def _add_product(columns: Callable[[int, int, Any], Any]) -> Callable[..., list[Any]]:
    """Return what adds the product with some columns of each row k of a matrix."""

    def compute(builder: Any, y: Any, matrix: Any, x: Any, code: Any = None) -> list[Any]:
        d, sums = len(y), []
        for k, total in enumerate(y):
            kept = columns(k, len(x), code)
            row = [matrix[k * d + j] for j in kept]
            sums.append(_add_to(builder, total, row, x[: len(row)]))
        return sums

    return compute


product = _operation("Return M x.", 2, lambda matrix, x: _length(x), _product)
add_product = _operation(
    "Return y + M x; y where x is empty.",
    3,
    lambda y, matrix, x: _length(y),
    _add_product(lambda k, size, code: range(size)),
)
add_lower = _operation(
    "Return y + M x of a lower triangular matrix.",
    3,
    lambda y, matrix, x: _length(y),
    _add_product(lambda k, size, code: range(k + 1)),
)
add_curved = _operation(
    "Return y + M x where x has the curved variables of a model only, or all.",
    4,
    lambda code, y, matrix, x: _length(y),
    _add_product(lambda k, size, code: code.curved if size == len(code.curved) else range(size)),
    with_code=True,
)


def _bends(builder: Any, f: Any, slopes: Any, x: Any, code: Any) -> list[Any]:
    d = len(x)
    return [
        _add_to(builder, f[k], [builder.fneg(slopes[k * d + j]) for j in range(d)], x)
        for k in code.curved
    ]


bends = _operation(
    "Return f_k - sum_j J_kj x_j of the curved variables k of a model.",
    4,
    lambda code, f, slopes, x: len(code.curved),
    _bends,
    with_code=True,
)


def _stage_change(builder: Any, change: Any, rate: Any, y: Any, code: Any) -> list[Any]:
    if not code.rates_move:
        return change
    zero = y[0].type(0.0)
    places = [code.curved.index(k) if k in code.curved else None for k in range(len(y))]
    changes = [zero if position is None else change[position] for position in places]
    return [builder.fma(builder.fneg(a), b, c) for a, b, c in zip(rate, y, changes, strict=True)]


stage_change = _operation(
    "Return change - rate y, change being of the curved variables, or change if no rate moves.",
    4,
    lambda code, change, rate, y: _length(y) if code.rates_move else len(code.curved),
    _stage_change,
    with_code=True,
)
