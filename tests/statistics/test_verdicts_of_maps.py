"""Maps are judged where a statement says what to expect, and not next to a bifurcation."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.judging import verdict_of

from neurolim.core import Kind
from neurolim.statistics.balance import balance_phase
from neurolim.statistics.contraction import gap_bound
from neurolim.statistics.spiking import regime


def phases(agrees: list[float], leading: list[float]) -> xr.Dataset:
    data = {
        "phase": ("g", np.zeros(len(agrees))),
        "leading": ("g", leading),
        "settled": (("g", "replica"), np.array(agrees)[:, None]),
        "agrees": (("g", "replica"), np.array(agrees)[:, None]),
    }
    return xr.Dataset(data, {"g": np.arange(len(agrees))})


@pytest.mark.parametrize(
    ("agrees", "leading", "kind"),
    [
        ([1.0, 1.0, 1.0], [-1.0, -0.5, 2.0], Kind.AGREES),
        ([1.0, 1.0, 0.0], [-1.0, -0.5, 2.0], Kind.DISAGREES),
        # e^-2 of the start is left: a run that differs there says nothing.
        ([1.0, 1.0, 0.0], [-1.0, -0.5, -0.1], Kind.AGREES),
        ([1.0, 1.0, 1.0], [0.1, -0.05, 0.02], Kind.UNDECIDED),
        ([1.0, 1.0, np.nan], [-1.0, -0.5, 2.0], Kind.AGREES),
    ],
)
def test_phases_are_judged_by_the_runs_that_have_forgotten_their_start(agrees, leading, kind):
    dataset, options = phases(agrees, leading), {"after": 20.0, "near": 0.1}
    table, _ = balance_phase.judge(dataset, options, {"agrees": {"order": 1.0}})
    assert verdict_of(table.rows[0]).kind == kind
    assert table.rows[0].values["agree"] == np.nansum(agrees)
    # Of the other phases there is no run.
    assert len(table.verdicts) == 1
    table, _ = balance_phase.judge(dataset, options, {})
    assert table.verdicts == ()


def cells(agrees: list[int], robust: list[int]) -> xr.Dataset:
    data = dict.fromkeys(("regime", "regime_limit"), ("cell", np.ones(len(agrees), np.int8)))
    evidence = dict.fromkeys(regime._EVIDENCE, ("cell", np.ones(len(agrees))))
    both = {"agrees": ("cell", agrees), "robust": ("cell", robust)}
    return xr.Dataset(data | evidence | both, {"cell": np.arange(len(agrees))})


@pytest.mark.parametrize(
    ("agrees", "robust", "kinds"),
    [
        ([1] * 9 + [0], [1] * 9 + [0], [Kind.AGREES, Kind.AGREES]),
        ([1] * 9 + [0], [1] * 10, [Kind.AGREES, Kind.DISAGREES]),
        ([1] * 8 + [0, -1], [1] * 8 + [0, 0], [Kind.DISAGREES, Kind.AGREES]),
        ([1] * 10, [-1] * 10, [Kind.AGREES, Kind.UNDECIDED]),
    ],
)
def test_a_map_agrees_with_its_limit_in_the_share_that_is_expected(agrees, robust, kinds):
    expect = {"agrees": {"order": 0.9}, "robust": {"order": 1.0}}
    _, summary = regime.judge(cells(agrees, robust), {}, expect)
    assert [verdict_of(row).kind for row in summary.verdicts] == kinds
    assert [row.quantity for row in summary.verdicts] == ["agrees", "robust"]
    assert regime.judge(cells(agrees, robust), {}, {})[1].verdicts == ()


@pytest.mark.parametrize(
    ("gap", "error", "proven", "kind"),
    [
        (0.9, 0.01, 0.3, Kind.AGREES),
        (0.2, 0.01, 0.3, Kind.DISAGREES),
        (0.295, 0.01, 0.3, Kind.UNDECIDED),
        (0.9, 0.01, np.nan, Kind.NOT_JUDGED),
        (np.nan, np.nan, 0.3, Kind.UNDECIDED),
    ],
)
def test_a_gap_keeps_to_the_proven_rate(gap, error, proven, kind):
    dataset = xr.Dataset({"gap": gap, "gap_error": error, "lambda_sync": proven})
    (table,) = gap_bound.judge(gap_bound.apply(dataset, of="law"), {}, {})
    (row,) = table.rows
    assert verdict_of(row).kind == kind
    if kind is Kind.AGREES:
        assert verdict_of(row).expectation == ">= 0.3"
