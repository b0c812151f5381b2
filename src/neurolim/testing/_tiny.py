"""Configurations as small as a solver lets them be, from what its options say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from neurolim import core
from neurolim.core import Model, Param, Solver, StudyError
from neurolim.solvers.parts.rates import modes_at_start

#: Neurons, records, nodes, ... of a tiny run, where an option allows so few.
FEW = 5
#: Steps of a tiny run, in units of the time of the model's fastest decay; in units of time where
#: there is no rate.
_STEP = 0.1
#: What widths and noises are opened to.
_OPEN = 0.1
#: Steps halved so often are no steps.
_HALVINGS = 20

Numbers = dict[str, Any]


def tiny_run(
    solver: Solver, model: Model, given: Mapping[str, Any], size: str = "few"
) -> tuple[Numbers, Numbers]:
    """Return (parameters, options) of a run that a solver accepts and that takes a moment.

    Where the solver refuses a model as it is by default, widths and noises that are zero are
    opened, and other words are chosen; where it refuses a time step, that is halved.

    Parameters
    ----------
    solver, model : the pair
    given : options that are not to be chosen here
    size : "few", "least" or "default": whole numbers of the options

    Raises
    ------
    StudyError : the refusal of the model as it is by default, which nothing mends
    """
    first: StudyError | None = None
    for params in _parameters(model):
        for words in _words(solver, given):
            options = _options(solver, model, params, size) | words
            try:
                return params, _accepted(solver, model, params, options)
            except StudyError as refusal:
                first = first or refusal
    assert first is not None
    raise first


def _parameters(model: Model) -> Iterator[Numbers]:
    """Yield the default parameters; then with those opened that are zero and may be larger."""
    params = core.resolve(model.params, {})
    yield params
    opened = {
        param.name: min(_OPEN, param.high)
        for param in model.params
        if param.kind == "number" and params[param.name] == 0.0 and param.low == 0.0
    }
    if opened:
        yield params | opened


def _words(solver: Solver, given: Mapping[str, Any]) -> Iterator[Numbers]:
    """Yield the options given; then with each other word that an option has to choose from."""
    yield dict(given)
    for option in solver.options:
        if option.kind == "choice" and option.name not in given:
            for word in option.choices:
                if word != option.default:
                    yield {**given, option.name: word}


def _options(solver: Solver, model: Model, params: Numbers, size: str) -> Numbers:
    """Return options of few neurons, nodes and records, and of steps that follow the model."""
    needed = {option.name: _value(option) for option in solver.options if option.default is None}
    options = core.resolve(solver.options, needed)
    if size != "default":
        whole = (option for option in solver.options if option.kind == "integer")
        options |= {option.name: _size(option, size) for option in whole}
    rate = -float(modes_at_start(model, params, FEW).real.min())
    step = min(options.get("dt", _STEP), _STEP / rate if rate > 0.0 else _STEP)
    if "dt" in options:
        options["dt"] = step
    if "t_end" in options:
        options["records"] = 1 if size == "least" else FEW
        options["t_end"] = step * options["records"]
    return options


def _size(option: Param, size: str) -> int:
    """Return a whole number for an option, none where nothing has to be."""
    least = int(max(option.low, 1 if option.positive else 0))
    if size == "least":
        return least
    few = max(least, FEW)
    return int(min(few, option.high if option.default is None else option.default))


def _value(option: Param) -> Any:
    """Return a value of an option without default."""
    if option.choices:
        return option.choices[0]
    number = min(max(1.0, option.low), option.high)
    values = {
        "boolean": False,
        "vector": (number,),
        "matrix": ((number,),),
        "integer": int(number),
        "number": number,
        "record time": number,
    }
    return values.get(option.kind, "none")


def switched_on(solver: Solver) -> Numbers:
    """Return options of a solver with which it gives all outputs that depend on one of them."""
    return {option.name: _switched_on(option) for option in solver.options}


def _switched_on(option: Param) -> Any:
    """Return a value of an option with which all outputs are there that depend on it."""
    if option.kind == "boolean":
        return True
    if option.default == 0 and option.kind in ("integer", "number"):
        return min(1, option.high)
    return option.default


def _accepted(solver: Solver, model: Model, params: Numbers, options: Numbers) -> Numbers:
    """Return options with a time step that the solver accepts.

    Raises
    ------
    StudyError : what it refuses that a shorter step does not mend
    """
    for _ in range(_HALVINGS):
        try:
            solver.accept(model, params, options)
        except StudyError as refusal:
            if refusal.key not in ("dt", "t_end") or refusal.key not in options:
                raise
            last = refusal
            options = options | {
                name: 0.5 * options[name] for name in ("dt", "t_end") if name in options
            }
        else:
            return options
    raise last
