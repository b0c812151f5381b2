"""Whatever of a run is killed, nothing of it works on unwatched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from tests.running import environment, members, start

from neurolim.launch import parent

STUDY = """
model: linear
solver: particles
options: {n_neurons: 100, dt: 0.05, t_end: 1.0, records: 5}
grid: {eps: [0.1, 0.01]}
replicas: 6
chunk_seconds: 1.0e-6
"""
#: Seconds after which a process is thought to hang, on the busiest of machines.
PATIENCE = 300


def child(program, **more):
    """Start a program of Python that follows its parent."""
    begin = "from neurolim.launch import parent; parent.follow(); print(1, flush=True); "
    return subprocess.Popen(
        [sys.executable, "-c", begin + program],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def test_a_process_ends_with_the_one_that_started_it():
    started = subprocess.Popen(["sleep", "600"])
    named = parent.lead()[parent.PARENT].replace(str(os.getpid()), str(started.pid))
    follower = child("import time; time.sleep(600)", **{parent.PARENT: named})
    try:
        assert follower.stdout.readline() == b"1\n"
        time.sleep(2.5)
        assert follower.poll() is None
        started.kill()  # and waited for by nobody: its number is still there
        assert follower.wait(PATIENCE) != 0
    finally:
        started.kill()
        started.wait()
        follower.kill()
        follower.communicate()


@pytest.mark.parametrize(
    "named",
    ["", "x", f"{2**31 - 1} elsewhere", f"{os.getpid()} {os.uname().nodename}"],
    ids=["empty", "no number", "elsewhere", "no parent"],
)
def test_a_process_of_nobody_here_ends_by_itself(named):
    follower = child("import time; time.sleep(2.5); print(2)", **{parent.PARENT: named})
    assert follower.communicate(timeout=PATIENCE)[0] == b"1\n2\n"
    assert follower.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("victim", ["run", "snakemake"])
@pytest.mark.workflow
@pytest.mark.slow
def test_no_job_outlives_its_run(tmp_path, victim, number):
    (tmp_path / "s.yaml").write_text(STUDY)
    process = start("run", "s.yaml", "--cores", "2", "--no-report", cwd=tmp_path)
    deadline = time.monotonic() + PATIENCE
    while not list(tmp_path.glob("results/s/chunks/*.progress")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    alive = dict(members(process.pid))
    snakemake = next(pid for pid, line in alive.items() if "-m snakemake" in line)
    os.kill(process.pid if victim == "run" else snakemake, number)
    process.communicate(timeout=PATIENCE)
    while members(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    done = len(list(tmp_path.glob("results/s/chunks/*.json")))
    # With SIGTERM Snakemake itself ends what it has begun, and no more.
    assert done < 12


@pytest.mark.workflow
@pytest.mark.slow
def test_a_paused_run_stops_as_a_whole_and_goes_on(tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY)
    process = start("run", "s.yaml", "--cores", "2", "--no-report", cwd=tmp_path)
    while not list(tmp_path.glob("results/s/chunks/*.progress")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTSTP)
    time.sleep(3)
    states = {psutil.Process(pid).status() for pid, _ in members(process.pid)}
    assert states == {psutil.STATUS_STOPPED}
    os.kill(process.pid, signal.SIGCONT)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
