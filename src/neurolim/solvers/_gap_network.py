r"""Networks of the FitzHugh-Nagumo form, read from a model's kernels for the mean-field solvers.

    dv = [ f(v) + e w + gap (V - v) ] dt + sigma dW,      dw = [ b v + q w + c ] dt + sigma_w dB,

per site, with f possibly seeing the means of all sites; V is the mean of v on the site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurolim.core import Model, StudyError

_PROBES = (-1.3, -0.4, 0.0, 0.7, 1.9)


@dataclass(frozen=True)
class GapNetwork:
    """The numbers of the module equation [site], and the drift as a function of arrays.

    Parameters
    ----------
    model : whose drift is evaluated
    p : the sites' parameters as one tuple; entries that differ between sites are arrays [site, 1]
    coupling : long-range coupling [site, site]
    gap, sigma, sigma_w, e, b, q : as in the module equation
    mean, width : mean and standard deviation of the initial law [site, 2]
    """

    model: Model
    p: Any
    coupling: np.ndarray
    gap: np.ndarray
    sigma: np.ndarray
    sigma_w: np.ndarray
    e: np.ndarray
    b: np.ndarray
    q: np.ndarray
    mean: np.ndarray
    width: np.ndarray

    def drift(self, v: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return f(v) + e W and b v + q W + c [2, site, n].

        Parameters
        ----------
        v : voltages [site, n]
        mean : (V, W) of every site [site, 2], which other sites and the equation for w see
        """
        inputs = self.coupling @ mean
        m, c = (mean[:, :1], mean[:, 1:]), (inputs[:, :1], inputs[:, 1:])
        parts = self.model.equations.drift((v, m[1]), m, c, self.p)
        return np.stack([np.broadcast_to(part, v.shape) for part in parts])

    def frame_variance(self, t: float, start: np.ndarray | None = None) -> np.ndarray:
        """Return s^2 [site]: ds^2/dt = sigma^2 - 2 gap s^2 from ``start``, or the initial law's."""
        rest = self.sigma**2 / (2.0 * self.gap)
        first = self.width[:, 0] ** 2 if start is None else start
        return rest + (first - rest) * np.exp(-2.0 * self.gap * t)


def read_network(model: Model, params: Mapping[str, Any]) -> GapNetwork:
    """Return the numbers of the module equation, found by evaluating the model's kernels.

    Raises
    ------
    StudyError : the model is not of that form, or its initial law has no width
    """
    sites = model.sites(params)
    rows = sites.params
    if len(model.state) != 2 or model.equations.field((0.0, 0.0), rows[0]):
        raise StudyError(
            "solver", f"{model.name} is not a network of (v, w) without fields", "fitzhugh_nagumo"
        )
    columns = [np.array(column, dtype=float) for column in zip(*rows, strict=True)]
    p = type(rows[0])(
        *(float(c[0]) if np.ptp(c) == 0.0 else c[:, None] for c in columns)  # same: a plain number
    )
    linear = []
    for row in rows:
        zero = (0.0, 0.0)
        pull, _, gap = model.equations.relax(zero, zero, row)
        if any(pull) or gap[0] <= 0.0 or gap[1] != 0.0:
            raise StudyError("solver", "coupling is not by gap junctions in v alone", "gap > 0")
        linear.append(_linear_part(model, row))
    width = np.array([_spread(model, row) for row in rows])
    if (width <= 0.0).any():
        place = ("voltage_spread", "recovery_spread")[int(np.argmax((width <= 0.0).any(axis=0)))]
        raise StudyError(
            place, "the initial law has no width", "a positive width (initial: absolute)"
        )
    e, b, q = np.array(linear).T
    noise = np.array([model.equations.noise(row) for row in rows])
    mean = np.array([model.equations.initial((0.0, 0.0), row) for row in rows])
    gap = np.array([model.equations.relax((0.0, 0.0), (0.0, 0.0), row)[2][0] for row in rows])
    if (noise[:, 0] <= 0.0).any():
        raise StudyError("sigma", "no voltage noise", "sigma > 0")
    return GapNetwork(model, p, sites.coupling, gap, noise[:, 0], noise[:, 1], e, b, q, mean, width)


def _linear_part(model: Model, p: Any) -> tuple[float, float, float]:
    """Return (e, b, q): the slopes the module equation asks to be constant."""
    m = c = (0.3, -0.2)

    def drift(v: float, w: float) -> np.ndarray:
        return np.array(model.equations.drift((v, w), m, c, p), dtype=float)

    origin = drift(0.0, 0.0)
    e, q = drift(0.0, 1.0) - origin
    b = (drift(1.0, 0.0) - origin)[1]
    for v in _PROBES:
        for w in _PROBES:
            here, expected = drift(v, w), drift(v, 0.0)
            scale = 1e-9 * (1.0 + np.abs(here).max())
            affine = abs(here[1] - (origin[1] + b * v + q * w)) < scale
            if abs(here[0] - expected[0] - e * w) > scale or not affine:
                raise StudyError(
                    "solver",
                    "the drift is not f(v) + e w, b v + q w + c",
                    "FitzHugh-Nagumo",
                )
    return float(e), float(b), float(q)


def _spread(model: Model, p: Any) -> tuple[float, float]:
    """Return the standard deviations of the initial law."""
    centre = np.array(model.equations.initial((0.0, 0.0), p))
    first = np.array(model.equations.initial((1.0, 0.0), p)) - centre
    second = np.array(model.equations.initial((0.0, 1.0), p)) - centre
    other = np.array(model.equations.initial((-2.0, 3.0), p)) - centre
    if first[1] or second[0] or not np.allclose(other, 3.0 * second - 2.0 * first):
        raise StudyError("solver", "the initial law is not a product of two normal ones", "")
    return float(abs(first[0])), float(abs(second[1]))
