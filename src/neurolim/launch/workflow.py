"""``neurolim run``: Snakemake does the work, this shows how far it is and where things are.

Snakemake's own output goes to a log in the folder of the first study, which no other run has at the
same time; a person sees studies, chunks, and the time left.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurolim import allocation, shipped
from neurolim.core import StudyError
from neurolim.launch import lock, parent
from neurolim.launch.failed import count_failures, is_full, say_what_failed, tail
from neurolim.launch.killed import killed_jobs
from neurolim.launch.process import start, watch
from neurolim.launch.watchdog import Stalled
from neurolim.pipeline import outline
from neurolim.pipeline.chunks import forecast
from neurolim.pipeline.digests import digest_of
from neurolim.pipeline.layout import folder, layout_of, report_file
from neurolim.pipeline.verdicts import write_verdicts
from neurolim.store import store
from neurolim.study import plan as planning
from neurolim.study.read import load_study
from neurolim.study.study import Study
from neurolim.study.yaml import read_yaml

#: Exit code of a command that Ctrl-C ended.
_INTERRUPTED = 130
#: By this variable Snakemake would take its options from elsewhere.
_PROFILE = "SNAKEMAKE_PROFILE"


#: What a folder says of its runs; it may say nothing.
CONFIG = Path("config") / "config.yaml"


def _config() -> dict[str, Any]:
    """Return what ``config/config.yaml`` says, if there is one.

    Raises
    ------
    StudyError : not readable, not YAML, or not a mapping
    """
    if not CONFIG.is_file():
        return {}
    loaded = read_yaml(CONFIG, "a YAML file").content
    if not isinstance(loaded, dict):
        raise StudyError("", "not a mapping of keys", "results, threads, studies", str(CONFIG))
    return loaded


def chosen_studies(studies: Sequence[str]) -> list[str]:
    """Return the study files given, or else those of ``config/config.yaml``.

    Raises
    ------
    StudyError : none given, and no configuration here that names some
    """
    if studies:
        return list(studies)
    if not CONFIG.is_file():
        problem = f"none given, and no {CONFIG} in {Path.cwd()}"
        raise StudyError("studies", problem, "study files, or a project's folder to run this in")
    return outline.study_files(_config())


def run_workflow(
    studies: Sequence[str],
    cores: int,
    results: str | None,
    report: bool,
    profile: str = "",
    stall: float = 60.0,
    tiny: bool = False,
) -> int:
    """Run studies in the current folder with Snakemake and return its exit code.

    The workflow is that of the neurolim that runs, whatever Snakefile the folder may have.

    Parameters
    ----------
    studies : study files; empty for those of ``config/config.yaml``
    cores : jobs side by side
    results : folder of all results; None for that of ``config/config.yaml``
    report : write ``report.html`` at the end: of one study in its folder, of several beside them
    profile : folder of a Snakemake profile that says where jobs run; empty for this machine
    stall : seconds without a sign of life after which a job on this machine is ended
    tiny : run them at test size, as `tiny: true` in ``config/config.yaml`` does, too

    Raises
    ------
    StudyError : a study is refused, does not fit or is being run, or none is named
    """
    if profile and not (Path(profile) / "config.yaml").is_file():
        known = sorted(str(path.parent) for path in Path().glob("profiles/*/config.yaml"))
        raise StudyError("profile", f"no config.yaml in {profile}", known or "a profile's folder")
    chosen = chosen_studies(studies)
    config = _config()
    results = results or outline.results_of(config)
    # Like Snakemake itself, which reads the same file.
    tiny = tiny or outline.is_tiny(config)
    for path in chosen:
        study = load_study(path, tiny=tiny)
        # Of more jobs than fit side by side, fewer are started.
        planning.check_fit(study, results, 0 if profile else 1)
        if words := _changes(study, results):
            print(words, flush=True)
    outlines = outline.outlines(chosen, results, tiny)
    home = folder(results, tiny)
    try:
        with (
            lock.locked(home, list(outlines)) as handles,
            _written(home / "logs", chosen, results, tiny) as written,
        ):
            return _run(
                outlines, chosen, cores, results, report, profile, stall, tiny, handles, written
            )
    except KeyboardInterrupt:
        print("interrupted; run the same command again: what is done is kept", file=sys.stderr)
        return _INTERRUPTED


@contextlib.contextmanager
def _written(logs: Path, studies: Sequence[str], results: str, tiny: bool) -> Iterator[Path]:
    """Yield a file that tells Snakemake, and its part of remote jobs, what to run.

    As words of a command they would be read as YAML, in which 2025_03_14 is a number.
    """
    told = {"results": results, "tiny": tiny, "studies": list(studies)}
    # Runs of other studies, side by side with this one, have files of their own.
    path = logs / f"run-{digest_of(told)}.config.json"
    store.write_note(path, told)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _changes(study: Study, results: str) -> str:
    """Return what a run keeps, adds and replaces, where something of another study is there."""
    layout = layout_of(study, results)
    told = forecast(study, layout)
    words = [f"keeps {told.kept:,} runs that are there"] if told.kept and told.new else []
    if words or told.replaced:
        words.append(f"solves {told.new:,} new ones")
    if told.replaced:
        words.append(f"replaces {layout.data}, made from another study or other code")
    return f"{study.name}: {', '.join(words)}" if words else ""


def _run(
    outlines: Mapping[str, outline.Outline],
    chosen: Sequence[str],
    cores: int,
    results: str,
    report: bool,
    profile: str,
    stall: float,
    tiny: bool,
    handles: Sequence[int],
    config: Path,
) -> int:
    """Run Snakemake under the locks; its process inherits them and so outlives this one safely."""
    home = folder(results, tiny)
    first = next(iter(outlines.values())).layout
    log = first.log("snakemake")
    log.parent.mkdir(parents=True, exist_ok=True)
    snakemake = [
        *(sys.executable, "-m", "snakemake", "--configfile", str(config)),
        # Second, for whatever follows a --configfile would be another one.
        *("--snakefile", shipped.snakefile()),
    ]
    # Our lock says that nobody else is at work here, so a lock that Snakemake left behind when it
    # was killed means nothing.
    memory = f"mem_mb={allocation.memory() // 2**20}"
    here = ["--cores", str(cores), "--resources", memory]
    where = ["--workflow-profile", profile] if profile else here
    # Names of chunks and stamps say what is made from what; Snakemake's memory of it may be gone.
    where += ["--rerun-triggers", "mtime"]
    environment = _environment()
    place = profile or f"{cores} cores"
    print(
        f"studies: {len(outlines)}, chunks: {sum(len(o.chunks) for o in outlines.values())}, on "
        f"{place}; details in {log}",
        flush=True,
    )
    killed = allocation.killed_for_memory()
    with log.open("wb") as stream:
        process = start([*snakemake, *where, "--nolock"], stream, environment, handles)
        lock.sign(handles, process.pid)
        code = watch(process, outlines, Stalled(home, outlines, stall))
    if code != 0:
        say_what_failed(code, log, home, results)
        for line in killed_jobs([o.layout.home for o in outlines.values()], log, killed):
            print(line, file=sys.stderr)
    # After a failure, or another run in the same folder, the page shows what there is now.
    verdicts = write_verdicts(chosen, results, tiny)
    if code != 0:
        print(f"verdicts: {verdicts}")
    pages = outline.current_pages(outlines) if code != 0 else []
    if report and (code == 0 or pages):
        page = report_file(home, list(outlines))
        reported = _write_report(page, [*snakemake, *pages, "--nolock"], log, environment)
        if reported != 0:
            print(is_full(results) or tail(log, 30), file=sys.stderr)
            return code or reported
        print(f"report: {page}")
    if code != 0:
        return code
    print(outline.where(outlines, results, tiny))
    return count_failures(outlines)


def _write_report(
    page: Path, command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> int:
    """Let Snakemake write its report, whole or not at all; return its exit code."""
    try:
        with log.open("ab") as stream, store.beside(page) as temporary:
            subprocess.run(
                [*command, "--report", str(temporary)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                check=True,
            )
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def _environment() -> dict[str, str]:
    """Return the environment of Snakemake, which decides nothing of a run but by our words."""
    environment = os.environ | {
        # The workflow's jobs call `neurolim`: the one beside this interpreter, on PATH or not.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        # Snakemake asks for the name of a user who may have none.
        "LOGNAME": lock.user_name(),
        lock.HELD: "1",
        **parent.lead(),
    }
    if environment.pop(_PROFILE, ""):
        print(f"{_PROFILE} is not used; --profile says where jobs run", file=sys.stderr)
    return environment
