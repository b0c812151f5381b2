"""Names by which results are stored: on any disk, in any archive, each of them once."""

from __future__ import annotations

import re
from collections.abc import Iterable

from neurolim.core.errors import StudyError, show

#: What the name of a stored array may be; it is a folder in an archive.
WORD = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
#: Longer ones make paths that some disk or archive does not take.
MOST_LETTERS = 80
#: Names that are something else on Windows.
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_WORD = re.compile(WORD)
_ALLOWED = f"up to {MOST_LETTERS} letters a-z, digits, _ and -"


def check_stored(names: Iterable[tuple[str, str]]) -> None:
    """Refuse names by which no array can be stored, or two that some disks take for one.

    Parameters
    ----------
    names : (where in the study it stands, name) of axes, parameters, variables and results

    Raises
    ------
    StudyError : other letters, none, too many, a name that Windows keeps for itself, or one that
        differs from another in capitals only
    """
    taken: dict[str, str] = {}
    for key, name in names:
        if not _WORD.fullmatch(name) or len(name) > MOST_LETTERS:
            raise StudyError(key, f"{show(name)} is no name of results", _ALLOWED)
        if DEVICE.fullmatch(name):
            raise StudyError(key, f"{name!r} is the name of a device on Windows", "another name")
        other = taken.setdefault(name.casefold(), name)
        if name != other:
            problem = f"{name!r} differs from {other!r} in capitals only"
            raise StudyError(key, problem, "a name of other letters")
