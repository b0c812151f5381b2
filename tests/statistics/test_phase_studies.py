"""The studies of phase diagrams and mixed-mode oscillations at test size, end to end."""

from __future__ import annotations

import pandas as pd
import pytest

from neurolim.api import run_study
from neurolim.core import Status
from neurolim.study.read import load_study

STUDIES = (
    "basins",
    "coherence",
    "fig-7-1",
    "fig-7-2",
    "fig-7-3",
    "fig-7-3-paths",
    "fig-7-3-reduced",
    "fig-7-4",
    "fig-7-4-transition",
    "map-current-a",
    "map-current-b",
    "map-current-eps",
    "map-current-n",
    "map-limit-agreement",
    "mmo-neurons",
    "mmo-noise",
)


SAMPLED = ("map-current-a",)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(s, marks=pytest.mark.ci) if s in SAMPLED else s for s in STUDIES]
)
def test_tiny_study_runs_to_tables_and_figures(root, tmp_path, name):
    study = load_study(root / "config" / "studies" / f"{name}.yaml", tiny=True)
    found, home = run_study(study, tmp_path), tmp_path / "tiny" / name
    status = found["status"].values
    assert ((status == int(Status.OK)) | (status == int(Status.SKIPPED))).all()
    tables = sorted((home / "tables").glob("*.csv"))
    assert len(tables) > 1
    for table in tables:
        assert len(pd.read_csv(table).columns) > 1, table
    for entry in study.figures:
        assert (home / "figures" / f"{entry.name}.png").stat().st_size > 1000
