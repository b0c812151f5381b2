"""The functions of ``neurolim.math`` for symbols; importing this imports SymPy."""

from __future__ import annotations

from typing import Any

import sympy
from sympy import cos, exp, log, sin, sqrt, tanh

__all__ = ["cos", "exp", "expm1", "log", "sigmoid", "sin", "sqrt", "tanh", "where"]


class sigmoid(sympy.Function):  # noqa: N801  # printed as it is called
    """1/(1 + e^-x), whose slope s (1 - s) does not overflow."""

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return self * (1 - self)


def expm1(x: Any) -> Any:
    """Return e^x - 1."""
    return sympy.exp(x) - 1


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return a where the condition holds, b elsewhere."""
    return sympy.Piecewise((a, condition), (b, True))
