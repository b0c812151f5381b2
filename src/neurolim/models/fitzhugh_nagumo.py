r"""FitzHugh-Nagumo neurons coupled by strong gap junctions.

    dv = [ f(v) - w - (Psi*rho0)(x) v + (Psi*rho0 V)(x) + (rho0(x)/eps) (V(x) - v) ] dt + sigma dW
    dw = [ b v - a w + c ] dt + sigma_w dB

f is a polynomial: ``cubic`` -v(v-lam)(v-1)+I (Quininao & Touboul 2020), ``canonical``
v - v^3 + I (Blaustein 2022; Blaustein & Bouin 2023), or any odd-degree polynomial with
negative leading coefficient.  With one site and no kernel this is the fully connected network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, Param, Sites, StudyError
from neurolim.models._recovery import (
    PARAMS,
    STATE,
    field,
    initial,
    kernel_parameters,
    noise,
    relax,
    spread,
)

MAX_DEGREE = 7


class Parameters(NamedTuple):
    """Numbers the kernels see: f0..f7 coefficients of f(v) - leak v, the rest as in the module."""

    f0: float
    f1: float
    f2: float
    f3: float
    f4: float
    f5: float
    f6: float
    f7: float
    a: float
    b: float
    c: float
    gap: float
    sigma: float
    sigma_w: float
    v_start: float
    w_start: float
    v_start_std: float
    w_start_std: float
    v_spread: float
    w_spread: float


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
    """Return the sites of the network; one site unless ``positions`` are given.

    Raises
    ------
    StudyError : polynomial not confining; density, kernel and positions of unequal length
    """
    f = _polynomial(params)
    positions = np.asarray(params["positions"], dtype=float)
    n_sites = positions.size
    density = np.asarray(params["density"], dtype=float)
    if density.size not in (1, n_sites):
        raise StudyError(
            "density", f"{density.size} values for {n_sites} positions", f"1 or {n_sites} values"
        )
    density = np.broadcast_to(density, n_sites)
    kernel = np.asarray(params["kernel"], dtype=float)
    if kernel.shape not in ((1, 1), (n_sites, n_sites)):
        raise StudyError(
            "kernel",
            f"shape {kernel.shape} for {n_sites} positions",
            f"{n_sites} rows of {n_sites}",
        )
    kernel = np.broadcast_to(kernel, (n_sites, n_sites))
    # Psi*(rho0 .) by the midpoint rule: each site stands for 1/n_sites of a unit-measure K.
    coupling = kernel * density[None, :] / n_sites
    # -(Psi*rho0)(x) v is part of the polynomial: one coefficient, one multiplication less.
    leaks = coupling.sum(axis=1)
    sites = tuple(
        Parameters(
            **{f"f{k}": float(f[k] - leak if k == 1 else f[k]) for k in range(MAX_DEGREE + 1)},
            **kernel_parameters(params, float(rho)),
        )
        for rho, leak in zip(density, leaks, strict=True)
    )
    return Sites(tuple(float(x) for x in positions), coupling, sites)


def drift(x, m, c, p):
    """Return (f(v) - leak v - w + (Psi*rho0 V), b v - a w + c)."""
    v, w = x
    f = p.f3
    if p.f7 != 0.0 or p.f5 != 0.0:
        f = (((p.f7 * v + p.f6) * v + p.f5) * v + p.f4) * v + p.f3
    f = ((f * v + p.f2) * v + p.f1) * v + (p.f0 + c[0])
    return (f - w, p.b * v + (p.c - p.a * w))


MODEL = Model(
    summary="FitzHugh-Nagumo network with strong gap junctions, on one site or in space.",
    source="Quininao & Touboul 2020, eqs (1.1), (6.6); Blaustein & Bouin 2023, eq. (1.1)",
    state=STATE,
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
        *PARAMS,
        Param("positions", (0.0,), doc="positions of the sites in K", kind="vector"),
        Param(
            "density",
            (1.0,),
            doc="neuron density rho0 at each position",
            kind="vector",
            positive=True,
        ),
        Param(
            "kernel",
            ((0.0,),),
            doc="long-range kernel Psi(x, x'), one row per position",
            kind="matrix",
        ),
    ),
    prepare=prepare,
    drift=drift,
    relax=relax,
    noise=noise,
    field=field,
    initial=initial,
    spread=spread,
)
