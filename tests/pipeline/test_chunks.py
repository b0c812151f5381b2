"""Runs that chunk files hold are found again, however a study is written, and never wrongly."""

import json
from typing import Any

import numpy as np
import pytest

from neurolim import run_study
from neurolim.pipeline.chunks import chunk_paths, forecast
from neurolim.pipeline.layout import layout_of
from neurolim.store import store
from neurolim.study.read import parse_study

BEFORE: dict[str, Any] = {
    "model": "linear",
    "solver": "particles",
    "params": {"sigma": 0.5, "b": 0.3},
    "options": {"n_neurons": 8, "t_end": 0.1, "records": 1, "dt": 0.05},
    "reference": "moments",
    "grid": {"eps": [0.4, 0.1, 0.2], "a": {"values": [1.0, 2.0], "noise": "common"}},
    "replicas": 4,
    "seed": 3,
    "chunk_seconds": 0.0076,
}


def changed(**keys):
    """Return the study with other keys, without those that are None."""
    return parse_study({key: part for key, part in (BEFORE | keys).items() if part is not None})


def copied(study, results):
    """Return how many runs the chunks of a study were given by others, and how many they have."""
    notes = [path.with_suffix(".cost") for path in chunk_paths(study, layout_of(study, results))]
    return sum(json.loads(note.read_text())["copied_runs"] for note in notes)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Return results of the study that all others are compared with."""
    results = tmp_path_factory.mktemp("before")
    run_study(changed(), results)
    return results


@pytest.fixture
def results(template, tmp_path):
    """Return a folder with the results of the study as it was."""
    for path in template.rglob("*"):
        target = tmp_path / "after" / path.relative_to(template)
        if path.is_dir():
            target.mkdir(parents=True)
        else:
            target.write_bytes(path.read_bytes())
    return tmp_path / "after"


EPS = [0.4, 0.1, 0.2]
COMMON = {"values": [1.0, 2.0], "noise": "common"}
LONGER = {"values": [2.0, 1.0, 3.0], "noise": "common"}
RENAMED = {"zip": {"a": [1.0, 2.0], "c": [0.0, 0.0]}, "noise": "common"}
NEW = {"values": [0.0, 0.7], "noise": "common"}
CHANGES: dict[str, tuple[dict[str, Any], int]] = {
    "other chunks": ({"chunk_seconds": 100.0}, 24),
    "more replicas": ({"replicas": 7}, 24),
    "fewer replicas": ({"replicas": 3}, 18),
    "another order of values": ({"grid": {"eps": [0.1, 0.2, 0.4], "a": COMMON}}, 24),
    "another order of axes": ({"grid": {"a": COMMON, "eps": [0.4, 0.1, 0.2]}}, 24),
    "more values between": ({"grid": {"eps": [0.4, 0.3, 0.1, 0.2], "a": COMMON}}, 24),
    "a longer axis": ({"grid": {"eps": EPS, "a": LONGER}}, 24),
    "a shorter axis": ({"grid": {"eps": [0.2], "a": COMMON}}, 8),
    "a renamed axis": ({"grid": {"eps": EPS, "path": RENAMED}}, 24),
    "a new axis": ({"grid": {"eps": EPS, "a": COMMON, "c": NEW}}, 24),
    "an axis less": ({"grid": {"eps": EPS}, "params": {"sigma": 0.5, "b": 0.3, "a": 2.0}}, 12),
    "a default that is said": ({"params": {"sigma": 0.5, "b": 0.3, "c": 0.0}}, 24),
    "no reference": ({"reference": None}, 24),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_runs_that_are_there_are_not_solved_again(results, tmp_path, change):
    keys, kept = CHANGES[change]
    study = changed(**keys)
    told = forecast(study, layout_of(study, results))
    assert (told.kept, told.new) == (kept, study.n_runs - kept)
    run_study(study, results)
    run_study(study, tmp_path / "fresh")
    # What was there decides how long it takes, not what comes out.
    old, new = (layout_of(study, folder).home for folder in (results, tmp_path / "fresh"))
    for path in [*new.glob("chunks/*.zip"), *new.glob("chunks/*.json"), new / "data.zip"]:
        assert (old / path.relative_to(new)).read_bytes() == path.read_bytes()
    assert copied(study, tmp_path / "fresh") == 0
    assert forecast(study, layout_of(study, results)) == (study.n_runs, 0, False)
    # Nothing that was computed is gone.
    assert forecast(changed(), layout_of(changed(), results)).kept == 24


OTHERS: dict[str, dict[str, Any]] = {
    "seed": {"seed": 4},
    "a parameter": {"params": {"sigma": 0.5, "b": 0.4}},
    "an option": {"options": {**BEFORE["options"], "dt": 0.025}},
    "independent noise": {"grid": {"eps": [0.4, 0.1, 0.2], "a": [1.0, 2.0]}},
    "another model": {"model": "fitzhugh_nagumo", "reference": None},
}


@pytest.mark.parametrize("change", OTHERS)
def test_runs_of_another_content_are_none_of_the_study(results, change):
    keys = OTHERS[change]
    study = changed(**keys)
    told = forecast(study, layout_of(study, results))
    assert (told.kept, told.replaced) == (0, True)


def test_a_reference_that_changes_leaves_the_runs(results):
    study = changed(reference={"solver": "moments", "options": {"t_end": 0.1}}, replicas=5)
    assert forecast(study, layout_of(study, results)).kept == 24
    other = changed(reference="limit")
    assert forecast(other, layout_of(other, results)).kept == 24
    run_study(other, results)
    assert copied(other, results) == 24


def test_damaged_chunks_give_nothing(results, tmp_path):
    layout = layout_of(changed(), results)
    first, second, third, *_ = chunk_paths(changed(), layout)
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:100])
    store.record_of(third).write_text("{")
    study = changed(replicas=5)
    assert forecast(study, layout_of(study, results)).kept < 24
    run_study(study, results)
    run_study(study, tmp_path / "fresh")
    for path in chunk_paths(study, layout_of(study, results)):
        fresh = tmp_path / "fresh" / path.relative_to(results)
        assert path.read_bytes() == fresh.read_bytes()


def test_code_that_changed_makes_all_runs_again(results, monkeypatch):
    before = changed(replicas=5)
    assert forecast(before, layout_of(before, results)).kept == 24
    monkeypatch.setattr(
        "neurolim.pipeline.chunks.solver_codes", lambda study: {"run": "x", "point": "y"}
    )
    assert forecast(before, layout_of(before, results)).kept == 0


def test_every_point_has_an_identity_of_its_own():
    study = changed(grid={"eps": [0.4, 0.1, 0.2], "a": COMMON, "c": [0.1, 0.2, 0.3]})
    for identities in study.identities:
        assert len(np.unique(identities, axis=0)) == study.n_points
    runs, references = study.identities
    assert not (runs == references).all(axis=1).any()
