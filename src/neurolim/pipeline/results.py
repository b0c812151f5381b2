"""From the dataset of a study to its statistics, tables and figures: everything but files.

What is written here enters the digests of all of them.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from neurolim.core import Status, StudyError, Table
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
        given = statistic.plugin.apply(joined(dataset, result), **statistic.options)
        attrs = result.attrs | given.attrs
        result = joined(result, given).assign_attrs(attrs)
    return result


def joined(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """Return two datasets as one; where both have a variable, the first one's counts."""
    return xr.merge([first, second], combine_attrs="override", compat="override", join="outer")


def tables_of(study: Study, statistic: str, statistics: xr.Dataset) -> dict[str, Table]:
    """Return every table of one statistic of a study by name."""
    chosen = study.statistic(statistic)
    judged = chosen.plugin.judge(statistics, chosen.options, study.expectations())
    return {table.name: table for table in judged}


def figure_of(study: Study, figure: str, data: xr.Dataset, statistics: xr.Dataset) -> Any:
    """Return one figure of a study as a matplotlib Figure."""
    merged = joined(data, statistics).assign_attrs(data.attrs | statistics.attrs)
    chosen = study.figure(figure)
    return chosen.plugin.draw(merged, study.expectations(), **chosen.options)


def failed_runs(dataset: xr.Dataset) -> xr.DataArray:
    """Return which runs failed or have nothing to be compared with, as their reference failed."""
    fine = [int(Status.OK), int(Status.SKIPPED)]
    failed = ~dataset["status"].isin(fine)
    if "reference_status" in dataset:
        failed = failed | ~dataset["reference_status"].isin(fine)
    return failed
