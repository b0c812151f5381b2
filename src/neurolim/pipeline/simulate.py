"""Solve the runs of one chunk, and write them as one file with its record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurolim import provenance
from neurolim.core import Status
from neurolim.pipeline.digests import simulation_code, simulation_digest
from neurolim.pipeline.selection import selected_points
from neurolim.store import store
from neurolim.store.assemble import chunk_dataset
from neurolim.study import plan as planning
from neurolim.study.refine import filled_with
from neurolim.study.study import Study

if TYPE_CHECKING:
    from neurolim.pipeline.engine import Engine, Task

Progress = Callable[[int, int], None]


def simulate(
    study: Study,
    runs: range,
    output: str | Path,
    engine: Engine | None = None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Solve the runs of one chunk and write them as one file with its record.

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
    from neurolim.pipeline.engine import Engine, balance, merge, run_tasks

    engine = engine or Engine()
    # The digest is taken before the run because the code may be edited meanwhile.
    digest, code = simulation_digest(study, runs), simulation_code(study)
    output = Path(output)
    began = time.time()
    chosen = selected_points(study, runs, output.parent)
    references, tasks = _tasks_of(study, runs, chosen)
    solved = (
        run_tasks([*references, *balance(tasks, engine.workers)], engine, progress) if tasks else []
    )
    solutions = [task.solution for task in solved]
    arrays, others = _no_rows(study) if study.refine is not None else ({}, {})
    if references:
        reference = merge(solutions[: len(references)])
        others = reference.arrays | {"status": reference.status}
    if tasks:
        network = merge(solutions[len(references) :])
        arrays = network.arrays | {"status": network.status}
    if study.refine is not None:
        every = planning.tasks_of(study, runs)
        done = np.concatenate([np.full(t["last"] - t["first"], chosen[t["point"]]) for t in every])
        arrays = _with_gaps(arrays, done)
        others = _with_gaps(others, chosen[planning.reference_points(study, runs)])
    dataset = chunk_dataset(arrays, others, runs)
    made_from = {
        "digest": digest,
        "code": code,
        "software": provenance.software(),
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
    }
    store.write_note(output.with_suffix(".cost"), cost)
    return output


def _tasks_of(study: Study, runs: range, chosen: np.ndarray) -> tuple[list[Task], list[Task]]:
    """Return the tasks of the reference and of the network at the points that are chosen."""
    from neurolim.pipeline.engine import Task

    model, solver = study.model_choice.source, study.solver_choice.source
    tasks = [
        Task(model, solver, t["params"], t["options"], t["key"], t["first"], t["last"])
        for t in planning.tasks_of(study, runs)
        if chosen[t["point"]]
    ]
    reference = study.reference_choice
    references = [
        Task(
            model,
            reference.source,
            study.params_at(point),
            study.reference_options_at(point),
            study.key(point),
            0,
            1,
        )
        for point in (planning.reference_points(study, runs) if reference else ())
        if reference and chosen[point]
    ]
    return references, tasks


def _with_gaps(arrays: Mapping[str, np.ndarray], done: np.ndarray) -> dict[str, np.ndarray]:
    """Return rows with gaps where nothing was done, which there have the status SKIPPED."""
    filled = filled_with(arrays, done)
    if "status" in filled:
        filled["status"][~done] = int(Status.SKIPPED)
    return filled


def _no_rows(study: Study) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the arrays of solver and reference for no run and no point."""
    coords = planning.dims_of(study)
    both: list[dict[str, np.ndarray]] = []
    for variables in planning.variables_of(study):
        rows = {
            var.name: np.empty((0, *(len(coords[dim].values) for dim in var.dims)), var.dtype)
            for var in variables
        }
        both.append(rows | ({"status": np.empty(0, np.int8)} if rows else {}))
    return both[0], both[1]


def _failures(status: np.ndarray) -> np.ndarray:
    """Return which runs were tried and failed."""
    return (status != Status.OK) & (status != Status.SKIPPED)
