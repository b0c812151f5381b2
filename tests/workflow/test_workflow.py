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
from tests.running import ROOT, environment

from neurolim.api import run_study
from neurolim.cli import main
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.layout import layout_of
from neurolim.study.read import load_study

pytestmark = pytest.mark.workflow

STUDIES = ("config/studies/fig-6-1.yaml", "config/studies/linear.yaml")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return a copy of the project in which files can be edited."""
    target = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, target / name)
    for name in ("src", "workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    # Every job is a start of Python: two chunks show what eight do.
    study = target / STUDIES[0]
    study.write_text(study.read_text().replace("chunk_seconds: 0.02", "chunk_seconds: 0.07"))
    return target


def neurolim(folder, *words, check=True):
    """Run a command in a folder, with the code of this project, whose kernels are compiled."""
    return subprocess.run(
        [sys.executable, "-m", "neurolim", *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=check,
    )


def snakemake(folder, *words, code=ROOT, check=True):
    """Run Snakemake in a folder with a Snakefile, with the code of a project."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *words],
        cwd=folder,
        env=environment(PYTHONPATH=str(code / "src")),
        capture_output=True,
        text=True,
        check=check,
    )


def configured(studies, results):
    return ["--config", f"results={results}", f"studies=[{','.join(studies)}]"]


@pytest.fixture(scope="module")
def finished(copy):
    """Return the project after a run of the tiny studies."""
    found = neurolim(copy, "run", "--tiny", *STUDIES, "--cores", "2", "--results", "results")
    assert "report: results/tiny/report.html" in found.stdout
    assert found.stdout.splitlines()[-1] == "verdicts: results/tiny/verdicts.html"
    assert re.search(r"\d/\d chunks", found.stdout)
    return copy


def test_run_makes_everything_it_promises(finished):
    home = finished / "results" / "tiny" / "fig-6-1"
    for table in ("runs", "convergence_rate", "convergence_levels"):
        for kind in ("csv", "json", "html", "tex"):
            assert (home / "tables" / f"{table}.{kind}").stat().st_size > 50
    for figure in ("profile_collapse", "rate_plot", "trajectories"):
        for kind in ("svg", "pdf", "png"):
            assert (home / "figures" / f"{figure}.{kind}").stat().st_size > 1000
    verdicts = json.loads((finished / "results" / "tiny" / "verdicts.json").read_text())
    assert [study["study"] for study in verdicts["studies"]] == ["linear", "fig-6-1"]
    assert all(study["verdicts"] for study in verdicts["studies"])
    header = (home / "tables" / "convergence_rate.csv").read_text().splitlines()[0]
    assert header == (
        "quantity,over,order,order_low,order_high,expected,constant,levels,verdict,reason"
    )
    report = (finished / "results" / "tiny" / "report.html").read_text()
    assert "voltage_variance" in report
    assert "predicted [core s]" in (home / "costs.html").read_text()
    assert "no rate is claimed" in report


def test_snakemake_and_the_library_give_the_same_bytes(finished, tmp_path):
    run_study(finished / STUDIES[1], tmp_path, workers=2, tiny=True)
    first = chunk_paths(*at_test_size(finished / STUDIES[1], tmp_path))[0]
    for name in (
        "data.zip",
        "data.json",
        "statistics.zip",
        "analysis.json",
        "tables/agreement.csv",
        "figures/agreement_scores.svg",
        f"chunks/{first.name}",
    ):
        here, there = (
            tmp_path / "tiny" / "linear" / name,
            finished / "results" / "tiny" / "linear" / name,
        )
        assert here.read_bytes() == there.read_bytes(), name


def at_test_size(path, results):
    """Return a study at test size, and where its results lie."""
    study = load_study(path, tiny=True)
    return study, layout_of(study, results)


def planned(project, studies=STUDIES):
    """Return the rules, less studies, that a run with the project's code would execute now."""
    words = ["--dry-run", *configured(studies, "results"), "tiny=true"]
    text = snakemake(project, *words, code=project).stdout
    return set(re.findall(r"^(?:local)?rule ([a-z]+)", text, re.MULTILINE)) - {"all"}


def test_edits_rerun_exactly_what_they_touch(finished):
    study, picture = STUDIES[0], "src/neurolim/figures/laws/profile_collapse.py"

    def edited(*edits, studies=STUDIES):
        """Return what a run would execute after edits, each (file, old, new); undo them."""
        before = {name: (finished / name).read_text() for name, _, _ in edits}
        for name, old, new in edits:
            assert old in before[name]
            (finished / name).write_text(before[name].replace(old, new, 1))
        found = planned(finished, studies)
        for name, text in before.items():
            (finished / name).write_text(text)
        return found

    # Words of a study, remarks in the code, and the path by which a study is named: nothing.
    assert edited(
        (study, "title:", "# a comment\ntitle:"),
        (picture, "offset = ", "# why\n            offset = "),
        studies=[f"./{STUDIES[0]}", str(finished / STUDIES[1])],
    ) == set()  # fmt: skip
    assert edited((study, "title:", "no_verdict: none\ntitle:")) == {"verdicts"}
    assert edited((picture, "3.6 *", "3.7 *")) == {"analyse", "verdicts"}
    assert edited((study, "order: 1.5", "order: 1.25")) == {"analyse", "verdicts"}
    concentration = "src/neurolim/statistics/orders/concentration.py"
    assert edited((concentration, "- 1.0", "- 1.25")) == {"analyse", "verdicts"}
    everything = {"simulate", "collect", "analyse", "verdicts"}
    for edit in (
        ("src/neurolim/kernels/mean_path.py", "= 1e-6", "= 2e-6"),
        ("src/neurolim/numerics/random.py", "2.0**-32", "2.0**-31"),
        (study, "seed: 61", "seed: 62"),
    ):
        assert edited(edit) == everything, edit
    assert planned(finished) == set()


#: Four chunks, and what is made of them.
PIECES = """
title: A linear network in four pieces
model: linear
solver: particles
reference: moments
options: {n_neurons: 100, dt: 0.05, t_end: 1.0, records: 5}
grid: {eps: {inverse: [10, 100]}}
replicas: 2
statistics: [agreement]
chunk_seconds: 1.0e-9
"""


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Return (study file, folder of its results made in one go)."""
    folder = tmp_path_factory.mktemp("pieces")
    path = folder / "pieces.yaml"
    path.write_text(PIECES)
    run_study(path, folder / "results")
    return path, folder / "results" / "pieces"


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["snakemake", "worker"])
def test_kill_in_mid_run_loses_nothing_and_changes_no_byte(pieces, tmp_path, victim):
    study, reference = pieces
    results = tmp_path / "results"
    words = configured([str(study)], results)
    # A folder of its own for what Snakemake notes and locks.
    for name in ("Snakefile", "workflow", "profiles", "environment.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", *words],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    chunks = results / "pieces" / "chunks"
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
        assert not (results / "pieces" / "data.json").exists()
        snakemake(tmp_path, "--unlock", *words)
        snakemake(tmp_path, *words)
    for name in ("data.zip", "statistics.zip", "tables/agreement.csv"):
        there = results / "pieces" / name
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
    shutil.copytree(finished / "results" / "tiny" / "linear", tmp_path / "tiny" / "linear")
    chunk = chunk_paths(*at_test_size(finished / STUDIES[1], tmp_path))[0]
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    found = neurolim(
        finished,
        "collect",
        STUDIES[1],
        "--tiny",
        "--results",
        str(tmp_path),
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert chunk.name in found.stderr
    assert "delete" in found.stderr


def refused(capsys, *words):
    """Return the line that a command says to refuse what it is asked for."""
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["plan", "missing.yaml"], "missing.yaml"),
        (["run", "missing.yaml"], "missing.yaml"),
        (["list", "modell"], "model, solver"),
        (["list", "model", "hodgkin"], "fitzhugh_nagumo"),
        (["simulate", STUDIES[1], "--chunk", "99", "--output", "x.zip"], "chunk"),
        (["plan", STUDIES[1], "--results", "/proc/nowhere"], "cannot write"),
        (
            ["simulate", STUDIES[1], "--chunk", "0", "--output", "/proc/nowhere/0.zip"],
            "cannot write",
        ),
    ],
)
def test_refused_input_is_one_line_and_exit_code_two(monkeypatch, capsys, words, part):
    monkeypatch.chdir(ROOT)
    assert part in refused(capsys, *words)


def test_a_command_that_refuses_ends_with_exit_code_two(tmp_path):
    found = neurolim(tmp_path, "plan", "missing.yaml", check=False)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.count("\n") == 1
    assert "missing.yaml" in found.stderr


@pytest.mark.parametrize("text", ["results: results\n", "studies: linear\n", "- a\n", "a: [\n"])
def test_a_configuration_without_studies_is_refused(tmp_path, monkeypatch, capsys, text):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert "config.yaml" in refused(capsys, "run")


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


SOUND = """
title: A study beside it in which none does
model: linear
solver: moments
options: {t_end: 1.0, records: 2}
grid: {eps: [0.1]}
"""


def test_too_many_failures_are_counted_explained_and_leave_a_report(tmp_path):
    results = tmp_path / "results"
    for name, text in (
        ("failing.yaml", FAILING),
        ("sound.yaml", SOUND),
        ("config/config.yaml", f"results: {results}\n"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    words = ["run", "failing.yaml", "sound.yaml", "--cores", "2"]
    found = neurolim(tmp_path, *words, check=False)
    assert found.returncode == 1
    assert "failed_share: 50.0% of the runs failed" in found.stderr
    assert f"{results}/failing/logs/analyse.log" in found.stderr
    assert "Traceback" not in found.stderr
    runs = (results / "failing" / "tables" / "runs.csv").read_text()
    assert "DIVERGED,2" in runs
    assert "failed at eps=0.01 drift=cubic,1" in runs
    verdicts = json.loads((results / "verdicts.json").read_text())
    silences = {study["study"]: study["no_verdict"] for study in verdicts["studies"]}
    assert silences == {"failing": "not analysed: run it again", "sound": "no table judges it"}
    report = (results / "report.html").read_text()
    assert "4 runs, 2 failed" in report
    assert "A study beside it in which none does" in report


def test_plain_snakemake_refuses_a_bad_study_before_any_job(copy, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("model: linear\nsolver: particle\n")
    found = snakemake(copy, *configured([str(bad)], tmp_path / "results"), check=False)
    assert found.returncode == 2
    assert "Traceback" not in found.stderr
    assert f"{bad}:2: solver: unknown solver 'particle'" in found.stderr
    assert not (tmp_path / "results").exists()


def test_help_explains_every_verb(copy):
    text = neurolim(copy, "--help").stdout
    for verb in (
        "run",
        "plan",
        "list",
        "schema",
        "simulate",
        "collect",
        "analyse",
        "status",
        "archive",
        "verify",
    ):
        assert re.search(rf"{verb}\s+\S+", text), verb
