"""Nothing stale is taken for a success: records decide, not Snakemake's memory, paths or clocks."""

from __future__ import annotations

import os
import re
import shutil
import time

import pytest
from tests.running import start

from neurolim.launch.status import status_of
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.layout import layout_of
from neurolim.store import store
from neurolim.study.read import load_study

pytestmark = pytest.mark.workflow

STUDY = """
model: linear
solver: moments
reference: limit
options: {t_end: 1.0, records: 2}
grid:
  eps: [0.1, 0.01]
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Return a folder with a study and its results, and how Snakemake remembers it."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "small.yaml").write_text(STUDY)
    run(folder, "out")
    return folder


@pytest.fixture
def folder(template, tmp_path):
    """Return a copy of the folder in which nothing is to be done."""
    shutil.copytree(template, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def run(folder, results):
    """Run the study of a folder and return what was said."""
    words = ("run", "small.yaml", "--cores", "1", "--no-report", "--results", results)
    process = start(*words, cwd=folder)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def jobs(folder):
    """Return the rules that the last run went through."""
    log = (folder / "out" / "small" / "logs" / "snakemake.log").read_text()
    return set(re.findall(r"^(?:local)?rule ([a-z]+)", log, re.MULTILINE)) - {"all"}


def edit(folder):
    """Give the study another value, and return it."""
    path = folder / "small.yaml"
    path.write_text(path.read_text().replace("0.01]", "0.01, 0.001]"))
    return load_study(path)


def is_current(folder):
    """Return whether everything of the study in a folder is as the study stands, bytes included."""
    study = load_study(folder / "small.yaml")
    said = status_of(study, folder / "out", check=True)
    return (
        said == f"small: {len(chunk_paths(study, layout_of(study, folder)))} done; nobody runs it"
    )


def spelled(folder, spelling):
    """Return the folder of results in another spelling."""
    if spelling == "symlink":
        (folder / "link").symlink_to("out", target_is_directory=True)
        return "link"
    return {"slash": "out/", "dot": "./out", "absolute": str(folder / "out")}[spelling]


@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["slash", "dot", "absolute", "symlink"])
def test_results_by_another_path_are_the_same_results(folder, spelling):
    results = spelled(folder, spelling)
    run(folder, results)
    assert jobs(folder) == set()
    edit(folder)
    assert not is_current(folder)
    run(folder, results)
    assert is_current(folder)
    run(folder, "out")
    assert jobs(folder) == set()


def test_results_without_a_memory_are_judged_by_their_records(folder):
    shutil.rmtree(folder / ".snakemake")
    run(folder, "out")
    assert jobs(folder) == set()
    shutil.rmtree(folder / ".snakemake")
    edit(folder)
    run(folder, "out")
    assert is_current(folder)
    # The dataset is that of the study as it was: same names, same dates, another content.
    before = (folder / "small.yaml").read_text()
    (folder / "small.yaml").write_text(STUDY)
    run(folder, "out")
    assert is_current(folder)
    (folder / "small.yaml").write_text(before)
    run(folder, "out")
    assert is_current(folder)
    assert jobs(folder) == {"collect", "analyse", "verdicts"}


@pytest.mark.slow
@pytest.mark.ci
def test_dates_of_the_future_make_nothing_fail_and_nothing_again(folder):
    ahead = time.time() + 600
    for path in folder.rglob("*"):
        os.utime(path, (ahead, ahead))
    run(folder, "out")
    assert jobs(folder) == set()
    edit(folder)
    run(folder, "out")
    assert is_current(folder)
    for path in folder.rglob("*"):
        os.utime(path, (ahead, ahead))
    (folder / "out" / "small" / "data.zip").unlink()
    run(folder, "out")
    assert jobs(folder) == {"collect"}
    assert is_current(folder)


@pytest.mark.slow
def test_dates_of_the_past_make_nothing_stale_pass(folder):
    edit(folder)
    os.utime(folder / "small.yaml", (0, 0))
    run(folder, "out")
    assert is_current(folder)


def test_a_run_says_what_it_keeps_adds_and_replaces(folder):
    study = edit(folder)
    said = run(folder, "out")
    assert "small: keeps 2 runs that are there, solves 1 new ones, replaces " in said
    costs = [
        path.with_suffix(".cost") for path in chunk_paths(study, layout_of(study, folder / "out"))
    ]
    assert sum(store.read_note(cost)["copied_runs"] for cost in costs) == 2
