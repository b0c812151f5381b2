"""The plan of a study: chunks of about equal cost, and what they will need."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurolim import allocation
from neurolim.core import Coord, StudyError, Var
from neurolim.study.study import Study

#: More jobs than this and the scheduler, not the science, takes the time.
MAX_CHUNKS = 1000
#: Chunks come in such numbers where there are more: two or four cores then end together.
_EVEN = 4


@dataclass(frozen=True)
class Plan:
    """What a study will do and need.

    Parameters
    ----------
    points, runs : grid points; grid points times replicas
    chunks : ranges of run numbers, each one job and one file
    core_seconds, chunk_core_seconds : predicted in all, and of the average chunk
    memory : bytes of one worker's run and of the largest chunk's results
    disk : bytes of all chunk files and the dataset
    dataset : bytes that statistics and figures may hold in memory
    """

    points: int
    runs: int
    chunks: tuple[range, ...]
    core_seconds: float
    chunk_core_seconds: float
    memory: int
    disk: int
    dataset: int

    @property
    def minutes(self) -> int:
        """Return the time limit of a job: a slow node must not lose it to the scheduler."""
        return 10 + int(3 * self.chunk_core_seconds / 60)

    def rows(self) -> list[tuple[str, str]]:
        """Return what it needs: names and numbers with units."""
        return [
            ("grid points", f"{self.points:,}"),
            ("runs (points x replicas)", f"{self.runs:,}"),
            ("chunks (jobs)", f"{len(self.chunks):,}"),
            ("core-seconds", f"{self.core_seconds:,.1f}"),
            ("core-seconds per chunk", f"{self.chunk_core_seconds:,.1f}"),
            ("memory of a job", in_bytes(self.memory)),
            ("memory of the statistics", in_bytes(self.dataset)),
            ("disk", in_bytes(self.disk)),
        ]


def plan(study: Study) -> Plan:
    """Return the plan of a study; a pure function of the study.

    Costs come from the solvers' own models.  On grids beyond CHECKED_POINTS points they are
    evaluated on an even sample and interpolated in point number: chunks then are equal only as
    far as cost varies smoothly, which never changes a result.
    """
    sampled = study.sample()
    run_cost, point_cost, memory = [], [], 0.0
    for point in sampled:
        params = study.params_at(point)
        cost = study.solver.cost(study.model, params, study.options_at(point))
        run_cost.append(cost.seconds)
        memory = max(memory, cost.memory)
        extra = 0.0
        if study.reference is not None:
            extra = study.reference.cost(
                study.model, params, study.reference_options_at(point)
            ).seconds
        point_cost.append(extra)
    per_point = study.replicas * np.array(run_cost) + np.array(point_cost)
    costs = np.interp(np.arange(study.n_points), sampled, per_point)
    borders = np.array([0, study.n_runs])
    if study.point_order is not None:
        costs = costs[study.point_order]
        # Levels never share a chunk: the next one is decided by what the last one found.
        level = study.point_levels[study.point_order]
        borders = np.append(borders, (np.flatnonzero(np.diff(level)) + 1) * study.replicas)
    cumulative = np.concatenate([[0.0], np.cumsum(costs)])
    total = float(cumulative[-1])
    count = np.ceil(total / study.spec.chunk_seconds)
    if count > _EVEN:
        count = _EVEN * np.ceil(count / _EVEN)
    count = int(np.clip(count, 1, min(MAX_CHUNKS, study.n_runs)))
    edges = np.interp(
        np.linspace(0.0, total, count + 1),
        cumulative,
        np.arange(study.n_points + 1) * float(study.replicas),
    ).round()
    edges = np.unique(np.append(edges.astype(np.int64)[1:-1], borders))
    chunks = tuple(range(int(a), int(b)) for a, b in itertools.pairwise(edges))
    run_bytes, point_bytes = output_bytes(study)
    data_bytes = int(study.n_runs * run_bytes + study.n_points * point_bytes)
    largest = max(len(chunk) for chunk in chunks)
    return Plan(
        points=study.n_points,
        runs=study.n_runs,
        chunks=chunks,
        core_seconds=total,
        chunk_core_seconds=total / len(chunks),
        # The program itself, compiler included, takes half a GiB; Snakemake's part of a remote
        # job another quarter.
        memory=int(memory + 3 * largest * run_bytes + 3 * 2**28),
        # Chunk files, the dataset, and a new dataset before it takes the old one's place.
        disk=3 * data_bytes + 2**20,
        # All numbers and what is computed of them; the dataset itself is written in pieces.
        dataset=(3 * data_bytes if study.statistics or study.figures else 0) + 2**28,
    )


def dims_of(study: Study) -> dict[str, Coord]:
    """Return the coordinates of all solver dimensions (equal at every point)."""
    params = study.params_at(0)
    coords = study.solver.coords(study.model, params, study.options_at(0))
    if study.reference is not None:
        other = study.reference.coords(study.model, params, study.reference_options_at(0))
        coords = other | coords
    return coords


def variables_of(study: Study) -> tuple[tuple[Var, ...], tuple[Var, ...]]:
    """Return the outputs of the solver and of the reference."""
    outputs = study.solver.outputs(study.model, study.options_at(0))
    reference: tuple[Var, ...] = ()
    if study.reference is not None:
        reference = study.reference.outputs(study.model, study.reference_options_at(0))
    return outputs, reference


def output_bytes(study: Study) -> tuple[int, int]:
    """Return (bytes of one run's outputs, bytes of one point's reference outputs)."""
    coords = dims_of(study)
    outputs, reference = variables_of(study)
    return _size(outputs, coords), _size(reference, coords)


def _size(variables: tuple[Var, ...], coords: Mapping[str, Coord]) -> int:
    return sum(
        int(np.prod([len(coords[dim].values) for dim in var.dims], dtype=object))
        * np.dtype(var.dtype).itemsize
        for var in variables
    )


def check_fit(study: Study, results: str | Path, workers: int = 1) -> Plan:
    """Return the plan if machine and folder can hold it.

    Parameters
    ----------
    study : the study
    results : folder of all results
    workers : jobs side by side on this machine; 0 if they run elsewhere

    Raises
    ------
    StudyError : results folder not writable, too little disk or memory
    """
    the_plan = plan(study)
    folder = Path(results)
    check_writable("results", folder, study.file)
    free = shutil.disk_usage(folder).free
    if the_plan.disk > free:
        problem = f"needs {in_bytes(the_plan.disk)} of disk, {folder} has {in_bytes(free)} free"
        allowed = "a smaller grid, fewer records or replicas, or another results folder"
        raise study.placed(StudyError("grid", problem, allowed))
    memory = allocation.memory()
    needed = the_plan.memory * workers
    if needed > memory:
        problem = f"jobs need {in_bytes(needed)} of memory, they may use {in_bytes(memory)} here"
        allowed = "shorter chunks, fewer neurons or records, or fewer jobs at once"
        raise study.placed(StudyError("chunk_seconds", problem, allowed))
    if the_plan.dataset > memory:
        problem = f"its statistics need {in_bytes(the_plan.dataset)} of memory, they may use "
        allowed = "a smaller grid, fewer records, bins or replicas; or no statistics and figures"
        raise study.placed(StudyError("grid", f"{problem}{in_bytes(memory)} here", allowed))
    return the_plan


def check_writable(key: str, folder: Path, file: str = "") -> None:
    """Make a folder and make sure that files can be written there.

    Raises
    ------
    StudyError : they cannot
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StudyError(
            key, f"cannot write to {folder}: {error.strerror}", "a writable folder", file
        ) from None


def in_bytes(size: float) -> str:
    """Return a number of bytes with the unit that suits it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def level_of(study: Study, runs: range) -> int:
    """Return the level of refinement a chunk belongs to."""
    return int(study.point_levels[study.nth(runs.start // study.replicas)])


def earlier(study: Study, runs: range) -> list[int]:
    """Return the numbers of the chunks of coarser levels, on which a chunk depends."""
    if study.refine is None:
        return []
    level = level_of(study, runs)
    return [k for k, other in enumerate(plan(study).chunks) if level_of(study, other) < level]


def tasks_of(study: Study, runs: range) -> list[dict[str, Any]]:
    """Return, per grid point touched by a range of runs, what has to be solved there.

    Each entry has point, params, options, key and the replica range first .. last-1.
    """
    tasks = []
    for place in range(runs.start // study.replicas, -(-runs.stop // study.replicas)):
        start, point = place * study.replicas, study.nth(place)
        tasks.append(
            {
                "point": point,
                "params": study.params_at(point),
                "options": study.options_at(point),
                "key": study.key(point),
                "first": max(runs.start - start, 0),
                "last": min(runs.stop - start, study.replicas),
            }
        )
    return tasks


def reference_points(study: Study, runs: range) -> list[int]:
    """Return the points whose first run lies in this range: their reference belongs here."""
    first = -(-runs.start // study.replicas)
    last = -(-runs.stop // study.replicas)
    return [study.nth(place) for place in range(first, last)]
