"""One run at a time per study and results folder; whoever else comes is told who has it.

The lock is held by the operating system (``flock``) for as long as a process that inherited it
lives, so nothing is left over after a crash or ``kill -9``.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from neurolim.core import StudyError

#: Set for processes started by the owner of the locks: they hold them already.
HELD = "NEUROLIM_LOCKED"


def lock_path(results: str | Path, study: str) -> Path:
    """Return the lock file of a study."""
    return Path(results) / study / ".lock"


@contextlib.contextmanager
def locked(results: str | Path, studies: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """Hold the locks of studies; yield their file descriptors, for children to inherit.

    Parameters
    ----------
    results : folder of all results
    studies : names

    Raises
    ------
    StudyError : another process works on one of them; names it
    """
    with contextlib.ExitStack() as stack:
        yield tuple(_take(stack, lock_path(results, study), study) for study in sorted(studies))


def _take(stack: contextlib.ExitStack, path: Path, study: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Opened without truncation: what stands there is the owner's.
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    stack.callback(os.close, handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StudyError(
            "results",
            f"{study} is being run in {path.parent} by {owner(path) or 'another process'}",
            "wait for that run or stop it, or choose another results folder",
        ) from None
    except OSError:
        # A file system without locks: files appear whole, so two runs only waste time.
        return handle
    sign([handle], os.getpid())
    return handle


def hold(results: str | Path, studies: Sequence[str]) -> None:
    """Hold the locks of studies until this process ends, unless its parent holds them.

    Parameters
    ----------
    results, studies : as of ``locked``

    Raises
    ------
    StudyError : another process works on one of them
    """
    if not os.environ.get(HELD):
        _KEPT.enter_context(locked(results, studies))


#: Locks that end with the process.
_KEPT = contextlib.ExitStack()


def sign(handles: Sequence[int], process: int) -> None:
    """Write into held locks whose they are, for others to read.

    Parameters
    ----------
    handles : as ``locked`` yields them
    process : number of the process that does the work
    """
    note = {
        "user": _user(),
        "process": process,
        "machine": platform.node(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    for handle in handles:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(note).encode(), 0)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def owner(path: Path) -> str:
    """Return who wrote a lock file, in words; nothing if that cannot be read."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return "{user} (process {process} on {machine}, since {since})".format(**note)
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def is_locked(results: str | Path, study: str) -> str:
    """Return who runs a study now, in words, or nothing."""
    path = lock_path(results, study)
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return owner(path) or "another process"
    except OSError:
        return ""
    finally:
        os.close(handle)
    return ""
