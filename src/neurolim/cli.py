"""The command ``neurolim``: one verb per stage, each a thin call of a stage function."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from neurolim import core, stages
from neurolim.core import StudyError
from neurolim.sweep import chunks as planning
from neurolim.sweep.store import StoreError

app = typer.Typer(
    help="Reproducible experiments on the limits of strongly coupled neuron networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StudyFile = Annotated[str, typer.Argument(metavar="STUDY.yaml", help="study file")]
Results = Annotated[str, typer.Option(help="folder of all results")]


def _writable(output: Path) -> Path:
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
    cores: Annotated[int, typer.Option(help="cores to use; 0 = all", min=0)] = 0,
    results: Annotated[
        str | None, typer.Option(help="folder of all results; default: config.yaml's")
    ] = None,
    report: Annotated[bool, typer.Option(help="write results/report.html")] = True,
) -> None:
    """Run studies with Snakemake, show progress, write the report, say where everything is."""
    from neurolim.run import run_workflow

    raise typer.Exit(run_workflow(studies or [], cores or os.cpu_count() or 1, results, report))


@app.command()
def plan(
    study: StudyFile,
    results: Results = "results",
    workers: Annotated[int, typer.Option(help="jobs at once", min=1)] = 1,
) -> None:
    """Check a study and print what it will need: points, chunks, core-seconds, memory, disk."""
    loaded = stages.load_study(study)
    the_plan = planning.check_fit(loaded, results, workers)
    typer.echo(f"{loaded.name}: {loaded.title}\n{the_plan.describe()}")


@app.command(name="list")
def list_plugins(
    kind: Annotated[str, typer.Argument(help="model, solver, statistic or figure")],
    name: Annotated[str | None, typer.Argument(help="show this one's parameters")] = None,
) -> None:
    """List the models, solvers, statistics or figures, or the parameters of one of them."""
    if kind not in core.KINDS:
        raise StudyError("kind", f"unknown kind {kind!r}", core.KINDS)
    if name is None:
        for known in core.names(kind):
            typer.echo(f"{known:24} {core.get(kind, known).summary}")
        return
    plugin = core.get(kind, name)
    typer.echo(f"{name}: {plugin.summary}")
    if getattr(plugin, "source", ""):
        typer.echo(f"source: {plugin.source}")
    for param in plugin.params if kind == "model" else plugin.options:
        typer.echo(
            f"  {param.name:24} {param.default!s:>16}  {param.doc} [{param.unit}; "
            f"{param.describe()}]"
        )


@app.command()
def simulate(
    study: StudyFile,
    chunk: Annotated[int, typer.Option(help="number of the chunk", min=0)],
    output: Output,
    workers: Annotated[int, typer.Option(help="threads", min=1)] = 1,
) -> None:
    """Solve one chunk of a study and write it as one file with a record beside it."""
    loaded = stages.load_study(study)
    chunks = planning.plan(loaded).chunks
    if chunk >= len(chunks):
        raise StudyError("chunk", f"no chunk {chunk}", f"0 to {len(chunks) - 1}")
    progress = _progress(output)
    try:
        stages.simulate(loaded, chunks[chunk], output, workers, progress)
    finally:
        output.with_suffix(".progress").unlink(missing_ok=True)


def _progress(output: Path) -> stages.Progress:
    """Return a callback that logs and notes progress beside the output, at most once a second."""
    note = output.with_suffix(".progress")
    last = [0.0]

    def progress(done: int, total: int) -> None:
        now = time.monotonic()
        if now - last[0] >= 1.0 or done == total:
            last[0] = now
            typer.echo(f"{done} of {total} runs", err=True)
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps({"done": done, "total": total}), encoding="utf-8")

    return progress


def _home(output: Path, levels: int) -> str:
    """Return the results folder of ``<results>/<study>/...``, ``levels`` above the output."""
    return str(output.absolute().parents[levels])


@app.command()
def collect(study: StudyFile, output: Output) -> None:
    """Join all chunks of a study into its labelled dataset."""
    stages.collect(stages.load_study(study), _home(output, 1), output)


@app.command()
def reduce(study: StudyFile, output: Output) -> None:
    """Apply the statistics of a study to its dataset."""
    stages.reduce(stages.load_study(study), output.with_name("data.zip"), output)


@app.command()
def tabulate(
    study: StudyFile, table: Annotated[str, typer.Option(help="name of the table")], output: Output
) -> None:
    """Write one table of a study as CSV, HTML and LaTeX."""
    stages.tabulate(stages.load_study(study), _home(output, 2), table, output)


@app.command()
def draw(
    study: StudyFile,
    figure: Annotated[str, typer.Option(help="name of the figure")],
    output: Output,
) -> None:
    """Draw one figure of a study as SVG, PDF and PNG."""
    stages.draw(stages.load_study(study), _home(output, 2), figure, output)


@app.command()
def statements(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY.yaml...", help="study files")],
    results: Results = "results",
    output: Annotated[Path | None, typer.Option(help="default: <results>/statements.csv")] = None,
) -> None:
    """Write one page of all statements tested: expected, measured, green, amber or red."""
    from neurolim.statements import write_statements

    place = write_statements(studies, results, output or Path(results) / "statements.csv")
    typer.echo(str(place.with_suffix(".html")))


def main(arguments: list[str] | None = None) -> Any:
    """Run the command; refused input is one line on standard error and exit code 2."""
    try:
        app(args=arguments, standalone_mode=True)
    except StudyError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except StoreError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
