"""Faults: whatever is killed, frozen, filled, altered or removed, no byte is wrong in the end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from tests.running import files_of, members, start

from neurolim.api import run_study
from neurolim.core import StudyError
from neurolim.launch import lock
from neurolim.launch.progress import note_path, reporting
from neurolim.launch.watchdog import Stalled
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.layout import layout_of
from neurolim.store import store
from neurolim.study.read import load_study

pytestmark = pytest.mark.workflow

#: Seconds after which a command is thought to hang, on the busiest of machines.
PATIENCE = 3600


#: Twelve chunks of one run each, and every kind of output.
STUDY = """
title: A study in many pieces
model: linear
solver: particles
reference: moments
options: {n_neurons: 100, dt: 0.05, t_end: 1.0, records: 5}
grid:
  eps: {inverse: [10, 100]}
replicas: 6
seed: 4
statistics: [agreement]
figures: [agreement_scores]
chunk_seconds: 1.0e-6
"""


@pytest.fixture(scope="session")
def pieces(tmp_path_factory):
    """Return (study file, bytes of its results made without kills, workflow or cluster)."""
    folder = tmp_path_factory.mktemp("pieces")
    path = folder / "pieces.yaml"
    path.write_text(STUDY)
    run_study(path, folder / "results")
    return path, files_of(folder / "results" / "pieces")


def run(study, results, *words):
    """Return (exit code, all that was said) of `neurolim run`."""
    process = start("run", study, "--results", results, "--cores", "2", "--no-report", *words)
    text, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, text


#: Whom to kill: the command, Snakemake, the shell of a job, jobs that simulate and all later ones.
ROLES = ("run", "snakemake", "shell", "simulate", "later")


def role(line):
    """Return what a process of a run does, from its command line: one of ROLES."""
    if "-m snakemake" in line:
        return "snakemake"
    if not re.search("neurolim (simulate|collect|analyse) ", line):
        return "run"
    if "bash" in line:
        return "shell"
    return "simulate" if "neurolim simulate" in line else "later"


def victims_in_turn(kills, rng):
    """Return the role of each process to kill: all roles, shuffled, again and again."""
    rounds = -(-kills // len(ROLES))
    return [role for _ in range(rounds) for role in rng.sample(ROLES, len(ROLES))][:kills]


def kill_at_random(study, results, expected, turns, rng):
    """Run a study again and again while killing its processes, one of each role in turn.

    Returns
    -------
    (kills by role; commands given; whole results compared)
    """
    turns = list(turns)
    hit: Counter[str] = Counter()
    commands = whole = 0
    complete = False
    while turns or not complete:
        process = start("run", study, "--results", results, "--cores", "2", "--no-report")
        commands += 1
        while alive := members(process.pid):
            time.sleep(0.05)
            victims = [number for number, line in alive if [role(line)] == turns[:1]]
            if victims:
                # Processes last for seconds, most of them for starting: all of their phases are
                # met, and some are over when it comes to it.
                time.sleep(rng.uniform(0.0, 5.0))
                with contextlib.suppress(ProcessLookupError):
                    victim = rng.choice(victims)
                    if os.getsid(victim) == process.pid:
                        os.kill(victim, signal.SIGKILL)
                        hit[turns.pop(0)] += 1
        text, _ = process.communicate()
        complete = process.returncode == 0
        if complete:
            assert files_of(results / "pieces") == expected
            whole += 1
            if turns:
                for path in (results / "pieces").rglob("*.*"):
                    if path.is_file() and path.name != ".lock":
                        path.unlink()
        elif process.returncode != -signal.SIGKILL:
            assert "run the same command again" in text, text
            assert "Traceback" not in text, text
    return hit, commands, whole


@pytest.mark.slow
@pytest.mark.parametrize("kills", [pytest.param(3, marks=pytest.mark.ci), 50])
def test_random_kills_change_no_byte(pieces, tmp_path, kills, record_property):
    study, expected = pieces
    rng = random.Random(kills)
    turns = victims_in_turn(kills, rng)
    hit, commands, whole = kill_at_random(study, tmp_path, expected, turns, rng)
    size = sum(map(len, expected.values()))
    found = (
        f"{hit.total()} kills ({dict(hit)}) in {commands} commands; "
        f"{whole} whole results of {len(expected)} files, {size} bytes each, are the same"
    )
    record_property("kills", found)
    print(found)
    assert hit.total() == kills
    assert hit == Counter(turns)
    assert files_of(tmp_path / "pieces") == expected
    assert not list(tmp_path.rglob(".unfinished-*"))


@pytest.mark.slow
@pytest.mark.ci
def test_a_frozen_job_is_ended_and_done_again(pieces, tmp_path):
    study, expected = pieces
    process = start(
        "run", study, "--results", tmp_path, "--cores", "2", "--no-report", "--stall", "15"
    )
    chunks = tmp_path / "pieces" / "chunks"
    frozen = 0
    deadline = time.monotonic() + 120
    while not frozen and time.monotonic() < deadline:
        for path in chunks.glob("*.progress"):
            if victim := store.read_note(path).get("process"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGSTOP)
                    frozen = victim
                break
        time.sleep(0.01)
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text
    assert f"process {frozen} showed no sign of life for 15 s and was ended" in text
    assert files_of(tmp_path / "pieces") == expected


@pytest.mark.slow
def test_a_full_disk_stops_the_run_with_its_name_and_costs_nothing(pieces, tmp_path):
    study, expected = pieces
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        process = start("run", study, "--results", disk, "--cores", "2", "--no-report")
        while not list(disk.glob("pieces/chunks/*.json")) and process.poll() is None:
            time.sleep(0.05)
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        text, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode != 0
        assert "full" in text
        assert "free some space" in text
        assert "run the same command again" in text
        (disk / "filler").unlink()
        code, text = run(study, disk)
        assert code == 0, text
        assert files_of(disk / "pieces") == expected
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        "flip",
        "truncate",
        "remove",
        "record",
    ],
)
def test_a_damaged_chunk_never_enters_a_dataset(pieces, tmp_path, fault):
    study, expected = pieces
    run_study(study, tmp_path)
    home = tmp_path / "pieces"
    chunk = chunk_paths(load_study(study), layout_of(load_study(study), tmp_path))[7]
    content = bytearray(chunk.read_bytes())
    record = store.record_of(chunk)
    if fault == "flip":
        content[len(content) // 2] ^= 1
        chunk.write_bytes(content)
    elif fault == "truncate":
        chunk.write_bytes(content[:1000])
    elif fault == "record":
        record.write_text(record.read_text().replace('"digest": "', '"digest": "0'))
    else:
        chunk.unlink()
    for name in ("data.zip", "data.json"):
        (home / name).unlink()
    code, text = run(study, tmp_path)
    if fault != "remove":
        assert code != 0
        # Who reads the message knows the file and what to do; that done, all is well.
        remedy = record if fault == "record" else chunk
        assert f"delete {remedy} and run the study again" in text
        assert not (home / "data.zip").exists()
        remedy.unlink()
        code, text = run(study, tmp_path)
    assert code == 0, text
    assert files_of(home) == expected


def test_a_second_run_is_refused_and_told_whose_the_first_is(pieces, tmp_path):
    study, _ = pieces
    words = ["--cores", "1", "--nolock", "--config", f"results={tmp_path}", f"studies=[{study}]"]
    with lock.locked(tmp_path, ["pieces"]):
        assert f"process {os.getpid()} on" in lock.is_locked(tmp_path, "pieces")
        for process in (
            start("run", study, "--results", tmp_path),
            start(*words, module="snakemake"),
        ):
            text, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode == 2, text
            assert f"pieces is being run in {tmp_path / 'pieces'} by" in text
            assert f"process {os.getpid()} on" in text
            assert "Traceback" not in text
        with pytest.raises(StudyError, match="pieces is being run"):
            run_study(study, tmp_path)
    assert lock.is_locked(tmp_path, "pieces") == ""
    assert not (tmp_path / "pieces" / "chunks").exists()


def test_a_lock_ends_with_the_last_process_that_has_it(tmp_path):
    with lock.locked(tmp_path, ["a"]) as handles:
        child = subprocess.Popen(["sleep", "60"], pass_fds=handles)
        lock.sign(handles, child.pid)
    try:
        assert f"process {child.pid}" in lock.is_locked(tmp_path, "a")
        with pytest.raises(StudyError, match=f"process {child.pid}"), lock.locked(tmp_path, ["a"]):
            pass
    finally:
        child.kill()
        child.wait()
    with lock.locked(tmp_path, ["a"]):
        pass


def test_only_a_silent_job_of_this_machine_is_ended(tmp_path):
    path = note_path(tmp_path / "pieces" / "chunks" / "3.zip")
    words = [sys.executable, "-c", "import time; time.sleep(60)", "3.zip"]
    silent = subprocess.Popen(words, start_new_session=True)
    try:
        with reporting(path):
            note = store.read_note(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        stalled = Stalled(tmp_path, ["pieces"], 3.0)
        for other in (
            {"process": silent.pid, "machine": "elsewhere"},
            {"process": os.getpid()},
            {"process": "?"},
        ):
            path.write_text(json.dumps(note | other))
            assert [stalled.look() for _ in range(6)] == [[]] * 6
        for moment in range(6):
            path.write_text(json.dumps(note | {"process": silent.pid, "time": moment}))
            assert stalled.look() == []
        assert silent.poll() is None
        said = [stalled.look() for _ in range(3)]
        assert said[:2] == [[], []]
        assert f"process {silent.pid} showed no sign of life for 3 s" in said[2][0]
        assert silent.wait() == -signal.SIGKILL
    finally:
        if silent.poll() is None:
            silent.kill()
            silent.wait()


def test_progress_that_cannot_be_written_does_not_stop_the_work(tmp_path):
    (tmp_path / "pieces").write_text("a file where a folder should be")
    with reporting(tmp_path / "pieces" / "chunks" / "0.zip") as progress:
        progress(1, 2)


def test_a_study_has_one_digest_per_part_of_its_first_axis(mapping, tmp_path):
    from neurolim.study.read import parse_study

    longer = mapping | {"grid": mapping["grid"] | {"eps": {"inverse": [10, 20, 50, 100]}}}
    before, after = parse_study(mapping), parse_study(longer)
    assert before.digest(0, 7) == after.digest(0, 7)
    assert before.digest(0, 18) == after.digest(0, 18)
    digests = {after.digest(low, high) for low in range(23) for high in range(low + 1, 24)}
    assert len(digests) == 23 * 24 // 2
