"""What studies say of the statements they test: the verdicts of all their tables.

Verdicts are read as values from the tables' JSON files; tables that were made from another study,
other code or other data, or were altered, do not count.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neurolim.core import Column, Kind, Row, Table, Verdict
from neurolim.pipeline import stamps
from neurolim.pipeline.analyse import all_pages, current_pages, failures, is_analysed
from neurolim.pipeline.collect import costs_of
from neurolim.pipeline.digests import stage_digests, verdicts_digest
from neurolim.pipeline.layout import Layout, Page, layout_of, verdict_files, verdicts_stamp
from neurolim.pipeline.tables import csv_of, plain, read_table, write_text
from neurolim.store import store
from neurolim.study.read import load_study
from neurolim.study.study import Study

NOT_RUN = "not run"
_LOST = "missing, altered or out of date: run the study again"
_WORDS = ("paper", "statement", "study", "table", "quantity", "at", "claimed", "relation")
_NUMBERS = ("measured", "low", "high", "expected", "tolerance")


@dataclass(frozen=True)
class Outcome:
    """What a study says of its statement.

    Parameters
    ----------
    study : the study
    state : "" where its results are those of the study as it stands, else why they are not
    tables : its tables, as far as they could be made
    pages : tables and figures that people can look at
    failed : tables and figures that people can not look at, by ``Page.key``, each with the reason
    """

    study: Study
    state: str
    tables: tuple[Table, ...] = ()
    pages: tuple[Page, ...] = ()
    failed: Mapping[str, str] | None = None

    @property
    def judged(self) -> tuple[tuple[Table, Row, Verdict], ...]:
        """Return the rows that have a verdict, each with its table."""
        rows = ((table, row, row.verdict) for table in self.tables for row in table.rows)
        return tuple((table, row, verdict) for table, row, verdict in rows if verdict is not None)

    @property
    def silence(self) -> str:
        """Return why there is no verdict, or "" if there is one."""
        if self.judged:
            return ""
        if not self.state and any(key.startswith("tables/") for key in self.failed or ()):
            return "a table could not be made"
        return self.state or self.study.spec.no_verdict or "no table judges it"

    @property
    def kinds(self) -> list[Kind]:
        """Return the kinds of all verdicts; a study without any is not judged."""
        return [verdict.kind for _, _, verdict in self.judged] or [Kind.NOT_JUDGED]


def outcome_of(study: Study, results: str | Path) -> Outcome:
    """Return what the results of a study say of its statement.

    Parameters
    ----------
    study, results : the study and the folder of all results
    """
    layout, digests = layout_of(study, results), stage_digests(study)
    if not is_analysed(layout, digests):
        return Outcome(study, _state(layout))
    wanted = all_pages(study)
    current = current_pages(layout, digests, wanted, check=True)
    tables = tuple(
        read_table(layout.page(page, "json")) for page in current if page.kind == "tables"
    )
    lost = {page.key: _LOST for page in wanted if page not in current}
    failed = {key: why for key, why in failures(layout).items() if key in lost}
    return Outcome(study, "", tables, tuple(current), lost | failed)


def _state(layout: Layout) -> str:
    """Return why nothing of a study can be shown."""
    if not store.record_of(layout.data).is_file():
        return NOT_RUN
    if not store.record_of(layout.statistics).is_file():
        return "not analysed: run it again"
    return "made from another study, code or data: run it again"


def outcomes_of(
    paths: Iterable[str | Path], results: str | Path, tiny: bool = False
) -> list[Outcome]:
    """Return what studies say of their statements, by paper and statement; the nameless come last.

    Parameters
    ----------
    paths : study files
    results : folder of all results
    tiny : the studies at test size

    Raises
    ------
    StudyError : a study file is refused
    """
    outcomes = [outcome_of(load_study(path, tiny=tiny), results) for path in paths]
    return sorted(outcomes, key=lambda outcome: _place(outcome.study))


def _place(study: Study) -> tuple[Any, ...]:
    """Return what studies are sorted by; numbers in words count as numbers."""

    def natural(words: str) -> list[tuple[int, str]]:
        parts = re.split(r"([0-9]+)", words.casefold())
        numbers = [part.lstrip("0") for part in parts]
        return [
            (len(number), number) if part.isdecimal() else (-1, part)
            for part, number in zip(parts, numbers, strict=True)
        ]

    spec = study.spec
    return (not spec.paper, *map(natural, (spec.paper, spec.statement, study.name)))


def write_verdicts(paths: Iterable[str | Path], results: str | Path, tiny: bool = False) -> Path:
    """Write ``verdicts.html``, ``.csv`` and ``.json`` into the results; return the page.

    Parameters
    ----------
    paths : study files
    results : folder of all results
    tiny : the studies at test size

    Raises
    ------
    StudyError : a study file is refused
    """
    from neurolim.pipeline.verdicts_page import page_of

    outcomes = outcomes_of(paths, results, tiny)
    studies = [outcome.study for outcome in outcomes]
    digest = stamps.judged((s.name, verdicts_digest(s), stage_digests(s)) for s in studies)
    page, csv, data = verdict_files(results, tiny)
    costs = {o.study.name: _core_seconds(layout_of(o.study, results), o.study) for o in outcomes}
    write_text(csv, verdicts_csv(outcomes))
    write_text(data, verdicts_json(outcomes))
    write_text(page, page_of(outcomes, _beside, costs))
    with store.beside(verdicts_stamp(results, tiny, digest)):
        pass
    return page


def _beside(study: Study, page: Page) -> str:
    """Return where a table or figure lies as seen from the page of verdicts."""
    layout = layout_of(study, "")
    return layout.page(page, page.file_kinds[0]).relative_to(layout.folder).as_posix()


def _core_seconds(layout: Layout, study: Study) -> float:
    """Return what the runs of a study took; NaN where no chunk has a note."""
    whole = costs_of(study, layout).rows[0].values
    return float(whole["solving"]) or math.nan


def verdicts_csv(outcomes: Iterable[Outcome]) -> str:
    """Return a row per verdict, and a row per study that has none."""
    rows = []
    for outcome in outcomes:
        study, spec = outcome.study, outcome.study.spec
        subject = {"paper": spec.paper, "statement": spec.statement, "study": study.name}
        empty = dict.fromkeys(_WORDS, "") | dict.fromkeys(_NUMBERS, math.nan)
        for table, row, verdict in outcome.judged:
            words = {
                "table": table.name,
                "quantity": row.quantity,
                "at": row.coordinates,
                "claimed": claimed(study, row),
                "relation": verdict.relation,
            }
            numbers = {name: getattr(verdict, name) for name in _NUMBERS}
            rows.append(Row({**subject, **words, **numbers}, verdict))
        if outcome.silence:
            rows.append(Row(empty | subject, Verdict(Kind.NOT_JUDGED, reason=outcome.silence)))
    columns = [Column(name, "") for name in _WORDS] + [Column(name) for name in _NUMBERS]
    return csv_of(Table("verdicts", tuple(columns), tuple(rows)))


def claimed(study: Study, row: Row) -> str:
    """Return what a study says that its paper claims of the quantity of a row."""
    expectation = study.spec.expect.get(row.quantity)
    return expectation.claim if expectation else ""


def verdicts_json(outcomes: Iterable[Outcome]) -> str:
    """Return all of every verdict by study, and how many there are of each kind."""
    outcomes = list(outcomes)
    kinds = [kind for outcome in outcomes for kind in outcome.kinds]
    stored = {
        "counts": {str(kind): kinds.count(kind) for kind in Kind},
        "studies": [_stored(outcome) for outcome in outcomes],
    }
    return json.dumps(stored, indent=1) + "\n"


def _stored(outcome: Outcome) -> dict[str, Any]:
    study = outcome.study
    words = {name: getattr(study.spec, name) for name in ("title", "paper", "statement", "claim")}
    return {
        "study": study.name,
        **words,
        "no_verdict": outcome.silence,
        "failed": dict(outcome.failed or {}),
        "verdicts": [
            {
                "table": table.name,
                "quantity": row.quantity,
                "at": plain(row.at),
                "claimed": claimed(study, row),
                **plain(asdict(verdict)),
            }
            for table, row, verdict in outcome.judged
        ],
    }
