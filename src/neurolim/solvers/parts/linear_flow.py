"""The flow of the mean of one site, and its slopes: what linear theories of a network share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model
from neurolim.numerics.structure import derivatives_of


class Slopes(NamedTuple):
    """The flow of the mean where it is, and its slopes.

    Parameters
    ----------
    motion : F, what the mean does [d]
    own : slope of a neuron's drift in its own state, synapses included, gap junctions not [d, d]
    felt : slope of the drift in the means of states, of fields, and of what comes late [d, nm]
    carried : slope of means of states and fields in the state [d + n_fields, d]
    gap : rate of the gap junctions [d]
    """

    motion: np.ndarray
    own: np.ndarray
    felt: np.ndarray
    carried: np.ndarray
    gap: np.ndarray


class LinearFlow:
    """A model on one site about a state that all its neurons share.

    Parameters
    ----------
    model, params : on one site
    """

    def __init__(self, model: Model, params: Mapping[str, Any]) -> None:
        sites = model.sites(params)
        (self.p,) = sites.params
        self.model, self.d = model, len(model.state)
        self.weight = float(sites.coupling[0, 0])
        self.slopes = derivatives_of(model)

    def matrix(self, values: Any) -> np.ndarray:
        """Return the derivatives of d functions as a matrix [d, ...]."""
        return np.array(values, dtype=float).reshape(self.d, -1)

    def means(self, x: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return (m, c) of a site whose neurons all sit at x, and always have."""
        m = self.model.means_at_rest(x, self.p)
        return m, tuple(self.weight * value for value in m)

    def carried(self, at: tuple[Any, ...]) -> np.ndarray:
        """Return the slopes of the means of states and fields in x [d + n_fields, d]."""
        sent = np.array(self.slopes.field_x(*at), dtype=float).reshape(-1, self.d)
        return np.concatenate([np.eye(self.d), sent])

    def at(self, t: float, x: tuple[float, ...]) -> Slopes:
        """Return flow and slopes at x."""
        m, c = self.means(x)
        at = (x, m, c, self.p, t)
        slopes, matrix = self.slopes, self.matrix
        pull, target, gap = (
            np.array(part, dtype=float) for part in self.model.equations.relax(m, c, self.p)
        )
        state = np.array(x)[:, None]
        felt = matrix(slopes.drift_m(*at)) + self.weight * matrix(slopes.drift_c(*at))
        felt += matrix(slopes.current_m(*at)) + self.weight * matrix(slopes.current_c(*at))
        felt -= state * (matrix(slopes.pull_m(*at)) + self.weight * matrix(slopes.pull_c(*at)))
        drift = np.array(self.model.equations.drift(x, m, c, self.p, t), dtype=float)
        motion = drift + pull * (target - state[:, 0])
        own = matrix(slopes.drift_x(*at)) - np.diag(pull)
        return Slopes(motion, own, felt, self.carried(at), gap)
