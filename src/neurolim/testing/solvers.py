"""What a solver promises: to run, or to refuse in one line."""

from __future__ import annotations

from typing import Any

from neurolim import core
from neurolim.core import Solver, StudyError
from neurolim.testing._checks import Check, checks_of, is_documented, refusal
from neurolim.testing._solutions import check_labels, check_solution
from neurolim.testing._tiny import switched_on, tiny_run
from neurolim.testing.pairs import Pair, check_pairs


def solver_checks(solver: Any) -> list[Check]:
    """Return the checks of a solver, each a function without arguments that raises StudyError.

    Parameters
    ----------
    solver : a registered name, ``file.py``, ``file.py:NAME``, or the Solver itself
    """
    return checks_of("solver", solver, [is_documented, solves_a_model], [solves_models_or_refuses])


def solves_models_or_refuses(solver: Any) -> list[str]:
    """Solve tiny runs of all registered models, or see one refusal."""
    return check_pairs([Pair(solver, name) for name in core.names("model")])


def solves_a_model(solver: Solver) -> list[str]:
    """Solve a tiny run of the first registered model that the solver accepts."""
    refusals = []
    for name in core.names("model"):
        model = core.get("model", name)
        try:
            params, options = tiny_run(solver, model, {})
        except StudyError as error:
            refusals.append(f"{name}: {error}")
            continue
        check_solution(solver, model, params, options)
        # What is given only if an option asks for it.
        check_labels(solver, model, params, options | switched_on(solver))
        kind = "stochastic" if solver.stochastic else "deterministic"
        names = ", ".join(var.name for var in solver.outputs(model, options))
        return [f"{kind}; of {name} it gives {names}"]
    problem = f"{solver.name} accepts none of the models here: {refusals[0]}"
    raise refusal(solver.check, problem, "a model that it solves")
