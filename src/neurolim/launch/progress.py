"""A sign of life beside every file being made: how far, which process, and that it still breathes.

A thread renews the note every few seconds however long a single run takes, so a slow job and a
frozen one look different from outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from neurolim import files

#: Seconds between two signs of life.
BEAT = 5.0


def note_path(output: str | Path) -> Path:
    """Return the note of a result file that is being made."""
    return Path(output).with_suffix(".progress")


@contextlib.contextmanager
def reporting(
    output: str | Path, say: Callable[[str], None] = lambda line: None
) -> Iterator[Callable[[int, int], None]]:
    """Keep a note beside ``output`` until it is made; yield the function that reports progress.

    Parameters
    ----------
    output : file being made
    say : called with a line of text at most once a second, and at the end

    Notes
    -----
    A note that cannot be written is left out: work does not fail because nobody can watch it.
    """
    path = note_path(output)
    state: dict[str, Any] = {
        "done": 0,
        "total": 0,
        "process": os.getpid(),
        "machine": platform.node(),
    }
    over = threading.Event()
    last = [0.0]

    def write() -> None:
        with contextlib.suppress(OSError), files.beside(path, flush=False) as temporary:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            note = state | {"time": time.time(), "memory_mib": peak}
            temporary.write_text(json.dumps(note), encoding="utf-8")

    def beat() -> None:
        while not over.wait(BEAT):
            write()

    def progress(done: int, total: int) -> None:
        state.update(done=done, total=total)
        now = time.monotonic()
        if now - last[0] >= 1.0 or done == total:
            last[0] = now
            say(f"{done} of {total} runs")
            write()

    write()
    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield progress
    finally:
        over.set()
        heart.join()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
