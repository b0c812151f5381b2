"""Plug-ins by name: the file name is the name used in a study.

A name is that of a file of this package, of an entry point of an installed package in the group
``neurolim.models`` (``.solvers``, ``.statistics``, ``.figures``), or the path of a Python file.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from numba import config

from neurolim import provenance, sources
from neurolim.core import outside, snapshot
from neurolim.core.errors import StudyError, hint, show
from neurolim.core.model_check import check_model
from neurolim.core.outside import Source

KINDS = ("model", "solver", "statistic", "figure")
_FOLDERS = {
    "model": "models",
    "solver": "solvers",
    "statistic": "statistics",
    "figure": "figures",
}

#: Names of the release before, which are accepted with a notice until the next one.
_RENAMED = {
    "solver": {
        "closure": "gaussian_closure",
        "fokker_planck": "finite_volume",
        "kinetic": "hermite",
        "mean_field": "moving_grid",
        "potential": "hopf_cole_populations",
        "stationary": "stationary_law",
        "wired": "graph",
    },
    "figure": {
        "agreement": "agreement_scores",
        "arrhenius": "arrhenius_plot",
        "characteristic_growth": "growth_curves",
        "double_limit": "double_limit_errors",
        "joint_limits": "joint_limit_paths",
        "phase_transition": "order_parameter",
        "profile": "profile_collapse",
        "sparse_variance": "variance_curves",
        "synchrony": "synchrony_decay",
    },
}


class RenamedWarning(FutureWarning):
    """A study or program calls a plug-in by the name that it had in the release before."""


@lru_cache(maxsize=8)
def _own(kind: str) -> dict[str, str]:
    """Return {name: module} of a kind that this package has: its folders are themes, or ``parts``.

    A file in ``parts``, or one whose name begins with an underscore, is shared by plug-ins.
    """
    package = importlib.import_module(f"neurolim.{_FOLDERS[kind]}")
    folders = [module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg]
    homes = [package.__name__]
    homes += [f"{package.__name__}.{name}" for name in folders if name != "parts"]
    return {
        module.name: f"{home}.{module.name}"
        for home in homes
        for module in pkgutil.iter_modules(importlib.import_module(home).__path__)
        if not module.ispkg and not module.name.startswith("_")
    }


@lru_cache(maxsize=8)
def _installed(kind: str) -> dict[str, EntryPoint]:
    """Return what installed packages bring of a kind, by name; names of this package stay its."""
    found = {point.name: point for point in entry_points(group=f"neurolim.{_FOLDERS[kind]}")}
    return {name: point for name, point in found.items() if name not in _own(kind)}


@lru_cache(maxsize=8)
def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of a kind ("model", "solver", "statistic", "figure")."""
    return tuple(sorted({*_own(kind), *_installed(kind)}))


def entry_point(kind: str, name: Any) -> EntryPoint | None:
    """Return the entry point of an installed package that a name stands for, if it does."""
    return _installed(kind).get(name) if isinstance(name, str) else None


def forget() -> None:
    """Look again for what installed packages bring: after a change of ``sys.path``."""
    for remembered in (_installed, names, _loaded):
        remembered.cache_clear()
    provenance.forget()


def current(kind: str, name: Any) -> Any:
    """Return the name of today for one of the release before, with a notice; others as they are.

    Parameters
    ----------
    kind : "model", "solver", "statistic", "figure"
    name : what a study or program calls a plug-in by
    """
    today = _RENAMED.get(kind, {}).get(name) if isinstance(name, str) else None
    if today is None or name in names(kind):
        return name
    notice = f"the {kind} {name!r} is called {today!r}; its old name ends with the next release"
    warnings.warn(notice, RenamedWarning, stacklevel=2)
    return today


def get(kind: str, name: Any) -> Any:
    """Return the plug-in of that kind whose file has that name.

    Parameters
    ----------
    kind : "model", "solver", "statistic", "figure"
    name : a registered name, the source of a plug-in, the path of a Python file, or a plug-in

    Raises
    ------
    StudyError : unknown name, with the known ones listed; a plug-in that cannot be used
    """
    if isinstance(name, outside.TYPES[kind]):
        plug_in = snapshot.current(name) if kind == "model" else name
        return outside.fitting(kind, plug_in, name.name or kind)
    if outside.is_file(name):
        name = outside.locate(kind, str(name), Path(outside.split(str(name))[0]))
    if not isinstance(name, Source):
        name, known = current(kind, name), names(kind)
        if not isinstance(name, str) or name not in known:
            raise StudyError(kind, f"unknown {kind} {show(name)}{hint(name, known)}", known)
    return _loaded(kind, name)


def module_of(kind: str, name: Any) -> str:
    """Return the module behind a plug-in, which is what a digest of its code starts from.

    Raises
    ------
    StudyError : a file that was edited since or cannot be read; an object, which has no file
    """
    if isinstance(name, outside.TYPES[kind]):
        problem = "an object without a file of its own can be solved, not kept in files"
        raise StudyError(kind, problem, "file.py:NAME, or neurolim.solve")
    if isinstance(name, Source):
        return outside.module_of(kind, name)
    point = entry_point(kind, name)
    if point is None:
        return _own(kind)[name]
    sources.cover(point.module)
    return point.module


@lru_cache(maxsize=512)
def _loaded(kind: str, name: str | Source) -> Any:
    if config.DISABLE_JIT:
        problem = "set in the environment, but no plug-in runs without being compiled"
        raise StudyError("NUMBA_DISABLE_JIT", problem, "an environment without it")
    if isinstance(name, Source):
        return outside.load(kind, name)
    module_name = module_of(kind, name)
    point = entry_point(kind, name)
    if point is not None:
        return outside.load_installed(kind, point)
    module = importlib.import_module(module_name)
    plug_in = replace(getattr(module, kind.upper()), name=name)
    if kind == "model":
        check_model(plug_in)
    return plug_in
