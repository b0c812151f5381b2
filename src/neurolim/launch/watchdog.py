"""Jobs that show no sign of life are ended, so that Snakemake starts them again."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from neurolim.store.store import read_note

#: Seconds between two looks.
PERIOD = 1.0


class Stalled:
    """Find jobs of this machine that show no sign of life, and end them.

    A job's note is renewed however long a single run takes (``launch.progress``), so a note that
    stays the same belongs to a process that was stopped or hangs.  Time is counted in looks, not
    by the clock: a machine that slept wakes up without ending anything.

    Parameters
    ----------
    home : folder of the studies' results
    studies : names
    seconds : how long a note may stay the same
    """

    def __init__(self, home: Path, studies: Iterable[str], seconds: float) -> None:
        self._studies = [home / study for study in studies]
        self._looks = max(1, round(seconds / PERIOD))
        self._seen: dict[Path, tuple[object, int]] = {}

    def look(self) -> list[str]:
        """Look at all notes once; return a line of text for every job ended."""
        ended, seen = [], {}
        for study in self._studies:
            for path in study.rglob("*.progress"):
                note = read_note(path)
                before, same = self._seen.get(path, (None, 0))
                seen[path] = (note.get("time"), same + 1 if note.get("time") == before else 0)
                if seen[path][1] >= self._looks and _end(note, path):
                    ended.append(
                        f"{path.with_suffix('')}: process {note['process']} showed no sign of "
                        f"life for {self._looks * PERIOD:.0f} s and was ended"
                    )
        self._seen = seen
        return ended


def _end(note: Mapping[str, Any], path: Path) -> bool:
    """Kill the process of a note if it is a job of ours on this machine."""
    if note.get("machine") != platform.node():
        return False
    try:
        words = psutil.Process(note["process"]).cmdline()
        # The process number may by now belong to somebody else.
        if not any(Path(word).stem == path.stem for word in words):
            return False
        os.kill(note["process"], signal.SIGKILL)
    except (psutil.Error, OSError, KeyError, TypeError):
        return False
    with contextlib.suppress(OSError):
        path.unlink()
    return True
