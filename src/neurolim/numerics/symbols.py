"""The functions of ``neurolim.math`` for symbols; importing this imports SymPy."""

from __future__ import annotations

from typing import Any

import sympy
from sympy import cos, exp, log, sin, sqrt, tanh

__all__ = [
    "cos",
    "exp",
    "expm1",
    "log",
    "normal_cdf",
    "normal_quantile",
    "sigmoid",
    "sin",
    "sqrt",
    "tanh",
    "where",
]


class sigmoid(sympy.Function):  # noqa: N801  # printed as it is called
    """1/(1 + e^-x), whose slope s (1 - s) does not overflow."""

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return self * (1 - self)


class normal_cdf(sympy.Function):  # noqa: N801
    """The standard normal distribution function."""

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return exp(-(self.args[0] ** 2) / 2) / sqrt(2 * sympy.pi)


class normal_quantile(sympy.Function):  # noqa: N801
    """The inverse of the standard normal distribution function."""

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return sqrt(2 * sympy.pi) * exp(self**2 / 2)


def expm1(x: Any) -> Any:
    """Return e^x - 1."""
    return sympy.exp(x) - 1


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return a where the condition holds, b elsewhere."""
    return sympy.Piecewise((a, condition), (b, True))
