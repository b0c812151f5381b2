"""One page for many studies: every statement tested, what was expected, what was found.

Green is a verdict that contains or agrees, red one that excludes or disagrees, amber what decides
nothing: too few levels, an interval too wide, no expectation, a study not run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from neurolim import stages
from neurolim.analysis import table_names
from neurolim.tables import write_table

_COLUMNS = (
    "study", "statement", "quantity", "at", "expected", "measured", "low", "high", "constant",
    "colour", "verdict",
)  # fmt: skip
_GREEN, _RED = ("contains", "agrees"), ("excludes", "disagrees")


def colour(verdict: str) -> str:
    """Return "green", "red" or "amber" for a verdict in words."""
    first = verdict.split(":")[0].split(" ")[0]
    return "green" if first in _GREEN else "red" if first in _RED else "amber"


def statements(studies: Iterable[str | Path], results: str | Path) -> pd.DataFrame:
    """Return one row per verdict of the studies' tables, in their order.

    Parameters
    ----------
    studies : study files
    results : folder of their results

    Returns
    -------
    columns study, statement (what the paper claims of the quantity), quantity, at (coordinates of
    the family), expected, measured, low, high (orders, or values; the largest score where a study
    compares with an exact value), constant, colour, verdict.  A study without tables is one amber
    row.

    Raises
    ------
    StudyError : a study file is refused
    """
    rows: list[dict[str, Any]] = []
    for path in studies:
        study = stages.load_study(path)
        found: list[dict[str, Any]] = []
        for table in table_names(study):
            place = stages.folder(study, results) / "tables" / f"{table}.csv"
            if place.is_file():
                frame = pd.read_csv(place)
                if "verdict" in frame:
                    records: list[Any] = frame.to_dict("records")
                    found += [_row(study, row) for row in records]
        if not found:
            blank = {"quantity": "", "at": "", "verdict": "not run"}
            found = [{"study": study.name, "statement": study.title, **blank}]
        rows += found
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    frame["colour"] = [colour(str(verdict)) for verdict in frame["verdict"]]
    return frame


def _row(study: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the page from a row of a table."""
    name, _, at = str(row["quantity"]).partition(" [")
    hope = study.expect.get(name)
    measured = row.get("order", row.get("measured", row.get("largest_z", math.nan)))
    return {
        "study": study.name,
        "statement": (hope.claim if hope else "") or study.title,
        "quantity": name,
        "at": at.rstrip("]"),
        "expected": row.get("expected", math.nan),
        "measured": measured,
        "low": row.get("order_low", row.get("low", math.nan)),
        "high": row.get("order_high", row.get("high", math.nan)),
        "constant": row.get("constant", math.nan),
        "verdict": row["verdict"],
    }


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
    frame = statements(studies, results)
    count = frame["colour"].value_counts()
    words = ", ".join(f"{int(count.get(name, 0))} {name}" for name in ("green", "amber", "red"))
    return write_table(output, frame, "All statements", words)
