r"""Bistable units that pull on each other: the mean-field phase transition of Desai and Zwanzig.

    dx = [ x - x^3 + theta (m - x) ] dt + sigma dW

Below the critical noise the mean settles on one of two values, above it at zero; the stationary
law and the critical noise are known in closed form (docs/science.md, section 7).
"""

from __future__ import annotations

from neurolim.core import GapJunctions, Model, Noise, Param, State


def drift(x):
    """Return x - x^3."""
    return (x.x - x.x * x.x * x.x,)


MODEL = Model(
    summary="Bistable units with gap junctions: a phase transition in the noise.",
    source="Dawson 1983; docs/science.md, section 7",
    state=(State("x", "position", start="start", spread="spread"),),
    params=(
        Param("theta", 1.0, "1/time", "strength of the coupling", positive=True),
        Param("sigma", 1.0, "1/sqrt(time)", "noise", positive=True),
        Param("start", 1.0, doc="initial mean"),
        Param("spread", 0.1, doc="initial standard deviation", low=0.0),
    ),
    drift=drift,
    coupling=GapJunctions("x", "theta"),
    noise=Noise("x", "sigma"),
)
