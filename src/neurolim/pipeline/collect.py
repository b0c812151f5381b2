"""Join the chunks of a study into its one dataset, count its failures, say what it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurolim import provenance
from neurolim.core import Column, Row, Status, Table
from neurolim.core.table import short
from neurolim.pipeline import stamps
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.digests import (
    collected_digest,
    digest_of,
    merged_software,
    simulation_code,
    stage_digests,
)
from neurolim.pipeline.layout import Layout, Page, layout_of
from neurolim.pipeline.results import failed_runs
from neurolim.store import store
from neurolim.store.assemble import assemble
from neurolim.study import plan as planning
from neurolim.study.read import load_study
from neurolim.study.study import Study

RUNS = Page("tables", "runs")
_COSTS = (
    "Solving is what the threads took that solved the runs; compiling their kernels is not "
    "part of it and comes once per job, or not at all where kernels are kept from before. "
    "Wall seconds also hold the start of the workers and waiting. The prediction is the cost "
    "model's, the same for every chunk because chunks are cut to cost the same; chunk sizes, "
    "time limits and memory limits rest on it."
)


def collect(study: Study, results: str | Path) -> Path:
    """Write the dataset of a study, the table ``runs`` and the page of costs; return the dataset.

    A dataset that was made from the chunks as they are stays.  Chunks are joined a few MiB at a
    time.

    Raises
    ------
    store.StoreError : a chunk is missing, altered, or was made from other points or code
    """
    from neurolim.pipeline.tables import write_page

    layout, stamp = layout_of(study, results), stamps.collected(study)
    problems = [problem for _, problem in damaged_chunks(study, layout)]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise store.StoreError("\n".join(problems[:3]) + more)
    files = chunk_paths(study, layout)
    records = [store.read_record(file) for file in files]
    digest = collected_digest(study)
    chunks = digest_of([record.get("sha256") for record in records])
    software = merged_software([record.get("software", {}) for record in records])
    if not store.is_made_from(layout.data, digest=digest, chunks=chunks, software=software):
        store.write_signed(
            layout.data,
            assemble(study, files, _made_by(study)),
            {"digest": digest, "chunks": chunks, "software": software},
        )
    write_runs(study, layout)
    write_page(layout.costs, costs_of(study, layout), f"Costs of {study.name}", _COSTS)
    stamps.leave(layout, stamps.COLLECT, stamp)
    return layout.data


def write_runs(study: Study, layout: Layout) -> None:
    """Write the table ``runs`` of a dataset, and its record.

    Parameters
    ----------
    study, layout : the study and where its dataset is
    """
    from neurolim.pipeline.tables import write_table

    table = runs_table(store.open_checked(layout.data))
    write_table(layout.page(RUNS, "csv"), table, study.spec.title, study.spec.cited_claim)
    made_from = {
        "digest": stage_digests(study)[RUNS.key],
        "source": str(store.read_record(layout.data)["sha256"]),
    }
    store.write_note(layout.collection, {RUNS.key: page_record(layout, RUNS, made_from)})


def page_record(layout: Layout, page: Page, made_from: Mapping[str, str]) -> dict[str, Any]:
    """Return the record of a table or figure that lies there."""
    files = {path.suffix[1:]: store.sha256(path) for path in layout.files_of(page)}
    return {**made_from, "failed": "", "files": files}


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
    return assemble(study, chunk_paths(study, layout_of(study, results)), _made_by(study))


def damaged_chunks(study: Study, layout: Layout) -> Iterator[tuple[int, str]]:
    """Yield (chunk, what is wrong and what to do) for chunks that must not enter a dataset."""
    for number, path in enumerate(chunk_paths(study, layout)):
        try:
            record = store.check(path)
        except store.StoreError as error:
            yield number, str(error)
            continue
        if record.get("digest") != path.stem:
            yield (
                number,
                f"{path}: its record says something else than its name; delete "
                f"{store.record_of(path)} and run the study again",
            )


def runs_table(dataset: xr.Dataset) -> Table:
    """Return the table ``runs``: how many runs and reference runs ended how, and where not well."""
    rows: list[tuple[str, int]] = []
    for name in ("status", "reference_status"):
        if name in dataset:
            kind = name.removesuffix("status").replace("_", " ")
            status = dataset[name].values
            rows.append((f"{kind}runs", status.size))
            rows += [(kind + flag.name, int(np.count_nonzero(status == flag))) for flag in Status]
    failed = failed_runs(dataset)
    grid = [dim for dim in failed.dims if dim != "replica"]
    if grid:
        bad = failed.any([dim for dim in failed.dims if dim not in grid])
        where = [
            " ".join(
                f"{dim}={short(dataset[dim].values[i].item())}"
                for dim, i in zip(grid, index, strict=True)
            )
            for index in np.argwhere(bad.values)
        ]
        rows.append(("points with failures", len(where)))
        rows += [(f"failed at {point}", 1) for point in where[:20]]
    columns = (Column("item", ""), Column("count"))
    return Table("runs", columns, tuple(Row({"item": i, "count": n}) for i, n in rows))


def costs_of(study: Study, layout: Layout) -> Table:
    """Return what every chunk took beside what the cost model said."""
    the_plan = planning.plan(study)
    notes = [store.read_note(path.with_suffix(".cost")) for path in chunk_paths(study, layout)]
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
