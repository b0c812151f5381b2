"""What a program calls: solve one model, run one study; the command line does the same in jobs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neurolim import provenance
from neurolim.core import Model, Solver, StudyError
from neurolim.core.arguments import path_named, whole_number
from neurolim.core.errors import show
from neurolim.launch import lock
from neurolim.pipeline.analyse import analyse, failures
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.collect import collect
from neurolim.pipeline.layout import layout_of
from neurolim.pipeline.results import joined
from neurolim.pipeline.simulate import simulate
from neurolim.store import store
from neurolim.store.assemble import labelled
from neurolim.study import plan as planning
from neurolim.study.read import load_study, parse_study
from neurolim.study.study import Study


def solve(
    model: str | Model | Mapping[str, Any],
    solver: str | Solver,
    params: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    replicas: int = 1,
) -> xr.Dataset:
    """Solve one model with one solver and return the labelled result.

    Parameters
    ----------
    model, solver : names, see ``neurolim list``; Python files, ``file.py`` or ``file.py:NAME``; or
        the objects themselves.  A model may be a mapping of texts, as in a study
    params : model parameters that differ from their defaults
    options : solver options that differ from their defaults
    seed : of the noise; the same seed gives the same bits as a study without axes
    replicas : independent repetitions (1 for deterministic solvers)

    Returns
    -------
    Dataset of the solver's outputs and ``status``, dims (replica, ...) for stochastic solvers.

    Raises
    ------
    StudyError : unknown name, wrong type, out of range
    """
    study = parse_study(
        {
            "model": model,
            "solver": solver,
            "params": {} if params is None else params,
            "options": {} if options is None else options,
            "seed": seed,
            "replicas": replicas,
        }
    )
    params, options = study.params_at(0), study.options_at(0)
    found = study.solver.run(
        study.model, params, options, study.key(0), range(replicas), warnings.warn
    )
    return labelled(
        study,
        found.arrays | {"status": found.status},
        {"software": json.dumps(provenance.software())},
    )


def run_study(
    path: str | Path | Study | Mapping[str, Any],
    results: str | Path,
    workers: int = 1,
    progress: Callable[[str], None] = lambda text: None,
    tiny: bool = False,
) -> xr.Dataset:
    """Run a whole study in this process and return its dataset with all statistics.

    Does what ``snakemake`` does, with the same files and the same bytes, but for the pages of many
    studies, ``verdicts.html`` and ``report.html``; chunks that are there
    already, unaltered and made from the same points and code, are kept.

    Parameters
    ----------
    path : study file, a Study, or what a study file says (then called "study")
    results : folder for results; the study gets a folder of its own name in it, at test size in
        its folder ``tiny``
    workers : threads
    progress : called with a line of text now and then
    tiny : run it at test size; a Study has its size already

    Returns
    -------
    Dataset with solver outputs and statistics together.

    Raises
    ------
    StudyError : the study is refused, another process runs it in this folder, or a table or figure
        cannot be made (the others are)
    """
    from neurolim.pipeline.engine import Engine

    results, workers = path_named("results", results), whole_number("workers", workers, 1, 2**20)
    if not callable(progress):
        raise StudyError("progress", f"got {show(progress)}", "a function of a line of text")
    if isinstance(path, Mapping):
        path = parse_study(path, tiny=tiny)
    study = path if isinstance(path, Study) else load_study(path, tiny=tiny)
    the_plan = planning.check_fit(study, results, workers)
    layout = layout_of(study, results)
    with lock.locked(layout.folder, [study.name]):
        paths = chunk_paths(study, layout)
        for number, (target, runs) in enumerate(zip(paths, the_plan.chunks, strict=True)):
            if not store.is_made_from(target, digest=target.stem):
                simulate(study, runs, target, Engine(workers=workers))
            progress(f"{study.name}: {number + 1} of {len(the_plan.chunks)} chunks")
        # Failures are counted before there may turn out to be too many of them for statistics.
        collect(study, results)
        analyse(study, results)
        store.tidy(layout.home)
    failed = failures(layout)
    if failed:
        problem = "; ".join(f"{page}: {error}" for page, error in failed.items())
        raise StudyError("", problem, f"the others are in {layout.home}", study.file)
    return joined(store.open_checked(layout.data), store.open_checked(layout.statistics))
