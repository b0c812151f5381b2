"""Chemical synapses of a network as a whole: whether they balance, and between which voltages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Model, Sites, StudyError
from neurolim.numerics.structure import derivatives_of
from neurolim.solvers.parts.compiled import COMPILED
from neurolim.solvers.parts.needs import AFFINE_SYNAPSES, NO_WALLS, SYNAPSES, derivatives

#: Reversal potentials that differ by less than this share are one, to rounding.
_EQUAL = 1e-12


#: What ``check_synapses`` and ``reversals`` need of a model.
BALANCING = (
    derivatives("drift", "coupling", "fields"),
    NO_WALLS,
    SYNAPSES,
    AFFINE_SYNAPSES,
    COMPILED,
)


def check_synapses(model: Model, params: Mapping[str, Any]) -> None:
    """Refuse networks in which nothing has to balance.

    Raises
    ------
    StudyError : a population that receives none (A_p = 0); equal reversal potentials, so that every
        synaptic current vanishes at one voltage
    """
    sites, v = model.sites(params), model.symbols[0]
    points = [_Point(model, sites, s) for s in range(len(sites.labels))]
    silent = [point.label for point in points if not point.receives]
    if len(silent) == len(points):
        raise StudyError("model", f"no pull on {v}: there is nothing to balance", "a pull > 0")
    if silent:
        problem = f"population {silent[0]} receives no synapses (no pull on {v})"
        raise StudyError("model", problem, "a weight > 0 per population")
    known = reversals(model, sites)
    if known.size and np.ptp(known) <= _EQUAL * np.abs(known).max():
        raise StudyError(
            "model",
            f"all reversal potentials equal to {known[0]:g}: excitation and inhibition cannot be "
            "told apart",
            "two different reversal potentials",
        )


class _Point:
    """The affine synapses of one population, with all populations at their start.

    Parameters
    ----------
    model, sites : the network
    s : number of the population
    """

    def __init__(self, model: Model, sites: Sites, s: int) -> None:
        self.model, self.sites, self.label = model, sites, str(sites.labels[s])
        self.s, self.p, self.slopes = s, sites.params[s], derivatives_of(model)
        self.d, self.n_means = len(model.state), len(model.means)
        zero = (0.0,) * self.n_means
        self.at = ((0.0,) * self.d, zero, zero, self.p)
        pull, target, _ = model.equations.relax(zero, zero, self.p)
        self.pull, self.current = float(pull[0]), float(pull[0] * target[0])
        #: Slopes of pull and current with respect to the means of every population [2, P, n_means]
        self.of_means = np.stack([self._row("pull"), self._row("current")])

    def _row(self, name: str) -> np.ndarray:
        direct, carried = (
            np.array(getattr(self.slopes, f"{name}_{kind}")(*self.at)[: self.n_means], dtype=float)
            for kind in ("m", "c")
        )
        slopes = np.outer(self.sites.coupling[self.s], carried)
        slopes[self.s] += direct
        return slopes

    @property
    def receives(self) -> bool:
        """Return whether anything can pull."""
        return bool(self.pull != 0.0 or self.of_means[0].any())

    def reversals(self) -> list[float]:
        """Return the voltages to which single synapses pull: current/conductance of their parts.

        Parts are what is there without means, and what a change of one variable of a neuron adds.
        """
        potentials = [self.current / self.pull] if self.pull != 0.0 else []
        zero = (0.0,) * self.n_means
        for r, p in enumerate(self.sites.params):
            x = tuple(float(value) for value in self.model.equations.initial(self.at[0], p))
            sent = np.array(self.slopes.field_x(x, zero, zero, p), dtype=float)
            changes = np.concatenate([np.eye(self.d), sent.reshape(-1, self.d)])
            for pull, current in (self.of_means[:, r] @ changes).T:
                if pull != 0.0 and np.isfinite(current / pull):
                    potentials.append(float(current / pull))
        return potentials


def reversals(model: Model, sites: Sites) -> np.ndarray:
    """Return the reversal potentials of all synapses, between which every balance lies.

    Parameters
    ----------
    model, sites : a network that ``check_synapses`` takes
    """
    points = (_Point(model, sites, s) for s in range(len(sites.labels)))
    return np.array([value for point in points for value in point.reversals()])


def open_pull(model: Model, sites: Sites) -> np.ndarray:
    """Return the pull [P] that inputs of one would give."""
    points = [_Point(model, sites, s) for s in range(len(sites.labels))]
    return np.array([abs(point.pull) + np.abs(point.of_means[0]).sum() for point in points])
