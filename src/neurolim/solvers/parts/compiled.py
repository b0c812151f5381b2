"""Whether numba can compile the functions of a model: asked before any kernel is built of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from numba import types
from numba.core.errors import NumbaError

from neurolim.core import Model, Need, StudyError, outside
from neurolim.core.model_check import terms_of
from neurolim.core.terms import arguments_of
from neurolim.kept import cache_folder, keep_text
from neurolim.kernels.model_code import compiler, kernel_key
from neurolim.kernels.numba_types import NumbersType

#: What an equation may consist of, in words.
ALLOWED = "arithmetic, conditional expressions and functions of neurolim.math, of x.v, m.v, p.eps"
#: Where numba says that a line of the author's stands.
_LINE = re.compile(r'^File "(?P<file>[^"]+)", line (?P<line>\d+):$', re.MULTILINE)


class Uncompiled(NamedTuple):
    """A function that numba cannot compile.

    Parameters
    ----------
    part : of the model, e.g. ``drift``
    at : file and line
    problem : in one line
    """

    part: str
    at: str
    problem: str


@lru_cache(maxsize=256)
def uncompiled(model: Model) -> Uncompiled | None:
    """Return the first function of a model that numba cannot compile, if there is one.

    Every function is compiled by itself.  That all can be is kept on disk beside the kernels.
    """
    key, known = kernel_key(model, __name__)
    mark = cache_folder() / f"compiles-{key}"
    if known and mark.exists():
        return None
    take = compiler(f"{key}_alone")
    numbers = {
        "x": model.symbols,
        "z": model.symbols,
        "m": model.means,
        "c": model.means,
        "p": model.numbers._fields,
    }
    typed = {name: NumbersType(names) for name, names in numbers.items()} | {"t": types.float64}
    for part, term, _ in terms_of(model):
        if not callable(term):
            continue
        try:
            take(term).compile(tuple(typed[name] for name in arguments_of(term)))
        except Exception as error:  # whatever numba makes of a stranger's function
            return Uncompiled(part, _at(term, error), _in_one_line(error))
    if known:
        keep_text(mark, "")
    return None


def _in_one_line(error: Exception) -> str:
    """Return what is wrong; numba's errors begin with a line about its own pipeline."""
    if isinstance(error, StudyError):
        return error.problem
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = next((line for line in lines if not line.startswith("Failed in ")), "no reason given")
    return said if isinstance(error, NumbaError) else f"{type(error).__name__}: {said}"


def _at(term: Callable[..., Any], error: Exception) -> str:
    """Return file and line of what cannot be compiled, innermost first, or of its function."""
    code: Any = getattr(term, "__code__", None)
    if code is None:
        return ""
    own = [
        match["line"]
        for match in _LINE.finditer(str(error))
        if Path(match["file"]).name == Path(code.co_filename).name
    ]
    return f"{outside.shown(code.co_filename)}:{own[0] if own else code.co_firstlineno}"


def _fault(model: Model) -> str:
    refused = uncompiled(model)
    return f"{refused.part} ({refused.at}): {refused.problem}" if refused else ""


COMPILED = Need("functions that numba can compile", _fault, ALLOWED)
