"""The studies of contraction at test size, end to end, and refusals of their statistics."""

from __future__ import annotations

import pandas as pd
import pytest

from neurolim.api import run_study
from neurolim.core import StudyError
from neurolim.study.read import parse_study

STUDIES = (
    "theorem-1",
    "theorem-2",
    "corollary-1",
    "arrhenius",
    "theorem-3",
    "theorem-4",
    "proposition-1",
    "reflection-schemes",
    "contraction-map",
    "wasserstein",
)


SAMPLED = ("theorem-4", "reflection-schemes")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(s, marks=pytest.mark.ci) if s in SAMPLED else s for s in STUDIES]
)
def test_tiny_study_runs_and_nothing_disagrees(root, tmp_path, name):
    run_study(root / "config" / "studies" / f"{name}.yaml", tmp_path, tiny=True)
    tables = sorted((tmp_path / "tiny" / name / "tables").glob("*.csv"))
    assert tables
    for table in tables:
        frame = pd.read_csv(table)
        if "verdict" in frame:
            assert not frame["verdict"].str.startswith("disagrees").any(), frame


def test_zipped_axes_may_repeat_values_but_not_points(mapping):
    mapping["grid"] = {"case": {"zip": {"eps": [0.1, 0.1], "sigma": [1.0, 2.0]}}}
    mapping["statistics"], mapping["expect"], mapping["figures"] = [], {}, []
    assert parse_study(mapping).n_points == 2
    mapping["grid"]["case"]["zip"]["sigma"] = [1.0, 1.0]
    with pytest.raises(StudyError, match="duplicate"):
        parse_study(mapping)
