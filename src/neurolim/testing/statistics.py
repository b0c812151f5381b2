"""What a statistic promises: a pure function of a dataset, with known answers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import xarray as xr

from neurolim import core
from neurolim.core import Statistic, Status, StudyError, Table, hint
from neurolim.testing._checks import Check, checks_of, is_documented, is_hidden, refusal
from neurolim.testing._tiny import switched_on

_EXACT = "[(dataset, options, [(variable, where, answer, tolerance)])]"


def statistic_checks(statistic: Any) -> list[Check]:
    """Return the checks of a statistic, each a function without arguments that raises StudyError.

    Parameters
    ----------
    statistic : a registered name, ``file.py``, ``file.py:NAME``, or the Statistic itself
    """
    return checks_of("statistic", statistic, [is_documented, reproduces_known_answers])


def reproduces_known_answers(statistic: Statistic) -> list[str]:
    """Apply a statistic to the datasets whose answers it knows.

    Raises
    ------
    StudyError : no known answer, or another one; a dataset without what the statistic needs, or
        that it changes; other variables or tables than it says
    """
    cases = statistic.exact()
    if not isinstance(cases, (list, tuple)) or not all(_is_case(case) for case in cases):
        raise refusal(statistic.exact, f"{statistic.name}: exact() gives something else", _EXACT)
    count = 0
    for dataset, options, answers in cases:
        found = _applied(statistic, dataset, options)
        for answer in answers:
            _check_answer(statistic, found, *answer)
        count += len(answers)
    if not count:
        raise refusal(statistic.exact, f"{statistic.name}: no known answer", "at least one")
    return [
        f"{count} known answer{'s' if count > 1 else ''} reproduced",
        *(str(_unknown(statistic, name)) for name in _not_given(statistic, cases)),
    ]


def _not_given(statistic: Statistic, cases: Sequence[Any]) -> list[str]:
    """Return what a statistic needs, whatever its options say, and nothing registered gives."""
    needs = {
        name: name.removeprefix("reference_")
        for _, options, _ in cases
        for name in statistic.needs(options)
        if name not in str(options)
    }
    return [name for name, plain in needs.items() if plain not in variables_given()]


def _unknown(statistic: Statistic, name: str) -> StudyError:
    problem = f"needs {name!r}, which no solver or statistic that is registered gives"
    return refusal(statistic.needs, problem + hint(name, variables_given()))


@lru_cache(maxsize=1)
def variables_given() -> frozenset[str]:
    """Return the names of the variables that registered solvers and statistics give."""
    found = {"status"}
    models = [core.get("model", name) for name in core.names("model")]
    for solver in (core.get("solver", name) for name in core.names("solver")):
        options = switched_on(solver)
        for model in models:
            # Outputs are asked of models, too, that the solver would refuse.
            with contextlib.suppress(Exception):
                found |= {var.name for var in solver.outputs(model, options)}
    state = tuple(dict.fromkeys(var.name for model in models for var in model.state))
    for statistic in (core.get("statistic", name) for name in core.names("statistic")):
        # What depends on an option without default is named by the study.
        with contextlib.suppress(Exception):
            found |= set(statistic.gives({o.name: o.default for o in statistic.options}, state))
    return frozenset(found)


def _is_case(case: Any) -> bool:
    return (
        isinstance(case, (list, tuple))
        and len(case) == 3
        and isinstance(case[0], xr.Dataset)
        and isinstance(case[1], Mapping)
        and isinstance(case[2], Sequence)
        and all(isinstance(answer, (list, tuple)) and len(answer) == 4 for answer in case[2])
    )


def _applied(statistic: Statistic, dataset: xr.Dataset, options: Mapping[str, Any]) -> xr.Dataset:
    """Return what a statistic gives for a dataset, which has what it needs and stays as it is."""
    name, variables = statistic.name, [str(variable) for variable in dataset.variables]
    for needed in statistic.needs(options):
        if needed not in variables:
            problem = f"{name}: needs {needed!r}, which a dataset of exact() does not have"
            problem += hint(needed, variables)
            raise refusal(statistic.exact, problem, ", ".join(variables))
    if "status" in dataset:
        dataset = dataset.assign(status=dataset["status"].assign_attrs(Status.flags()))
    before = dataset.copy(deep=True)
    found = statistic.apply(dataset, **options)
    if not dataset.identical(before):
        raise refusal(statistic.apply, f"{name}: changes the dataset it is given", "a new dataset")
    if not isinstance(found, xr.Dataset):
        problem = f"{name}: returns a {type(found).__name__}"
        raise refusal(statistic.apply, problem, "an xarray.Dataset")
    state = tuple(str(v) for v in dataset["variable"].values) if "variable" in dataset else ()
    gives = set(statistic.gives(options, state))
    if gives != set(found.data_vars):
        problem = f"{name}: gives {sorted(map(str, found.data_vars))}"
        raise refusal(statistic.apply, problem, f"{sorted(gives)}")
    _check_labels(statistic, dataset, found)
    tables = statistic.judge(found, options, {})
    _check_tables(statistic, tables)
    return found


def _check_labels(statistic: Statistic, dataset: xr.Dataset, found: xr.Dataset) -> None:
    """Refuse new variables without unit and description, inherited flags, and names of xarray's.

    A study restores the attributes of the coordinates that a dataset has already.
    """
    for name in (name for name in found.variables if name not in dataset.coords):
        if is_hidden(str(name)):
            problem = f"{statistic.name}: {name!r} is an attribute of xarray.Dataset"
            allowed = f"another name: dataset.{name} is not the variable"
            raise refusal(statistic.apply, problem, allowed)
        attrs = found[name].attrs
        absent = [key for key in ("units", "long_name") if not attrs.get(key)]
        if absent:
            problem = f"{statistic.name}: {name!r} has no attribute {absent[0]!r}"
            allowed = f"{name}.assign_attrs(units=..., long_name=...), with units '1' of a number"
            raise refusal(statistic.apply, problem, allowed)
        if Status.flags().keys() & attrs.keys():
            problem = f"{statistic.name}: {name!r} has the flags of a status"
            raise refusal(statistic.apply, problem, "attributes of its own")


def _check_tables(statistic: Statistic, tables: Any) -> None:
    """Refuse tables that the statistic does not announce, or whose rows have other columns."""
    if not isinstance(tables, tuple) or not all(isinstance(table, Table) for table in tables):
        problem = f"{statistic.name}: judge() returns something else"
        raise refusal(statistic.judge, problem, "a tuple of Table")
    made = [table.name for table in tables]
    if sorted(made) != sorted(statistic.tables):
        problem = f"{statistic.name}: gives the tables {sorted(made)}"
        raise refusal(statistic.judge, problem, f"{sorted(statistic.tables)}")
    for table in tables:
        columns = {column.name for column in table.columns}
        for row in table.rows:
            if row.values.keys() != columns:
                odd = sorted(row.values.keys() ^ columns)
                problem = f"{statistic.name}: a row of {table.name} and its columns differ in {odd}"
                raise refusal(statistic.judge, problem, "a value for every column")


def _check_answer(
    statistic: Statistic,
    found: xr.Dataset,
    variable: str,
    where: Mapping[str, Any],
    answer: float,
    tolerance: float,
) -> None:
    """Refuse another answer than the known one, on average over replicas and time."""
    if variable not in found:
        problem = f"{statistic.name}: exact() knows {variable!r}, which is not given"
        raise refusal(statistic.exact, problem, ", ".join(map(str, found.data_vars)))
    value = found[variable].sel(where)
    value = value.mean([dim for dim in ("replica", "time") if dim in value.dims])
    if value.size != 1:
        left = ", ".join(map(str, value.dims))
        problem = f"{statistic.name}: exact() leaves {left} of {variable} open"
        raise refusal(statistic.exact, problem, "one number")
    if not abs(float(value) - answer) <= tolerance:
        problem = f"{variable} is {float(value):.6g}, not {answer:g} as exact() says"
        raise refusal(statistic.exact, f"{statistic.name}: {problem}", f"within {tolerance:g}")
