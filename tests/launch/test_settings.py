"""What ``neurolim run`` takes from the folder's configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neurolim.core import StudyError
from neurolim.launch import workflow

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
