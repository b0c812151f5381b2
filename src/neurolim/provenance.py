"""What made a number: digests of the code behind it and a record of versions.

A digest covers a module and all of neurolim and of its own package or folder that it imports,
directly or not.  It is taken of the syntax tree without comments, docstrings and layout, so it
changes when behaviour can change and not when words do.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from neurolim import processor, sources
from neurolim.sources import PACKAGE, digest_and_imports

_PINNED = ("numpy", "numba", "scipy", "xarray", "zarr", "dask", "snakemake")


@lru_cache(maxsize=256)
def _parsed(module: str) -> tuple[str, tuple[str, ...]]:
    """Return (digest of the module's syntax tree, modules it imports that count)."""
    return digest_and_imports(module)


def code_digest(*modules: str, without: frozenset[str] = frozenset()) -> str:
    """Return a digest of these modules and of all they import that is part of what they do.

    Parameters
    ----------
    *modules : dotted names, e.g. "neurolim.solvers.network.particles", or ``sources.file_module``'s
    without : modules that do not count
    """
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen or module in without:
            continue
        seen[module], imported = _parsed(module)
        waiting.extend(imported)
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(seen.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def forget() -> None:
    """Read modules again that may be others of the same name by now."""
    _parsed.cache_clear()
    sources.forget()


def package_version() -> str:
    """Return the installed version of neurolim, or "unknown" outside an installation."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "unknown"


def software() -> dict[str, str]:
    """Return the versions, and the kind of processor, a result may depend on."""
    found = {PACKAGE: package_version(), "python": platform.python_version()}
    for name in _PINNED:
        if importlib.util.find_spec(name) is not None:
            found[name] = version(name)
    if not processor.IS_COMMON:
        # Somebody loaded numpy before neurolim could tell it: bits may be this processor's own.
        found["instructions"] = "this processor's own"
    return found
