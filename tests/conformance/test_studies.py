"""Every study we ship: it is accepted, and its tiny twin differs from it in size only."""

from pathlib import Path

import pytest

from neurolim.sweep.study import load_study

CONFIG = Path(__file__).parents[2] / "config"
STUDIES = sorted(path.stem for path in (CONFIG / "studies").glob("*.yaml"))


def test_every_study_has_a_tiny_twin():
    assert sorted(path.stem for path in (CONFIG / "tiny").glob("*.yaml")) == STUDIES


@pytest.mark.parametrize("name", STUDIES)
def test_full_and_tiny_study_differ_in_size_only(name):
    full, tiny = (load_study(CONFIG / folder / f"{name}.yaml") for folder in ("studies", "tiny"))
    for field in ("title", "claim", "model", "solver", "expect"):
        assert getattr(full, field) == getattr(tiny, field), field
    # The number of sites is a size.
    assert {**full.params, "sites": None} == {**tiny.params, "sites": None}
    for field in ("axes", "statistics", "figures"):
        names = [[entry.name for entry in getattr(study, field)] for study in (full, tiny)]
        assert names[0] == names[1], field
