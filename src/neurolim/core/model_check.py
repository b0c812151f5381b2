"""What is wrong with a model, in words of its author."""

from __future__ import annotations

import inspect
import keyword
import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from neurolim.core.assembly import assemble_step
from neurolim.core.errors import StudyError, hint, show
from neurolim.core.model import MAX_FIELDS, MAX_NOISES, MAX_VARIABLES, Model, Sites
from neurolim.core.parameters import check_defaults
from neurolim.core.terms import GapJunctions, Term, value_of

_FLOW = ("t", "x", "m", "c", "p")
_MEANS = ("m", "c", "p")


def check_model(model: Model) -> None:
    """Refuse a model that no kernel could take, in words of its author.

    Its functions are called once as they are, at the centre of the initial law of the default
    parameters; nothing is compiled.

    Raises
    ------
    StudyError : no state variable or more than MAX_VARIABLES; names that are no names, are used
        twice or that nothing bears; a function with other arguments than its place gives it, that
        fails, returns something else than numbers, or is not finite
    """
    _check_names(model)
    try:
        check_defaults(model.params)
    except StudyError as error:
        raise error.within(f"{model.name}.params") from None
    known = model.numbers._fields
    _check_laws(model)
    for place, term, arguments in terms_of(model):
        if isinstance(term, str):
            if term not in known:
                problem = f"no number {term!r} in p{hint(term, known)}"
                raise StudyError(f"{model.name}.{place}", problem, ", ".join(known))
        elif callable(term):
            _check_arguments(model, place, term, arguments)
        elif not _is_finite(term):
            allowed = "a finite number, a name in p or a function"
            raise StudyError(f"{model.name}.{place}", f"got {show(term)}", allowed)
    sites = model.sites({param.name: param.default for param in model.params})
    found = check_values(model, sites, 0, (0.0,) * len(model.state))
    _check_rates(model, found["coupling"])
    for p in sites.params:
        _check_starts(model, p)
    _check_ranges(model)


def _is_finite(value: Any) -> bool:
    """Return whether something is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_names(model: Model) -> None:
    """Refuse names that cannot be written in equations."""
    d = len(model.state)
    if not 1 <= d <= MAX_VARIABLES:
        raise StudyError(
            f"{model.name}.state", f"{d} state variables", f"1 to {MAX_VARIABLES} variables"
        )
    for place, count, most in (
        ("noise", len(model.noises), MAX_NOISES),
        ("fields", len(model.fields), MAX_FIELDS),
        ("delay", len(model.fields) + len(model.delays), MAX_FIELDS),
    ):
        if count > most:
            raise StudyError(f"{model.name}.{place}", f"{count} of them", f"at most {most}")
    for place, names in (
        ("state", model.means),
        ("state", [variable.name for variable in model.state]),
        ("params", [param.name for param in model.params]),
    ):
        for name in names:
            if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
                kind = "a keyword of Python" if keyword.iskeyword(name) else "no name"
                allowed = "a letter, then letters, digits and _"
                raise StudyError(f"{model.name}.{place}", f"{name!r} is {kind}", allowed)
            if list(names).count(name) > 1:
                raise StudyError(f"{model.name}.{place}", f"two things named {name!r}", "one each")
    _check_delays(model)
    _check_amplitudes(model)
    _check_variables(model)


def _check_delays(model: Model) -> None:
    """Refuse delays of what has no mean."""
    present = model.means[: len(model.means) - len(model.delays)]
    circles = [variable.symbol for variable in model.state if variable.period is not None]
    for late in model.delays:
        if late.of in circles:
            problem = f"{late.of!r} lives on a circle, where a mean of places is none"
            allowed = "a delay of the fields cos and sin of it"
            raise StudyError(f"{model.name}.delay.{late.name}", problem, allowed)
        if late.of not in present:
            problem = f"{late.of!r} is no variable and no field{hint(late.of, present)}"
            raise StudyError(f"{model.name}.delay.{late.name}", problem, present)


def _check_amplitudes(model: Model) -> None:
    """Refuse more or fewer amplitudes than a noise has variables."""
    for noise in model.noises:
        if not isinstance(noise.amplitude, tuple):
            continue
        given = len(noise.amplitude)
        if isinstance(noise.variable, str):
            problem = f"{given} amplitudes of one variable"
            raise StudyError(f"{model.name}.noise", problem, "one, or as many symbols")
        if len(set(noise.variable)) < len(noise.variable):
            problem = f"one noise moves {noise.variable[0]!r} twice"
            raise StudyError(f"{model.name}.noise", problem, "one amplitude: add up the two")
        if given != len(noise.variable):
            problem = f"{given} amplitudes of {len(noise.variable)} variables"
            raise StudyError(f"{model.name}.noise", problem, "one each")


def _check_variables(model: Model) -> None:
    """Refuse couplings and noises on what is no variable, and two of a kind on one."""
    coupled = [("coupling", type(term).__name__, term.variable) for term in model.couplings]
    moved = [("noise", "Noise", symbol) for noise in model.noises for symbol, _ in noise.parts]
    for place, kind, symbol in (*coupled, *moved):
        if symbol not in model.symbols:
            close = hint(symbol, model.symbols)
            problem = f"{kind} on {symbol!r}, no state variable{close}"
            raise StudyError(f"{model.name}.{place}", problem, model.symbols)
    for part in coupled:
        if coupled.count(part) > 1:
            problem = f"two {part[1]} on {part[2]!r}"
            raise StudyError(f"{model.name}.coupling", problem, "one: add up what they do")


def terms_of(model: Model) -> Iterator[tuple[str, Term, tuple[str, ...]]]:
    """Yield (place, term, names of the arguments it may take) of every term of a model."""
    yield "drift", model.drift, _FLOW
    for term in model.couplings:
        if isinstance(term, GapJunctions):
            yield f"coupling.{term.variable}.rate", term.rate, _MEANS
        else:
            yield f"coupling.{term.variable}.conductance", term.conductance, _MEANS
            yield f"coupling.{term.variable}.current", term.current, _MEANS
    for noise in model.noises:
        for symbol, amplitude in noise.parts:
            yield f"noise.{symbol}.amplitude", amplitude, _FLOW
    for sent in model.fields:
        yield f"fields.{sent.name}", sent.value, ("x", "p")
    for late in model.delays:
        yield f"delay.{late.name}.time", late.time, ("p",)
    for var in model.state:
        yield f"state.{var.symbol}.start", var.start, ("p",)
        yield f"state.{var.symbol}.spread", var.spread, ("p",)
        for number in () if var.law is None else var.law.arguments:
            if not isinstance(number, np.ndarray):
                yield f"state.{var.symbol}.law", number, ("p",)
        for part in var.range if isinstance(var.range, tuple) else ():
            yield f"state.{var.symbol}.range", part, ("p",)
        yield f"state.{var.symbol}.profile", 0.0 if var.profile is None else var.profile, ("p",)
    if model.initial is not None:
        yield "initial", model.initial, ("z", "p")


def _check_arguments(
    model: Model, place: str, function: Callable[..., Any], allowed: Sequence[str]
) -> None:
    """Refuse a function that asks for what its place does not have."""
    names = list(inspect.signature(function).parameters)
    strange = [name for name in names if name not in allowed]
    if strange:
        problem = f"takes ({', '.join(names)})"
        raise _misfit(model, place, function, problem, f"any of {', '.join(allowed)}")


def check_values(
    model: Model, sites: Sites, site: int, z: Sequence[float]
) -> dict[str, tuple[Any, ...]]:
    """Return what the functions of a model give at a state of the initial law, by place.

    Parameters
    ----------
    model : whose names are checked
    sites : of its network
    site : number of the site whose neurons are looked at
    z : standard normals of the state, the same at all sites [d]

    Raises
    ------
    StudyError : a function that fails, returns something else than numbers, or is not finite
    """
    d, equations, p = len(model.state), model.equations, sites.params[site]
    found: dict[str, tuple[Any, ...]] = {}

    def value(place: str, function: Any, length: int, call: Callable[[], Any]) -> tuple[Any, ...]:
        try:
            returned = call()
        except Exception as error:
            raise _failure(model, place, function, error) from error
        found[place] = _numbers(model, place, function, returned, length)
        return found[place]

    for late in model.delays:
        for q in sites.params:
            model.delay_time(late, q)

    def means(q: Any) -> tuple[Any, ...]:
        x = value("initial", model.initial, d, lambda: equations.initial(z, q))
        value("fields", None, len(model.fields), lambda: equations.field(x, q))
        return model.means_at_rest(x, q)

    every = np.array([means(q) for q in sites.params])
    m = means(p)
    x, c = m[:d], tuple(float(k) for k in sites.coupling[site] @ every)
    flow = value("drift", model.drift, d, lambda: equations.drift(x, m, c, p))
    if value("drift", model.drift, d, lambda: equations.drift(x, m, c, p)) != flow:
        allowed = "a function of its arguments alone; what is random belongs in noise"
        problem = "gives other numbers the second time"
        raise _misfit(model, "drift", model.drift, problem, allowed)
    kick, ones = assemble_step(model).kick, (1.0,) * len(model.noises)
    value("noise", None, d, lambda: kick(0.0, x, m, c, p, ones, 1.0, (0.0,) * d))
    value("coupling", None, 3 * d, lambda: sum(equations.relax(m, c, p), ()))
    profile = equations.profile
    if profile is not None:
        value("state", None, d, lambda: profile(p))
    return found


def _check_laws(model: Model) -> None:
    """Refuse initial laws that are said twice, or are none."""
    for var in model.state:
        if var.law is None:
            continue
        place = f"{model.name}.state.{var.symbol}.law"
        if not all(callable(getattr(var.law, part, None)) for part in ("draw", "moments")):
            allowed = "Uniform, Mixture or Samples of neurolim.laws"
            raise StudyError(place, f"{show(var.law)} is no law", allowed)
        if model.initial is not None or var.spread != 0.0 or var.start != 0.0:
            problem = "a law beside start, spread or initial"
            raise StudyError(place, problem, "one of them")


def _check_rates(model: Model, relax: Sequence[float]) -> None:
    """Refuse coupling that drives away what it should pull together, at the start."""
    d = len(model.state)
    for name, rates in (("conductance", relax[:d]), ("rate", relax[2 * d :])):
        for symbol, rate in zip(model.symbols, rates, strict=True):
            if rate < 0.0:
                place = f"{model.name}.coupling.{symbol}.{name}"
                raise StudyError(place, f"is {rate:g} at the start", "0 or more")


def _check_starts(model: Model, p: Any) -> None:
    """Refuse circles, spreads and laws that are none, and starts beyond a wall."""
    for var in model.state:
        place = f"{model.name}.state.{var.symbol}"
        if var.period is not None and not (_is_finite(var.period) and var.period > 0.0):
            raise StudyError(f"{place}.period", f"is {show(var.period)}", "a number > 0")
        if var.law is not None:
            if fault := getattr(var.law, "fault", lambda p: "")(p):
                raise StudyError(f"{place}.law", fault, "another law")
            continue
        if (spread := value_of(var.spread, p)) < 0.0:
            raise StudyError(f"{place}.spread", f"is {spread:g}", "0 or more")
        if model.initial is not None or var.period is not None:
            continue
        start = value_of(var.start, p)
        low = -math.inf if var.floor is None else var.floor
        high = math.inf if var.ceiling is None else var.ceiling
        if not low <= start <= high:
            allowed = f"a start between its walls, {low:g} and {high:g}"
            raise StudyError(f"{place}.start", f"is {start:g}", allowed)


def _check_ranges(model: Model) -> None:
    """Refuse ranges that are none, for the default parameters."""
    sites = model.sites({param.name: param.default for param in model.params})
    for var in model.state:
        if var.range is None:
            continue
        place = f"{model.name}.state.{var.symbol}.range"
        if not isinstance(var.range, tuple) or len(var.range) != 2:
            raise StudyError(place, f"got {show(var.range)}", "(lowest, highest)")
        for p in sites.params:
            low, high = (value_of(part, p) for part in var.range)
            if not -math.inf < low < high < math.inf:
                raise StudyError(place, f"{low:g} to {high:g}", "finite numbers, lowest first")


def _numbers(model: Model, place: str, function: Any, found: Any, length: int) -> tuple[Any, ...]:
    """Return what a function of a model gave: so many finite numbers."""
    if (
        not isinstance(found, tuple)
        or len(found) != length
        or not all(isinstance(value, (int, float, np.integer, np.floating)) for value in found)
        or any(isinstance(value, bool) for value in found)
    ):
        allowed = f"a tuple of {length} numbers, one per variable"
        raise _misfit(model, place, function, f"returns {show(found)}", allowed)
    if not all(math.isfinite(value) for value in found):
        problem = f"is not finite at the start: {show(found)}"
        raise _misfit(model, place, function, problem, "finite numbers")
    return found


def _failure(model: Model, place: str, function: Any, error: Exception) -> StudyError:
    """Return the refusal of a model's function that fails, with the line that does."""
    problem, allowed = f"{type(error).__name__}: {error}", "a function of numbers"
    if isinstance(error, AttributeError):
        known = {
            "State": ("variable", "x", model.symbols),
            "Means": ("mean or field", "m and c", model.means),
            "Numbers": ("number", "p", model.numbers._fields),
        }.get(type(error.obj).__name__)
        if known is not None:
            kind, of, names = known
            problem = f"no {kind} {error.name!r} in {of}{hint(error.name, names)}"
            allowed = ", ".join(names)
    # Text that `assembly` has written is no file, and what comes before it is this package's.
    frames = traceback.extract_tb(error.__traceback__)
    written = [k for k, frame in enumerate(frames) if frame.filename == "<string>"]
    own = [f for f in frames[written[-1] + 1 :] if f.filename != __file__] if written else []
    misfit = _misfit(model, place, function, f"cannot be called: {problem}", allowed)
    at = f"{own[0].filename}:{own[0].lineno}" if own else misfit.file
    return StudyError(misfit.key, misfit.problem, misfit.allowed, at)


def _misfit(model: Model, place: str, function: Any, problem: str, allowed: str) -> StudyError:
    """Return the refusal of a model's function, with the file and line where it stands."""
    code = getattr(function, "__code__", None)
    at = "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"
    return StudyError(f"{model.name}.{place}", problem, allowed, at)
