"""Nobody listens, the disk of the output is full, Ctrl-C comes at once: one line or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from tests.running import environment

from neurolim.core import StudyError
from neurolim.pipeline.layout import results_folder

STUDY = """
model: linear
solver: moments
options: {t_end: 1.0, records: 2}
"""
VERBS = ["list model", "list model linear", "schema", "--help", "plan s.yaml", "status s.yaml"]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a study in it."""
    (tmp_path / "s.yaml").write_text(STUDY)
    return tmp_path


def neurolim(folder, words, redirected, **more):
    """Return (exit code, standard error) of a command whose streams a shell redirects."""
    line = f'"{sys.executable}" -m neurolim {words} {redirected}'
    found = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stderr


@pytest.mark.parametrize("words", VERBS)
def test_output_that_cannot_be_written_is_one_line(folder, words):
    code, said = neurolim(folder, words, ">/dev/full")
    assert (code, said) == (1, "standard output: No space left on device\n")


@pytest.mark.parametrize("words", VERBS[:2])
def test_closed_streams_are_no_fault(folder, words):
    assert neurolim(folder, words, ">&-") == (0, "")
    assert neurolim(folder, words, "<&- >&- 2>&-") == (0, "")
    assert neurolim(folder, f"{words}s", "2>/dev/full")[0] == 2


def test_a_reader_that_has_gone_is_no_fault(folder):
    code, said = neurolim(folder, "schema", "| true; exit ${PIPESTATUS[0]}")
    assert (code, said) == (1, "")


@pytest.mark.parametrize("redirected", [">/dev/full", ">&- 2>&-", "| true"])
@pytest.mark.workflow
def test_a_run_goes_on_when_nobody_listens(folder, redirected):
    code, said = neurolim(folder, "run s.yaml --no-report", redirected)
    assert (code, said) == (0, "")
    assert (folder / "results" / "verdicts.html").exists()


@pytest.mark.parametrize("moment", [0.1, 0.4, 1.0])
def test_ctrl_c_at_once_shows_no_traceback(folder, moment):
    process = subprocess.Popen(
        [sys.executable, "-m", "neurolim", "run", "s.yaml"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert process.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in said
    assert "Error" not in said


@pytest.mark.parametrize("words", ["plan s.yaml", "run s.yaml", "list solver", "check s.yaml"])
def test_uncompiled_functions_are_refused(folder, words):
    code, said = neurolim(folder, words, "", NUMBA_DISABLE_JIT="1")
    assert code == 2
    assert "NUMBA_DISABLE_JIT: set in the environment" in said
    assert said.count("\n") == 1


def test_a_terminal_of_few_columns_shows_everything(folder):
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "neurolim", "list", "model", "linear"],
        stdout=theirs,
        cwd=folder,
        env=environment(COLUMNS="40", TERM="xterm"),
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
    assert process.wait() == 0
    assert b"solvers" in shown or b"particles" in shown
    os.close(ours)


def test_results_may_be_in_any_folder_but_one_that_is_a_pattern(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert results_folder("~/x") == "/somewhere/x"
    for name in ("2025_03_14", "007", "true", "a b", "[x]", "#", "a: b"):
        assert results_folder(name) == name
    for wrong in ("{a}", "a\nb", "", 7, None, True, ["a"]):
        with pytest.raises(StudyError, match="results"):
            results_folder(wrong)
