"""Solve the runs of one chunk, and write them as one file with its record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurolim import provenance
from neurolim.core import Status
from neurolim.pipeline.chunks import (
    KINDS,
    KnownRuns,
    Piece,
    Wanted,
    chunk_names,
    labels_of,
    wanted_runs,
)
from neurolim.pipeline.digests import (
    merged_software,
    simulation_code,
    simulation_digest,
    solver_codes,
)
from neurolim.pipeline.selection import selected_points
from neurolim.store import store
from neurolim.store.assemble import chunk_dataset
from neurolim.study import plan as planning
from neurolim.study.refine import filled_with
from neurolim.study.study import Study

if TYPE_CHECKING:
    from neurolim.pipeline.engine import Engine, Solved, Task

Progress = Callable[[int, int], None]
#: Rows of a chunk, from one to another.
Rows = tuple[int, int]


def simulate(
    study: Study,
    runs: range,
    output: str | Path,
    engine: Engine | None = None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Solve the runs of one chunk and write them as one file with its record.

    Runs that other chunk files in the same folder hold are copied from there.

    Parameters
    ----------
    study, runs : which runs of which study
    output : path of the chunk file; its record is ``<stem>.json`` beside it
    engine : who solves them (one thread of this process)
    progress : called with (runs done, runs in all)

    Returns
    -------
    ``output``
    """
    # dask is only needed, and only imported, where something is simulated.
    from neurolim.pipeline.engine import Engine, balance, run_tasks

    engine = engine or Engine()
    # The digest is taken before the run because the code may be edited meanwhile.
    digest, code = simulation_digest(study, runs), simulation_code(study)
    output = Path(output)
    began = time.time()
    known = KnownRuns(study, output.parent)
    names = chunk_names(study) if study.refine is not None else []
    coarser = [output.parent / f"{names[k]}.zip" for k in planning.earlier(study, runs)]
    chosen = selected_points(study, runs, coarser)
    parts = {
        kind: _Part(study, kind, wanted, chosen, known)
        for kind, wanted in wanted_runs(study, runs).items()
    }
    networks, references = (parts[kind].tasks for kind in KINDS)
    tasks = [*references, *balance(networks, engine.workers)]
    solved = run_tasks(tasks, engine, progress)
    arrays, others = (
        parts[kind].arrays(results)
        for kind, results in zip(
            KINDS, (solved[len(references) :], solved[: len(references)]), strict=True
        )
    )
    codes = {f"{kind}_code": digest for kind, digest in solver_codes(study).items()}
    dataset = chunk_dataset(arrays, others, runs, labels_of(study, runs), codes)
    copied = {piece.path for part in parts.values() for _, piece in part.copied}
    software = [store.read_record(path).get("software", {}) for path in sorted(copied)]
    made_from = {
        "digest": digest,
        "code": code,
        "software": merged_software([provenance.software(), *software]),
        "study": study.name,
        "runs": [runs.start, runs.stop],
        "failed": int(np.count_nonzero(_failures(dataset["status"].values))),
    }
    store.write_signed(output, dataset, made_from)
    # Costs vary from machine to machine: they stay out of records that are compared.
    cost = {
        "wall_seconds": round(time.time() - began, 3),
        "core_seconds": round(sum(task.core_seconds for task in solved), 3),
        "compile_seconds": round(sum(task.compile_seconds for task in solved), 3),
        # Nothing was solved where a refined map had nothing left to find.
        "peak_memory_mib": max((task.memory_mib for task in solved), default=0.0),
        "machines": sorted({task.machine for task in solved}),
        "engine": engine.kind,
        "workers": engine.workers,
        "copied_runs": sum(stop - start for (start, stop), _ in parts["run"].copied),
    }
    store.write_note(output.with_suffix(".cost"), cost)
    return output


class _Part:
    """The runs of a chunk, or of its reference: what is copied, what is solved, what is left out.

    Parameters
    ----------
    study : the study
    kind : one of KINDS
    wanted : the runs
    chosen : which points are simulated [point]
    known : what is there already
    """

    def __init__(
        self,
        study: Study,
        kind: str,
        wanted: Sequence[Wanted],
        chosen: np.ndarray,
        known: KnownRuns,
    ) -> None:
        self._study, self._kind = study, kind
        self._size = sum(entry.last - entry.first for entry in wanted)
        self.copied: list[tuple[Rows, Piece]] = []
        self.tasks: list[Task] = []
        self._solved: list[Rows] = []
        for entry in wanted:
            if chosen[entry.point]:
                self._divide(entry, known)

    def _divide(self, entry: Wanted, known: KnownRuns) -> None:
        """Note which replicas of a point are copied, and which are solved."""
        at = entry.first
        for piece in known.cover(self._kind, entry):
            self._solve(entry, at, piece.first)
            start = entry.row + piece.first - entry.first
            self.copied.append(((start, start + piece.last - piece.first), piece))
            at = piece.last
        self._solve(entry, at, entry.last)

    def _solve(self, entry: Wanted, first: int, last: int) -> None:
        if first < last:
            self.tasks.append(_task(self._study, self._kind, entry.point, first, last))
            start = entry.row + first - entry.first
            self._solved.append((start, start + last - first))

    def arrays(self, solved: Sequence[Solved]) -> dict[str, np.ndarray]:
        """Return the rows of all runs by name, with ``status``.

        Parameters
        ----------
        solved : what the tasks gave, in order, cut into pieces or not
        """
        from neurolim.pipeline.engine import merge

        rows = _no_rows(self._study, self._kind)
        if solved:
            merged = merge([result.solution for result in solved])
            rows = merged.arrays | {"status": merged.status}
        if not rows or sum(stop - start for start, stop in self._solved) == self._size:
            return rows
        done = np.zeros(self._size, bool)
        for start, stop in self._solved:
            done[start:stop] = True
        arrays = filled_with(rows, done)
        arrays["status"][~done] = int(Status.SKIPPED)
        prefix = "" if self._kind == "run" else "reference_"
        for (start, stop), piece in self.copied:
            place = np.arange(piece.row, piece.row + stop - start)
            for name, array in arrays.items():
                array[start:stop] = store.read_rows(piece.path, prefix + name, place)
        return arrays


def _task(study: Study, kind: str, point: int, first: int, last: int) -> Task:
    """Return the task that solves some replicas of a point, or its reference."""
    from neurolim.pipeline.engine import Task

    choice, options = study.solver_choice, study.options_at
    if kind == "point" and study.reference_choice is not None:
        choice, options = study.reference_choice, study.reference_options_at
    return Task(
        study.model_choice.source,
        choice.source,
        study.params_at(point),
        options(point),
        study.key(point),
        first,
        last,
    )


def _no_rows(study: Study, kind: str) -> dict[str, np.ndarray]:
    """Return the arrays of the solver or the reference for no run; none without a reference."""
    coords = planning.dims_of(study)
    variables = planning.variables_of(study)[KINDS.index(kind)]
    rows = {
        var.name: np.empty((0, *(len(coords[dim].values) for dim in var.dims)), var.dtype)
        for var in variables
    }
    return rows | ({"status": np.empty(0, np.int8)} if rows else {})


def _failures(status: np.ndarray) -> np.ndarray:
    """Return which runs were tried and failed."""
    return (status != Status.OK) & (status != Status.SKIPPED)
