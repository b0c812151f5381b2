"""One file per result: deterministic zips of zarr groups, written whole or not at all.

A file is a zarr v3 group in a zip of which every byte is decided by the numbers (``zipped``).  It
is written beside its place, flushed to disk and renamed, so a kill or a full disk leaves either the
old file, the new file or none.  A record, ``<name>.json`` beside it, holds its
SHA-256 and what it was made from.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import MemoryStore, ZipStore

from neurolim import files
from neurolim.store.zipped import write_zip

#: What a machine says of a file that it does not write.
_UNWRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EISDIR, errno.EROFS, errno.EACCES, errno.EPERM,
)  # fmt: skip


class StoreError(RuntimeError):
    """A result file that is missing, truncated or altered; names the file and the remedy."""


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; move it into place if all went well.

    Raises
    ------
    StoreError : the disk is full, the folder may not be written, or another lies there
    """
    try:
        with files.beside(path) as temporary:
            yield temporary
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> StoreError:
    """Return what to say of a file that the machine did not write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some space and run the study again: what is done is kept"
        return StoreError(f"{path}: the disk is full; {remedy}")
    if error.errno == errno.EISDIR:
        remedy = f"delete {path} and run the study again"
        return StoreError(f"{path}: a folder lies where a file should be; {remedy}")
    return StoreError(f"{path}: cannot be written: {error.strerror or error}")


def tidy(folder: str | Path) -> None:
    """Remove what killed jobs left half-written below a folder in which nothing runs now."""
    files.tidy(Path(folder))
    for path in Path(folder).rglob("*.progress"):
        path.unlink(missing_ok=True)


def settle_dates(folder: str | Path) -> None:
    """Date files of the future now: Snakemake takes a result that is older for a mistake."""
    now = time.time()
    for path in Path(folder).rglob("*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime > now:
                os.utime(path)


def write_dataset(path: str | Path, dataset: xr.Dataset) -> str:
    """Write a dataset as one deterministic zip and return its SHA-256.

    Numbers are asked for one piece of at most 16 MiB at a time, so a dataset that is read where it
    is used may be larger than memory.

    Parameters
    ----------
    path : of the zip file
    dataset : any labelled dataset; text is kept as integers with an attribute ``labels``
    """
    encoded = _text_to_codes(dataset)
    with beside(Path(path)) as temporary:
        with temporary.open("wb") as stream:
            write_zip(stream, _entries(encoded))
        checksum = sha256(temporary)
    return checksum


def _entries(dataset: xr.Dataset) -> Iterator[tuple[str, bytes | Callable[[], bytes]]]:
    """Yield (name, content) of the zarr group of a dataset; of numbers, how to get them."""
    entries: dict[str, Any] = {}
    variables = {str(name): dataset[name].variable for name in dataset.variables}
    # xarray describes the arrays by their first numbers; then they get their full size.
    dataset.isel({dim: slice(0, 1) for dim in dataset.dims}).to_zarr(
        MemoryStore(entries),
        mode="w",
        consolidated=False,
        zarr_format=3,
        encoding={
            name: {"chunks": _chunks(variable)}
            for name, variable in variables.items()
            if variable.ndim
        },
    )
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.open_group(MemoryStore(entries), zarr_format=3, use_consolidated=False)
        arrays: dict[str, zarr.Array[Any]] = dict(group.arrays())
    for name, array in arrays.items():
        array.resize(variables[name].shape)
    for name, entry in entries.items():
        if name.endswith("zarr.json"):
            yield name, entry.to_bytes()
    for name, array in arrays.items():
        for place in np.ndindex(array.cdata_shape):
            key = f"{name}/{array.metadata.encode_chunk_key(place)}"
            yield key, partial(_piece, entries, key, array, place, variables[name])


def _piece(
    entries: dict[str, Any],
    key: str,
    array: zarr.Array[Any],
    place: tuple[int, ...],
    variable: xr.Variable,
) -> bytes:
    """Return a piece of an array as zarr writes it to ``entries``, and leave nothing there."""
    region = tuple(
        slice(at * length, (at + 1) * length)
        for at, length in zip(place, array.chunks, strict=True)
    )
    array[region] = variable[region].values
    return bytes(entries.pop(key).to_bytes())


def _chunks(array: xr.Variable) -> tuple[int, ...]:
    """Return zarr chunk lengths of at most about 16 MiB, cut along the leading dimensions."""
    shape = list(array.shape)
    for place in range(len(shape)):
        while np.prod(shape, dtype=object) * array.dtype.itemsize > 2**24 and shape[place] > 1:
            shape[place] = -(-shape[place] // 2)
    return tuple(max(1, length) for length in shape)


def _text_to_codes(dataset: xr.Dataset) -> xr.Dataset:
    """Replace text by integers and an attribute ``labels``: zarr v3 specifies no text type."""
    changed = {}
    for name, array in dataset.variables.items():
        if array.dtype.kind not in "UOT":
            continue
        words = np.array([str(word) for word in array.values.ravel()])
        labels, codes = np.unique(words, return_inverse=True)
        changed[name] = xr.Variable(
            array.dims,
            codes.reshape(array.shape).astype(np.int32),
            {**array.attrs, "labels": [str(label) for label in labels]},
        )
    coordinates = {name: var for name, var in changed.items() if name in dataset.coords}
    others = {name: var for name, var in changed.items() if name not in dataset.coords}
    return dataset.assign_coords(coordinates).assign(others)


def with_texts(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset in which integers with an attribute ``labels`` are their texts again."""
    changed = {}
    for name, array in dataset.variables.items():
        if "labels" not in array.attrs:
            continue
        attrs = {key: value for key, value in array.attrs.items() if key != "labels"}
        words = np.array(array.attrs["labels"])[array.values]
        changed[name] = xr.Variable(array.dims, words, attrs)
    coordinates = {name: var for name, var in changed.items() if name in dataset.coords}
    others = {name: var for name, var in changed.items() if name not in dataset.coords}
    return dataset.assign_coords(coordinates).assign(others)


def in_order(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset whose variables are in the order of their names.

    A zip gives them in an order that differs from process to process.
    """
    ordered = xr.Dataset(
        {name: dataset[name].variable for name in sorted(map(str, dataset.data_vars))},
        {name: dataset[name].variable for name in sorted(map(str, dataset.coords))},
        dataset.attrs,
    )
    ordered.set_close(dataset.close)
    return ordered


def open_dataset(path: str | Path) -> xr.Dataset:
    """Return a dataset backed by its file; numbers are read when they are used.

    Raises
    ------
    StoreError : missing, truncated or not one of our files
    """
    path = Path(path)
    with _readable(path):
        with zipfile.ZipFile(path) as archive:
            archive.infolist()
        zipped = ZipStore(path, mode="r")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=RuntimeWarning)
            dataset = xr.open_zarr(zipped, consolidated=False, chunks=None, zarr_format=3)
        found = in_order(with_texts(dataset))
        found.set_close(zipped.close)
        return found


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into one line with its name and the remedy."""
    try:
        yield
    except FileNotFoundError:
        raise StoreError(f"{path}: missing; run the study again to make it") from None
    except (zipfile.BadZipFile, OSError, KeyError, ValueError) as error:
        raise StoreError(
            f"{path}: not readable ({error}); delete it and run the study again"
        ) from None


def read_rows(path: str | Path, name: str, rows: np.ndarray) -> np.ndarray:
    """Return some rows of one array of numbers of a file, without reading the others.

    Raises
    ------
    StoreError : missing, truncated or not one of our files
    """
    with _readable(Path(path)), ZipStore(path, mode="r") as zipped:
        array = zarr.open_array(zipped, path=name, mode="r", zarr_format=3)
        return np.asarray(array.oindex[rows])


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def record_of(path: str | Path) -> Path:
    """Return the path of the record that belongs to a result file."""
    return Path(path).with_suffix(".json")


def write_record(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write the record of a result file; the last thing written, so it vouches for the rest."""
    with beside(record_of(path)) as temporary:
        temporary.write_text(
            json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def read_record(path: str | Path) -> dict[str, Any]:
    """Return the record of a result file.

    Raises
    ------
    StoreError : no record, or not JSON
    """
    record = record_of(path)
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a mapping")
        return content
    except FileNotFoundError:
        raise StoreError(f"{record}: missing; run the study again to make it") from None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{record}: not readable ({error}); delete it and run the study again"
        ) from None


def write_note(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write one line of JSON that nothing depends on."""
    with beside(Path(path)) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def write_signed(path: str | Path, dataset: xr.Dataset, made_from: Mapping[str, Any]) -> None:
    """Write a dataset, then the record that says what it was made from.

    Parameters
    ----------
    path : of the zip file
    dataset : any labelled dataset
    made_from : digests of its inputs and code by name
    """
    write_record(path, {"sha256": write_dataset(path, dataset), **made_from})


def is_made_from(path: str | Path, **made_from: Any) -> bool:
    """Return whether a file is there, unaltered, and made from just this."""
    try:
        record = check(path)
    except StoreError:
        return False
    return all(record.get(name) == value for name, value in made_from.items())


def check(path: str | Path) -> dict[str, Any]:
    """Return the record of a file whose bytes match it.

    Raises
    ------
    StoreError : missing, or altered since it was written
    """
    record = read_record(path)
    if not Path(path).is_file():
        raise StoreError(f"{path}: missing; run the study again to make it")
    if sha256(path) != record.get("sha256"):
        raise StoreError(
            f"{path}: checksum differs from its record; delete {path} and run the study again"
        )
    return record


def open_checked(path: str | Path) -> xr.Dataset:
    """Return a dataset whose bytes match its record.

    Raises
    ------
    StoreError : missing, or altered since it was written
    """
    check(path)
    return open_dataset(path)


def read_note(path: str | Path) -> dict[str, Any]:
    """Return a note; an absent or half-written one is empty."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
