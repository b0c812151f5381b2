"""How far a run is, in one line for people."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from neurolim.pipeline import outline
from neurolim.store.store import read_note


def progress_line(outlines: Mapping[str, outline.Outline], elapsed: float, fresh: float) -> str:
    """Return one line: chunks done per study, their rate, and the time left for simulations.

    Parameters
    ----------
    outlines : studies by name
    elapsed : seconds since the start
    fresh : clock time of the start; chunks older than that were there before and cost nothing
    """
    parts, done_now, left = [], 0.0, 0.0
    for name, one in outlines.items():
        complete = 0
        for chunk, record in zip(one.chunks, one.chunk_files, strict=False):
            path = Path(record)
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                # A record of another study or older code is not a chunk done.
                found = json.loads(path.read_text(encoding="utf-8"))
                if found["digest"] == chunk:
                    if path.stat().st_mtime >= fresh:
                        done_now += 1.0
                    complete += 1
                    continue
            note = read_note(path.with_suffix(".progress"))
            share = note.get("done", 0) / (note.get("total") or 1)
            done_now += share
            left += 1.0 - share
        parts.append(f"{name} {complete}/{len(one.chunks)} chunks")
    text = f"[{_clock(elapsed)}] " + ", ".join(parts)
    if left == 0.0:
        pages = sum(len(study.pages) for study in outlines.values())
        made = len(outline.current_pages(outlines))
        return text + f"; statistics, {made} of {pages} tables and figures"
    if done_now > 0.0:
        text += f"; {60.0 * done_now / max(elapsed, 1.0):.3g} chunks per minute"
        text += f"; simulations done in about {_clock(elapsed * left / done_now)}"
    return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
        if minutes >= 60
        else (f"{minutes}:{rest:02d}")
    )
