"""Convergence rates of datasets: what counts as a replica, and what a table says of it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.judging import verdict_of

from neurolim import core
from neurolim.core import Kind

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
    orders, _ = RATE.judge(found, OPTIONS | options, {"x": {"order": 1.0}})
    (row,) = orders.rows
    return row


def test_one_replica_of_a_stochastic_solver_gives_no_verdict():
    row = table(EPS[:, None], ("eps", "replica"))
    assert verdict_of(row).kind == Kind.UNDECIDED
    assert verdict_of(row).reason == "too few usable levels"
    assert row.values["levels"] == 0
    assert table(EPS, ("eps",)).verdict.kind == Kind.AGREES


@pytest.mark.parametrize("correction", [False, True])
def test_the_constant_belongs_to_the_expected_order(correction):
    bend = 1.0 + 8.0 * EPS if correction else 1.0
    row = table(3.0 * EPS / bend, ("eps",), correction=correction)
    assert row.values["order"] == pytest.approx(1.0, abs=1e-12)
    assert row.values["constant"] == pytest.approx(3.0, rel=1e-11)
