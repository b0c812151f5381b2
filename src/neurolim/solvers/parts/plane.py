r"""What solvers of planar networks derive from a model: drift, recovery, coupling, noise.

    dv = [ f(v) + I - w + gap (V - v) ] dt + sigma dW,       dw = [ b v - a w + c ] dt + sigma_w dB

on one site, v the first variable, f a polynomial with f(0) = 0: the current I is the constant part
of the drift.  Where the second variable y of a model enters as -k y, w is k y.  A term kappa V of
the drift, through the mean of the site or its coupling to itself, is kappa v + kappa (V - v): part
of f and part of the gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import polynomial as poly

from neurolim.bifurcation.closure import Network
from neurolim.bifurcation.plane import Plane, real_roots
from neurolim.core import Model, Need, StudyError
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.needs import (
    LINEAR_GAIN,
    LINEAR_REST,
    NO_FIELDS,
    NO_WALLS,
    ONE_GAP,
    derivatives,
    one_site,
    variables,
)

#: Degree up to which the solvers have formulas.
_MAX_DEGREE = 7


def _second(model: Model) -> str:
    first, *others = structure_of(model).gapped
    return "" if first or not any(others) else f"{model.symbols[0]} has none"


def _no_polynomial(model: Model) -> str:
    structure, v = structure_of(model), model.symbols[0]
    bent = {name for names in structure.bends for name in names if name[0] in "mc"}
    if structure.powers[0] is None:
        return f"that of {v} is none"
    return f"{min(bent)} bends it" if bent else ""


#: What ``plane_of`` needs of a model.
PLANE = (
    derivatives("drift", "coupling", "fields"),
    variables(2, 2),
    ONE_GAP,
    NO_FIELDS,
    LINEAR_REST,
    LINEAR_GAIN,
    NO_WALLS,
    Need("gap junctions in the first variable", _second, "the coupled variable first"),
    Need("a polynomial drift of a planar network", _no_polynomial, "dv = f(v) - w"),
)


class Planar(NamedTuple):
    """A planar network.

    Parameters
    ----------
    plane : the system without its current
    current : I
    network : strengths of coupling and noise
    p : the numbers of the site
    scale : w over the second variable of the model
    """

    plane: Plane
    current: float
    network: Network
    p: Any
    scale: float

    @property
    def units(self) -> np.ndarray:
        """Return the model's variables over those of the plane [2]."""
        return np.array([1.0, 1.0 / self.scale])


def plane_of(model: Model, params: Mapping[str, Any]) -> Planar:
    """Return the planar system of a network.

    Parameters
    ----------
    model, params : one site, of a model that has what PLANE names

    Raises
    ------
    StudyError : coefficients of another form, or more than one site
    """
    (v, w), count = model.symbols, structure_of(model).powers[0]
    sites = one_site(model.sites(params))
    (p,), weight, zero = sites.params, float(sites.coupling[0, 0]), (0.0, 0.0)
    at, slopes = (zero, zero, zero, p), derivatives_of(model)
    own = slopes.drift_x(*at)
    felt = [
        direct + weight * carried
        for direct, carried in zip(slopes.drift_m(*at), slopes.drift_c(*at), strict=True)
    ]
    if own[1] == 0.0:
        raise _needs(f"{w} does not enter that of {v}")
    if any(felt[1:]):
        raise _needs(f"the mean of {v} enters that of {w}, or the mean of {w} any")
    if own[3] > 0.0:
        raise _needs(f"{w} grows by itself", f"a slope of at most 0 in {w}")
    if own[3] == 0.0 and own[2] == 0.0:
        raise _needs(f"{w} neither decays nor follows {v}", f"{v} or {w} in the drift of {w}")
    f = [float(value) for value in slopes.drift_coefficients(*at)[: (count or 0) + 1]]
    f += [0.0] * (2 - len(f))
    f[1] += felt[0]
    current, f[0] = f[0], 0.0
    while len(f) > 1 and f[-1] == 0.0:
        f.pop()
    degree = len(f) - 1
    if degree > _MAX_DEGREE or degree % 2 == 0 or f[-1] > 0.0:
        problem = f"degree {degree}, leading coefficient {f[-1]:g}"
        raise _needs(problem, f"odd degree up to {_MAX_DEGREE}, negative leading coefficient")
    scale = -float(own[1])
    drive = float(model.equations.drift(*at)[1])
    plane = Plane(tuple(f), -own[3], scale * own[2], scale * drive)
    sigma, sigma_w = model.equations.noise(p)
    gap = model.equations.relax(zero, zero, p)[2][0]
    return Planar(plane, current, Network(gap + felt[0], sigma, abs(scale) * sigma_w), p, scale)


def _needs(problem: str, allowed: str = "dv = f(v) - w, dw = b v - a w + c") -> StudyError:
    return StudyError("model", f"needs a polynomial drift of a planar network: {problem}", allowed)


def steepest(plane: Plane) -> float:
    """Return the largest slope of f: a coupling below it does not hold neurons together."""
    slopes = poly.polyder(plane.f)
    return max(float(poly.polyval(v, slopes)) for v in (0.0, *real_roots(poly.polyder(slopes))))
