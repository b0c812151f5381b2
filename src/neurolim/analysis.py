"""From the dataset of a study to its statistics, tables and figures: everything but files.

What is written here enters the digests of all stages after the dataset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Row, Status, StudyError, Table
from neurolim.core.table import short

if TYPE_CHECKING:
    from neurolim.sweep.study import Study


def statistics_of(study: Study, dataset: xr.Dataset) -> xr.Dataset:
    """Return everything the statistics of a study give, as one dataset.

    Raises
    ------
    StudyError : more failed runs than the study allows
    """
    failed = float(_failed(dataset).mean())
    if study.statistics and failed > study.failed_share:
        raise StudyError(
            "failed_share",
            f"{failed:.1%} of the runs failed, or their reference did",
            f"at most {study.failed_share:.1%}; mend the study or allow more",
            study.file,
        )
    result = xr.Dataset(attrs=dict(dataset.attrs))
    for entry in study.statistics:
        statistic = study.plugin("statistic", entry.name)
        given = statistic.apply(
            joined(dataset, result), **study.entry_options("statistic", entry.name)
        )
        attrs = result.attrs | given.attrs
        result = joined(result, given).assign_attrs(attrs)
    return result


def joined(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """Return two datasets as one; where both have a variable, the first one's counts."""
    return xr.merge([first, second], combine_attrs="override", compat="override", join="outer")


def tables_of(study: Study, statistics: xr.Dataset) -> dict[str, Table]:
    """Return every table of a study's statistics by name."""
    tables: dict[str, Table] = {}
    for entry in study.statistics:
        options = study.entry_options("statistic", entry.name)
        judged = study.plugin("statistic", entry.name).judge(
            statistics, options, study.expectations()
        )
        tables |= {table.name: table for table in judged}
    return tables


def table_names(study: Study) -> tuple[str, ...]:
    """Return the names of the tables a study makes."""
    found = ["runs"]
    for entry in study.statistics:
        found += study.plugin("statistic", entry.name).tables
    return tuple(found)


def _failed(dataset: xr.Dataset) -> xr.DataArray:
    """Return which runs failed or have nothing to be compared with, as their reference failed."""
    fine = [int(Status.OK), int(Status.SKIPPED)]
    failed = ~dataset["status"].isin(fine)
    if "reference_status" in dataset:
        failed = failed | ~dataset["reference_status"].isin(fine)
    return failed


def runs_table(dataset: xr.Dataset) -> Table:
    """Return the table ``runs``: how many runs and reference runs ended how, and where not well."""
    rows: list[tuple[str, int]] = []
    for name in ("status", "reference_status"):
        if name in dataset:
            word = name.removesuffix("status").replace("_", " ")
            status = dataset[name].values
            rows.append((f"{word}runs", status.size))
            rows += [(word + flag.name, int(np.count_nonzero(status == flag))) for flag in Status]
    failed = _failed(dataset)
    grid = [dim for dim in failed.dims if dim != "replica"]
    if grid:
        bad = failed.any([dim for dim in failed.dims if dim not in grid])
        where = [
            " ".join(
                f"{dim}={short(dataset[dim].values[i].item())}"
                for dim, i in zip(grid, index, strict=True)
            )
            for index in np.argwhere(bad.values)
        ]
        rows.append(("points with failures", len(where)))
        rows += [(f"failed at {place}", 1) for place in where[:20]]
    columns = (Column("item", ""), Column("count"))
    return Table("runs", columns, tuple(Row({"item": i, "count": n}) for i, n in rows))


def figure_of(study: Study, figure: str, data: xr.Dataset, statistics: xr.Dataset) -> Any:
    """Return one figure of a study as a matplotlib Figure."""
    if figure not in [entry.name for entry in study.figures]:
        raise StudyError(
            "figure", f"not in this study: {figure!r}", [entry.name for entry in study.figures]
        )
    merged = joined(data, statistics).assign_attrs(data.attrs | statistics.attrs)
    return study.plugin("figure", figure).draw(
        merged, study.expectations(), **study.entry_options("figure", figure)
    )
