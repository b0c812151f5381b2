"""The terms of a model: variables, what neurons broadcast, couplings, delays, noises."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

#: A number, the name of one in p, or a function of (some of) the arguments of its place.
Term = float | str | Callable[..., Any]


def arguments_of(term: Any) -> tuple[str, ...]:
    """Return the names of the arguments of a term; numbers and names have none."""
    return tuple(inspect.signature(term).parameters) if callable(term) else ()


def value_of(term: Term, p: Any) -> float:
    """Return the value of a term of p."""
    if isinstance(term, str):
        return float(getattr(p, term))
    if callable(term):
        return float(term(p) if inspect.signature(term).parameters else term())
    return float(term)


class InitialLaw(Protocol):
    """A law of a variable at the start, as a function of one standard normal number."""

    @property
    def draw(self) -> Callable[..., Any]:
        """Return the plain function (z, *arguments) -> state."""

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Return what it takes beside z: terms of p, or arrays."""

    def moments(self, p: Any) -> tuple[float, float]:
        """Return mean and variance with the numbers p of a site."""


@dataclass(frozen=True, slots=True)
class State:
    """A state variable of a neuron.

    Parameters
    ----------
    symbol : its name in the equations, ``x.symbol``
    name, unit, long_name : label in datasets (the symbol if empty), unit, description
    start, spread : mean and standard deviation of its normal initial law: a number, a name in p or
        a function of p; a model's ``initial`` replaces them
    floor, ceiling : walls at which the variable is reflected, or None
    period : length of the circle [0, period) on which the variable lives, or None
    range : (lowest, highest) value where the equations keep the variable between two, each a
        number, a name in p or a function of p; or None
    law : its initial law, if not normal, in the place of start and spread: one of ``neurolim.laws``
    profile : standard deviation of the limit law about the mean (the concentration profile), or
        None where no such law is known; <= 0 means "no profile"
    """

    symbol: str
    name: str = ""
    unit: str = "1"
    long_name: str = ""
    start: Term = 0.0
    spread: Term = 0.0
    floor: float | None = None
    ceiling: float | None = None
    period: float | None = None
    range: tuple[Term, Term] | None = None
    law: InitialLaw | None = None
    profile: Term | None = None

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.symbol)


@dataclass(frozen=True, slots=True)
class Field:
    """What a neuron broadcasts beside its state: ``m.name`` and ``c.name`` are made of it.

    Parameters
    ----------
    name : its name in the equations
    value : of any of (x, p)
    """

    name: str
    value: Term


@dataclass(frozen=True, slots=True)
class Delay:
    """A mean as it was some time ago: ``m.name`` of the own site, ``c.name`` = K m.name of all.

    Every site's mean comes late by the site's own time.  Before the start the network has always
    been where it starts.

    Parameters
    ----------
    name : its name in the equations
    of : symbol of a state variable, or name of a field
    time : (time), >= 0: a number, a name in p or a function of p
    """

    name: str
    of: str
    time: Term


@dataclass(frozen=True, slots=True)
class GapJunctions:
    """Electrical coupling of a variable: rate (mean of the site - x), which leaves the mean alone.

    Parameters
    ----------
    variable : symbol of the state variable
    rate : (1/time), >= 0, of any of (m, c, p)
    """

    variable: str
    rate: Term


@dataclass(frozen=True, slots=True)
class Synapses:
    """Chemical coupling of a variable: current - conductance x.

    Parameters
    ----------
    variable : symbol of the state variable
    conductance : (1/time), >= 0, of any of (m, c, p)
    current : (state/time), of any of (m, c, p); vanishes where the conductance does (what flows
        through closed synapses belongs in the drift)
    """

    variable: str
    conductance: Term
    current: Term


@dataclass(frozen=True, slots=True)
class Noise:
    """A Brownian motion: of every neuron's own, or common to all neurons of a site.

    Parameters
    ----------
    variable : symbol of the state variable it moves, or several symbols, whose noises are then
        correlated
    amplitude : (state/sqrt(time)) of any of (t, x, m, c, p); one per symbol if they are several
    stratonovich : the integral is Stratonovich's, otherwise Ito's
    common : one path for all neurons of a site
    """

    variable: str | tuple[str, ...]
    amplitude: Term | tuple[Term, ...]
    stratonovich: bool = False
    common: bool = False

    @property
    def parts(self) -> tuple[tuple[str, Term], ...]:
        """Return (symbol, amplitude) of every variable it moves."""
        if isinstance(self.variable, str):
            variables: tuple[str, ...] = (self.variable,)
        else:
            variables = self.variable
        amplitudes = self.amplitude
        if not isinstance(amplitudes, tuple):
            amplitudes = (amplitudes,) * len(variables)
        return tuple(zip(variables, amplitudes, strict=True))

    @property
    def exact(self) -> bool:
        """Return whether an exponential step takes it exactly: additive, of every neuron's own."""
        depend = {name for _, amplitude in self.parts for name in arguments_of(amplitude)}
        return not self.common and depend <= {"p"}
