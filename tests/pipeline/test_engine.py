"""The engine computes with dask and leaves everybody else's dask alone."""

from __future__ import annotations

import dask
import pytest
from distributed import Client, default_client

from neurolim.pipeline.engine import Engine
from neurolim.pipeline.simulate import simulate
from neurolim.study.read import parse_study

STUDY = {
    "title": "Two points",
    "model": "linear",
    "solver": "moments",
    "options": {"t_end": 1.0, "records": 2},
    "grid": {"eps": [0.1, 0.2]},
}


def test_xarray_and_dask_of_the_caller_do_not_notice_the_engine(tmp_path):
    study = parse_study(STUDY, "two")
    before = dask.config.get("scheduler", None)
    seen = []

    def progress(done, total):
        seen.append((dask.config.get("scheduler", None), done))

    simulate(study, range(2), tmp_path / "0.zip", Engine(workers=1), progress)
    assert {scheduler for scheduler, _ in seen} == {before}
    assert max(done for _, done in seen) == 2
    assert dask.config.get("scheduler", None) == before


def test_a_client_of_the_caller_stays_the_default_one(tmp_path):
    study = parse_study(STUDY, "two")
    with Client(processes=False, n_workers=1, dashboard_address=None) as own:
        simulate(study, range(2), tmp_path / "0.zip", Engine(workers=1))
        assert default_client() is own
        assert own.submit(int, 3).result(timeout=30) == 3
    with pytest.raises(ValueError, match="No clients found"):
        default_client()
