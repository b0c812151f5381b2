"""Every study we ship: it is accepted, and at test size it differs in size only."""

from pathlib import Path

import pytest

from neurolim.study.plan import plan
from neurolim.study.read import load_study

CONFIG = Path(__file__).parents[2] / "config" / "studies"
STUDIES = sorted(path.stem for path in CONFIG.glob("*.yaml"))


@pytest.mark.parametrize("name", STUDIES)
def test_full_and_tiny_study_differ_in_size_only(name):
    full, tiny = (load_study(CONFIG / f"{name}.yaml", tiny=size) for size in (False, True))
    assert (full.tiny, tiny.tiny) == (False, True)
    assert plan(tiny).core_seconds < plan(full).core_seconds
    # The number of sites is a size.
    assert {**full.spec.params, "sites": None} == {**tiny.spec.params, "sites": None}
    for field in ("axes", "statistics", "figures"):
        names = [[entry.name for entry in getattr(study, field)] for study in (full, tiny)]
        assert names[0] == names[1], field
