"""What follows from the data of studies, as files with their names in an archive."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurolim.archive import contents
from neurolim.pipeline.analyse import all_pages
from neurolim.pipeline.layout import Layout, Page
from neurolim.pipeline.verdicts import outcomes_of, verdicts_csv, verdicts_json
from neurolim.pipeline.verdicts_page import page_of
from neurolim.store import store
from neurolim.store.zipped import entries_of, read_entry
from neurolim.study.study import Study


def following_from(study: Study, layout: Layout, workspace: Path) -> dict[str, bytes | Path]:
    """Return what follows from the data of a study: statistics, tables, figures.

    Parameters
    ----------
    study, layout : the study and where its results are
    workspace : folder for what has to be written first
    """
    netcdf = workspace / study.name / "statistics.nc"
    files = arrays_of(study, layout.statistics, workspace)
    netcdf.parent.mkdir(parents=True, exist_ok=True)
    write_netcdf(store.open_checked(layout.statistics), netcdf)
    files[f"netcdf/{study.name}.nc"] = netcdf
    for page in all_pages(study):
        for path in layout.files_of(page):
            files[f"{page.kind}/{study.name}/{path.name}"] = path
    return files


def verdict_pages(paths: Sequence[str], results: str | Path, tiny: bool) -> dict[str, bytes]:
    """Return the page of verdicts with links into the archive, and the same for machines.

    Parameters
    ----------
    paths, results, tiny : as ``archive`` takes them
    """

    def link(study: Study, page: Page) -> str:
        return f"{page.kind}/{study.name}/{page.name}.{page.file_kinds[0]}"

    outcomes = outcomes_of(paths, results, tiny)
    # What the runs cost differs each time.
    texts = (page_of(outcomes, link), verdicts_csv(outcomes), verdicts_json(outcomes))
    return {name: text.encode() for name, text in zip(contents.VERDICTS, texts, strict=True)}


def arrays_of(study: Study, path: Path, workspace: Path) -> dict[str, bytes | Path]:
    """Return the files of a dataset by their names in the archive.

    Parameters
    ----------
    study, path : the study, and its dataset or statistics
    workspace : folder for them
    """
    files: dict[str, bytes | Path] = {}
    for entry in entries_of(path):
        copy = workspace / study.name / path.stem / entry.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("wb") as stream:
            stream.writelines(read_entry(path, entry))
        files[f"{path.stem}/{study.name}/{entry.name}"] = copy
    return files


def write_netcdf(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset of statistics as NetCDF 3, which every tool reads.

    Attributes that NetCDF 3 cannot hold become JSON text.
    """

    def plain(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
        return {
            key: json.dumps(value)
            if isinstance(value, (dict, bool)) or (isinstance(value, list) and not _numbers(value))
            else value
            for key, value in attrs.items()
        }

    twin = dataset.load().copy()
    twin.attrs = plain(twin.attrs)
    for name, variable in twin.variables.items():
        twin[name].attrs = plain(variable.attrs)
        if variable.dtype == bool:
            twin[name] = variable.astype("int8")
    with warnings.catch_warnings():
        # Names of lengths of text are made up by xarray, the same every time.
        warnings.simplefilter("ignore")
        twin.to_netcdf(path, engine="scipy", format="NETCDF3_64BIT")


def _numbers(values: Sequence[Any]) -> bool:
    return bool(values) and all(type(value) in (int, float) for value in values)
