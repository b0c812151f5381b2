r"""A model as a mapping of texts, turned into the program of a file that says the same.

The keys are those of `neurolim.Model`, written for a study: see docs/models.md.  What is written
out here comes from checked trees, checked names, numbers and quoted text alone, so that nothing a
study says is run.  The program is a module like that of a file beside the study: it has a digest,
its kernels are kept on disk, and its equal spelling is the same module.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from neurolim import sources
from neurolim.core import MAX_VARIABLES, Source, StudyError, check_model
from neurolim.core.errors import show
from neurolim.core.model import MAX_FIELDS, MAX_NOISES
from neurolim.text import entries
from neurolim.text.entries import ENDS, check_keys, equation, line_of, mapping, number
from neurolim.text.equations import Names, Part
from neurolim.text.lines import KEY, failing, key_at, param_text, tuple_text

_KEYS = (
    *("name", "summary", "source", "work", "params", "terms", "sites", "weights", "state"),
    *("drift", "fields", "delays", "gap_junctions", "synapses", "noise", "initial"),
)
_STATE_WORDS = ("name", "unit", "long_name")
_STATE = (*_STATE_WORDS, "start", "spread", "law", *ENDS, "range", "profile")
#: What is asked for by these names no model can have.
_UNSUPPORTED = {
    **dict.fromkeys(("reset", "threshold", "refractory", "spikes"), "thresholds with reset"),
    **dict.fromkeys(("jump", "jumps", "poisson"), "jumps"),
    **dict.fromkeys(("plasticity", "learning"), "plastic weights"),
}
#: What may enter a drift or an amplitude, and a coupling.
_FLOW = ("t", "x", "m", "c", "p")
_MEANS = ("m", "c", "p")
_BEGIN = (
    "from types import SimpleNamespace",
    "from neurolim import Delay, Field, GapJunctions, Model, Noise, Param, Sites, State",
    "from neurolim import StudyError, Synapses",
    "from neurolim.laws import Mixture, Samples, Uniform",
)


def written(given: Mapping[str, Any]) -> Source:
    """Return the source of a model that is a mapping of texts.

    Parameters
    ----------
    given : what a study says under ``model``

    Raises
    ------
    StudyError : anything that is no model, with its key and what is allowed
    """
    label = line_of(given, "name", "model")
    if entries.LABEL.fullmatch(label) is None:
        raise StudyError("name", f"{label!r} cannot be the name of a result", "letters, digits, -")
    program = _Program(given)
    module = sources.text_module(program.text)
    model = importlib.import_module(module).MODEL
    try:
        with np.errstate(all="ignore"):
            check_model(replace(model, name="model"))
    except StudyError as error:
        key = f"params.{error.key}" if error.key in program.params else error.key
        key = key_at(program.text, error.file) or key.removeprefix("model.")
        raise StudyError(key, error.problem, error.allowed) from None
    return Source("", "", "MODEL", module, label, program.text)


class _Program:
    """The program that a mapping stands for.

    Parameters
    ----------
    given : the mapping

    Attributes
    ----------
    text : the program
    params : the parameters by name
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        for key in given:
            if key in _UNSUPPORTED:
                problem = f"{_UNSUPPORTED[key]}: no model here can have them"
                raise StudyError(str(key), problem, _KEYS)
        self._given = mapping(given, "", "a mapping of keys")
        check_keys(given, "", _KEYS)
        self._functions: list[str] = []
        self._used: set[str] = set()
        self._sites = entries.sites_of(given)
        self.params = entries.params_of(self._section("params", "a number each"), bool(self._sites))
        self._state = self._section("state", f"1 to {MAX_VARIABLES} variables")
        self._fields = self._section("fields", "an equation each")
        self._delays = self._section("delays", "{of: v, time: 1} each")
        for key, count, most in (
            ("state", len(self._state), MAX_VARIABLES),
            ("fields", len(self._fields), MAX_FIELDS),
            ("delays", len(self._delays), MAX_FIELDS),
        ):
            if count > most or (key == "state" and not count):
                raise StudyError(key, f"{count} of them", f"1 to {most}")
        self._names = Names(
            tuple(self.params), tuple(self._state), tuple(self._fields), tuple(self._delays)
        )
        self._read_terms()
        parts = [
            f"summary={line_of(given, 'summary', 'A model as text.')!r}",
            f"source={line_of(given, 'source')!r}",
            f"state={tuple_text(self._variable(*item) for item in self._state.items())}",
            f"params={tuple_text(map(param_text, self.params.values()))}",
            f"drift={self._drift()}",
            f"coupling={tuple_text(self._couplings())}",
            f"noise={tuple_text(self._noises())}",
            f"fields={tuple_text(self._sent())}",
            f"delay={tuple_text(self._late())}",
            f"derive={self._derive()}",
            f"prepare={self._prepare()}",
            f"initial={self._initial()}",
            f"work={self._work()!r}",
        ]
        imports = [f"from neurolim.math import {name}" for name in sorted(self._used)]
        end = f"MODEL = Model({', '.join(parts)})\n"
        self.text = "\n".join([*_BEGIN, *imports, *self._functions, end])

    def _section(self, key: str, allowed: str) -> Mapping[str, Any]:
        return mapping(self._given.get(key), key, f"a mapping: {allowed}")

    def _read_terms(self) -> None:
        """Read the terms, each made of earlier ones."""
        terms = self._section("terms", "an equation each")
        names = self._names
        sections = (names.params, names.state, names.fields, names.delays, terms)
        entries.check_names(
            dict(zip(("params", "state", "fields", "delays", "terms"), sections, strict=True))
        )
        for name, value in terms.items():
            names.terms[name] = self._read(value, f"terms.{name}", (*_FLOW, "z"))

    # -- functions -----------------------------------------------------------------------

    def _read(self, value: Any, key: str, arguments: Collection[str]) -> Part:
        """Return a checked equation and note the functions it takes."""
        part = equation(value, key, self._names, arguments)
        self._used |= part.functions
        return replace(part, key=key)

    def _function(self, name: str, parts: list[Part], several: bool = False) -> str:
        """Write a function of one value, or of a tuple of them; return its name.

        No name of a model begins with _, so that a function is never taken for one.
        """
        name = f"_{name}"
        arguments: frozenset[str] = frozenset().union(*(part.arguments for part in parts))
        needed = self._needed(frozenset().union(*(part.terms for part in parts)))
        head = ", ".join(argument for argument in (*_FLOW, "z") if argument in arguments)
        lines = [f"def {name}({head}):"]
        for term in needed:
            lines.append(f"    term_{term} = {self._names.terms[term].text}{KEY}terms.{term}")
        if several:
            lines += ["    return (", *(f"        {p.text},{KEY}{p.key}" for p in parts), "    )"]
        else:
            lines.append(f"    return {parts[0].text}{KEY}{parts[0].key}")
        self._functions.append("\n".join(lines))
        return name

    def _needed(self, terms: frozenset[str]) -> list[str]:
        """Return terms and all that they are made of, in the order in which they are written."""
        wanted = set(terms)
        for name in reversed(self._names.terms):
            if name in wanted:
                wanted |= self._names.terms[name].terms
        return [name for name in self._names.terms if name in wanted]

    def _term(self, value: Any, key: str, arguments: Collection[str]) -> str:
        """Return a term of a model: a number, the name of one, or a function."""
        part = self._read(value, key, arguments)
        if part.constant is not None:
            return repr(part.constant)
        before, _, name = part.text.partition("p.")
        if not before and name in self._names.all:
            return repr(name)
        return self._function(f"function_{len(self._functions)}", [part])

    # -- parts of the model --------------------------------------------------------------

    def _variable(self, symbol: str, value: Any) -> str:
        key = f"state.{symbol}"
        given = mapping(value, key, f"a mapping of {', '.join(_STATE)}")
        check_keys(given, key, _STATE)
        entries.check_walls(given, key)
        parts = [repr(symbol)]
        for word in _STATE:
            if word not in given:
                continue
            path = f"{key}.{word}"
            if word in _STATE_WORDS:
                text = repr(line_of(given, word))
            elif word in ENDS:
                text = repr(number(given[word], path))
            elif word == "range":
                ends = given[word]
                if not isinstance(ends, (list, tuple)) or len(ends) != 2:
                    raise StudyError(path, f"got {show(ends)}", "[lowest, highest]")
                text = tuple_text(self._term(end, path, "p") for end in ends)
            elif word == "law":
                text = self._law(given, path)
            else:
                text = self._term(given[word], path, "p")
            parts.append(f"{word}={text}")
        return f"State({', '.join(parts)})"

    def _law(self, given: Mapping[str, Any], key: str) -> str:
        """Return the initial law of a variable, in the place of start and spread."""
        beside = next((word for word in ("start", "spread") if word in given), "")
        if beside:
            raise StudyError(key, f"a law beside {beside}", "one of them")
        kind, values = entries.law_of(given["law"], key)
        if kind == "samples":
            return f"Samples({tuple_text(repr(number(value, key)) for value in values)})"
        if kind == "uniform":
            return f"Uniform({', '.join(self._term(end, key, 'p') for end in values)})"
        parts = (tuple_text(self._term(value, key, "p") for value in part) for part in values)
        return f"Mixture({', '.join(parts)})"

    def _per_variable(self, key: str) -> Iterator[tuple[str, str, Any]]:
        """Yield (place, symbol, what is said of it) of a section with an entry per variable."""
        given = self._section(key, "an entry per variable")
        check_keys(given, key, self._names.state)
        for symbol, value in given.items():
            yield f"{key}.{symbol}", symbol, value

    def _every_variable(self, key: str, arguments: Collection[str], allowed: str) -> str:
        """Return the name of a function of one value per variable."""
        given = {symbol: self._read(v, k, arguments) for k, symbol, v in self._per_variable(key)}
        for symbol in self._names.state:
            if symbol not in given:
                raise StudyError(f"{key}.{symbol}", "missing", allowed)
        return self._function(key, [given[symbol] for symbol in self._names.state], several=True)

    def _drift(self) -> str:
        return self._every_variable("drift", _FLOW, "an equation; 0 for what stays as it starts")

    def _initial(self) -> str:
        if "initial" not in self._given:
            return "None"
        for symbol, given in self._state.items():
            for word in ("start", "spread", "law"):
                if word in (given or {}):
                    problem = "the section `initial` says how variables start"
                    raise StudyError(f"state.{symbol}.{word}", problem, "one of the two")
        return self._every_variable("initial", ("z", "p"), "an equation of normal(...)")

    def _couplings(self) -> Iterator[str]:
        for path, symbol, value in self._per_variable("gap_junctions"):
            yield f"GapJunctions({symbol!r}, {self._term(value, path, _MEANS)})"
        keys = ("conductance", "current")
        for path, symbol, value in self._per_variable("synapses"):
            given = mapping(value, path, "{conductance: ..., current: ...}")
            check_keys(given, path, keys)
            for key in keys:
                if key not in given:
                    raise StudyError(f"{path}.{key}", "missing", "an equation")
            terms = [self._term(given[key], f"{path}.{key}", _MEANS) for key in keys]
            yield f"Synapses({symbol!r}, {', '.join(terms)})"

    def _noises(self) -> Iterator[str]:
        given = self._given.get("noise")
        if not isinstance(given, (list, tuple)):
            for path, symbol, value in self._per_variable("noise"):
                yield f"Noise({symbol!r}, {self._term(value, path, _FLOW)})"
        elif len(given) > MAX_NOISES:
            raise StudyError("noise", f"{len(given)} of them", f"at most {MAX_NOISES}")
        else:
            yield from (self._noise(f"noise.{k + 1}", value) for k, value in enumerate(given))

    def _noise(self, key: str, value: Any) -> str:
        """Return one Brownian motion and all that it moves."""
        kinds = ("stratonovich", "common")
        shape = "{moves: {v: amplitude, ...}, stratonovich: true, common: true}"
        given = mapping(value, key, shape)
        check_keys(given, key, ("moves", *kinds))
        moved = mapping(given.get("moves"), f"{key}.moves", "{v: amplitude, ...}")
        if not moved:
            raise StudyError(f"{key}.moves", "no variable", shape)
        check_keys(moved, f"{key}.moves", self._names.state)
        amplitudes = [self._term(v, f"{key}.moves.{s}", _FLOW) for s, v in moved.items()]
        variables, values = tuple_text(map(repr, moved)), tuple_text(amplitudes)
        if len(moved) == 1:
            variables, values = repr(next(iter(moved))), amplitudes[0]
        said = "".join(f", {kind}=True" for kind in kinds if entries.flag(given, kind, key))
        return f"Noise({variables}, {values}{said})"

    def _sent(self) -> Iterator[str]:
        for name, value in self._fields.items():
            yield f"Field({name!r}, {self._term(value, f'fields.{name}', ('x', 'p'))})"

    def _late(self) -> Iterator[str]:
        """Yield the means that come late."""
        shape = "{of: a variable or field, time: a number or a parameter}"
        for name, value in self._delays.items():
            key = f"delays.{name}"
            given = mapping(value, key, shape)
            check_keys(given, key, ("of", "time"))
            for word in ("of", "time"):
                if word not in given:
                    raise StudyError(f"{key}.{word}", "missing", shape)
            of, known = given["of"], [*self._names.state, *self._names.fields]
            if of not in known:
                raise StudyError(f"{key}.of", f"got {show(of)}", known)
            yield f"Delay({name!r}, {of!r}, {self._term(given['time'], f'{key}.time', 'p')})"

    def _work(self) -> float:
        work = number(self._given.get("work", 1.0), "work")
        if not 0.0 < work <= 1000.0:
            raise StudyError("work", f"got {work:g}", "time per neuron, FitzHugh-Nagumo being 1")
        return work

    # -- numbers and sites ---------------------------------------------------------------

    def _derive(self) -> str:
        """Write the function of the terms that are made of parameters alone."""
        own = {name: part for name, part in self._names.terms.items() if part.arguments <= {"p"}}
        if not own:
            return "None"
        lines = ["def _derive(params):", "    p = SimpleNamespace(**params)"]
        for name, part in own.items():
            lines += ["    try:", f"        p.{name} = {part.text}", *failing(f"terms.{name}")]
        result = ", ".join(f"{name!r}: p.{name}" for name in own)
        self._functions.append("\n".join([*lines, f"    return {{{result}}}"]))
        return "_derive"

    def _prepare(self) -> str:
        """Write the function of what is different at each site, and of the weights."""
        count = len(self._sites)
        if not count:
            return "None"
        several = [name for name, param in self.params.items() if param.kind == "vector"]
        own = ", ".join(f"{name!r}: p.{name}[k % len(p.{name})]" for name in several)
        lines = [
            "def _prepare(params):",
            "    p = SimpleNamespace(**params)",
            f"    for name in {tuple_text(map(repr, several))}:",
            f"        if len(params[name]) not in (1, {count}):",
            f"            problem = f'{{len(params[name])}} values for {count} sites'",
            f"            raise StudyError(name, problem, '1 or {count} values')",
            f"    own = tuple({{{own}}} for k in range({count}))",
            "    try:",
            f"        weights = {self._weights(several)}",
            *failing("weights"),
            f"    return Sites({self._sites!r}, weights, own)",
        ]
        self._functions.append("\n".join(lines))
        return "_prepare"

    def _weights(self, several: Collection[str]) -> str:
        """Return the weights as rows of numbers of the parameters that all sites share."""
        count = len(self._sites)
        shared = Names([name for name in self.params if name not in several], (), ())
        rows = self._given.get("weights", [[0.0] * count] * count)
        shape = f"a list of {count} rows, each what one site receives from all {count}"
        if not isinstance(rows, (list, tuple)) or len(rows) != count:
            raise StudyError("weights", f"got {show(rows)}", shape)
        texts = []
        for r, row in enumerate(rows):
            if not isinstance(row, (list, tuple)) or len(row) != count:
                raise StudyError(f"weights.{r + 1}", f"got {show(row)}", shape)
            parts = [
                equation(value, f"weights.{r + 1}.{s + 1}", shared, "p")
                for s, value in enumerate(row)
            ]
            self._used |= {name for part in parts for name in part.functions}
            texts.append(tuple_text(part.text for part in parts))
        return tuple_text(texts)
