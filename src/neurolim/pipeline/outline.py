"""A study as the workflow sees it: names, digests and resources, nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurolim.core import StudyError, Table, Verdict
from neurolim.pipeline import analyse, escapes, layout, stamps
from neurolim.pipeline.chunks import chunk_names
from neurolim.pipeline.collect import RUNS
from neurolim.pipeline.digests import (
    stage_digests,
    verdicts_digest,
)
from neurolim.pipeline.layout import Layout, Page, layout_of, results_folder, verdict_files
from neurolim.store import store
from neurolim.study import plan as planning
from neurolim.study.read import load_study
from neurolim.study.study import Study

#: What the workflow does where a configuration says nothing else.
SETTINGS: Mapping[str, Any] = {
    "results": "results",
    "tiny": False,
    "threads": 1,
    "engine": "local",
    "address": "",
}


@dataclass(frozen=True)
class Outline:
    """A study as the workflow sees it, with the paths of its results as text.

    Parameters
    ----------
    arguments : by which a verb finds the study, for a shell
    name : of the study
    layout : where its results lie
    chunks : names of the chunks: digests of what they depend on
    digests : what each later stage depends on
    collected, analysed : what all that is collected, and all that is made of it, depends on
    pages : tables and figures, the table ``runs`` first
    memory_mb, minutes, dataset_mb : what a chunk, and what the dataset asks for
    earlier : of a refined map, the chunks that decide what one simulates
    said : digest of what the page of verdicts says of the study beside its verdicts
    """

    arguments: str
    name: str
    layout: Layout
    chunks: tuple[str, ...]
    digests: Mapping[str, str]
    collected: str
    analysed: str
    pages: tuple[Page, ...]
    memory_mb: int
    minutes: int
    dataset_mb: int
    earlier: Mapping[str, tuple[str, ...]]
    said: str

    def number(self, chunk: str) -> int:
        """Return the number of a chunk by its name; an unknown chunk has -1."""
        return self.chunks.index(chunk) if chunk in self.chunks else -1

    def before(self, chunk: str) -> list[str]:
        """Return the records of the chunks that decide what this one simulates."""
        return self._records(self.earlier.get(chunk, ()))

    @property
    def chunk_files(self) -> list[str]:
        """Return the records and files of all chunks."""
        files = [str(self.layout.chunk(name)) for name in self.chunks]
        return self._records(self.chunks) + files

    def _records(self, names: Iterable[str]) -> list[str]:
        return [str(store.record_of(self.layout.chunk(name))) for name in names]

    @property
    def collected_stamp(self) -> str:
        """Return the file that is there if the dataset is made from the study as it stands."""
        return str(self.layout.stamp(stamps.COLLECT, self.collected))

    @property
    def analysed_stamp(self) -> str:
        """Return the file that is there if statistics, tables and figures are, too."""
        return str(self.layout.stamp(stamps.ANALYSE, self.analysed))

    @property
    def judged(self) -> tuple[Page, ...]:
        """Return the tables and figures that are made of the statistics."""
        return tuple(page for page in self.pages if page != RUNS)

    @property
    def failures(self) -> dict[str, str]:
        """Return the tables and figures that could not be made the last time, with the error."""
        return analyse.failures(self.layout)

    def files(self, page: Page) -> list[str]:
        """Return the files of a table or figure, what people look at first."""
        return [str(path) for path in self.layout.files_of(page)]


def command_arguments(paths: Iterable[str], tiny: bool) -> str:
    """Return the words by which a verb finds studies of one size, for a shell."""
    return shlex.join([*paths, "--tiny"] if tiny else paths)


def outline(path: str, results: str | Path, tiny: bool = False) -> Outline:
    """Return the outline of a study file.

    Raises
    ------
    StudyError : the study is refused
    """
    study = load_study(path, tiny=tiny)
    paths = layout_of(study, results)
    the_plan = planning.plan(study)
    names = chunk_names(study)
    return Outline(
        arguments=command_arguments([path], tiny),
        name=study.name,
        layout=paths,
        chunks=tuple(names),
        digests=stage_digests(study),
        collected=stamps.collected(study),
        analysed=stamps.analysed(study, analyse.attempts(paths)),
        pages=analyse.all_pages(study),
        memory_mb=-(-the_plan.memory // 2**20),
        minutes=the_plan.minutes,
        dataset_mb=512 + -(-the_plan.dataset // 2**20),
        earlier={
            name: tuple(names[k] for k in planning.earlier(study, runs))
            for name, runs in zip(names, the_plan.chunks, strict=True)
            if study.refine is not None
        },
        said=verdicts_digest(study),
    )


def study_files(config: Mapping[str, Any]) -> list[str]:
    """Return the study files that a configuration names.

    Raises
    ------
    StudyError : none, or not a list of words
    """
    named = config.get("studies")
    if not isinstance(named, list) or not named or not all(isinstance(n, str) for n in named):
        raise StudyError(
            "studies", f"got {str(named)[:60]!r}", "a list of study files", "config/config.yaml"
        )
    return list(named)


def results_of(config: Mapping[str, Any]) -> str:
    """Return the folder of all results that a configuration names.

    Raises
    ------
    StudyError : not the name of a folder
    """
    return results_folder(config.get("results", SETTINGS["results"]), "config/config.yaml")


def is_tiny(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration asks for studies at test size.

    Raises
    ------
    StudyError : neither true nor false
    """
    given = str(config.get("tiny", SETTINGS["tiny"]))
    # Snakemake reads `--config tiny=true` as a word.
    if given.lower() not in ("true", "false"):
        raise StudyError("tiny", f"got {given[:60]!r}", "true, false", "config/config.yaml")
    return given.lower() == "true"


def outlines(paths: Iterable[str], results: str | Path, tiny: bool = False) -> dict[str, Outline]:
    """Return the outlines of several studies by name.

    Raises
    ------
    StudyError : a study is refused, or two have one name
    """
    by_name: dict[str, Outline] = {}
    for path in paths:
        study = outline(str(path), results, tiny)
        if study.name in by_name:
            raise StudyError(
                "studies", f"two studies are named {study.name!r}", "distinct names", str(path)
            )
        by_name[study.name] = study
    return by_name


def targets(studies: Mapping[str, Outline], results: str | Path, tiny: bool = False) -> list[str]:
    """Return every file a full run makes, each by name, so that a lost one is made again."""
    files = [
        str(path)
        for study in studies.values()
        for path in study.layout.every_file(study.chunks, study.pages)
    ]
    made = [
        stamp
        for study in studies.values()
        for stamp in (study.collected_stamp, study.analysed_stamp)
    ]
    return [*verdicts(results, tiny), verdicts_stamp(studies, results, tiny), *made, *files]


def verdicts(results: str | Path, tiny: bool = False) -> list[str]:
    """Return the files of the verdicts of all studies, what people look at first."""
    return [str(path) for path in verdict_files(results, tiny)]


def verdicts_stamp(studies: Mapping[str, Outline], results: str | Path, tiny: bool = False) -> str:
    """Return the file that is there if the verdicts are those of the studies as they stand."""
    digest = stamps.judged((study.name, study.said, study.digests) for study in studies.values())
    return str(layout.verdicts_stamp(results, tiny, digest))


def tidy(studies: Mapping[str, Outline]) -> None:
    """Remove what killed jobs left half-written; call it when all jobs are over."""
    for study in studies.values():
        store.tidy(study.layout.home)


def settle_dates(studies: Mapping[str, Outline]) -> None:
    """Let no clock that was ahead make anything fail; call it before jobs begin."""
    for study in studies.values():
        store.settle_dates(study.layout.home)


def current_pages(studies: Mapping[str, Outline]) -> list[str]:
    """Return the pages that are there and belong to the studies as they stand."""
    return [
        str(study.layout.page(page, page.file_kinds[0]))
        for study in studies.values()
        for page in analyse.current_pages(study.layout, study.digests, study.pages)
    ]


def where(studies: Mapping[str, Outline], results: str | Path, tiny: bool = False) -> str:
    """Return the sentences that end a run: where everything is."""
    folders = [
        f"{study.name}: tables in {study.layout.home}/tables, figures in "
        f"{study.layout.home}/figures, data in {study.layout.data}"
        for study in studies.values()
    ]
    return "\n".join([*folders, f"verdicts: {verdicts(results, tiny)[0]}"])


def captions(paths: Sequence[str], results: str | Path, tiny: bool = False) -> dict[str, Any]:
    """Return, per study, claim and verdicts as reStructuredText, as far as they are known by now.

    The report's captions show them; before the first run there are no verdicts.
    """
    by_study: dict[str, Any] = {}
    for path in paths:
        study = load_study(path, tiny=tiny)
        verdicts = [
            {"sentence": escapes.rst(sentence)}
            for table in current_tables(study, results)
            for sentence in _sentences(study, table)
        ]
        by_study[study.name] = {
            "title": escapes.rst(study.spec.title),
            "claim": escapes.rst(study.spec.cited_claim),
            "verdicts": verdicts,
        }
    return by_study


def current_tables(study: Study, results: str | Path) -> list[Table]:
    """Return the tables of a study that belong to it as it stands, in their order."""
    from neurolim.pipeline.tables import read_table

    paths, pages = layout_of(study, results), analyse.all_pages(study)
    current = analyse.current_pages(paths, stage_digests(study), pages, check=True)
    return [read_table(paths.page(page, "json")) for page in current if page.kind == "tables"]


def _sentences(study: Study, table: Table) -> list[str]:
    """Return what a table says, a sentence per row with a verdict."""
    if table.name == RUNS.name:
        counts = {str(row.values["item"]): int(row.values["count"]) for row in table.rows}
        lost = counts.get("reference runs", 0) - counts.get("reference OK", 0)
        return [
            f"{counts['runs']} runs, {counts['runs'] - counts['OK']} failed"
            + (f"; {lost} of {counts['reference runs']} reference runs failed" if lost else "")
        ]
    subject = table.name.replace("_", " ")
    return [
        f"{row.label or subject}: {_in_words(study, row.quantity, row.verdict)}"
        for row in table.rows
        if row.verdict is not None
    ]


def _in_words(study: Study, quantity: str, verdict: Verdict) -> str:
    """Return a verdict as words: the measured value, what is expected, kind and reason."""
    parts = []
    if np.isfinite(verdict.measured):
        interval = ""
        if np.isfinite(verdict.low) and np.isfinite(verdict.high):
            interval = f" [{verdict.low:.3g}, {verdict.high:.3g}]"
        parts.append(f"measured {verdict.measured:.3g}{interval}")
    if verdict.expectation:
        parts.append(f"expected {verdict.expectation}")
    expectation = study.spec.expect.get(quantity)
    if expectation and expectation.claim:
        parts.append(f"the paper claims {expectation.claim}")
    reason = f" ({verdict.reason})" if verdict.reason else ""
    return f"{', '.join(parts)}: {verdict.kind}{reason}" if parts else f"{verdict.kind}{reason}"
