"""``neurolim clean``: the files of a study that nothing needs are listed, and removed if asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurolim.launch import lock
from neurolim.pipeline.layout import layout_of
from neurolim.pipeline.leftovers import leftovers
from neurolim.study.plan import in_bytes
from neurolim.study.study import Study


def clean(study: Study, results: str | Path, remove: bool) -> Iterator[str]:
    """Yield the files that the study as it stands does not need, then how many there are.

    Parameters
    ----------
    study, results : the study and the folder of all results
    remove : remove them, too

    Raises
    ------
    StudyError : another process runs the study in this folder
    """
    layout = layout_of(study, results)
    if not layout.home.is_dir():
        yield f"{study.name}: nothing in {layout.folder}"
        return
    with lock.locked(layout.folder, [study.name]):
        files = leftovers(study, results)
        size = in_bytes(sum(file.stat().st_size for file in files))
        for file in files:
            yield str(file)
            if remove:
                file.unlink()
    end = "removed" if remove else "not needed; give --yes to remove them"
    yield f"{study.name}: {len(files)} files, {size}, {end}"
