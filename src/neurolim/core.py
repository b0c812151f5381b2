"""The vocabulary: Model, Solver, Statistic, Figure, and the few words they are made of.

A plug-in is one file: ``models/<name>.py`` defines ``MODEL``, ``solvers/<name>.py`` defines
``SOLVER``, ``statistics/<name>.py`` defines ``STATISTIC``, ``figures/<name>.py`` defines
``FIGURE``.  The file name is the name used in a study; there is no list to edit.

Nothing here knows xarray, zarr, dask, pydantic or matplotlib.
"""

from __future__ import annotations

import difflib
import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

KINDS = ("model", "solver", "statistic", "figure")
_FOLDERS = {
    "model": "models",
    "solver": "solvers",
    "statistic": "statistics",
    "figure": "figures",
}


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


class Status(IntEnum):
    """Outcome of one run (one grid point, one replica); anything but OK carries NaN data.

    SKIPPED is no failure: a map that is refined left this point out.
    """

    OK = 0
    DIVERGED = 1
    NOT_CONVERGED = 2
    OUT_OF_DOMAIN = 3
    SKIPPED = 4


class StudyError(ValueError):
    """Input that is refused before any job starts: ``file: key: problem; allowed: ...``.

    Parameters
    ----------
    key : dotted place in the study, e.g. ``grid.eps``
    problem : what is wrong with it, in one clause
    allowed : what would be right (text or list of names); may be empty
    file : the study file; empty for calls from a notebook
    """

    def __init__(
        self, key: str, problem: str, allowed: str | Sequence[str] = "", file: str = ""
    ) -> None:
        self.file, self.key, self.problem = file, key, problem
        self.allowed = allowed if isinstance(allowed, str) else ", ".join(allowed)
        place = ": ".join(part for part in (file, key) if part)
        text = f"{place}: {problem}" + (f"; allowed: {self.allowed}" if self.allowed else "")
        super().__init__(" ".join(text.split()))

    def within(self, prefix: str = "", file: str = "") -> StudyError:
        """Return the same refusal seen from further out: key prefixed, file named."""
        key = ".".join(part for part in (prefix, self.key) if part)
        return StudyError(key, self.problem, self.allowed, file or self.file)


@dataclass(frozen=True, slots=True)
class Var:
    """A labelled quantity: a state variable of a model or an output array of a solver.

    Parameters
    ----------
    name, unit, long_name : label, unit ("1" if dimensionless) and description
    dims : dimensions after the replica dimension, outermost first (empty for state variables)
    dtype : numpy dtype name
    reflect : lower bound at which a state variable is reflected, or None
    """

    name: str
    unit: str = "1"
    long_name: str = ""
    dims: tuple[str, ...] = ()
    dtype: str = "float64"
    reflect: float | None = None


@dataclass(frozen=True, slots=True)
class Param:
    """A documented, bounded parameter of a model or option of a solver, statistic or figure.

    Parameters
    ----------
    name, default, unit, doc : label, default value (None: has to be given), unit, description
    kind : "number", "integer", "boolean", "text", "choice", "vector" (list of numbers),
        "names" (list of words) or "matrix" (list of equal rows of numbers); three more name parts
        of a study and are checked against it: "axis" (a numeric positive axis), "parameter" (a
        number, fixed or on an axis), "record time" (a time before the last record)
    low, high : closed bounds for numbers (each entry of a vector or matrix)
    positive : exclude zero and below
    choices : the words allowed for "choice"; for "number" words allowed instead of a number
    """

    name: str
    default: Any
    unit: str = "1"
    doc: str = ""
    kind: str = "number"
    low: float = -math.inf
    high: float = math.inf
    positive: bool = False
    choices: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the allowed values in words, for error messages and documentation."""
        if self.kind in ("choice", "boolean", "text", "axis", "parameter", "names"):
            return {
                "boolean": "true or false",
                "text": "a word",
                "axis": "the name of an axis",
                "parameter": "the name of a parameter or option",
                "names": "a list of words",
            }.get(self.kind, ", ".join(self.choices))
        noun = {
            "number": "a number",
            "record time": "a time",
            "integer": "an integer",
            "vector": "a list of numbers",
            "matrix": "a list of equally long lists of numbers",
        }[self.kind]
        low = 0.0 if self.positive and self.low < 0 else self.low
        if self.positive and low == 0:
            noun += " > 0"
        elif low > -math.inf:
            noun += f" >= {low:g}"
        if self.high < math.inf:
            noun += f"{' and' if '>' in noun else ''} <= {self.high:g}"
        return noun + (f", or {', '.join(self.choices)}" if self.choices else "")

    def check(self, value: Any) -> Any:
        """Return ``value`` in its canonical type, or raise StudyError naming this parameter.

        Numbers become float, integers int, vectors tuples of float; booleans are never numbers.
        """
        if self.kind == "boolean":
            if isinstance(value, (bool, np.bool_)):
                return bool(value)
        elif self.kind in ("text", "axis", "parameter"):
            if isinstance(value, str) and value:
                return value
        elif self.kind == "choice":
            if isinstance(value, str) and value in self.choices:
                return value
            if isinstance(value, str):
                raise StudyError(
                    self.name, f"unknown word {value!r}{hint(value, self.choices)}", self.choices
                )
        elif self.kind == "names":
            words = [value] if isinstance(value, str) else value
            if isinstance(words, (list, tuple)) and words and all(_is_word(w) for w in words):
                twice = sorted({word for word in words if list(words).count(word) > 1})
                if twice:
                    raise StudyError(self.name, f"listed twice: {', '.join(twice)}", "once")
                return tuple(words)
        elif self.kind in ("number", "integer", "record time"):
            if self.choices and isinstance(value, str) and value in self.choices:
                return value
            return self._number(value)
        elif self.kind == "vector":
            if _is_list(value) and len(value) > 0:
                return tuple(self._number(entry) for entry in value)
        elif self.kind == "matrix" and (
            _is_list(value)
            and len(value) > 0
            and all(_is_list(row) for row in value)
            and len({len(row) for row in value}) == 1
            and len(value[0]) > 0
        ):
            return tuple(tuple(self._number(entry) for entry in row) for row in value)
        raise StudyError(self.name, f"wrong type: got {_show(value)}", self.describe())

    def _number(self, value: Any) -> float | int:
        if isinstance(value, (bool, np.bool_)) or not isinstance(
            value, (int, float, np.integer, np.floating)
        ):
            raise StudyError(self.name, f"wrong type: got {_show(value)}", self.describe())
        number: float | int
        try:
            number = float(value)
            finite = math.isfinite(number)
        except OverflowError:
            finite = False
        if not finite:
            raise StudyError(self.name, f"not finite: {_show(value)}", self.describe())
        if isinstance(value, (int, np.integer)) and self.kind == "integer":
            number = int(value)  # exactly, beyond 2^53 too
        too_low = number <= 0 if self.positive else number < self.low
        if too_low or number < self.low or number > self.high:
            raise StudyError(self.name, f"out of range: {number:g}", self.describe())
        if self.kind == "integer":
            if number != int(number):
                raise StudyError(self.name, f"not an integer: {number:g}", self.describe())
            return int(number)
        return number


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


class Cost(NamedTuple):
    """Predicted cost of one run: core-seconds and bytes held in memory while it runs."""

    seconds: float
    memory: float


class Coord(NamedTuple):
    """Coordinate of an output dimension: values, unit and description."""

    values: tuple[float | str, ...]
    unit: str = "1"
    long_name: str = ""


class Solution(NamedTuple):
    """What a solver returns: arrays [replica, ...] by output name and a Status per replica."""

    arrays: dict[str, np.ndarray]
    status: np.ndarray


@dataclass(frozen=True)
class Solver:
    """One level of description: network of particles, kinetic equation, limit equation.

    Parameters
    ----------
    summary, source : one line; paper and equation
    options : documented options with defaults
    outputs : (model, options) -> Vars, all of them with their dims
    coords : (model, params, options) -> Coord of every dim in ``outputs``
    cost : (model, params, options) -> Cost of one replica
    solve : (model, params, options, key, replicas) -> Solution; pure: same arguments, same
        bits.  ``replicas`` is a range of replica numbers; deterministic solvers get range(1)
    check : (model, params, options) -> None, raises StudyError for combinations refused early
    stochastic : False for solvers that ignore ``key`` (their datasets have no replica dim)
    name : the file's name, filled in by ``get``
    """

    summary: str
    source: str
    options: tuple[Param, ...]
    outputs: Callable[[Model, Mapping[str, Any]], tuple[Var, ...]]
    coords: Callable[[Model, Mapping[str, Any], Mapping[str, Any]], dict[str, Coord]]
    cost: Callable[[Model, Mapping[str, Any], Mapping[str, Any]], Cost]
    solve: Callable[[Model, Mapping[str, Any], Mapping[str, Any], int, range], Solution]
    check: Callable[[Model, Mapping[str, Any], Mapping[str, Any]], None]
    stochastic: bool
    name: str = ""


@dataclass(frozen=True)
class Statistic:
    """A pure function from a labelled dataset to a labelled dataset.

    Parameters
    ----------
    summary, source : one line; paper and equation, or method reference
    options : documented options with defaults
    needs : options -> names of dataset variables it reads
    gives : (options, state variable names) -> names of the variables it returns
    apply : (dataset, **options) -> xarray.Dataset
    exact : () -> list of (dataset, options, checks); each check is (variable name, selection,
        expected value, absolute tolerance): a known answer the conformance suite verifies
    tables : (applied dataset, expect) -> {table name: pandas.DataFrame}, where ``expect`` maps
        quantities to {"order", "tolerance", "claim"}
    table_names : the names ``tables`` returns, known before anything runs
    check : (lengths of the dataset's dims, options) -> None, raises StudyError for datasets it
        cannot use
    name : the file's name, filled in by ``get``
    """

    summary: str
    source: str
    options: tuple[Param, ...]
    needs: Callable[[Mapping[str, Any]], tuple[str, ...]]
    gives: Callable[[Mapping[str, Any], tuple[str, ...]], tuple[str, ...]]
    apply: Callable[..., Any]
    exact: Callable[[], list[Any]]
    tables: Callable[[Any, Mapping[str, Any]], dict[str, Any]] = field(
        default=lambda dataset, expect: {}
    )
    table_names: tuple[str, ...] = ()
    check: Callable[[Mapping[str, int], Mapping[str, Any]], None] = lambda sizes, options: None
    name: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture of a dataset (solver outputs and statistics together).

    Parameters
    ----------
    summary : one line
    options : documented options with defaults
    needs : (options, state variable names) -> names of dataset variables it reads
    draw : (dataset, expect, **options) -> matplotlib Figure; ``expect`` as in Statistic.tables
    example : () -> dataset small enough for the conformance suite to draw
    name : the file's name, filled in by ``get``
    """

    summary: str
    options: tuple[Param, ...]
    needs: Callable[[Mapping[str, Any], tuple[str, ...]], tuple[str, ...]]
    draw: Callable[..., Any]
    example: Callable[[], Any]
    name: str = ""


@lru_cache(maxsize=8)
def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of a kind ("model", "solver", "statistic", "figure")."""
    package = importlib.import_module(f"neurolim.{_FOLDERS[kind]}")
    return tuple(
        sorted(
            found.name
            for found in pkgutil.iter_modules(package.__path__)
            if not found.name.startswith("_")
        )
    )


def get(kind: str, name: str) -> Any:
    """Return the plug-in of that kind whose file has that name.

    Raises
    ------
    StudyError : unknown name, with the known ones listed
    """
    known = names(kind)
    if not isinstance(name, str) or name not in known:
        raise StudyError(kind, f"unknown {kind} {_show(name)}{hint(name, known)}", known)
    return _loaded(kind, name)


@lru_cache(maxsize=512)
def _loaded(kind: str, name: str) -> Any:
    module = importlib.import_module(f"neurolim.{_FOLDERS[kind]}.{name}")
    plug_in = replace(getattr(module, kind.upper()), name=name)
    if kind == "model":
        check_model(plug_in)
    return plug_in


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
        raise _misfit(model, "relax", f"returns {_show(parts)}", "(pull, target, gap)")
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
        raise _misfit(model, name, f"returns {_show(found)}", right)
    if not all(math.isfinite(value) for value in found):
        raise _misfit(model, name, f"is not finite at the start: {_show(found)}", "finite numbers")
    return found


def _misfit(model: Model, name: str, problem: str, allowed: str) -> StudyError:
    """Return the refusal of a model's function, with the file and line where it stands."""
    code = getattr(getattr(model, name), "__code__", None)
    place = "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"
    return StudyError(f"{model.name}.{name}", problem, allowed, place)


def resolve(params: Sequence[Param], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter by name: the given value, checked, or its default.

    Raises
    ------
    StudyError : unknown or missing name, wrong type, out of range
    """
    known = {param.name: param for param in params}
    for name in given:
        if name not in known:
            raise StudyError(
                str(name), f"unknown key{hint(name, known)}", sorted(known) or "nothing"
            )
    for name, param in known.items():
        if param.default is None and name not in given:
            raise StudyError(name, "missing", param.describe())
    return {
        name: param.check(given[name]) if name in given else param.default
        for name, param in known.items()
    }


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def hint(name: Any, known: Any) -> str:
    """Return " (did you mean ...?)" if a known name is close to the given one, else nothing."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
