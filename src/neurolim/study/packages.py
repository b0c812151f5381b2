"""Installed packages that bring plug-ins, as files of an archive.

An archive holds of such a package what its plug-ins run, and an entry in the form in which
``importlib.metadata`` finds entry points.  So a study finds its plug-ins by their names wherever
that folder is on Python's path, without the package being installed.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from types import ModuleType

from neurolim import sources
from neurolim.core import KINDS, StudyError, registry

#: Where in an archive they are.
PACKAGES = "code/packages"
_GROUPS = {f"neurolim.{kind}s": kind for kind in KINDS}


def files_of(plugins: Iterable[tuple[str, str]]) -> dict[str, bytes | Path]:
    """Return the files of an archive that bring these plug-ins, by their places in it.

    Parameters
    ----------
    plugins : kinds and names; those of neurolim itself need no files

    Raises
    ------
    StudyError : a plug-in that runs compiled code of its package
    """
    found: dict[str, bytes | Path] = {}
    points: dict[tuple[str, str], set[EntryPoint]] = {}
    for kind, name in plugins:
        point = registry.entry_point(kind, name)
        if point is None:
            continue
        assert point.dist is not None
        try:
            files = sources.package_files(point.module)
        except ValueError as error:
            problem = f"{name} comes from an installed package in which {error}"
            raise StudyError(kind, problem, "Python source, which an archive can hold") from None
        found |= {f"{PACKAGES}/{place}": file for place, file in files.items()}
        points.setdefault((point.dist.name, point.dist.version), set()).add(point)
    for (name, version), own in points.items():
        home = f"{PACKAGES}/{re.sub(r'[-_.]+', '_', name)}-{version}.dist-info"
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        found[f"{home}/METADATA"] = about.encode()
        found[f"{home}/entry_points.txt"] = _entry_points(own).encode()
    return found


def _entry_points(points: Iterable[EntryPoint]) -> str:
    """Return the text that says which plug-ins a package brings."""
    lines: list[str] = []
    for group, name, value in sorted((point.group, point.name, point.value) for point in points):
        if f"[{group}]" not in lines:
            lines.append(f"[{group}]")
        lines.append(f"{name} = {value}")
    return "\n".join([*lines, ""])


def named_in(folder: Path) -> set[tuple[str, str]]:
    """Return (kind, name) of all plug-ins that the packages in a folder bring; nothing is run."""
    return {
        (_GROUPS[point.group], point.name)
        for dist in distributions(path=[str(folder)])
        for point in dist.entry_points
        if point.group in _GROUPS
    }


@contextlib.contextmanager
def found_in(folder: Path) -> Iterator[None]:
    """Let names stand for plug-ins of the packages in a folder, before installed ones."""
    own = {path.name.partition(".")[0] for path in folder.glob("*")}
    before = _taken_out(own)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    registry.forget()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        _taken_out(own)
        sys.modules.update(before)
        registry.forget()


def _taken_out(packages: set[str]) -> dict[str, ModuleType]:
    """Remove modules of some packages from those imported, and return them."""
    names = [name for name in sys.modules if name.split(".")[0] in packages]
    return {name: sys.modules.pop(name) for name in names}
