"""Runs found by what they are, in the datasets of all studies of some results folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurolim.core import StudyError
from neurolim.core.table import short
from neurolim.pipeline.results import failed_runs
from neurolim.store import store


class Runs(NamedTuple):
    """The runs of one grid point.

    Parameters
    ----------
    study, model, solver : names
    point : axis values by name
    runs, failed : how many there are, and how many of them failed
    path : of the dataset
    """

    study: str
    model: str
    solver: str
    point: dict[str, Any]
    runs: int
    failed: int
    path: Path


def conditions_of(words: Iterable[str]) -> dict[str, str]:
    """Return conditions by name from words such as ``eps=0.01`` or ``model=linear``.

    Raises
    ------
    StudyError : a word without name, ``=`` or value
    """
    conditions = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise StudyError("condition", f"got {word[:60]!r}", "NAME=VALUE, as in eps=0.01")
        conditions[name] = value
    return conditions


def find(folders: Iterable[str | Path], conditions: Mapping[str, str]) -> Iterator[Runs]:
    """Yield the runs of every grid point at which all conditions hold, dataset by dataset.

    Parameters
    ----------
    folders : of results; what is at test size in them is looked at, too
    conditions : values, as text, of parameters, options, and of ``model``, ``solver``, ``study``

    Raises
    ------
    StudyError : a folder that is none
    """
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise StudyError("results", f"{folder} is no folder", "a folder of results")
        for path in sorted([*folder.glob("*/data.zip"), *folder.glob("tiny/*/data.zip")]):
            try:
                dataset = store.open_dataset(path)
            except store.StoreError:
                continue
            with dataset:
                yield from _points(path, dataset, conditions)


def _points(path: Path, dataset: xr.Dataset, conditions: Mapping[str, str]) -> Iterator[Runs]:
    """Yield the points of a dataset at which all conditions hold."""
    names = {name: str(dataset.attrs.get(name, "")) for name in ("study", "model", "solver")}
    fixed = {**_mapping(dataset, "options"), **_mapping(dataset, "params"), **names}
    grid = [dim for dim in dataset["status"].dims if dim != "replica"]
    axes = {
        str(name): coord
        for name, coord in dataset.coords.items()
        if coord.ndim == 1 and coord.dims[0] in grid
    }
    chosen = {dim: np.ones(dataset.sizes[dim], bool) for dim in grid}
    for name, wanted in conditions.items():
        if name in axes:
            coord = axes[name]
            chosen[coord.dims[0]] &= [_is(value, wanted) for value in coord.values.tolist()]
        elif name not in fixed or not _is(fixed[name], wanted):
            return
    failed = failed_runs(dataset)
    for index in np.ndindex(*(dataset.sizes[dim] for dim in grid)):
        at = dict(zip(grid, index, strict=True))
        if all(chosen[dim][place] for dim, place in at.items()):
            point = {name: coord.values[at[coord.dims[0]]].item() for name, coord in axes.items()}
            ended = failed.isel(at)
            yield Runs(**names, point=point, runs=ended.size, failed=int(ended.sum()), path=path)


def _mapping(dataset: xr.Dataset, name: str) -> dict[str, Any]:
    try:
        found = json.loads(dataset.attrs.get(name, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is(value: Any, wanted: str) -> bool:
    """Return whether a value is what a word says, numbers as numbers."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(wanted) == value
        except ValueError:
            return False
    return str(value) == wanted or str(value).lower() == wanted.lower()


def rows_of(found: Iterable[Runs]) -> list[tuple[str, ...]]:
    """Return what is found as rows of text, names first."""
    rows: list[tuple[str, ...]] = [("study", "model", "solver", "point", "runs", "failed", "file")]
    for runs in found:
        point = " ".join(f"{name}={short(value)}" for name, value in runs.point.items())
        numbers = (str(runs.runs), str(runs.failed))
        rows.append((runs.study, runs.model, runs.solver, point, *numbers, str(runs.path)))
    return rows
