"""``neurolim check``: is a file a plug-in or a study, and what follows from what it says.

Seconds, not minutes: functions are called with numbers, with symbols and compiled each by itself;
no kernel is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurolim import core
from neurolim.core import Model, Solver, StudyError, outside
from neurolim.numerics.structure import Structure, structure_of
from neurolim.pipeline.analyse import all_pages
from neurolim.study import plan as planning
from neurolim.study.read import load_study
from neurolim.testing import checks

#: How the names of files end that are studies.
_STUDIES = (".yaml", ".yml")


def check(word: str) -> list[str]:
    """Return what a file's plug-ins are, a line each; the first line of each ends with "ok".

    Parameters
    ----------
    word : ``file.py`` for all of MODEL, SOLVER, STATISTIC and FIGURE in it, ``file.py:NAME`` for
        one of any kind; ``study.yaml`` for a study and its model

    Raises
    ------
    StudyError : what is wrong, with file and line
    """
    if word.endswith(_STUDIES):
        return _study(word)
    if not outside.is_file(word):
        problem = f"got {repr(word)[:60]}"
        raise StudyError("file", problem, "file.py, file.py:NAME or study.yaml")
    path, attribute = outside.split(word)
    module = outside.module(Path(path))
    kinds = {
        kind: name
        for kind, wanted in outside.TYPES.items()
        for name in ([attribute] if attribute else [kind.upper()])
        if (isinstance(getattr(module, name, None), wanted) if attribute else hasattr(module, name))
    }
    if not kinds:
        # Refused as a model would be: by its name, with what else there is.
        core.get("model", word)
    lines = []
    for kind, name in kinds.items():
        lines += _plug_in(kind, f"{path}:{name}", word)
    return lines


def _plug_in(kind: str, source: str, word: str) -> list[str]:
    """Return what a plug-in is, and what there is to say about it."""
    facts = _facts(kind, source)
    plug_in = core.get(kind, source)
    return [f"{word}: {kind} {plug_in.name}: {plug_in.summary} ok", *facts]


def _facts(kind: str, plug_in: Any) -> list[str]:
    """Return what there is to say about a plug-in, once it has passed the quick checks."""
    quick = [check for check in checks(kind, plug_in) if not check.minutes]
    facts = [f"  {line}" for check in quick for line in check()]
    return [*facts, *_model(core.get(kind, plug_in))] if kind == "model" else facts


def _study(word: str) -> list[str]:
    """Return what a study is, what it is going to do, and what follows from its equations."""
    study = load_study(word)
    if study.spec.tiny is not None:
        load_study(word, tiny=True)
    plan, model = planning.plan(study), study.model
    try:
        facts = _facts("model", model)
    except StudyError as error:
        if outside.is_file(study.spec.model):
            raise
        # A model as text has no file but that of the study.
        raise study.placed(StudyError(error.key, error.problem, error.allowed)) from None
    return [
        f"{word}: study {study.name}: {study.spec.title}. ok",
        f"  {plan.points} points, {plan.runs} runs, about {plan.core_seconds:.2g} core-seconds",
        f"  tables: {', '.join(page.name for page in all_pages(study) if page.kind == 'tables')}",
        f"  model {model.name}: {model.summary}",
        *facts,
    ]


def _model(model: Model) -> Iterator[str]:
    """Yield what follows from a model's equations."""
    found = structure_of(model)
    yield f"  variables: {', '.join(model.symbols)}"
    yield from (f"  {line}" for line in _structure(model, found))
    yield from solvers_of(model)


def solvers_of(model: Model) -> Iterator[str]:
    """Yield which solvers take a model with its default numbers, and for each other the reason."""
    params = core.resolve(model.params, {})
    refusals = {
        name: refused_by(core.get("solver", name), model, params) for name in core.names("solver")
    }
    yield f"  solvers: {', '.join(name for name, refusal in refusals.items() if not refusal)}"
    yield from (f"  not {name}: {refusal}" for name, refusal in refusals.items() if refusal)


def _structure(model: Model, found: Structure) -> Iterator[str]:
    for name, reason in found.untraceable.items():
        yield f"{name} cannot be followed, so some solvers refuse: {reason}"
    if not set(found.untraceable) & {"drift"}:
        for symbol, bends, degree in zip(model.symbols, found.bends, found.degree, strict=True):
            size = "no polynomial" if degree is None else f"polynomial of degree {degree}"
            words = f"not linear in {', '.join(bends)} ({size})" if bends else "linear"
            yield f"drift of {symbol}: {words}"
    for kind, acts in (("synapses", found.pulled), ("gap junctions", found.gapped)):
        on = [symbol for symbol, there in zip(model.symbols, acts, strict=True) if there]
        if on:
            yield f"{kind} on {', '.join(on)}"
    for noise in model.noises:
        moved = (noise.variable,) if isinstance(noise.variable, str) else noise.variable
        yield f"noise on {', '.join(moved)}"
    if found.traced:
        strong, weak = found.orders(model, "exponential")
        orders = f"strong order {strong:g}, weak order {weak:g}"
        yield f"exponential steps: {orders}, away from walls"


def refused_by(solver: Solver, model: Model, params: dict[str, Any]) -> str:
    """Return why a solver with its default options refuses a model, or nothing."""
    given = {param.name: param.default for param in solver.options if param.default is not None}
    try:
        solver.accept(model, params, given)
    except StudyError as error:
        return f"{error.key}: {error.problem}" if error.key else error.problem
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
