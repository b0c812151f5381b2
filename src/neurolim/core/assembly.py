"""A model's functions in the form in which solvers call them, written out as text."""

from __future__ import annotations

import inspect
import math
from collections import namedtuple
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from neurolim.core.model import Equations, Model
from neurolim.core.terms import GapJunctions, Term


def _as_it_is(function: Any) -> Any:
    """Return a function of the author, to be called by Python."""
    return function


class _Named:
    """Numbers with names, which kernels know by their names alone."""

    __slots__: tuple[str, ...] = ()

    def __getitem__(self, place: Any) -> Any:
        raise TypeError(f"numbers have names here: write .{self.__slots__[0]}, not [{place}]")


def _named(title: str, names: Sequence[str]) -> Any:
    """Return a class of numbers with names."""
    space: dict[str, Any] = {"_Named": _Named}
    lines = [f"class {title}(_Named):", f"    __slots__ = {tuple(names)!r}"]
    lines += [f"    def __init__(_, {', '.join(names)}):"]
    lines += [f"        _.{name} = {name}" for name in names]
    exec("\n".join(lines), space)  # names that ``check_model`` has seen
    return space[title]


class _Writer:
    """Writes the text of `Equations`: which functions are called with what.

    Tuples of known length are what numba wants, and what a loop over the parts of a model cannot
    give it; written out they are as plain as a person would write them.
    """

    def __init__(self, model: Model, take: Callable[[Any], Any], name: bool = True) -> None:
        self.take, self.name = take, name
        make = _named if take is _as_it_is else namedtuple
        self.space: dict[str, Any] = {
            "__name__": __name__,
            "State": make("State", model.symbols),
            "Means": make("Means", model.means),
        }

    def value(self, term: Term | np.ndarray) -> str:
        """Return the text of a term's value, in a function that has its arguments."""
        if isinstance(term, str):
            return f"p.{term}"
        if isinstance(term, np.ndarray):
            return self.constant(term)
        if not callable(term):
            return repr(float(term))
        name = self.constant(self.take(term))
        return f"{name}({', '.join(inspect.signature(term).parameters)})"

    def constant(self, value: Any) -> str:
        """Return the name under which the text finds a value."""
        name = f"term{len(self.space)}"
        self.space[name] = value
        return name

    def function(self, head: str, result: str) -> Any:
        """Return a function that gives names to its arguments and returns the result."""
        lines = [f"def {head}:"]
        for key, made in (("x", "State"), ("z", "State"), ("m", "Means"), ("c", "Means")):
            if self.name and f"{key}," in head and (key != "z" or "kick" not in head):
                lines.append(f"    {key} = {made}(*{key})")
        lines.append(f"    return {result}")
        exec("\n".join(lines), self.space)  # text written by this class
        return self.space[head.partition("(")[0]]


def _tuple(parts: Sequence[str]) -> str:
    return f"({''.join(part + ', ' for part in parts)})"


def assemble(model: Model, take: Callable[[Any], Any] = _as_it_is) -> Equations:
    """Return a model's functions, called alike for every model.

    Parameters
    ----------
    model : the model
    take : turns a function of the author into what is called: itself, or compiled
    """
    write = _Writer(model, take)
    write.space |= {"target_of": take(_target_of), "root_of": take(_root_of)}
    profile = [0.0 if var.profile is None else var.profile for var in model.state]
    return Equations(
        drift=write.function("drift(x, m, c, p, t=0.0)", write.value(model.drift)),
        relax=_relax(model, write),
        noise=_noise(model, write) if model.plain_noise else _no_noise,
        field=_field(model, write),
        initial=_initial(model, write),
        profile=write.function("profile(p)", _tuple([write.value(width) for width in profile]))
        if any(var.profile is not None for var in model.state)
        else None,
    )


class StepEquations(NamedTuple):
    """A model's functions as a time step calls them: x, m, c, p, z with names.

    drift : (t, x, m, c, p) -> tuple [d]
    relax, field, initial : as in `Equations`
    kick : (t, x, m, c, p, z, r, y) -> y + r (amplitudes z), tuple [d], from normals z [n_noises];
        r is the root of the step, y where the neuron is without noise [d]
    """

    drift: Callable[..., Any]
    relax: Callable[..., Any]
    field: Callable[..., Any]
    initial: Callable[..., Any]
    kick: Callable[..., Any]


def assemble_step(
    model: Model,
    take: Callable[[Any], Any] = _as_it_is,
    fma: Callable[..., Any] = lambda a, b, c: a * b + c,
    name: bool = True,
    correction: Callable[..., Any] | None = None,
    live: Sequence[bool] = (),
) -> StepEquations:
    """Return a model's functions as a time step calls them.

    Parameters
    ----------
    model, take : as in `assemble`
    fma : (a, b, c) -> a b + c
    name : the arguments are plain sequences, to be given their names
    correction : (x, m, c, p, t) -> what turns Stratonovich's integrals into Ito's, added to the
        drift
    live : which noises there are normals for; all by default
    """
    write = _Writer(model, take, name)
    write.space |= {"target_of": take(_target_of), "fma": fma}
    moved = {symbol: f"y[{k}]" for k, symbol in enumerate(model.symbols)}
    for j, noise in enumerate(compress(model.noises, live) if live else model.noises):
        for symbol, amplitude in noise.parts:
            moved[symbol] = f"fma(r * {write.value(amplitude)}, z[{j}], {moved[symbol]})"
    drift = write.function("drift(t, x, m, c, p)", write.value(model.drift))
    if correction is not None:
        write.space |= {"plain": take(drift), "correction": correction}
        terms = _tuple([f"f[{k}] + g[{k}]" for k in range(len(model.state))])
        exec(
            "def drift(t, x, m, c, p):\n"
            "    f, g = plain(t, x, m, c, p), correction(x, m, c, p, t)\n"
            f"    return {terms}",
            write.space,
        )
        drift = write.space["drift"]
    return StepEquations(
        drift=drift,
        relax=_relax(model, write),
        field=_field(model, write),
        initial=_initial(model, write),
        kick=write.function("kick(t, x, m, c, p, z, r, y)", _tuple([*moved.values()])),
    )


class SplitNoise(NamedTuple):
    """A model's noise as an exponential step takes it.

    covariance : (p) -> flat tuple [d d] (state^2/time), of the noises taken exactly
    push : (t, x, m, c, p, z, r) -> tuple [d], what all others push with, from their normals z; r is
        the root of the step.  Empty where there are none, unless none are taken exactly
    """

    covariance: Callable[..., Any]
    push: Callable[..., Any]


def assemble_noise(
    model: Model,
    take: Callable[[Any], Any],
    milstein: Callable[..., Any] | None = None,
    entries: Sequence[tuple[int, int, int]] = (),
    exact: bool = True,
) -> SplitNoise:
    """Return a model's noise as an exponential step takes it.

    Parameters
    ----------
    model, take : as in `assemble`; x, m, c, z have names already
    milstein : (x, m, c, p, t) -> numbers that Milstein's correction adds to the push, times
        z_j z_l - (j == l) and the root of the step
    entries : (k, j, i) of each of these numbers: the variable it moves, and its two noises, counted
        among those that are not `Noise.exact`
    exact : such noises are taken exactly, otherwise all push
    """
    write = _Writer(model, take, name=False)
    covariance = {(k, j): "0.0" for k in model.symbols for j in model.symbols}
    pushed = dict.fromkeys(model.symbols, "")
    pushing = [j for j, noise in enumerate(model.noises) if not (exact and noise.exact)]
    for index, noise in enumerate(model.noises):
        values = [(symbol, write.value(amplitude)) for symbol, amplitude in noise.parts]
        if index not in pushing:
            for k, a in values:
                for j, b in values:
                    known = covariance[k, j]
                    covariance[k, j] = f"{a} * {b}" + ("" if known == "0.0" else f" + {known}")
        else:
            for k, a in values:
                pushed[k] += f" + {a} * z[{pushing.index(index)}]"
    names = list(pushed)
    if milstein is not None:
        write.space["milstein"] = milstein
        loose = [pushing.index(j) for j, noise in enumerate(model.noises) if not noise.exact]
        for i, (moved, one, two) in enumerate(entries):
            square = f"(z[{loose[one]}] * z[{loose[two]}]{' - 1.0' if one == two else ''})"
            pushed[names[moved]] += f" + r * milstein(x, m, c, p, t)[{i}] * {square}"
    some = pushing or not exact
    push = _tuple([text.removeprefix(" + ") or "0.0" for text in pushed.values()] if some else [])
    return SplitNoise(
        write.function("covariance(p)", _tuple([*covariance.values()])),
        write.function("push(t, x, m, c, p, z, r)", push),
    )


def assemble_sweeps(
    model: Model, drift: Callable[..., Any], slopes: Callable[..., Any], phi1: Callable[..., Any]
) -> tuple[Callable[..., Any], ...]:
    """Return, variable by variable, how it moves alone for a time h.

        x_k' = x_k + h phi1(h d drift_k/d x_k) drift_k

    Parameters
    ----------
    model : x, m, c have names already
    drift : (t, x, m, c, p) -> tuple [d]
    slopes : (x, m, c, p, t) -> flat tuple [d d]
    phi1 : z -> (e^z - 1)/z

    Returns
    -------
    by variable k, (t, x, m, c, p, h) -> tuple [d], the state with the new x_k
    """
    write = _Writer(model, lambda function: function, name=False)
    write.space |= {"drift": drift, "slopes": slopes, "phi1": phi1}
    sweeps = []
    for k, symbol in enumerate(model.symbols):
        values = {name: f"x.{name}" for name in model.symbols}
        slope = f"slopes(x, m, c, p, t)[{k * (len(values) + 1)}]"
        values[symbol] += f" + h * phi1(h * {slope}) * drift(t, x, m, c, p)[{k}]"
        sweeps.append(write.function("sweep(t, x, m, c, p, h)", _tuple([*values.values()])))
    return tuple(sweeps)


def assemble_own(model: Model, take: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return (x, p) -> what a neuron adds to the means: a tuple of its state, then its fields."""
    write = _Writer(model, take, name=False)
    values = [f"x.{name}" for name in model.symbols]
    values += [write.value(sent.value) for sent in model.fields]
    return write.function("own(x, p)", _tuple(values))


def _relax(model: Model, write: _Writer) -> Any:
    pull, target, gap = (dict.fromkeys(model.symbols, "0.0") for _ in range(3))
    for term in model.couplings:
        if isinstance(term, GapJunctions):
            gap[term.variable] = write.value(term.rate)
        else:
            pull[term.variable] = write.value(term.conductance)
            parts = (pull[term.variable], write.value(term.current), f"m.{term.variable}")
            target[term.variable] = f"target_of({', '.join(parts)})"
    rows = [_tuple([*part.values()]) for part in (pull, target, gap)]
    return write.function("relax(m, c, p)", _tuple(rows))


def _noise(model: Model, write: _Writer) -> Any:
    deviations = []
    for symbol in model.symbols:
        amplitudes = [
            write.value(amplitude)
            for noise in model.noises
            for moved, amplitude in noise.parts
            if moved == symbol
        ]
        squares = " + ".join(f"{amplitude} * {amplitude}" for amplitude in amplitudes)
        deviations.append(f"root_of({squares})" if len(amplitudes) > 1 else (*amplitudes, "0.0")[0])
    return write.function("noise(p)", _tuple(deviations))


def _field(model: Model, write: _Writer) -> Any:
    values = [write.value(sent.value) for sent in model.fields]
    return write.function("field(x, p)", _tuple(values))


def _initial(model: Model, write: _Writer) -> Any:
    if model.initial is not None:
        return write.function("initial(z, p)", write.value(model.initial))
    laws = []
    for var in model.state:
        if var.law is None:
            laws.append(f"{write.value(var.start)} + {write.value(var.spread)} * z.{var.symbol}")
        else:
            # Products with 1.0 are numbers of one kind, whatever a function returns.
            given = [f"z.{var.symbol}"]
            for term in var.law.arguments:
                text = write.value(term)
                given.append(text if isinstance(term, np.ndarray) else f"1.0 * {text}")
            laws.append(f"{write.constant(write.take(var.law.draw))}({', '.join(given)})")
    return write.function("initial(z, p)", _tuple(laws))


def _root_of(square):  # type: ignore[no-untyped-def]
    """Return the standard deviation of independent noises that add up."""
    return math.sqrt(square)


def _no_noise(p: Any) -> Any:
    """Refuse to give one number per variable for noise that is not of this kind."""
    raise ArithmeticError("the noise is not additive and of every variable's own")


def _target_of(conductance, current, mean):  # type: ignore[no-untyped-def]
    """Return current/conductance, and the mean where nothing pulls."""
    return current / conductance if conductance != 0.0 else mean
