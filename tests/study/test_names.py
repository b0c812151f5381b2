"""Names of axes, variables and results: those that no disk or archive takes are refused early."""

from __future__ import annotations

import pytest

from neurolim import StudyError
from neurolim.api import run_study
from neurolim.archive.contents import has_place
from neurolim.core import Model, Noise, State
from neurolim.store.zipped import write_zip
from neurolim.study.read import parse_study

BAD = ("two words", "a/b", "zarr.json", "", ".", "..", "x" * 300, "é", "x\n", "$x$", "-x", "con",
       "AUX", "EPS", "Time", "a.b")  # fmt: skip
GOOD = ("start", "_x", "2", "a-b", "at", "index", "data", "run", "point", "measured", "x" * 80)


def study(axis="start", **changes):
    several = {axis: {"zip": {"eps": [0.1, 0.2], "sigma": [1.0, 2.0]}}}
    options = {"t_end": 1.0, "records": 3}
    base = {"model": "linear", "solver": "limit", "options": options, "grid": several}
    return base | changes


@pytest.mark.parametrize("name", BAD)
def test_an_axis_that_cannot_be_stored_is_refused_before_anything_runs(name):
    with pytest.raises(StudyError) as caught:
        parse_study(study(name))
    assert caught.value.key == f"grid.{name}"
    assert caught.value.allowed


@pytest.mark.parametrize("name", GOOD)
def test_every_other_axis_is_there_in_the_end_and_may_be_archived(name, tmp_path):
    found = run_study(parse_study(study(name), "x" * 80), tmp_path)
    assert found[name].values.tolist() == [0, 1]
    assert found["eps"].dims == (name,)
    path = f"statistics/{'x' * 80}/{name}/c/10/10/10/10/10"
    assert has_place(path)
    with (tmp_path / "archive.zip").open("wb") as stream:
        write_zip(stream, [(path, b"")])


@pytest.mark.parametrize("name", ["con", "x" * 81, "aux"])
def test_a_study_has_a_name_that_files_may_have(name):
    with pytest.raises(StudyError) as caught:
        parse_study(study(), name)
    assert caught.value.key == "name"


def test_results_of_two_variables_that_differ_in_capitals_only_are_refused():
    model = Model(
        summary="a network of this test",
        source="this test",
        state=(State("v"), State("V")),
        params=(),
        drift=lambda x: (-x.v, -x.V),
        noise=(Noise("v", 1.0), Noise("V", 1.0)),
    )
    given = {"model": model, "solver": "particles", "replicas": 2}
    given["statistics"] = ["pair_covariance"]
    with pytest.raises(StudyError, match="in capitals only"):
        parse_study(given)


FIGURE = """
from matplotlib.figure import Figure as Picture

from neurolim.core import Figure

FIGURE = Figure("a figure", (), lambda *_: (), lambda *_: Picture(), lambda: None)
"""


@pytest.mark.parametrize("stem", ["con", "x" * 100])
def test_a_figure_has_a_name_that_files_may_have(stem, tmp_path):
    (tmp_path / f"{stem}.py").write_text(FIGURE)
    with pytest.raises(StudyError) as caught:
        parse_study(study(figures=[str(tmp_path / f"{stem}.py")]))
    assert caught.value.key == f"figures.{stem}"


def test_an_alias_that_makes_too_long_names_of_results_is_refused(mapping):
    long = {"concentration": {"after": 0.2}, "as": "x" * 80}
    changes = {"statistics": [long], "expect": {}, "figures": []}
    with pytest.raises(StudyError, match="no name of results") as caught:
        parse_study(mapping | changes)
    assert caught.value.key == f"statistics.{'x' * 80}"
