"""Every statistic reproduces its known answers and keeps its promises."""

from __future__ import annotations

import pytest
import xarray as xr

from neurolim import core

CASES = [
    (name, i)
    for name in core.names("statistic")
    for i in range(len(core.get("statistic", name).exact()))
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_known_answers(name, case):
    statistic = core.get("statistic", name)
    dataset, options, checks = statistic.exact()[case]
    before = dataset.copy(deep=True)
    found = statistic.apply(dataset, **options)
    xr.testing.assert_identical(dataset, before)
    assert checks
    for variable, place, expected, tolerance in checks:
        value = found[variable].sel(place)
        if "replica" in value.dims:
            value = value.mean("replica")
        if "time" in value.dims:
            value = value.mean("time")
        assert abs(float(value) - expected) <= tolerance, (variable, place)
    state = tuple(str(v) for v in dataset["variable"].values) if "variable" in dataset else ()
    assert set(statistic.gives(options, state)) == set(found.data_vars)
    assert set(statistic.needs(options)) <= set(dataset.variables)
    assert set(statistic.tables(found, {})) == set(statistic.table_names)


@pytest.mark.parametrize("name", core.names("statistic"))
def test_options_have_defaults_that_pass_their_own_checks(name):
    for param in core.get("statistic", name).options:
        if param.default is not None:
            assert param.check(param.default) == param.default
