"""Where everything of a study lies: the one home of every path in a results folder.

In the folder of results:

    <study>/chunks/<digest>.zip, .json, .cost    a block of runs, its record, what it took
    <study>/data.zip, .json                  the dataset, and its record
    <study>/statistics.zip, .json            its statistics, and their record
    <study>/collection.json                  the record of the table of failures
    <study>/analysis.json                    the record of all other tables and figures
    <study>/tables/<name>.csv, ...           <study>/figures/<name>.svg, ...
    <study>/costs.html                       <study>/logs/<stage>.log
    <study>/report.html                      of a run of this study alone
    <study>/made/<stage>-<digest>            what the files of a stage were made from
    verdicts.html, .csv, .json               what all studies of a run say of their statements
    report.html                              of a run of several studies
    made/verdicts-<digest>                   what the verdicts of some studies were made from
    tiny/                                    the same of studies at test size
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurolim.core import StudyError
from neurolim.study.study import Study

_PAIR = ("zip", "json")


#: Kinds of files that a table and a figure are written as; people look at the first.
_KINDS = {"tables": ("html", "csv", "json", "tex"), "figures": ("svg", "pdf", "png")}


@dataclass(frozen=True)
class Page:
    """A table or a figure of a study.

    Parameters
    ----------
    kind : tables or figures
    name : of the table or figure
    """

    kind: str
    name: str

    @property
    def key(self) -> str:
        """Return its name in records: ``figures/rate_plot``."""
        return f"{self.kind}/{self.name}"

    @property
    def file_kinds(self) -> tuple[str, ...]:
        """Return the kinds of files it is written as, what people look at first."""
        return _KINDS[self.kind]


def results_folder(given: object, file: str = "") -> str:
    """Return the folder of all results that somebody names, ``~`` being their home.

    Raises
    ------
    StudyError : no text, or a name that the workflow would take for a pattern
    """
    if not isinstance(given, str) or not given.strip() or "\0" in given:
        raise StudyError("results", f"got {given!r}", "the name of a folder, in quotes", file)
    if any(mark in given for mark in "{}\n"):
        problem = f"{given!r} has braces or line breaks, which mean something in a workflow"
        raise StudyError("results", problem, "a folder without them", file)
    return os.path.expanduser(given)


def folder(results: str | Path, tiny: bool) -> Path:
    """Return the folder of all studies of one size in the folder of all results."""
    return Path(results) / "tiny" if tiny else Path(results)


def verdict_files(results: str | Path, tiny: bool = False) -> tuple[Path, ...]:
    """Return the files of the verdicts of all studies, what people look at first."""
    return tuple(folder(results, tiny) / f"verdicts.{kind}" for kind in ("html", "csv", "json"))


def report_file(home: Path, studies: Sequence[str]) -> Path:
    """Return where the report of a run lies: of one study beside its results.

    There no run of other studies replaces it.

    Parameters
    ----------
    home : folder of all studies of one size
    studies : names of those that were run together
    """
    return (home / studies[0] if len(studies) == 1 else home) / "report.html"


def verdicts_stamp(results: str | Path, tiny: bool, digest: str) -> Path:
    """Return the empty file that says what the verdicts of some studies were made from."""
    return folder(results, tiny) / "made" / f"verdicts-{digest}"


def layout_of(study: Study, results: str | Path) -> Layout:
    """Return where the results of a study lie in the folder of all results."""
    return Layout(folder(results, study.tiny), study.name)


@dataclass(frozen=True)
class Layout:
    """The paths of one study's results.

    Parameters
    ----------
    folder : of all studies of its size
    study : name of the study
    """

    folder: Path
    study: str

    @property
    def home(self) -> Path:
        """Return the folder of the study."""
        return self.folder / self.study

    def chunk(self, name: str) -> Path:
        """Return the file of a chunk, which is named by the digest of what it is made from."""
        return self.home / "chunks" / f"{name}.zip"

    @property
    def data(self) -> Path:
        """Return the file of the dataset."""
        return self.home / "data.zip"

    @property
    def statistics(self) -> Path:
        """Return the file of the statistics."""
        return self.home / "statistics.zip"

    @property
    def analysis(self) -> Path:
        """Return the record of tables and figures."""
        return self.home / "analysis.json"

    @property
    def collection(self) -> Path:
        """Return the record of the table of failures."""
        return self.home / "collection.json"

    @property
    def costs(self) -> Path:
        """Return the page of costs."""
        return self.home / "costs.html"

    def page(self, page: Page, kind: str) -> Path:
        """Return a file of a table or figure."""
        return self.home / page.kind / f"{page.name}.{kind}"

    def files_of(self, page: Page) -> tuple[Path, ...]:
        """Return all files of a table or figure."""
        return tuple(self.page(page, kind) for kind in page.file_kinds)

    def stamp(self, stage: str, digest: str) -> Path:
        """Return the empty file that says what a stage was made from."""
        return self.home / "made" / f"{stage}-{digest}"

    def log(self, stage: str) -> Path:
        """Return the log of a job."""
        return self.home / "logs" / f"{stage}.log"

    def every_file(self, chunks: Iterable[str], pages: tuple[Page, ...]) -> Iterator[Path]:
        """Yield every file that a full run leaves, but logs and costs of chunks."""
        for name in chunks:
            yield from (self.chunk(name).with_suffix(f".{kind}") for kind in _PAIR)
        for path in (self.data, self.statistics):
            yield from (path.with_suffix(f".{kind}") for kind in _PAIR)
        yield self.costs
        yield self.collection
        yield self.analysis
        for page in pages:
            yield from self.files_of(page)
