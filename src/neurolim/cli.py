"""The command ``neurolim``: one verb per stage, each a thin call of a stage function."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from neurolim import allocation, core, terminal
from neurolim.core import StudyError
from neurolim.launch import lock, parent
from neurolim.launch.progress import reporting
from neurolim.pipeline.chunks import forecast
from neurolim.pipeline.layout import layout_of, results_folder
from neurolim.store.store import StoreError
from neurolim.study import plan as planning
from neurolim.study.read import load_study
from neurolim.terminal import show_table

app = typer.Typer(
    help="Reproducible experiments on the limits of strongly coupled neuron networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StudyFile = Annotated[str, typer.Argument(metavar="STUDY.yaml", help="study file")]
_AT_TEST_SIZE = "the study at test size, as its section tiny says; results in RESULTS/tiny"
Tiny = Annotated[bool, typer.Option("--tiny", help=_AT_TEST_SIZE)]


def _results(given: str | None) -> str | None:
    return None if given is None else results_folder(given)


Results = Annotated[str, typer.Option(help="folder of all results", callback=_results)]


def _writable(output: Path) -> Path:
    if output.is_dir():
        raise StudyError("output", f"{output} is a folder", "a file")
    planning.check_writable("output", output.absolute().parent)
    return output


Output = Annotated[
    Path,
    typer.Option(help="file to write; decides the results folder", callback=_writable),
]


@app.command()
def run(
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY.yaml]...", help="default: config.yaml's")
    ] = None,
    cores: Annotated[int, typer.Option(help="cores to use; 0 = all it may", min=0)] = 0,
    results: Annotated[
        str | None,
        typer.Option(help="folder of all results; default: config.yaml's", callback=_results),
    ] = None,
    report: Annotated[bool, typer.Option(help="write results/report.html")] = True,
    profile: Annotated[
        str, typer.Option(help="where jobs run: profiles/slurm, profiles/cluster; default: here")
    ] = "",
    stall: Annotated[
        float,
        typer.Option(help="seconds without a sign of life after which a job is ended", min=15),
    ] = 60.0,
    tiny: Tiny = False,
) -> None:
    """Run studies with Snakemake, show progress, write the report, say where everything is."""
    from neurolim.launch.workflow import run_workflow

    with terminal.whoever_listens():
        code = run_workflow(
            studies or [], cores or allocation.cores(), results, report, profile, stall, tiny
        )
    raise typer.Exit(code)


@app.command()
def status(
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY.yaml]...", help="default: config.yaml's")
    ] = None,
    results: Results = "results",
    check: Annotated[bool, typer.Option("--check", help="read every file's checksum")] = False,
    tiny: Tiny = False,
) -> None:
    """Say what is done, running, failed, damaged or stale, and why."""
    from neurolim.launch.status import status_of
    from neurolim.launch.workflow import chosen_studies

    for path in chosen_studies(studies or []):
        typer.echo(status_of(load_study(path, tiny=tiny), results, check))


@app.command()
def plan(
    study: StudyFile,
    results: Results = "results",
    workers: Annotated[int, typer.Option(help="jobs at once", min=1)] = 1,
    tiny: Tiny = False,
) -> None:
    """Check a study and print what it will need: points, chunks, core-seconds, memory, disk."""
    loaded = load_study(study, tiny=tiny)
    the_plan = planning.check_fit(loaded, results, workers)
    typer.echo(f"{loaded.name}: {loaded.spec.title}")
    told = forecast(loaded, layout_of(loaded, results))
    rows = [
        *the_plan.rows(),
        ("runs that are there", f"{told.kept:,}"),
        ("new runs", f"{told.new:,}"),
    ]
    show_table(rows, numbers=(1,), indent=2)
    if told.replaced:
        typer.echo(
            f"  replaces {layout_of(loaded, results).data}, made from another study or other code"
        )


@app.command()
def clean(
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY.yaml]...", help="default: config.yaml's")
    ] = None,
    results: Results = "results",
    yes: Annotated[bool, typer.Option("--yes", help="remove them, not only list them")] = False,
    tiny: Tiny = False,
) -> None:
    """List the files of studies that the studies as they stand do not need; with --yes, remove."""
    from neurolim.launch.clean import clean as leftovers
    from neurolim.launch.workflow import chosen_studies

    for path in chosen_studies(studies or []):
        for line in leftovers(load_study(path, tiny=tiny), results, yes):
            typer.echo(line)


@app.command()
def find(
    conditions: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE...", help="parameters, options, model, solver"),
    ],
    results: Annotated[
        list[str] | None, typer.Option(help="folder of all results; may be repeated")
    ] = None,
) -> None:
    """List the runs there are at some parameters, in all studies of some results folders."""
    from neurolim.pipeline.find import conditions_of, rows_of
    from neurolim.pipeline.find import find as find_runs

    rows = rows_of(find_runs(results or ["results"], conditions_of(conditions)))
    if len(rows) == 1:
        typer.echo("no runs like these")
        raise typer.Exit(1)
    show_table(rows, numbers=(4, 5))


@app.command(name="list")
def list_plugins(
    kind: Annotated[str, typer.Argument(help="model, solver, statistic or figure")],
    name: Annotated[str | None, typer.Argument(help="show this one's parameters")] = None,
) -> None:
    """List the models, solvers, statistics or figures, or the parameters of one of them."""
    if kind not in core.KINDS:
        raise StudyError("kind", f"unknown kind {kind!r}", core.KINDS)
    if name is None:
        show_table([(known, core.get(kind, known).summary) for known in core.names(kind)])
        return
    plugin = core.get(kind, name)
    typer.echo(f"{name}: {plugin.summary}")
    if getattr(plugin, "source", ""):
        typer.echo(f"source: {plugin.source}")
    if kind == "model":
        from neurolim.numerics.structure import structure_of

        found = structure_of(plugin)
        for scheme in ("exponential", "euler_maruyama") if found.traced else ():
            strong, weak = found.orders(plugin, scheme)
            orders = f"strong order {strong:g}, weak order {weak:g}"
            typer.echo(f"{scheme} steps: {orders}, away from walls")
    show_table(
        [
            (param.name, str(param.default), f"{param.doc} [{param.unit}; {param.describe()}]")
            for param in (plugin.params if kind == "model" else plugin.options)
        ],
        numbers=(1,),
        indent=2,
    )
    if kind == "model":
        from neurolim.check import solvers_of

        for line in solvers_of(core.get("model", name)):
            typer.echo(line)
    if kind == "solver":
        for need in core.get("solver", name).needs:
            typer.echo(f"  needs {need.words}")


@app.command()
def check(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE.py[:NAME]|STUDY.yaml...", help="plug-ins or studies"),
    ],
) -> None:
    """Say what is wrong with a study, model, solver, statistic or figure, or what it is."""
    from neurolim.check import check as check_file

    for file in files:
        for line in check_file(file):
            typer.echo(line)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="project, model, solver, statistic, figure or study")],
    name: Annotated[str, typer.Argument(help="of the file, or of the project's folder")],
) -> None:
    """Write a project, or a file to begin with, full of remarks, that works as it stands."""
    from neurolim.new import new as write

    path = write(kind, name, Path())
    if kind == "project":
        typer.echo(f"{path}: go there, then: neurolim run")
    else:
        typer.echo(f"{path}: edit it, then: neurolim check {path}")


@app.command()
def schema() -> None:
    """Print the JSON schema of study files, with which editors complete and check them."""
    from neurolim.study.schema import study_schema

    typer.echo(json.dumps(study_schema(), indent=1))


@app.command()
def simulate(
    study: StudyFile,
    chunk: Annotated[int, typer.Option(help="number of the chunk", min=0)],
    output: Output,
    workers: Annotated[int, typer.Option(help="threads, or Slurm jobs", min=1)] = 1,
    engine: Annotated[str, typer.Option(help="local, address or slurm")] = "local",
    address: Annotated[str, typer.Option(help="of a dask scheduler, for address")] = "",
    dashboard: Annotated[
        int | None, typer.Option(help="show dask's dashboard on this port of this machine", min=1)
    ] = None,
    tiny: Tiny = False,
) -> None:
    """Solve one chunk of a study and write it as one file with a record beside it."""
    from neurolim.pipeline.engine import Engine
    from neurolim.pipeline.simulate import simulate as solve

    loaded = load_study(study, analysis=False, tiny=tiny)
    the_plan = planning.plan(loaded)
    if chunk >= len(the_plan.chunks):
        raise StudyError("chunk", f"no chunk {chunk}", f"0 to {len(the_plan.chunks) - 1}")
    chosen = Engine(
        engine,
        workers,
        address,
        memory=the_plan.memory,
        minutes=the_plan.minutes,
        dashboard=dashboard,
        logs=str(output.absolute().parents[1] / "logs"),
    ).check()
    with (
        lock.at_work(output.absolute().parents[1]),
        reporting(output, lambda line: typer.echo(line, err=True)) as progress,
    ):
        solve(loaded, the_plan.chunks[chunk], output, chosen, progress)


@app.command()
def collect(study: StudyFile, results: Results = "results", tiny: Tiny = False) -> None:
    """Join all chunks of a study into its labelled dataset, count failures and costs."""
    from neurolim.pipeline.collect import collect as join

    loaded = load_study(study, analysis=False, tiny=tiny)
    layout = layout_of(loaded, results)
    with lock.at_work(layout.home), reporting(layout.data):
        join(loaded, results)


@app.command()
def analyse(study: StudyFile, results: Results = "results", tiny: Tiny = False) -> None:
    """Make the statistics, tables and figures of a study that are missing or of something else."""
    from neurolim.pipeline.analyse import analyse as make

    loaded = load_study(study, tiny=tiny)
    layout = layout_of(loaded, results)
    with lock.at_work(layout.home), reporting(layout.analysis) as progress:
        make(loaded, results, progress)


@app.command()
def archive(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY.yaml...", help="study files")],
    results: Results = "results",
    name: Annotated[str, typer.Option(help="of the archive; default: the study's")] = "",
    date: Annotated[str, typer.Option(help="of publication, YYYY-MM-DD; default: commit's")] = "",
    tiny: Tiny = False,
) -> None:
    """Write studies, data, tables, figures, report and code as one file that anyone can check."""
    from neurolim.archive.write import archive as write

    typer.echo(write(studies, results, name, date, tiny=tiny))


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="ARCHIVE.zip", help="an archive")],
    recompute: Annotated[int, typer.Option(help="chunks to simulate again", min=0)] = 0,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="run the archive's code, and files and packages of its studies"
        ),
    ] = False,
    here: Annotated[
        bool, typer.Option("--here", help="recompute here, not in an environment from the lock")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="of the choice of chunks")] = None,
    partly: Annotated[
        bool, typer.Option("--partly", help="be content where tables cannot be made again here")
    ] = False,
) -> None:
    """Check every byte of an archive; make tables and figures, and some chunks, again."""
    from neurolim.archive.reading import ArchiveError
    from neurolim.archive.verify import verify as check

    try:
        found = check(
            path, recompute, trust, here, seed, partly, lambda line: typer.echo(line, err=True)
        )
    except ArchiveError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    for line in found:
        typer.echo(line)


@app.command()
def verdicts(
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY.yaml]...", help="default: config.yaml's")
    ] = None,
    results: Results = "results",
    tiny: Tiny = False,
) -> None:
    """Write what all studies say of their statements as one page, and as CSV and JSON."""
    from neurolim.launch.workflow import chosen_studies
    from neurolim.pipeline.verdicts import write_verdicts

    typer.echo(write_verdicts(chosen_studies(studies or []), results, tiny))


_FORMAT = warnings.formatwarning


def _as_line(message: Any, category: Any, *where: Any, **line: Any) -> str:
    """Return the notice of an old name as a line, and other warnings as Python writes them."""
    if issubclass(category, core.RenamedWarning):
        return f"{message}\n"
    return _FORMAT(message, category, *where, **line)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command; refused input is one line on standard error and exit code 2."""
    terminal.interrupt_orderly()
    terminal.open_streams()
    parent.follow()
    warnings.formatwarning = _as_line
    try:
        try:
            app(args=arguments, standalone_mode=True)
        finally:
            # Here, where it can be said that it cannot be said.
            sys.stdout.flush()
    except StudyError as error:
        _refuse(error, 2)
    except StoreError as error:
        _refuse(error, 1)
    except OSError as error:
        if not (line := terminal.refusal(error)):
            raise
        if not error.filename:
            terminal.give_up(sys.stdout)
        _refuse(line, 1)


def _refuse(line: object, code: int) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
    sys.exit(code)
