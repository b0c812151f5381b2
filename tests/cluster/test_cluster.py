"""Clusters: the same bytes from Slurm, through Snakemake's plugin and through dask, as here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import psutil
import pytest
from distributed import LocalCluster
from tests.running import ROOT, environment, files_of, start
from tests.texts import said_by, yaml_of

from neurolim import core
from neurolim.api import run_study
from neurolim.pipeline.chunks import chunk_names
from neurolim.pipeline.engine import Engine, run_batch
from neurolim.pipeline.simulate import simulate
from neurolim.study.plan import plan
from neurolim.study.read import load_study

pytestmark = pytest.mark.workflow

HERE = Path(__file__).parent
PATIENCE = 3600
#: Three jobs for the runs, and every kind of job after them.
STUDY = """
title: A study in three pieces
model: linear
solver: particles
reference: moments
options: {n_neurons: 2000, dt: 0.01, t_end: 4.0, records: 5}
grid:
  eps: {inverse: [10, 100, 1000]}
replicas: 4
seed: 4
statistics: [agreement]
chunk_seconds: 0.02
"""


@pytest.fixture(scope="module")
def thirds(tmp_path_factory):
    """Return (study file, bytes of its results made here)."""
    folder = tmp_path_factory.mktemp("thirds")
    path = folder / "thirds.yaml"
    path.write_text(STUDY)
    assert len(plan(load_study(path)).chunks) == 3
    run_study(path, folder / "results")
    return path, files_of(folder / "results" / "thirds")


def adapted(name, target, **changes):
    """Return a copy of a profile with changes for a cluster that is small and near."""
    profile = said_by((ROOT / "profiles" / name / "config.yaml").read_text())
    target.mkdir()
    words = profile | {"latency-wait": 10, "seconds-between-status-checks": 1, **changes}
    (target / "config.yaml").write_text(yaml_of(words))
    return target


@pytest.fixture
def scheduler():
    """Return a scheduler with two workers, that gives up on one that is silent for 3 s."""
    with (
        dask.config.set({"distributed.scheduler.worker-ttl": "3s"}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            memory_limit=None,
        ) as cluster,
    ):
        yield cluster


def test_workers_of_an_existing_scheduler_give_the_same_bytes(scheduler, thirds, tmp_path):
    study, expected = thirds
    loaded = load_study(study)
    engine = Engine("address", 2, scheduler.scheduler_address)
    simulate(loaded, plan(loaded).chunks[1], tmp_path / "1.zip", engine)
    assert (tmp_path / "1.zip").read_bytes() == expected[
        f"chunks/{chunk_names(load_study(study))[1]}.zip"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["frozen", "killed"])
def test_a_worker_that_is_frozen_or_killed_costs_no_byte(scheduler, thirds, tmp_path, fault):
    study, expected = thirds
    loaded = load_study(study)
    victim = next(iter(scheduler.workers.values())).pid
    # It is given its share of the work and does not begin.
    os.kill(victim, signal.SIGSTOP)
    if fault == "killed":
        threading.Timer(1.5, os.kill, (victim, signal.SIGKILL)).start()
    engine = Engine("address", 2, scheduler.scheduler_address)
    simulate(loaded, plan(loaded).chunks[1], tmp_path / "1.zip", engine)
    assert (tmp_path / "1.zip").read_bytes() == expected[
        f"chunks/{chunk_names(load_study(study))[1]}.zip"
    ]
    assert not psutil.pid_exists(victim) or psutil.Process(victim).status() in (
        psutil.STATUS_ZOMBIE,
        psutil.STATUS_STOPPED,
    )


@pytest.mark.parametrize(
    ("engine", "key"),
    [
        (Engine("threads"), "engine"),
        (Engine("address"), "address"),
        (Engine("local", 1, "tcp://127.0.0.1:1"), "address"),
        (Engine("address", 1, "nonsense"), "address"),
    ],
)
def test_engines_that_cannot_be_are_refused(thirds, tmp_path, engine, key):
    loaded = load_study(thirds[0])
    with pytest.raises(core.StudyError, match=f"^{key}"):
        simulate(loaded, range(1), tmp_path / "0.zip", engine)


def test_what_tasks_give_comes_in_their_order(thirds):
    from neurolim.pipeline.engine import Task, run_tasks

    loaded = load_study(thirds[0])
    tasks = [
        Task(
            "linear",
            "moments",
            loaded.params_at(point),
            loaded.reference_options_at(point),
            0,
            0,
            1,
        )
        for point in (0, 1, 2, 2, 1, 0, 0, 2, 1, 1, 0)
    ]
    assert run_tasks([], Engine()) == []
    for workers in (1, 2):
        found = run_tasks(tasks, Engine("local", workers))
        for task, one in zip(tasks, found, strict=True):
            mean = run_tasks([task], Engine())[0].solution.arrays["state_mean"]
            assert (one.solution.arrays["state_mean"] == mean).all()


def test_after_an_interruption_threads_stop_and_later_work_goes_on(thirds):
    from neurolim.pipeline.engine import Task, run_tasks

    loaded = load_study(thirds[0])
    options = loaded.reference_options_at(0)
    tasks = [Task("linear", "moments", loaded.params_at(0), options, 0, 0, 1)] * 200

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tasks(tasks, Engine("local", 2), interrupted)
    assert len(run_tasks(tasks, Engine("local", 2))) == 200


def test_a_worker_with_other_code_is_refused(thirds):
    from neurolim.pipeline.engine import Task, code_of

    loaded = load_study(thirds[0])
    task = Task("linear", "particles", loaded.params_at(0), loaded.options_at(0), 1, 0, 1)
    with pytest.raises(RuntimeError, match="another neurolim"):
        run_batch([task], {("linear", "particles"): "0" * 16}, True)
    with pytest.raises(RuntimeError, match="start workers and jobs with OPENBLAS_CORETYPE="):
        run_batch([task], code_of([task]), False)


def test_nothing_listens_beyond_loopback_and_no_dashboard_unasked(thirds, tmp_path, monkeypatch):
    loaded = load_study(thirds[0])
    seen = []

    def look(done, total):
        listening = [c for c in psutil.Process().net_connections("tcp") if c.status == "LISTEN"]
        seen.append({connection.laddr.ip for connection in listening})

    simulate(loaded, range(4), tmp_path / "0.zip", Engine(), look)
    assert set().union(*seen) <= {"127.0.0.1", "::1"}


@pytest.mark.slow
@pytest.mark.ci
def test_a_stand_in_for_any_scheduler_survives_a_lost_job_and_gives_the_same_bytes(
    thirds, tmp_path
):
    study, expected = thirds
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    commands = {
        f"cluster-generic-{verb}-cmd": f"{HERE / 'stand_in.sh'} {verb}"
        for verb in ("submit", "status")
    }
    profile = adapted("cluster", tmp_path / "profile", **commands)
    process = start(
        *("run", study, "--results", tmp_path, "--no-report", "--profile", profile),
        NEUROLIM_STAND_IN=str(jobs),
    )
    # The node of the first job is lost: nothing of the job can say so.
    while not (first := [path for path in jobs.glob("*.pid") if path.stat().st_size]):
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(int(first[0].read_text()), signal.SIGKILL)
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text
    assert not first[0].with_suffix(".code").exists()
    assert len(list(jobs.glob("*.sh"))) >= 6
    assert files_of(tmp_path / "thirds") == expected


def slurm_programs(accounting):
    """Return what of Slurm is missing here."""
    wanted = ["munged", "slurmctld", "slurmd", "sbatch"]
    wanted += ["slurmdbd", "mariadbd"] if accounting == "accounting" else []
    return [name for name in wanted if shutil.which(name) is None]


#: Slurms without and with accounting; CI takes the first.
SLURMS = [pytest.param("none", marks=pytest.mark.ci), "accounting"]


@pytest.fixture
def slurm(request, tmp_path_factory):
    """Start a Slurm of two nodes on loopback; return whether it has accounting."""
    if os.geteuid():
        pytest.skip("a Slurm of its own needs root")
    if missing := slurm_programs(request.param):
        pytest.skip(f"Slurm is not installed here: no {missing[0]} (apt-get install slurm-wlm)")
    folder = tmp_path_factory.mktemp("slurm")
    script = str(HERE / "slurm.sh")
    with (folder / "start.log").open("wb") as log:
        started = subprocess.run(
            [script, "start", str(folder), request.param],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    try:
        if started.returncode == 3:
            pytest.skip("this machine has a Slurm of its own")
        assert started.returncode == 0, (folder / "start.log").read_text()
        yield request.param == "accounting"
    finally:
        subprocess.run([script, "stop", str(folder)], check=True, stdin=subprocess.DEVNULL)


def queue(*words):
    """Return [(number, name or comment)] of the jobs that run now."""
    found = subprocess.run(
        ["squeue", "--noheader", "--states=RUNNING", "--format=%i|%j|%k", *words],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [line.split("|", 1) for line in found.splitlines()]


def cancel_first(process, match=""):
    """Cancel the first Slurm job whose name or comment matches, once it runs; return its number."""
    while process.poll() is None:
        for number, words in queue():
            if match in words:
                subprocess.run(["scancel", number], check=True)
                return number
        time.sleep(0.1)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("slurm", SLURMS, indirect=True)
def test_slurm_runs_a_study_survives_a_cancelled_job_and_gives_the_same_bytes(
    slurm, thirds, tmp_path
):
    study, expected = thirds
    quick = {"slurm-init-seconds-before-status-checks": 1}
    plain = {} if slurm else {"slurm-no-account": True}
    profile = adapted("slurm", tmp_path / "profile", **quick, **plain)
    run_and_cancel(study, tmp_path, profile, expected)


@pytest.mark.slow
@pytest.mark.parametrize("slurm", ["none", "accounting"], indirect=True)
def test_any_scheduler_s_profile_does_the_same_with_slurm(slurm, thirds, tmp_path):
    study, expected = thirds
    profile = adapted("cluster", tmp_path / "profile")
    run_and_cancel(study, tmp_path, profile, expected)


def run_and_cancel(study, results, profile, expected):
    """Run a study while its first simulation is cancelled; compare all bytes."""
    process = start("run", study, "--results", results, "--no-report", "--profile", profile)
    cancelled = cancel_first(process, "simulate")
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text
    assert cancelled
    assert files_of(results / "thirds") == expected


@pytest.mark.slow
@pytest.mark.parametrize("slurm", SLURMS, indirect=True)
def test_dask_workers_in_slurm_survive_a_cancelled_one_and_give_the_same_bytes(
    slurm, thirds, tmp_path
):
    study, expected = thirds
    output = tmp_path / "thirds" / "chunks" / "1.zip"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "neurolim", "simulate", str(study), "--chunk", "1"),
            *("--engine", "slurm", "--workers", "2", "--output", str(output)),
        ],
        env=environment(DASK_JOBQUEUE__SLURM__INTERFACE="lo"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    cancelled = cancel_first(process)
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text
    assert cancelled
    assert output.read_bytes() == expected[f"chunks/{chunk_names(load_study(study))[1]}.zip"]
    assert not queue()
