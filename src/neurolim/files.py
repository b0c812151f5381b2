"""Files that others see whole or not at all: written beside their place, flushed and renamed.

Who may read and write them, and whose they are, is what the folder and the umask say of any file.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

#: Begin of the names of files being written; what is left of them was killed.
_UNFINISHED = ".unfinished-"
#: How the release before named them.
_ONCE = re.compile(r"\.\w+\.unfinished|\..+\.(svg|pdf|png)\.\w{8}")


@contextlib.contextmanager
def beside(path: Path, flush: bool = True) -> Iterator[Path]:
    """Yield an empty file in the same folder; move it into place if all went well.

    Its name ends as the path does.  A symbolic link in that place is replaced, not followed.

    Parameters
    ----------
    path : where the file shall be
    flush : whether it must be on the disk before it is in its place

    Raises
    ------
    OSError : as the machine says it, of the folder
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{_UNFINISHED}{secrets.token_hex(8)}{path.suffix}"
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        if flush:
            _flush(temporary)
        temporary.replace(path)
        if flush:
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def tidy(folder: Path) -> None:
    """Remove what was left half-written below a folder in which nothing runs now."""
    for path in folder.rglob(".*"):
        if path.name.startswith(_UNFINISHED) or _ONCE.fullmatch(path.name):
            path.unlink(missing_ok=True)
