"""Results opened by a program, from their folder and from an archive."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neurolim
from neurolim.archive.write import archive
from neurolim.core import StudyError
from neurolim.store import store
from neurolim.store.store import StoreError

ROOT = Path(__file__).parents[2]
STUDY = """
title: A linear network
model: linear
solver: particles
reference: moments
options: {n_neurons: 50, dt: 0.1, t_end: 0.2, records: 1}
grid: {eps: {inverse: [10, 100]}}
replicas: 4
statistics: [agreement]
figures: [agreement_scores]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return (results folder, dataset that the run returned, archive) of a small study."""
    folder = tmp_path_factory.mktemp("made")
    study = folder / "two.yaml"
    study.write_text(STUDY)
    dataset = neurolim.run_study(study, folder / "results")
    path = archive([str(study)], folder / "results", date="2026-01-02", root=ROOT)
    return folder / "results", dataset, path


@pytest.fixture(params=["study", "results", "archive"])
def opened(made, request):
    results, _, path = made
    place = {"study": results / "two", "results": results, "archive": path}[request.param]
    return neurolim.open(place, study="two" if request.param == "results" else None)


def test_data_and_statistics_are_those_of_the_run(opened, made):
    results, dataset, _ = made
    assert opened.name == "two"
    for part, name in ((opened.data, "data.zip"), (opened.statistics, "statistics.zip")):
        xr.testing.assert_identical(part, store.open_checked(results / "two" / name))
    np.testing.assert_array_equal(opened.data["state_mean"], dataset["state_mean"])


def test_every_variable_says_what_it_is_and_flags_are_those_of_a_status(opened):
    for part in (opened.data, opened.statistics):
        for name, variable in part.variables.items():
            assert variable.attrs.get("units"), name
            assert variable.attrs.get("long_name"), name
            assert ("flag_values" in variable.attrs) == str(name).endswith("status")


#: A statistic whose result forgets what the coordinates of the dataset say of themselves.
BARE = """from dataclasses import replace

from neurolim.core import get


def apply(dataset, after):
    return get("statistic", "agreement").apply(dataset, after=after).drop_attrs()


STATISTIC = replace(get("statistic", "agreement"), apply=apply)
"""


def test_coordinates_keep_what_the_dataset_says_of_them(tmp_path):
    (tmp_path / "bare.py").write_text(BARE)
    study = STUDY.replace("statistics: [agreement]", "statistics: [bare.py]")
    (tmp_path / "bare.yaml").write_text(study.replace("figures: [agreement_scores]", ""))
    neurolim.run_study(tmp_path / "bare.yaml", tmp_path / "results")
    bare = neurolim.open(tmp_path / "results" / "bare")
    assert bare.statistics["eps"].attrs["units"] == "time"
    for name, coordinate in bare.statistics.coords.items():
        assert coordinate.attrs == bare.data[name].attrs


def test_tables_are_numbers_with_units(opened):
    assert set(opened.tables) == {"runs", "agreement"}
    table = opened.tables["agreement"]
    numbers = table.select_dtypes("number")
    assert np.isfinite(numbers.to_numpy()).any()
    assert table.attrs["units"]


def test_verdicts_are_rows_of_values(opened):
    verdicts = opened.verdicts
    assert set(verdicts["table"]) == {"agreement"}
    assert set(verdicts["kind"]) <= {"agrees", "disagrees", "undecided", "not judged"}
    judged = verdicts[verdicts["kind"] == "agrees"]
    assert ((judged["low"] <= judged["measured"]) | judged["low"].isna()).all()


def test_figures_are_the_files_of_the_run(opened, made):
    picture = opened.figures["agreement_scores"]
    home = made[0] / "two" / "figures"
    for kind in ("svg", "pdf", "png"):
        assert picture.content(kind) == (home / f"agreement_scores.{kind}").read_bytes()
    assert picture._repr_svg_().lstrip().startswith("<?xml")
    with pytest.raises(StudyError, match="no figure is a gif"):
        picture.content("gif")


def test_one_of_several_studies_has_to_be_named(made, tmp_path):
    results, _, _ = made
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(results / "two")
    with pytest.raises(StudyError, match="2 studies in") as refusal:
        neurolim.open(tmp_path)
    assert str(refusal.value).endswith("allowed: one, two")
    assert neurolim.open(tmp_path, study="two").name == "two"


@pytest.mark.parametrize("place", ["", "nothing", "a.txt"])
def test_what_is_no_result_is_refused_in_a_line(tmp_path, place):
    (tmp_path / "a.txt").write_text("no zip")
    with pytest.raises((StudyError, RuntimeError)) as refusal:
        neurolim.open(tmp_path / place)
    assert "\n" not in str(refusal.value)
    with pytest.raises(StudyError, match="no results in"):
        neurolim.open(tmp_path / "nothing", study="two")


def test_an_unknown_study_is_refused_with_the_known_ones(made):
    with pytest.raises(StudyError, match=r"no study three in .*two"):
        neurolim.open(made[0], study="three")


def test_altered_files_are_refused(made, tmp_path):
    home = tmp_path / "two"
    shutil.copytree(made[0] / "two", home)
    table = home / "tables" / "agreement.json"
    table.write_text(table.read_text().replace("agrees", "disagrees"))
    figure = home / "figures" / "agreement_scores.png"
    figure.unlink()
    with (home / "data.zip").open("ab") as stream:
        stream.write(b"x")
    opened = neurolim.open(home)
    with pytest.raises(StoreError, match=r"agreement\.json: checksum differs"):
        _ = opened.tables
    with pytest.raises(StoreError, match=r"agreement_scores\.png: missing"):
        opened.figures["agreement_scores"].content("png")
    with pytest.raises(StoreError, match=r"data\.zip: checksum differs"):
        _ = opened.data


def test_the_package_says_its_version():
    assert neurolim.__version__ == version("neurolim")
