"""``neurolim run``: Snakemake does the work, this shows how far it is and where things are.

Snakemake's own output goes to ``<results>/logs/snakemake.log``; a person sees studies, chunks,
and the time left.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from neurolim import stages
from neurolim.core import StudyError
from neurolim.sweep import chunks as planning

_PERIOD = 1.0
_LINE_EVERY = 10.0
#: Logs of failed jobs that are shown.
_SHOWN = 5


def _config(workflow: Path) -> dict[str, Any]:
    """Return ``config/config.yaml``.

    Raises
    ------
    StudyError : missing, not YAML, or not a mapping
    """
    path = workflow / "config" / "config.yaml"
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise StudyError("", problem, "a YAML file", str(path)) from None
    if not isinstance(loaded, dict):
        raise StudyError("", "not a mapping of keys", "results, threads, studies", str(path))
    return loaded


def run_workflow(
    studies: Sequence[str],
    cores: int,
    results: str | None,
    report: bool,
    workflow: Path | None = None,
) -> int:
    """Run studies with Snakemake and return its exit code.

    Parameters
    ----------
    studies : study files; empty for those of ``config/config.yaml``
    cores : jobs side by side
    results : folder of all results; None for that of ``config/config.yaml``
    report : write ``<results>/report.html`` at the end
    workflow : folder of the Snakefile (the current folder)

    Raises
    ------
    StudyError : a study is refused, does not fit, or there is no Snakefile here
    """
    root = workflow or Path.cwd()
    if not (root / "Snakefile").is_file():
        raise StudyError("", f"no Snakefile in {root}", "run this in the project's folder")
    settings = _config(root)
    results = results or str(settings.get("results", "results"))
    chosen = list(studies) or stages.study_files(settings)
    for path in chosen:
        planning.check_fit(stages.load_study(path), results, cores)
    outlines = stages.outlines(chosen)

    log = Path(results) / "logs" / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    config = ["--config", f"results={results}", f"studies={json.dumps(chosen)}"]
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile")]
    # The workflow's jobs call `neurolim`: the one beside this interpreter, on PATH or not.
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    }
    print(
        f"{len(outlines)} studies, {sum(len(o.chunks) for o in outlines.values())} chunks, "
        f"{cores} cores; details in {log}",
        flush=True,
    )
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*snakemake, "--cores", str(cores), *config],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=root,
        )
        code = _watch(process, outlines, results)
    if code != 0:
        failures = failed_logs(log, root)
        for own in failures[:_SHOWN]:
            print(f"{own}:\n{_tail(own, 10)}\n", file=sys.stderr)
        if not failures:
            print(_tail(log, 30), file=sys.stderr)
        print(
            f"failed; the whole log is {log}, jobs' own logs are in "
            f"{results}/<study>/logs; mend the cause and run the same command again: what is "
            "done is kept",
            file=sys.stderr,
        )
    # After a failure the report shows what there is.
    pages = stages.current_pages(outlines, results) if code != 0 else []
    if report and (code == 0 or pages):
        page = Path(results) / "report.html"
        with log.open("ab") as stream:
            reported = subprocess.run(
                [*snakemake, *pages, "--report", str(page), *config],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=root,
                check=False,
            ).returncode
        if reported != 0:
            print(_tail(log, 30), file=sys.stderr)
            return code or reported
        print(f"report: {page}")
    if code == 0:
        print(stages.where(outlines, results))
    return code


def failed_logs(log: Path, root: Path) -> list[Path]:
    """Return the logs of the jobs that Snakemake's log says have failed.

    Parameters
    ----------
    log : Snakemake's own log
    root : folder in which Snakemake ran
    """
    text = log.read_text(encoding="utf-8", errors="replace")
    named = re.findall(r"^\s+log: (.+) \(check log file", text, re.MULTILINE)
    paths = [root / name for name in dict.fromkeys(named)]
    return [path for path in paths if path.is_file() and path.stat().st_size]


def _tail(log: Path, lines: int) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _watch(
    process: subprocess.Popen[bytes], outlines: Mapping[str, stages.Outline], results: str
) -> int:
    """Print progress until Snakemake ends; Ctrl-C is passed on and waited for."""
    began = time.monotonic()
    fresh = time.time()
    last_line, last_time = "", 0.0
    terminal = sys.stdout.isatty()
    while process.poll() is None:
        try:
            time.sleep(_PERIOD)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            return process.wait()
        line = progress_line(outlines, results, time.monotonic() - began, fresh)
        now = time.monotonic()
        if terminal:
            print(f"\r\x1b[2K{line}", end="", flush=True)
        elif line != last_line and now - last_time > _LINE_EVERY:
            print(line, flush=True)
            last_line, last_time = line, now
    if terminal:
        print()
    return process.returncode


def progress_line(
    outlines: Mapping[str, stages.Outline], results: str, elapsed: float, fresh: float
) -> str:
    """Return one line: chunks done per study and the time left for simulations.

    Parameters
    ----------
    outlines : studies by name
    results : results folder
    elapsed : seconds since the start
    fresh : clock time of the start; chunks older than that were there before and cost nothing
    """
    parts, done_now, left = [], 0.0, 0.0
    for name, one in outlines.items():
        complete = 0
        for chunk, record in zip(one.chunks, one.records(results), strict=True):
            path = Path(record)
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                # A record of another study or older code is not a chunk done.
                found = json.loads(path.read_text(encoding="utf-8"))
                if found["digest"] == one.chunk_digest(chunk):
                    if path.stat().st_mtime >= fresh:
                        done_now += 1.0
                    complete += 1
                    continue
            share = 0.0
            try:
                note = json.loads(path.with_suffix(".progress").read_text(encoding="utf-8"))
                share = note["done"] / note["total"]
            except (OSError, ValueError, KeyError, ZeroDivisionError):
                pass
            done_now += share
            left += 1.0 - share
        parts.append(f"{name} {complete}/{len(one.chunks)} chunks")
    text = f"[{_clock(elapsed)}] " + ", ".join(parts)
    if left == 0.0:
        return text + "; statistics, tables and figures"
    if done_now > 0.0:
        text += f"; simulations done in about {_clock(elapsed * left / done_now)}"
    return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
        if minutes >= 60
        else (f"{minutes}:{rest:02d}")
    )
