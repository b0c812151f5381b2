"""The stages of a study, each a function from paths to one path; the command line calls these.

    simulate -> collect -> reduce -> tabulate, draw

This is where models, solvers, statistics and figures meet, by name, through ``core.get``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurolim import provenance
from neurolim.analysis import figure_of, joined, runs_table, statistics_of, table_names, tables_of
from neurolim.core import Column, Model, Row, Solver, Status, StudyError, Table, Verdict
from neurolim.sweep import chunks as planning
from neurolim.sweep import lock, store
from neurolim.sweep.assemble import assemble, chunk_dataset, labelled
from neurolim.sweep.progress import read_note
from neurolim.sweep.refine import filled_with, wanted
from neurolim.sweep.study import Study, parse_study
from neurolim.sweep.study import load_study as load_study

if TYPE_CHECKING:
    from neurolim.sweep.engine import Engine

Progress = Callable[[int, int], None]
#: What the workflow does where a configuration says nothing else.
SETTINGS: Mapping[str, Any] = {"results": "results", "threads": 1, "engine": "local", "address": ""}
_PAIR = ("zip", "json")

# -- where things are ------------------------------------------------------------------------


def folder(study: Study, results: str | Path) -> Path:
    """Return the folder of a study's results."""
    return Path(results) / study.name


def chunk_path(study: Study, results: str | Path, chunk: int) -> Path:
    """Return the file of one chunk."""
    return folder(study, results) / "chunks" / f"{chunk}.zip"


# -- digests: what a result depends on -------------------------------------------------------


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def simulation_digest(study: Study, runs: range) -> str:
    """Return the digest of everything a chunk's numbers depend on: points, keys and code."""
    parts: list[Any] = [study.digest(runs.start, runs.stop), simulation_code(study)]
    if study.refine is not None and planning.level_of(study, runs) > 0:
        # Which points are simulated hangs on all that is coarser and on how it is judged.
        chunks = planning.plan(study).chunks
        before = chunks[planning.earlier(study, runs)[-1]].stop
        first = study.statistics[0]
        parts += [study.digest(0, before), study.refine.model_dump(), first.model_dump()]
        parts.append(provenance.code_digest(study.module("statistic", first.name)))
        parts.append(provenance.code_digest("neurolim.sweep.refine"))
    return _digest(*parts)


def simulation_code(study: Study) -> str:
    """Return the digest of the code behind the chunks of a study."""
    solvers = [study.solver] if study.reference is None else [study.solver, study.reference.name]
    return provenance.code_digest(
        study.module("model", study.model), *(study.module("solver", name) for name in solvers)
    )


def _words(study: Study) -> list[Any]:
    """Return what a study says of itself that stands in every result."""
    return [study.title, study.claim, study.failed_share]


def collected_digest(study: Study) -> str:
    """Return the digest of everything a dataset depends on beside its chunks."""
    return _digest(
        _words(study),
        study.definition(),
        simulation_code(study),
        provenance.code_digest("neurolim.sweep.assemble"),
    )


def stage_digests(study: Study) -> dict[str, str]:
    """Return, for each stage after simulation and each figure, the digest of words and code."""
    statistics = [(entry.name, entry.options) for entry in study.statistics]
    code = provenance.code_digest(
        "neurolim.analysis", *(study.module("statistic", name) for name, _ in statistics)
    )
    words = _words(study)
    digests = {
        "account": _digest(provenance.code_digest("neurolim.tables")),
        "collect": collected_digest(study),
        "reduce": _digest(statistics, study.failed_share, code),
        "tabulate": _digest(
            words, study.expectations(), code, provenance.code_digest("neurolim.tables")
        ),
    }
    for entry in study.figures:
        digests[entry.name] = _digest(
            entry.options,
            study.expectations(),
            provenance.code_digest("neurolim.analysis", study.module("figure", entry.name)),
        )
    return digests


# -- the stages ------------------------------------------------------------------------------


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
    from neurolim.sweep.engine import Engine, Task, balance, merge, run_tasks

    engine = engine or Engine()
    # Of the code that is about to run: it may be edited while it does.
    digest, code = simulation_digest(study, runs), simulation_code(study)
    output = Path(output)
    began = time.time()
    chosen = _chosen(study, runs, output.parent)
    every = planning.tasks_of(study, runs)
    model, solver = study.source("model", study.model), study.source("solver", study.solver)
    tasks = [
        Task(model, solver, t["params"], t["options"], t["key"], t["first"], t["last"])
        for t in every
        if chosen[t["point"]]
    ]
    references = [
        Task(
            model,
            study.source("solver", study.reference_name),
            study.params_at(point),
            study.reference_options_at(point),
            study.key(point),
            0,
            1,
        )
        for point in (planning.reference_points(study, runs) if study.reference else ())
        if chosen[point]
    ]
    solved = (
        run_tasks([*references, *balance(tasks, engine.workers)], engine, progress) if tasks else []
    )
    solutions = [one.solution for one in solved]
    arrays, others = _no_rows(study) if study.refine is not None else ({}, {})
    if references:
        reference = merge(solutions[: len(references)])
        others = reference.arrays | {"status": reference.status}
    if tasks:
        found = merge(solutions[len(references) :])
        arrays = found.arrays | {"status": found.status}
    if study.refine is not None:
        done = np.concatenate([np.full(t["last"] - t["first"], chosen[t["point"]]) for t in every])
        arrays = _with_gaps(arrays, done)
        others = _with_gaps(others, chosen[planning.reference_points(study, runs)])
    dataset = chunk_dataset(arrays, others, runs)
    status = dataset["status"].values
    checksum = store.write_dataset(output, dataset)
    store.write_record(
        output,
        {
            "sha256": checksum,
            "digest": digest,
            "code": code,
            "software": provenance.software(),
            "study": study.name,
            "runs": [runs.start, runs.stop],
            "failed": int(np.count_nonzero(_failures(status))),
        },
    )
    # Costs vary from machine to machine: they stay out of records that are compared.
    store.write_note(
        output.with_suffix(".cost"),
        {
            "wall_seconds": round(time.time() - began, 3),
            "core_seconds": round(sum(one.core_seconds for one in solved), 3),
            "compile_seconds": round(sum(one.compile_seconds for one in solved), 3),
            # Nothing was solved where a refined map had nothing left to find.
            "peak_memory_mib": max((one.memory_mib for one in solved), default=0.0),
            "machines": sorted({one.machine for one in solved}),
            "engine": engine.kind,
            "workers": engine.workers,
        },
    )
    return output


def _with_gaps(arrays: Mapping[str, np.ndarray], done: np.ndarray) -> dict[str, np.ndarray]:
    """Return rows with gaps where nothing was done, which there have the status SKIPPED."""
    found = filled_with(arrays, done)
    if "status" in found:
        found["status"][~done] = int(Status.SKIPPED)
    return found


def _no_rows(study: Study) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the arrays of solver and reference for no run and no point."""
    coords = planning.dims_of(study)
    found: list[dict[str, np.ndarray]] = []
    for variables in planning.variables_of(study):
        rows = {
            var.name: np.empty((0, *(len(coords[dim].values) for dim in var.dims)), var.dtype)
            for var in variables
        }
        found.append(rows | ({"status": np.empty(0, np.int8)} if rows else {}))
    return found[0], found[1]


def _chosen(study: Study, runs: range, home: Path) -> np.ndarray:
    """Return which points are simulated: all, unless a map is refined by what is there already.

    Raises
    ------
    store.StoreError : a chunk of a coarser level is missing or altered
    """
    everything = np.ones(study.n_points, dtype=bool)
    before = planning.earlier(study, runs)
    if study.refine is None or not before:
        return everything
    files = [home / f"{k}.zip" for k in before]
    for file in files:
        store.check(file)
    so_far = assemble(study, files, {})
    names = study.refine.axes
    status = so_far["status"]
    known = (status != int(Status.SKIPPED)).any([d for d in status.dims if d not in names])
    entry = study.statistics[0]
    options = study.entry_options("statistic", entry.name)
    classes = study.plugin("statistic", entry.name).apply(so_far, **options)[study.refine.by]
    picked = wanted(
        classes.transpose(*names, ...).values,
        known.transpose(*names).values,
        planning.level_of(study, runs),
        study.refine.levels,
    )
    axes = [axis.name for axis in study.axes]
    indices = np.unravel_index(np.arange(study.n_points), study.shape)
    found: np.ndarray = picked[tuple(indices[axes.index(name)] for name in names)]
    return found


def collect(study: Study, results: str | Path, output: str | Path) -> Path:
    """Join the chunks of a study into its one labelled dataset, a few MiB at a time.

    Raises
    ------
    store.StoreError : a chunk is missing, altered, or was made from other points or code
    """
    output = Path(output)
    problems = [problem for _, problem in damaged_chunks(study, results)]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise store.StoreError("\n".join(problems[:3]) + more)
    files = _chunk_paths(study, results)
    records = [store.read_record(file) for file in files]
    _write(
        output,
        assemble(study, files, _made_by(study)),
        collected_digest(study),
        chunks=_digest([record.get("sha256") for record in records]),
        software=_merged([record.get("software", {}) for record in records]),
    )
    return output


def _made_by(study: Study) -> dict[str, str]:
    # Versions of what made the chunks stand in the record, so that the same numbers are the same
    # bytes whatever computed them.
    return {
        "Conventions": "CF-1.11",
        "neurolim": provenance.package_version(),
        "code": simulation_code(study),
    }


def open_lazily(path: str | Path | Study, results: str | Path) -> xr.Dataset:
    """Return the dataset of a study straight from its chunk files, without reading them.

    The same as what ``collect`` writes, without a second copy on the disk: numbers are read
    when they are used.  Checksums are not compared; ``neurolim status --check`` does that.

    Parameters
    ----------
    path : study file, or a Study
    results : folder of all results
    """
    study = path if isinstance(path, Study) else load_study(path)
    return assemble(study, _chunk_paths(study, results), _made_by(study))


def _chunk_paths(study: Study, results: str | Path) -> list[Path]:
    """Return the files of all chunks in order."""
    return [chunk_path(study, results, k) for k in range(len(planning.plan(study).chunks))]


def damaged_chunks(study: Study, results: str | Path) -> Iterator[tuple[int, str]]:
    """Yield (chunk, what is wrong and what to do) for chunks that must not enter a dataset."""
    for number, runs in enumerate(planning.plan(study).chunks):
        path = chunk_path(study, results, number)
        try:
            record = store.check(path)
        except store.StoreError as error:
            yield number, str(error)
            continue
        if record.get("digest") != simulation_digest(study, runs):
            yield (
                number,
                f"{path}: made from another study, code or version; delete "
                f"{store.record_of(path)} and run the study again",
            )


def _merged(software: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return every version of every package that had a part in something."""
    found: dict[str, set[str]] = {}
    for versions in software:
        for name, version in versions.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _current_record(path: Path, digest: str, **inputs: str | None) -> dict[str, Any]:
    """Return the record of a file made from this study by this code, from these inputs.

    Raises
    ------
    store.StoreError : missing, or made from something else
    """
    record = store.read_record(path)
    if any(record.get(name) != value for name, value in {"digest": digest, **inputs}.items()):
        raise store.StoreError(
            f"{path}: made from another study, other code or other data; delete it and run the "
            "study again"
        )
    return record


def _open_data(study: Study, home: Path) -> xr.Dataset:
    """Return the dataset of a study if it is current."""
    _current_record(home / "data.zip", collected_digest(study))
    return store.open_checked(home / "data.zip")


def _open_statistics(study: Study, home: Path) -> xr.Dataset:
    """Return the statistics of a study if they and the dataset behind them are current."""
    digests = stage_digests(study)
    data = _current_record(home / "data.zip", digests["collect"]).get("sha256")
    _current_record(home / "statistics.zip", digests["reduce"], data=data)
    return store.open_checked(home / "statistics.zip")


def reduce(study: Study, data: str | Path, output: str | Path) -> Path:
    """Apply the statistics of a study in their order; each sees what earlier ones gave.

    Raises
    ------
    StudyError : more failed runs than the study allows
    store.StoreError : the dataset is missing, altered, or was made from another study or code
    """
    output = Path(output)
    dataset = _open_data(study, Path(data).parent)
    _write(
        output,
        statistics_of(study, dataset),
        stage_digests(study)["reduce"],
        data=store.read_record(data).get("sha256"),
        software=provenance.software(),
    )
    return output


def _failures(status: np.ndarray) -> np.ndarray:
    """Return which runs were tried and failed."""
    return (status != Status.OK) & (status != Status.SKIPPED)


def tabulate(study: Study, results: str | Path, table: str, output: str | Path) -> Path:
    """Write one table as CSV, HTML and LaTeX beside each other; return the CSV's path."""
    from neurolim.tables import write_table

    home = folder(study, results)
    if table == "runs":
        made = runs_table(_open_data(study, home))
    elif table in table_names(study):
        made = tables_of(study, _open_statistics(study, home))[table]
    else:
        raise StudyError("table", f"unknown table {table!r}", sorted(table_names(study)))
    return write_table(Path(output), made, study.title, study.claim)


def costs_of(study: Study, results: str | Path) -> Table:
    """Return what every chunk took beside what the cost model said."""
    the_plan = planning.plan(study)
    notes = [
        read_note(chunk_path(study, results, number).with_suffix(".cost"))
        for number in range(len(the_plan.chunks))
    ]
    names = ("wall_seconds", "compile_seconds", "core_seconds", "peak_memory_mib")
    taken = np.array([[float(note.get(name, np.nan)) for name in names] for note in notes])
    machines = [list(note.get("machines", [])) for note in notes]

    def row(chunk: str, runs: int, numbers: np.ndarray, predicted: float, where: list[str]) -> Row:
        wall, compiling, solving, peak = map(float, numbers)
        values = {
            "chunk": chunk,
            "runs": runs,
            "wall": wall,
            "compiling": compiling,
            "solving": solving,
            "predicted": predicted,
            "measured_over_predicted": solving / predicted,
            "peak_memory": peak,
            "asked_for": the_plan.memory / 2**20,
            "machines": ", ".join(where),
        }
        return Row(values)

    each = the_plan.chunk_core_seconds
    whole = np.append(np.nansum(taken[:, :3], axis=0), np.nanmax(taken[:, 3], initial=0.0))
    everywhere = sorted({name for names in machines for name in names})
    count = sum(map(len, the_plan.chunks))
    rows = [row("all", count, whole, the_plan.core_seconds, everywhere)]
    for number, runs in enumerate(the_plan.chunks):
        rows.append(row(str(number), len(runs), taken[number], each, machines[number]))
    columns = (
        Column("chunk", ""),
        Column("runs"),
        Column("wall", "s"),
        Column("compiling", "core s"),
        Column("solving", "core s"),
        Column("predicted", "core s"),
        Column("measured_over_predicted"),
        Column("peak_memory", "MiB"),
        Column("asked_for", "MiB"),
        Column("machines", ""),
    )
    return Table("costs", columns, tuple(rows))


def account(study: Study, results: str | Path, output: str | Path) -> Path:
    """Write the page of costs, measured against predicted; differs from machine to machine."""
    from neurolim.tables import write_page

    words = (
        "Solving is what the threads took that solved the runs; compiling their kernels is not "
        "part of it and comes once per job, or not at all where kernels are kept from before. "
        "Wall seconds also hold the start of the workers and waiting. The prediction is the cost "
        "model's, the same for every chunk because chunks are cut to cost the same; chunk sizes, "
        "time limits and memory limits rest on it."
    )
    return write_page(Path(output), costs_of(study, results), f"Costs of {study.name}", words)


def draw(study: Study, results: str | Path, figure: str, output: str | Path) -> Path:
    """Draw one figure of a study as SVG, PDF and PNG beside each other; return the SVG's path."""
    from neurolim.figures._style import save

    home = folder(study, results)
    picture = figure_of(study, figure, _open_data(study, home), _open_statistics(study, home))
    save(picture, Path(output).with_suffix(""))
    return Path(output)


def _write(output: Path, dataset: xr.Dataset, digest: str, **more: Any) -> None:
    checksum = store.write_dataset(output, dataset)
    store.write_record(output, {"sha256": checksum, "digest": digest, **more})


# -- what Snakemake asks ---------------------------------------------------------------------


@dataclass(frozen=True)
class Outline:
    """A study as the workflow sees it: names, digests and resources, nothing else."""

    path: str
    name: str
    chunks: tuple[str, ...]
    chunk_digests: Mapping[str, str]
    digests: Mapping[str, str]
    tables: tuple[str, ...]
    figures: tuple[str, ...]
    memory_mb: int
    minutes: int
    dataset_mb: int

    def chunk_digest(self, chunk: str) -> str:
        """Return the digest of a chunk; an unknown chunk has none."""
        return self.chunk_digests.get(chunk, "none")

    earlier: Mapping[str, tuple[int, ...]]

    def records(self, results: str) -> list[str]:
        """Return the records of all chunks."""
        return [f"{results}/{self.name}/chunks/{chunk}.json" for chunk in self.chunks]

    def before(self, results: str, chunk: str) -> list[str]:
        """Return the records of the chunks that decide what this one simulates."""
        numbers = self.earlier.get(chunk, ())
        return [f"{results}/{self.name}/chunks/{number}.json" for number in numbers]

    def chunk_files(self, results: str) -> list[str]:
        """Return the files of all chunks, which their records vouch for."""
        return [f"{results}/{self.name}/chunks/{chunk}.zip" for chunk in self.chunks]


def outline(path: str) -> Outline:
    """Return the outline of a study file.

    Raises
    ------
    StudyError : the study is refused
    """
    study = load_study(path)
    the_plan = planning.plan(study)
    numbers = [str(number) for number in range(len(the_plan.chunks))]
    return Outline(
        path=str(path),
        name=study.name,
        chunks=tuple(numbers),
        chunk_digests={
            number: simulation_digest(study, runs)
            for number, runs in zip(numbers, the_plan.chunks, strict=True)
        },
        digests=stage_digests(study),
        tables=table_names(study),
        figures=tuple(entry.name for entry in study.figures),
        memory_mb=-(-the_plan.memory // 2**20),
        minutes=the_plan.minutes,
        dataset_mb=512 + -(-the_plan.dataset // 2**20),
        earlier={
            number: tuple(planning.earlier(study, runs))
            for number, runs in zip(numbers, the_plan.chunks, strict=True)
            if study.refine is not None
        },
    )


def study_files(config: Mapping[str, Any]) -> list[str]:
    """Return the study files that a configuration names.

    Raises
    ------
    StudyError : none, or not a list of words
    """
    named = config.get("studies")
    if not isinstance(named, list) or not named or not all(isinstance(n, str) for n in named):
        raise StudyError(
            "studies", f"got {str(named)[:60]!r}", "a list of study files", "config/config.yaml"
        )
    return list(named)


def outlines(paths: Iterable[str]) -> dict[str, Outline]:
    """Return the outlines of several studies by name.

    Raises
    ------
    StudyError : a study is refused, or two have one name
    """
    found: dict[str, Outline] = {}
    for path in paths:
        one = outline(str(path))
        if one.name in found:
            raise StudyError(
                "studies", f"two studies are named {one.name!r}", "distinct names", str(path)
            )
        found[one.name] = one
    return found


def targets(studies: Mapping[str, Outline], results: str) -> list[str]:
    """Return every file a full run makes, each by name, so that a lost one is made again."""
    found = []
    for one in studies.values():
        home = f"{results}/{one.name}"
        found += one.records(results) + one.chunk_files(results)
        found += [f"{home}/{part}.{kind}" for part in ("data", "statistics") for kind in _PAIR]
        found += [f"{home}/costs.html"]
        found += [
            f"{home}/tables/{table}.{kind}"
            for table in one.tables
            for kind in ("csv", "html", "tex")
        ]
        found += [
            f"{home}/figures/{figure}.{kind}"
            for figure in one.figures
            for kind in ("svg", "pdf", "png")
        ]
    return found


def claim(studies: Mapping[str, Outline], results: str) -> None:
    """Hold the locks of all studies until this process ends, unless its parent holds them.

    Raises
    ------
    StudyError : another process works on one of them
    """
    if not os.environ.get(lock.HELD):
        _KEPT.enter_context(lock.locked(results, list(studies)))


def tidy(studies: Mapping[str, Outline], results: str) -> None:
    """Remove what killed jobs left half-written; call it when all jobs are over."""
    for name in studies:
        store.tidy(Path(results) / name)


#: Locks that end with the process.
_KEPT = contextlib.ExitStack()


def current_pages(studies: Mapping[str, Outline], results: str) -> list[str]:
    """Return the tables and figures that exist and belong to the studies as they stand."""
    found = []
    for one in studies.values():
        home = Path(results) / one.name
        data, statistics = _record(home / "data.json"), _record(home / "statistics.json")
        made = []
        if data.get("digest") == one.digests["collect"]:
            made.append((home / "data.json", [home / "tables" / "runs.html"]))
            wanted = {"digest": one.digests["reduce"], "data": data.get("sha256")}
            if all(statistics.get(name) == value for name, value in wanted.items()):
                tables = [home / "tables" / f"{name}.html" for name in one.tables if name != "runs"]
                figures = [home / "figures" / f"{name}.svg" for name in one.figures]
                made.append((home / "statistics.json", [*tables, *figures]))
        found += [
            str(page)
            for record, pages in made
            for page in pages
            if page.is_file() and page.stat().st_mtime_ns >= record.stat().st_mtime_ns
        ]
    return found


def _record(path: Path) -> dict[str, Any]:
    try:
        return store.read_record(path)
    except store.StoreError:
        return {}


def where(studies: Mapping[str, Outline], results: str) -> str:
    """Return the sentence that ends a run: where everything is."""
    lines = []
    for one in studies.values():
        home = f"{results}/{one.name}"
        lines.append(
            f"{one.name}: tables in {home}/tables, figures in {home}/figures, "
            f"data in {home}/data.zip"
        )
    return "\n".join(lines)


# -- library face ----------------------------------------------------------------------------


def run_study(
    path: str | Path | Study | Mapping[str, Any],
    results: str | Path,
    workers: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> xr.Dataset:
    """Run a whole study in this process and return its dataset with all statistics.

    Does what ``snakemake`` does, with the same files and the same bytes; chunks that are there
    already, unaltered and made from the same points and code, are kept.

    Parameters
    ----------
    path : study file, a Study, or what a study file says (then called "study")
    results : folder for results; the study gets a folder of its own name in it
    workers : threads
    progress : called with a line of text now and then

    Returns
    -------
    Dataset with solver outputs and statistics together.

    Raises
    ------
    StudyError : the study is refused, or another process runs it in this folder
    """
    from neurolim.sweep.engine import Engine

    if isinstance(path, Mapping):
        path = parse_study(path)
    study = path if isinstance(path, Study) else load_study(path)
    the_plan = planning.check_fit(study, results, workers)
    home = folder(study, results)
    with lock.locked(results, [study.name]):
        for number, runs in enumerate(the_plan.chunks):
            target = chunk_path(study, results, number)
            if not _is_current(target, simulation_digest(study, runs)):
                simulate(study, runs, target, Engine(workers=workers))
            progress(f"{study.name}: {number + 1} of {len(the_plan.chunks)} chunks")
        data = store.open_checked(collect(study, results, home / "data.zip"))
        # Failures are counted before there may turn out to be too many of them.
        first, *others = table_names(study)
        tabulate(study, results, first, home / "tables" / f"{first}.csv")
        statistics = store.open_checked(reduce(study, home / "data.zip", home / "statistics.zip"))
        for table in others:
            tabulate(study, results, table, home / "tables" / f"{table}.csv")
        for entry in study.figures:
            draw(study, results, entry.name, home / "figures" / f"{entry.name}.svg")
        store.tidy(home)
    return joined(data, statistics)


def _is_current(path: Path, digest: str) -> bool:
    try:
        return store.check(path).get("digest") == digest
    except store.StoreError:
        return False


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
    found = study.the_solver.solve(
        study.the_model, study.params_at(0), study.options_at(0), study.key(0), range(replicas)
    )
    return labelled(
        study,
        found.arrays | {"status": found.status},
        {"software": json.dumps(provenance.software())},
    )


def captions(paths: Sequence[str], results: str) -> dict[str, Any]:
    """Return, per study, claim and verdicts in words, as far as they are known by now.

    The report's captions show them; before the first run there are no verdicts.
    """
    found: dict[str, Any] = {}
    for path in paths:
        study = load_study(path)
        verdicts = [
            {"sentence": sentence}
            for table in stored_tables(study, results)
            for sentence in _sentences(study, table)
        ]
        found[study.name] = {"title": study.title, "claim": study.claim, "verdicts": verdicts}
    return found


def stored_tables(study: Study, results: str | Path) -> list[Table]:
    """Return the tables of a study that are there, in their order."""
    from neurolim.tables import read_table

    paths = [folder(study, results) / "tables" / f"{name}.json" for name in table_names(study)]
    return [read_table(path) for path in paths if path.is_file()]


def _sentences(study: Study, table: Table) -> list[str]:
    """Return what a table says, a sentence per row with a verdict."""
    if table.name == "runs":
        counts = {str(row.values["item"]): int(row.values["count"]) for row in table.rows}
        lost = counts.get("reference runs", 0) - counts.get("reference OK", 0)
        return [
            f"{counts['runs']} runs, {counts['runs'] - counts['OK']} failed"
            + (f"; {lost} of {counts['reference runs']} reference runs failed" if lost else "")
        ]
    return [
        f"{row.label or table.name.replace('_', ' ')}: {_words(study, row.quantity, row.verdict)}"
        for row in table.rows
        if row.verdict is not None
    ]


def _words(study: Study, quantity: str, verdict: Verdict) -> str:
    """Return a verdict as words: the measured value, what is expected, kind and reason."""
    parts = []
    if np.isfinite(verdict.measured):
        interval = ""
        if np.isfinite(verdict.low) and np.isfinite(verdict.high):
            interval = f" [{verdict.low:.3g}, {verdict.high:.3g}]"
        parts.append(f"measured {verdict.measured:.3g}{interval}")
    if np.isfinite(verdict.expected):
        parts.append(f"expected {verdict.expected:.4g}")
    hope = study.expect.get(quantity)
    if hope and hope.claim:
        parts.append(f"the paper claims {hope.claim}")
    reason = f" ({verdict.reason})" if verdict.reason else ""
    return f"{', '.join(parts)}: {verdict.kind}{reason}" if parts else f"{verdict.kind}{reason}"
