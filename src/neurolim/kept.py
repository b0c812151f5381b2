"""Small files beside the compiled code: what takes long to derive and is read in no time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from neurolim import files


def cache_folder() -> Path:
    """Return the folder of compiled code, where what follows from equations is kept, too."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return Path(given)
    beside = Path(__file__).parent / "__pycache__"
    if os.access(beside if beside.is_dir() else beside.parent, os.W_OK):
        return beside
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "neurolim"


def keep_text(path: Path, text: str) -> None:
    """Write a file that others see whole or not at all; one that cannot be written is no loss."""
    with contextlib.suppress(OSError), files.beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
