"""What a statistic promises: a pure function of a dataset, with known answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from neurolim.core import Statistic, hint
from neurolim.testing._checks import Check, checks_of, is_documented, refusal

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
    return [f"{count} known answer{'s' if count > 1 else ''} reproduced"]


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
    tables = set(statistic.tables(found, {}))
    if tables != set(statistic.table_names):
        problem = f"{name}: gives the tables {sorted(tables)}"
        raise refusal(statistic.tables, problem, f"{sorted(statistic.table_names)}")
    return found


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
