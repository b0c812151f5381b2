"""The workflow end to end: tiny studies, kills, and what is done again after an edit."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurolim.api import run_study

pytestmark = pytest.mark.workflow

TINY = ("config/tiny/fig-6-1.yaml", "config/tiny/linear.yaml")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return a copy of the project in which files can be edited; its package comes first."""
    source, target = Path(__file__).parents[2], tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(source / name, target / name)
    for name in ("src", "workflow", "config", "profiles"):
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("*.nb?"))
    return target


def environment(project, **more):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    cache = str(project.parent / "numba")
    return os.environ | {
        "PYTHONPATH": str(project / "src"),
        "PATH": path,
        "NUMBA_CACHE_DIR": cache,
        **more,
    }


def neurolim(project, *words, check=True):
    return subprocess.run(
        [sys.executable, "-m", "neurolim", *words],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=check,
    )


def snakemake(project, *words, check=True):
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *words],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=check,
    )


def configured(studies, results):
    return ["--config", f"results={results}", f"studies=[{','.join(studies)}]"]


@pytest.fixture(scope="module")
def finished(copy):
    """Return the project after a run of the tiny studies."""
    found = neurolim(copy, "run", *TINY, "--cores", "2", "--results", "results")
    assert "report: results/report.html" in found.stdout
    assert found.stdout.splitlines()[-1] == "verdicts: results/verdicts.html"
    assert re.search(r"\d/\d chunks", found.stdout)
    return copy


def test_run_makes_everything_it_promises(finished):
    home = finished / "results" / "fig-6-1"
    for table in ("runs", "convergence_rate", "convergence_levels"):
        for kind in ("csv", "json", "html", "tex"):
            assert (home / "tables" / f"{table}.{kind}").stat().st_size > 50
    for figure in ("profile", "rate_plot", "trajectories"):
        for kind in ("svg", "pdf", "png"):
            assert (home / "figures" / f"{figure}.{kind}").stat().st_size > 1000
    verdicts = json.loads((finished / "results" / "verdicts.json").read_text())
    assert [study["study"] for study in verdicts["studies"]] == ["linear", "fig-6-1"]
    assert all(study["verdicts"] for study in verdicts["studies"])
    header = (home / "tables" / "convergence_rate.csv").read_text().splitlines()[0]
    assert header == (
        "quantity,over,order,order_low,order_high,expected,constant,levels,verdict,reason"
    )
    report = (finished / "results" / "report.html").read_text()
    assert "voltage_variance" in report
    assert "predicted [core s]" in (home / "costs.html").read_text()
    assert "no rate is claimed" in report


def test_snakemake_and_the_library_give_the_same_bytes(finished, tmp_path):
    run_study(finished / TINY[1], tmp_path, workers=2)
    for name in (
        "data.zip",
        "data.json",
        "statistics.zip",
        "analysis.json",
        "tables/agreement.csv",
        "figures/agreement.svg",
        "chunks/0.zip",
    ):
        here, there = tmp_path / "linear" / name, finished / "results" / "linear" / name
        assert here.read_bytes() == there.read_bytes(), name


def planned(project, studies=TINY):
    """Return the rules a run would execute now, without the studies' names."""
    text = snakemake(project, "--dry-run", *configured(studies, "results")).stdout
    return set(re.findall(r"^(?:local)?rule ([a-z]+)", text, re.MULTILINE)) - {"all"}


def test_edits_rerun_exactly_what_they_touch(finished):
    assert planned(finished) == set()
    # Nor does it matter by which path a study is named.
    assert planned(finished, [f"./{TINY[0]}", str(finished / TINY[1])]) == set()

    def edited(name, old, new):
        path = finished / name
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new, 1))
        found = planned(finished)
        path.write_text(before)
        return found

    study, analysis = TINY[0], {"analyse", "verdicts"}
    assert edited(study, "title:", "# a comment\ntitle:") == set()
    assert edited(study, "title:", "no_verdict: none\ntitle:") == {"verdicts"}
    picture = "src/neurolim/figures/profile.py"
    assert edited(picture, "offset = ", "# why\n            offset = ") == set()
    assert edited(picture, "3.6 *", "3.7 *") == analysis
    assert edited(study, "order: 1.5", "order: 1.25") == analysis
    assert edited("src/neurolim/statistics/concentration.py", "- 1.0", "- 1.25") == analysis
    everything = {"simulate", "collect", *analysis}
    assert edited("src/neurolim/kernels/mean_path.py", "= 1e-6", "= 2e-6") == everything
    assert edited("src/neurolim/numerics/random.py", "2.0**-32", "2.0**-31") == everything
    assert edited(study, "seed: 61", "seed: 62") == everything
    assert planned(finished) == set()


@pytest.mark.parametrize("victim", ["snakemake", "worker"])
def test_kill_in_mid_run_loses_nothing_and_changes_no_byte(finished, tmp_path, victim):
    results = tmp_path / "results"
    words = configured(TINY[:1], results)
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", *words],
        cwd=finished,
        env=environment(finished),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    chunks = results / "fig-6-1" / "chunks"
    try:
        deadline = time.monotonic() + 120
        while not list(chunks.glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(chunks.glob("*.json"))
        if victim == "worker":
            while not (worker := children(process.pid, "neurolim simulate")):
                assert process.poll() is None
                time.sleep(0.01)
            os.kill(worker[0], signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=600)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in chunks.glob("*.json")}
    if victim == "worker":
        # A job that was killed starts again by itself.
        assert process.returncode == 0
    else:
        # Whatever outlived Snakemake may still be writing; files appear whole: no harm.
        assert not (results / "fig-6-1" / "data.json").exists()
        snakemake(finished, "--unlock", *words)
        snakemake(finished, *words)
    reference = finished / "results" / "fig-6-1"
    for name in ("data.zip", "statistics.zip", "tables/convergence_rate.csv"):
        there = results / "fig-6-1" / name
        assert there.read_bytes() == (reference / name).read_bytes(), name
    assert all((chunks / name).exists() for name in kept)


def children(parent, words):
    """Return the descendants of a process whose command line starts with ``neurolim``'s verb."""
    found, waiting = [], [parent]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                waiting.append(child)
                line = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
                if words in line and "/bin/sh" not in line and "bash -c" not in line:
                    found.append(child)
    return found


def test_a_damaged_chunk_stops_the_run_with_one_clear_message(finished, tmp_path):
    shutil.copytree(finished / "results" / "linear", tmp_path / "linear")
    chunk = tmp_path / "linear" / "chunks" / "0.zip"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    found = neurolim(
        finished,
        "collect",
        TINY[1],
        "--results",
        str(tmp_path),
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert "0.zip" in found.stderr
    assert "delete" in found.stderr


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["plan", "missing.yaml"], "missing.yaml"),
        (["run", "missing.yaml"], "missing.yaml"),
        (["list", "modell"], "model, solver"),
        (["list", "model", "hodgkin"], "fitzhugh_nagumo"),
        (["simulate", TINY[1], "--chunk", "99", "--output", "x.zip"], "chunk"),
        (["plan", TINY[1], "--results", "/proc/nowhere"], "cannot write"),
        (["simulate", TINY[1], "--chunk", "0", "--output", "/proc/nowhere/0.zip"], "cannot write"),
    ],
)
def test_refused_input_is_one_line_and_exit_code_two(copy, words, part):
    found = neurolim(copy, *words, check=False)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert part in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("text", ["results: results\n", "studies: linear\n", "- a\n", "a: [\n"])
def test_a_configuration_without_studies_is_refused(copy, tmp_path, text):
    for name in ("Snakefile", "src", "workflow", "profiles"):
        (tmp_path / name).symlink_to(copy / name)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(text)
    found = neurolim(tmp_path, "run", check=False)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert "config.yaml" in found.stderr


FAILING = """
title: A study in which every second run fails
model: fitzhugh_nagumo
solver: particles
reference: limit
params: {voltage_spread: 1.0e+3, coefficients: [0.0, -1.0]}
options: {n_neurons: 64, t_end: 1.0, records: 4, dt: 0.01, scheme: euler_maruyama}
grid: {eps: [0.01], drift: [cubic, polynomial]}
replicas: 2
statistics: [concentration]
"""


def test_too_many_failures_are_counted_explained_and_leave_a_report(finished, tmp_path):
    failing = tmp_path / "failing.yaml"
    failing.write_text(FAILING)
    results = tmp_path / "results"
    config = (finished / "config" / "config.yaml").read_text()
    (finished / "config" / "config.yaml").write_text(
        config.replace("results: results", f"results: {results}")
    )
    found = neurolim(finished, "run", str(failing), TINY[1], "--cores", "2", check=False)
    (finished / "config" / "config.yaml").write_text(config)
    assert found.returncode == 1
    assert "failed_share: 50.0% of the runs failed" in found.stderr
    assert f"{results}/failing/logs/analyse.log" in found.stderr
    assert "Traceback" not in found.stderr
    runs = (results / "failing" / "tables" / "runs.csv").read_text()
    assert "DIVERGED,2" in runs
    assert "failed at eps=0.01 drift=cubic,1" in runs
    verdicts = json.loads((results / "verdicts.json").read_text())
    silences = {study["study"]: study["no_verdict"] for study in verdicts["studies"]}
    assert silences == {"failing": "not analysed: run it again", "linear": ""}
    report = (results / "report.html").read_text()
    assert "4 runs, 2 failed" in report
    assert "A linear network lands on its closed-form law" in report


def test_plain_snakemake_refuses_a_bad_study_before_any_job(copy, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("model: linear\nsolver: particle\n")
    found = snakemake(copy, *configured([str(bad)], tmp_path / "results"), check=False)
    assert found.returncode == 2
    assert "Traceback" not in found.stderr
    assert f"{bad}: solver: unknown solver 'particle'" in found.stderr
    assert not (tmp_path / "results").exists()


def test_help_explains_every_verb(copy):
    text = neurolim(copy, "--help").stdout
    for verb in (
        "run",
        "plan",
        "list",
        "simulate",
        "collect",
        "analyse",
        "status",
        "archive",
        "verify",
    ):
        assert re.search(rf"{verb}\s+\S+", text), verb
