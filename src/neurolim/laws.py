"""Initial laws other than normal ones, for the state variables of a model.

A law is a function of one standard normal number, so that a start is a function of (key, replica,
neuron, variable) as all noise is: its distribution function makes the number uniform, and the
inverse distribution function of the law does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from neurolim.core import StudyError
from neurolim.core.terms import Term, value_of
from neurolim.math import normal_cdf, normal_quantile


def _uniform(z, low, high):  # type: ignore[no-untyped-def]
    return low + (high - low) * normal_cdf(z)


def _mixture(z, *parts):  # type: ignore[no-untyped-def]
    whole = 0.0
    for k in range(0, len(parts), 3):
        # A weight below zero makes no law; the run says so by its status.
        whole += parts[k] if parts[k] >= 0.0 else np.nan
    u, below = normal_cdf(z) * whole, 0.0
    weight, mean, spread, before = parts[0], parts[1], parts[2], 0.0
    for k in range(0, len(parts), 3):
        if u >= below and parts[k] > 0.0:
            weight, mean, spread, before = parts[k], parts[k + 1], parts[k + 2], below
        below += parts[k]
    return mean + spread * normal_quantile((u - before) / weight)


def _sample(z, values):  # type: ignore[no-untyped-def]
    return values[min(int(normal_cdf(z) * len(values)), len(values) - 1)]


@dataclass(frozen=True, slots=True)
class Uniform:
    """The uniform law on [low, high].

    Parameters
    ----------
    low, high : (state) numbers, names of numbers in p, or functions of p
    """

    low: Term
    high: Term
    draw: ClassVar[Callable[..., Any]] = staticmethod(_uniform)

    @property
    def arguments(self) -> tuple[Term, ...]:
        """Return what ``draw`` takes after the normal number."""
        return (self.low, self.high)

    def moments(self, p: Any) -> tuple[float, float]:
        """Return mean and variance with the numbers p of a site."""
        low, high = value_of(self.low, p), value_of(self.high, p)
        return 0.5 * (low + high), (high - low) ** 2 / 12.0

    def fault(self, p: Any) -> str:
        """Return what is wrong with the law with the numbers p of a site, or nothing."""
        low, high = value_of(self.low, p), value_of(self.high, p)
        return "" if low < high else f"uniform from {low:g} to {high:g}"


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture of normal laws.

    Parameters
    ----------
    *parts : (weight, mean, standard deviation) of each; weights are shares of their sum.  Numbers,
        names of numbers in p, or functions of p

    Raises
    ------
    StudyError : no part, or one that is no triple
    """

    parts: tuple[tuple[Term, Term, Term], ...]
    draw: ClassVar[Callable[..., Any]] = staticmethod(_mixture)

    def __init__(self, *parts: tuple[Term, Term, Term]) -> None:
        if not parts or any(not isinstance(part, tuple) or len(part) != 3 for part in parts):
            given = ", ".join(map(repr, parts)) or "nothing"
            raise StudyError("law", f"a mixture of {given}", "triples (weight, mean, deviation)")
        numbers = [part[0] for part in parts if isinstance(part[0], (int, float))]
        if any(not weight > 0.0 for weight in numbers):
            raise StudyError("law", f"weights {', '.join(map(str, numbers))}", "positive numbers")
        object.__setattr__(self, "parts", parts)

    @property
    def arguments(self) -> tuple[Term, ...]:
        """Return what ``draw`` takes after the normal number."""
        return tuple(number for part in self.parts for number in part)

    def moments(self, p: Any) -> tuple[float, float]:
        """Return mean and variance with the numbers p of a site."""
        numbers = np.array([[value_of(term, p) for term in part] for part in self.parts])
        share, mean, deviation = numbers.T
        share = share / share.sum()
        centre = float(share @ mean)
        return centre, float(share @ (deviation**2 + (mean - centre) ** 2))


@dataclass(frozen=True, slots=True)
class Samples:
    """The law of given numbers, each with the same probability.

    Parameters
    ----------
    values : (state) at least one

    Raises
    ------
    StudyError : no value, or one that is no number
    """

    values: tuple[float, ...]
    draw: ClassVar[Callable[..., Any]] = staticmethod(_sample)

    def __init__(self, values: Any) -> None:
        numbers = np.asarray(values, dtype=float).ravel()
        if not numbers.size or not np.isfinite(numbers).all():
            raise StudyError("law", "samples that are no numbers", "at least one finite number")
        object.__setattr__(self, "values", tuple(numbers.tolist()))

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Return what ``draw`` takes after the normal number."""
        return (np.array(self.values),)

    def moments(self, p: Any) -> tuple[float, float]:
        """Return mean and variance, whatever the numbers p of a site."""
        return float(np.mean(self.values)), float(np.var(self.values))
