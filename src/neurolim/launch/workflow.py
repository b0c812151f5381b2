"""``neurolim run``: Snakemake does the work, this shows how far it is and where things are.

Snakemake's own output goes to ``<results>/logs/snakemake.log``; a person sees studies, chunks,
and the time left.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from neurolim import allocation, shipped
from neurolim.core import StudyError
from neurolim.launch import lock, parent
from neurolim.launch.killed import killed_jobs
from neurolim.launch.overview import progress_line
from neurolim.launch.watchdog import PERIOD, Stalled
from neurolim.pipeline import outline
from neurolim.pipeline.digests import digest_of
from neurolim.pipeline.layout import folder
from neurolim.pipeline.verdicts import write_verdicts
from neurolim.store import store
from neurolim.study import plan as planning
from neurolim.study.read import load_study
from neurolim.study.yaml import read_yaml
from neurolim.terminal import changing_line

_LINE_EVERY = 10.0
#: Bytes below which a disk is full.
_HARDLY_ANY = 2**20
#: Logs of failed jobs that are shown.
_SHOWN = 5
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
    report : write ``<results>/report.html`` at the end
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
        # Of more jobs than fit side by side, fewer are started.
        planning.check_fit(load_study(path, tiny=tiny), results, 0 if profile else 1)
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
    log = home / "logs" / "snakemake.log"
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
    environment = _environment()
    place = profile or f"{cores} cores"
    print(
        f"studies: {len(outlines)}, chunks: {sum(len(o.chunks) for o in outlines.values())}, on "
        f"{place}; details in {log}",
        flush=True,
    )
    killed = allocation.killed_for_memory()
    with log.open("wb") as stream:
        process = _start([*snakemake, *where, "--nolock"], stream, environment, handles)
        lock.sign(handles, process.pid)
        code = _watch(process, outlines, Stalled(home, outlines, stall))
    if code != 0:
        _say_what_failed(code, log, home, results)
        for line in killed_jobs([o.layout.home for o in outlines.values()], log, killed):
            print(line, file=sys.stderr)
    # After a failure, or another run in the same folder, the page shows what there is now.
    verdicts = write_verdicts(chosen, results, tiny)
    if code != 0:
        print(f"verdicts: {verdicts}")
    pages = outline.current_pages(outlines) if code != 0 else []
    if report and (code == 0 or pages):
        page = home / "report.html"
        reported = _write_report(page, [*snakemake, *pages, "--nolock"], log, environment)
        if reported != 0:
            print(_is_full(results) or _tail(log, 30), file=sys.stderr)
            return code or reported
        print(f"report: {page}")
    if code != 0:
        return code
    print(outline.where(outlines, results, tiny))
    return _count_failures(outlines)


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


def _start(
    command: Sequence[str],
    log: IO[bytes],
    environment: Mapping[str, str],
    handles: Sequence[int],
) -> subprocess.Popen[bytes]:
    """Start Snakemake in a group of its own, so that one Ctrl-C comes to it once, through us."""
    # A shell starts what it puts into the background deaf to Ctrl-C; Snakemake must not be.
    with _as_interrupt(signal.SIGINT):
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=handles,
            process_group=0,
        )


def _say_what_failed(code: int, log: Path, home: Path, results: str) -> None:
    failures = failed_logs(log)
    for own in failures[:_SHOWN]:
        print(f"{own}:\n{_tail(own, 10)}\n", file=sys.stderr)
    if code < 0:
        print(f"Snakemake was ended by {signal.Signals(-code).name}", file=sys.stderr)
    elif not failures:
        print(_tail(log, 30), file=sys.stderr)
    if full := _is_full(results):
        print(full, file=sys.stderr)
    print(
        f"failed; the whole log is {log}, jobs' own logs are in {home}/<study>/logs; mend the "
        "cause and run the same command again: what is done is kept",
        file=sys.stderr,
    )


def _count_failures(outlines: Mapping[str, outline.Outline]) -> int:
    """Print the tables and figures that could not be made; return 1 if there are any, else 0."""
    lines = [
        f"{study.layout.home}/{page}: {error}"
        for study in outlines.values()
        for page, error in study.failures.items()
    ]
    if not lines:
        return 0
    lines.append(
        f"{len(lines)} tables or figures could not be made; what lies there names the error.  Mend "
        "the cause and run the same command again: only they are made again"
    )
    print("\n".join(lines), file=sys.stderr)
    return 1


def _is_full(results: str) -> str:
    if shutil.disk_usage(results).free < _HARDLY_ANY:
        return f"the disk of {results} is full: free some space"
    return ""


def failed_logs(log: Path) -> list[Path]:
    """Return the logs of the jobs that Snakemake's own log says have failed."""
    text = log.read_text(encoding="utf-8", errors="replace")
    named = re.findall(r"^\s+log: (.+) \(check log file", text, re.MULTILINE)
    paths = [Path(name) for name in dict.fromkeys(named)]
    return [path for path in paths if path.is_file() and path.stat().st_size]


def _tail(log: Path, lines: int) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _watch(
    process: subprocess.Popen[bytes],
    outlines: Mapping[str, outline.Outline],
    stalled: Stalled,
) -> int:
    """Print progress until Snakemake ends, and return its exit code.

    Raises
    ------
    KeyboardInterrupt : after Ctrl-C or the end of a session, once Snakemake and its jobs are over
    """
    began = time.monotonic()
    fresh = time.time()
    ends = (signal.SIGTERM, signal.SIGHUP)
    with contextlib.ExitStack() as stack:
        for number in ends:
            stack.enter_context(_as_interrupt(number))
        stack.enter_context(_pausing(process))
        show, say = stack.enter_context(changing_line(_LINE_EVERY))
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PERIOD)
                for text in stalled.look():
                    say(text)
                show(progress_line(outlines, time.monotonic() - began, fresh))
        except KeyboardInterrupt:
            _end(process, stalled)
            raise
    return process.returncode


def _end(process: subprocess.Popen[bytes], stalled: Stalled) -> None:
    """Interrupt Snakemake and its jobs and wait for them; kill them if that is interrupted, too."""
    number: int = signal.SIGINT
    while process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        number = 0  # asks whether it is there, and does nothing to it
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PERIOD)
            stalled.look()
        except KeyboardInterrupt:
            number = signal.SIGKILL


@contextlib.contextmanager
def _pausing(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let Ctrl-Z stop Snakemake and its jobs, too, and let them go on with this process."""

    def pause(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)

    before = signal.signal(signal.SIGTSTP, pause)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


@contextlib.contextmanager
def _as_interrupt(number: int) -> Iterator[None]:
    """Let a signal act like Ctrl-C, but the end of a session that `nohup` has us outlive."""
    if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)
