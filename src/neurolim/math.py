"""Functions for a model's equations: one name for numbers, arrays, symbols and compiled code.

In kernels and with numbers they are those of ``numerics.elementary``: the same bits on every
machine.  Where a model's structure is derived they are those of SymPy.  Instead of ``if`` on the
state, write ``where(condition, a, b)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba.extending import overload

from neurolim.numerics import elementary
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.compiled import OPTIONS, entry
from neurolim.provenance import code_digest

__all__ = [
    "cos",
    "exp",
    "expm1",
    "log",
    "normal_cdf",
    "normal_quantile",
    "pi",
    "sigmoid",
    "sin",
    "sqrt",
    "tanh",
    "where",
]

pi = math.pi

_OPTIONS = OPTIONS | {"forceinline": True}


def is_symbol(x: Any) -> bool:
    """Return whether x is an expression of SymPy (without importing it)."""
    return hasattr(x, "free_symbols")


@lru_cache(maxsize=16)
def _kept(function: Any) -> Any:
    """Return an elementary function for Python to call, compiled once on a machine."""
    return keep_compiled(entry(function.py_func), code_digest(elementary.__name__))


def _called(name: str, compute: Callable[[float], float], x: Any) -> Any:
    """Return a function of a number, of an array entry by entry, or of a symbol."""
    if is_symbol(x):
        from neurolim.numerics import symbols

        return getattr(symbols, name)(x)
    if isinstance(x, np.ndarray):
        flat = [compute(float(value)) for value in x.ravel()]
        return np.array(flat, dtype=float).reshape(x.shape)
    return compute(float(x))


def exp(x: Any) -> Any:
    """Return e^x; arguments are clipped to [-708, 709]."""
    return _called("exp", _kept(elementary.exp), x)


def expm1(x: Any) -> Any:
    """Return e^x - 1, accurate near 0."""
    return _called("expm1", _kept(elementary.expm1), x)


def log(x: Any) -> Any:
    """Return the natural logarithm: -inf at zero, NaN below."""
    return _called("log", _kept(elementary.log_of_any), x)


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent."""
    return _called("tanh", _kept(elementary.tanh), x)


def sigmoid(x: Any) -> Any:
    """Return 1/(1 + e^-x)."""
    return _called("sigmoid", _kept(elementary.sigmoid), x)


def sin(x: Any) -> Any:
    """Return the sine."""
    return _called("sin", _kept(elementary.sin), x)


def cos(x: Any) -> Any:
    """Return the cosine."""
    return _called("cos", _kept(elementary.cos), x)


def normal_cdf(x: Any) -> Any:
    """Return the standard normal distribution function: a normal number becomes a uniform one."""
    return _called("normal_cdf", _kept(elementary.normal_cdf), x)


def normal_quantile(x: Any) -> Any:
    """Return the inverse of the standard normal distribution function."""
    return _called("normal_quantile", _kept(elementary.normal_quantile), x)


def sqrt(x: Any) -> Any:
    """Return the square root."""
    return _called("sqrt", math.sqrt, x)


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return a where the condition holds, b elsewhere."""
    if is_symbol(condition):
        from neurolim.numerics import symbols

        return symbols.where(condition, a, b)
    if isinstance(condition, np.ndarray):
        return np.where(condition, a, b)
    return a if condition else b


def _compiles_to(plain: Callable[..., Any], compiled: Callable[..., Any]) -> None:
    """Let numba call ``compiled`` where equations name ``plain``."""
    overload(plain, jit_options=_OPTIONS)(lambda x: compiled)


for _plain, _compiled in (
    (exp, elementary.exp),
    (expm1, elementary.expm1),
    (log, elementary.log_of_any),
    (tanh, elementary.tanh),
    (sigmoid, elementary.sigmoid),
    (sin, elementary.sin),
    (cos, elementary.cos),
    (normal_cdf, elementary.normal_cdf),
    (normal_quantile, elementary.normal_quantile),
):
    _compiles_to(_plain, _compiled.py_func)


@overload(sqrt, jit_options=_OPTIONS)
def _sqrt(x):
    return lambda x: np.sqrt(x)


@overload(where, jit_options=_OPTIONS)
def _where(condition, a, b):
    return lambda condition, a, b: a if condition else b
