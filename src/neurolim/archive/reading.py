"""An archive as it is read: nothing of it is believed, and nothing in it runs."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from zarr.storage import ZipStore

from neurolim.archive import harmless
from neurolim.store import store
from neurolim.store.zipped import ZipError, entries_of, read_entry

#: A text of an archive that is longer is no text of ours.
_MOST_TEXT = 2**26


class ArchiveError(RuntimeError):
    """An archive that is altered, incomplete, dangerous or does not come again; a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        # The text of an archive may hold what steers a terminal.
        self.problems = tuple(
            "".join(sign if sign.isprintable() else "?" for sign in line) for line in problems
        )
        super().__init__("\n".join(self.problems))


class Archive:
    """The entries of an archive by name.

    Parameters
    ----------
    path : of the zip

    Raises
    ------
    ArchiveError : no file, or no zip as neurolim writes it
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.entries = {entry.name: entry for entry in entries_of(self.path)}
        except FileNotFoundError:
            raise ArchiveError([f"{path}: missing"]) from None
        except (ZipError, OSError) as error:
            raise ArchiveError([f"{path}: {error}"]) from None

    def __contains__(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return name in self.entries

    def blocks(self, name: str, most: int | None = None) -> Iterator[bytes]:
        """Yield a file block by block.

        Parameters
        ----------
        name : of the file
        most : bytes; a longer file is refused

        Raises
        ------
        ZipError : altered, or longer
        """
        return read_entry(self.path, self.entries[name], most)

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file."""
        digest = hashlib.sha256()
        for block in self.blocks(name):
            digest.update(block)
        return digest.hexdigest()

    def text(self, name: str) -> bytes:
        """Return the content of a file that is not too long to be a text.

        Raises
        ------
        ArchiveError : not there, altered, or too long
        """
        if name not in self.entries:
            raise ArchiveError([f"{name}: not in the archive"])
        try:
            return b"".join(self.blocks(name, _MOST_TEXT))
        except ZipError as error:
            raise ArchiveError([str(error)]) from None

    def json(self, name: str) -> dict[str, Any]:
        """Return the mapping in a JSON file.

        Raises
        ------
        ArchiveError : as ``text``, and what is no mapping
        """
        try:
            mapping = json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise ArchiveError([f"{name}: not JSON ({error})"]) from None
        if not isinstance(mapping, dict):
            raise ArchiveError([f"{name}: not a mapping"])
        return mapping

    def start(self, name: str, most: int) -> bytes:
        """Return the first bytes of a file."""
        return next(self.blocks(name), b"")[:most]

    def extract(self, folder: Path, parts: tuple[str, ...]) -> None:
        """Write the files whose names begin with one of ``parts``; their names stay inside."""
        for name in self.entries:
            if name.startswith(parts):
                copy = folder / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                with copy.open("wb") as stream:
                    stream.writelines(self.blocks(name, _MOST_TEXT))

    def dataset(self, part: str, study: str) -> xr.Dataset:
        """Return a dataset straight from the zip; numbers are read when used.

        Parameters
        ----------
        part : data or statistics
        study : its name
        """
        zipped = ZipStore(self.path, mode="r")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=RuntimeWarning)
            dataset = xr.open_zarr(
                zipped, group=f"{part}/{study}", consolidated=False, chunks=None, zarr_format=3
            )
        dataset.set_close(zipped.close)
        return store.in_order(dataset)

    def arrays(self, group: str) -> Iterator[tuple[str, harmless.Array]]:
        """Yield (name, description) of the arrays of a group."""
        for name in self.entries:
            home, _, base = name.rpartition("/")
            if base == "zarr.json" and home.startswith(f"{group}/"):
                yield home, harmless.described(name, self.text(name))
