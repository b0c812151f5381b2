r"""The exactly solvable network: linear neurons coupled by strong gap junctions.

    dv = [ -k v - w + I + (1/eps) (V - v) ] dt + sigma dW
    dw = [ b v - a w + c ] dt + sigma_w dB

The FitzHugh-Nagumo network with a linear voltage drift: its law is Gaussian for every n, eps and
t and known in closed form (solver ``moments``), so every solver and statistic can be checked on it.
"""

from __future__ import annotations

from neurolim.core import Model, Param
from neurolim.models.parts import recovery


def drift(x, p):
    """Return (-k v - w + I, b v - a w + c)."""
    return p.current - p.leak * x.v - x.w, p.b * x.v - p.a * x.w + p.c


MODEL = Model(
    summary="Linear network with strong gap junctions: Gaussian, solvable in closed form.",
    source="docs/science.md, section on the linear network (Gaussian for all n, eps, t)",
    state=recovery.STATE,
    params=(Param("leak", 1.0, "1/time", "leak rate k"), *recovery.PARAMS),
    derive=recovery.numbers,
    drift=drift,
    coupling=recovery.COUPLING,
    noise=recovery.NOISE,
)
