"""Plug-ins from outside the package: a Python file named in a study.

``path/to/file.py`` stands for the MODEL (SOLVER, STATISTIC, FIGURE) in it, ``file.py:NAME`` for
another name.  The file is run once in a process, as a module named by the digest of its code
(``neurolim.sources``); whatever is wrong with it is one StudyError with file and line.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from neurolim import sources
from neurolim.core.errors import StudyError, hint, show
from neurolim.core.model import Model
from neurolim.core.model_check import check_model
from neurolim.core.parameters import Param, Var
from neurolim.core.solver import Solver
from neurolim.core.statistic import Figure, Statistic
from neurolim.core.terms import Field, GapJunctions, Noise, State, Synapses

TYPES: dict[str, Any] = {
    "model": Model,
    "solver": Solver,
    "statistic": Statistic,
    "figure": Figure,
}
#: What a model is made of, by the name of the class.
_PARTS: dict[str, Any] = {
    part.__name__: part
    for part in (*TYPES.values(), Field, GapJunctions, Noise, Param, State, Synapses, Var)
}
_KEYWORD = re.compile(
    rf"(?P<part>{'|'.join(_PARTS)})\.__init__\(\) got an unexpected keyword argument "
    r"'(?P<keyword>\w+)'"
)
#: Features that no solver takes, by the words for which somebody might look.
_OUTSIDE = {
    ("reset", "threshold", "thresholds", "spike", "spikes"): "thresholds with reset",
    ("jump", "jumps", "levy", "poisson"): "jumps",
    ("plasticity", "learning"): "plastic weights",
}
_WORD = re.compile(r"(?P<path>.*\.py)(:(?P<attribute>\w+))?")
_STEM = re.compile(r"[A-Za-z0-9]\w*(-\w+)*", re.ASCII)


class Source(NamedTuple):
    """Where a plug-in comes from that is in a file, and which state of the file is meant.

    Parameters
    ----------
    word : by which the study names it
    path : of the file
    attribute : its name in the file
    module : which the file is; another one once the file is edited
    label : its name in datasets, tables and messages
    text : the program, where it was made of a model as text and is in no file
    """

    word: str
    path: str
    attribute: str
    module: str
    label: str
    text: str = ""


def is_file(name: Any) -> bool:
    """Return whether a name in a study is that of a file."""
    return isinstance(name, str) and _WORD.fullmatch(name) is not None


def split(word: str) -> tuple[str, str]:
    """Return (path, name in the file, maybe empty) of the name of a file in a study."""
    match = _WORD.fullmatch(word)
    assert match is not None
    return match["path"], match["attribute"] or ""


def locate(kind: str, word: str, path: Path) -> Source:
    """Return the source of a plug-in; its file is read, not run.

    Parameters
    ----------
    kind : "model", "solver", "statistic", "figure"
    word : by which a study names it
    path : of the file

    Raises
    ------
    StudyError : a file that cannot be read, or is no Python
    """
    attribute = split(word)[1] or kind.upper()
    if _STEM.fullmatch(path.stem) is None:
        problem = f"{path.name!r} cannot be the name of a result"
        raise StudyError(kind, problem, "a file name of letters, digits, - and _")
    try:
        module = sources.file_module(path)
    except SyntaxError as error:
        problem = f"{shown(error.filename or path)}:{error.lineno or 1}: {error.msg}"
        raise StudyError(kind, problem, "valid Python") from None
    except UnicodeDecodeError:
        raise StudyError(kind, f"{shown(path)}: not UTF-8 text", "a Python file") from None
    except (OSError, ValueError) as error:
        problem = f"{shown(path)}: cannot be read: {getattr(error, 'strerror', None) or error}"
        raise StudyError(kind, problem, "a Python file") from None
    label = path.stem if attribute == kind.upper() else f"{path.stem}-{attribute}"
    return Source(word, str(path.resolve()), attribute, module, label)


def module_of(kind: str, source: Source) -> str:
    """Return the module of a source, which any process finds again.

    Raises
    ------
    StudyError : the file was edited since, or cannot be read any more
    """
    if source.text:
        return sources.text_module(source.text)
    if sources.file_of(source.module) is None:
        again = locate(kind, source.word, Path(source.path))
        if again.module != source.module:
            problem = f"{shown(source.path)}: edited after the study was read"
            raise StudyError(kind, problem, "the file as it was; run the study again")
    return source.module


def load(kind: str, source: Source) -> Any:
    """Return the plug-in a source stands for.

    Raises
    ------
    StudyError : the file cannot be run, has no such name, or something else of that name
    """
    module = _imported(kind, module_of(kind, source), Path(source.path))
    if source.text:
        return fitting(kind, getattr(module, source.attribute), source.label)
    return checked(kind, module, source.attribute, source.label, source.path)


def module(path: Path) -> ModuleType:
    """Return the module of a file.

    Raises
    ------
    StudyError : the file cannot be read or run
    """
    return _imported("file", locate("file", str(path), path).module, path)


def _imported(kind: str, name: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise fault(kind, path.resolve(), error) from None


def load_installed(kind: str, point: EntryPoint) -> Any:
    """Return the plug-in an entry point of an installed package stands for.

    Raises
    ------
    StudyError : as for a file
    """
    try:
        module = importlib.import_module(point.module)
    except (Exception, SystemExit) as error:
        text = f"entry point {point.value!r}: {type(error).__name__}: {error}"
        raise StudyError(kind, text, "a package that can be imported") from None
    return checked(kind, module, point.attr or kind.upper(), point.name, str(module.__file__))


def checked(kind: str, module: ModuleType, attribute: str, label: str, path: str) -> Any:
    """Return a plug-in of a module with its name, if it is one.

    Raises
    ------
    StudyError : no such name, something else of that name, or a model that no kernel could take
    """
    wanted = TYPES[kind]
    place = f"{shown(path)}:{line_of(path, attribute)}"
    known = [key for key, value in vars(module).items() if isinstance(value, wanted)]
    if not hasattr(module, attribute):
        problem = f"{place}: defines no {attribute}{hint(attribute, known)}"
        allowed = f"{attribute} = {wanted.__name__}(...)" + "".join(
            f", or {Path(path).name}:{key}" for key in known
        )
        raise StudyError(kind, problem, allowed)
    plug_in = getattr(module, attribute)
    if not isinstance(plug_in, wanted):
        problem = f"{place}: {attribute} is {show(plug_in)}"
        raise StudyError(kind, problem, f"{attribute} = {wanted.__name__}(...)")
    return fitting(kind, plug_in, label, place)


def fitting(kind: str, plug_in: Any, label: str, place: str = "") -> Any:
    """Return a plug-in with its name.

    Parameters
    ----------
    kind : "model", "solver", "statistic", "figure"
    plug_in : of that kind
    label : its name in results
    place : file and line, for refusals

    Raises
    ------
    StudyError : a model that no kernel could take
    """
    plug_in = replace(plug_in, name=label)
    if isinstance(plug_in, Model):
        try:
            check_model(plug_in)
        except StudyError as error:
            parts = (shown(error.file) if error.file else place, error.key, error.problem)
            raise StudyError(kind, ": ".join(filter(None, parts)), error.allowed) from None
        except Exception as error:
            problem = f"no parts of a model: {type(error).__name__}: {error}"
            problem = f"{place}: {problem}" if place else problem
            raise StudyError(kind, problem, "what the class Model says") from None
    return plug_in


def origin(kind: str, plug_in: Any) -> Source | None:
    """Return the file in which a plug-in stands that is given as an object, if there is one.

    None stands for objects that were made in a notebook, a program or by a function, and for
    modules of packages: they have no file that another process could run by itself.
    """
    # The program itself would run a second time; multiprocessing keeps it under another name, too.
    program = sys.modules.get("__main__")
    for module in list(sys.modules.values()):
        if not isinstance(module, ModuleType) or module is program:
            continue
        names = dict(vars(module))
        file = names.get("__file__") or ""
        if names.get("__package__") or not file.endswith(".py"):
            continue
        for name, value in names.items():
            if value is plug_in:
                return locate(kind, f"{file}:{name}", Path(file))
    return None


def shown(path: str | Path) -> str:
    """Return a path as short as it can be said here."""
    near = os.path.relpath(path)
    return str(path) if near.startswith(os.pardir) else near


def fault(kind: str, path: Path, error: BaseException, line: int = 0) -> StudyError:
    """Return the refusal of a file that fails, with the line of its own that does.

    Parameters
    ----------
    kind : "model", "solver", "statistic", "figure"
    path : of the file
    error : what it raises
    line : to be named where no line of the file fails, as when it is called in a wrong way
    """
    allowed = "a file that runs"
    if isinstance(error, StudyError) and not error.file:
        text = f"{error.key}: {error.problem}" if error.key else error.problem
    elif unknown := _KEYWORD.match(str(error)):
        text, allowed = _no_such_part(unknown["part"], unknown["keyword"])
    else:
        text = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).parent == path.parent]
    place = f"{shown(own[-1].filename)}:{own[-1].lineno}" if own else shown(path)
    place += f":{line}" if line and not own else ""
    return StudyError(kind, f"{place}: {text}", allowed)


def _no_such_part(part: str, keyword: str) -> tuple[str, str]:
    """Return what is wrong with a keyword that a word of the vocabulary does not take."""
    known = [name for name in inspect.signature(_PARTS[part]).parameters if name != "name"]
    for names, feature in _OUTSIDE.items():
        if keyword in names:
            return f"{part} does not take {feature}", ", ".join(known)
    return f"{part} has no {keyword!r}{hint(keyword, known)}", ", ".join(known)


def line_of(path: str, attribute: str) -> int:
    """Return the last line of a file that gives a name its value; the first one if none does."""
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return 1
    for node in reversed(tree.body):
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        if any(isinstance(part, ast.Name) and part.id == attribute for part in targets):
            return node.lineno
    return 1


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and runs the modules that are files."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return where a module is, if it is a file that was given this name."""
        file = sources.file_of(name)
        if file is None:
            return None
        return importlib.util.spec_from_file_location(name, file.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the program of a file."""
        file = sources.file_of(module.__name__)
        assert file is not None
        exec(compile(sources.program_of(file), str(file.path), "exec"), vars(module))


sys.meta_path.append(_Finder())
