r"""A network of neurons, as its author writes it: equations with names.

Neuron i on site s obeys, variable by variable (Ito; reflected at the walls of its state),

    dx = [ drift(x, m, c, p) + current - conductance x + rate (m - x) ] dt + amplitude dW

where  m = means of the states and of the fields over the site,  c = sum_r K[s, r] m_r  with the
weights K of the wiring,  p = the numbers of the site.  ``Synapses`` bring current and conductance,
``GapJunctions`` the rate, ``Noise`` the amplitude.  Both couplings are linear in x given the means,
so solvers treat them exactly at any strength.

All functions are plain and pure, of any of the arguments t, x, m, c, p, which have names:
``x.v``, ``m.activity``, ``p.eps``.  Python calls them with numbers, ``numerics.structure`` once
with symbols, numba compiles them inside solvers.  They close over nothing: ``p`` is data, so one
compiled kernel serves a whole sweep.
"""

from __future__ import annotations

import inspect
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from neurolim.core.parameters import Param

#: State variables that kernels have room for.
MAX_VARIABLES = 8

#: A number, the name of one in p, or a function of (some of) the arguments of its place.
Term = float | str | Callable[..., Any]


@dataclass(frozen=True, slots=True)
class State:
    """A state variable of a neuron.

    Parameters
    ----------
    symbol : its name in the equations, ``x.symbol``
    name, unit, long_name : label in datasets (the symbol if empty), unit, description
    start, spread : mean and standard deviation of its normal initial law: a number, a name in p or
        a function of p; a model's ``initial`` replaces them
    floor : where the variable is reflected from below, or None
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
    current : (state/time), of any of (m, c, p)
    """

    variable: str
    conductance: Term
    current: Term


@dataclass(frozen=True, slots=True)
class Noise:
    """A Brownian motion of every neuron's own, on one variable.

    Parameters
    ----------
    variable : symbol of the state variable
    amplitude : (state/sqrt(time)), of p
    """

    variable: str
    amplitude: Term


class Sites(NamedTuple):
    """Where neurons sit and how the sites talk: the one idea behind space and populations.

    labels : coordinate of each site [n_sites] (positions in K, or population names)
    coupling : K[s, r], weight with which the means of site r reach site s [n_sites, n_sites]
    params : of each site.  From a model's ``prepare``: what replaces or joins the parameters there,
        by name.  From ``Model.sites``: the numbers p, all of the same class
    """

    labels: tuple[float | str, ...]
    coupling: np.ndarray
    params: tuple[Any, ...]


@dataclass(frozen=True)
class Model:
    """One network of neurons, written once for every level of description.

    Parameters
    ----------
    summary, source : one line; paper and equation
    state : state variables (at most MAX_VARIABLES)
    params : user parameters; those that are numbers are in p under their names
    drift : of any of (t, x, m, c, p) -> tuple [n_state], order one in the strong couplings
    coupling : gap junctions and synapses, at most one of each kind per variable
    noise : the noises, at most one per variable
    fields : what neurons broadcast beside their state
    derive : parameters by name -> further numbers of p by name (they win over equal names)
    prepare : parameters by name -> Sites; raises StudyError for combinations that make no sense;
        None for a single site with K = 1, so that c = m
    initial : of any of (z, p) -> tuple [n_state], initial state from independent standard normals
        z with the names of the state; None for normal laws, by the ``start`` and ``spread`` of the
        state variables
    work : time its functions take per neuron, FitzHugh-Nagumo being 1; for predictions of cost
    name : the file's name, filled in by ``get``
    """

    summary: str
    source: str
    state: tuple[State, ...]
    params: tuple[Param, ...]
    drift: Callable[..., Any]
    coupling: tuple[GapJunctions | Synapses, ...] | GapJunctions | Synapses = ()
    noise: tuple[Noise, ...] | Noise = ()
    fields: tuple[Field, ...] = ()
    derive: Callable[[Mapping[str, Any]], Mapping[str, float]] | None = None
    prepare: Callable[[Mapping[str, Any]], Sites] | None = None
    initial: Callable[..., Any] | None = None
    work: float = 1.0
    name: str = field(default="", compare=False)

    @property
    def couplings(self) -> tuple[GapJunctions | Synapses, ...]:
        """Return the couplings as a tuple."""
        return self.coupling if isinstance(self.coupling, tuple) else (self.coupling,)

    @property
    def noises(self) -> tuple[Noise, ...]:
        """Return the noises as a tuple."""
        return self.noise if isinstance(self.noise, tuple) else (self.noise,)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Return the names of the state variables in the equations."""
        return tuple(variable.symbol for variable in self.state)

    @cached_property
    def means(self) -> tuple[str, ...]:
        """Return the names of m and c: state variables, then fields."""
        return (*self.symbols, *(sent.name for sent in self.fields))

    @cached_property
    def numbers(self) -> Any:
        """Return the class of p, a NamedTuple of floats named as for the default parameters."""
        params = {param.name: param.default for param in self.params}
        own = self._places(params).params[0]
        return namedtuple("Numbers", sorted(_values(self, {**params, **own})))

    @cached_property
    def equations(self) -> Equations:
        """Return the model's functions, called alike for every model."""
        return assemble(self)

    def sites(self, params: Mapping[str, Any]) -> Sites:
        """Return the sites of the network with the numbers p of each.

        Raises
        ------
        StudyError : whatever ``prepare`` and ``derive`` refuse
        """
        labels, coupling, own = self._places(params)
        rows = [_values(self, {**params, **more}) for more in own]
        p = tuple(self.numbers(*(row[name] for name in self.numbers._fields)) for row in rows)
        return Sites(labels, np.asarray(coupling, dtype=float), p)

    def _places(self, params: Mapping[str, Any]) -> Sites:
        if self.prepare is None:
            return Sites((0.0,), np.ones((1, 1)), ({},))
        return self.prepare(params)


class Equations(NamedTuple):
    """A model's functions as solvers call them.

    x, z [d] and m, c [d + n_fields] are any sequences, p the numbers of a site.

    drift : (x, m, c, p, t=0) -> tuple [d]
    relax : (m, c, p) -> (pull, target, gap), tuples [d]: the couplings as pull (target - x) +
        gap (m - x).  Pull is the conductance of synapses, target their current/conductance (the
        mean where nothing pulls), gap the rate of gap junctions
    noise : (p) -> tuple [d], standard deviations per root time
    field : (x, p) -> tuple [n_fields]
    initial : (z, p) -> tuple [d]
    profile : (p) -> tuple [d], standard deviations of the limit law about the mean, 0 for "no
        profile", or None where no such law is known
    """

    drift: Callable[..., Any]
    relax: Callable[..., Any]
    noise: Callable[..., Any]
    field: Callable[..., Any]
    initial: Callable[..., Any]
    profile: Callable[..., Any] | None


def _values(model: Model, params: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers p of a site by name."""
    found = {
        name: float(value)
        for name, value in params.items()
        if isinstance(value, (bool, int, float, np.integer, np.floating))
    }
    for name, value in (model.derive(params) if model.derive else {}).items():
        found[name] = float(value)
    return found


class _Writer:
    """Writes the text of `Equations`: which functions are called with what.

    Tuples of known length are what numba wants, and what a loop over the parts of a model cannot
    give it; written out they are as plain as a person would write them.
    """

    def __init__(self, model: Model, take: Callable[[Any], Any]) -> None:
        self.take = take
        self.space: dict[str, Any] = {
            "__name__": __name__,
            "State": namedtuple("State", model.symbols),
            "Means": namedtuple("Means", model.means),
        }

    def value(self, term: Term) -> str:
        """Return the text of a term's value, in a function that has its arguments."""
        if isinstance(term, str):
            return f"p.{term}"
        if not callable(term):
            return repr(float(term))
        name = f"term{len(self.space)}"
        self.space[name] = self.take(term)
        return f"{name}({', '.join(inspect.signature(term).parameters)})"

    def function(self, head: str, result: str) -> Any:
        """Return a function that gives names to its arguments and returns the result."""
        lines = [f"def {head}:"]
        for key, made in (("x", "State"), ("z", "State"), ("m", "Means"), ("c", "Means")):
            if f"{key}," in head:
                lines.append(f"    {key} = {made}(*{key})")
        exec(
            "\n".join([*lines, f"    return {result}"]), self.space
        )  # text of this class, no input
        return self.space[head.partition("(")[0]]


def _tuple(parts: Sequence[str]) -> str:
    return f"({''.join(part + ', ' for part in parts)})"


def assemble(model: Model, take: Callable[[Any], Any] = lambda function: function) -> Equations:
    """Return a model's functions, called alike for every model.

    Parameters
    ----------
    model : the model
    take : turns a function of the author into what is called: itself, or compiled
    """
    write = _Writer(model, take)
    symbols = model.symbols
    pull, target, gap, noise = (dict.fromkeys(symbols, "0.0") for _ in range(4))
    for term in model.couplings:
        if isinstance(term, GapJunctions):
            gap[term.variable] = write.value(term.rate)
        else:
            pull[term.variable] = write.value(term.conductance)
            parts = (pull[term.variable], write.value(term.current), f"m.{term.variable}")
            target[term.variable] = f"target_of({', '.join(parts)})"
    for each in model.noises:
        noise[each.variable] = write.value(each.amplitude)
    write.space["target_of"] = take(_target_of)
    normal = [
        f"{write.value(var.start)} + {write.value(var.spread)} * z.{var.symbol}"
        for var in model.state
    ]
    profile = [0.0 if var.profile is None else var.profile for var in model.state]
    relaxed = _tuple([_tuple([*part.values()]) for part in (pull, target, gap)])
    return Equations(
        drift=write.function("drift(x, m, c, p, t=0.0)", write.value(model.drift)),
        relax=write.function("relax(m, c, p)", relaxed),
        noise=write.function("noise(p)", _tuple([*noise.values()])),
        field=write.function("field(x, p)", _tuple([write.value(f.value) for f in model.fields])),
        initial=write.function(
            "initial(z, p)",
            _tuple(normal) if model.initial is None else write.value(model.initial),
        ),
        profile=write.function("profile(p)", _tuple([write.value(width) for width in profile]))
        if any(var.profile is not None for var in model.state)
        else None,
    )


def _target_of(conductance, current, mean):  # type: ignore[no-untyped-def]
    """Return current/conductance, and the mean where nothing pulls."""
    return current / conductance if conductance != 0.0 else mean
