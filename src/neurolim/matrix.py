"""``docs/solvers.md``: what every solver needs of a model, and which models it takes.

python -m neurolim.matrix > docs/solvers.md
"""

from __future__ import annotations

from neurolim import core
from neurolim.check import refused_by
from neurolim.core import FEATURES, Model, Solver
from neurolim.testing.pairs import refusals_by_name

_HEAD = """# Which solver takes which model

Written by `python -m neurolim.matrix > docs/solvers.md`; a test compares. A solver says what it
needs as values (`Solver.needs`, `Solver.takes`), from which this page and its refusals follow; none
knows a model's name. `neurolim list model NAME` says, for each solver that refuses, the reason;
`neurolim check FILE.py` does so for a model of your own.
"""
_LEGEND = """\
yes: with its default numbers. (yes): its equations are of the form, but its default numbers or
those of the solver's options are not. The rest is refused for its equations.
"""


def document() -> str:
    """Return the page."""
    solvers = [core.get("solver", name) for name in core.names("solver")]
    models = [core.get("model", name) for name in core.names("model")]
    needs = [["solver", "needs", "takes beside additive noise", "once numbers are given"]]
    needs += [[f"`{s.name}`", _needs(s), _takes(s), _checks(s)] for s in solvers]
    marks = [["", *(f"`{model.name}`" for model in models)]]
    marks += [[f"`{solver.name}`", *(_mark(solver, m) for m in models)] for solver in solvers]
    parts = ["## What a solver needs\n", _table(needs), "## Which models it takes\n", _LEGEND]
    return "\n".join([_HEAD, *parts, _table(marks), _names()])


def _names() -> str:
    """Return how many refusals depend on the name of a model."""
    count, pairs = refusals_by_name()
    return (
        f"Refusals by name: {count} of {pairs} pairs. Every model is also offered to every solver "
        "under a name that\nno solver can know; a pair counts in which the answer is another one "
        "then. The tests run every pair\n([testing](howto/testing.md)): a tiny run, or one refusal "
        "that names key, problem and what is allowed.\n"
    )


def _needs(solver: Solver) -> str:
    return "; ".join(need.words for need in solver.needs)


def _takes(solver: Solver) -> str:
    return "everything" if solver.takes == FEATURES else "; ".join(sorted(solver.takes))


def _checks(solver: Solver) -> str:
    """Return what the solver refuses of numbers and options, by the first line of its check."""
    first = (solver.check.__doc__ or "").strip().splitlines()[0]
    return first[:1].lower() + first[1:].rstrip(".")


def _mark(solver: Solver, model: Model) -> str:
    """Return whether a solver takes a model."""
    if model.features - solver.takes or any(need.fault(model) for need in solver.needs):
        return ""
    refusal = refused_by(solver, model, core.resolve(model.params, {}))
    return "(yes)" if refusal else "yes"


def _table(rows: list[list[str]]) -> str:
    """Return a table in Markdown; the first row is its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, f"|{'---|' * len(rows[0])}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
