"""A study: one experiment as a YAML file, validated as a whole before anything runs.

Every refusal is one StudyError, ``file: key: problem; allowed: ...``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from neurolim import core
from neurolim.core import Model, Param, Solver, StudyError
from neurolim.core.wires import Graph
from neurolim.numerics.random import noise_key
from neurolim.study.axes import MAX_POINTS, Axis, parse_axis
from neurolim.study.files import graphs_in, path_of, with_sources
from neurolim.study.refine import Refine, levels_of
from neurolim.study.tiny import Tiny, at_test_size

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
#: What lies beside the folders of studies in the folder of all results.
_FOLDERS = ("archive", "logs", "tiny")
_ALIAS = re.compile(r"[a-z][a-z0-9_]*")
#: Grids larger than this are checked on a deterministic sample of points.
CHECKED_POINTS = 2000


class Entry(BaseModel):
    """A statistic, figure or reference solver with its options.

    Parameters
    ----------
    name : of the plug-in
    options : given in the study
    alias : by which a statistic goes in this study; it stands before the names of its results
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: str
    options: dict[str, Any] = {}
    alias: str = ""

    @property
    def label(self) -> str:
        """Return the name of the entry in the study."""
        return self.alias or self.name

    @property
    def prefix(self) -> str:
        """Return what stands before the names of variables, tables and quantities."""
        return f"{self.alias}_" if self.alias else ""


class Expectation(BaseModel):
    """What theory says of one quantity: order, extra tolerance, and the paper's claim."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    order: float | None = None
    tolerance: float = Field(0.0, ge=0.0)
    claim: str = ""


class Study(BaseModel):
    """One experiment: a model, a solver, a grid, and what to make of it.

    Fields are the keys of a study file (docs/studies.md).  Everything derived, resolved
    parameters, axes, noise keys, is a property or method.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    title: str = ""
    #: Who says it, where, and in which words; the verdicts page is sorted by these.
    paper: str = ""
    statement: str = ""
    claim: str = ""
    #: Why no table of the study can judge; empty where one does.
    no_verdict: str = ""
    model: str
    solver: str
    params: dict[str, Any] = {}
    options: dict[str, Any] = {}
    reference: Entry | None = None
    grid: dict[str, Any] = {}
    refine: Refine | None = None
    replicas: int = Field(1, ge=1, lt=2**32)
    seed: int = Field(0, ge=0, lt=2**63)
    statistics: tuple[Entry, ...] = ()
    figures: tuple[Entry, ...] = ()
    expect: dict[str, Expectation] = {}
    failed_share: float = Field(0.1, ge=0.0, le=1.0)
    chunk_seconds: float = Field(120.0, gt=0.0)
    name: str = "study"
    file: str = ""
    #: Whether this is the study at test size, as its section ``tiny`` says.
    tiny: bool = False
    #: {"model hr": where the model hr comes from} for plug-ins in files; made by ``parse_study``.
    sources: dict[str, Any] = {}

    @field_validator("reference", mode="before")
    @classmethod
    def _reference(cls, value: Any) -> Any:
        if isinstance(value, str):
            return Entry(name=value)
        if isinstance(value, Mapping) and set(value) <= {"solver", "options"} and "solver" in value:
            return {"name": value["solver"], "options": value.get("options", {})}
        raise ValueError("not a solver name or {solver: name, options: {...}}")

    @field_validator("statistics", "figures", mode="before")
    @classmethod
    def _entries(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, (list, tuple)):
            raise ValueError("not a list of names or {name: {options}}")
        entries = tuple(_entry(item) for item in value)
        if info.field_name == "figures" and any(entry.alias for entry in entries):
            raise ValueError("a statistic may have an alias, a figure may not")
        return entries

    # -- what the names stand for ------------------------------------------------------------

    def source(self, kind: str, name: str) -> Any:
        """Return what ``core.get`` finds a plug-in of this study by: name, file or itself."""
        return self.sources.get(f"{kind} {name}", name)

    def plugin(self, kind: str, name: str) -> Any:
        """Return a plug-in of this study by its name in results."""
        return core.get(kind, self.source(kind, name))

    def module(self, kind: str, name: str) -> str:
        """Return the module behind a plug-in of this study."""
        return core.module_of(kind, self.source(kind, name))

    @property
    def plugins(self) -> list[tuple[str, str]]:
        """Return (kind, name) of every plug-in of this study."""
        reference = [] if self.reference is None else [("solver", self.reference.name)]
        statistics = [("statistic", entry.name) for entry in self.statistics]
        figures = [("figure", entry.name) for entry in self.figures]
        own = [("model", self.model), ("solver", self.solver)]
        return [*own, *reference, *statistics, *figures]

    @property
    def cited_claim(self) -> str:
        """Return the claim with paper and statement before it."""
        citation = ", ".join(filter(None, (self.paper, self.statement)))
        return ": ".join(filter(None, (citation, self.claim)))

    @cached_property
    def the_model(self) -> Model:
        """Return the model plug-in."""
        model: Model = self.plugin("model", self.model)
        return model

    @cached_property
    def the_solver(self) -> Solver:
        """Return the solver plug-in."""
        solver: Solver = self.plugin("solver", self.solver)
        return solver

    @cached_property
    def the_reference(self) -> Solver | None:
        """Return the reference solver plug-in, if the study has one."""
        return None if self.reference is None else self.plugin("solver", self.reference.name)

    @property
    def reference_name(self) -> str:
        """Return the name of the reference solver, or nothing."""
        return "" if self.reference is None else self.reference.name

    @cached_property
    def _known(self) -> dict[str, Param]:
        known = {param.name: param for param in self.the_solver.options}
        known.update({param.name: param for param in self.the_model.params})
        return known

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """Return the dimensions of the grid in the order of the file."""
        return tuple(parse_axis(str(name), spec, self._known) for name, spec in self.grid.items())

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Return the number of values along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def n_points(self) -> int:
        """Return the number of grid points."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def n_runs(self) -> int:
        """Return the number of runs: points times replicas."""
        return self.n_points * self.replicas

    @cached_property
    def graphs(self) -> dict[str, Path]:
        """Return the files of wires that the study names, by their names in the study."""
        own = {} if self.reference is None else self.reference.options
        words = {*graphs_in(self.options).values(), *graphs_in(own).values()}
        return {word: path_of(word, self.file) for word in sorted(words)}

    def _located(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options whose files of wires are where the study has them."""
        found = {name: str(self.graphs[word]) for name, word in graphs_in(options).items()}
        return {**options, **found}

    @cached_property
    def _base(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return (params, options, reference options) resolved, without the axes."""
        params = _resolved("params", self.the_model.params, self.params)
        options = _resolved("options", self.the_solver.options, self._located(self.options))
        reference: dict[str, Any] = {}
        if self.reference is not None and self.the_reference is not None:
            shared = {param.name for param in self.the_reference.options}
            given = {name: value for name, value in options.items() if name in shared}
            given.update(self._located(self.reference.options))
            reference = _resolved("reference.options", self.the_reference.options, given)
        return params, options, reference

    # -- points ------------------------------------------------------------------------------

    def values_at(self, point: int) -> dict[str, Any]:
        """Return the axis values of a grid point, by parameter or option name."""
        values: dict[str, Any] = {}
        for axis, index in zip(self.axes, np.unravel_index(point, self.shape), strict=True):
            for name, column in axis.components.items():
                values[name] = column[index]
        return values

    def params_at(self, point: int) -> dict[str, Any]:
        """Return all model parameters of a grid point."""
        names = {param.name for param in self.the_model.params}
        return self._base[0] | {k: v for k, v in self.values_at(point).items() if k in names}

    def options_at(self, point: int) -> dict[str, Any]:
        """Return all solver options of a grid point."""
        names = {param.name for param in self.the_solver.options}
        return self._base[1] | {k: v for k, v in self.values_at(point).items() if k in names}

    def reference_options_at(self, point: int) -> dict[str, Any]:
        """Return all options of the reference solver at a grid point."""
        solver = self.the_reference
        if solver is None:
            return {}
        names = {param.name for param in solver.options}
        own = set() if self.reference is None else set(self.reference.options)
        return self._base[2] | {k: v for k, v in self.values_at(point).items() if k in names - own}

    def key(self, point: int) -> int:
        """Return the 64-bit noise key of a grid point; common axes do not enter."""
        independent: dict[str, Any] = {}
        for axis, index in zip(self.axes, np.unravel_index(point, self.shape), strict=True):
            if not axis.common:
                for name, column in axis.components.items():
                    independent[name] = column[index]
        return noise_key(self.seed, independent)

    def points(self) -> Iterator[int]:
        """Return the numbers of all grid points, last axis fastest."""
        return iter(range(self.n_points))

    @cached_property
    def point_order(self) -> np.ndarray | None:
        """Return the points in the order of their runs, or None for their own order."""
        if self.refine is None:
            return None
        return np.argsort(self.point_levels, kind="stable")

    @cached_property
    def point_levels(self) -> np.ndarray:
        """Return the level of refinement of every point; 0 without refinement."""
        if self.refine is None:
            return np.zeros(self.n_points, dtype=int)
        names = [axis.name for axis in self.axes]
        places = [names.index(name) for name in self.refine.axes]
        level = levels_of([self.shape[place] for place in places], self.refine.levels)
        indices = np.unravel_index(np.arange(self.n_points), self.shape)
        found: np.ndarray = level[tuple(indices[place] for place in places)]
        return found

    def nth(self, place: int) -> int:
        """Return the point whose runs come at this place."""
        return place if self.point_order is None else int(self.point_order[place])

    def sample(self) -> list[int]:
        """Return all points, or of a large grid the corners' ends and an even sample."""
        if self.n_points <= CHECKED_POINTS:
            return list(range(self.n_points))
        return sorted({int(p) for p in np.linspace(0, self.n_points - 1, CHECKED_POINTS)})

    def digest(self, first: int, last: int) -> str:
        """Return a digest of everything the runs first .. last-1 depend on in this study.

        Titles, claims, statistics, figures, expectations and comments do not enter.
        """
        reference = None if self.reference is None else [self.reference.name, self._base[2]]
        words = [self.model, self.solver, *self._base[:2], reference, self.seed]
        if self.point_order is not None:
            return self._digest_by_point(words, first, last)
        # Points are numbered with the last axis fastest: runs in a row see a part of the first
        # axis and, taken together, all of the others.  So a digest costs what the axes are long.
        inner = self.replicas * int(np.prod(self.shape[1:], dtype=object))
        low, high = first // inner, -(-last // inner)
        axes = [
            [axis.name, axis.common, axis.components]
            if place
            else [axis.name, axis.common, {k: v[low:high] for k, v in axis.components.items()}]
            for place, axis in enumerate(self.axes)
        ]
        runs = [self.replicas, first - low * inner, last - low * inner]
        return hashlib.sha256(_canonical([*words, axes, runs])).hexdigest()

    def _digest_by_point(self, words: list[Any], first: int, last: int) -> str:
        """Return the digest of runs of a refined map, whose points come level by level."""
        digest = hashlib.sha256(_canonical(words))
        for place in range(first // self.replicas, -(-last // self.replicas)):
            point = self.nth(place)
            start = max(first - place * self.replicas, 0)
            stop = min(last - place * self.replicas, self.replicas)
            digest.update(_canonical([self.values_at(point), self.key(point), start, stop]))
        return digest.hexdigest()

    def definition(self) -> str:
        """Return a digest of all that all runs depend on, and of how the grid is laid out."""
        reference = None if self.reference is None else [self.reference.name, self._base[2]]
        axes = [[axis.name, axis.common, list(axis.components.items())] for axis in self.axes]
        words = [self.model, self.solver, *self._base[:2], reference]
        return hashlib.sha256(_canonical([*words, self.seed, self.replicas, axes])).hexdigest()

    # -- checks across fields ----------------------------------------------------------------

    def check(self, analysis: bool = True) -> Study:
        """Return the study if every part of it fits; raise StudyError otherwise.

        Without ``analysis``, statistics and figures are looked at only where a map is refined by
        one of them.
        """
        if not _NAME.fullmatch(self.name):
            raise StudyError("name", f"study name {self.name!r}", "a-z, 0-9, - and _ (file name)")
        if self.name in _FOLDERS:
            raise StudyError("name", f"{self.name!r} is a folder of results", "another file name")
        self._check_names()
        self._check_points()
        if analysis or self.refine is not None:
            self._check_statistics()
            self._check_refine()
        return self

    def _check_refine(self) -> None:
        if self.refine is None:
            return
        names = [axis.name for axis in self.axes]
        for name in self.refine.axes:
            if name not in names:
                raise StudyError("refine.axes", f"no axis {name!r}", names or "an axis")
        if len(set(self.refine.axes)) < len(self.refine.axes):
            raise StudyError("refine.axes", "an axis is named twice", "distinct axes")
        known = [entry.label for entry in self.statistics]
        if self.refine.by not in known or self.refine.by not in self._gives(self.refine.by):
            raise StudyError(
                "refine.by",
                f"{self.refine.by!r} is not a statistic of this study that gives a class",
                [name for name in known if name in self._gives(name)] or "regime",
            )
        if self.refine.by != known[0]:
            raise StudyError("refine.by", f"{self.refine.by!r} is not the first statistic", known)

    def _gives(self, label: str) -> tuple[str, ...]:
        entry = next(entry for entry in self.statistics if entry.label == label)
        variables = tuple(var.name for var in self.the_model.state)
        given = self.plugin("statistic", entry.name).gives(
            self.entry_options("statistic", label), variables
        )
        return tuple(entry.prefix + name for name in given)

    def _check_names(self) -> None:
        _ = self.the_model, self.the_solver
        if self.reference is not None:
            try:
                _ = self.the_reference
            except StudyError as error:
                raise StudyError("reference", error.problem, error.allowed) from None
        _ = self._base
        seen: dict[str, str] = {}
        for axis in self.axes:
            for name in axis.components:
                if name in seen:
                    raise StudyError(
                        f"grid.{axis.name}", f"{name!r} is already in grid.{seen[name]}"
                    )
                seen[name] = axis.name
                for place, given in (("params", self.params), ("options", self.options)):
                    if name in given:
                        raise StudyError(
                            f"grid.{axis.name}",
                            f"{name!r} is also set in {place}",
                            "one of the two",
                        )
        if self.n_points > MAX_POINTS:
            raise StudyError("grid", f"{self.n_points} points", f"at most {MAX_POINTS}")
        reserved = {"replica", "time", "site", "variable", "variable_b", "bin", "status"}
        for axis in self.axes:
            if axis.name in reserved:
                raise StudyError(f"grid.{axis.name}", "reserved name", "another name")
        if self.replicas > 1 and not self.the_solver.stochastic:
            raise StudyError(
                "replicas", f"{self.replicas} for the deterministic solver {self.solver}", "1"
            )

    def _check_points(self) -> None:
        first: dict[str, Any] | None = None
        for point in self.sample():
            params, options = self.params_at(point), self.options_at(point)
            try:
                self.the_model.sites(params)
            except StudyError as error:
                raise error.within(self._place(error.key, "params")) from None
            try:
                self.the_solver.accept(self.the_model, params, options)
                if self.the_reference is not None:
                    self.the_reference.accept(
                        self.the_model, params, self.reference_options_at(point)
                    )
            except StudyError as error:
                raise error.within(self._place(error.key, "options")) from None
            coords = self.the_solver.coords(self.the_model, params, options)
            if self.the_reference is not None:
                for name, coord in self.the_reference.coords(
                    self.the_model, params, self.reference_options_at(point)
                ).items():
                    if name in coords and coords[name].values != coord.values:
                        raise StudyError(
                            "reference.options",
                            f"other {name} values than the study's own",
                            f"the same {name} values",
                        )
            if first is None:
                first = coords
            for name, coord in coords.items():
                if coord.values != first[name].values:
                    axes = ", ".join(axis.name for axis in self.axes)
                    raise StudyError(
                        "grid",
                        f"{name} differs between grid points (axes {axes})",
                        f"axes that leave {name} alone",
                    )

    def _place(self, key: str, default: str) -> str:
        """Return the part of the file that a key refused at a point stands in."""
        if key in ("model", "solver"):
            return ""
        if any(key in axis.components for axis in self.axes):
            return "grid"
        of_solver = {param.name for param in self.the_solver.options}
        of_model = {param.name for param in self.the_model.params}
        return "params" if key in of_model - of_solver else default

    def _check_statistics(self) -> None:
        variables = tuple(var.name for var in self.the_model.state)
        outputs = {var.name: var for var in self.the_solver.outputs(self.the_model, self._base[1])}
        if self.the_reference is not None:
            outputs |= {
                f"reference_{var.name}": var
                for var in self.the_reference.outputs(self.the_model, self._base[2])
            }
        given = {*outputs, "status"} | ({"reference_status"} if self.reference else set())
        # Flags and counts are no quantities whose size goes to zero or not.
        counts = {"status", "reference_status"} | {
            name for name, var in outputs.items() if not var.dtype.startswith("float")
        }
        produced: set[str] = set()
        judged: set[str] = set()
        seen: set[str] = set()
        for kind, entries in (("statistic", self.statistics), ("figure", self.figures)):
            for entry in entries:
                place = f"{kind}s.{entry.label}"
                if place in seen:
                    other = " or with an alias, as: NAME" if kind == "statistic" else ""
                    raise StudyError(place, "listed twice", f"once{other}")
                seen.add(place)
                try:
                    plugin = self.plugin(kind, entry.name)
                except StudyError as error:
                    raise StudyError(f"{kind}s", error.problem, error.allowed) from None
                options = _resolved(place, plugin.options, entry.options)
                for param in plugin.options:
                    self._check_part(f"{place}.{param.name}", param.kind, options[param.name])
                needed = (
                    plugin.needs(options)
                    if kind == "statistic"
                    else plugin.needs(options, variables)
                )
                missing = [name for name in needed if name not in given | produced]
                if missing:
                    raise StudyError(
                        place,
                        f"needs {', '.join(missing)}, which neither the solver nor an earlier "
                        "statistic gives",
                        sorted(given | produced),
                    )
                # Quantities of other origin that the user asks this one to look at.
                named = {
                    name
                    for param in plugin.options
                    if param.kind == "names"
                    for name in options[param.name]
                    if name in needed
                }
                if named & counts:
                    raise StudyError(
                        place,
                        f"{', '.join(sorted(named & counts))}: a flag or a count, not a quantity",
                        sorted((given | produced) - counts),
                    )
                if kind == "statistic":
                    for need in plugin.model_needs(options) if plugin.model_needs else ():
                        fault = need.fault(self.the_model)
                        if fault:
                            problem = f"needs {need.words} of the model: {fault}"
                            raise StudyError(place, problem, need.allowed)
                    try:
                        gives = {entry.prefix + name for name in plugin.gives(options, variables)}
                        plugin.check(self._sizes(), options)
                    except StudyError as error:
                        raise error.within(place) from None
                    twice = sorted(gives & (given | produced)) if entry.alias else []
                    if twice:
                        raise StudyError(place, f"{twice[0]} is a result already", "another alias")
                    named = {entry.prefix + name for name in named}
                    judged |= named or (gives if plugin.tables else set())
                    produced |= gives
        self._check_axis_names(given | produced)
        self._check_expectations(judged)

    def _check_axis_names(self, results: set[str]) -> None:
        """Refuse axes that are named like a result."""
        reserved = results | {"quantity", "level", "level_value", "sample", "verdict", "reason"}
        for axis in self.axes:
            for name in (axis.name, *axis.components):
                if name in reserved:
                    raise StudyError(
                        f"grid.{axis.name}", f"{name!r} is the name of a result", "another name"
                    )

    def _check_expectations(self, judged: set[str]) -> None:
        """Refuse expectations of what no table judges."""
        for quantity in self.expect:
            if quantity not in judged:
                raise StudyError(
                    f"expect.{quantity}",
                    "no table compares this quantity with an expectation",
                    sorted(judged) or "nothing: no statistics with tables",
                )

    def _sizes(self) -> dict[str, int]:
        """Return the lengths of the dimensions of the study's dataset."""
        sizes = {axis.name: axis.size for axis in self.axes} | {"replica": self.replicas}
        params, options = self.params_at(0), self.options_at(0)
        for name, coord in self.the_solver.coords(self.the_model, params, options).items():
            sizes[name] = len(coord.values)
        return sizes

    def _check_part(self, place: str, kind: str, value: Any) -> None:
        """Refuse an option that names a part of the study which does not exist."""
        if kind == "axis":
            usable = [
                axis.name
                for axis in self.axes
                if not axis.zipped
                and all(
                    isinstance(v, (int, float)) and not isinstance(v, bool) and v > 0
                    for v in axis.components[axis.name]
                )
            ]
            if value not in usable:
                problem = "no axis" if value not in self.grid else "not a positive numeric axis:"
                raise StudyError(
                    place, f"{problem} {value!r}", usable or "no such axes in this study"
                )
        elif kind == "parameter":
            numbers = [name for name, p in self._known.items() if p.kind in ("number", "integer")]
            if value not in numbers:
                raise StudyError(place, f"no numeric parameter {value!r}", sorted(numbers))
        elif kind == "record time":
            coords = self.the_solver.coords(self.the_model, self.params_at(0), self.options_at(0))
            times = coords["time"].values if "time" in coords else ()
            if times and value >= float(times[-1]):
                raise StudyError(
                    place, f"no record later than {value:g}", f"below {float(times[-1]):g}"
                )

    def entry_options(self, kind: str, label: str) -> dict[str, Any]:
        """Return the resolved options of a statistic or figure of this study."""
        entries = self.statistics if kind == "statistic" else self.figures
        entry = next(entry for entry in entries if entry.label == label)
        return core.resolve(self.plugin(kind, entry.name).options, entry.options)

    def arguments_of(self, entry: Entry) -> dict[str, Any]:
        """Return what a statistic of this study is called with beside the dataset."""
        calls = self.plugin("statistic", entry.name).model_needs is not None
        options = self.entry_options("statistic", entry.label)
        return options | ({"model": self.the_model} if calls else {})

    def table_names(self, entry: Entry) -> tuple[str, ...]:
        """Return the names of the tables of a statistic of this study."""
        return tuple(entry.prefix + name for name in self.plugin("statistic", entry.name).tables)

    def expectations(self) -> dict[str, dict[str, Any]]:
        """Return ``expect`` as plain dictionaries, for tables and figures."""
        return {name: entry.model_dump() for name, entry in self.expect.items()}


def _entry(item: Any) -> Entry:
    """Return what a name, {name: {options}} or {name: {options}, as: alias} in a list says."""
    if isinstance(item, str):
        return Entry(name=item)
    parts = dict(item) if isinstance(item, Mapping) else {}
    alias = parts.pop("as", "") if len(parts) == 2 else ""
    if not isinstance(alias, str) or (alias and not _ALIAS.fullmatch(alias)):
        raise ValueError("as: a name of a-z, 0-9 and _ that begins with a letter")
    if len(parts) == 1:
        ((name, options),) = parts.items()
        if isinstance(name, str) and isinstance(options or {}, Mapping):
            return Entry(name=name, options=dict(options or {}), alias=alias)
    raise ValueError("not a list of names or {name: {options}}")


def _resolved(place: str, params: tuple[Param, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return core.resolve(params, given)
    except StudyError as error:
        raise error.within(place) from None


def _canonical(value: Any) -> bytes:
    """Return JSON bytes in which floats are exact and order of keys does not matter."""

    def exact(part: Any) -> Any:
        if isinstance(part, bool) or part is None or isinstance(part, (int, str)):
            return part
        if isinstance(part, float):
            return part.hex()
        if isinstance(part, Graph):
            return part.digest
        if isinstance(part, Mapping):
            return {str(k): exact(v) for k, v in part.items()}
        return [exact(entry) for entry in part]

    return json.dumps(exact(value), sort_keys=True, separators=(",", ":")).encode()


class _Loader(yaml.SafeLoader):
    """YAML as scientists write it: 1e-3 is a number, yes is a word, a key appears once."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is not a word", key_node.start_mark
            )
        if key in found:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} appears twice", key_node.start_mark
            )
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag
        not in (
            "tag:yaml.org,2002:float",
            "tag:yaml.org,2002:bool",
            "tag:yaml.org,2002:timestamp",
            "tag:yaml.org,2002:int",
        )
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def _plain_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    # YAML 1.1 reads 010 as octal; nobody writing a study means that.
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _plain_int)


def parse_study(
    mapping: Mapping[str, Any],
    name: str = "study",
    file: str = "",
    analysis: bool = True,
    tiny: bool = False,
) -> Study:
    """Return the study a mapping describes.

    Parameters
    ----------
    mapping : keys of a study file
    name : name of the study (the stem of its file)
    file : named in refusals
    analysis : check statistics and figures, too
    tiny : at test size, as its section ``tiny`` says

    Raises
    ------
    StudyError : anything that does not fit, one line, before anything runs
    """
    try:
        if not isinstance(mapping, Mapping):
            raise StudyError("", "not a mapping of keys", sorted(_fields()))
        for key in mapping:
            if key not in _fields():
                raise StudyError(
                    str(key), f"unknown key{core.hint(key, _fields())}", sorted(_fields())
                )
        changes = _changes(mapping, tiny)
        # At test size, too, what the study itself says is of the right types.
        study = _typed(mapping, name, file)
        if tiny:
            study = _typed(at_test_size(mapping, changes), name, file, tiny=True)
        return study.check(analysis)
    except StudyError as error:
        raise error.within(file=file) from None


def _changes(mapping: Mapping[str, Any], tiny: bool) -> Tiny:
    """Return what the section ``tiny`` says; a study may do without unless it is asked for."""
    section = mapping.get("tiny")
    if section is None and tiny:
        raise StudyError("tiny", "missing: the study has no test size", "a section `tiny: {...}`")
    try:
        return Tiny.model_validate({} if section is None else section)
    except ValidationError as error:
        raise _refusal(error, ", ".join(Tiny.model_fields)).within("tiny") from None


def _typed(mapping: Mapping[str, Any], name: str, file: str, tiny: bool = False) -> Study:
    """Return a study whose values are of the right types; nothing else of it is checked."""
    found, files = with_sources(mapping, file)
    found.pop("tiny", None)
    try:
        return Study(**found, name=name, file=file, sources=files, tiny=tiny)
    except ValidationError as error:
        raise _refusal(error) from None


def load_study(path: str | Path, analysis: bool = True, tiny: bool = False) -> Study:
    """Return the study in a YAML file; its name is the file's stem.

    Parameters
    ----------
    path : of the file
    analysis : check statistics and figures, too; a job that simulates has no need of them
    tiny : at test size, as its section ``tiny`` says

    Raises
    ------
    StudyError : unreadable file, bad YAML (with line), or anything that does not fit
    """
    path = Path(path)
    return parse_study(read_study(path), path.stem, str(path), analysis, tiny)


def read_study(path: Path) -> Mapping[str, Any]:
    """Return what a study file says, before anything of it is checked.

    Raises
    ------
    StudyError : unreadable file, bad YAML (with line), or nothing in it
    """
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise StudyError("", "not UTF-8 text", "a YAML study file", file) from None
    except OSError as error:
        raise StudyError(
            "", f"cannot be read: {error.strerror}", "a YAML study file", file
        ) from None
    except ValueError as error:
        raise StudyError("", f"cannot be read: {error}", "a YAML study file", file) from None
    try:
        mapping = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark else "YAML"
        raise StudyError(where, str(error.problem or error.context), "valid YAML", file) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = f"not YAML: {type(error).__name__} {str(error)[:100]}"
        raise StudyError("YAML", problem, "valid YAML", file) from None
    if mapping is None:
        raise StudyError("", "empty file", sorted(_fields()), file)
    if not isinstance(mapping, Mapping):
        raise StudyError("", "not a mapping of keys", sorted(_fields()), file)
    return mapping


def _fields() -> set[str]:
    return set(Study.model_fields) - {"name", "file", "sources"}


def _refusal(error: ValidationError, allowed: str = "order, tolerance, claim") -> StudyError:
    """Return the first of pydantic's complaints in our words; ``allowed`` keys where one is not."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    kind = first["type"]
    if kind == "missing":
        return StudyError(key, "missing", "a value")
    if kind == "extra_forbidden":
        return StudyError(key, "unknown key", allowed)
    message = first["msg"].removeprefix("Value error, ")
    shown = str(first.get("input"))
    return StudyError(key, f"got {shown[:60]!r}", message)
