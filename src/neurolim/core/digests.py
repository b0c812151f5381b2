"""What a model is made of, as one word."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from types import CodeType
from typing import Any

from neurolim.core.model import Model
from neurolim.provenance import code_digest
from neurolim.sources import is_covered

#: Words that change no number.
_WORDS = ("summary", "source", "name", "work", "doc", "long_name")


def model_digest(model: Model) -> str | None:
    """Return a digest of everything a model's numbers depend on.

    None stands for a model with functions whose source is not known: what is made for it is kept
    in this process only.
    """
    modules: set[str] = set()
    try:
        text = _text(model, modules)
    except LookupError:
        return None
    whole = f"{text} {code_digest(*sorted(modules))}"
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _text(value: Any, modules: set[str]) -> str:
    """Return a value as text, functions by where they stand and what they do."""
    if is_dataclass(value) and not isinstance(value, type):
        module = type(value).__module__
        if is_covered(module):
            modules.add(module)
        parts = (
            _text(getattr(value, part.name), modules)
            for part in fields(value)
            if part.name not in _WORDS
        )
        own = _text(value.draw, modules) if hasattr(value, "draw") else ""
        return f"{type(value).__name__}{own}({', '.join(parts)})"
    if isinstance(value, tuple):
        return f"({', '.join(_text(part, modules) for part in value)})"
    if callable(value):
        code = getattr(value, "__code__", None)
        module = getattr(value, "__module__", "")
        if code is None or not is_covered(module) or code.co_freevars:
            raise LookupError(module)
        modules.add(module)
        return f"{module}:{value.__qualname__}:{_code_text(code, value.__doc__)}"
    return repr(value)


def _code_text(code: CodeType, words: str | None = None) -> str:
    """Return what a function does as text; its words are left out."""
    constants = (
        _code_text(value) if isinstance(value, CodeType) else repr(value)
        for value in code.co_consts
        if words is None or value != words
    )
    done = hashlib.sha256(code.co_code).hexdigest()
    return f"{done}:{code.co_names!r}:{', '.join(constants)}"
