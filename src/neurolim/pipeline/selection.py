"""Which points of a chunk are simulated: what is written here enters digests of refined maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neurolim.core import Status
from neurolim.store import store
from neurolim.store.assemble import assemble
from neurolim.study import plan as planning
from neurolim.study.refine import wanted
from neurolim.study.study import Study


def selected_points(study: Study, runs: range, files: Sequence[Path]) -> np.ndarray:
    """Return which points are simulated: all, unless a map is refined by what is there already.

    Parameters
    ----------
    study, runs : the runs of a chunk of a study
    files : the chunks of coarser levels, in order

    Returns
    -------
    booleans [point]

    Raises
    ------
    store.StoreError : a chunk of a coarser level is missing or altered
    """
    everything = np.ones(study.n_points, dtype=bool)
    if study.refine is None or not files:
        return everything
    for file in files:
        store.check(file)
    so_far = assemble(study, files, {})
    names = study.refine.axes
    status = so_far["status"]
    known = (status != int(Status.SKIPPED)).any([d for d in status.dims if d not in names])
    judging = study.statistics[0]
    classes = judging.plugin.apply(so_far, **study.statistic_arguments(judging))[study.refine.by]
    picked = wanted(
        classes.transpose(*names, ...).values,
        known.transpose(*names).values,
        planning.level_of(study, runs),
        study.refine.levels,
    )
    axes = [axis.name for axis in study.axes]
    indices = np.unravel_index(np.arange(study.n_points), study.shape)
    selected: np.ndarray = picked[tuple(indices[axes.index(name)] for name in names)]
    return selected
