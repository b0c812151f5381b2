"""What is in an archive made again: chunks of its simulations, and all that follows from data."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurolim import provenance, shipped
from neurolim.archive import contents
from neurolim.archive.derived import following_from, verdict_pages
from neurolim.archive.reading import Archive, ArchiveError
from neurolim.core import StudyError
from neurolim.pipeline.analyse import analyse
from neurolim.pipeline.collect import write_runs
from neurolim.pipeline.digests import stage_digests
from neurolim.pipeline.layout import layout_of
from neurolim.store import store
from neurolim.store.zipped import write_zip
from neurolim.study import packages
from neurolim.study import plan as planning
from neurolim.study.study import Study

#: What is said where all that follows from the data came again.
REMADE = "statistics, tables, figures, verdicts: made again from the data, byte for byte"
#: Folders of ``code/`` that are no neurolim's.
_BROUGHT = ("plugins", "packages")
Say = Callable[[str], None]


def other_code(archive: Archive) -> list[str]:
    """Return the files of the archive's neurolim and its workflow that are others than this one's.

    Parameters
    ----------
    archive : with ``code/``
    """
    ours = {name: path for name, path in contents.code_files().items() if name != contents.LOCK}
    brought = tuple(f"code/{folder}/" for folder in _BROUGHT)
    theirs = {
        name for name in archive.entries if name.startswith("code/") and name != contents.LOCK
    }
    return sorted(
        name
        for name in ours.keys() | theirs
        if not name.startswith(brought)
        if name not in ours or name not in theirs or ours[name].read_bytes() != archive.text(name)
    )


def modules_of(names: Sequence[str]) -> list[str]:
    """Return those of the files of ``code/`` that are modules of neurolim."""
    return [name for name in names if name.startswith("code/src/")]


def foreign(archive: Archive) -> Iterator[str]:
    """Yield where the code or lock of an archive is not this project's."""
    advice = "give --trust to run it all the same, if you trust whoever made the archive"
    differing = modules_of(other_code(archive))
    if differing:
        more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
        yield f"{differing[0]}: differs from this neurolim{more}; {advice}"
    for folder in _BROUGHT:
        files = (name for name in archive.entries if name.startswith(f"code/{folder}/"))
        for name in sorted(name for name in files if name.endswith(".py"))[:1]:
            yield f"{name}: is no part of neurolim; {advice}"
    lock = shipped.root() / "requirements.lock"
    if not lock.is_file() or lock.read_bytes() != archive.text(contents.LOCK):
        yield f"{contents.LOCK}: is not this project's; {advice}"


def remake(archive: Archive, studies: Sequence[Study], workspace: Path) -> Iterator[str]:
    """Make what follows from the data of studies, and yield what is another in the archive.

    That is statistics, tables, figures and what the studies say of their statements.

    Parameters
    ----------
    archive : with data that fit the studies
    studies : all of the archive, read from ``workspace``
    workspace : folder to work in

    Raises
    ------
    ArchiveError : something cannot be made
    """
    results = workspace / "remade"
    made: dict[str, bytes | Path] = {}
    for study in studies:
        layout, digests = layout_of(study, results), stage_digests(study)
        _restore(archive, study, workspace, layout.data, digests["collect"])
        try:
            write_runs(study, layout)
            analyse(study, results)
            made |= following_from(study, layout, workspace)
        except Exception as error:  # whatever somebody's numbers make of the libraries
            raise ArchiveError([f"{study.name}: cannot be analysed again: {error!r}"]) from None
    paths = [str(workspace / "studies" / f"{study.name}.yaml") for study in studies]
    made |= verdict_pages(paths, results, studies[0].tiny)
    for name, content in made.items():
        fresh = contents.sha256(content) if isinstance(content, bytes) else store.sha256(content)
        if name not in archive:
            yield f"{name}: follows from the data, not in the archive"
        elif archive.sha256(name) != fresh:
            yield f"{name}: made again from the data, it is another"
    parts = ("statistics/", "netcdf/", "tables/", "figures/")
    for name in archive.entries:
        if name.startswith(parts) and name not in made:
            yield f"{name}: follows from no data"


def _restore(archive: Archive, study: Study, workspace: Path, path: Path, digest: str) -> None:
    """Write the dataset of a study as the file that it was, with a record."""
    prefix = f"data/{study.name}/"
    archive.extract(workspace, (prefix,))
    names = [name for name in archive.entries if name.startswith(prefix)]
    with store.beside(path) as temporary, temporary.open("wb") as stream:
        write_zip(stream, ((name.removeprefix(prefix), workspace / name) for name in names))
    record = {"digest": digest, "sha256": store.sha256(path)}
    store.write_note(store.record_of(path), record)


def otherwise_made(archive: Archive) -> str:
    """Return the software that made an archive and is another in this process, or ""."""
    software = archive.json(contents.MANIFEST).get("software")
    theirs = software if isinstance(software, Mapping) else {}
    return ", ".join(
        f"{name} {theirs.get(name, 'unknown')} ({version} here)"
        for name, version in provenance.software().items()
        if _comparable(name, theirs.get(name)) != _comparable(name, version)
    )


def _comparable(name: str, version: Any) -> str:
    """Return what of a version decides bytes: of Python, all but the last number."""
    return str(version).rpartition(".")[0] if name == "python" else str(version)


def run_in(python: Path, workspace: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the archive's neurolim.

    Parameters
    ----------
    python : of the environment
    workspace : with ``code/``
    *words : of the command
    """
    return subprocess.run(
        [str(python), "-m", "neurolim", *words],
        cwd=workspace,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(workspace),
            "PYTHONPATH": os.pathsep.join(
                str(workspace / part) for part in ("code/src", packages.PACKAGES)
            ),
            # Nothing is imported from the folder in which this runs.
            "PYTHONSAFEPATH": "1",
            "NUMBA_CACHE_DIR": str(workspace / "numba"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def verified_by(python: Path, archive: Archive, workspace: Path, trust: bool) -> str:
    """Return what the archive's own neurolim says when it makes all that follows again.

    Parameters
    ----------
    python : of the archive's environment
    archive, workspace : the archive, and a folder with its ``code/``
    trust : files that its studies name may run

    Raises
    ------
    ArchiveError : it finds something wrong
    """
    more = ("--trust",) if trust else ()
    process = run_in(python, workspace, "verify", str(archive.path.resolve()), *more)
    if process.returncode or REMADE not in process.stdout.splitlines():
        raise ArchiveError(process.stderr.strip().splitlines() or ["its own neurolim fails"])
    return REMADE


def simulate_again(
    archive: Archive,
    studies: Sequence[Study],
    workspace: Path,
    python: Path,
    recompute: int,
    seed: int | None,
    say: Say,
) -> list[str]:
    """Simulate chunks again and compare them with records and data, bit for bit.

    Parameters
    ----------
    archive, studies : the archive and its studies
    workspace : folder to work in, with ``code/`` and ``studies/``
    python : that runs them
    recompute : chunks, chosen at random
    seed : of the choice
    say : called with a line of text before each

    Returns
    -------
    a line per chunk

    Raises
    ------
    ArchiveError : every chunk that is another
    """
    every = [(s, number) for s in studies for number in range(len(planning.plan(s).chunks))]
    chosen = random.Random(seed).sample(every, min(recompute, len(every)))
    wanted: dict[tuple[str, int], Study] = {}
    for study, number in sorted(chosen, key=lambda item: (item[0].name, item[1])):
        # A refined map's chunk rests on the coarser ones, which come again first.
        for each in (*planning.earlier(study, planning.plan(study).chunks[number]), number):
            wanted[study.name, each] = study
    lines, problems = [], []
    for name, study in {name: study for (name, _), study in wanted.items()}.items():
        try:
            planning.check_fit(study, workspace)
        except StudyError as error:
            raise ArchiveError([f"studies/{name}.yaml: {error}"]) from None
    for (name, number), study in wanted.items():
        say(f"{name}: chunk {number} is simulated again")
        place = f"chunks/{name}/{number}.json"
        record = json.loads((workspace / place).read_text("utf-8"))
        # Its own neurolim named it by its digest, by which finer levels of a map look for it.
        if not re.fullmatch("[0-9a-f]{16}", str(record.get("digest"))):
            raise ArchiveError([f"{place}: its digest is none"])
        output = workspace / "new" / name / "chunks" / f"{record['digest']}.zip"
        size = ("--tiny",) if study.tiny else ()
        process = run_in(
            python, workspace, "simulate", f"studies/{name}.yaml", "--chunk", str(number),
            "--output", str(output), *size,
        )  # fmt: skip
        if process.returncode:
            last = (process.stderr.strip() or "without a word").splitlines()[-1]
            problems.append(f"{place}: cannot be simulated again: {last}")
            continue
        if store.sha256(output) != record.get("sha256"):
            problems.append(f"{place}: simulated again, its SHA-256 is another")
        with archive.dataset("data", name) as dataset, store.open_dataset(output) as chunk:
            differing = list(_differing(dataset, chunk, study))
        problems += [f"data/{name}/{variable}: {text}" for variable, text in differing]
        lines.append(f"{name}: chunk {number} came again, bit for bit")
    if problems:
        raise ArchiveError(problems)
    return lines


def _differing(dataset: xr.Dataset, chunk: xr.Dataset, study: Study) -> Iterator[tuple[str, str]]:
    """Yield (variable, what differs) between a chunk and its place in the dataset."""
    grid = [axis.name for axis in study.axes]
    lead = [*grid, *(["replica"] if study.solver.stochastic else [])]
    first, last = chunk.attrs["first_run"], chunk.attrs["last_run"]
    points = planning.reference_points(study, range(first, last))
    runs = [
        study.nth(run // study.replicas) * study.replicas + run % study.replicas
        for run in range(first, last)
    ]
    numbered = {name: array for name, array in chunk.items() if {"run", "point"} & {*array.dims}}
    for label, fresh in numbered.items():
        name = str(label)
        dims, numbers = (
            (grid, np.array(points, int))
            if fresh.dims[0] == "point"
            else (lead, np.array(runs, int))
        )
        shape = [dataset.sizes[dim] for dim in dims]
        places = np.unravel_index(numbers, shape) if shape else ()
        at = {dim: xr.DataArray(k, dims="_run") for dim, k in zip(dims, places, strict=True)}
        kept = dataset[name].isel(at)
        kept = kept.transpose("_run", ...) if at else kept.expand_dims("_run")
        if kept.values.tobytes() != fresh.values.tobytes():
            yield name, f"runs {first} to {last - 1} simulated again differ"


def environment(workspace: Path, say: Say) -> Path:
    """Return the Python of a new environment made from the archive's lock."""
    say("making an environment from the archive's lock: one to three minutes")
    folder = workspace / "env"
    venv.EnvBuilder(with_pip=True).create(folder)
    python = folder / "bin" / "python"
    words = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
    words += ["--require-hashes", "-r", contents.LOCK]
    process = subprocess.run(
        [str(python), *words], cwd=workspace, capture_output=True, text=True, check=False
    )
    if process.returncode:
        last = (process.stderr.strip() or "without a word").splitlines()[-1]
        raise ArchiveError([f"{contents.LOCK}: no environment can be made from it: {last}"])
    return python
