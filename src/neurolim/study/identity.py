"""What a run is, wherever it stands in a grid: numbers that tell runs of different content apart.

A run depends on its model, its solver, their parameters and options at its point, the seed, what
independent axes add to its noise, its number among the replicas, and code.  All but the last two
make up the identity of a point.  Whether a parameter is an axis, how axes are named and ordered,
how many values they have and how runs are cut into chunks make no difference, so runs are found
again in the chunks of a grid that was smaller, larger or written otherwise.

An identity is a sum modulo 2^128 of the SHA-256 of all it is made of, as two unsigned integers: a
sum does not see an order, and a grid's sums come from those of its axes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurolim.study.canonical import canonical

if TYPE_CHECKING:
    from neurolim.study.study import Study


def point_identities(study: Study) -> np.ndarray:
    """Return the identity of every grid point for the runs of its solver [point, 2]."""
    fixed = {"params": study.fixed.params, "options": study.fixed.options}
    return _identities(study, study.spec.solver, fixed)


def reference_identities(study: Study) -> np.ndarray:
    """Return the identity of every grid point for its reference solver [point, 2]; 0 without."""
    if study.reference_choice is None:
        return np.zeros((study.n_points, 2), np.uint64)
    fixed = {"params": study.fixed.params, "options": study.fixed.reference}
    return _identities(study, study.reference_name, fixed, frozenset(study.reference_choice.given))


def _identities(
    study: Study,
    solver: str,
    fixed: Mapping[str, Mapping[str, Any]],
    unmoved: frozenset[str] = frozenset(),
) -> np.ndarray:
    """Return the identities of all points for a solver.

    Parameters
    ----------
    study : the study
    solver : its name
    fixed : values by name of params and of options, where no axis says otherwise
    unmoved : options that no axis moves
    """
    varied = {name for axis in study.axes for name in axis.components}
    base = _hash("model", study.spec.model) + _hash("solver", solver)
    base = base + _hash("seed", study.spec.seed)
    for kind, values in fixed.items():
        for name, value in values.items():
            if name not in varied or (kind == "options" and name in unmoved):
                base = base + _hash(kind, name, value)
    total = np.broadcast_to(base, (*study.shape, 2)).copy()
    for place, axis in enumerate(study.axes):
        along = np.zeros((axis.size, 2), np.uint64)
        for name, column in axis.components.items():
            for kind, values in fixed.items():
                if name in values and not (kind == "options" and name in unmoved):
                    along += np.array([_hash(kind, name, value) for value in column])
            if not axis.common:
                along += np.array([_hash("noise", name, value) for value in column])
        lengths = [axis.size if k == place else 1 for k in range(len(study.axes))]
        total += along.reshape((*lengths, 2))
    return total.reshape(-1, 2)


def _hash(*words: Any) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(canonical(words)).digest()[:16], "<u8").astype(np.uint64)
