"""Digests: what every result depends on, so that it is made again only when it must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from neurolim import provenance
from neurolim.study import plan as planning
from neurolim.study.study import Study

_COLLECT = "neurolim.pipeline.collect"
_SELECTION = "neurolim.pipeline.selection"
#: What it learns from these is in the digests of study and chunks: points, levels, numbers.
_READING = frozenset(("neurolim.store.store", "neurolim.study.plan", "neurolim.study.study"))
#: How every figure is saved, that of a plug-in in a file, too.
_SAVE = "neurolim.figures.parts.style"
#: What solvers import with `core` and no number of a simulation depends on.
JUDGING = frozenset(f"neurolim.core.{name}" for name in ("statistic", "table", "verdict"))


def digest_of(*parts: Any) -> str:
    """Return the digest of anything JSON can say."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def simulation_digest(study: Study, runs: range) -> str:
    """Return the digest of everything a chunk's numbers depend on: points, keys and code."""
    parts: list[Any] = [study.digest(runs.start, runs.stop), simulation_code(study)]
    if study.refine is not None and planning.level_of(study, runs) > 0:
        # Which points are simulated hangs on all that is coarser and on how it is judged.
        chunks = planning.plan(study).chunks
        before = chunks[planning.earlier(study, runs)[-1]].stop
        judging = study.statistics[0]
        parts += [
            study.digest(0, before),
            study.refine.model_dump(),
            {"name": judging.name, "options": judging.given},
        ]
        parts.append(provenance.code_digest(judging.module))
        parts.append(provenance.code_digest(_SELECTION, without=JUDGING | _READING))
    return digest_of(*parts)


def simulation_code(study: Study) -> str:
    """Return the digest of the code behind the chunks of a study."""
    chosen = (study.model_choice, study.solver_choice, study.reference_choice)
    modules = [choice.module for choice in chosen if choice is not None]
    return provenance.code_digest(*modules, without=JUDGING)


def solver_codes(study: Study) -> dict[str, str]:
    """Return digests of the code behind a "run" of the solver and a "point" of the reference."""
    model, reference = study.model_choice.module, study.reference_choice
    codes = {"run": provenance.code_digest(model, study.solver_choice.module, without=JUDGING)}
    if reference is not None:
        codes["point"] = provenance.code_digest(model, reference.module, without=JUDGING)
    return codes


def _words(study: Study) -> list[Any]:
    """Return what a study says of itself that stands in every result."""
    return [study.spec.title, study.spec.cited_claim, study.spec.failed_share]


def collected_digest(study: Study) -> str:
    """Return the digest of everything a dataset depends on beside its chunks."""
    return digest_of(
        _words(study),
        study.definition(),
        simulation_code(study),
        provenance.code_digest("neurolim.store.assemble", without=JUDGING),
    )


def verdicts_digest(study: Study) -> str:
    """Return the digest of what the page of verdicts says of a study beside its results."""
    modules = (f"neurolim.pipeline.{name}" for name in ("verdicts", "verdicts_page", "tables"))
    spec = study.spec
    subject = [spec.paper, spec.statement, spec.claim, spec.no_verdict]
    return digest_of(_words(study), subject, provenance.code_digest(*modules))


def stage_digests(study: Study) -> dict[str, str]:
    """Return the digest of words and code of each stage after simulation, table and figure.

    Tables and figures have their ``Page.key``, ``tables/<name>`` and ``figures/<name>``.
    """
    statistics = [entry.model_dump() for entry in study.spec.statistics]
    modules = [choice.module for choice in study.statistics]
    if any("model" in study.statistic_arguments(choice) for choice in study.statistics):
        modules.append(study.model_choice.module)
    code = provenance.code_digest("neurolim.pipeline.results", *modules)
    tables = provenance.code_digest("neurolim.pipeline.tables")
    # Options that only judging reads leave the statistics as they are.
    judged = digest_of(_words(study), study.expectations(), statistics, code, tables)
    digests = {
        "collect": collected_digest(study),
        # The table of failures and the page of costs.
        "tables/runs": digest_of(_words(study), tables, provenance.code_digest(_COLLECT)),
        "reduce": digest_of(statistics, study.spec.failed_share, code),
    }
    for choice in study.statistics:
        digests |= {f"tables/{table}": judged for table in choice.tables}
    for choice in study.figures:
        digests[f"figures/{choice.name}"] = digest_of(
            choice.given,
            study.expectations(),
            provenance.code_digest("neurolim.pipeline.results", _SAVE, choice.module),
        )
    return digests


def merged_software(software: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return every version of every package that had a part in something."""
    by_name: dict[str, set[str]] = {}
    for versions in software:
        for name, version in versions.items():
            by_name.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in by_name.items()}
