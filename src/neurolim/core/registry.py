"""Plug-ins by name: the file name is the name used in a study."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from functools import lru_cache
from typing import Any

from neurolim.core.errors import StudyError, hint, show
from neurolim.core.model_check import check_model

KINDS = ("model", "solver", "statistic", "figure")
_FOLDERS = {
    "model": "models",
    "solver": "solvers",
    "statistic": "statistics",
    "figure": "figures",
}


@lru_cache(maxsize=8)
def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of a kind ("model", "solver", "statistic", "figure")."""
    package = importlib.import_module(f"neurolim.{_FOLDERS[kind]}")
    return tuple(
        sorted(
            found.name
            for found in pkgutil.iter_modules(package.__path__)
            if not found.ispkg and not found.name.startswith("_")
        )
    )


def get(kind: str, name: str) -> Any:
    """Return the plug-in of that kind whose file has that name.

    Raises
    ------
    StudyError : unknown name, with the known ones listed
    """
    known = names(kind)
    if not isinstance(name, str) or name not in known:
        raise StudyError(kind, f"unknown {kind} {show(name)}{hint(name, known)}", known)
    return _loaded(kind, name)


@lru_cache(maxsize=512)
def _loaded(kind: str, name: str) -> Any:
    module = importlib.import_module(f"neurolim.{_FOLDERS[kind]}.{name}")
    plug_in = replace(getattr(module, kind.upper()), name=name)
    if kind == "model":
        check_model(plug_in)
    return plug_in
