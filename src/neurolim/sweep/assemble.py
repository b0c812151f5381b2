"""From the arrays of chunks to one labelled dataset per study."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurolim.core import Param, Status, Var
from neurolim.sweep.chunks import dims_of, plan, variables_of
from neurolim.sweep.store import open_checked, open_dataset
from neurolim.sweep.study import Study


def chunk_dataset(
    arrays: Mapping[str, np.ndarray], references: Mapping[str, np.ndarray], runs: range
) -> xr.Dataset:
    """Return what one chunk file holds: arrays by run, reference arrays by point.

    Parameters
    ----------
    arrays : solver outputs and ``status`` [run, ...]
    references : outputs of the reference solver and ``status`` [point, ...], maybe empty
    runs : the run numbers of the chunk
    """
    variables: dict[str, Any] = {}
    for name, array in arrays.items():
        variables[name] = (("run", *(f"{name}_{i}" for i in range(1, array.ndim))), array)
    for name, array in references.items():
        label = f"reference_{name}"
        variables[label] = (("point", *(f"{label}_{i}" for i in range(1, array.ndim))), array)
    return xr.Dataset(variables, attrs={"first_run": runs.start, "last_run": runs.stop})


def assemble(study: Study, chunks: Iterable[xr.Dataset], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Return the dataset of a study from its chunks, in run order.

    Parameters
    ----------
    study : the study
    chunks : contents of all its chunk files, in order; read one at a time
    attrs : provenance to record beside statement, parameters and options

    Returns
    -------
    dims: grid axes, replica (stochastic solvers only), solver dims; see docs/architecture.md
    """
    lengths = {"run": study.n_runs, "point": study.n_points}
    arrays = _joined(chunks, lengths, partly=study.point_order is not None)

    def array(name: str, var: Var, lead: tuple[int, ...]) -> Any:
        rows = _in_place(
            study, arrays[name], 1 if name.startswith("reference_") else study.replicas
        )
        return rows.reshape((*lead, *rows.shape[1:]))

    return _labelled(study, array, attrs)


def _labelled(
    study: Study, array: Callable[[str, Var, tuple[int, ...]], Any], attrs: Mapping[str, Any]
) -> xr.Dataset:
    """Return the dataset of a study whose numbers ``array(name, variable, grid lengths)`` gives."""
    outputs, references = variables_of(study)
    stochastic = study.the_solver.stochastic
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
            variables[name].attrs |= {
                "flag_values": [int(flag) for flag in Status],
                "flag_meanings": " ".join(flag.name for flag in Status),
            }
    used = {dim for variable in variables.values() for dim in variable.dims}
    dataset = xr.Dataset(variables, coords=_coordinates(study, used))
    dataset.attrs = {
        "title": study.title,
        "claim": study.claim,
        "study": study.name,
        "model": study.model,
        "solver": study.solver,
        "reference": study.reference_name,
        "seed": study.seed,
        "replicas": study.replicas,
        "failed_share": study.failed_share,
        "params": json.dumps(_fixed(study, "params")),
        "options": json.dumps(_fixed(study, "options")),
        **attrs,
    }
    return dataset


def _in_place(study: Study, array: np.ndarray, each: int) -> np.ndarray:
    """Return rows in the order of points; a map refined so far has gaps for what is to come."""
    if study.point_order is None:
        return array
    # Status is the only int8 there is.
    fill: dict[str, Any] = {"f": np.nan, "i": int(Status.SKIPPED) if array.itemsize == 1 else 0}
    filled = fill.get(array.dtype.kind, 0)
    found = np.full((study.n_points * each, *array.shape[1:]), filled, array.dtype)
    points = study.point_order[: len(array) // each]
    places = (points[:, None] * each + np.arange(each)).ravel()
    found[places] = array[: len(places)]
    return found


def _joined(
    chunks: Iterable[xr.Dataset], lengths: Mapping[str, int], partly: bool
) -> dict[str, np.ndarray]:
    """Return the arrays of all chunks along their first dimension, "run" or "point"."""
    arrays: dict[str, np.ndarray] = {}
    filled: dict[str, int] = {}
    for chunk in chunks:
        for label, variable in chunk.variables.items():
            name, length = str(label), variable.shape[0]
            if name not in arrays:
                shape = (lengths[str(variable.dims[0])], *variable.shape[1:])
                arrays[name], filled[name] = np.empty(shape, variable.dtype), 0
            arrays[name][filled[name] : filled[name] + length] = variable.values
            filled[name] += length
        chunk.close()
    for name, array in arrays.items():
        if partly:
            arrays[name] = array[: filled[name]]
        elif filled[name] != len(array):
            raise ValueError(f"{name}: {filled[name]} rows in the chunks, not {len(array)}")
    return arrays


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
        param.name: param for param in (*study.the_solver.options, *study.the_model.params)
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
    files : the chunk files, in order
    edges : first row in each file, and the number of rows
    name : of the variable in the files
    lead : lengths of the dimensions that the rows stand for
    rest : lengths of the other dimensions
    """

    def __init__(
        self,
        files: Sequence[Path],
        edges: np.ndarray,
        name: str,
        lead: tuple[int, ...],
        rest: tuple[int, ...],
        dtype: Any,
    ) -> None:
        self._files, self._edges, self._name, self._lead = files, edges, name, lead
        self.shape = (*lead, *rest)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        places = [np.arange(n)[part] for n, part in zip(self._lead, key, strict=False)]
        inner = tuple(key[len(self._lead) :])
        shape = tuple(n for place in places for n in place.shape)
        flat = np.ix_(*(np.atleast_1d(place) for place in places)) if places else ()
        rows = np.ravel_multi_index(flat, self._lead).ravel() if places else np.zeros(1, int)
        owner = np.searchsorted(self._edges, rows, side="right") - 1
        found: np.ndarray | None = None
        for number in np.unique(owner):
            mine = owner == number
            with open_dataset(self._files[number]) as chunk:
                block = chunk[self._name].variable[(rows[mine] - self._edges[number],)].values
            block = _outer(block, inner)
            if found is None:
                found = np.empty((len(rows), *block.shape[1:]), self.dtype)
            found[mine] = block
        assert found is not None
        return found.reshape(shape + found.shape[1:])


def _outer(block: np.ndarray, key: tuple[Any, ...]) -> np.ndarray:
    """Return a block indexed along each of its dimensions but the first."""
    for axis in range(len(key), 0, -1):
        block = block[(slice(None),) * axis + (key[axis - 1],)]
    return block


def lazy(study: Study, files: Sequence[Path], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Return the dataset of a study that reads its chunk files when numbers are used.

    The same as ``assemble`` of the files, for studies larger than memory; a refined map, whose
    points are not in order, is assembled.

    Parameters
    ----------
    study : the study
    files : all its chunk files, in order
    attrs : as for ``assemble``
    """
    if study.point_order is not None:
        return assemble(study, [open_checked(file) for file in files], attrs)
    chunks = plan(study).chunks
    runs = np.array([*(chunk.start for chunk in chunks), study.n_runs])
    points = -(-runs // study.replicas)
    lengths = {name: len(coord.values) for name, coord in dims_of(study).items()}

    def array(name: str, var: Var, lead: tuple[int, ...]) -> Any:
        edges = points if name.startswith("reference_") else runs
        rest = tuple(lengths[dim] for dim in var.dims)
        return indexing.LazilyIndexedArray(_Pieces(files, edges, name, lead, rest, var.dtype))

    return _labelled(study, array, attrs)
