"""Odd arguments of what a program calls are refused by name, at once, and never as a traceback."""

from __future__ import annotations

import decimal
import io
import os
import signal
from typing import Any

import numpy as np
import pytest

import neurolim
from neurolim import StudyError, load_study, run_study, solve
from neurolim.study.read import parse_study

OPTIONS = {"t_end": 1.0, "records": 2}
NETWORK = OPTIONS | {"n_neurons": 20, "dt": 0.05}
STUDY = {"model": "linear", "solver": "limit", "options": OPTIONS}
NO_PATHS: tuple[Any, ...] = (
    *(None, 1, 3.5, True, b"x", ["x"], (1,), set(), object(), io.StringIO("a")),
    *("", "a\0b", "\ud800", "x" * 5000),
)


@pytest.fixture(autouse=True)
def ends():
    """Fail what waits for somebody."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("waits for ever"))
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refused(call, *words, **named):
    """Return the key of the refusal of a call."""
    with pytest.raises(StudyError) as caught:
        call(*words, **named)
    assert str(caught.value).isprintable()
    return caught.value.key


@pytest.mark.parametrize(
    "names",
    [(None, None), (1, 2), ("", ""), (["linear"], ["limit"]), (b"linear", b"limit"), ({}, "limit"),
     (StudyError, "limit"), ("linear", {}), ("a\0b", "limit"), ("\ud800", "limit"),
     ("limit", "linear"), ("linear", "nope.py"), ("linear", "a\0.py")],
)  # fmt: skip
def test_a_model_and_a_solver_are_names_or_plug_ins(names):
    assert refused(solve, *names, options=OPTIONS).split(".")[0] in ("model", "solver")


@pytest.mark.parametrize(
    "given",
    [1, "x", [], [1], {1: 2}, {None: 1}, {"": 1}, {"a": None}, {"a": [1.0, 2.0]}, {"a": "1"},
     {"a": b"1"}, {"a": True}, {"a": np.bool_(1)}, {"a": decimal.Decimal(1)}, {"a": 1j},
     {"a": np.nan}, {"a": np.array(0.3)}, {"a": np.inf}, {"a": 10**400}, {"a": object()},
     {"a": {}}, {"a": np.datetime64("2020")}, {"a": np.ma.masked}],
)  # fmt: skip
def test_parameters_and_options_are_mappings_of_what_is_allowed(given):
    assert refused(solve, "linear", "limit", given, OPTIONS).startswith("params")
    assert refused(solve, "linear", "limit", None, given).startswith("options")


@pytest.mark.parametrize(
    "seed", [np.int64(0), -1, 2**63, 1.0, "1", None, True, [], np.array(3), 1j]
)
def test_a_seed_is_an_integer(seed):
    assert refused(solve, "linear", "particles", None, NETWORK, seed=seed) == "seed"


@pytest.mark.parametrize("replicas", [np.int64(2), 0, -1, 2**32, 1.5, "2", None, True, range(2)])
def test_replicas_are_counted(replicas):
    assert refused(solve, "linear", "particles", None, NETWORK, replicas=replicas) == "replicas"


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", None, True, np.inf, 2**40, []])
def test_workers_are_counted(workers, tmp_path):
    assert refused(run_study, STUDY, tmp_path, workers=workers) == "workers"
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_numbers(tmp_path):
    given: dict[str, Any] = {"workers": np.int64(1), "tiny": np.False_}
    found = run_study(STUDY, tmp_path, **given)
    again = solve(
        "linear", "limit", {"a": np.float32(0.25)}, {"t_end": np.float64(1), "records": 2}
    )
    assert found.sizes["time"] == again.sizes["time"] == 3


@pytest.mark.parametrize("path", NO_PATHS, ids=lambda path: repr(path)[:20])
def test_paths_are_texts_or_paths(path, tmp_path):
    assert refused(run_study, STUDY, path) == "results"
    assert refused(run_study, path, tmp_path) == "path"
    assert refused(load_study, path) == "path"
    assert refused(neurolim.open, path) == "path"


@pytest.mark.parametrize("flag", [None, "yes", 1, []])
def test_flags_are_true_or_false(flag, tmp_path):
    (tmp_path / "one.yaml").write_text("model: linear\nsolver: limit\n")
    assert refused(run_study, STUDY, tmp_path, tiny=flag) == "tiny"
    assert refused(load_study, tmp_path / "one.yaml", tiny=flag) == "tiny"
    assert refused(load_study, tmp_path / "one.yaml", analysis=flag) == "analysis"
    assert refused(parse_study, STUDY, tiny=flag) == "tiny"


@pytest.mark.parametrize("progress", [None, "print", 1])
def test_progress_is_called(progress, tmp_path):
    assert refused(run_study, STUDY, tmp_path, progress=progress) == "progress"


@pytest.mark.parametrize("name", [None, 1, "", b"x", "A", "../x", "x/y", ["x"]])
def test_a_study_has_a_name(name):
    assert refused(parse_study, STUDY, name) == "name"


@pytest.mark.parametrize("study", [1, b"study", "", "nope", ["study"], "../results", "study/"])
def test_a_study_is_opened_by_its_name(study, tmp_path):
    run_study(STUDY, tmp_path)
    assert refused(neurolim.open, tmp_path, study) == "study"


@pytest.mark.parametrize(
    "said",
    [None, 1, [], "x", {1: 2}, {"model": 1}, STUDY | {"grid": []}, STUDY | {"grid": {1: [1]}},
     STUDY | {"statistics": [None]}, STUDY | {"figures": [{}]}, STUDY | {"params": None},
     STUDY | {"grid": {"eps": (x for x in [1])}}, STUDY | {"reference": 1}, STUDY | {"tiny": 1},
     STUDY | {"expect": {"x": 1}}, STUDY | {"refine": 1}, STUDY | {"failed_share": np.nan}],
)  # fmt: skip
def test_a_study_is_a_mapping_of_its_keys(said):
    refused(parse_study, said)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    for name in ("pipe", "pipe.yaml", "pipe.py", "pipe.csv"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "lost.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("pipe.yaml", "loop.yaml", "lost.yaml", "folder.yaml"):
        refused(load_study, tmp_path / name)
    refused(load_study, "/dev/zero")
    refused(neurolim.open, tmp_path / "pipe")
    assert refused(solve, str(tmp_path / "pipe.py"), "limit") == "model"
    graph = NETWORK | {"graph": str(tmp_path / "pipe.csv")}
    assert refused(solve, "linear", "graph", None, graph) == "options.graph"
