"""Tables and lines that change, for people at a terminal; who reads a pipe gets plain lines."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

#: Between the columns of a table.
_GAP = "  "


def is_command() -> bool:
    """Return whether this process is the command ``neurolim``, not a program that imports it."""
    return os.path.basename(sys.argv[0]) == "neurolim" or sys.orig_argv[1:3] == ["-m", "neurolim"]


def interrupt_silently() -> None:
    """Let Ctrl-C end the command without a word, while there is nothing yet to be tidied up."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt_orderly() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def open_streams() -> None:
    """Open what of standard input, output and errors is closed, so that no file takes its number.

    What is said there is lost.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number there is
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


class _Unheard(io.TextIOBase):
    """A stream that takes text after its reader has gone, too."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, or lose it."""
        return int(self._try(lambda: self._stream.write(text), len(text)))

    def flush(self) -> None:
        """Write what is held back, or lose it."""
        self._try(self._stream.flush, None)

    def _try(self, action: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return action()
        except OSError:
            give_up(self._stream)
            return otherwise

    def isatty(self) -> bool:
        """Return whether people read it."""
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        """Return the number of the stream."""
        return int(self._stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the encoding of the stream."""
        return str(self._stream.encoding)


def give_up(stream: Any) -> None:
    """Lose what a stream that refuses text still holds, and what it is given from now on."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def whoever_listens() -> Iterator[None]:
    """Let work go on when nobody reads what it says: a pipe or terminal is closed, a disk full."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Unheard(sys.stdout), _Unheard(sys.stderr)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before


#: What a machine refuses, not what a program does wrong: full, closed, read-only, forbidden.
_REFUSALS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE),
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOLCK),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ESTALE),
)


def refusal(error: OSError) -> str:
    """Return in one line what the machine refuses, or nothing if that is not what went wrong."""
    if error.errno not in _REFUSALS:
        return ""
    return f"{error.filename or 'standard output'}: {error.strerror}"


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
