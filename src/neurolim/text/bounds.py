"""How large an equation is, and how large algebra would make it.

Solvers are handed derivatives of equations, and brackets are multiplied out to see what is linear
(``numerics.structure``).  Both take time that grows exponentially with the length of a text that
was written for it.  What is counted here bounds that time before any algebra is done.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from neurolim.core import StudyError

#: Parts of an equation with its terms, and how deep they nest.
MAX_SIZE = 400
MAX_DEPTH = 60
#: Terms and factors when brackets are multiplied out, and the same of derivatives.
MAX_SUMMANDS = 500
MAX_DEGREE = 40
MAX_SLOPES = 2000
#: Choices within one condition, of which algebra looks at every combination.
MAX_ASKED = 2
#: Powers beyond are written with exp and log.
MAX_POWER = 16
#: Constants are between this and its inverse, or zero.
MAX_CONSTANT = 1e100


class Bounds(NamedTuple):
    """What bounds the time that algebra takes on an equation.

    Parameters
    ----------
    size, depth : number of parts, and how deep they nest
    summands, slopes : at most so many terms if brackets are multiplied out, of itself and of its
        derivative; functions and denominators stay as they are
    degree : factors of a term
    choices, asked : number of choices, and the largest number within one condition
    """

    size: int = 1
    depth: int = 1
    summands: int = 1
    slopes: int = 0
    degree: int = 0
    choices: int = 0
    asked: int = 0

    def checked(self) -> Bounds:
        """Return the same.

        Raises
        ------
        StudyError : it is too large
        """
        for count, most, unit in (
            (self.size, MAX_SIZE, "numbers, names and operators, with those of the terms"),
            (self.depth, MAX_DEPTH, "operators and brackets within each other"),
            (self.degree, MAX_DEGREE, "factors in one term (a function counts as three)"),
            (self.summands, MAX_SUMMANDS, "terms when brackets are multiplied out"),
            (self.asked, MAX_ASKED, "where(...) within one condition"),
            (self.slopes, MAX_SLOPES, "terms in a derivative, multiplied out"),
        ):
            if count > most:
                raise StudyError("", f"{count:.4g} {unit}", f"at most {most}")
        return self


NUMBER = Bounds()
NAME = Bounds(slopes=1, degree=1)


def _within(*parts: Bounds) -> Bounds:
    """Return the bounds of what algebra takes for one thing, made of others."""
    return Bounds(
        1 + sum(part.size for part in parts),
        1 + max(part.depth for part in parts),
        slopes=sum(part.slopes for part in parts),
        degree=3,
        choices=sum(part.choices for part in parts),
        asked=max(part.asked for part in parts),
    )


def compared(a: Bounds, b: Bounds) -> Bounds:
    """Return the bounds of a < b."""
    size = _within(a, b)
    return size._replace(asked=max(size.asked, size.choices))


def chosen(condition: Bounds, a: Bounds, b: Bounds) -> Bounds:
    """Return the bounds of a where the condition holds, b elsewhere."""
    size = _within(condition, a, b)
    return size._replace(choices=size.choices + 1)


def called(part: Bounds) -> Bounds:
    """Return the bounds of a function, whose derivative has up to three terms."""
    return _within(part)._replace(slopes=3 * part.slopes)


def added(a: Bounds, b: Bounds) -> Bounds:
    """Return the bounds of a + b."""
    return Bounds(
        1 + a.size + b.size,
        1 + max(a.depth, b.depth),
        a.summands + b.summands,
        a.slopes + b.slopes,
        max(a.degree, b.degree),
        a.choices + b.choices,
        max(a.asked, b.asked),
    )


def multiplied(a: Bounds, b: Bounds) -> Bounds:
    """Return the bounds of a b."""
    return added(a, b)._replace(
        summands=a.summands * b.summands,
        slopes=a.slopes * b.summands + a.summands * b.slopes,
        degree=a.degree + b.degree,
    )


def divided(a: Bounds, b: Bounds) -> Bounds:
    """Return the bounds of a/b, whose derivative is a'/b - a b'/b^2."""
    return added(a, b)._replace(
        summands=a.summands,
        slopes=a.slopes + a.summands * b.slopes,
        degree=a.degree + b.degree,
    )


def raised(a: Bounds, power: int) -> Bounds:
    """Return the bounds of a to a power."""
    n = abs(power)
    power_bounds = a._replace(
        size=a.size + 2,
        depth=a.depth + 1,
        summands=_power(a.summands, n),
        slopes=_power(a.summands, max(n - 1, 0)) * a.slopes,
        degree=a.degree * n,
    )
    return divided(NUMBER, power_bounds) if power < 0 else power_bounds


def _power(terms: int, n: int) -> int:
    """Return how many terms (a_1 + a_2 + ...)^n has."""
    return math.comb(terms + n - 1, n)
