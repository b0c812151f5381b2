"""``neurolim status``: what is done, running, failed, damaged or stale, and why."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from neurolim.launch import lock
from neurolim.launch.progress import BEAT, note_path
from neurolim.pipeline.analyse import all_pages, current_pages, failures, is_analysed
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.collect import RUNS
from neurolim.pipeline.digests import stage_digests
from neurolim.pipeline.layout import Layout, layout_of
from neurolim.store import store
from neurolim.study.study import Study

#: States in the order in which they are told.
STATES = ("done", "running", "failed", "damaged", "stale", "to do")
_SHOWN = 10


class State(NamedTuple):
    """How it stands with one file: one of STATES, and why."""

    state: str
    why: str = ""


def status_of(study: Study, results: str | Path, check: bool = False) -> str:
    """Return the state of a study in lines of text.

    Parameters
    ----------
    study : the study
    results : folder of all results
    check : compare every file with its checksum, which reads all of them
    """
    layout, digests = layout_of(study, results), stage_digests(study)
    states = {
        f"chunk {number}": state for number, state in chunk_states(study, results, check).items()
    }
    counts = Counter(state.state for state in states.values())
    words = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    owner = lock.is_locked(layout.folder, study.name)
    lines = [f"{study.name}: {words}; {'run by ' + owner if owner else 'nobody runs it'}"]
    behind = counts["done"] != len(states)
    for path, digest, stage in (
        (layout.data, digests["collect"], "collect"),
        (layout.statistics, digests["reduce"], "analyse"),
    ):
        state = _state(path, digest, layout.log(stage), check)
        if path == layout.statistics and state.state == "done" and not is_analysed(layout, digests):
            state = State("stale", "made from another dataset")
        states[path.stem] = _behind(state) if behind else state
        behind |= states[path.stem].state != "done"
    for page, state in _page_states(study, layout, digests, check):
        states[page] = _behind(state) if behind else state
    notable = [
        (name, state) for name, state in states.items() if state.state not in ("done", "to do")
    ]
    lines += [f"  {name} {state.state}: {state.why}" for name, state in notable[:_SHOWN]]
    if len(notable) > _SHOWN:
        lines.append(f"  and {len(notable) - _SHOWN} more like these")
    waiting = [
        name for name, state in states.items() if state.state == "to do" and "chunk" not in name
    ]
    if waiting:
        lines.append("  to do: " + ", ".join(waiting))
    return "\n".join(lines)


def chunk_states(study: Study, results: str | Path, check: bool = False) -> dict[int, State]:
    """Return the state of every chunk of a study."""
    layout = layout_of(study, results)
    return {
        number: _state(path, path.stem, layout.log(f"simulate-{path.stem}"), check)
        for number, path in enumerate(chunk_paths(study, layout))
    }


def _state(path: Path, digest: str, log: Path, check: bool) -> State:
    """Return the state of a file with a record.

    Parameters
    ----------
    path, digest : the file; of what it should be made from
    log : of the job that makes it
    check : compare the file with its checksum
    """
    note = _running(path)
    if note is not None and note.state == "running":
        return note
    if not store.record_of(path).exists():
        return note or _absent(log)
    try:
        record = store.check(path) if check else store.read_record(path)
    except store.StoreError as error:
        return State("damaged", str(error))
    if not path.is_file():
        return State("damaged", f"{path}: missing; run the study again to make it")
    if record.get("digest") == digest:
        return State("done")
    if note is not None:
        return note
    return State("stale", "made from another study, code or version")


def _behind(state: State) -> State:
    """Return the state of something that is made from what is not done."""
    return State("stale", "what it is made from is not done") if state.state == "done" else state


def _page_states(
    study: Study, layout: Layout, digests: Mapping[str, str], check: bool
) -> Iterator[tuple[str, State]]:
    """Yield the file that people look at first, and its state, of every table and figure."""
    pages = all_pages(study)
    made = current_pages(layout, digests, pages, check)
    failed, working = failures(layout), _running(layout.analysis)
    for page in pages:
        path = layout.page(page, "csv" if page.kind == "tables" else "svg")
        name = str(path.relative_to(layout.home))
        if page.key in failed:
            yield name, State("failed", failed[page.key])
        elif page in made:
            yield name, State("done")
        elif working is not None and page != RUNS:
            yield name, working
        elif path.exists():
            yield name, State("stale", "made from other data, by other code, or altered")
        else:
            yield name, _absent(layout.log("collect" if page == RUNS else "analyse"))


def _running(path: Path) -> State | None:
    """Return how a file that has a note stands; its note outlives a killed process."""
    note = store.read_note(note_path(path))
    if not note:
        return None
    who = f"process {note.get('process')} on {note.get('machine')}"
    silent = time.time() - float(note.get("time", 0.0))
    if silent > 4 * BEAT:
        used = f"; it had used {note['memory_mib']} MiB" if "memory_mib" in note else ""
        why = f"{who} was killed or hangs: no sign of life for {silent:.0f} s{used}"
        return State("failed", why)
    return State("running", f"{note.get('done')} of {note.get('total')} runs, {who}")


def _absent(log: Path) -> State:
    """Return "failed" with the last words of its log, or "to do" if there are none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return State("to do")
    words = [line.strip() for line in lines if line.strip()]
    return State("failed", f"{words[-1][:160] if words else 'without a word'} ({log})")
