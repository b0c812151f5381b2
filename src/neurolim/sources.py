"""Where the text of a module is, and which modules beside it are part of what it does.

Three kinds of modules have a text here: those of neurolim, those of installed packages that bring
plug-ins, and single files.  A file becomes a module named by the digest of its own syntax tree and
of the trees of all files of its folder that it imports: an edited file is another module, and the
same file has the same name in every process.  A program that is made here, of a model as text, is
like a file that imports no other.
"""

from __future__ import annotations

import ast
import errno
import hashlib
import importlib.util
import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from neurolim.kept import cache_folder, keep_text

PACKAGE = "neurolim"
#: How names of modules begin that are files.
PREFIX = "_neurolim_"


class FileModule(NamedTuple):
    """A file as a module.

    Parameters
    ----------
    path : of the file
    text : its content
    siblings : {name by which it imports a file of its folder: that file's module}
    """

    path: Path
    text: str
    siblings: Mapping[str, str]


#: Files that were given a name in this process.
_files: dict[str, FileModule] = {}
#: Packages of which modules are covered by digests.
_packages = {PACKAGE}


class _WithoutDocstrings(ast.NodeTransformer):
    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        ) and isinstance(body, list):
            kept = [
                statement
                for statement in body
                if not (
                    isinstance(statement, ast.Expr)
                    and isinstance(statement.value, ast.Constant)
                    and isinstance(statement.value.value, str)
                )
            ]
            node.body = kept or [ast.Pass()]
        return node


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those that only type checkers read."""
    yield tree
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    for node in ast.iter_child_nodes(tree):
        yield from _run(node)


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the absolute names of all that a program imports: modules, and names in modules."""
    for node in _run(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = [*(parents if node.level else []), *filter(None, [node.module])]
            yield ".".join(base)
            yield from (".".join([*base, alias.name]) for alias in node.names)


class Program(NamedTuple):
    """What the text of a program says of it.

    Parameters
    ----------
    digest : of what it does: without comments, docstrings and layout
    imported : absolute names of modules, and of names in modules
    """

    digest: str
    imported: tuple[str, ...]


@lru_cache(maxsize=1)
def _own_digest() -> str:
    """Return what the reading of a program depends on beside its text."""
    text = Path(__file__).read_bytes() + sys.version.encode()
    return hashlib.sha256(text).hexdigest()


@lru_cache(maxsize=1024)
def program(text: str, package: str = "") -> Program:
    """Return what a program does and imports, kept on disk: hundreds are parsed in a second.

    Parameters
    ----------
    text : the program
    package : of the program, for relative imports

    Raises
    ------
    SyntaxError, ValueError : it is none
    """
    key = hashlib.sha256(f"{_own_digest()} {package}\n{text}".encode()).hexdigest()
    path = cache_folder() / f"program-{key[:32]}.json"
    try:
        digest, imported = json.loads(path.read_text(encoding="utf-8"))
        return Program(digest, tuple(imported))
    except (OSError, ValueError, TypeError):
        pass  # not there, or half a file
    tree = ast.parse(text)
    names = tuple(sorted({*_imported(tree, package)} - {""}))
    bare = ast.dump(_WithoutDocstrings().visit(tree))
    found = Program(hashlib.sha256(bare.encode()).hexdigest(), names)
    keep_text(path, json.dumps(found))
    return found


# -- modules of packages ---------------------------------------------------------------------


def cover(module: str) -> None:
    """Let digests cover the package of this module."""
    _packages.add(module.split(".")[0])


def is_covered(module: str) -> bool:
    """Return whether a digest covers what the functions of a module of models do."""
    top = module.split(".")[0]
    if top == PACKAGE:
        return module.startswith((f"{PACKAGE}.models.", f"{PACKAGE}.laws"))
    return module in _files or top in _packages


@lru_cache(maxsize=1024)
def _source(module: str) -> Path | None:
    """Return the file of a module of a covered package, or None if there is no such module."""
    parts = module.split(".")
    if parts[0] == PACKAGE:
        path = Path(__file__).parent.joinpath(*parts[1:])
        if path.with_suffix(".py").is_file() and parts[1:]:
            return path.with_suffix(".py")
        return path / "__init__.py" if (path / "__init__.py").is_file() else None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None
    known = spec is not None and spec.origin is not None and spec.origin.endswith(".py")
    return Path(spec.origin) if known else None  # type: ignore[union-attr, arg-type]


def digest_and_imports(module: str) -> tuple[str, tuple[str, ...]]:
    """Return (digest of a module's program, modules it imports that are part of what it does).

    Those are modules of neurolim, and of the module's own package or folder.
    """
    if module in _files:
        text, siblings = _files[module].text, set(_files[module].siblings.values())
        own = PACKAGE
    else:
        path = _source(module)
        assert path is not None
        text, siblings = path.read_text(encoding="utf-8"), set()
        own = module.split(".")[0]
    package = module if module not in _files and _is_package(module) else module.rpartition(".")[0]
    digest, imported = program(text, package)
    inside = {
        name
        for name in imported
        # The package itself only hands on names; what they stand for is in every solver's digest.
        if name != PACKAGE and name.split(".")[0] in (PACKAGE, own) and _source(name)
    }
    return digest, tuple(sorted(inside | siblings))


def package_files(module: str) -> dict[str, Path]:
    """Return the files of its package that a module runs: itself, what it imports, ``__init__``.

    Parameters
    ----------
    module : of an installed package

    Returns
    -------
    {place below the folder that holds the package: file}

    Raises
    ------
    ValueError : it imports a compiled module of its package, which has no source here
    """
    own = module.split(".")[0]
    found: dict[str, Path] = {}
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        waiting.append(name.rpartition(".")[0])
        path = _source(name)
        if path is None:
            # A name in a module, or a folder without __init__.py.
            continue
        parts = name.split(".") if _is_package(name) else name.split(".")[:-1]
        found["/".join([*parts, path.name])] = path
        text = path.read_text(encoding="utf-8")
        for other in program(text, ".".join(parts)).imported:
            if other.split(".")[0] == own:
                if _is_compiled(other):
                    raise ValueError(f"{name} imports {other}, which is compiled")
                waiting.append(other)
    return found


def _is_compiled(module: str) -> bool:
    """Return whether a name is a module without a Python file."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return False
    return spec is not None and spec.has_location and not str(spec.origin).endswith(".py")


def forget() -> None:
    """Look again for files of installed packages, which may lie elsewhere by now."""
    _source.cache_clear()


def _is_package(module: str) -> bool:
    path = _source(module)
    return path is not None and path.name == "__init__.py"


# -- files -----------------------------------------------------------------------------------


def read_file(path: str | Path, encoding: str = "utf-8") -> str:
    """Return the text of a file that somebody names; pipes and devices are not waited for.

    Raises
    ------
    OSError : not there, not readable, or no file
    ValueError : another encoding, or a name that no file has
    """
    with open(path, encoding=encoding, opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(path))
        return file.read()


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting for somebody who writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@lru_cache(maxsize=512)
def _read(path: Path, stamp: tuple[int, int]) -> tuple[str, str, tuple[str, ...]]:
    """Return (text, digest, names of files of its folder that it imports) of a file."""
    text = read_file(path)
    try:
        digest, imported = program(text, "_folder")
    except SyntaxError as error:
        error.filename = str(path)
        raise
    names = {name.split(".")[0] for name in imported}
    names |= {name.split(".")[1] for name in imported if name.startswith("_folder.")}
    # As for a script, what lies beside it comes first, but for Python's own modules.
    known = sorted(
        name
        for name in names - set(sys.stdlib_module_names) - {PACKAGE}
        if (path.parent / f"{name}.py").is_file()
    )
    return text, digest, tuple(known)


def _content(path: Path) -> tuple[str, str, tuple[str, ...]]:
    status = path.stat()
    return _read(path, (status.st_mtime_ns, status.st_size))


def files_behind(path: Path) -> list[Path]:
    """Return a file and all files of its folder that it imports, directly or not.

    Raises
    ------
    OSError, SyntaxError, UnicodeDecodeError : one of them cannot be read
    """
    found: list[Path] = []
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.append(file)
            waiting.extend(path.parent / f"{name}.py" for name in _content(file)[2])
    return sorted(found)


def file_module(path: Path) -> str:
    """Return the name of the module that a file is, and remember which file it is.

    Raises
    ------
    OSError, SyntaxError, UnicodeDecodeError : it cannot be read, or a file it imports
    """
    path = path.resolve()
    behind = files_behind(path)
    names = {}
    for file in behind:
        parts = [f"{one.stem} {_content(one)[1]}" for one in files_behind(file)]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        names[file] = PREFIX + re.sub(r"\W", "_", file.stem) + f"_{digest}"
    for file in behind:
        text, _, siblings = _content(file)
        modules = {name: names[path.parent / f"{name}.py"] for name in siblings}
        _files.setdefault(names[file], FileModule(file, text, modules))
    return names[path]


def text_module(text: str) -> str:
    """Return the name of the module that a program is which was made here and is in no file."""
    name = f"{PREFIX}text_{program(text).digest[:16]}"
    _files.setdefault(name, FileModule(Path("a model as text"), text, {}))
    return name


def file_of(module: str) -> FileModule | None:
    """Return the file that a module is, if this process gave it its name."""
    return _files.get(module)


class _Renamed(ast.NodeTransformer):
    """Imports of files of the same folder, by the names of their modules."""

    def __init__(self, siblings: Mapping[str, str]) -> None:
        self._siblings = siblings

    def visit_Import(self, node: ast.Import) -> ast.Import:
        for alias in node.names:
            if alias.name in self._siblings:
                alias.asname = alias.asname or alias.name
                alias.name = self._siblings[alias.name]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.AST]:
        if node.level > 1:
            return node
        if node.module:
            if node.module in self._siblings:
                node.module, node.level = self._siblings[node.module], 0
            return node
        # from . import one, two
        return [
            ast.copy_location(
                ast.Import([ast.alias(self._siblings[a.name], a.asname or a.name)])
                if a.name in self._siblings
                else ast.ImportFrom(None, [a], node.level),
                node,
            )
            for a in node.names
        ]


def program_of(module: FileModule) -> ast.Module:
    """Return the program of a file, which imports files of its folder as the modules they are."""
    tree = _Renamed(module.siblings).visit(ast.parse(module.text))
    return ast.fix_missing_locations(tree)
