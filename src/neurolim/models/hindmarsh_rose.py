r"""Hindmarsh-Rose neurons on strong gap junctions: bursts of spikes from three variables.

    dx = [ y - x^3 + 3 x^2 + I - z + (1/eps) (X - x) ] dt + sigma dW,        X = mean of x
    dy = [ 1 - 5 x^2 - y ] dt
    dz = r [ 4 (x + 1.6) - z ] dt

The drift is jointly affine in y and z; x - X settles on N(0, sigma^2 eps/2).

Source: Hindmarsh & Rose 1984, eqs (2)-(4); gap junctions as in Quininao & Touboul 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurolim.core import GapJunctions, Model, Noise, Param, State


def derive(params: Mapping[str, Any]) -> dict[str, float]:
    """Return gap = 1/eps and the spread sigma sqrt(eps/2) of the limit law."""
    return {"gap": 1.0 / params["eps"], "spread": params["sigma"] * (params["eps"] / 2.0) ** 0.5}


def drift(x, p):
    """Return the drift of x, y and z without coupling."""
    return (
        x.y - x.x * x.x * x.x + 3.0 * x.x * x.x + p.current - x.z,
        1.0 - 5.0 * x.x * x.x - x.y,
        p.r * (4.0 * (x.x + 1.6) - x.z),
    )


MODEL = Model(
    summary="Hindmarsh-Rose neurons, which burst, on strong gap junctions.",
    source="Hindmarsh & Rose 1984, eqs (2)-(4)",
    state=(
        State(
            "x", "voltage", "1", "membrane voltage x", "voltage_start", "spread", profile="spread"
        ),
        State("y", "recovery", "1", "recovery variable y", "recovery_start"),
        State("z", "adaptation", "1", "adaptation current z", "adaptation_start"),
    ),
    params=(
        Param("eps", 0.01, "time", "inverse coupling strength", positive=True),
        Param("r", 0.006, "1/time", "rate of the adaptation", positive=True),
        Param("current", 3.2, "1/time", "input current I"),
        Param("sigma", 0.5, "1/sqrt(time)", "voltage noise", low=0.0),
        Param("voltage_start", -1.0, doc="initial mean voltage"),
        Param("recovery_start", 0.0, doc="initial recovery"),
        Param("adaptation_start", 2.0, doc="initial adaptation"),
    ),
    derive=derive,
    drift=drift,
    coupling=GapJunctions("x", "gap"),
    noise=Noise("x", "sigma"),
)
