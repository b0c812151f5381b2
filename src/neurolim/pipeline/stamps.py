"""Stamps: empty files whose names say what the results of a study are made from.

Snakemake asks only whether they are there.  It needs no memory of former runs and no clock for
that, so results that were copied, cloned, dated ahead or reached by another path are judged alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neurolim.pipeline.chunks import chunk_names
from neurolim.pipeline.digests import digest_of, stage_digests
from neurolim.pipeline.layout import Layout
from neurolim.store import store
from neurolim.study.study import Study

#: The stages of a study that leave a stamp.
COLLECT, ANALYSE = "collect", "analyse"


def collected(study: Study) -> str:
    """Return the digest of all that the dataset, the table of failures and the costs depend on."""
    digests = stage_digests(study)
    return digest_of(digests[COLLECT], digests["tables/runs"], chunk_names(study))


def analysed(study: Study, failures: Mapping[str, int]) -> str:
    """Return the digest of all that statistics, tables and figures depend on.

    Parameters
    ----------
    study : the study
    failures : how often in a row each table or figure could not be made: it is tried again
    """
    return digest_of(collected(study), stage_digests(study), dict(failures))


def judged(studies: Iterable[tuple[str, str, Mapping[str, str]]]) -> str:
    """Return the digest of all that the page of verdicts of some studies depends on.

    Parameters
    ----------
    studies : (name, ``verdicts_digest``, ``stage_digests``) of each
    """
    return digest_of({name: [words, dict(digests)] for name, words, digests in studies})


def leave(layout: Layout, stage: str, *digests: str) -> None:
    """Write the stamps of a stage that is over, and remove those of others before it."""
    stamps = [layout.stamp(stage, digest) for digest in digests]
    for stamp in stamps:
        with store.beside(stamp):
            pass
    for stamp in stamps[0].parent.glob(f"{stage}-*"):
        if stamp not in stamps:
            stamp.unlink(missing_ok=True)
