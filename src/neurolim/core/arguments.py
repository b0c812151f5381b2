"""Arguments of what a program calls: of the right type, or refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from neurolim.core.errors import StudyError, show

#: Bytes of a name that disks take.
_LONGEST = 255


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """Return an argument that is an integer; true and false are none.

    Raises
    ------
    StudyError : something else, or not between the bounds
    """
    wrong = isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer))
    if wrong or not low <= value <= high:
        raise StudyError(name, f"got {show(value)}", f"an integer from {low} to {high}")
    return int(value)


def truth(name: str, value: Any) -> bool:
    """Return an argument that is true or false.

    Raises
    ------
    StudyError : something else
    """
    if not isinstance(value, (bool, np.bool_)):
        raise StudyError(name, f"got {show(value)}", "True, False")
    return bool(value)


def path_named(name: str, value: Any) -> Path:
    """Return an argument that names a file or folder.

    Raises
    ------
    StudyError : no text or path, an empty one, or one that no disk has
    """
    try:
        path = os.fspath(value)
        parts = os.fsencode(path).split(b"/")
        usable = isinstance(path, str) and path != "" and b"\0" not in b"".join(parts)
        usable = usable and max(map(len, parts)) <= _LONGEST
    except (TypeError, UnicodeEncodeError):
        usable = False
    if not usable:
        raise StudyError(name, f"got {show(value)}", "the path of a file or folder")
    return Path(value)
