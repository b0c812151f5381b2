"""A process of a run ends with the one that started it: nothing works on that nobody watches.

`neurolim run` starts Snakemake, and Snakemake starts jobs.  Each names itself in the environment of
what it starts, and each looks, once a second, whether who started it is still there.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import threading
import time

import psutil

#: In the environment: number and machine of the process that started this one.
PARENT = "NEUROLIM_PARENT"
#: Seconds between two looks.
_PERIOD = 1.0
#: Seconds in which what is interrupted may end by itself.
_GRACE = 10.0


def lead() -> dict[str, str]:
    """Return what the environment of a process has to say for it to end with this one."""
    return {PARENT: f"{os.getpid()} {platform.node()}"}


def follow() -> None:
    """End this process, as Ctrl-C would, once the one named in the environment is gone.

    One of another machine cannot be looked at: its scheduler ends what belongs to it.
    """
    number, _, machine = os.environ.get(PARENT, "").partition(" ")
    if machine != platform.node() or not number.isdecimal() or int(number) == os.getpid():
        return
    try:
        parent = psutil.Process(int(number))
    except psutil.Error:
        parent = None
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: psutil.Process | None) -> None:
    while parent is not None and _lives(parent):
        time.sleep(_PERIOD)
    me = psutil.Process()
    for number in (signal.SIGINT, signal.SIGKILL):
        # Children first: who is killed can no longer name them.
        for process in [*me.children(recursive=True), me]:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        time.sleep(_GRACE)


def _lives(process: psutil.Process) -> bool:
    try:
        # A number that is somebody else's by now does not count, nor does one waited for by nobody.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
