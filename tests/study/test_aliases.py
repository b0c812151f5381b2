"""The same statistic twice in a study: an alias stands before the names of all its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurolim import StudyError
from neurolim.api import run_study
from neurolim.core import Kind
from neurolim.pipeline.layout import layout_of
from neurolim.pipeline.results import without_prefix
from neurolim.pipeline.tables import read_table
from neurolim.pipeline.verdicts import outcome_of
from neurolim.study.read import parse_study
from neurolim.study.study import Study

OF = ["voltage_mean", "voltage_variance"]
OVER_N: dict[str, Any] = {"convergence_rate": {"of": OF, "over": "n_neurons", "resamples": 100}}
OVER_EPS: dict[str, Any] = {"convergence_rate": {"of": OF, "over": "eps", "resamples": 100}}


def study(*statistics: Any, **more: Any) -> Study:
    return parse_study(
        {
            "model": "fitzhugh_nagumo",
            "solver": "particles",
            "reference": "limit",
            "options": {"t_end": 1.0, "records": 1, "dt": 0.05},
            "grid": {"eps": {"inverse": [10, 20, 40]}, "n_neurons": [400, 800, 1600]},
            "replicas": 8,
            "statistics": ["concentration", *statistics],
            **more,
        }
    )


def test_a_statistic_listed_twice_gives_what_each_gives_alone(tmp_path):
    expect = {"voltage_mean": {"order": -0.5}, "by_eps_voltage_mean": {"order": 1.0, "claim": "C"}}
    twice = study(OVER_N, OVER_EPS | {"as": "by_eps"}, expect=expect, figures=["rate_plot"])
    both = run_study(twice, tmp_path / "twice")
    for name, alone, prefix in (("n", OVER_N, ""), ("eps", OVER_EPS, "by_eps_")):
        single = run_study(study(alone, expect={"voltage_mean": {"order": 1.0}}), tmp_path / name)
        for part in ("order", "order_low", "level_error", "level_value", "quantity"):
            np.testing.assert_array_equal(both[prefix + part].values, single[part].values)
        for table in ("convergence_rate", "convergence_levels"):
            path = layout_of(twice, tmp_path / "twice").home / "tables" / f"{prefix}{table}.json"
            rows = read_table(path).rows
            single_rows = read_table(tmp_path / name / "study" / "tables" / f"{table}.json").rows
            assert [row.quantity for row in rows] == [prefix + row.quantity for row in single_rows]
            assert [row.values["over"] for row in rows] == [
                row.values["over"] for row in single_rows
            ]
    assert np.isfinite(both["by_eps_order"]).any()
    outcome = outcome_of(twice, tmp_path / "twice")
    expected = {
        row.quantity: verdict.expected
        for _, row, verdict in outcome.judged
        if verdict.kind != Kind.NOT_JUDGED
    }
    assert {name: expected[name] for name in expect} == {
        "voltage_mean": -0.5,
        "by_eps_voltage_mean": 1.0,
    }


def test_results_of_others_that_begin_like_an_alias_keep_their_names():
    every = xr.Dataset(
        {
            "decay_rate": (("decay_axis", "decay_level"), [[3.0, 4.0]]),
            "rate": ("level", [1.0]),
            "decay_time": ((), 7.0),
            "trace": ("time", [1.0, 2.0]),
        },
        {"decay_axis": [5], "decay_level": [10, 20], "level": [0], "time": [0.1, 0.2]},
    )
    own = without_prefix(every, "decay_", ["decay_rate"], {"decay_axis"})
    names = {"rate", "level", "decay_time", "decay_axis", "trace", "time"}
    assert {*own.variables, *own.dims} == names
    np.testing.assert_array_equal(own["rate"], [[3.0, 4.0]])
    np.testing.assert_array_equal(own["level"], [10, 20])
    np.testing.assert_array_equal(own["trace"], [1.0, 2.0])


def test_a_statistic_in_a_file_has_an_alias_too():
    path = Path(__file__).parents[2] / "src/neurolim/statistics/orders/convergence_rate.py"
    ((_, options),) = OVER_EPS.items()
    for entry in ({str(path): options, "as": "by_eps"}, {"as": "by_eps", str(path): options}):
        (_, found) = study(entry).statistics
        assert (found.name, found.label) == ("convergence_rate", "by_eps")


@pytest.mark.parametrize(
    ("statistics", "more", "problem"),
    [
        ([OVER_N, OVER_EPS], {}, "listed twice; allowed: once or with an alias"),
        ([OVER_N | {"as": "a"}, OVER_EPS | {"as": "a"}], {}, "statistics.a: listed twice"),
        ([OVER_N | {"as": "A b"}], {}, "as: a name of a-z"),
        ([OVER_N | {"as": 3}], {}, "as: a name of a-z"),
        ([OVER_N | {"name": "a"}], {}, "not a list of names"),
        ([OVER_N, OVER_EPS | {"as": "a"}], {"expect": {"a_order": {}}}, "no table compares"),
        ([OVER_N], {"figures": [{"rate_plot": {}, "as": "other"}]}, "a figure may not"),
        ([OVER_N | {"as": "a"}], {"figures": ["rate_plot"]}, "figures.rate_plot: needs"),
    ],
)
def test_what_an_alias_cannot_be_is_refused_in_one_line(statistics, more, problem):
    with pytest.raises(StudyError) as caught:
        study(*statistics, **more)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
