"""What is said of a run that failed: logs of jobs, a full disk, tables that could not be made."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from neurolim.pipeline import outline

#: Bytes below which a disk is full.
_HARDLY_ANY = 2**20
#: Logs of failed jobs that are shown.
_SHOWN = 5


def say_what_failed(code: int, log: Path, home: Path, results: str) -> None:
    """Print the ends of the logs that say why Snakemake ended with a code, and what to do."""
    failures = failed_logs(log)
    for own in failures[:_SHOWN]:
        print(f"{own}:\n{tail(own, 10)}\n", file=sys.stderr)
    if code < 0:
        print(f"Snakemake was ended by {signal.Signals(-code).name}", file=sys.stderr)
    elif not failures:
        print(tail(log, 30), file=sys.stderr)
    if full := is_full(results):
        print(full, file=sys.stderr)
    print(
        f"failed; the whole log is {log}, jobs' own logs are in {home}/<study>/logs; mend the "
        "cause and run the same command again: what is done is kept",
        file=sys.stderr,
    )


def count_failures(outlines: Mapping[str, outline.Outline]) -> int:
    """Print the tables and figures that could not be made; return 1 if there are any, else 0."""
    lines = [
        f"{study.layout.home}/{page}: {error}"
        for study in outlines.values()
        for page, error in study.failures.items()
    ]
    if not lines:
        return 0
    lines.append(
        f"{len(lines)} tables or figures could not be made; what lies there names the error.  Mend "
        "the cause and run the same command again: only they are made again"
    )
    print("\n".join(lines), file=sys.stderr)
    return 1


def is_full(results: str) -> str:
    """Return what to say of the disk that holds the results if it is full, or nothing."""
    if shutil.disk_usage(results).free < _HARDLY_ANY:
        return f"the disk of {results} is full: free some space"
    return ""


def failed_logs(log: Path) -> list[Path]:
    """Return the logs of the jobs that Snakemake's own log says have failed."""
    text = log.read_text(encoding="utf-8", errors="replace")
    named = re.findall(r"^\s+log: (.+) \(check log file", text, re.MULTILINE)
    paths = [Path(name) for name in dict.fromkeys(named)]
    return [path for path in paths if path.is_file() and path.stat().st_size]


def tail(log: Path, lines: int) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
