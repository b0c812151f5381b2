"""Tables of numbers: what a statistic leaves for readers, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from neurolim.core.verdict import Verdict


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    name : of the column, a word of letters, digits and underscores
    unit : "1" for a pure number, "" for words
    digits : significant digits that readers see; files keep all
    error : the column that has its standard error, which decides the digits where there is one
    """

    name: str
    unit: str = "1"
    digits: int = 4
    error: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Parameters
    ----------
    values : a number or a word for every column; what is missing is NaN
    verdict : what the row says of an expectation
    quantity : what is measured; "" where the table has one subject
    at : coordinates of the grid, site and so on by name
    """

    values: Mapping[str, Any]
    verdict: Verdict | None = None
    quantity: str = ""
    at: Mapping[str, Any] = field(default_factory=dict)

    @property
    def coordinates(self) -> str:
        """Return the coordinates in words: ``site=E, eps=0.1``."""
        return ", ".join(f"{name}={short(value)}" for name, value in self.at.items())

    @property
    def label(self) -> str:
        """Return quantity and coordinates in words: ``voltage_mean [site=E]``."""
        at = self.coordinates
        return f"{self.quantity} [{at}]" if at and self.quantity else self.quantity or at


@dataclass(frozen=True)
class Table:
    """A table of numbers with units, and of verdicts.

    Parameters
    ----------
    name : of the table and its files
    columns : of the values
    rows : in the order in which readers see them
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def verdicts(self) -> tuple[Row, ...]:
        """Return the rows that have a verdict."""
        return tuple(row for row in self.rows if row.verdict is not None)

    def heads(self) -> tuple[str, ...]:
        """Return the names of all columns: quantity, coordinates, values, verdict and reason."""
        first = ["quantity"] if any(row.quantity for row in self.rows) else []
        at = dict.fromkeys(name for row in self.rows for name in row.at)
        last = ["verdict", "reason"] if self.verdicts else []
        return (*first, *map(self._head, at), *(column.name for column in self.columns), *last)

    def _head(self, coordinate: str) -> str:
        """Return the name of a coordinate's column: another one where a column of values has it."""
        taken = any(column.name == coordinate for column in self.columns)
        return f"axis_{coordinate}" if taken else coordinate

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield every row as one flat mapping with the names of ``heads``."""
        heads = self.heads()
        for row in self.rows:
            at = {self._head(name): value for name, value in row.at.items()}
            cells: dict[str, Any] = {"quantity": row.quantity, **at, **row.values}
            if row.verdict is not None:
                cells |= {"verdict": str(row.verdict.kind), "reason": row.verdict.reason}
            yield {name: cells.get(name, "" if name in ("verdict", "reason") else float("nan"))
                   for name in heads}  # fmt: skip


def short(value: Any) -> str:
    """Return a coordinate in a few letters."""
    return str(value) if isinstance(value, (str, bool)) else f"{value:g}"
