"""``neurolim verify``: every byte of an archive checked, and some of its numbers made again.

Nothing of an archive is believed before it is checked, and nothing in it runs unless its code is
this neurolim's own or somebody vouches for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import venv
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from zarr.storage import ZipStore

from neurolim import shipped
from neurolim.archive import contents, harmless
from neurolim.archive.write import manifest_of
from neurolim.core import Status, StudyError
from neurolim.core.outside import is_file
from neurolim.store import store
from neurolim.store.zipped import Entry, ZipError, entries_of, read_entry
from neurolim.study import packages
from neurolim.study import plan as planning
from neurolim.study.files import PLUGINS, graphs_in, place_of, words_of
from neurolim.study.plan import dims_of, variables_of
from neurolim.study.study import Study, load_study, read_study

#: A text of an archive that is longer is no text of ours.
_MOST_TEXT = 2**26
Say = Callable[[str], None]


class ArchiveError(RuntimeError):
    """An archive that is altered, incomplete, dangerous or does not come again; a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        # An archive's words may hold what steers a terminal.
        self.problems = tuple(
            "".join(sign if sign.isprintable() else "?" for sign in line) for line in problems
        )
        super().__init__("\n".join(self.problems))


def verify(
    path: str | Path,
    recompute: int = 0,
    trust: bool = False,
    here: bool = False,
    seed: int | None = None,
    say: Say = lambda line: None,
) -> list[str]:
    """Check an archive; return what was found in good order, a line each.

    Parameters
    ----------
    path : of the archive
    recompute : chunks, chosen at random, to simulate again and compare bit for bit
    trust : run the archive's code and install from its lock even if they are not this project's;
        run files that its studies name as models, solvers, statistics and figures
    here : recompute in this environment instead of a new one made from the archive's lock
    seed : of the choice of chunks
    say : called with a line of text before something that takes long

    Raises
    ------
    ArchiveError : every problem, each with the file's name in the archive
    """
    path = Path(path)
    try:
        entries = {entry.name: entry for entry in entries_of(path)}
    except FileNotFoundError:
        raise ArchiveError([f"{path}: missing"]) from None
    except (ZipError, OSError) as error:
        raise ArchiveError([f"{path}: {error}"]) from None
    say(f"{len(entries)} files, {path.stat().st_size} bytes: reading all of them")
    _raise(_altered(path, entries))
    _raise(_dangerous(path, entries))
    found = [f"{len(entries)} files match their SHA-256, and every other byte is as written"]
    if contents.REPORT in entries:
        found.append(
            f"{contents.REPORT}: runs programs in your browser, which nobody can check here; "
            "tables/ and figures/ show the same without"
        )
    with contextlib.ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="neurolim-verify-")
        workspace = Path(stack.enter_context(temporary))
        _extract(path, entries, workspace, ("code/", "studies/", "chunks/"))
        if trust and (workspace / packages.PACKAGES).is_dir():
            stack.enter_context(packages.found_in(workspace / packages.PACKAGES))
        named, studies = _studies(path, entries, workspace, trust)
        for name in sorted(set(named) - {study.name for study in studies}):
            _raise(_unlike_records(path, entries, name, named[name]))
            found.append(
                f"{name}: data of {named[name]['runs']} runs fit their records; the code that "
                "the study brings was not run, so that they fit the study is not checked (--trust)"
            )
        for study in studies:
            _raise(_unlike(path, entries, study))
            count = len(planning.plan(study).chunks)
            found.append(
                f"{study.name}: data of {study.n_runs} runs in {count} chunks fit the study"
            )
        if recompute:
            strange = [] if trust else _foreign(workspace / "code")
            _raise(strange)
            found += _again(path, studies, workspace, recompute, here, seed, say)
    return found


def _raise(problems: Iterable[str]) -> None:
    told = list(problems)
    if told:
        raise ArchiveError(told)


def _text(path: Path, entries: Mapping[str, Entry], name: str) -> bytes:
    if name not in entries:
        raise ArchiveError([f"{name}: not in the archive"])
    try:
        return b"".join(read_entry(path, entries[name], _MOST_TEXT))
    except ZipError as error:
        raise ArchiveError([str(error)]) from None


def _json(path: Path, entries: Mapping[str, Entry], name: str) -> dict[str, Any]:
    try:
        found = json.loads(_text(path, entries, name))
    except (ValueError, RecursionError) as error:
        raise ArchiveError([f"{name}: not JSON ({error})"]) from None
    if not isinstance(found, dict):
        raise ArchiveError([f"{name}: not a mapping"])
    return found


def _altered(path: Path, entries: Mapping[str, Entry]) -> Iterator[str]:
    """Yield what differs from the checksums: of files, their list, and the archive itself."""
    try:
        wanted = contents.read_checksums(_text(path, entries, contents.CHECKSUMS).decode("ascii"))
    except ValueError as error:
        yield f"{contents.CHECKSUMS}: {error}"
        return
    for name in sorted(set(wanted) - set(entries)):
        yield f"{name}: listed in {contents.CHECKSUMS}, not in the archive"
    for name, entry in entries.items():
        if name == contents.CHECKSUMS:
            continue
        checksum, digest = 0, hashlib.sha256()
        for block in read_entry(path, entry):
            checksum = zlib.crc32(block, checksum)
            digest.update(block)
        if name not in wanted:
            yield f"{name}: not listed in {contents.CHECKSUMS}"
        elif digest.hexdigest() != wanted[name]:
            yield f"{name}: its SHA-256 differs from {contents.CHECKSUMS}"
        elif checksum != entry.checksum:
            yield f"{name}: its CRC-32 in the zip is altered"
    entry = entries[contents.CHECKSUMS]
    if zlib.crc32(_text(path, entries, contents.CHECKSUMS)) != entry.checksum:
        yield f"{contents.CHECKSUMS}: altered"
    beside = path.with_name(f"{path.name}.sha256")
    if beside.is_file() and beside.read_bytes().split()[:1] != [store.sha256(path).encode()]:
        yield f"{path}: its SHA-256 differs from {beside.name} beside it"


def _dangerous(path: Path, entries: Mapping[str, Entry]) -> Iterator[str]:
    """Yield what could run when somebody reads the archive, or be something else than it seems."""

    def read(name: str, most: int | None) -> bytes:
        if most is None:
            return _text(path, entries, name)
        return next(read_entry(path, entries[name]), b"")[:most]

    for name in entries:
        if not contents.has_place(name):
            yield f"{name}: nothing of this name and kind has a place in an archive"
        elif not name.startswith(("data/", "statistics/")) and name != contents.REPORT:
            most = 16 if Path(name).suffix in harmless.BINARY else None
            yield from harmless.problems(name, read(name, most))
    yield from harmless.odd_arrays(entries, read)
    try:
        contents.check_lock(_text(path, entries, contents.LOCK).decode("ascii"))
    except ValueError as error:
        yield f"{contents.LOCK}: {error}"


def _extract(
    path: Path, entries: Mapping[str, Entry], workspace: Path, folders: tuple[str, ...]
) -> None:
    """Write some folders of the archive; names were checked to stay inside."""
    for name, entry in entries.items():
        if name.startswith(folders):
            copy = workspace / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            with copy.open("wb") as stream:
                stream.writelines(read_entry(path, entry, _MOST_TEXT))


def _studies(
    path: Path, entries: Mapping[str, Entry], workspace: Path, trust: bool
) -> tuple[dict[str, Any], list[Study]]:
    """Return (what the list of contents says of every study, the studies that may be read).

    A study that names files, or plug-ins of packages in the archive, is read where these may be
    run.
    """
    try:
        brought = packages.named_in(workspace / packages.PACKAGES)
    except Exception as error:  # whatever importlib makes of a strange text
        raise ArchiveError([f"{packages.PACKAGES}: no entry points ({error})"]) from None
    manifest = _json(path, entries, contents.MANIFEST)
    named = manifest.get("studies")
    if manifest.get("format") != contents.FORMAT:
        raise ArchiveError(
            [f"{contents.MANIFEST}: format {manifest.get('format')}, not {contents.FORMAT}"]
        )
    graph = _json(path, entries, contents.METADATA).get("@graph")
    parts = graph if isinstance(graph, list) else []
    known = [part.get("@id") for part in parts if isinstance(part, dict)]
    if not ("./" in known and contents.METADATA in known):
        raise ArchiveError([f"{contents.METADATA}: describes no RO-Crate"])
    studies, closed = [], {}
    for name in sorted(Path(entry).stem for entry in entries if entry.startswith("studies/")):
        file = workspace / "studies" / f"{name}.yaml"
        try:
            mapping = read_study(file)
            words = list(words_of(mapping))
            reference = mapping.get("reference")
            options = (mapping, reference if isinstance(reference, Mapping) else {})
            files = [word for part in options for word in graphs_in(part.get("options")).values()]
            for word in (*files, *(word for _, _, word in words if is_file(word))):
                # Whatever it says, a study of an archive finds its files in there.
                if f"{PLUGINS}/{name}/{place_of(word)}" not in entries:
                    raise StudyError("", f"names {word!r}, which is not in the archive")
            # A model may be a mapping, a text, which is nobody's code.
            own = any(
                is_file(word) or (isinstance(word, str) and (kind, word) in brought)
                for kind, _, word in words
            )
            if trust or not own:
                studies.append(load_study(file, tiny=_is_tiny(named, name)))
            else:
                texts = {key: mapping.get(key, "") for key in ("title", "claim")}
                closed[name] = _dry(named, name) | texts
        except StudyError as error:
            problem = ": ".join(filter(None, (f"studies/{name}.yaml", error.key, error.problem)))
            raise ArchiveError([problem]) from None
    if named != closed | {study.name: manifest_of(study) for study in studies}:
        raise ArchiveError([f"{contents.MANIFEST}: is about other studies than studies/"])
    return named, studies


def _is_tiny(named: Any, name: str) -> bool:
    """Return whether the list of contents says that a study is there at test size."""
    found = named.get(name) if isinstance(named, dict) else None
    return isinstance(found, dict) and found.get("tiny") is True


def _dry(named: Any, name: str) -> dict[str, Any]:
    """Return what the list of contents says of a study, if it is of the right kinds.

    Raises
    ------
    StudyError : it says nothing of this study, or something strange
    """
    found = named.get(name) if isinstance(named, dict) else None
    chunks: Any = found.get("chunks") if isinstance(found, dict) else None
    if isinstance(found, dict) and _is_pairs(chunks):
        ends = [0, *(stop for _, stop in chunks)]
        if [start for start, _ in chunks] == ends[:-1] and found.get("runs") == ends[-1]:
            return found
    raise StudyError("", f"{contents.MANIFEST} has no plan of it")


def _is_pairs(value: Any) -> bool:
    """Return whether something is a list of pairs of integers."""
    return isinstance(value, list) and all(
        isinstance(part, list) and len(part) == 2 and all(type(end) is int for end in part)
        for part in value
    )


def opened(path: Path, part: str, study: str) -> xr.Dataset:
    """Return a dataset of an archive, straight from the zip; numbers are read when used."""
    zipped = ZipStore(path, mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        dataset = xr.open_zarr(
            zipped,
            group=f"{part}/{study}",
            consolidated=False,
            chunks=None,
            zarr_format=3,
        )
    dataset.set_close(zipped.close)
    return dataset


def _unlike(path: Path, entries: Mapping[str, Entry], study: Study) -> Iterator[str]:
    """Yield how records and data of a study differ from what the study file asks for."""
    place = f"data/{study.name}"
    ranges = planning.plan(study).chunks
    records = [
        _json(path, entries, f"chunks/{study.name}/{number}.json") for number in range(len(ranges))
    ]
    for number, (runs, record) in enumerate(zip(ranges, records, strict=True)):
        if record.get("runs") != [runs.start, runs.stop]:
            yield f"chunks/{study.name}/{number}.json: other runs than the study's"
    outputs, references = variables_of(study)
    grid = {axis.name: axis.size for axis in study.axes}
    lead = grid | ({"replica": study.replicas} if study.the_solver.stochastic else {})
    lengths = lead | {name: len(coord.values) for name, coord in dims_of(study).items()}
    # Sizes first: what is opened is no larger than the study says.
    wrong = [
        f"{name}: shape is not what the study gives"
        for name, array in _arrays(path, entries, place)
        if array.shape != [lengths.get(dim) for dim in array.dimension_names]
    ]
    if wrong:
        yield from wrong
        return
    wanted = {var.name: (lead, var) for var in outputs}
    wanted |= {f"reference_{var.name}": (grid, var) for var in references}
    try:
        with opened(path, "data", study.name) as dataset:
            for name, (first, var) in wanted.items():
                dims = (*first, *var.dims)
                if name not in dataset.variables:
                    yield f"{place}/{name}: missing"
                elif dataset[name].dims != dims or dataset[name].dtype != np.dtype(var.dtype):
                    yield f"{place}/{name}: dimensions or type are not what the study gives"
                elif dataset[name].attrs.get("units") != var.unit:
                    yield f"{place}/{name}: unit is not {var.unit!r}"
            if "status" not in dataset or dataset["status"].dims != tuple(lead):
                yield f"{place}/status: missing or of another shape"
                return
            status = dataset["status"].values
    except Exception as error:  # whatever somebody's file makes of the libraries that read it
        yield f"{place}: not readable ({type(error).__name__}: {str(error)[:100]})"
        return
    failed = int(np.count_nonzero((status != Status.OK) & (status != Status.SKIPPED)))
    if [failed] != [sum(record.get("failed", 0) for record in records)]:
        yield f"{place}/status: {failed} failed runs, the records say otherwise"


def _unlike_records(
    path: Path, entries: Mapping[str, Entry], name: str, plan: Mapping[str, Any]
) -> Iterator[str]:
    """Yield how records and data of a study that is not read differ from each other."""
    records = [
        _json(path, entries, f"chunks/{name}/{number}.json")
        for number in range(len(plan["chunks"]))
    ]
    for number, (runs, record) in enumerate(zip(plan["chunks"], records, strict=True)):
        if record.get("runs") != runs:
            yield f"chunks/{name}/{number}.json: other runs than the plan's"
    yield from _uncounted(path, name, records, plan["runs"])


def _uncounted(
    path: Path, name: str, records: Sequence[Mapping[str, Any]], runs: int
) -> Iterator[str]:
    """Yield how the number of runs, or of failed ones, is another than the records say."""
    try:
        with opened(path, "data", name) as dataset:
            status = dataset["status"].values
    except Exception as error:  # whatever somebody's file makes of the libraries that read it
        yield f"data/{name}: not readable ({type(error).__name__}: {str(error)[:100]})"
        return
    failed = int(np.count_nonzero((status != Status.OK) & (status != Status.SKIPPED)))
    if status.size != runs or failed != sum(record.get("failed", 0) for record in records):
        words = f"{failed} of {status.size} runs failed"
        yield f"data/{name}/status: {words}, the records say otherwise"


def _arrays(
    path: Path, entries: Mapping[str, Entry], place: str
) -> Iterator[tuple[str, harmless.Array]]:
    """Yield (name, description) of the arrays of a group."""
    for name in entries:
        home, _, base = name.rpartition("/")
        if base == "zarr.json" and home.startswith(f"{place}/"):
            yield home, harmless.described(name, _text(path, entries, name))


def _foreign(code: Path) -> Iterator[str]:
    """Yield where the code or lock of an archive is not this project's."""
    advice = "give --trust to run it all the same, if you trust whoever made the archive"
    ours = shipped.PACKAGE
    theirs = code / "src" / "neurolim"
    names = {path.relative_to(ours) for path in shipped.modules()}
    names |= {path.relative_to(theirs) for path in theirs.rglob("*") if path.is_file()}
    differing = sorted(
        str(name)
        for name in names
        if name.suffix in contents.SUFFIXES
        if not (ours / name).is_file()
        or not (theirs / name).is_file()
        or (ours / name).read_bytes() != (theirs / name).read_bytes()
    )
    if differing:
        yield (
            f"code/src/neurolim/{differing[0]}: differs from this neurolim"
            f"{f' (and {len(differing) - 1} more)' if len(differing) > 1 else ''}; {advice}"
        )
    for folder in ("plugins", "packages"):
        for plugin in sorted((code / folder).rglob("*.py"))[:1]:
            yield f"code/{plugin.relative_to(code)}: is no part of neurolim; {advice}"
    lock = shipped.root() / "requirements.lock"
    if not lock.is_file() or lock.read_bytes() != (code / "requirements.lock").read_bytes():
        yield f"{contents.LOCK}: is not this project's; {advice}"


def _again(
    path: Path,
    studies: Sequence[Study],
    workspace: Path,
    recompute: int,
    here: bool,
    seed: int | None,
    say: Say,
) -> list[str]:
    """Simulate chunks again and compare them with records and data, bit for bit."""
    python = Path(sys.executable) if here else _environment(workspace, say)
    every = [(s, number) for s in studies for number in range(len(planning.plan(s).chunks))]
    chosen = random.Random(seed).sample(every, min(recompute, len(every)))
    wanted: dict[tuple[str, int], Study] = {}
    for study, number in sorted(chosen, key=lambda item: (item[0].name, item[1])):
        # A refined map's chunk rests on the coarser ones, which come again first.
        for one in (*planning.earlier(study, planning.plan(study).chunks[number]), number):
            wanted[study.name, one] = study
    found, problems = [], []
    for (name, number), study in wanted.items():
        say(f"{name}: chunk {number} is simulated again")
        output = workspace / "new" / name / "chunks" / f"{number}.zip"
        words = ["simulate", f"studies/{name}.yaml", "--chunk", str(number)]
        words += ["--tiny"] if study.tiny else []
        process = subprocess.run(
            [str(python), "-m", "neurolim", *words, "--output", str(output)],
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
        place = f"chunks/{name}/{number}.json"
        if process.returncode:
            last = (process.stderr.strip() or "without a word").splitlines()[-1]
            problems.append(f"{place}: cannot be simulated again: {last}")
            continue
        record = json.loads((workspace / place).read_text("utf-8"))
        if store.sha256(output) != record.get("sha256"):
            problems.append(f"{place}: simulated again, its SHA-256 is another")
        with opened(path, "data", name) as dataset, store.open_dataset(output) as chunk:
            differing = list(_differing(dataset, chunk, study))
        problems += [f"data/{name}/{variable}: {text}" for variable, text in differing]
        found.append(f"{name}: chunk {number} came again, bit for bit")
    _raise(problems)
    return found


def _differing(dataset: xr.Dataset, chunk: xr.Dataset, study: Study) -> Iterator[tuple[str, str]]:
    """Yield (variable, what differs) between a chunk and its place in the dataset."""
    grid = [axis.name for axis in study.axes]
    lead = [*grid, *(["replica"] if study.the_solver.stochastic else [])]
    first, last = chunk.attrs["first_run"], chunk.attrs["last_run"]
    points = planning.reference_points(study, range(first, last))
    runs = [
        study.nth(run // study.replicas) * study.replicas + run % study.replicas
        for run in range(first, last)
    ]
    for label, fresh in chunk.data_vars.items():
        name = str(label)
        dims, numbers = (
            (grid, np.array(points)) if fresh.dims[0] == "point" else (lead, np.array(runs))
        )
        shape = [dataset.sizes[dim] for dim in dims]
        places = np.unravel_index(numbers, shape) if shape else ()
        here = {dim: xr.DataArray(at, dims="_run") for dim, at in zip(dims, places, strict=True)}
        kept = dataset[name].isel(here)
        kept = kept.transpose("_run", ...) if here else kept.expand_dims("_run")
        if kept.values.tobytes() != fresh.values.tobytes():
            yield name, f"runs {first} to {last - 1} simulated again differ"


def _environment(workspace: Path, say: Say) -> Path:
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
