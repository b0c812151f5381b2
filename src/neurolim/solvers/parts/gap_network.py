r"""Networks with gap junctions in one variable, the rest linear, as mean-field solvers see them.

    dv = [ f(v) + e y + gap (V - v) ] dt + sigma dW,      dy = [ g(v) + q y ] dt + sigma_y dB,

per site, with f and g possibly seeing time and the means of all sites; v is the variable with gap
junctions, V its mean on the site, y all other variables in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurolim.core import Model, StudyError
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.laws import AtOnce
from neurolim.solvers.parts.needs import (
    LINEAR_REST,
    NO_FIELDS,
    NO_WALLS,
    NORMAL_START,
    ONE_GAP,
    derivatives,
    noise_key,
)

#: What ``read_network`` needs of a model.
GAP_NETWORK = (derivatives(), ONE_GAP, NO_FIELDS, LINEAR_REST, NO_WALLS, NORMAL_START)


@dataclass(frozen=True)
class GapNetwork:
    """The numbers of the module equation [site], and the drift as a function of arrays.

    Variables are in the order v, y here.

    Parameters
    ----------
    model : whose drift is evaluated
    order : positions of v and y among the model's variables
    at_once : evaluates functions of the model at points of all sites
    coupling : long-range coupling [site, site]
    gap, sigma : as in the module equation
    sigma_y, e : the same [site, d - 1]
    q : the same [site, d - 1, d - 1]
    mean, width : mean and standard deviation of the initial law [site, d]
    """

    model: Model
    order: tuple[int, ...]
    at_once: AtOnce
    coupling: np.ndarray
    gap: np.ndarray
    sigma: np.ndarray
    sigma_y: np.ndarray
    e: np.ndarray
    q: np.ndarray
    mean: np.ndarray
    width: np.ndarray

    @property
    def places(self) -> np.ndarray:
        """Return where the model's variables are in the order v, y."""
        return np.argsort(self.order)

    def drift(self, v: np.ndarray, mean: np.ndarray, t: float = 0.0) -> np.ndarray:
        """Return f(v) + e Y and g(v) + q Y [d, site, n].

        Parameters
        ----------
        v : voltages [site, n]
        mean : (V, Y) of every site [site, d], which other sites see, too
        t : time
        """
        means = mean[:, self.places]
        x = np.repeat(means.T[:, :, None], v.shape[1], axis=2)
        x[self.order[0]] = v
        seen = means.T[:, :, None], (self.coupling @ means).T[:, :, None]
        flow = self.at_once(self.model.equations.drift, x, *seen, t=t)
        return flow[list(self.order)]

    def frame_variance(self, t: float, start: np.ndarray | None = None) -> np.ndarray:
        """Return s^2 [site]: ds^2/dt = sigma^2 - 2 gap s^2 from ``start``, or the initial law's."""
        rest = self.sigma**2 / (2.0 * self.gap)
        first = self.width[:, 0] ** 2 if start is None else start
        return rest + (first - rest) * np.exp(-2.0 * self.gap * t)


def read_network(model: Model, params: Mapping[str, Any]) -> GapNetwork:
    """Return the numbers of the module equation of a network that has what GAP_NETWORK names.

    Raises
    ------
    StudyError : the gap junctions do not act, or nothing moves v at random
    """
    sites, d = model.sites(params), len(model.state)
    coupled = structure_of(model).gapped.index(True)
    order = (coupled, *(k for k in range(d) if k != coupled))
    rows, zero = sites.params, (0.0,) * d
    at, slopes = (zero, zero, zero), derivatives_of(model)
    symbol = model.symbols[coupled]
    gap = np.array([model.equations.relax(zero, zero, row)[2][coupled] for row in rows])
    if (gap <= 0.0).any():
        raise StudyError("model", f"gap junctions in {symbol} of rate {gap.min():g}", "a rate > 0")
    # Constant slopes of the rest: the same at the origin as anywhere.
    linear = np.array([slopes.drift_x(*at, row) for row in rows], dtype=float).reshape(-1, d, d)
    linear = linear[:, order][:, :, order]
    width = np.array([slopes.initial_z(*at, row)[:: d + 1] for row in rows], dtype=float)
    noise = np.array([model.equations.noise(row) for row in rows], dtype=float)[:, order]
    mean = np.array([model.equations.initial(zero, row) for row in rows], dtype=float)
    if (noise[:, 0] <= 0.0).any():
        key = noise_key(model, symbol)
        raise StudyError(key, f"no noise in {symbol}: its law has no density", "an amplitude > 0")
    return GapNetwork(
        model=model,
        order=order,
        at_once=AtOnce(rows),
        coupling=sites.coupling,
        gap=gap,
        sigma=noise[:, 0],
        sigma_y=noise[:, 1:],
        e=linear[:, 0, 1:],
        q=linear[:, 1:, 1:],
        mean=mean[:, order],
        width=np.abs(width[:, order]),
    )
