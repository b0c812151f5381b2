r"""The exactly solvable network: linear neurons coupled by strong gap junctions.

    dv = [ -k v - w + I + (1/eps) (V - v) ] dt + sigma dW
    dw = [ b v - a w + c ] dt + sigma_w dB

The FitzHugh-Nagumo network with a linear voltage drift: its law is Gaussian for every n, eps and
t and known in closed form (solver ``moments``), so every solver and statistic can be checked on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, Param, Sites
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


class Parameters(NamedTuple):
    """Numbers the kernels see, named as in the module equation."""

    k: float
    current: float
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


def prepare(params: Mapping[str, Any]) -> Sites:
    """Return the single site of the network."""
    site = Parameters(k=params["leak"], current=params["current"], **kernel_parameters(params))
    return Sites((0.0,), np.zeros((1, 1)), (site,))


def drift(x, m, c, p):
    """Return (-k v - w + I, b v - a w + c)."""
    v, w = x
    return (p.current - p.k * v - w, p.b * v - p.a * w + p.c)


MODEL = Model(
    summary="Linear network with strong gap junctions: Gaussian, solvable in closed form.",
    source="docs/science.md, section on the linear network (Gaussian for all n, eps, t)",
    state=STATE,
    params=(Param("leak", 1.0, "1/time", "leak rate k"), *PARAMS),
    prepare=prepare,
    drift=drift,
    relax=relax,
    noise=noise,
    field=field,
    initial=initial,
    spread=spread,
    linear=True,
)
