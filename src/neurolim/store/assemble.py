"""From the arrays of chunks to one labelled dataset per study."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurolim.core import Param, Status, Var
from neurolim.store.store import read_rows
from neurolim.study.plan import dims_of, plan, variables_of
from neurolim.study.study import Study


def chunk_dataset(
    arrays: Mapping[str, np.ndarray],
    references: Mapping[str, np.ndarray],
    runs: range,
    labels: Mapping[str, Any],
    made_by: Mapping[str, str],
) -> xr.Dataset:
    """Return what one chunk file holds: arrays by run, reference arrays by point.

    Parameters
    ----------
    arrays : solver outputs and ``status`` [run, ...]
    references : outputs of the reference solver and ``status`` [point, ...], maybe empty
    runs : the run numbers of the chunk
    labels : variables that say which runs these are, wherever they stand in a study
    made_by : digests of code by name
    """
    variables: dict[str, Any] = {}
    for name, array in arrays.items():
        variables[name] = (("run", *(f"{name}_{i}" for i in range(1, array.ndim))), array)
    for name, array in references.items():
        label = f"reference_{name}"
        variables[label] = (("point", *(f"{label}_{i}" for i in range(1, array.ndim))), array)
    attrs = {"first_run": runs.start, "last_run": runs.stop}
    return xr.Dataset({**variables, **labels}, attrs={**attrs, **made_by})


def assemble(study: Study, files: Sequence[Path], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Return the dataset of a study, which reads its chunk files when numbers are used.

    Parameters
    ----------
    study : the study
    files : its chunk files, in order; of a map being refined the first ones, the rest is SKIPPED
    attrs : provenance to record beside statement, parameters and options

    Returns
    -------
    dims: grid axes, replica (stochastic solvers only), solver dims; see docs/architecture.md
    """
    starts = np.array([*(chunk.start for chunk in plan(study).chunks), study.n_runs])
    lengths = {name: len(coord.values) for name, coord in dims_of(study).items()}
    order = None if study.point_order is None else np.argsort(study.point_order)

    def array(name: str, var: Var, lead: tuple[int, ...]) -> Any:
        each = 1 if name.startswith("reference_") else study.replicas
        edges = -(-starts // study.replicas) if each == 1 else starts
        rest = tuple(lengths[dim] for dim in var.dims)
        pieces = _Pieces(files, edges, order, each, name, lead, rest, var.dtype)
        return indexing.LazilyIndexedArray(pieces)

    return _labelled(study, array, attrs)


def labelled(
    study: Study, arrays: Mapping[str, np.ndarray], attrs: Mapping[str, Any]
) -> xr.Dataset:
    """Return the dataset of a study without reference whose arrays [run, ...] are at hand."""
    return _labelled(
        study, lambda name, _, lead: arrays[name].reshape((*lead, *arrays[name].shape[1:])), attrs
    )


def skeleton(study: Study) -> xr.Dataset:
    """Return the dataset of a study with zeros in the place of numbers; they take no memory."""
    sizes = {name: len(coord.values) for name, coord in dims_of(study).items()}

    def zeros(name: str, var: Var, lead: tuple[int, ...]) -> np.ndarray:
        shape = (*lead, *(sizes[dim] for dim in var.dims))
        return np.broadcast_to(np.zeros((), var.dtype), shape)

    return _labelled(study, zeros, {})


def _labelled(
    study: Study, array: Callable[[str, Var, tuple[int, ...]], Any], attrs: Mapping[str, Any]
) -> xr.Dataset:
    """Return the dataset of a study whose numbers ``array(name, variable, grid lengths)`` gives."""
    outputs, references = variables_of(study)
    stochastic = study.solver.stochastic
    grid = tuple(axis.name for axis in study.axes)
    lead = (*grid, "replica") if stochastic else grid
    lead_shape = (*study.shape, study.replicas) if stochastic else study.shape
    status = Var("status", "1", "0 = OK, otherwise the run failed", (), "int8")
    variables: dict[str, xr.Variable] = {}
    for var in (*outputs, status):
        variables[var.name] = xr.Variable(
            (*lead, *var.dims), array(var.name, var, lead_shape), _labels(var)
        )
    for var in (*references, *((status,) if references else ())):
        name = f"reference_{var.name}"
        attributes = _labels(var) | {"long_name": f"{var.long_name} ({study.reference_name})"}
        variables[name] = xr.Variable((*grid, *var.dims), array(name, var, study.shape), attributes)
    for name in ("status", "reference_status"):
        if name in variables:
            variables[name].attrs |= Status.flags()
    used = {dim for variable in variables.values() for dim in variable.dims}
    dataset = xr.Dataset(variables, coords=_coordinates(study, used))
    dataset.attrs = {
        "title": study.spec.title,
        "claim": study.spec.cited_claim,
        "study": study.name,
        "model": study.spec.model,
        "solver": study.spec.solver,
        "reference": study.reference_name,
        "seed": study.spec.seed,
        "replicas": study.replicas,
        "failed_share": study.spec.failed_share,
        "params": json.dumps(_fixed(study, "params")),
        "options": json.dumps(_fixed(study, "options"), default=list),
        **attrs,
    }
    return dataset


def _labels(var: Var) -> dict[str, Any]:
    return {"units": var.unit, "long_name": var.long_name}


def _fixed(study: Study, kind: str) -> dict[str, Any]:
    """Return the params or options that are the same at every point."""
    varied = {name for axis in study.axes for name in axis.components}
    values = study.params_at(0) if kind == "params" else study.options_at(0)
    return {name: value for name, value in values.items() if name not in varied}


def _coordinates(study: Study, used: set[Any]) -> dict[str, xr.Variable]:
    coordinates: dict[str, xr.Variable] = {}
    known: dict[str, Param] = {
        param.name: param for param in (*study.solver.options, *study.model.params)
    }
    for axis in study.axes:
        noise = "common" if axis.common else "independent"
        if axis.zipped:
            coordinates[axis.name] = xr.Variable(
                axis.name,
                np.arange(axis.size),
                {"units": "1", "long_name": " and ".join(axis.components), "noise": noise},
            )
        for name, values in axis.components.items():
            param = known[name]
            coordinates[name] = xr.Variable(
                axis.name,
                np.array(values),
                {"units": param.unit, "long_name": param.doc or name, "noise": noise},
            )
    if "replica" in used:
        coordinates["replica"] = xr.Variable(
            "replica", np.arange(study.replicas), {"units": "1", "long_name": "replica"}
        )
    for name, coord in dims_of(study).items():
        if name in used:
            coordinates[name] = xr.Variable(
                name, np.array(coord.values), {"units": coord.unit, "long_name": coord.long_name}
            )
    return coordinates


class _Pieces(BackendArray):
    """One variable of a study, read from the chunk files when and where it is asked for.

    Parameters
    ----------
    files : the chunk files, in order; what would lie in later ones is not there
    edges : first row in each file, and the number of rows
    order : place of every point in the files, or None for their own order
    each : rows of a point
    name : of the variable in the files
    lead : lengths of the dimensions that the rows stand for
    rest : lengths of the other dimensions
    dtype : of the variable
    """

    def __init__(
        self,
        files: Sequence[Path],
        edges: np.ndarray,
        order: np.ndarray | None,
        each: int,
        name: str,
        lead: tuple[int, ...],
        rest: tuple[int, ...],
        dtype: Any,
    ) -> None:
        self._files, self._edges, self._order, self._each = files, edges, order, each
        self._name, self._lead = name, lead
        self.shape = (*lead, *rest)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        depth = len(self._lead)
        places = [np.arange(n)[part] for n, part in zip(self._lead, key, strict=False)]
        flat = np.ix_(*(np.atleast_1d(place) for place in places)) if places else ()
        rows = np.ravel_multi_index(flat, self._lead).ravel() if places else np.zeros(1, int)
        if self._order is not None:
            rows = self._order[rows // self._each] * self._each + rows % self._each
        owner = np.searchsorted(self._edges, rows, side="right") - 1
        # Status is the only int8 there is.
        skipped = int(Status.SKIPPED) if self.dtype == np.int8 else 0
        empty = np.nan if self.dtype.kind == "f" else skipped
        found = np.full((len(rows), *self.shape[depth:]), empty, self.dtype)
        for number in np.unique(owner[owner < len(self._files)]):
            mine = owner == number
            found[mine] = read_rows(
                self._files[number], self._name, rows[mine] - self._edges[number]
            )
        for axis in range(len(key) - depth, 0, -1):
            found = found[(slice(None),) * axis + (key[depth + axis - 1],)]
        return found.reshape(tuple(n for place in places for n in place.shape) + found.shape[1:])
