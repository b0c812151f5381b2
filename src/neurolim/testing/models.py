"""What a model promises: functions of numbers that are finite, pure and can be compiled."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from neurolim import core
from neurolim.core import Model, StudyError
from neurolim.core.model_check import check_values
from neurolim.solvers.parts.compiled import ALLOWED, uncompiled
from neurolim.testing._checks import Check, checks_of, is_documented
from neurolim.testing.pairs import Pair, check_pairs

#: States of the initial law at which functions are called.
_STATES = 64


def model_checks(model: Any) -> list[Check]:
    """Return the checks of a model, each a function without arguments that raises StudyError.

    Parameters
    ----------
    model : a registered name, ``file.py``, ``file.py:NAME``, or the Model itself
    """
    seconds = [is_documented, is_finite_where_it_starts, can_be_compiled]
    return checks_of("model", model, seconds, [runs_as_a_network, is_solved_or_refused])


def is_finite_where_it_starts(model: Model) -> list[str]:
    """Call all functions at states of the initial law, twice, for the default parameters.

    Raises
    ------
    StudyError : a function that fails, is not finite or another at the second time; a negative rate
    """
    sites = model.sites(core.resolve(model.params, {}))
    count = len(sites.labels)
    if np.shape(sites.coupling) != (count, count):
        problem = f"prepare gives weights of the shape {np.shape(sites.coupling)}"
        raise StudyError(f"{model.name}.prepare", problem, f"({count}, {count})")
    normals = np.random.default_rng(1).normal(size=(_STATES, len(model.state)))
    for site, z in itertools.product(range(count), normals.tolist()):
        first, second = (check_values(model, sites, site, tuple(z)) for _ in range(2))
        for place, values in first.items():
            if values != second[place]:
                problem = "is another at the second time"
                raise StudyError(f"{model.name}.{place}", problem, "a function of its arguments")
        pull, gap = np.split(np.array(first["coupling"]), 3)[::2]
        for symbol, rate in zip(model.symbols, np.minimum(pull, gap), strict=True):
            if rate < 0.0:
                problem = f"a rate of {symbol} is {rate:g} at the start"
                raise StudyError(f"{model.name}.coupling", problem, "rates >= 0")
    return []


def can_be_compiled(model: Model) -> list[str]:
    """Compile every function by itself.

    Raises
    ------
    StudyError : a function that numba cannot compile
    """
    found = uncompiled(model)
    if found is not None:
        key, problem = f"{model.name}.{found.part}", f"cannot be compiled: {found.problem}"
        raise StudyError(key, problem, ALLOWED, found.at)
    return []


def runs_as_a_network(model: Any) -> list[str]:
    """Move a tiny network by every scheme, twice and in other company, or see one refusal."""
    options = {option.name: option for option in core.get("solver", "particles").options}
    schemes = options["scheme"].choices
    return check_pairs([Pair("particles", model, {"scheme": scheme}) for scheme in schemes])


def is_solved_or_refused(model: Any) -> list[str]:
    """Solve tiny runs with all registered solvers, or see one refusal."""
    return check_pairs([Pair(name, model) for name in core.names("solver")])
