"""What a program opens: the results of a study, in a folder of results or in an archive."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import xarray as xr

from neurolim.archive.reading import Archive
from neurolim.core import StudyError, Table, Verdict
from neurolim.core.arguments import path_named
from neurolim.core.errors import show
from neurolim.pipeline.analyse import read_record_of_pages
from neurolim.pipeline.layout import Layout, Page
from neurolim.pipeline.tables import table_from
from neurolim.store import store

if TYPE_CHECKING:
    import pandas as pd


class _Source(Protocol):
    """Where the results of one study are read from."""

    @property
    def name(self) -> str:
        """Return the name of the study."""

    def dataset(self, part: str) -> xr.Dataset:
        """Return the dataset ``data`` or ``statistics``."""

    def pages(self) -> tuple[Page, ...]:
        """Return the tables and figures that are there."""

    def content(self, page: Page, kind: str) -> bytes:
        """Return a file of a table or figure."""


@dataclass(frozen=True)
class Picture:
    """A figure of a study as it was drawn; notebooks show it.

    Parameters
    ----------
    name : of the figure
    source : where its files are read from
    """

    name: str
    source: _Source

    def content(self, kind: str = "svg") -> bytes:
        """Return the figure as a file: svg, pdf or png.

        Raises
        ------
        StudyError : another kind
        store.StoreError : altered since it was drawn
        """
        page = Page("figures", self.name)
        if kind not in page.file_kinds:
            raise StudyError("kind", f"no figure is a {kind}", page.file_kinds)
        return self.source.content(page, kind)

    def _repr_svg_(self) -> str:
        return self.content("svg").decode("utf-8")


@dataclass(frozen=True)
class StudyResults:
    """The results of one study; numbers are read when they are used.

    Parameters
    ----------
    source : where they are read from
    """

    source: _Source

    @property
    def name(self) -> str:
        """Return the name of the study."""
        return self.source.name

    @cached_property
    def data(self) -> xr.Dataset:
        """Return what the solvers gave, run by run; a run that failed is NaN, ``status`` says why.

        Raises
        ------
        store.StoreError : missing, or altered since it was written
        """
        return self.source.dataset("data")

    @cached_property
    def statistics(self) -> xr.Dataset:
        """Return what the statistics of the study gave.

        Raises
        ------
        store.StoreError : missing, or altered since it was written
        """
        return self.source.dataset("statistics")

    @cached_property
    def judged_tables(self) -> Mapping[str, Table]:
        """Return every table with its units and verdicts, by name.

        Raises
        ------
        store.StoreError : altered since it was written
        """
        return {
            page.name: table_from(self.source.content(page, "json"))
            for page in self.source.pages()
            if page.kind == "tables"
        }

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Return every table as a pandas frame, by name; units are in ``frame.attrs["units"]``.

        Raises
        ------
        store.StoreError : altered since it was written
        """
        import pandas as pd

        frames = {}
        for name, table in self.judged_tables.items():
            frames[name] = pd.DataFrame(list(table.records()), columns=list(table.heads()))
            frames[name].attrs["units"] = {column.name: column.unit for column in table.columns}
        return frames

    @property
    def verdicts(self) -> pd.DataFrame:
        """Return a row per verdict: table, quantity, where, what was measured, what is expected.

        Raises
        ------
        store.StoreError : a table was altered since it was written
        """
        import pandas as pd

        rows = [
            {"table": table.name, "quantity": row.quantity, "at": row.coordinates}
            | asdict(row.verdict)
            | {"kind": str(row.verdict.kind)}
            for table in self.judged_tables.values()
            for row in table.verdicts
            if row.verdict is not None
        ]
        columns = ["table", "quantity", "at", *(field.name for field in fields(Verdict))]
        return pd.DataFrame(rows, columns=columns)

    @property
    def figures(self) -> Mapping[str, Picture]:
        """Return every figure by name."""
        pages = (page for page in self.source.pages() if page.kind == "figures")
        return {page.name: Picture(page.name, self.source) for page in pages}


@dataclass(frozen=True)
class _Folder:
    """The results of a study in a folder; every file is compared with its record.

    Parameters
    ----------
    layout : of the study
    """

    layout: Layout

    @property
    def name(self) -> str:
        return self.layout.study

    def dataset(self, part: str) -> xr.Dataset:
        return store.open_checked(self.layout.home / f"{part}.zip")

    @cached_property
    def _record(self) -> Mapping[str, Mapping[str, object]]:
        return read_record_of_pages(self.layout)

    def pages(self) -> tuple[Page, ...]:
        fine = (key for key, entry in self._record.items() if not entry.get("failed", True))
        made = (key.partition("/") for key in fine)
        return tuple(Page(kind, name) for kind, _, name in made)

    def content(self, page: Page, kind: str) -> bytes:
        path = self.layout.page(page, kind)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise store.StoreError(f"{path}: missing; run the study again to make it") from None
        files = self._record.get(page.key, {}).get("files")
        known = files.get(kind) if isinstance(files, dict) else None
        if hashlib.sha256(content).hexdigest() != known:
            raise store.StoreError(
                f"{path}: checksum differs from its record; run the study again to make it"
            )
        return content


@dataclass(frozen=True)
class _Archived:
    """The results of a study in an archive.

    Parameters
    ----------
    archive : of studies
    name : of the study
    """

    archive: Archive
    name: str

    def dataset(self, part: str) -> xr.Dataset:
        return store.with_texts(self.archive.dataset(part, self.name))

    def pages(self) -> tuple[Page, ...]:
        parts = (Path(name).parts for name in self.archive.entries)
        return tuple(
            Page(part[0], Path(part[2]).stem)
            for part in parts
            if len(part) == 3 and part[1] == self.name and part[2].endswith((".svg", ".csv"))
        )

    def content(self, page: Page, kind: str) -> bytes:
        return self.archive.text(f"{page.kind}/{self.name}/{page.name}.{kind}")


def _within(folder: Path) -> list[Path]:
    """Return what is in a folder."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise StudyError("path", f"{folder}: {error.strerror}", "a folder of results") from None


def open(path: str | Path, study: str | None = None) -> StudyResults:
    """Open the results of a study; numbers are read when they are used.

    Files in a folder are compared with their records as they are read, so what was altered or half
    written is refused; whether they are those of a study as it stands says ``neurolim status``.
    An archive is checked by ``neurolim verify``.

    Parameters
    ----------
    path : the folder of a study, ``results/linear``; a folder of results; or an archive
    study : the name of one where there are several

    Raises
    ------
    StudyError : nothing of neurolim there, several studies, or none of that name
    archive.reading.ArchiveError : no archive of neurolim
    """
    path = path_named("path", path).absolute()
    sources: dict[str, _Source] = {}
    if path.is_file():
        archive = Archive(path)
        parts = (Path(name).parts for name in archive.entries)
        names = sorted({part[1] for part in parts if part[0] == "data" and len(part) > 2})
        sources = {name: _Archived(archive, name) for name in names}
    elif path.is_dir():
        homes = [path] if (path / "data.zip").is_file() else _within(path)
        layouts = [Layout(home.parent, home.name) for home in homes]
        sources = {each.study: _Folder(each) for each in layouts if each.data.is_file()}
    if not sources:
        raise StudyError("path", f"no results in {path}", "the folder of a study, or an archive")
    if not isinstance(study, str | None):
        raise StudyError("study", f"got {show(study)}", sorted(sources))
    if study is None and len(sources) > 1:
        raise StudyError("study", f"{len(sources)} studies in {path}", sorted(sources))
    name = next(iter(sources)) if study is None else study
    if name not in sources:
        raise StudyError("study", f"no study {name} in {path}", sorted(sources))
    return StudyResults(sources[name])
