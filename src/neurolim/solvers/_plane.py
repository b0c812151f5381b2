"""What solvers of planar networks read from a model: drift, recovery, coupling, noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.polynomial import polynomial as poly

from neurolim.core import Model, StudyError
from neurolim.numerics.closure import Network
from neurolim.numerics.planar import Plane, real_roots

_DEGREES = tuple(f"f{k}" for k in range(8))


def plane_of(model: Model, params: Mapping[str, Any]) -> tuple[Plane, float, Network, Any]:
    """Return the planar system without its current, the current, the strengths, the kernel's data.

    Parameters
    ----------
    model, params : one site, a polynomial drift of the voltage, one recovery variable

    Raises
    ------
    StudyError : any other model, or more than one site
    """
    sites = model.sites(params)
    p = sites.params[0]
    if not set(_DEGREES) | {"a", "b", "c", "gap", "sigma", "sigma_w"} <= set(p._fields):
        raise StudyError(
            "model", "needs a polynomial drift and one recovery variable", "fitzhugh_nagumo"
        )
    if len(sites.labels) != 1:
        raise StudyError("positions", f"one site needed, got {len(sites.labels)}", "one position")
    f = [getattr(p, name) for name in _DEGREES]
    f[0] -= params["current"]
    while f[-1] == 0.0:
        f.pop()
    plane = Plane(tuple(f), p.a, p.b, p.c)
    return plane, params["current"], Network(p.gap, p.sigma, p.sigma_w), p


def steepest(plane: Plane) -> float:
    """Return the largest slope of f: a coupling below it does not hold neurons together."""
    slopes = poly.polyder(plane.f)
    return max(float(poly.polyval(v, slopes)) for v in (0.0, *real_roots(poly.polyder(slopes))))
