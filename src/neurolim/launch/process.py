"""The process of Snakemake: started, watched, paused and ended with whoever started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from neurolim.launch.overview import progress_line
from neurolim.launch.watchdog import PERIOD, Stalled
from neurolim.pipeline import outline
from neurolim.terminal import changing_line

_LINE_EVERY = 10.0


def start(
    command: Sequence[str],
    log: IO[bytes],
    environment: Mapping[str, str],
    handles: Sequence[int],
) -> subprocess.Popen[bytes]:
    """Start Snakemake in a group of its own, so that one Ctrl-C comes to it once, through us."""
    # A shell starts what it puts into the background deaf to Ctrl-C; Snakemake must not be.
    with _as_interrupt(signal.SIGINT):
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=handles,
            process_group=0,
        )


def watch(
    process: subprocess.Popen[bytes],
    outlines: Mapping[str, outline.Outline],
    stalled: Stalled,
) -> int:
    """Print progress until Snakemake ends, and return its exit code.

    Raises
    ------
    KeyboardInterrupt : after Ctrl-C or the end of a session, once Snakemake and its jobs are over
    """
    began = time.monotonic()
    fresh = time.time()
    ends = (signal.SIGTERM, signal.SIGHUP)
    with contextlib.ExitStack() as stack:
        for number in ends:
            stack.enter_context(_as_interrupt(number))
        stack.enter_context(_pausing(process))
        show, say = stack.enter_context(changing_line(_LINE_EVERY))
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PERIOD)
                for text in stalled.look():
                    say(text)
                show(progress_line(outlines, time.monotonic() - began, fresh))
        except KeyboardInterrupt:
            _end(process, stalled)
            raise
    return process.returncode


def _end(process: subprocess.Popen[bytes], stalled: Stalled) -> None:
    """Interrupt Snakemake and its jobs and wait for them; kill them if that is interrupted, too."""
    number: int = signal.SIGINT
    while process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        number = 0  # asks whether it is there, and does nothing to it
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PERIOD)
            stalled.look()
        except KeyboardInterrupt:
            number = signal.SIGKILL


@contextlib.contextmanager
def _pausing(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let Ctrl-Z stop Snakemake and its jobs, too, and let them go on with this process."""

    def pause(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)

    before = signal.signal(signal.SIGTSTP, pause)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


@contextlib.contextmanager
def _as_interrupt(number: int) -> Iterator[None]:
    """Let a signal act like Ctrl-C, but the end of a session that `nohup` has us outlive."""
    if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)
