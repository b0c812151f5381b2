r"""FitzHugh-Nagumo neurons coupled by strong gap junctions.

    dv = [ f(v) - w - (Psi*rho0)(x) v + (Psi*rho0 V)(x) + (rho0(x)/eps) (V(x) - v) ] dt + sigma dW
    dw = [ b v - a w + c ] dt + sigma_w dB

f is a polynomial: ``cubic`` -v(v-lam)(v-1)+I (Quininao & Touboul 2020), ``canonical``
v - v^3 + I (Blaustein 2022; Blaustein & Bouin 2023), or any odd-degree polynomial with
negative leading coefficient.  With one site and no kernel this is the fully connected network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Model, Param, Sites, StudyError
from neurolim.models.parts import recovery
from neurolim.models.parts.space import SPACE_PARAMS, space

MAX_DEGREE = 7


def _polynomial(params: Mapping[str, Any]) -> np.ndarray:
    """Return f's coefficients, lowest degree first [MAX_DEGREE + 1]."""
    lam, current = params["lam"], params["current"]
    if params["drift"] == "cubic":
        low = [current, -lam, 1.0 + lam, -1.0]
    elif params["drift"] == "canonical":
        low = [current, 1.0, 0.0, -1.0]
    else:
        low = list(params["coefficients"])
        degree = len(low) - 1
        if degree > MAX_DEGREE or degree % 2 == 0 or low[-1] >= 0:
            raise StudyError(
                "coefficients",
                f"degree {degree}, leading coefficient {low[-1]:g}",
                f"odd degree up to {MAX_DEGREE} with a negative leading coefficient, "
                "lowest degree first",
            )
        low[0] += current
    return np.array(low + [0.0] * (MAX_DEGREE + 1 - len(low)))


def prepare(params: Mapping[str, Any]) -> Sites:
    """Return the sites of the network; one site unless ``positions`` or ``sites`` are given.

    Raises
    ------
    StudyError : density, kernel and sites of unequal length; a kernel that is not integrable
    """
    here = space(params)
    # Psi*(rho0 .) by the midpoint rule: each site stands for 1/n_sites of a unit-measure K.
    coupling = here.kernel * here.density[None, :] / len(here.labels)
    sites = tuple(
        {
            "density": float(density),
            "exchange": float(exchange),
            "voltage_start": params["voltage_start"] + float(added),
        }
        for density, exchange, added in zip(
            here.density, coupling.sum(axis=1), here.start, strict=True
        )
    )
    return Sites(here.labels, coupling, sites)


def derive(params: Mapping[str, Any]) -> dict[str, float]:
    """Return f0 .. f7, the coefficients of f(v) - (Psi*rho0) v, and what is read beside them.

    Raises
    ------
    StudyError : polynomial not confining
    """
    f = _polynomial(params)
    # -(Psi*rho0)(x) v is part of the polynomial: one coefficient, one multiplication less.
    f[1] -= params["exchange"]
    coefficients = {f"f{k}": float(f[k]) for k in range(MAX_DEGREE + 1)}
    return coefficients | recovery.numbers(params, params["density"])


def drift(x, c, p):
    """Return (f(v) - (Psi*rho0) v - w + (Psi*rho0 V), b v - a w + c)."""
    v = x.v
    f = p.f3
    # A cubic, the usual case, skips four multiplications.
    if p.f7 != 0.0 or p.f5 != 0.0:
        f = (((p.f7 * v + p.f6) * v + p.f5) * v + p.f4) * v + p.f3
    f = ((f * v + p.f2) * v + p.f1) * v + (p.f0 + c.v)
    return f - x.w, p.b * v + (p.c - p.a * x.w)


MODEL = Model(
    summary="FitzHugh-Nagumo network with strong gap junctions, on one site or in space.",
    source="Quininao & Touboul 2020, eqs (1.1), (6.6); Blaustein & Bouin 2023, eq. (1.1)",
    state=recovery.STATE,
    params=(
        Param(
            "drift",
            "cubic",
            doc="voltage drift f",
            kind="choice",
            choices=("cubic", "canonical", "polynomial"),
        ),
        Param("lam", 4.0, doc="upper zero of the cubic drift"),
        Param(
            "coefficients",
            (0.0, 1.0, 0.0, -1.0),
            doc="f for drift: polynomial, lowest degree first",
            kind="vector",
        ),
        *recovery.PARAMS,
        *SPACE_PARAMS,
    ),
    prepare=prepare,
    derive=derive,
    drift=drift,
    coupling=recovery.COUPLING,
    noise=recovery.NOISE,
)
