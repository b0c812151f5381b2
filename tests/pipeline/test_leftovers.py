"""What a study does not need any more is listed, and nothing else."""

import pytest

from neurolim import run_study
from neurolim.cli import main
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.layout import layout_of
from neurolim.pipeline.leftovers import leftovers
from neurolim.study.read import load_study

STUDY = """
model: linear
solver: moments
options: {t_end: 1.0, records: 2}
grid:
  eps: [0.1, 0.01]
"""


@pytest.fixture
def study(tmp_path):
    """Return the file of a study that is done, in a folder with its results."""
    path = tmp_path / "small.yaml"
    path.write_text(STUDY)
    run_study(path, tmp_path / "results")
    return path


def cleaned(capsys, *words):
    """Return what the verb says."""
    with pytest.raises(SystemExit) as caught:
        main(["clean", *map(str, words)])
    assert not caught.value.code
    return capsys.readouterr().out


def test_a_study_that_is_done_has_no_leftovers(study, tmp_path):
    assert leftovers(load_study(study), tmp_path / "results") == []


def test_only_what_is_not_needed_is_listed_and_removed_when_asked_for(study, tmp_path, capsys):
    results = tmp_path / "results"
    before = chunk_paths(load_study(study), layout_of(load_study(study), results))
    study.write_text(study.read_text().replace("0.01]", "0.01, 0.001]"))
    run_study(study, results)
    files = leftovers(load_study(study), results)
    kinds = (".zip", ".json", ".cost")
    assert set(files) == {path.with_suffix(kind) for path in before for kind in kinds}
    (results / "small" / "notes.txt").write_text("mine")
    said = cleaned(capsys, study, "--results", results)
    assert "3 files" in said
    assert "give --yes" in said
    assert all(path.exists() for path in files)
    assert "removed" in cleaned(capsys, study, "--results", results, "--yes")
    assert not any(path.exists() for path in files)
    assert (results / "small" / "notes.txt").exists()
    assert leftovers(load_study(study), results) == []
    # What is left is whole.
    run_study(study, results)
    assert "nothing in" in cleaned(capsys, study, "--results", tmp_path / "elsewhere", "--yes")
