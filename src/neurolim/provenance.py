"""What made a number: digests of the code behind it and a record of versions.

A digest covers a module and everything of neurolim it imports, directly or not.  It is taken of
the syntax tree without comments, docstrings and layout, so it changes when behaviour can change
and not when words do.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import platform
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = "neurolim"
_PINNED = ("numpy", "numba", "scipy", "xarray", "zarr", "dask", "snakemake")


@lru_cache(maxsize=256)
def _source(module: str) -> Path | None:
    """Return the file of a neurolim module, or None if there is no such module."""
    root = Path(__file__).parent
    parts = module.split(".")[1:]
    path = root.joinpath(*parts)
    if path.with_suffix(".py").is_file() and parts:
        return path.with_suffix(".py")
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    return None


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


@lru_cache(maxsize=256)
def _parsed(module: str) -> tuple[str, tuple[str, ...]]:
    """Return (digest of the module's syntax tree, neurolim modules it imports)."""
    path = _source(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: set[str] = set()
    for node in _run(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
    inside = tuple(
        sorted(
            name
            for name in imported
            if name.split(".")[0] == _PACKAGE and name != _PACKAGE and _source(name)
        )
    )
    text = ast.dump(_WithoutDocstrings().visit(tree))
    return hashlib.sha256(text.encode()).hexdigest(), inside


def code_digest(*modules: str) -> str:
    """Return a digest of these neurolim modules and of all they import inside neurolim.

    Parameters
    ----------
    *modules : dotted names, e.g. "neurolim.solvers.particles"
    """
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen[module], imported = _parsed(module)
        waiting.extend(imported)
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(seen.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def package_version() -> str:
    """Return the installed version of neurolim, or "unknown" outside an installation."""
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return "unknown"


def software() -> dict[str, str]:
    """Return the versions a result may depend on."""
    found = {_PACKAGE: package_version(), "python": platform.python_version()}
    for name in _PINNED:
        if importlib.util.find_spec(name) is not None:
            found[name] = version(name)
    return found
