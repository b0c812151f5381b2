"""What tests that start commands share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


def files_of(home):
    """Return the bytes of everything that must be the same however a study was run."""
    kinds = (".zip", ".json", ".csv", ".tex", ".svg", ".png")
    paths = [path for path in home.rglob("*") if path.suffix in kinds]
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(paths)}


def environment(**more):
    """Return the environment of this process with this neurolim and one thread per library."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PYTHONPATH": str(ROOT / "src"), "PATH": path, **more}


def start(*words, module="neurolim", cwd=ROOT, **more):
    """Start a command in a session of its own, which is what tells its processes apart."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=cwd,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def members(session):
    """Return (process number, command line) of the living processes of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process.pid, " ".join(process.cmdline())))
        except (ProcessLookupError, psutil.Error):
            continue
    return found
