"""What an archive holds and under which names; writer and verifier agree on this page."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from neurolim import shipped
from neurolim.core.stored import WORD

#: Of this layout; a change that old verifiers cannot read raises it.
FORMAT = 1

METADATA = "ro-crate-metadata.json"
CHECKSUMS = "checksums.sha256"
MANIFEST = "archive.json"
LOCK = "code/requirements.lock"
REPORT = "report.html"
#: What the studies say of their statements: the page to begin with, and the same for machines.
VERDICTS = ("verdicts.html", "verdicts.csv", "verdicts.json")

#: Files of neurolim that make a run repeatable, kept below ``code/``.
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
#: Suffixes below ``code/``.  No format can hold objects that run when they are read.
SUFFIXES = frozenset((".cff", ".lock", ".md", ".py", ".rst", ".sh", ".smk", ".toml", ".typed"))
SUFFIXES |= {".yaml", ".yml"}
_STUDY, _WORD = "[a-z0-9][a-z0-9_-]*", WORD
_CODE = re.compile(
    "|".join(map(re.escape, CODE_FILES))
    + f"|({'|'.join(CODE_FOLDERS)})/.+"
    # Files that studies name, each below its study's name: plug-ins and wires.
    + rf"|plugins/{_STUDY}/(\w[\w.-]*/)*({_WORD}\.py|\w[\w.-]*\.csv)"
    # Packages whose plug-ins studies name, with what importlib.metadata finds these by.
    + r"|packages/(\w+/)*\w+\.py|packages/\w+-[\w.+!]+\.dist-info/(METADATA|entry_points\.txt)",
    re.ASCII,
)
#: Everything else that may be in an archive.
_PLACES = re.compile(
    r"README\.md|LICENSE|CITATION\.cff|zenodo\.json"
    f"|{'|'.join(map(re.escape, (METADATA, CHECKSUMS, MANIFEST, REPORT, *VERDICTS)))}"
    rf"|studies/{_STUDY}\.yaml|chunks/{_STUDY}/\d+\.json|netcdf/{_STUDY}\.nc"
    rf"|tables/{_STUDY}/{_WORD}\.(csv|json|html|tex)|figures/{_STUDY}/{_WORD}\.(svg|pdf|png)"
    rf"|(data|statistics)/{_STUDY}/(zarr\.json|{_WORD}/(zarr\.json|c(/\d+)*))",
    re.ASCII,
)
_PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+( ; [^\\@:]+)? \\")
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


def code_files() -> dict[str, Path]:
    """Return the files of neurolim below ``code/`` in an archive: {name: path}.

    Their names are those of a clone, whether neurolim runs in one or from a wheel.
    """
    root = shipped.root()
    package, *folders = CODE_FOLDERS
    found = {f"{package}/{path.relative_to(shipped.PACKAGE)}": path for path in shipped.modules()}
    for folder in folders:
        files = (path for path in (root / folder).rglob("*") if path.is_file())
        found |= {path.relative_to(root).as_posix(): path for path in files}
    found = {name: path for name, path in found.items() if path.suffix in SUFFIXES}
    found |= {name: root / name for name in CODE_FILES}
    return {f"code/{name}": path for name, path in found.items()}


def has_place(name: str) -> bool:
    """Return whether a file of this name may be in an archive."""
    folder, _, rest = name.partition("/")
    if folder == "code":
        of_neurolim = rest not in CODE_FILES and rest.startswith(CODE_FOLDERS)
        known = Path(rest).suffix in SUFFIXES or not of_neurolim
        return known and _CODE.fullmatch(rest) is not None
    return _PLACES.fullmatch(name) is not None


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
