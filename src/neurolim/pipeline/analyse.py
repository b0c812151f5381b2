"""From the dataset of a study to its statistics, tables and figures, all in one job.

Only what its record says is missing is made.  A table or figure that cannot be made is a
placeholder that names the error, its record says so, and the others are made all the same.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import xarray as xr

from neurolim import provenance
from neurolim.core import Column, Row, StudyError, Table
from neurolim.pipeline import stamps
from neurolim.pipeline.collect import RUNS, page_record
from neurolim.pipeline.digests import digest_of, stage_digests
from neurolim.pipeline.layout import Layout, Page, layout_of
from neurolim.pipeline.results import figure_of, statistics_of, tables_of
from neurolim.store import store
from neurolim.study.study import Study


def pages_of(study: Study) -> tuple[Page, ...]:
    """Return the tables and figures that the statistics and figures of a study make."""
    tables = [Page("tables", name) for each in study.statistics for name in each.tables]
    return (*tables, *(Page("figures", figure.name) for figure in study.figures))


def all_pages(study: Study) -> tuple[Page, ...]:
    """Return all tables and figures of a study, with the table ``runs``."""
    return (RUNS, *pages_of(study))


def analyse(
    study: Study, results: str | Path, progress: Callable[[int, int], None] = lambda done, all: None
) -> Path:
    """Make statistics, tables and figures of a study where they are missing or of something else.

    Parameters
    ----------
    study, results : the study and the folder of all results
    progress : called with (pages done, pages in all)

    Returns
    -------
    the record of tables and figures, ``analysis.json``

    Raises
    ------
    StudyError : more failed runs than the study allows
    store.StoreError : the dataset is missing, altered, or was made from another study or code
    """
    layout, digests = layout_of(study, results), stage_digests(study)
    stamp = stamps.analysed(study, attempts(layout))
    source = _reduce(study, layout, digests)
    bench, before = _Bench(study, layout), read_analysis(layout)
    pages = pages_of(study)
    record: dict[str, Any] = {}
    for done, page in enumerate(pages):
        entry = before.get(page.key, {})
        wanted = {"digest": digests[page.key], "source": source}
        if not _is_current(entry, wanted, layout, page, check=True):
            failed = bench.make(page)
            attempt = int(entry.get("attempt", 0)) + 1 if failed else 0
            entry = page_record(layout, page, wanted) | {"failed": failed, "attempt": attempt}
        record[page.key] = entry
        # What is done is known should this process be killed.
        store.write_note(layout.analysis, before | record)
        progress(done + 1, len(pages))
    store.write_note(layout.analysis, record)
    # Once all is made, nothing is to be tried again.
    whole = [] if failures(layout) else [stamps.analysed(study, {})]
    stamps.leave(layout, stamps.ANALYSE, stamp, *whole)
    return layout.analysis


def read_analysis(layout: Layout) -> dict[str, Any]:
    """Return the record of tables and figures, empty if there is none that can be read."""
    return _read(layout.analysis)


def read_record_of_pages(layout: Layout) -> dict[str, Any]:
    """Return the record of all tables and figures, with the table ``runs``."""
    return _read(layout.collection) | read_analysis(layout)


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    entries = record.items() if isinstance(record, dict) else ()
    return {key: entry for key, entry in entries if isinstance(entry, dict)}


def failures(layout: Layout) -> dict[str, str]:
    """Return the tables and figures that could not be made, each with the error."""
    return {
        key: str(entry["failed"])
        for key, entry in read_analysis(layout).items()
        if entry.get("failed")
    }


def attempts(layout: Layout) -> dict[str, int]:
    """Return how often in a row each table or figure could not be made."""
    record = read_analysis(layout)
    return {key: int(record[key].get("attempt", 1)) for key in failures(layout)}


def is_analysed(layout: Layout, digests: Mapping[str, str]) -> bool:
    """Return whether dataset and statistics say that they are made from the study as it stands.

    Parameters
    ----------
    layout, digests : of the study, ``stage_digests``
    """
    if not (is_collected(layout, digests) and _says(layout.statistics, digests["reduce"])):
        return False
    data = store.read_record(layout.data).get("sha256")
    return bool(data == store.read_record(layout.statistics).get("data"))


def is_collected(layout: Layout, digests: Mapping[str, str]) -> bool:
    """Return whether the dataset says that it is made from the study as it stands."""
    return _says(layout.data, digests["collect"])


def _says(path: Path, digest: str) -> bool:
    try:
        return store.read_record(path).get("digest") == digest
    except store.StoreError:
        return False


def current_pages(
    layout: Layout, digests: Mapping[str, str], pages: tuple[Page, ...], check: bool = False
) -> list[Page]:
    """Return the tables and figures that belong to the study and its statistics as they stand.

    Parameters
    ----------
    layout, digests : of the study, ``stage_digests``
    pages : the tables and figures asked for
    check : compare every file with its checksum
    """
    if not is_collected(layout, digests):
        return []
    record = _read(layout.collection)
    sources = {RUNS.key: str(store.read_record(layout.data).get("sha256"))}
    if is_analysed(layout, digests):
        record |= read_analysis(layout)
        sources |= dict.fromkeys((page.key for page in pages if page != RUNS), _source(layout))
    return [
        page
        for page in pages
        if page.key in sources
        and _is_current(
            record.get(page.key, {}),
            {"digest": digests[page.key], "source": sources[page.key]},
            layout,
            page,
            check,
        )
    ]


def _is_current(
    entry: Mapping[str, Any],
    wanted: Mapping[str, str],
    layout: Layout,
    page: Page,
    check: bool,
) -> bool:
    """Return whether a page was made well from what is there, and lies there unaltered."""
    if entry.get("failed", True) or any(entry.get(name) != value for name, value in wanted.items()):
        return False
    files: Mapping[str, str] = entry.get("files", {})
    for path in layout.files_of(page):
        if not path.is_file() or (check and store.sha256(path) != files.get(path.suffix[1:])):
            return False
    return True


def _reduce(study: Study, layout: Layout, digests: Mapping[str, str]) -> str:
    """Make the statistics if they are not there; return what tables and figures are made from."""
    made_from = {"digest": digests["reduce"], "data": _checked_data(study, layout)}
    if not store.is_made_from(layout.statistics, **made_from):
        store.write_signed(
            layout.statistics,
            statistics_of(study, store.open_checked(layout.data)),
            made_from | {"software": provenance.software()},
        )
    return _source(layout)


def _source(layout: Layout) -> str:
    """Return the digest of the dataset and the statistics that lie there."""
    return digest_of(
        [store.read_record(path).get("sha256") for path in (layout.data, layout.statistics)]
    )


def _checked_data(study: Study, layout: Layout) -> str:
    """Return the checksum of the dataset of a study.

    Raises
    ------
    store.StoreError : missing, or made from something else
    """
    record = store.read_record(layout.data)
    if record.get("digest") != stage_digests(study)["collect"]:
        raise store.StoreError(
            f"{layout.data}: made from another study, other code or other data; delete it and run "
            "the study again"
        )
    return str(record.get("sha256"))


class _Bench:
    """Makes tables and figures of one study; data are read when the first one needs them."""

    def __init__(self, study: Study, layout: Layout) -> None:
        self._study, self._layout = study, layout
        self._judged: dict[str, dict[str, Table]] = {}

    @cached_property
    def _data(self) -> xr.Dataset:
        return store.open_checked(self._layout.data)

    @cached_property
    def _statistics(self) -> xr.Dataset:
        return store.open_checked(self._layout.statistics)

    def _table(self, name: str) -> Table:
        """Return a table; a statistic judges once for all of its tables."""
        statistic = next(each for each in self._study.statistics if name in each.tables)
        if statistic.label not in self._judged:
            self._judged[statistic.label] = tables_of(self._study, statistic, self._statistics)
        return self._judged[statistic.label][name]

    def make(self, page: Page) -> str:
        """Make a table or figure, or its placeholder; return the error, "" if all went well."""
        try:
            if page.kind == "tables":
                self._write(page, self._table(page.name))
            else:
                picture = figure_of(self._study, page.name, self._data, self._statistics)
                self._save(page, picture)
        except store.StoreError:
            raise
        except OSError as error:
            # A full disk would not hold a placeholder either.
            path = Path(error.filename2 or self._layout.files_of(page)[0])
            raise store.unwritable(path, error) from None
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            failed = str(error) if isinstance(error, StudyError) else repr(error)
        else:
            return ""
        if page.kind == "tables":
            self._write(page, Table(page.name, (Column("error", ""),), (Row({"error": failed}),)))
        else:
            from neurolim.figures.parts.style import placeholder

            self._save(page, placeholder(failed))
        return failed

    def _write(self, page: Page, table: Table) -> None:
        from neurolim.pipeline.tables import write_table

        path = self._layout.page(page, "csv")
        write_table(path, table, self._study.spec.title, self._study.spec.cited_claim)

    def _save(self, page: Page, picture: Any) -> None:
        from neurolim.figures.parts.style import save

        save(picture, self._layout.page(page, "svg").with_suffix(""))
