r"""Networks of the FitzHugh-Nagumo form, derived from a model's equations for mean-field solvers.

    dv = [ f(v) + e w + gap (V - v) ] dt + sigma dW,      dw = [ b v + q w + c ] dt + sigma_w dB,

per site, with f possibly seeing the means of all sites; v is the first variable, V its mean on the
site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurolim.core import Model, StudyError
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers._needs import need_derivatives, noise_key


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
    """Return the numbers of the module equation of a network.

    Raises
    ------
    StudyError : the model is not of that form, or its initial law has no width
    """
    check_gap_form(model)
    if not structure_of(model).normal:
        problem = "the initial law is not a product of two normal ones"
        raise StudyError("model", problem, "each variable affine in its own normal")
    sites = model.sites(params)
    rows = sites.params
    columns = [np.array(column, dtype=float) for column in zip(*rows, strict=True)]
    p = type(rows[0])(
        *(float(c[0]) if np.ptp(c) == 0.0 else c[:, None] for c in columns)  # same: a plain number
    )
    zero, slopes = (0.0, 0.0), derivatives_of(model)
    gap = np.array([model.equations.relax(zero, zero, row)[2][0] for row in rows], dtype=float)
    if (gap <= 0.0).any():
        raise _needs(f"their rate in {model.symbols[0]} is {gap.min():g}")
    # Constant slopes: the same at the origin as anywhere.
    linear = np.array([slopes.drift_x(zero, zero, zero, row) for row in rows], dtype=float)
    width = np.array([slopes.initial_z(zero, zero, zero, row)[::3] for row in rows], dtype=float)
    width = np.abs(width)
    if (width <= 0.0).any():
        name = model.state[int(np.argmax((width <= 0.0).any(axis=0)))].name
        raise StudyError("model", f"the initial law of {name} has no width", "a spread > 0")
    noise = np.array([model.equations.noise(row) for row in rows], dtype=float)
    mean = np.array([model.equations.initial(zero, row) for row in rows], dtype=float)
    if (noise[:, 0] <= 0.0).any():
        key = noise_key(model, model.symbols[0])
        raise StudyError(key, f"no noise in {model.symbols[0]}", "an amplitude > 0")
    e, b, q = linear[:, 1], linear[:, 2], linear[:, 3]
    return GapNetwork(model, p, sites.coupling, gap, noise[:, 0], noise[:, 1], e, b, q, mean, width)


def check_gap_form(model: Model) -> None:
    """Refuse models that are not of the form of the module equation, whatever their parameters.

    Raises
    ------
    StudyError
    """
    if len(model.state) != 2:
        raise _needs(f"{len(model.state)} variables, not two")
    need_derivatives(model, "drift", "coupling", "fields", "initial")
    found, (v, w) = structure_of(model), model.symbols
    if model.fields:
        raise _needs(f"neurons broadcast {model.fields[0].name} beside their state")
    if found.gapped != (True, False) or any(found.pulled):
        coupled = [name for name, there in zip((v, w), found.relaxing, strict=True) if there]
        raise _needs(f"couplings in {', '.join(coupled)}" if coupled else "no couplings")
    if found.rates_depend:
        raise _needs(f"their rate depends on {', '.join(found.rates_depend)}")
    for symbol, names, own in zip((v, w), found.bends, ((w,), (v, w)), strict=True):
        bent = [name for name in own if f"x.{name}" in names]
        if bent:
            raise _needs(f"the drift of {symbol} is not affine in {', '.join(bent)}")


def _needs(problem: str) -> StudyError:
    return StudyError(
        "model",
        f"needs gap junctions in one variable, the first of two: {problem}",
        "dv = f(v) + e w, dw = b v + q w + c beside gap junctions in v",
    )
