r"""The equation of the mean of a network on one site at zero width, by the functions of its model.

Every neuron sits at the mean, so gap junctions pull nowhere and, away from walls, x obeys

    x' = drift(x, m, c, p) + I e_1,        m = (x, field(x)),    c = weight m,

where I, added to the drift of the first variable, is the parameter of branches.  It is the limit
equation where gap junctions hold the neurons together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurolim.core import Model, StudyError
from neurolim.core.model import DELAY, TIME
from neurolim.numerics.structure import derivatives_of, structure_of


class Flow:
    """The equation of the mean at zero width and its exact linearisation.

    Parameters
    ----------
    model : a network without synapses whose drift and fields have derivatives
    p : the numbers of its site
    weight : of the site to itself

    Raises
    ------
    StudyError : synapses, delays, time in the drift, or what has no derivatives
    """

    def __init__(self, model: Model, p: Any, weight: float = 1.0) -> None:
        structure = structure_of(model)
        faults = [
            f"no derivatives of {k}" for k in ("drift", "fields") if k in structure.untraceable
        ]
        faults += sorted(model.features & {TIME, DELAY})
        faults += ["synapses"] if any(structure.pulled) else []
        if faults:
            problem = f"no autonomous equation of the mean is known: {faults[0]}"
            raise StudyError("model", problem, "a drift of x and of means of now, gap junctions")
        self.model, self.p, self.weight = model, p, weight
        self._slopes = derivatives_of(model)

    def __call__(self, x: np.ndarray, current: Any = 0.0) -> np.ndarray:
        """Return x' [d, ...] at states x [d, ...]."""
        m, c = self._means(x)
        drift = self.model.equations.drift(tuple(x), m, c, self.p)
        slope = np.stack([np.broadcast_to(value, x.shape[1:]) for value in drift])
        slope[0] += current
        return slope

    def linearised(self, x: np.ndarray, current: float) -> tuple[np.ndarray, ...]:
        """Return x' [K, d], dx'/dx [K, d, d] and dx'/dI [K, d] at states x [K, d]."""
        (count, d), columns = x.shape, x.T
        m, c = self._means(columns)
        at = (tuple(columns), m, c, self.p)
        n = len(self.model.means)

        def table(name: str, rows: int, width: int) -> np.ndarray:
            values = getattr(self._slopes, name)(*at)
            whole = np.stack([np.broadcast_to(value, count) for value in values])
            return np.moveaxis(whole.reshape(rows, width, count), -1, 0)

        felt = table("drift_m", d, n) + self.weight * table("drift_c", d, n)
        sent = np.tile(np.eye(d), (count, 1, 1))
        if self.model.fields:
            fields = table("field_x", len(self.model.fields), d)
            sent = np.concatenate([sent, fields], axis=1)
        slopes = table("drift_x", d, d) + felt @ sent
        return self(columns, current).T, slopes, np.tile(np.eye(d)[0], (count, 1))

    def _means(self, x: np.ndarray) -> tuple[Any, Any]:
        m = self.model.means_at_rest(tuple(x), self.p)
        return m, tuple(self.weight * value for value in m)
