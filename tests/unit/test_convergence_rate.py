"""Convergence rates of datasets: what counts as a replica, and what a table says of it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurolim import core

EPS = np.array([0.1, 0.05, 0.02, 0.01, 0.005])
RATE = core.get("statistic", "convergence_rate")
OPTIONS = {
    "of": ("x",),
    "over": "eps",
    "correction": False,
    "resamples": 200,
    "confidence": 0.95,
    "bootstrap_seed": 0,
    "limit": "zero",
    "below": 0.0,
}


def table(array, dims, **options):
    dataset = xr.Dataset({"x": (dims, array)}, {"eps": EPS})
    found = RATE.apply(dataset, **(OPTIONS | options))
    (row,) = RATE.tables(found, {"x": {"order": 1.0}})["convergence_rate"].to_dict("records")
    return row


def test_one_replica_of_a_stochastic_solver_gives_no_verdict():
    row = table(EPS[:, None], ("eps", "replica"))
    assert row["verdict"] == "inconclusive: too few usable levels"
    assert row["levels_dropped"].count("one sample") == 5
    assert table(EPS, ("eps",))["verdict"] == "contains"


@pytest.mark.parametrize("correction", [False, True])
def test_the_constant_belongs_to_the_expected_order(correction):
    bend = 1.0 + 8.0 * EPS if correction else 1.0
    row = table(3.0 * EPS / bend, ("eps",), correction=correction)
    assert row["order"] == pytest.approx(1.0, abs=1e-12)
    assert row["constant"] == pytest.approx(3.0, rel=1e-11)
