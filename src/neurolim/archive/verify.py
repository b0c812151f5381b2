"""``neurolim verify``: every byte of an archive checked, and what follows from its data made again.

Nothing of an archive is believed before it is checked, and nothing in it runs unless its code is
this neurolim's own or somebody vouches for it.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from neurolim.archive import again, checks, contents
from neurolim.archive.again import Say
from neurolim.archive.reading import Archive, ArchiveError
from neurolim.study import packages
from neurolim.study import plan as planning
from neurolim.study.study import Study


def verify(
    path: str | Path,
    recompute: int = 0,
    trust: bool = False,
    here: bool = False,
    seed: int | None = None,
    partly: bool = False,
    say: Say = lambda line: None,
) -> list[str]:
    """Check an archive; return what is in good order, a line each.

    Statistics, tables, figures and verdicts are made again from the data and compared byte by byte
    where this neurolim and its libraries are those that made the archive.

    Parameters
    ----------
    path : of the archive
    recompute : chunks, chosen at random, to simulate again and compare bit for bit
    trust : run the archive's code and install from its lock even if they are not this project's;
        run files that its studies name as models, solvers, statistics and figures
    here : recompute in this environment instead of a new one made from the archive's lock
    seed : of the choice of chunks
    partly : be content where what follows from the data cannot be made again here
    say : called with a line of text before something that takes long

    Raises
    ------
    ArchiveError : every problem, each with the file's name in the archive
    """
    archive = Archive(path)
    count = len(archive.entries)
    say(f"{count} files, {archive.path.stat().st_size} bytes: reading all of them")
    _raise(checks.altered(archive))
    _raise(checks.dangerous(archive))
    lines = [f"{count} files match their SHA-256, and every other byte is as written"]
    if contents.REPORT in archive:
        lines.append(
            f"{contents.REPORT}: runs programs in your browser, which nobody can check here; "
            "tables/ and figures/ show the same without"
        )
    with contextlib.ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="neurolim-verify-")
        workspace = Path(stack.enter_context(temporary))
        archive.extract(workspace, ("code/", "studies/", "chunks/"))
        if trust and (workspace / packages.PACKAGES).is_dir():
            stack.enter_context(packages.found_in(workspace / packages.PACKAGES))
        named, studies = checks.studies_of(archive, workspace, trust)
        for name in sorted(set(named) - {study.name for study in studies}):
            _raise(checks.unlike_records(archive, name, named[name]))
            lines.append(
                f"{name}: data of {named[name]['runs']} runs fit their records; the code that "
                "the study brings was not run, so that they fit the study is not checked (--trust)"
            )
        others = again.other_code(archive)
        ours = not again.modules_of(others)
        for study in studies:
            _raise(checks.unlike(archive, study, ours))
            chunks = len(planning.plan(study).chunks)
            lines.append(
                f"{study.name}: data of {study.n_runs} runs in {chunks} chunks fit the study"
            )
        for name in others[:1] if ours else ():
            lines.append(f"{name}: other than this neurolim's; read it before you install code/")
        hindrance = _hindrance(archive, ours, closed=len(studies) < len(named))
        if not hindrance:
            lines.append(_remade(archive, studies, workspace, say))
        if recompute:
            _raise([] if trust else again.foreign(archive))
            python = Path(sys.executable) if here else again.environment(workspace, say)
            lines += again.simulate_again(archive, studies, workspace, python, recompute, seed, say)
            if hindrance and not here:
                say("the archive's own neurolim makes statistics, tables and figures again")
                lines.append(again.verified_by(python, archive, workspace, trust))
                hindrance = ""
        if hindrance:
            line = f"statistics, tables, figures, verdicts: not made again, for {hindrance}"
            _raise([] if partly else [f"{line}; --partly is content with the rest"])
            lines.append(f"{line}; pages and pictures may run programs: do not open them")
    return lines


def _raise(problems: Iterable[str]) -> None:
    lines = list(problems)
    if lines:
        raise ArchiveError(lines)


def _hindrance(archive: Archive, ours: bool, closed: bool) -> str:
    """Return why what follows from the data cannot be made again in this process, or ""."""
    if closed:
        return "a study brings code that was not run (--trust)"
    if not ours:
        return "the archive's neurolim is another (--recompute with --trust runs it)"
    others = again.otherwise_made(archive)
    return f"they were made by {others} (--recompute makes the environment)" if others else ""


def _remade(archive: Archive, studies: list[Study], workspace: Path, say: Say) -> str:
    """Make what follows from the data again; return a line that says so.

    Raises
    ------
    ArchiveError : everything that is another
    """
    say("statistics, tables, figures and verdicts are made again")
    _raise(again.remake(archive, studies, workspace))
    return again.REMADE
