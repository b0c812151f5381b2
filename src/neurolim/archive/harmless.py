"""What every file of an archive must be so that reading it runs and loads nothing.

Names have their places (``contents.has_place``); this is about what is inside: text that is text,
pictures that are pictures, arrays of plain numbers that expand to what they say.  What a page or
picture shows, and that it runs nothing, is known once it was made again (``again.remake``).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: Bytes of the largest piece of an array; written are pieces of 16 MiB at most.
_MOST_PIECE = 2**25
#: How files begin whose kind is not text.
BEGINNINGS = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-1.", ".nc": b"CDF"}
#: So many bytes of them tell their kind.
FIRST = 16


def problems(name: str, content: bytes) -> Iterator[str]:
    """Yield what is wrong with a file that is no part of an array.

    Parameters
    ----------
    name : its path in the archive
    content : all of it; of kinds with a beginning of their own the first bytes will do
    """
    suffix = Path(name).suffix
    if suffix in BEGINNINGS:
        if not content.startswith(BEGINNINGS[suffix]):
            yield f"{name}: is not what its name says"
        return
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        yield f"{name}: is no text in UTF-8"
        return
    if "\0" in text:
        yield f"{name}: is no text"
    if suffix == ".json":
        try:
            mapping = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield f"{name}: not JSON ({error})"
        else:
            if not isinstance(mapping, dict):
                yield f"{name}: not a mapping"


class _Strict(BaseModel):
    """A part of the description of an array: as zarr 3 says, and nothing more."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Lengths(_Strict):
    chunk_shape: list[Annotated[int, Field(ge=1)]]


class _Pieces(_Strict):
    name: Literal["regular"]
    configuration: _Lengths


class _Separator(_Strict):
    separator: Literal["/"]


class _Keys(_Strict):
    name: Literal["default"]
    configuration: _Separator


class _Order(_Strict):
    endian: Literal["little"]


class _Bytes(_Strict):
    name: Literal["bytes"]
    configuration: _Order | None = None


class _Level(_Strict):
    level: int
    checksum: Literal[False]


class _Zstd(_Strict):
    name: Literal["zstd"]
    configuration: _Level


class Array(_Strict):
    """An array of plain numbers in pieces that only zstd has made smaller: its ``zarr.json``."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: list[Annotated[int, Field(ge=0)]]
    data_type: Literal[
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64",
    ]  # fmt: skip
    chunk_grid: _Pieces
    chunk_key_encoding: _Keys
    fill_value: bool | int | float | str
    codecs: tuple[_Bytes, _Zstd]
    attributes: dict[str, Any]
    dimension_names: list[str] = []
    storage_transformers: Annotated[list[Any], Field(max_length=0)] = []

    @property
    def lengths(self) -> list[int]:
        """Return the lengths of a piece."""
        return self.chunk_grid.configuration.chunk_shape

    @property
    def piece(self) -> int:
        """Return the bytes of a piece once expanded."""
        return math.prod(self.lengths) * np.dtype(self.data_type).itemsize

    @property
    def counts(self) -> list[int]:
        """Return how many pieces there are along every dimension."""
        return [-(-n // m) for n, m in zip(self.shape, self.lengths, strict=True)]


class _Group(_Strict):
    zarr_format: Literal[3]
    node_type: Literal["group"]
    attributes: dict[str, Any]


def described(name: str, content: bytes) -> Array:
    """Return the description of an array.

    Raises
    ------
    ValueError : it is none, or asks for something else than plain numbers; one line
    """
    try:
        array = Array.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{name}: {place}: {first['msg']}") from None
    if not len(array.lengths) == len(array.shape) == len(array.dimension_names):
        raise ValueError(f"{name}: shape, names and pieces have different numbers of dimensions")
    if array.piece > _MOST_PIECE:
        raise ValueError(f"{name}: pieces of {array.piece} bytes, more than {_MOST_PIECE}")
    return array


def odd_arrays(names: Collection[str], read: Callable[[str, int | None], bytes]) -> Iterator[str]:
    """Yield what is wrong with the arrays of an archive: their descriptions and their pieces.

    Parameters
    ----------
    names : of all files
    read : from a name and a number of bytes (None: all) to the beginning of a file
    """
    pieces = {n for n in names if n.startswith(("data/", "statistics/"))}
    for name in sorted(n for n in pieces if n.endswith("/zarr.json")):
        pieces.remove(name)
        home = name.removesuffix("/zarr.json")
        if home.count("/") == 1:
            try:
                _Group.model_validate_json(read(name, None))
            except ValidationError:
                yield f"{name}: describes no zarr 3 group"
            continue
        try:
            array = described(name, read(name, None))
        except ValueError as error:
            yield str(error)
            continue
        if math.prod(array.counts) > len(names):
            yield f"{name}: has more pieces than there are files"
            continue
        for place in itertools.product(*map(range, array.counts)):
            key = "/".join([home, "c", *map(str, place)])
            if key not in pieces:
                yield f"{key}: not in the archive"
                break
            pieces.remove(key)
            # A piece that says how large it will be cannot become larger.
            if _expanded(read(key, 18)) != array.piece:
                yield f"{key}: does not expand to the {array.piece} bytes of a piece"
    for name in sorted(pieces):
        yield f"{name}: belongs to no array"


def _expanded(start: bytes) -> int:
    """Return the size that a zstd frame says it has once expanded; -1 if it does not say.

    Source: RFC 8878, section 3.1.1.1.
    """
    if len(start) < 6 or start[:4] != b"\x28\xb5\x2f\xfd":
        return -1
    flags = start[4]
    single, width = flags >> 5 & 1, (0, 2, 4, 8)[flags >> 6]
    if flags >> 6 == 0 and single:
        width = 1
    if not width or flags & 0b1011:
        return -1
    place = 5 if single else 6
    return int.from_bytes(start[place : place + width], "little") + (256 if width == 2 else 0)
