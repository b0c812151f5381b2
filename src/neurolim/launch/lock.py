"""One run at a time per study and results folder; whoever else comes is told who has it.

The lock is held by the operating system (``flock``) for as long as a process that inherited it
lives, so nothing is left over after a crash or ``kill -9``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import json
import os
import platform
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from neurolim.core import StudyError

#: Set for processes started by the owner of the locks: they hold them already.
HELD = "NEUROLIM_LOCKED"
#: How often a lock is tried, and the seconds between.
_LOOKS, _MOMENT = 4, 0.05
#: How often, where jobs may be about to end because their run was killed.
_PATIENT = 60
#: Shared by all jobs of a study that work.
_JOBS = ".jobs"
_ORPHANS = "jobs whose own run was killed"


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
    StudyError : another process works on one of them; names it.  Or there can be no lock
    """
    with contextlib.ExitStack() as stack:
        yield tuple(_take(stack, lock_path(results, study), study) for study in sorted(studies))


def _take(stack: contextlib.ExitStack, path: Path, study: str) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StudyError(
            "results",
            f"cannot lock {study}: {path}: {error.strerror}",
            f"a file that you may write, or none, at {path}; or another results folder",
        ) from None
    stack.callback(os.close, handle)
    busy = ""
    if not _flocked(handle, fcntl.LOCK_EX):
        busy = owner(path) or "another process"
    elif _is_at_work(path.parent, _PATIENT):
        busy = _ORPHANS
    if busy:
        raise StudyError(
            "results",
            f"{study} is being run in {path.parent} by {busy}",
            "wait for that run or stop it, or choose another results folder",
        )
    sign([handle], os.getpid())
    return handle


@contextlib.contextmanager
def at_work(home: Path) -> Iterator[None]:
    """Say, while a job works, that one does: no run begins beside jobs whose own was killed.

    On this machine they end with it; those of a scheduler may not.

    Parameters
    ----------
    home : folder of the study
    """
    with contextlib.ExitStack() as stack:
        # Work does not fail because nobody can be told of it.
        with contextlib.suppress(OSError):
            home.mkdir(parents=True, exist_ok=True)
            handle = _open(home / _JOBS, os.O_RDONLY | os.O_CREAT)
            stack.callback(os.close, handle)
            _flocked(handle, fcntl.LOCK_SH, _PATIENT)
        yield


def _is_at_work(home: Path, looks: int) -> bool:
    try:
        handle = _open(home / _JOBS, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _flocked(handle, fcntl.LOCK_EX, looks)
    finally:
        os.close(handle)


def _open(path: Path, how: int) -> int:
    """Return the handle of a lock, which is a file of its own: nothing else is opened or changed.

    It is opened without truncation, for what stands there is the owner's, and made as the umask
    says, so that a group shares it where a group shares its files.
    """
    handle = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(handle)
        raise OSError(errno.EINVAL, "not a file of its own", str(path))
    return handle


def _flocked(handle: int, how: int, looks: int = _LOOKS) -> bool:
    """Lock a file if nobody else has it; return whether that is so.

    On a file system without locks everybody has them: files appear whole, so two runs only waste
    time.
    """
    for _ in range(looks):
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            # Whoever asks for the status has it for a moment.
            time.sleep(_MOMENT)
        except OSError:
            return True
        else:
            return True
    return False


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
        "user": user_name(),
        "process": process,
        "machine": platform.node(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    for handle in handles:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(note).encode(), 0)


def user_name() -> str:
    """Return the name of the user, or the number of one who has no name, as in many containers."""
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
        # Enough to ask, also for whoever may only read.
        handle = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return _ORPHANS if _is_at_work(path.parent, _LOOKS) else ""
    except OSError as error:
        return f"somebody, perhaps: {path}: {error.strerror}"
    try:
        if not _flocked(handle, fcntl.LOCK_SH):
            return owner(path) or "another process"
    finally:
        os.close(handle)
    return _ORPHANS if _is_at_work(path.parent, _LOOKS) else ""
