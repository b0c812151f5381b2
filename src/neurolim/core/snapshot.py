"""Models given as objects, whose functions may read what changes while the program runs.

Compiled code holds the globals of a function as they were.  A notebook changes them: a model that
reads others than the last time is another model, and is compiled anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import numpy as np

from neurolim.core.model import Model

#: By model, as it was given: what its functions read, and the model that stands for it.
_known: dict[Model, tuple[Any, Model]] = {}


def current(model: Model) -> Model:
    """Return a model that is the same object again only where it reads the same."""
    values = tuple(_values(model, set()))
    before, known = _known.get(model, (values, model))
    if before != values:
        known = dataclasses.replace(model, drift=_copy(model.drift))
    _known[model] = values, known
    return known


def _copy(function: Any) -> Any:
    """Return another function that does the same."""
    if not isinstance(function, FunctionType):
        return function
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
    return copy


def _values(part: Any, seen: set[int]) -> Iterator[Any]:
    """Yield all that tells apart what something reads, functions by their code."""
    if isinstance(part, FunctionType):
        if id(part) in seen:
            return
        seen.add(id(part))
        code = part.__code__
        yield code
        cells = [cell.cell_contents for cell in part.__closure__ or ()]
        read = [part.__globals__[name] for name in code.co_names if name in part.__globals__]
        for value in (*cells, *(part.__defaults__ or ()), *read):
            yield from _values(value, seen)
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        for entry in dataclasses.fields(part):
            yield from _values(getattr(part, entry.name), seen)
    elif isinstance(part, (tuple, list)):
        yield len(part)
        for value in part:
            yield from _values(value, seen)
    elif isinstance(part, np.ndarray):
        yield part.dtype.str, part.shape, part.tobytes()
    elif isinstance(part, (bool, int, float, complex, str, bytes, type(None))):
        yield type(part).__name__, repr(part)
    else:
        yield id(part)
