"""Files in the folder of a study that the study as it stands does not need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurolim.pipeline import stamps
from neurolim.pipeline.analyse import all_pages, attempts
from neurolim.pipeline.chunks import chunk_names
from neurolim.pipeline.layout import Layout, layout_of
from neurolim.study.study import Study

#: Folders in which everything is written by neurolim.
_OURS = ("chunks", "tables", "figures", "made", "logs")


def leftovers(study: Study, results: str | Path) -> list[Path]:
    """Return the files that a study left when it was another, in the order of their names.

    Chunks of other points, replicas, code or cuts are among them: the runs in them are not needed
    until the study asks for them again.

    Parameters
    ----------
    study, results : the study and the folder of all results
    """
    layout = layout_of(study, results)
    needed = set(_needed(study, layout))
    files = (path for part in _OURS for path in sorted((layout.home / part).glob("*")))
    return [path for path in files if path.is_file() and path not in needed]


def _needed(study: Study, layout: Layout) -> Iterator[Path]:
    """Yield every file that a run of the study writes or reads."""
    for name in chunk_names(study):
        yield from (layout.chunk(name).with_suffix(f".{kind}") for kind in ("zip", "json", "cost"))
        yield layout.log(f"simulate-{name}")
    for page in all_pages(study):
        yield from layout.files_of(page)
    yield layout.stamp(stamps.COLLECT, stamps.collected(study))
    for failures in ({}, attempts(layout)):
        yield layout.stamp(stamps.ANALYSE, stamps.analysed(study, failures))
    yield from map(layout.log, (stamps.COLLECT, stamps.ANALYSE, "snakemake"))
