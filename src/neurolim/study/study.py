"""The study that a file stands for: plug-ins, axes, points, noise keys and digests.

What the file says is its ``StudySpec``; here names have become plug-ins and options are complete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, Param, Solver, StudyError
from neurolim.numerics.random import noise_key
from neurolim.study.axes import Axis, parse_axis
from neurolim.study.canonical import canonical
from neurolim.study.choice import Choice, resolved
from neurolim.study.files import graphs_in, path_of
from neurolim.study.identity import point_identities, reference_identities
from neurolim.study.refine import levels_of
from neurolim.study.spec import Entry, Refine, StudySpec
from neurolim.study.yaml import Lines

#: Grids larger than this are checked on a deterministic sample of points.
CHECKED_POINTS = 2000


class Fixed(NamedTuple):
    """All parameters and options by name: of the model, the solver and the reference solver."""

    params: dict[str, Any]
    options: dict[str, Any]
    reference: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """One experiment: a model, a solver, a grid, and what to make of it.

    Parameters
    ----------
    spec : what its file says, at this size
    name : of the study, the stem of its file
    tiny : whether this is the study at test size
    sources : {"model hr": where the model hr comes from} for plug-ins that are no names
    lines : where the keys of its file are
    """

    spec: StudySpec
    name: str = "study"
    tiny: bool = False
    sources: Mapping[str, Any] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines, compare=False)

    # -- what is chosen ----------------------------------------------------------------------

    def _choice(self, kind: str, key: str, entry: Entry) -> Choice:
        """Return the plug-in that a key of the study names."""
        source = self.sources.get(f"{kind} {entry.name}", entry.name)
        return Choice(kind, entry.name, source, key, entry.options, entry.alias)

    def _listed(self, kind: str, entries: Iterable[Entry]) -> tuple[Choice, ...]:
        """Return the statistics or figures in a list; each has a key of its own."""
        return tuple(
            self._choice(kind, f"{kind}s.{entry.alias or entry.name}", entry) for entry in entries
        )

    @cached_property
    def model_choice(self) -> Choice:
        """Return how the study names its model."""
        entry = Entry(name=self.spec.model, options=self.spec.params)
        return self._choice("model", "model", entry)

    @cached_property
    def solver_choice(self) -> Choice:
        """Return how the study names its solver."""
        entry = Entry(name=self.spec.solver, options=self.spec.options)
        return self._choice("solver", "solver", entry)

    @cached_property
    def reference_choice(self) -> Choice | None:
        """Return how the study names its reference solver, if it has one."""
        entry = self.spec.reference
        return None if entry is None else self._choice("solver", "reference", entry)

    @cached_property
    def statistics(self) -> tuple[Choice, ...]:
        """Return the statistics in the order in which they are applied."""
        return self._listed("statistic", self.spec.statistics)

    @cached_property
    def figures(self) -> tuple[Choice, ...]:
        """Return the figures."""
        return self._listed("figure", self.spec.figures)

    @property
    def choices(self) -> list[Choice]:
        """Return every plug-in that the study names."""
        reference = [self.reference_choice] if self.reference_choice else []
        solvers = [self.solver_choice, *reference]
        return [self.model_choice, *solvers, *self.statistics, *self.figures]

    def statistic(self, label: str) -> Choice:
        """Return a statistic by its name in this study."""
        return next(choice for choice in self.statistics if choice.label == label)

    def figure(self, name: str) -> Choice:
        """Return a figure of this study by its name."""
        return next(choice for choice in self.figures if choice.name == name)

    def statistic_arguments(self, statistic: Choice) -> dict[str, Any]:
        """Return what a statistic of this study is called with beside the dataset."""
        calls = statistic.plugin.model_needs is not None
        return statistic.options | ({"model": self.model} if calls else {})

    def results_of(self, statistic: Choice) -> list[str]:
        """Return the names of the variables that a statistic gives in this study."""
        variables = tuple(var.name for var in self.model.state)
        given = statistic.plugin.gives(statistic.options, variables)
        return [statistic.prefix + name for name in given]

    @property
    def model(self) -> Model:
        """Return the model."""
        model: Model = self.model_choice.plugin
        return model

    @property
    def solver(self) -> Solver:
        """Return the solver."""
        solver: Solver = self.solver_choice.plugin
        return solver

    @property
    def reference(self) -> Solver | None:
        """Return the reference solver, if the study has one."""
        return self.reference_choice.plugin if self.reference_choice else None

    @property
    def reference_name(self) -> str:
        """Return the name of the reference solver, or nothing."""
        return self.reference_choice.name if self.reference_choice else ""

    @property
    def replicas(self) -> int:
        """Return the number of independent repetitions of every point."""
        return self.spec.replicas

    @property
    def refine(self) -> Refine | None:
        """Return how a map is refined, if it is."""
        return self.spec.refine

    @property
    def file(self) -> str:
        """Return the study's file, as refusals name it."""
        return self.lines.file

    def placed(self, error: StudyError) -> StudyError:
        """Return a refusal with file and line."""
        return self.lines.placed(error, "tiny" if self.tiny else "")

    def expectations(self) -> dict[str, dict[str, Any]]:
        """Return what is expected of each quantity, for tables and figures."""
        return {name: entry.model_dump() for name, entry in self.spec.expect.items()}

    # -- the grid ----------------------------------------------------------------------------

    @cached_property
    def known(self) -> dict[str, Param]:
        """Return the parameters of the model and options of the solver by name."""
        return {param.name: param for param in (*self.solver.options, *self.model.params)}

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """Return the dimensions of the grid in the order of the file."""
        grid = self.spec.grid.items()
        return tuple(parse_axis(str(name), axis, self.known) for name, axis in grid)

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
        chosen = [choice for choice in (self.solver_choice, self.reference_choice) if choice]
        words = {word for choice in chosen for word in graphs_in(choice.given).values()}
        return {word: path_of(word, self.file) for word in sorted(words)}

    def _located(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options whose files of wires are where the study has them."""
        found = {name: str(self.graphs[word]) for name, word in graphs_in(options).items()}
        return {**options, **found}

    @cached_property
    def fixed(self) -> Fixed:
        """Return the parameters and options of all points, but for the axes."""
        params = resolved("params", self.model.params, self.spec.params)
        given = self._located(self.spec.options)
        options = resolved("options", self.solver.options, given)
        reference: dict[str, Any] = {}
        if self.reference is not None and self.reference_choice is not None:
            shared = {param.name for param in self.reference.options}
            given = {name: value for name, value in options.items() if name in shared}
            given.update(self._located(self.reference_choice.given))
            reference = resolved("reference.options", self.reference.options, given)
        return Fixed(params, options, reference)

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
        names = {param.name for param in self.model.params}
        return self.fixed.params | {k: v for k, v in self.values_at(point).items() if k in names}

    def options_at(self, point: int) -> dict[str, Any]:
        """Return all solver options of a grid point."""
        names = {param.name for param in self.solver.options}
        return self.fixed.options | {k: v for k, v in self.values_at(point).items() if k in names}

    def reference_options_at(self, point: int) -> dict[str, Any]:
        """Return all options of the reference solver at a grid point."""
        solver = self.reference
        if solver is None:
            return {}
        names = {param.name for param in solver.options}
        names -= set(self.reference_choice.given if self.reference_choice else ())
        values = self.values_at(point)
        return self.fixed.reference | {k: v for k, v in values.items() if k in names}

    def key(self, point: int) -> int:
        """Return the 64-bit noise key of a grid point; common axes do not enter."""
        independent: dict[str, Any] = {}
        for axis, index in zip(self.axes, np.unravel_index(point, self.shape), strict=True):
            if not axis.common:
                for name, column in axis.components.items():
                    independent[name] = column[index]
        return noise_key(self.spec.seed, independent)

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

    @cached_property
    def identities(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the identities of all points, for runs and for references [point, 2] each."""
        return point_identities(self), reference_identities(self)

    def digest(self, first: int, last: int) -> str:
        """Return a digest of the runs first .. last-1: their numbers, and all they depend on.

        Titles, claims, statistics, figures, expectations and comments do not enter.
        """
        begin, end = first // self.replicas, -(-last // self.replicas)
        points = np.array([self.nth(place) for place in range(begin, end)])
        runs = [self.replicas, first, last]
        digest = hashlib.sha256(canonical(runs))
        for identities in self.identities:
            digest.update(identities[points].astype("<u8").tobytes())
        return digest.hexdigest()

    def definition(self) -> str:
        """Return a digest of all that all runs depend on, and of how the grid is laid out."""
        axes = [[axis.name, axis.common, list(axis.components.items())] for axis in self.axes]
        words = [*self._numbers, self.spec.seed, self.replicas, axes]
        return hashlib.sha256(canonical(words)).hexdigest()

    @property
    def _numbers(self) -> list[Any]:
        """Return model, solver, their numbers, and the reference with its own."""
        params, options, own = self.fixed
        reference = [self.reference_name, own] if self.reference_choice else None
        return [self.spec.model, self.spec.solver, params, options, reference]
