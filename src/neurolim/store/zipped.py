"""Zip files of which every byte is decided by names and contents.

Entries are sorted, uncompressed and dated 1980; there are no comments, extra fields (but for sizes
beyond 4 GiB), links or gaps.  So the same content is the same file, whoever writes it, and a
reader can demand that every byte is what the content makes it: whatever else a zip may do to its
reader (leave its folder, expand without end, link elsewhere) such a file cannot do.

Source: PKWARE APPNOTE 6.3.3, sections 4.3 to 4.5.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from neurolim.core.stored import DEVICE

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_DATE = (0 << 9) | (1 << 5) | 1  # 1980-01-01
_MODE = 0o100644 << 16  # a plain file
_MOST, _MOST_ENTRIES = 0xFFFFFFFF, 0xFFFF
_BLOCK = 2**20
_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*(/[A-Za-z0-9_+][A-Za-z0-9._+-]*)*")


class ZipError(ValueError):
    """A zip that these functions did not write; says where it differs."""


class Entry(NamedTuple):
    """One file in a zip.

    Parameters
    ----------
    name : path with "/" between its parts
    checksum : CRC-32
    size : bytes
    offset : of its header in the zip
    """

    name: str
    checksum: int
    size: int
    offset: int

    @property
    def start(self) -> int:
        """Return where the content starts."""
        return self.offset + len(_local(self))

    @property
    def stop(self) -> int:
        """Return where the content ends."""
        return self.start + self.size


def _local(entry: Entry) -> bytes:
    name, large = entry.name.encode("ascii"), entry.size >= _MOST
    extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.size) if large else b""
    size = _MOST if large else entry.size
    needed = 45 if large else 20
    fields = (needed, 0, 0, 0, _DATE, entry.checksum, size, size, len(name), len(extra))
    return _LOCAL.pack(b"PK\3\4", *fields) + name + extra


def _central(entry: Entry) -> bytes:
    name = entry.name.encode("ascii")
    wide = [value for value in (entry.size, entry.size, entry.offset) if value >= _MOST]
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size, needed = min(entry.size, _MOST), 45 if wide else 20
    sizes = (entry.checksum, size, size, len(name), len(extra))
    version = (3 << 8) | needed
    fields = (version, needed, 0, 0, 0, _DATE, *sizes, 0, 0, 0, _MODE, min(entry.offset, _MOST))
    return _CENTRAL.pack(b"PK\1\2", *fields) + name + extra


def _directory(entries: list[Entry], start: int) -> bytes:
    body = b"".join(_central(entry) for entry in entries)
    count, size = len(entries), len(body)
    tail = b""
    if count >= _MOST_ENTRIES or start >= _MOST or size >= _MOST:
        tail = _END64.pack(b"PK\6\6", 44, (3 << 8) | 45, 45, 0, 0, count, count, size, start)
        tail += _LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    few = min(count, _MOST_ENTRIES)
    end = _END.pack(b"PK\5\6", 0, 0, few, few, min(size, _MOST), min(start, _MOST), 0)
    return body + tail + end


#: What a file in a zip holds: bytes, a path to them, or a function that returns them.
Content = bytes | Path | Callable[[], bytes]


def write_zip(stream: BinaryIO, contents: Iterable[tuple[str, Content]]) -> None:
    """Write files to a zip, sorted by name.

    Parameters
    ----------
    stream : open for writing at its start
    contents : (name, content); a path is read twice, in blocks, and a function called in its turn
    """
    entries: list[Entry] = []
    position = 0
    for name, content in sorted(contents, key=lambda item: item[0]):
        if not _is_name(name):
            raise ZipError(f"not a name for an archive: {name!r}")
        content = content() if callable(content) else content
        checksum = size = 0
        for block in _blocks(content):
            checksum, size = zlib.crc32(block, checksum), size + len(block)
        entry = Entry(name, checksum, size, position)
        stream.write(_local(entry))
        for block in _blocks(content):
            stream.write(block)
        entries.append(entry)
        position = entry.stop
    stream.write(_directory(entries, position))


def _blocks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def _is_name(name: str) -> bool:
    parts = name.split("/")
    return (
        bool(_NAME.fullmatch(name))
        and len(name) <= 240
        and not any(part.endswith(".") or DEVICE.fullmatch(part) for part in parts)
    )


def _claim(name: str, taken: dict[str, str]) -> None:
    """Refuse a name that is a folder elsewhere, or differs from another in capitals only.

    Parameters
    ----------
    name : of an entry
    taken : names so far and their folders, which end with "/", by what they are without capitals
    """
    parts = name.split("/")
    folders = ["/".join(parts[:depth]) + "/" for depth in range(1, len(parts))]
    for path in (*folders, name):
        key = path.rstrip("/").casefold()
        if taken.setdefault(key, path) != path:
            raise ZipError(f"{name}: stands in the way of {taken[key]}")


def entries_of(path: Path) -> list[Entry]:
    """Return the entries of a zip after checking all of its bytes but the contents.

    Raises
    ------
    ZipError : something is not as ``write_zip`` writes it; names the entry
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found, comment = archive.infolist(), archive.comment
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ZipError(f"no zip, truncated or altered at its end ({error})") from None
    if comment:
        raise ZipError("has a comment")
    entries: list[Entry] = []
    taken: dict[str, str] = {}
    with path.open("rb") as stream:
        position = 0
        for info in found:
            _refuse(info)
            _claim(info.filename, taken)
            entry = Entry(info.filename, info.CRC, info.file_size, info.header_offset)
            if entries and entry.name <= entries[-1].name:
                raise ZipError(f"{entry.name}: twice, or out of order")
            header = _local(entry)
            stream.seek(position)
            if entry.offset != position or stream.read(len(header)) != header:
                raise ZipError(f"{entry.name}: its header is altered, or bytes lie before it")
            entries.append(entry)
            position = entry.stop
        stream.seek(position)
        directory = _directory(entries, position)
        # One byte more than expected shows what follows the end.
        if stream.read(len(directory) + 1) != directory:
            raise ZipError("the directory at its end is altered, or does not match the entries")
    return entries


def _refuse(info: zipfile.ZipInfo) -> None:
    """Refuse, by name, what a hostile zip may do to its reader."""
    name, kind = info.filename, info.external_attr >> 28
    shown = name if name.isprintable() else repr(name)
    if info.orig_filename != name or not _is_name(name):
        raise ZipError(f"{shown}: leads out of the archive, or is no plain name")
    if kind == 0o12:
        raise ZipError(f"{shown}: a link")
    if kind not in (0, 0o10):
        raise ZipError(f"{shown}: not a plain file")
    if (info.external_attr >> 16) & 0o111:
        raise ZipError(f"{shown}: an executable file")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise ZipError(f"{shown}: compressed, so its size cannot be trusted")
    if info.flag_bits & 1:
        raise ZipError(f"{shown}: encrypted")


def read_entry(path: Path, entry: Entry, most: int | None = None) -> Iterator[bytes]:
    """Yield the content of an entry in blocks.

    Raises
    ------
    ZipError : longer than ``most`` bytes
    """
    if most is not None and entry.size > most:
        raise ZipError(f"{entry.name}: {entry.size} bytes, more than the {most} expected")
    with path.open("rb") as stream:
        stream.seek(entry.start)
        left = entry.size
        while left and (block := stream.read(min(_BLOCK, left))):
            left -= len(block)
            yield block
