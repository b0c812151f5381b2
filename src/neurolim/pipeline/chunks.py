"""The chunks of a study: files named by what they are made from, and runs that others hold already.

A chunk file holds, beside its numbers, which runs they are: the identity of every point it touches
(`study.identity`) and the range of its replicas.  A chunk that is made takes the runs that are in
other chunk files of its study as they are, and solves the rest.  So a study that is given more
replicas, more values or other chunks solves only what is new, and leaves the same bytes as one
that begins with nothing: what is there decides how long it takes, never what comes out.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from neurolim.core import Status
from neurolim.pipeline.digests import collected_digest, simulation_digest, solver_codes
from neurolim.pipeline.layout import Layout
from neurolim.store import store
from neurolim.study import plan as planning
from neurolim.study.study import Study

#: What a chunk file says of the runs of the solver, and of those of the reference.
KINDS = ("run", "point")


def chunk_names(study: Study) -> list[str]:
    """Return the names of the chunks of a study in order: digests of what they are made from."""
    return [simulation_digest(study, runs) for runs in planning.plan(study).chunks]


def chunk_paths(study: Study, layout: Layout) -> list[Path]:
    """Return the files of the chunks of a study in order."""
    return [layout.chunk(name) for name in chunk_names(study)]


class Piece(NamedTuple):
    """Replicas first .. last - 1 of a point in rows of a chunk file that begin at ``row``."""

    first: int
    last: int
    path: Path
    row: int

    def within(self, first: int, last: int) -> Piece:
        """Return what it holds of a range of replicas."""
        low, high = max(first, self.first), min(last, self.last)
        return Piece(low, max(low, high), self.path, self.row + low - self.first)


class Wanted(NamedTuple):
    """Replicas first .. last - 1 of a point, which come in the rows of a chunk from ``row`` on."""

    point: int
    first: int
    last: int
    row: int


def wanted_runs(study: Study, runs: range) -> dict[str, list[Wanted]]:
    """Return the runs of a chunk, and of its reference, point by point."""
    of_solver, row = [], 0
    for task in planning.tasks_of(study, runs):
        of_solver.append(Wanted(task["point"], task["first"], task["last"], row))
        row += task["last"] - task["first"]
    points = planning.reference_points(study, runs) if study.reference is not None else []
    of_reference = [Wanted(point, 0, 1, row) for row, point in enumerate(points)]
    return {"run": of_solver, "point": of_reference}


def labels_of(study: Study, runs: range) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return what a chunk file says of its runs: variables with dimensions."""
    labels: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    wanted = wanted_runs(study, runs)
    for kind, identities in zip(KINDS, study.identities, strict=True):
        entries = wanted[kind]
        chosen = identities[[entry.point for entry in entries]]
        ranges = np.array([[entry.first, entry.last] for entry in entries]).reshape(-1, 2)
        labels[f"{kind}_identity"] = ((f"{kind}_cell", "half"), chosen)
        labels[f"{kind}_replicas"] = ((f"{kind}_cell", "end"), ranges.astype(np.int64))
    return labels


class KnownRuns:
    """The runs that chunk files of a study hold beside those of its chunks as they stand.

    Parameters
    ----------
    study : the study
    folder : of its chunk files
    """

    def __init__(self, study: Study, folder: Path) -> None:
        self._study = study
        self._pieces: dict[str, dict[bytes, list[Piece]]] = {
            kind: defaultdict(list) for kind in KINDS
        }
        own, codes = set(chunk_names(study)), solver_codes(study)
        self._whole: dict[Path, bool] = {}
        #: Of chunk files that are no chunks of the study as it stands.
        self.paths = [
            record.with_suffix(".zip")
            for record in sorted(folder.glob("*.json"))
            if record.stem not in own
        ]
        for path in self.paths:
            # Another version's or a damaged file is as good as none, whatever is wrong with it.
            with contextlib.suppress(Exception):
                self._read(path, codes)

    def _read(self, path: Path, codes: Mapping[str, str]) -> None:
        """Note what a chunk file holds, if the same code made it."""
        with store.open_dataset(path) as dataset:
            for kind, code in codes.items():
                if dataset.attrs.get(f"{kind}_code") == code:
                    for identity, piece in list(_pieces(path, dataset, kind)):
                        self._pieces[kind][identity].append(piece)

    def _is_whole(self, path: Path) -> bool:
        """Return whether a file is what its record says; each is read once."""
        if path not in self._whole:
            try:
                store.check(path)
            except store.StoreError:
                self._whole[path] = False
            else:
                self._whole[path] = True
        return self._whole[path]

    def cover(self, kind: str, wanted: Wanted) -> Iterator[Piece]:
        """Yield where some of the runs that are wanted are, in the order of replicas."""
        identity = self._study.identities[KINDS.index(kind)][wanted.point].tobytes()
        at = wanted.first
        for piece in sorted(self._pieces[kind].get(identity, ())):
            part = piece.within(at, wanted.last)
            if part.first < part.last and self._is_whole(part.path):
                yield part
                at = part.last


class Forecast(NamedTuple):
    """What a run of a study will do.

    Parameters
    ----------
    kept : runs that are there
    new : runs that will be solved; of a refined map, at most
    replaced : whether a dataset of something else lies where the study's comes to lie
    """

    kept: int
    new: int
    replaced: bool


def forecast(study: Study, layout: Layout) -> Forecast:
    """Return how many runs of a study are there, in its chunks or in others, and how many not."""
    known: KnownRuns | None = None
    kept = 0
    for path, runs in zip(chunk_paths(study, layout), planning.plan(study).chunks, strict=True):
        if path.is_file() and store.record_of(path).is_file():
            kept += len(runs)
            continue
        known = known or KnownRuns(study, path.parent)
        if known.paths:
            kept += sum(
                piece.last - piece.first
                for wanted in wanted_runs(study, runs)["run"]
                for piece in known.cover("run", wanted)
            )
    replaced = store.record_of(layout.data).is_file() and (
        store.read_record(layout.data).get("digest") != collected_digest(study)
    )
    return Forecast(kept, study.n_runs - kept, replaced)


def _pieces(path: Path, dataset: xr.Dataset, kind: str) -> Iterator[tuple[bytes, Piece]]:
    """Yield (identity, piece) for what a chunk file holds of a kind, but runs that were skipped."""
    identities = dataset[f"{kind}_identity"].values
    ranges = dataset[f"{kind}_replicas"].values
    status = dataset["status" if kind == "run" else "reference_status"].values
    row = 0
    for identity, (first, last) in zip(identities, ranges.tolist(), strict=True):
        if last > first and status[row] != Status.SKIPPED:
            yield identity.tobytes(), Piece(first, last, path, row)
        row += last - first
