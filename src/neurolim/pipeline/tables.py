"""Tables as files: CSV and JSON for machines, HTML for the report, LaTeX for papers."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurolim.core import Column, Kind, Row, Table, Verdict
from neurolim.pipeline import escapes
from neurolim.store import store

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 1.5rem; }
h1 { font-size: 1.15rem; margin: 0 0 .3rem; }
p { margin: .2rem 0 1rem; max-width: 60rem; color: #444; }
table { border-collapse: collapse; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid #222; }
th, td { padding: .3rem .8rem .3rem 0; vertical-align: top; }
td { border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
td.number { text-align: right; }
td:first-child { white-space: nowrap; }
td.agrees { color: #1a7a3c; }
td.undecided, td.not-judged { color: #a87400; }
td.disagrees { color: #a33d00; }
"""


def write_table(path: Path, table: Table, title: str, claim: str) -> Path:
    """Write a table as ``.csv``, ``.json``, ``.html`` and ``.tex``; return the CSV's path.

    CSV and JSON hold full precision, and the JSON file all of every verdict; HTML and LaTeX show
    each column's significant digits.

    Parameters
    ----------
    path : of the CSV file
    table : what is written
    title, claim : of the study, shown above the HTML table and as the LaTeX caption
    """
    write_text(path.with_suffix(".html"), _html(table, title, claim))
    write_text(path.with_suffix(".tex"), _latex(table, title))
    write_text(path.with_suffix(".json"), _json(table))
    write_text(path, csv_of(table))
    return path


def write_page(path: Path, table: Table, title: str, words: str) -> Path:
    """Write a table as an HTML page only; return its path.

    Parameters
    ----------
    path : of the page
    table : what is written
    title, words : shown above it
    """
    write_text(path, _html(table, title, words))
    return path


def read_table(path: Path) -> Table:
    """Return a table as it was written.

    Parameters
    ----------
    path : of the JSON file

    Raises
    ------
    ValueError : no file of a table
    """
    try:
        return table_from(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def table_from(content: bytes) -> Table:
    """Return the table in a JSON file.

    Parameters
    ----------
    content : of the file

    Raises
    ------
    ValueError : no table
    """
    try:
        stored = json.loads(content)
        return Table(
            stored["name"],
            tuple(Column(**column) for column in stored["columns"]),
            tuple(_row(row) for row in stored["rows"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no table of neurolim: {error}") from None


def write_text(path: Path, text: str) -> None:
    """Write a text beside its file, then rename it, so that no half of it is ever seen."""
    with store.beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def csv_of(table: Table) -> str:
    """Return a table as CSV: what is missing is empty, and no word is a formula."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(_cell, table.heads()))
    for record in table.records():
        writer.writerow(map(_cell, record.values()))
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return ""
    return escapes.cell(value) if isinstance(value, str) else value


def _json(table: Table) -> str:
    stored = {
        "name": table.name,
        "columns": [asdict(column) for column in table.columns],
        "rows": [
            {
                "quantity": row.quantity,
                "at": plain(row.at),
                "values": plain(row.values),
                "verdict": None if row.verdict is None else plain(asdict(row.verdict)),
            }
            for row in table.rows
        ],
    }
    return json.dumps(stored, indent=1, ensure_ascii=False) + "\n"


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them: no NaN, and infinity as a word."""
    return {
        name: (None if math.isnan(value) else str(value))
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in values.items()
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``plain`` made JSON of."""
    infinite = {"inf": math.inf, "-inf": -math.inf}
    return {
        name: math.nan if value is None else infinite.get(value, value)
        for name, value in values.items()
    }


def _row(stored: Mapping[str, Any]) -> Row:
    verdict = stored["verdict"]
    if verdict is not None:
        verdict = Verdict(**_numbers(verdict) | {"kind": Kind(verdict["kind"])})
    return Row(_numbers(stored["values"]), verdict, stored["quantity"], _numbers(stored["at"]))


def _styled(table: Table, escape: Callable[[str], str]) -> tuple[Styler, pd.DataFrame, list[bool]]:
    """Return a table as readers see it, its cells, and which of its columns are numbers."""
    import pandas as pd
    from pandas.io.formats.style import Styler

    heads, columns = table.heads(), {column.name: column for column in table.columns}
    records = list(table.records())
    numeric = [
        name != "verdict" and not any(isinstance(record[name], str) for record in records)
        for name in heads
    ]
    cells = [
        [_shown(record, columns.get(name, Column(name))) for name in heads] for record in records
    ]
    names = pd.Index([_head(name, columns.get(name)) for name in heads])
    frame = pd.DataFrame(cells, columns=names, dtype=object)
    styler = Styler(frame, uuid=table.name, cell_ids=False).hide(axis="index")

    def escaped(shown: object) -> str:
        return escape(str(shown))

    styler = styler.format(escaped).format_index(escaped, axis="columns")
    return styler, frame, numeric


def _head(name: str, column: Column | None) -> str:
    unit = column.unit if column else "1"
    return name.replace("_", " ") + (f" [{unit}]" if unit not in ("1", "") else "")


def _shown(record: Mapping[str, Any], column: Column) -> str:
    """Return a cell as readers see it: to the digits that its error leaves, or to its own."""
    value = record[column.name]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    error = record[column.error] if column.error else math.nan
    if math.isfinite(value) and math.isfinite(error) and 0.0 < error < abs(value):
        # Two digits of the error are known.
        digits = 2 + math.floor(math.log10(abs(value))) - math.floor(math.log10(error))
        return f"{value:.{min(digits, 15)}g}"
    return f"{value:.{column.digits}g}"


def _html(table: Table, title: str, claim: str) -> str:
    import pandas as pd

    styler, cells, numeric = _styled(table, escapes.html)
    classes = pd.DataFrame("", index=cells.index, columns=cells.columns)
    for column, name in enumerate(table.heads()):
        if name == "verdict":
            kinds = [str(value).replace(" ", "-") for value in cells.iloc[:, column]]
            classes.isetitem(column, kinds)
        elif numeric[column]:
            classes.isetitem(column, "number")
    body = styler.set_td_classes(classes).to_html(bold_headers=False)
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        f"<title>{escapes.html(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{escapes.html(title)}</h1>\n<p>{escapes.html(claim)}</p>\n{body}</body></html>\n"
    )


def _latex(table: Table, title: str) -> str:
    styler, _, numeric = _styled(table, escapes.tex)
    layout = "".join("r" if number else "l" for number in numeric)
    return styler.to_latex(hrules=True, column_format=layout, caption=escapes.tex(title))
