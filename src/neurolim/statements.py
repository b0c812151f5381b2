"""One page for many studies: every statement tested, what was expected, what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from neurolim.core import Column, Kind, Row, Table, Verdict
from neurolim.pipeline.outline import stored_tables
from neurolim.pipeline.tables import write_table
from neurolim.sweep.study import load_study

_COLUMNS = (
    Column("study", ""),
    Column("statement", ""),
    Column("measured"),
    Column("low"),
    Column("high"),
    Column("expected"),
)


def statements(studies: Iterable[str | Path], results: str | Path) -> Table:
    """Return one row per verdict of the studies' tables, in their order.

    Parameters
    ----------
    studies : study files
    results : folder of their results

    Returns
    -------
    A study that was not run, or whose tables judge nothing, is one row that is not judged.

    Raises
    ------
    StudyError : a study file is refused
    """
    rows: list[Row] = []
    for path in studies:
        study = load_study(path)
        tables = stored_tables(study, results)
        judged = [row for table in tables for row in table.verdicts]
        if not judged:
            reason = "no table judges it" if tables else "not run"
            judged = [Row({}, Verdict(Kind.NOT_JUDGED, reason=reason))]
        for row in judged:
            hope, verdict = study.expect.get(row.quantity), row.verdict
            assert verdict is not None
            values = {
                "study": study.name,
                "statement": (hope.claim if hope else "") or study.title,
                "measured": verdict.measured,
                "low": verdict.low,
                "high": verdict.high,
                "expected": verdict.expected,
            }
            rows.append(Row(values, verdict, row.label))
    return Table("statements", _COLUMNS, tuple(rows))


def write_statements(studies: Iterable[str | Path], results: str | Path, output: Path) -> Path:
    """Write the page as CSV, HTML and LaTeX beside each other; return the CSV's path.

    Parameters
    ----------
    studies : study files
    results : folder of their results
    output : path of the CSV file

    Raises
    ------
    StudyError : a study file is refused
    """
    table = statements(studies, results)
    kinds = [row.verdict.kind for row in table.verdicts if row.verdict is not None]
    words = ", ".join(f"{kinds.count(kind)} {kind}" for kind in Kind)
    return write_table(output, table, "All statements", words)
