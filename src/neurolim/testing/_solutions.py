"""What a solver promises of a run: labelled arrays, which are a function of its arguments alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Coord, Model, Solution, Solver, Status, StudyError, Var
from neurolim.testing._checks import is_hidden, refusal


def check_solution(
    solver: Solver, model: Model, params: Mapping[str, Any], options: Mapping[str, Any]
) -> Solution:
    """Return the solution of a run that keeps what a solver promises.

    Raises
    ------
    StudyError : arrays of other names, shapes or types than ``outputs`` and ``coords`` say; numbers
        that are not finite where all went well, or are where it did not; other numbers at the
        second time, or in other company; arguments that are changed
    """
    replicas = range(3) if solver.stochastic else range(1)
    given = copy.deepcopy((dict(params), dict(options)))
    try:
        found = solver.solve(model, params, options, 5, replicas)
    except StudyError as error:
        raise _wrong(solver, f"refuses while it solves: {error}", "a refusal by check") from None
    if not isinstance(found, Solution):
        problem = f"returns {type(found).__name__}"
        raise _wrong(solver, problem, "Solution(arrays by name, status)")
    if (dict(params), dict(options)) != given:
        raise _wrong(solver, "changes the parameters or options it is given", "a copy of them")
    _check_arrays(solver, model, params, options, found, replicas)
    again = solver.solve(model, params, options, 5, replicas)
    _compare(solver, found, again, "is another at the second time", "the same bits")
    if solver.stochastic:
        alone = solver.solve(model, params, options, 5, replicas[1:])
        rest = Solution({name: array[1:] for name, array in found.arrays.items()}, found.status[1:])
        words = "of a replica depends on which others are solved with it"
        _compare(solver, rest, alone, words, "noise of key and replica number alone")
        _check_key(solver, found, solver.solve(model, params, options, 6, replicas))
    return found


def _wrong(solver: Solver, problem: str, allowed: str = "", function: Any = None) -> StudyError:
    return refusal(function or solver.solve, f"{solver.name}: {problem}", allowed)


def _check_arrays(
    solver: Solver,
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    found: Solution,
    replicas: range,
) -> None:
    """Refuse arrays that are not what ``outputs``, ``coords`` and ``cost`` say of them."""
    check_labels(solver, model, params, options)
    outputs = {var.name: var for var in solver.outputs(model, options)}
    coords = solver.coords(model, params, options)
    if set(found.arrays) != set(outputs):
        raise _wrong(solver, f"gives {sorted(found.arrays)}", f"outputs: {sorted(outputs)}")
    if np.shape(found.status) != (len(replicas),):
        raise _wrong(solver, f"status has the shape {np.shape(found.status)}", "one per replica")
    if not set(found.status.tolist()) <= set(Status):
        raise _wrong(solver, f"status is {found.status.tolist()}", "values of Status")
    failed = found.status != Status.OK
    for name, var in outputs.items():
        strange = [dim for dim in var.dims if dim not in coords]
        if strange:
            problem = f"no values of {strange[0]}, a dimension of {name}"
            raise _wrong(solver, problem, function=solver.coords)
        array = found.arrays[name]
        if not isinstance(array, np.ndarray):
            raise _wrong(solver, f"{name} is of type {type(array).__name__}", "a numpy array")
        shape = (len(replicas), *(len(coords[dim].values) for dim in var.dims))
        if array.shape != shape:
            raise _wrong(solver, f"{name} has the shape {array.shape}", f"{shape}")
        if array.dtype != np.dtype(var.dtype):
            raise _wrong(solver, f"{name} holds {array.dtype}", f"{var.dtype}, as outputs says")
        if array.dtype.kind == "f":
            if not (var.gaps or np.isfinite(array[~failed]).all()):
                allowed = "another status, or gaps=True in its Var"
                raise _wrong(solver, f"{name} is not finite, and the status is OK", allowed)
            if not (var.residual or np.isnan(array[failed]).all()):
                allowed = "NaN, or residual=True in its Var"
                raise _wrong(solver, f"{name} has numbers where the status is not OK", allowed)
    for dim, coord in coords.items():
        if len(set(coord.values)) != len(coord.values):
            raise _wrong(solver, f"two equal values of {dim}", function=solver.coords)
    cost = solver.cost(model, params, options)
    if not all(math.isfinite(part) and part >= 0.0 for part in cost):
        raise _wrong(solver, f"the cost is {tuple(cost)}", "finite numbers", solver.cost)


def check_labels(
    solver: Solver, model: Model, params: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    """Refuse outputs and dimensions without unit or description, or with a name of xarray's."""
    for var in solver.outputs(model, options):
        _check_words(solver, solver.outputs, var.name, var, "Var(name, unit, long_name, ...)")
    for dim, coord in solver.coords(model, params, options).items():
        _check_words(solver, solver.coords, dim, coord, "Coord(values, unit, long_name)")


def _check_words(solver: Solver, function: Any, name: str, of: Var | Coord, allowed: str) -> None:
    """Refuse an output or a dimension without unit or description, or with a name of xarray's."""
    if is_hidden(name):
        problem = f"{name!r} is an attribute of xarray.Dataset, so dataset.{name} is not the output"
        raise _wrong(solver, problem, "another name", function)
    for word, text in (("unit", of.unit), ("description", of.long_name)):
        if not text:
            raise _wrong(solver, f"{name} has no {word}", allowed, function)


def _compare(solver: Solver, one: Solution, two: Solution, problem: str, allowed: str) -> None:
    """Refuse two solutions that are not the same bits."""
    pairs = {name: (array, two.arrays[name]) for name, array in one.arrays.items()}
    for name, (first, second) in {"status": (one.status, two.status), **pairs}.items():
        numbers = first.dtype.kind == "f"
        if first.dtype != second.dtype or not np.array_equal(first, second, equal_nan=numbers):
            raise _wrong(solver, f"{name} {problem}", allowed)


def _check_key(solver: Solver, found: Solution, other: Solution) -> None:
    """Refuse replicas that differ although a solver does not look at the key."""
    arrays = [array for array in found.arrays.values() if array.dtype.kind == "f"]
    differ = any(not np.array_equal(a[0], a[1], equal_nan=True) for a in arrays)
    same = all(
        np.array_equal(array, other.arrays[name], equal_nan=array.dtype.kind == "f")
        for name, array in found.arrays.items()
    )
    if differ and same:
        raise _wrong(solver, "does not depend on the key", "noise of key and replica number alone")
