"""The only place that knows dask: the runs of one chunk, spread over the workers of one job."""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import resource
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import dask
import numba.core.event
import numpy as np
from distributed import Client, LocalCluster, as_completed

from neurolim import core, processor, provenance

#: Long tasks are cut so that there are this many per worker: enough to deal them out evenly.
_TASKS_PER_WORKER = 8
#: Tasks go to a worker in at most this many batches.  For every batch dask's own threads hold the
#: interpreter for some milliseconds, in which kernels that return have to wait.
_BATCHES_PER_WORKER = 4
#: Seconds for which a scheduler may be without workers.
_PATIENCE = 60
#: A client that is nobody else's.  A default one changes what xarray and the caller's dask compute
#: with, and leaves it changed if another client is there when it ends.
_client_of = partial(Client, set_as_default=False)
#: Set when this process gives up what its threads are solving.
_given_up = threading.Event()
#: Who solves the runs of a job.
ENGINES = ("local", "address", "slurm")


class Engine(NamedTuple):
    """Where the runs of one job are solved.

    Parameters
    ----------
    kind : "local", threads of this process; "address", workers of an existing dask scheduler;
        "slurm", workers that this job submits to Slurm and ends with itself
    workers : threads, or Slurm jobs of one core each
    address : of the scheduler, for "address"
    memory, minutes : of a Slurm job, in bytes and minutes
    dashboard : port of dask's dashboard on loopback; none unless asked for
    logs : folder of the Slurm jobs' output
    """

    kind: str = "local"
    workers: int = 1
    address: str = ""
    memory: int = 2**30
    minutes: int = 60
    dashboard: int | None = None
    logs: str = ""

    def check(self) -> Engine:
        """Return the engine if its parts fit; raise StudyError otherwise."""
        if self.kind not in ENGINES:
            raise core.StudyError("engine", f"unknown engine {self.kind!r}", ENGINES)
        if (self.kind == "address") != bool(self.address):
            raise core.StudyError(
                "address",
                f"{self.address or 'none'!r} for the engine {self.kind!r}",
                "the address of a dask scheduler with engine: address, e.g. tcp://host:8786",
            )
        return self


class Task(NamedTuple):
    """Some replicas of one grid point: everything a worker needs, by value."""

    model: str | core.Source
    solver: str | core.Source
    params: Mapping[str, Any]
    options: Mapping[str, Any]
    key: int
    first: int
    last: int


class Solved(NamedTuple):
    """What a worker gives back: the solution and what it took.

    Parameters
    ----------
    solution : of the task
    core_seconds : of the thread that solved it, without compilation
    compile_seconds : of the same thread
    memory_mib : peak of the worker so far
    machine : where
    """

    solution: core.Solution
    core_seconds: float
    compile_seconds: float
    memory_mib: int
    machine: str


#: The model and the solver of a task.
Plugins = tuple[str | core.Source, str | core.Source]


def code_of(tasks: Sequence[Task]) -> dict[Plugins, str]:
    """Return digests, by (model, solver), of the code that solves tasks as this process sees it."""
    return {
        (model, solver): provenance.code_digest(
            core.module_of("model", model), core.module_of("solver", solver)
        )
        for model, solver in {(task.model, task.solver) for task in tasks}
    }


def run_task(task: Task) -> Solved:
    """Solve one task."""
    model, solver = core.get("model", task.model), core.get("solver", task.solver)
    began = time.thread_time()
    with numba.core.event.install_listener("numba:compile", _Compilation()) as compilation:
        replicas = range(task.first, task.last)
        solution = solver.run(model, task.params, task.options, task.key, replicas, _tell)
    took = time.thread_time() - began - compilation.seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Solved(solution, took, compilation.seconds, peak, platform.node())


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Compilation(numba.core.event.Listener):  # type: ignore[misc]  # numba has no types
    """Core-seconds that numba compiles in this thread; kernels compile others within."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._thread, self._depth, self._began = threading.get_ident(), 0, 0.0

    def on_start(self, event: Any) -> None:
        """Note when the outermost compilation begins."""
        if threading.get_ident() == self._thread:
            if not self._depth:
                self._began = time.thread_time()
            self._depth += 1

    def on_end(self, event: Any) -> None:
        """Add what the outermost compilation took."""
        if threading.get_ident() == self._thread and self._depth:
            self._depth -= 1
            if not self._depth:
                self.seconds += time.thread_time() - self._began


def run_batch(tasks: Sequence[Task], code: Mapping[Plugins, str], is_common: bool) -> list[Solved]:
    """Solve some tasks one after the other.

    Parameters
    ----------
    tasks : pieces of work
    code : what ``code_of`` says of them where the job runs
    is_common : what ``processor.IS_COMMON`` says there

    Raises
    ------
    RuntimeError : this worker has another neurolim than the job that asks, or other bits
    """
    if is_common != processor.IS_COMMON:
        raise RuntimeError(
            f"numpy of the dask worker on {platform.node()} gives other bits than this job's; "
            f"start workers and jobs with {processor.told()}"
        )
    if code_of(tasks) != code:
        raise RuntimeError(
            f"the dask worker on {platform.node()} has another neurolim than this job; "
            "start the workers in the job's environment"
        )
    found = []
    for task in tasks:
        if _given_up.is_set():
            raise RuntimeError("the job was interrupted")
        found.append(run_task(task))
    return found


@contextlib.contextmanager
def _client(engine: Engine) -> Iterator[Client]:
    """Yield a client of the engine's workers; what this started ends with it."""
    # dask insists on listening for status pages: on loopback, and empty unless asked for.
    page = f"127.0.0.1:{engine.dashboard or 0}"
    if engine.kind == "address":
        try:
            client = _client_of(engine.address, timeout=20)
        except (OSError, ValueError) as error:
            raise core.StudyError(
                "address", f"no dask scheduler at {engine.address!r}", "a running one"
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=_PATIENCE)
            except TimeoutError:
                raise core.StudyError(
                    "address",
                    f"the dask scheduler at {engine.address!r} has had no worker for {_PATIENCE} s",
                    "one with workers, in the environment of the job",
                ) from None
            yield client
        return
    if engine.kind == "slurm":
        from dask_jobqueue import SLURMCluster

        with SLURMCluster(
            cores=1,
            processes=1,
            memory=f"{max(1, engine.memory // 2**20)} MiB",
            walltime=f"{engine.minutes // 60}:{engine.minutes % 60:02d}:00",
            python=sys.executable,
            log_directory=engine.logs or None,
            local_directory=os.environ.get("TMPDIR"),
            scheduler_options={"dashboard_address": page},
            worker_extra_args=["--no-dashboard", "--dashboard-address", "127.0.0.1:0"],
        ) as cluster:
            # Also resubmits workers that were lost.
            cluster.adapt(minimum_jobs=engine.workers, maximum_jobs=engine.workers)
            with _client_of(cluster) as client:
                yield client
        return
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=engine.workers,
            processes=False,
            dashboard_address=page,
            worker_dashboard_address="127.0.0.1:0",
            memory_limit=None,
        ) as cluster,
        _client_of(cluster) as client,
    ):
        yield client


def run_tasks(
    tasks: Sequence[Task],
    engine: Engine,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Solved]:
    """Run tasks on an engine and return what they give in order.

    Kernels release the interpreter lock, so threads scale like processes and a kernel is
    compiled once per worker.  Nothing of "local" listens beyond loopback.  Workers that are lost
    cost their tasks' time, nothing else: tasks are pure.

    Parameters
    ----------
    tasks : independent pieces of work
    engine : who solves them
    progress : called with (replicas done, replicas in all) after each batch of tasks
    """
    if not tasks:
        return []
    # dask measures its scratch folder, which nothing here uses.
    warnings.filterwarnings("ignore", "Creating scratch directories", UserWarning)
    total = sum(task.last - task.first for task in tasks)
    results: dict[int, Solved] = {}
    done = 0
    # Tasks are dealt out shuffled: cost follows the axes of the grid, and no batch shall hold
    # all that is dear.
    shuffled = np.random.default_rng(0).permutation(len(tasks))
    # Without a dashboard there are no pages at all, and threads of this process keep no profile for
    # them: its samples, a hundred a second, keep kernels waiting for the interpreter.
    quiet: dict[str, Any] = {
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.worker.profile.enabled": False,
    }
    with (
        dask.config.set({} if engine.dashboard else quiet),
        _client(engine.check()) as client,
    ):
        if engine.dashboard:
            print(f"dask dashboard: {client.dashboard_link}", file=sys.stderr, flush=True)
        workers = engine.workers
        if engine.kind == "address":
            workers = max(workers, sum(client.nthreads().values()))
        _given_up.clear()
        futures = {}
        for places in np.array_split(shuffled, min(len(tasks), _BATCHES_PER_WORKER * workers)):
            batch = [tasks[place] for place in places]
            futures[
                client.submit(run_batch, batch, code_of(batch), processor.IS_COMMON, pure=False)
            ] = places
        try:
            for future in as_completed(list(futures), loop=client.loop):
                places = futures.pop(future)
                results.update(zip(places.tolist(), future.result(), strict=True))
                done += sum(tasks[place].last - tasks[place].first for place in places)
                progress(done, total)
        except BaseException:
            # Threads cannot be ended, only asked: they stop at the next task.
            _given_up.set()
            raise
    return [results[place] for place in range(len(tasks))]


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
