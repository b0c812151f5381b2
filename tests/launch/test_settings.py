"""What ``neurolim run`` takes from the folder's configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.running import start

from neurolim.core import StudyError
from neurolim.launch import workflow
from neurolim.shipped import snakefile

STUDY = """
title: A study with a test size
model: linear
solver: moments
options: {t_end: 1.0, records: 10}
tiny: {options: {records: 2}}
"""


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Return what Snakemake would be run with, in a folder whose configuration says ``tiny``."""
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    Path("config").mkdir()
    found: dict[str, object] = {}

    def run(outlines, chosen, cores, results, report, profile, stall, tiny, handles, config):
        found.update(tiny=tiny, home=next(iter(outlines.values())).layout.folder)
        return 0

    monkeypatch.setattr(workflow, "_run", run)
    return found


@pytest.mark.parametrize(
    ("said", "asked", "tiny"),
    [("", False, False), ("tiny: true\n", False, True), ("tiny: false\n", True, True)],
)
def test_the_configuration_or_the_command_asks_for_test_size(given, said, asked, tiny):
    Path("config/config.yaml").write_text(f"studies: [study.yaml]\n{said}")
    assert workflow.run_workflow([], 1, None, report=False, tiny=asked) == 0
    assert given == {"tiny": tiny, "home": Path("results/tiny" if tiny else "results")}


def test_a_word_that_is_no_size_is_refused(given):
    Path("config/config.yaml").write_text("studies: [study.yaml]\ntiny: perhaps\n")
    with pytest.raises(StudyError, match="tiny: got 'perhaps'; allowed: true, false"):
        workflow.run_workflow([], 1, None, report=False)


def test_the_environment_decides_nothing_of_a_run(monkeypatch, capsys):
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "/nowhere")
    assert "SNAKEMAKE_PROFILE" not in workflow._environment()
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.delenv("SNAKEMAKE_PROFILE")
    workflow._environment()
    assert not capsys.readouterr().err


def test_a_user_may_have_no_name(monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 1001")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert workflow._environment()["LOGNAME"] == str(os.getuid())


@pytest.mark.workflow
def test_any_name_will_do_for_a_folder(tmp_path):
    # Braces are wildcards of Snakemake, and YAML takes the other one for a number.
    (tmp_path / "s{x}y").mkdir()
    (tmp_path / "s{x}y" / "a.yaml").write_text(STUDY)
    process = start("run", "s{x}y/a.yaml", "--results", "2025_03_14", cwd=tmp_path)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert (tmp_path / "2025_03_14" / "a" / "report.html").exists()
    assert (tmp_path / "2025_03_14" / "a" / "data.zip").exists()
    assert not list(tmp_path.glob("2025_03_14/logs/*.config.json"))


@pytest.mark.workflow
def test_snakemake_is_told_a_folder_by_name(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    words = ["--snakefile", snakefile(), "--cores", "1", "--config", "studies=[study.yaml]"]
    process = start(*words, "results=2025_03_14", module="snakemake", cwd=tmp_path)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 2
    assert "results: got 20250314; allowed: the name of a folder, in quotes" in said
    assert "Traceback" not in said
