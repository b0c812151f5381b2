"""Runs are found by what they are, in all studies of all folders that are asked."""

from typing import Any

import pytest

from neurolim import StudyError, run_study
from neurolim.cli import main
from neurolim.pipeline.find import conditions_of, find

COMMON: dict[str, Any] = {"model": "linear", "options": {"t_end": 1.0, "records": 1}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return two folders of results, of three studies."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    moments = COMMON | {"solver": "moments", "grid": {"eps": [0.1, 0.01], "b": [0.2, 0.4]}}
    run_study(moments, one)
    run_study(moments | {"params": {"c": 0.5}, "tiny": {"grid": {"eps": [0.1]}}}, two, tiny=True)
    options = {**COMMON["options"], "n_neurons": 4}
    path = one / "network.yaml"
    path.write_text(
        f"model: linear\nsolver: particles\noptions: {options}\n"
        "params: {b: 0.4}\ngrid: {eps: [0.1, 0.5]}\nreplicas: 3\n"
    )
    run_study(path, one)
    return one, two


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["eps=0.1"], {("study", 0.2, 1), ("study", 0.4, 1), ("network", None, 3)}),
        (["eps=1e-1", "b=0.4"], {("study", 0.4, 1), ("network", None, 3)}),
        (["b=0.4", "solver=particles"], {("network", None, 3)}),
        (["n_neurons=4", "eps=0.5"], {("network", None, 3)}),
        (["eps=0.3"], set()),
        (["model=fitzhugh_nagumo"], set()),
        (["gamma=1"], set()),
    ],
)
def test_points_are_found_by_axes_parameters_options_and_names(folders, words, expected):
    runs = list(find(folders[:1], conditions_of(words)))
    assert {(each.study, each.point.get("b"), each.runs) for each in runs} == expected
    assert all(each.failed == 0 for each in runs)


def test_folders_and_sizes_are_looked_at_together(folders):
    runs = list(find(folders, conditions_of(["c=0.5"])))
    assert [(each.point["eps"], each.point["b"]) for each in runs] == [(0.1, 0.2), (0.1, 0.4)]
    assert all(each.path == folders[1] / "tiny" / "study" / "data.zip" for each in runs)
    assert len(list(find(folders, {}))) == 4 + 2 + 2


def test_the_verb_says_what_there_is_or_that_there_is_none(folders, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["find", "eps=0.5", "--results", str(folders[0])])
    assert not caught.value.code
    assert "network" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["find", "eps=7", "--results", str(folders[0]), "--results", str(folders[1])])
    assert caught.value.code == 1
    for words in (["eps"], ["=1"], ["eps="]):
        with pytest.raises(StudyError, match="NAME=VALUE"):
            conditions_of(words)
    with pytest.raises(StudyError, match="no folder"):
        list(find([folders[0] / "nowhere"], {}))
