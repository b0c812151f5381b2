"""What has to hold in an archive before anything of it is used: bytes, names, plans, shapes."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurolim.archive import contents, harmless
from neurolim.archive.reading import Archive, ArchiveError
from neurolim.archive.write import manifest_of
from neurolim.core import Status, StudyError
from neurolim.core.outside import is_file
from neurolim.pipeline.digests import simulation_digest
from neurolim.store import store
from neurolim.store.assemble import skeleton
from neurolim.study import packages
from neurolim.study import plan as planning
from neurolim.study.files import PLUGINS, graphs_of, place_of, words_of
from neurolim.study.read import load_study, read_study
from neurolim.study.study import Study

#: Bytes of the longest study that is read.
_MOST_STUDY = 2**20
#: Attributes by which xarray changes numbers, or takes them for others.
_REWRITING = {"scale_factor", "add_offset", "_Unsigned", "dtype", "missing_value", "calendar"}


def altered(archive: Archive) -> Iterator[str]:
    """Yield what differs from the checksums: of files, their list, and the archive itself."""
    try:
        wanted = contents.read_checksums(archive.text(contents.CHECKSUMS).decode("ascii"))
    except ValueError as error:
        yield f"{contents.CHECKSUMS}: {error}"
        return
    for name in sorted(set(wanted) - set(archive.entries)):
        yield f"{name}: listed in {contents.CHECKSUMS}, not in the archive"
    for name, entry in archive.entries.items():
        if name == contents.CHECKSUMS:
            continue
        checksum, digest = 0, hashlib.sha256()
        for block in archive.blocks(name):
            checksum = zlib.crc32(block, checksum)
            digest.update(block)
        if name not in wanted:
            yield f"{name}: not listed in {contents.CHECKSUMS}"
        elif digest.hexdigest() != wanted[name]:
            yield f"{name}: its SHA-256 differs from {contents.CHECKSUMS}"
        elif checksum != entry.checksum:
            yield f"{name}: its CRC-32 in the zip is altered"
    if zlib.crc32(archive.text(contents.CHECKSUMS)) != archive.entries[contents.CHECKSUMS].checksum:
        yield f"{contents.CHECKSUMS}: altered"
    path = archive.path
    beside = path.with_name(f"{path.name}.sha256")
    if beside.is_file() and beside.read_bytes().split()[:1] != [store.sha256(path).encode()]:
        yield f"{path}: its SHA-256 differs from {beside.name} beside it"


def dangerous(archive: Archive) -> Iterator[str]:
    """Yield what is something else than its name says, or expands to more than it says."""

    def read(name: str, most: int | None) -> bytes:
        return archive.text(name) if most is None else archive.start(name, most)

    for name in archive.entries:
        if not contents.has_place(name):
            yield f"{name}: nothing of this name and kind has a place in an archive"
        elif name.startswith("studies/") and archive.entries[name].size > _MOST_STUDY:
            yield f"{name}: is longer than any study, {archive.entries[name].size} bytes"
        elif not name.startswith(("data/", "statistics/")) and name != contents.REPORT:
            most = harmless.FIRST if Path(name).suffix in harmless.BEGINNINGS else None
            yield from harmless.problems(name, read(name, most))
    yield from harmless.odd_arrays(archive.entries, read)
    try:
        contents.check_lock(archive.text(contents.LOCK).decode("ascii"))
    except ValueError as error:
        yield f"{contents.LOCK}: {error}"


def studies_of(
    archive: Archive, workspace: Path, trust: bool
) -> tuple[dict[str, Any], list[Study]]:
    """Return (what the list of contents says of every study, the studies that may be read).

    A study that names files, or plug-ins of packages in the archive, is read where these may be
    run.
    """
    try:
        brought = packages.named_in(workspace / packages.PACKAGES)
    except Exception as error:  # whatever importlib makes of a strange text
        raise ArchiveError([f"{packages.PACKAGES}: no entry points ({error})"]) from None
    manifest = archive.json(contents.MANIFEST)
    named = manifest.get("studies")
    if manifest.get("format") != contents.FORMAT:
        raise ArchiveError(
            [f"{contents.MANIFEST}: format {manifest.get('format')}, not {contents.FORMAT}"]
        )
    graph = archive.json(contents.METADATA).get("@graph")
    parts = graph if isinstance(graph, list) else []
    known = [part.get("@id") for part in parts if isinstance(part, dict)]
    if not ("./" in known and contents.METADATA in known):
        raise ArchiveError([f"{contents.METADATA}: describes no RO-Crate"])
    studies, closed = [], {}
    for name in sorted(
        Path(entry).stem for entry in archive.entries if entry.startswith("studies/")
    ):
        file = workspace / "studies" / f"{name}.yaml"
        try:
            mapping, tiny = read_study(file).content, _is_tiny(named, name)
            words = list(words_of(mapping))
            files = [word for _, _, word in words if is_file(word)]
            for word in (*graphs_of(mapping, tiny), *files):
                # Whatever it says, a study of an archive finds its files in there.
                if f"{PLUGINS}/{name}/{place_of(word)}" not in archive:
                    raise StudyError("", f"names {word!r}, which is not in the archive")
            # A model may be a mapping, a text, which is nobody's code.
            own = any(
                is_file(word) or (isinstance(word, str) and (kind, word) in brought)
                for kind, _, word in words
            )
            if trust or not own:
                studies.append(load_study(file, tiny=tiny))
            else:
                texts = {key: mapping.get(key, "") for key in ("title", "claim")}
                closed[name] = _dry(named, name) | texts
        except StudyError as error:
            problem = ": ".join(filter(None, (f"studies/{name}.yaml", error.key, error.problem)))
            raise ArchiveError([problem]) from None
    if not (studies or closed):
        raise ArchiveError(["studies/: no study"])
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


def unlike(archive: Archive, study: Study, ours: bool) -> Iterator[str]:
    """Yield how records and data of a study differ from what the study file asks for.

    Parameters
    ----------
    archive, study : the archive and one of its studies
    ours : its neurolim is this one, so that descriptions and digests have to be the same, too
    """
    place = f"data/{study.name}"
    ranges = planning.plan(study).chunks
    records = [archive.json(f"chunks/{study.name}/{number}.json") for number in range(len(ranges))]
    for number, (runs, record) in enumerate(zip(ranges, records, strict=True)):
        name = f"chunks/{study.name}/{number}.json"
        if record.get("runs") != [runs.start, runs.stop]:
            yield f"{name}: other runs than the study's"
        elif ours and record.get("digest") != simulation_digest(study, runs):
            yield f"{name}: made from another study or other code"
    wanted = skeleton(study)
    # Sizes first: what is opened is no larger than the study says.
    wrong = []
    for name, array in archive.arrays(place):
        if array.shape != [wanted.sizes.get(dim) for dim in array.dimension_names]:
            wrong.append(f"{name}: shape is not what the study gives")
        elif changed := sorted(_REWRITING & array.attributes.keys()):
            wrong.append(f"{name}: numbers would be changed as they are read ({changed[0]})")
    if wrong:
        yield from wrong
        return
    try:
        with archive.dataset("data", study.name) as encoded:
            dataset = store.with_texts(encoded)
            yield from _other_variables(place, dataset, wanted, ours)
            if "status" not in dataset or dataset["status"].dims != wanted["status"].dims:
                yield f"{place}/status: missing or of another shape"
                return
            status = dataset["status"].values
    except Exception as error:  # whatever somebody's file makes of the libraries that read it
        yield f"{place}: not readable ({type(error).__name__}: {str(error)[:100]})"
        return
    yield from _miscounted(place, status, records)


def _other_variables(
    place: str, dataset: xr.Dataset, wanted: xr.Dataset, ours: bool
) -> Iterator[str]:
    """Yield how variables, coordinates and descriptions differ from what the study gives."""
    for label, expected in wanted.variables.items():
        name = str(label)
        if name not in dataset.variables:
            yield f"{place}/{name}: missing"
            continue
        variable = dataset[name].variable
        is_text = expected.dtype.kind in "UO"
        if variable.dims != expected.dims or not (is_text or variable.dtype == expected.dtype):
            yield f"{place}/{name}: dimensions or type are not what the study gives"
        elif variable.attrs.get("units") != expected.attrs.get("units"):
            yield f"{place}/{name}: unit is not {expected.attrs.get('units')!r}"
        elif name in wanted.coords and not np.array_equal(variable.values, expected.values):
            yield f"{place}/{name}: other values than the study's"
        elif ours and _plain(variable.attrs) != _plain(expected.attrs):
            yield f"{place}/{name}: its description is another"
    if not ours:
        return
    for name in sorted(map(str, set(dataset.variables) - set(wanted.variables))):
        yield f"{place}/{name}: the study gives no such variable"
    made_by = {"Conventions", "neurolim", "code"}
    said = {key: value for key, value in dataset.attrs.items() if key not in made_by}
    if _plain(said) != _plain(wanted.attrs):
        yield f"{place}/zarr.json: says something else than the study"


def _plain(attrs: Mapping[Any, Any]) -> str:
    """Return attributes as text, whatever library they went through."""
    return json.dumps(dict(attrs), sort_keys=True, default=lambda value: np.asarray(value).tolist())


def _miscounted(
    place: str, status: np.ndarray, records: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield whether the number of failed runs is another than the records say."""
    failed = int(np.count_nonzero((status != Status.OK) & (status != Status.SKIPPED)))
    said = [record.get("failed", 0) for record in records]
    if not all(type(count) is int for count in said) or failed != sum(said):
        yield f"{place}/status: {failed} of {status.size} runs failed, the records say otherwise"


def unlike_records(archive: Archive, name: str, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield how records and data of a study that is not read differ from each other."""
    records = [
        archive.json(f"chunks/{name}/{number}.json") for number in range(len(plan["chunks"]))
    ]
    for number, (runs, record) in enumerate(zip(plan["chunks"], records, strict=True)):
        if record.get("runs") != runs:
            yield f"chunks/{name}/{number}.json: other runs than the plan's"
    yield from _uncounted(archive, name, records, plan["runs"])


def _uncounted(
    archive: Archive, name: str, records: Sequence[Mapping[str, Any]], runs: int
) -> Iterator[str]:
    """Yield how the number of runs, or of failed ones, is another than the records say."""
    try:
        with archive.dataset("data", name) as dataset:
            status = dataset["status"].values
    except Exception as error:  # whatever somebody's file makes of the libraries that read it
        yield f"data/{name}: not readable ({type(error).__name__}: {str(error)[:100]})"
        return
    if status.size != runs:
        yield f"data/{name}/status: {status.size} runs, the records say otherwise"
    yield from _miscounted(f"data/{name}", status, records)
