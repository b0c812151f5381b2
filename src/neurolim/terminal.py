"""Tables and lines that change, for people at a terminal; who reads a pipe gets plain lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

#: Between the columns of a table.
_GAP = "  "


def show_table(rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), indent: int = 0) -> None:
    """Print a table: at a terminal, long cells go over several lines; else a row is a line.

    Parameters
    ----------
    rows : of cells, equally many in each
    numbers : columns that end at the right
    indent : blanks before every row
    """
    if not _can_change():
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                cell.rjust(width) if k in numbers else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print((" " * indent + _GAP.join(cells)).rstrip())
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, len(_GAP)))
    for k in range(len(rows[0]) if rows else 0):
        last = k == len(rows[0]) - 1
        table.add_column(
            justify="right" if k in numbers else "left",
            style="" if k else "bold",
            overflow="fold",
            no_wrap=not last and k == 0,
        )
    for row in rows:
        # As Text, for brackets in a cell are no markup.
        table.add_row(*map(Text, row))
    Console().print(Padding(table, (0, 0, 0, indent), expand=False))


def _can_change() -> bool:
    """Return whether people read the output, at a terminal that can wipe out a line."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextmanager
def changing_line(every: float) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Yield (show, say): ``show`` replaces the last line, ``say`` prints one that stays.

    Where there is no terminal, ``show`` prints a line that is another, at most once in a while.

    Parameters
    ----------
    every : seconds between two lines where there is no terminal [s]
    """
    if _can_change():
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(highlight=False), auto_refresh=False) as live:
            yield (
                lambda line: live.update(Text(line), refresh=True),
                lambda line: live.console.print(Text(line)),
            )
        return
    from time import monotonic

    last_line, last_time = "", -every

    def show(line: str) -> None:
        nonlocal last_line, last_time
        if line != last_line and monotonic() - last_time > every:
            print(line, flush=True)
            last_line, last_time = line, monotonic()

    yield show, lambda line: print(line, flush=True)
