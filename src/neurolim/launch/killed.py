"""Jobs that were killed: which, what they had used, and whether memory was the reason."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from neurolim import allocation
from neurolim.store.store import read_note

#: What schedulers say of a job that took too much, and what that is in words.
_REASONS = {"OUT_OF_MEMORY": "used more memory than they had asked for", "TIMEOUT": "took too long"}


def killed_jobs(homes: Iterable[Path], log: Path, before: int) -> Iterator[str]:
    """Yield a line for each killed job of a run, and for what is known of the reason.

    Parameters
    ----------
    homes : folders of the studies
    log : Snakemake's
    before : how many processes the system had killed for want of memory when the run began
    """
    for home in homes:
        for path in sorted(home.rglob("*.progress")):
            note = read_note(path)
            if note.get("machine") == platform.node() and not _lives(note.get("process")):
                yield (
                    f"{path.with_suffix('')}: process {note.get('process')} was killed; it had "
                    f"used {note.get('memory_mib')} MiB of memory"
                )
    if count := allocation.killed_for_memory() - before:
        yield (
            f"the system killed {count} processes because memory was full: try fewer --cores, "
            "shorter chunks, or a machine or job with more memory"
        )
    told = Counter(re.findall("|".join(_REASONS), log.read_text("utf-8", errors="replace")))
    for word, reason in _REASONS.items():
        if told[word]:
            yield f"the scheduler says {word}: jobs {reason}; a job that starts again gets more"


def _lives(number: object) -> bool:
    return isinstance(number, int) and psutil.pid_exists(number)
