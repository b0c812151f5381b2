"""From the dataset of a study to its statistics, tables and figures: everything but files.

What is written here enters the digests of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import xarray as xr

from neurolim.core import Status, StudyError, Table
from neurolim.pipeline.escapes import mathtext
from neurolim.study.choice import Choice
from neurolim.study.plan import dims_of
from neurolim.study.study import Study


def statistics_of(study: Study, dataset: xr.Dataset) -> xr.Dataset:
    """Return everything the statistics of a study give, as one dataset.

    Raises
    ------
    StudyError : more failed runs than the study allows
    """
    failed = float(failed_runs(dataset).mean())
    if study.statistics and failed > study.spec.failed_share:
        problem = f"{failed:.1%} of the runs failed, or their reference did"
        allowed = f"at most {study.spec.failed_share:.1%}; mend the study or allow more"
        raise study.placed(StudyError("failed_share", problem, allowed))
    result = xr.Dataset(attrs=dict(dataset.attrs))
    for statistic in study.statistics:
        more = study.statistic_arguments(statistic)
        given = statistic.plugin.apply(joined(dataset, result), **more)
        if statistic.alias:
            own = set(map(str, (*given.variables, *given.dims))) - {
                *dataset.variables,
                *dataset.dims,
            }
            given = given.rename({name: statistic.prefix + name for name in own})
        attrs = result.attrs | given.attrs
        result = joined(result, given).assign_attrs(attrs)
    return result.assign_coords(
        {
            name: coord.assign_attrs(dataset[name].attrs)
            for name, coord in result.coords.items()
            if name in dataset.coords
        }
    )


def joined(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """Return two datasets as one; where both have a variable, the first one's counts."""
    return xr.merge([first, second], combine_attrs="override", compat="override", join="outer")


def tables_of(study: Study, statistic: Choice, statistics: xr.Dataset) -> dict[str, Table]:
    """Return every table of a statistic of a study by name."""
    prefix = statistic.prefix
    expect = {
        name.removeprefix(prefix): expectation
        for name, expectation in study.expectations().items()
        if name.startswith(prefix)
    }
    gives = [name for name in study.results_of(statistic) if name in statistics]
    axes = {name for axis in study.axes for name in (axis.name, *axis.components)}
    own = without_prefix(statistics, prefix, gives, axes | set(dims_of(study)))
    judged = statistic.plugin.judge(own, statistic.options, expect)
    return {prefix + table.name: _prefixed(table, prefix) for table in judged}


def without_prefix(
    statistics: xr.Dataset, prefix: str, gives: Sequence[str], coords: Set[str]
) -> xr.Dataset:
    """Return a dataset in which the results of an alias have the names that their statistic gives.

    Results of other statistics that have these names are left out.

    Parameters
    ----------
    statistics : what all statistics of a study give
    prefix : what stands before the names of the alias's results
    gives : the alias's results; their dimensions and coordinates are renamed with them
    coords : of the simulations, which no alias renamed
    """
    if not prefix:
        return statistics
    results = statistics[list(gives)]
    names = map(str, (*results.variables, *results.dims))
    given = {name for name in names if name.startswith(prefix)} - coords
    own = {name: name.removeprefix(prefix) for name in sorted(given)}
    others = statistics.drop_dims([dim for dim in own.values() if dim in statistics.dims])
    return others.drop_vars([name for name in own.values() if name in others]).rename(own)


def _prefixed(table: Table, prefix: str) -> Table:
    """Return a table under its name in the study, with the quantities that ``expect`` names."""
    rows = tuple(
        replace(row, quantity=prefix + row.quantity) if row.quantity else row for row in table.rows
    )
    return replace(table, name=prefix + table.name, rows=rows)


def figure_of(study: Study, figure: str, data: xr.Dataset, statistics: xr.Dataset) -> Any:
    """Return one figure of a study as a matplotlib Figure."""
    merged = joined(data, statistics).assign_attrs(_drawn(data.attrs | statistics.attrs))
    for variable in merged.variables.values():
        variable.attrs = _drawn(variable.attrs)
    chosen = study.figure(figure)
    expect = {name: _drawn(expected) for name, expected in study.expectations().items()}
    return chosen.plugin.draw(merged, expect, **chosen.options)


def _drawn(said: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return attributes or an expectation with the words of a study as matplotlib draws them."""
    words = ("title", "claim", "units", "long_name")
    return {
        key: mathtext(value) if key in words and isinstance(value, str) else value
        for key, value in said.items()
    }


def failed_runs(dataset: xr.Dataset) -> xr.DataArray:
    """Return which runs failed or have nothing to be compared with, as their reference failed."""
    fine = [int(Status.OK), int(Status.SKIPPED)]
    failed = ~dataset["status"].isin(fine)
    if "reference_status" in dataset:
        failed = failed | ~dataset["reference_status"].isin(fine)
    return failed
