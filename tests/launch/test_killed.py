"""A job that was killed is named, with what it had used and why it was, as far as that is known."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys

import pytest
from tests.running import members, start

from neurolim import allocation
from neurolim.launch.killed import killed_jobs
from neurolim.launch.progress import note_path, reporting
from neurolim.store import store


def test_a_killed_job_is_named_with_what_it_had_used(tmp_path):
    over = subprocess.Popen([sys.executable, "-c", ""])
    over.wait()
    log = tmp_path / "snakemake.log"
    log.write_text("SLURM status is: 'OUT_OF_MEMORY'. SLURM status is: 'OUT_OF_MEMORY'.\n")
    home = tmp_path / "s"
    with reporting(home / "chunks" / "1.zip"):
        note = store.read_note(note_path(home / "chunks" / "1.zip"))
        assert 10 < note["memory_mib"] < 2**20
        for number, change in (
            (0, {"process": over.pid, "memory_mib": 812}),
            (2, {"process": over.pid, "machine": "elsewhere"}),
        ):
            store.write_note(note_path(home / "chunks" / f"{number}.zip"), note | change)
        before = allocation.killed_for_memory()
        said = list(killed_jobs([home], log, before))
    assert len(said) == 2
    assert said[0].startswith(
        f"{home}/chunks/0: process {over.pid} was killed; it had used 812 MiB"
    )
    assert said[1].startswith("the scheduler says OUT_OF_MEMORY")
    assert note["process"] == os.getpid()
    assert note["machine"] == platform.node()


STUDY = """
model: linear
solver: particles
options: {n_neurons: 100, dt: 0.05, t_end: 1.0, records: 5}
"""


@pytest.mark.workflow
def test_a_job_that_starts_again_asks_for_more(tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY)
    process = start("run", "s.yaml", "--no-report", cwd=tmp_path)
    killed = False
    while not killed and process.poll() is None:
        for number, line in members(process.pid):
            if "neurolim simulate" in line and "bash" not in line:
                os.kill(number, signal.SIGKILL)
                killed = True
                break
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    log = (tmp_path / "results" / "s" / "logs" / "snakemake.log").read_text()
    memory = [int(words) for words in re.findall(r"mem_mb=(\d+), ", log)]
    minutes = [int(words) for words in re.findall(r"runtime=(\d+)", log)]
    assert min(2 * memory[0], allocation.memory() // 2**20) in memory
    assert max(minutes) == 2 * min(minutes)


@pytest.mark.parametrize("count", [0, 3])
def test_full_memory_is_said_to_be_the_reason(tmp_path, monkeypatch, count):
    (tmp_path / "log").write_text("")
    monkeypatch.setattr(allocation, "killed_for_memory", lambda: 4 + count)
    said = list(killed_jobs([tmp_path], tmp_path / "log", 4))
    assert [line.split(":")[0] for line in said] == (
        ["the system killed 3 processes because memory was full"] if count else []
    )
