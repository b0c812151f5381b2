"""A network of neurons, as its author writes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from neurolim.core.errors import StudyError, show
from neurolim.core.parameters import Param, Var

#: State variables that kernels have room for.
MAX_VARIABLES = 3
#: What a model's functions are called with.
_ARGUMENTS = {
    "initial": "(z, p)",
    "field": "(x, p)",
    "drift": "(x, m, c, p)",
    "relax": "(m, c, p)",
    "noise": "(p): additive noise only",
    "spread": "(p)",
}


class Sites(NamedTuple):
    """Where neurons sit and how the sites talk: the one idea behind space and populations.

    labels : coordinate of each site [n_sites] (positions in K, or population names)
    coupling : K[s, r], weight with which the fields of site r reach site s [n_sites, n_sites]
    params : one NamedTuple of floats per site, all of the same class
    """

    labels: tuple[float | str, ...]
    coupling: np.ndarray
    params: tuple[Any, ...]


@dataclass(frozen=True)
class Model:
    r"""One network of neurons, written once for every level of description.

    Neuron i on site s obeys, variable by variable (Ito, additive noise, reflected where the
    state variable says so),

        dx = [ drift(x, m, c, p) + pull (target - x) + gap (mean_s(x) - x) ] dt + noise(p) dW

    where  m = (mean of x, mean of field(x, p)) over site s,  c = sum_r K[s, r] m_r,  and
    (pull, target, gap) = relax(m, c, p).  Both strong couplings are linear in x given the
    fields, so solvers treat them exactly at any strength: ``pull`` is the attraction to a
    target set by the fields (chemical synapses), ``gap`` the attraction to the mean of the own
    site (gap junctions), which leaves that mean alone.

    Kernels are plain, pure functions of tuples of floats; numba compiles them inside solvers
    and Python calls them as they are.  ``p`` is a NamedTuple of floats, data and never closed
    over, so one compiled kernel serves a whole sweep.

    Parameters
    ----------
    summary, source : one line; paper and equation
    state : state variables (at most MAX_VARIABLES)
    params : user parameters
    prepare : params by name -> Sites; raises StudyError for combinations that make no sense
    drift : (x, m, c, p) -> tuple [n_state], local drift, order one in the strong coupling
    relax : (m, c, p) -> (pull, target, gap), tuples [n_state]
    noise : (p) -> tuple [n_state], standard deviations per root time
    field : (x, p) -> tuple [n_fields], what neurons broadcast beside their state (may be empty)
    initial : (z, p) -> tuple [n_state], initial state from independent standard normals z
    spread : (p) -> tuple [n_state], standard deviation of each variable in the limit law about
        the mean (the concentration profile), or None where no such law is known; entries <= 0
        mean "no profile for this variable"
    linear : the drift is affine in (x, m, c) and there are no further fields
    work : time its functions take per neuron, FitzHugh-Nagumo being 1; for predictions of cost
    name : the file's name, filled in by ``get``
    """

    summary: str
    source: str
    state: tuple[Var, ...]
    params: tuple[Param, ...]
    prepare: Callable[[Mapping[str, Any]], Sites]
    drift: Callable[..., Any]
    relax: Callable[..., Any]
    noise: Callable[..., Any]
    field: Callable[..., Any]
    initial: Callable[..., Any]
    spread: Callable[..., Any] | None = None
    linear: bool = False
    work: float = 1.0
    name: str = ""


def check_model(model: Model) -> None:
    """Refuse a model that no kernel could take, in words of its author.

    Its functions are called once as they are, at the centre of the initial law of the default
    parameters; nothing is compiled.

    Raises
    ------
    StudyError : no state variable or more than MAX_VARIABLES; a function with other arguments than
        `Model` says, that fails, returns something else than a tuple of the right length, or is
        not finite
    """
    d = len(model.state)
    if not 1 <= d <= MAX_VARIABLES:
        raise StudyError(
            f"{model.name}.state", f"{d} state variables", f"1 to {MAX_VARIABLES} variables"
        )
    sites = model.prepare({param.name: param.default for param in model.params})
    p = sites.params[0]
    x = _numbers(model, "initial", _called(model, "initial", (0.0,) * d, p), d)
    m = (*x, *_numbers(model, "field", _called(model, "field", x, p)))
    c = tuple(float(k) for k in sites.coupling[0, 0] * np.array(m))
    _numbers(model, "drift", _called(model, "drift", x, m, c, p), d)
    _numbers(model, "noise", _called(model, "noise", p), d)
    if model.spread is not None:
        _numbers(model, "spread", _called(model, "spread", p), d)
    parts = _called(model, "relax", m, c, p)
    if not isinstance(parts, tuple) or len(parts) != 3:
        raise _misfit(model, "relax", f"returns {show(parts)}", "(pull, target, gap)")
    for part in parts:
        _numbers(model, "relax", part, d)


def _called(model: Model, name: str, *arguments: Any) -> Any:
    """Return what a function of a model gives; whatever it raises becomes a refusal."""
    try:
        return getattr(model, name)(*arguments)
    except Exception as error:
        problem = f"cannot be called: {type(error).__name__}: {error}"
        raise _misfit(model, name, problem, _ARGUMENTS[name]) from error


def _numbers(model: Model, name: str, found: Any, length: int | None = None) -> tuple[float, ...]:
    """Return what a function of a model gave: finite numbers, ``length`` of them if it is given."""
    right = "a tuple of numbers" if length is None else f"a tuple of {length}, one per variable"
    if (
        not isinstance(found, tuple)
        or (length is not None and len(found) != length)
        or any(isinstance(value, bool) for value in found)
        or not all(isinstance(value, (int, float, np.integer, np.floating)) for value in found)
    ):
        raise _misfit(model, name, f"returns {show(found)}", right)
    if not all(math.isfinite(value) for value in found):
        raise _misfit(model, name, f"is not finite at the start: {show(found)}", "finite numbers")
    return found


def _misfit(model: Model, name: str, problem: str, allowed: str) -> StudyError:
    """Return the refusal of a model's function, with the file and line where it stands."""
    code = getattr(getattr(model, name), "__code__", None)
    place = "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"
    return StudyError(f"{model.name}.{name}", problem, allowed, place)
