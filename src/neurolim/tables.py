"""Tables as people read them: CSV for machines, HTML for the report, LaTeX for papers."""

from __future__ import annotations

import html
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 1.5rem; }
h1 { font-size: 1.15rem; margin: 0 0 .3rem; }
p { margin: .2rem 0 1rem; max-width: 60rem; color: #444; }
table { border-collapse: collapse; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid #222; }
th, td { padding: .3rem .8rem .3rem 0; vertical-align: top; }
td { border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
td.number, th.number { text-align: right; }
td.contains, td.agrees { color: #1a7a3c; }
td.inconclusive, td.not { color: #a87400; }
td:first-child { white-space: nowrap; }
td.excludes, td.disagrees { color: #a33d00; }
"""
#: LaTeX's special characters.
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def write_table(path: Path, frame: pd.DataFrame, title: str, claim: str) -> Path:
    """Write a table as ``.csv``, ``.html`` and ``.tex``; return the CSV's path.

    The CSV holds full precision; HTML and LaTeX show four significant digits.

    Parameters
    ----------
    path : of the CSV file
    frame : the table
    title, claim : of the study, shown above the HTML table and as the LaTeX caption
    """
    _write(path.with_suffix(".html"), _html(frame, title, claim))
    _write(path.with_suffix(".tex"), _latex(frame, title))
    _write(path, frame.to_csv(index=False, lineterminator="\n"))
    return path


def write_page(path: Path, frame: pd.DataFrame, title: str, words: str) -> Path:
    """Write a table as an HTML page only; return its path.

    Parameters
    ----------
    path : of the page
    frame : the table
    title, words : shown above it
    """
    _write(path, _html(frame, title, words))
    return path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if math.isnan(value):
            return "-"
        return f"{value:.4g}"
    return str(value)


def _is_number(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column)) and column.dtype != bool


def _class(column: str, value: Any, number: bool) -> str:
    """Return the class of a cell: numbers stand to the right, verdicts have colours."""
    if column == "verdict":
        return f' class="{html.escape(str(value).split(" ")[0].rstrip(":,"))}"'
    return " class=number" if number else ""


def _html(frame: pd.DataFrame, title: str, claim: str) -> str:
    numeric = [_is_number(frame[name]) for name in frame.columns]
    head = "".join(
        f"<th{' class=number' if number else ''}>{html.escape(str(name).replace('_', ' '))}</th>"
        for name, number in zip(frame.columns, numeric, strict=True)
    )
    rows = []
    for values in frame.itertuples(index=False):
        cells = "".join(
            f"<td{_class(name, value, number)}>{html.escape(_show(value))}</td>"
            for name, value, number in zip(frame.columns, values, numeric, strict=True)
        )
        rows.append(f"<tr>{cells}</tr>")
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(claim)}</p>\n"
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table>\n</body></html>\n"
    )


def _tex(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _latex(frame: pd.DataFrame, title: str) -> str:
    columns = "".join("r" if _is_number(frame[name]) else "l" for name in frame.columns)
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(title)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\hline",
        " & ".join(_tex(str(name).replace("_", " ")) for name in frame.columns) + r" \\",
        r"\hline",
    ]
    lines += [
        " & ".join(_tex(_show(value)) for value in values) + r" \\"
        for values in frame.itertuples(index=False)
    ]
    lines += [r"\hline", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"
