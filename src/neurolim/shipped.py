"""Where the files are that neurolim has beside its modules: workflow, profiles, lock, licence.

A clone has them at its top; a wheel brings them in ``neurolim/_shipped`` (``pyproject.toml`` lists
them).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent
_IN_WHEEL = PACKAGE / "_shipped"


def root() -> Path:
    """Return the folder that holds the Snakefile and all that belongs to it."""
    return _IN_WHEEL if _IN_WHEEL.is_dir() else PACKAGE.parents[1]


def snakefile() -> str:
    """Return the path of the workflow, for ``module`` statements of other Snakefiles."""
    return str(root() / "Snakefile")


def modules() -> Iterator[Path]:
    """Yield the files of the package itself, which are the same in a clone and from a wheel."""
    for path in PACKAGE.rglob("*"):
        inside = path.relative_to(PACKAGE).parts
        if path.is_file() and "__pycache__" not in inside and inside[0] != _IN_WHEEL.name:
            yield path
