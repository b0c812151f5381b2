"""``neurolim check``: is a file a plug-in or a study, and what follows from what it says.

Seconds, not minutes: functions are called with numbers, with symbols and compiled each by itself;
no kernel is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from neurolim import analysis, core, stages
from neurolim.core import Figure, Model, Solver, Statistic, StudyError, outside
from neurolim.kernels.model_code import compiled_equations, kernel_key
from neurolim.numerics.structure import Structure, structure_of
from neurolim.sweep import chunks as planning

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
        plug_in = core.get(kind, f"{path}:{name}")
        try:
            facts = list(_FACTS[kind](plug_in, Path(path)))
        except StudyError:
            raise
        except Exception as error:
            raise outside.fault(kind, Path(path).resolve(), error) from None
        lines += [f"{word}: {kind} {plug_in.name}: {plug_in.summary} ok", *facts]
    return lines


def _study(word: str) -> list[str]:
    """Return what a study is, what it is going to do, and what follows from its equations."""
    study = stages.load_study(word)
    plan, model = planning.plan(study), study.the_model
    return [
        f"{word}: study {study.name}: {study.title}. ok",
        f"  {plan.points} points, {plan.runs} runs, about {plan.core_seconds:.2g} core-seconds",
        f"  tables: {', '.join(analysis.table_names(study))}",
        f"  model {model.name}: {model.summary}",
        *_model(model, Path(word)),
    ]


def _refusal(path: Path, function: Any, problem: str, allowed: str) -> StudyError:
    """Return the refusal of a function of a plug-in, with the file and line where it stands."""
    code = getattr(function, "__code__", None)
    place = f"{outside.shown(code.co_filename)}:{code.co_firstlineno}" if code else str(path)
    return StudyError("", problem, allowed, place)


# -- models ----------------------------------------------------------------------------------


def _model(model: Model, path: Path) -> Iterator[str]:
    """Yield what follows from a model's equations."""
    _compile(model, path)
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


def _compile(model: Model, path: Path) -> None:
    """Compile every function of a model by itself and call it.

    Raises
    ------
    StudyError : a function that numba cannot compile
    """
    sites = model.sites(core.resolve(model.params, {}))
    p = sites.params[0]
    x = tuple(float(v) for v in model.equations.initial((0.0,) * len(model.state), p))
    m = (*x, *(float(v) for v in model.equations.field(x, p)))
    compiled = compiled_equations(model, kernel_key(model)[0])
    for place, own, arguments in (
        ("drift", model.drift, (x, m, m, p)),
        ("coupling", model.coupling, (m, m, p)),
        ("field", model.fields, (x, p)),
        ("initial", model.initial, (x, p)),
    ):
        function = compiled.relax if place == "coupling" else getattr(compiled, place)
        try:
            function(*arguments)
        except Exception as error:
            # numba begins with a line about itself.
            lines = str(error).splitlines()[isinstance(error, NumbaError) :]
            first = next((line.strip() for line in lines if line.strip()), type(error).__name__)
            problem = f"{model.name}.{place}: cannot be compiled: {first}"
            allowed = "arithmetic, conditional expressions and functions of neurolim.math"
            raise _refusal(path, own, problem, allowed) from None


# -- solvers ---------------------------------------------------------------------------------


def _solver(solver: Solver, path: Path) -> Iterator[str]:
    """Solve the first model that the solver accepts, twice, and yield what it gives."""
    options = core.resolve(solver.options, {})
    refusals = []
    for name in core.names("model"):
        model = core.get("model", name)
        params = core.resolve(model.params, {})
        refusal = refused_by(solver, model, params)
        if not refusal:
            break
        refusals.append(f"{name}: {refusal}")
    else:
        problem = f"{solver.name} accepts none of the models here: {refusals[0]}"
        raise _refusal(path, solver.check, problem, "a model that it solves")
    replicas = range(2) if solver.stochastic else range(1)
    found, again = (solver.solve(model, params, options, 5, replicas) for _ in range(2))
    outputs = {var.name: var for var in solver.outputs(model, options)}
    coords = solver.coords(model, params, options)

    def refuse(function: Any, problem: str, allowed: str = "") -> StudyError:
        return _refusal(path, function, f"{solver.name}: {problem}", allowed)

    if set(found.arrays) != set(outputs):
        raise refuse(solver.solve, f"gives {sorted(found.arrays)}", f"outputs: {sorted(outputs)}")
    for key, var in outputs.items():
        strange = [dim for dim in var.dims if dim not in coords]
        if strange:
            raise refuse(solver.coords, f"no values of {strange[0]}, a dimension of {key}")
        shape = (len(replicas), *(len(coords[dim].values) for dim in var.dims))
        if found.arrays[key].shape != shape:
            raise refuse(solver.solve, f"{key} has the shape {found.arrays[key].shape}", f"{shape}")
        if not np.array_equal(found.arrays[key], again.arrays[key], equal_nan=True):
            raise refuse(solver.solve, f"{key} is another at the second time", "the same bits")
    if found.status.shape != (len(replicas),):
        raise refuse(solver.solve, f"status has the shape {found.status.shape}", "one per replica")
    kind = "stochastic" if solver.stochastic else "deterministic"
    yield f"  {kind}; of {model.name} it gives {', '.join(outputs)}"


# -- statistics and figures ------------------------------------------------------------------


def _statistic(statistic: Statistic, path: Path) -> Iterator[str]:
    """Apply the statistic to its own known answers and yield how many there are."""
    count = 0
    for dataset, options, checks in statistic.exact():
        before = dataset.copy(deep=True)
        found = statistic.apply(dataset, **options)

        def refuse(function: Any, problem: str, allowed: str = "") -> StudyError:
            return _refusal(path, function, f"{statistic.name}: {problem}", allowed)

        if not dataset.identical(before):
            raise refuse(statistic.apply, "changes the dataset it is given", "a new dataset")
        state = tuple(str(v) for v in dataset["variable"].values) if "variable" in dataset else ()
        gives = set(statistic.gives(options, state))
        if gives != set(found.data_vars):
            raise refuse(statistic.apply, f"gives {sorted(found.data_vars)}", f"{sorted(gives)}")
        for variable, place, expected, tolerance in checks:
            value = found[variable].sel(place)
            value = value.mean([dim for dim in ("replica", "time") if dim in value.dims])
            count += 1
            if not abs(float(value) - expected) <= tolerance:
                problem = f"{variable} is {float(value):.6g}, not {expected:g} as exact() says"
                raise refuse(statistic.exact, problem, f"within {tolerance:g}")
    if not count:
        raise _refusal(path, statistic.exact, f"{statistic.name}: no known answer", "at least one")
    yield f"  {count} known answer{'s' if count > 1 else ''} reproduced"


def _figure(figure: Figure, path: Path) -> Iterator[str]:
    """Draw the example and yield what it has."""
    dataset = figure.example()
    options = core.resolve(figure.options, {})
    axes = figure.draw(dataset, {}, **options).axes
    if not any(panel.get_xlabel() for panel in axes):
        problem = f"{figure.name}: no axis has a label"
        raise _refusal(path, figure.draw, problem, "axes.set_xlabel(...)")
    yield f"  draws its example: {len(axes)} {'axes' if len(axes) > 1 else 'panel'}"


_FACTS: dict[str, Any] = {
    "model": _model,
    "solver": _solver,
    "statistic": _statistic,
    "figure": _figure,
}
