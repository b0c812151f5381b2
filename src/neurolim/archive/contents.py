"""What an archive holds and under which names; writer and verifier agree on this page."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

#: Of this layout; a change that old verifiers cannot read raises it.
FORMAT = 1

METADATA = "ro-crate-metadata.json"
CHECKSUMS = "checksums.sha256"
MANIFEST = "archive.json"
LOCK = "code/requirements.lock"

#: Files of the project that make a run repeatable, kept below ``code/``.
CODE_FILES = (
    "CITATION.cff",
    "LICENSE",
    "README.md",
    "Snakefile",
    "config/config.yaml",
    "environment.yml",
    "pyproject.toml",
    "requirements.lock",
)
CODE_FOLDERS = ("src/neurolim", "workflow", "profiles")
#: What may be in an archive besides the nameless chunks of zarr arrays.  No format here can hold
#: objects that run when they are read, and Python only below ``code/``.
_DOCUMENTS = (".cff", ".csv", ".html", ".json", ".lock", ".md", ".nc", ".sha256", ".yaml", ".yml")
_PICTURES = (".pdf", ".png", ".svg", ".tex")
CODE_ONLY = frozenset((".py", ".sh", ".smk", ".toml", ".typed", ".rst"))
SUFFIXES = CODE_ONLY.union(_DOCUMENTS, _PICTURES)
#: Files whose kind is their name.
NAMELESS = frozenset(("LICENSE", "code/LICENSE", "code/Snakefile"))
_PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+( ; [^\\@:]+)? \\")
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


def code_files(root: Path) -> dict[str, Path]:
    """Return the files below ``code/`` in the archive of a project: {name: path}."""
    found = {name: root / name for name in CODE_FILES}
    for folder in CODE_FOLDERS:
        for path in (root / folder).rglob("*"):
            if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts:
                found[path.relative_to(root).as_posix()] = path
    return {f"code/{name}": path for name, path in found.items()}


def checksum_lines(digests: Mapping[str, str]) -> str:
    """Return what ``sha256sum --check`` reads."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def read_checksums(text: str) -> dict[str, str]:
    """Return {name: SHA-256}.

    Raises
    ------
    ValueError : a line is something else, or a name is there twice
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise ValueError(f"line {number} is not a new checksum and name: {line[:80]!r}")
        found[match[2]] = match[1]
    return found


def check_lock(text: str) -> None:
    """Refuse a lock that says more than which versions with which hashes.

    Raises
    ------
    ValueError : an option, an address, a path, or a pin without hash
    """
    bare = ""
    for number, line in enumerate(text.splitlines(), 1):
        if _HASH.fullmatch(line):
            bare = ""
        elif _PIN.fullmatch(line) and not bare:
            bare = line
        else:
            raise ValueError(
                f"line {number} is neither a pin with hashes nor a hash: {line[:80]!r}"
            )
    if bare:
        raise ValueError(f"a pin without hash: {bare[:80]!r}")


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()
