"""What people see at a terminal, and what programs read from a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from neurolim.terminal import changing_line, show_table

ROWS = [("n", "1000", "neurons [a number]"), ("scheme", "x", "of steps " + "and more " * 20)]


def at_a_terminal(program: str, columns: int = 60, kind: str = "xterm") -> str:
    """Return what a program writes to a terminal of so many columns and of a kind (TERM)."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": kind}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=theirs, stdin=theirs, env=environment
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        written += piece
    assert process.wait() == 0
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def test_a_row_of_a_pipe_is_a_line(capsys):
    show_table(ROWS, numbers=(1,), indent=2)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "  n       1000  neurons [a number]"
    assert second.startswith("  scheme     x  of steps and more ")
    assert "\x1b" not in first + second


def test_a_long_cell_goes_over_several_lines_of_a_terminal():
    program = f"from neurolim.terminal import show_table; show_table({ROWS!r}, numbers=(1,))"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", at_a_terminal(program)).splitlines()
    assert lines[0].split() == ["n", "1000", "neurons", "[a", "number]"]
    assert max(map(len, lines)) <= 60
    assert len(lines) > 3
    assert " ".join(lines).count("and") == 20


def test_a_terminal_shows_one_line_that_changes_and_keeps_what_is_said():
    program = (
        "from neurolim.terminal import changing_line\n"
        "with changing_line(9.0) as (show, say):\n"
        "    show('1 of 2'); say('a job [was] ended'); show('2 of 2')\n"
    )
    written = at_a_terminal(program)
    assert written.count("a job [was] ended") == 1
    assert "\x1b[2K" in written  # the first line is wiped out
    assert written.index("1 of 2") < written.index("ended") < written.index("2 of 2")


def test_a_terminal_that_wipes_out_nothing_gets_plain_lines():
    program = (
        "from neurolim.terminal import changing_line, show_table\n"
        "with changing_line(0.0) as (show, say):\n"
        "    show('1 of 2'); say('ended'); show('2 of 2')\n"
        "show_table([('a', '1'), ('bb', 'long ' * 30)])\n"
    )
    written = at_a_terminal(program, kind="dumb")
    table = ["a   1", f"bb  {'long ' * 30}".rstrip()]
    assert written.splitlines() == ["1 of 2", "ended", "2 of 2", *table]


@pytest.mark.parametrize(("every", "lines"), [(0.0, ["a", "said", "b"]), (9.0, ["a", "said"])])
def test_a_pipe_gets_a_line_now_and_then(capsys, every, lines):
    with changing_line(every) as (show, say):
        show("a")
        show("a")
        say("said")
        show("b")
    assert capsys.readouterr().out.splitlines() == lines
