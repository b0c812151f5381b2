"""The only place that knows dask: the runs of one chunk, spread over the workers of one job."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from distributed import Client, LocalCluster, as_completed

from neurolim import core

#: Tasks per worker and chunk: enough to balance the load, few enough to cost nothing.
_TASKS_PER_WORKER = 8


class Task(NamedTuple):
    """Some replicas of one grid point: everything a worker needs, by value."""

    model: str
    solver: str
    params: Mapping[str, Any]
    options: Mapping[str, Any]
    key: int
    first: int
    last: int


def run_task(task: Task) -> core.Solution:
    """Solve one task; a point that fails comes back as NaN with a status, not as an exception."""
    model, solver = core.get("model", task.model), core.get("solver", task.solver)
    return solver.solve(model, task.params, task.options, task.key, range(task.first, task.last))


def run_tasks(
    tasks: Sequence[Task],
    workers: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[core.Solution]:
    """Run tasks on threads of this process and return their solutions in order.

    Kernels release the interpreter lock, so threads scale like processes and a kernel is
    compiled once.  Nothing listens beyond loopback.

    Parameters
    ----------
    tasks : independent pieces of work
    workers : number of threads
    progress : called with (replicas done, replicas in all) after each task
    """
    total = sum(task.last - task.first for task in tasks)
    results: list[core.Solution | None] = [None] * len(tasks)
    done = 0
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=False,
            # dask insists on status pages: give them a free port on loopback, nothing else.
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            memory_limit=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        futures = {
            client.submit(run_task, task, pure=False): place for place, task in enumerate(tasks)
        }
        for future in as_completed(list(futures)):
            place = futures.pop(future)
            results[place] = future.result()
            done += tasks[place].last - tasks[place].first
            progress(done, total)
    return [result for result in results if result is not None]


def split(task: Task, pieces: int) -> list[Task]:
    """Cut a task into at most ``pieces`` tasks of nearly equal numbers of replicas."""
    edges = np.unique(np.linspace(task.first, task.last, pieces + 1).round().astype(int))
    return [
        task._replace(first=int(low), last=int(high)) for low, high in itertools.pairwise(edges)
    ]


def balance(tasks: Sequence[Task], workers: int) -> list[Task]:
    """Split tasks so that every worker gets several pieces of comparable size.

    Replicas of one chunk cost about the same, so the number of replicas is the measure.
    """
    total = sum(task.last - task.first for task in tasks)
    size = max(1, total // (workers * _TASKS_PER_WORKER))
    return [piece for task in tasks for piece in split(task, -(-(task.last - task.first) // size))]


def merge(solutions: Sequence[core.Solution]) -> core.Solution:
    """Join solutions along the replica dimension."""
    arrays = {
        name: np.concatenate([solution.arrays[name] for solution in solutions])
        for name in solutions[0].arrays
    }
    return core.Solution(arrays, np.concatenate([solution.status for solution in solutions]))
