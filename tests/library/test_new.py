"""What ``neurolim new`` writes works as it stands."""

from __future__ import annotations

import stat
from pathlib import Path

import pandas as pd
import pytest
from tests.texts import said_by, yaml_of

from neurolim import StudyError, run_study
from neurolim.check import check
from neurolim.cli import main
from neurolim.new import TEMPLATES, new
from neurolim.pipeline.outline import study_files


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", [kind for kind in TEMPLATES if kind != "project"])
def test_a_file_to_begin_with_passes_its_check(here, kind):
    ending = "yaml" if kind == "study" else "py"
    path = new(kind, "folder/mine", Path())
    assert path == Path("folder") / f"mine.{ending}"
    first, *facts = check(str(path))
    assert first.startswith(f"{path}: {kind} mine: ")
    assert first.endswith(". ok")
    assert facts
    assert f"neurolim check mine.{ending}" in path.read_text()
    before = path.read_bytes()
    for name in ("folder/mine", f"folder/mine.{ending}"):
        with pytest.raises(StudyError, match="is there already"):
            new(kind, name, Path())
    assert path.read_bytes() == before


def test_files_to_begin_with_fit_together(here):
    for kind in ("model", "statistic", "figure"):
        new(kind, f"own_{kind}", Path())
    study = new("study", "mine", Path())
    mapping = said_by(study.read_text())
    mapping |= {"model": "own_model.py", "solver": "limit", "options": {"t_end": 1.0, "records": 5}}
    mapping |= {"statistics": ["own_statistic.py"], "figures": ["own_figure.py"]}
    for key in ("reference", "expect", "replicas"):
        del mapping[key]
    study.write_text(yaml_of(mapping))
    found = run_study(study, "results")
    # The adaptation starts at 2 and grows, the recovery at 0.
    largest = found["state_mean"].sel(time=1.0, variable="adaptation").values
    assert largest.min() > 2.0
    assert (found["excursion"].sel(variable="adaptation").values == largest).all()
    assert Path("results/mine/figures/own_figure.svg").stat().st_size > 1000


def test_the_study_of_a_new_project_reaches_the_verdict_it_expects(here, monkeypatch):
    home = new("project", "My demo 1.0", Path())
    monkeypatch.chdir(home)
    config = said_by(Path("config/config.yaml").read_text())
    (study,) = study_files(config)
    assert check("models/example.py")[0].endswith("ok")
    run_study(study, config["results"], workers=2)
    table = pd.read_csv("results/first/tables/convergence_rate.csv")
    (row,) = table.to_dict("records")
    assert row["quantity"] == "voltage_mean"
    assert row["verdict"] == "agrees"
    citation = said_by(Path("CITATION.cff").read_text())
    assert citation["title"] == "My demo 1.0"
    assert "The authors of My demo 1.0\n" in Path("LICENSE").read_text()
    assert "{" not in Path("README.md").read_text()
    assert Path("profiles/cluster/status.sh").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("modell", "mine", "kind: no template for 'modell'; allowed: project, model"),
        ("model", "my model", "name: 'my model' is no name; allowed: letters, digits and _"),
        ("model", "1st", "is no name"),
        ("study", "Mine", "name: 'Mine' is no name; allowed: a-z, 0-9, - and _"),
        ("project", ".", "is no name"),
        ("project", 'a"b', "is no name"),
        ("project", "there", "there is there already"),
        ("model", "file/mine", "name: cannot write file"),
    ],
)
def test_names_that_cannot_be_are_refused_in_one_line(here, capsys, kind, name, told):
    Path("there").mkdir()
    Path("file").touch()
    with pytest.raises(SystemExit) as caught:
        main(["new", kind, name])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in here.iterdir()) == ["file", "there"]
