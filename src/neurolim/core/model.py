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

import math
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from neurolim.core.errors import StudyError
from neurolim.core.parameters import Param
from neurolim.core.terms import (
    Delay,
    Field,
    GapJunctions,
    Noise,
    State,
    Synapses,
    arguments_of,
    value_of,
)

#: State variables that kernels have room for.
MAX_VARIABLES = 8
#: Noises and fields, the same.
MAX_NOISES = 16
MAX_FIELDS = 24

#: Features of models that not every solver takes, in words.
MULTIPLICATIVE = "noise that depends on state, means or time"
CORRELATED = "correlated noise"
COMMON = "common noise"
TIME = "a drift that depends on time"
CEILING = "a wall from above"
CIRCLE = "a variable on a circle"
LAW = "an initial law that is not normal"
DELAY = "delayed means"
FEATURES_OF_NOISE = frozenset({MULTIPLICATIVE, CORRELATED, COMMON})
FEATURES = FEATURES_OF_NOISE | {TIME, CEILING, CIRCLE, LAW, DELAY}


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
    noise : the noises; any number may move a variable
    fields : what neurons broadcast beside their state
    delay : means that come late
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
    delay: tuple[Delay, ...] | Delay = ()
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

    @property
    def delays(self) -> tuple[Delay, ...]:
        """Return the delays as a tuple."""
        return self.delay if isinstance(self.delay, tuple) else (self.delay,)

    @cached_property
    def plain_noise(self) -> bool:
        """Return whether the noise is additive and of every variable's own."""
        return not self.features & FEATURES_OF_NOISE

    @cached_property
    def features(self) -> frozenset[str]:
        """Return what not every solver takes, in words."""
        parts = [part for noise in self.noises for part in noise.parts]
        found = {
            MULTIPLICATIVE: any(set(arguments_of(amplitude)) - {"p"} for _, amplitude in parts),
            CORRELATED: any(len(noise.parts) > 1 for noise in self.noises),
            COMMON: any(noise.common for noise in self.noises),
            TIME: "t" in arguments_of(self.drift),
            CEILING: any(var.ceiling is not None for var in self.state),
            CIRCLE: any(var.period is not None for var in self.state),
            LAW: any(var.law is not None for var in self.state),
            DELAY: bool(self.delays),
        }
        return frozenset(words for words, there in found.items() if there)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Return the names of the state variables in the equations."""
        return tuple(variable.symbol for variable in self.state)

    @cached_property
    def means(self) -> tuple[str, ...]:
        """Return the names of m and c: state variables, fields, what comes late."""
        late = (delay.name for delay in self.delays)
        return (*self.symbols, *(sent.name for sent in self.fields), *late)

    @cached_property
    def late(self) -> tuple[int, ...]:
        """Return of which of the means those are that come late, by position."""
        return tuple(self.means.index(delay.of) for delay in self.delays)

    def delay_time(self, delay: Delay, p: Any) -> float:
        """Return by which time a mean comes late at a site.

        Raises
        ------
        StudyError : no time >= 0
        """
        try:
            time = value_of(delay.time, p)
        except (ArithmeticError, ValueError) as error:
            time, why = math.nan, f"cannot be found: {error}"
        else:
            why = f"is {time:g}"
        if not 0.0 <= time < math.inf:
            place = f"{self.name}.delay.{delay.name}"
            raise StudyError(place, f"the delay {why}", "a time >= 0")
        return time

    def means_at_rest(self, x: Sequence[float], p: Any) -> tuple[float, ...]:
        """Return m of a site whose neurons have always been at x."""
        now = (*x, *self.equations.field(x, p))
        return (*now, *(now[k] for k in self.late))

    @cached_property
    def numbers(self) -> Any:
        """Return the class of p, a NamedTuple of floats named as for the default parameters."""
        params = {param.name: param.default for param in self.params}
        own = self._places(params).params[0]
        return namedtuple("Numbers", sorted(_values(self, {**params, **own})))

    @cached_property
    def equations(self) -> Equations:
        """Return the model's functions, called alike for every model."""
        from neurolim.core.assembly import assemble

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

    x, z [d] and m, c [n_means] are any sequences, p the numbers of a site.

    drift : (x, m, c, p, t=0) -> tuple [d]
    relax : (m, c, p) -> (pull, target, gap), tuples [d]: the couplings as pull (target - x) +
        gap (m - x).  Pull is the conductance of synapses, target their current/conductance (the
        mean where nothing pulls), gap the rate of gap junctions
    noise : (p) -> tuple [d], standard deviations per root time of noise that is additive and of
        every variable's own; raises ArithmeticError for any other
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
