r"""Stochastic Morris-Lecar neurons: voltage and a noisy conductance reflected at zero.

    dv = [ g_L (V_L - v) + g (V_E - v) ] dt
    dg = gamma ( G - g ) dt + sqrt(2) a dB + dL,       g >= 0 (L: local time at 0)

    G_i = H0(v_i) + mean_j H1(v_i, v_j),
    H0(v) = G0 + Gm s(v),   H1(v, v') = [Gn + Gx s(v)] s(v'),   s(v) = (1 + tanh(beta (v - v_m)))/2

Gm < 0 makes G decreasing, Gm = 0 constant; Gn and Gx couple the neurons through their mean field
(both 0: independent copies).  mean_j is over all neurons of the site, j = i included, unless the
solver leaves out the own (``pairs``, ``mean_over``); the two differ by O(1/n).  v is linear given g
and stays in [V_L, V_E].

Source: Herda, Monmarche & Perthame 2024, eqs (2), (17); the noise is sqrt(2) a dB, so a^2 stands
before d_gg in eq. (1) (docs/science.md, slips).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurolim.core import Field, Model, Noise, Param, State, StudyError
from neurolim.math import tanh, where


def derive(params: Mapping[str, Any]) -> dict[str, float]:
    """Return the standard deviation sqrt(2) a of the noise per root time.

    Raises
    ------
    StudyError : reversal potentials in the wrong order, start outside them, negative G
    """
    low, high = params["leak_voltage"], params["excitatory_voltage"]
    if low >= high:
        raise StudyError(
            "leak_voltage",
            f"{low:g} is not below excitatory_voltage {high:g}",
            "leak_voltage < excitatory_voltage",
        )
    if not low <= params["voltage_start"] <= high:
        raise StudyError(
            "voltage_start",
            f"{params['voltage_start']:g} is outside [{low:g}, {high:g}]",
            "a value between the reversal potentials",
        )
    # G is affine in each activation, own and mean: it is lowest where both are 0 or 1.
    own, others, joint = params["amplitude"], params["interaction"], params["joint"]
    lowest = params["base"] + min(0.0, own, others, own + others + joint)
    if lowest <= 0.0:
        raise StudyError("base", f"G can fall to {lowest:g}", "G > 0 for every voltage")
    return {"sigma": 1.4142135623730951 * params["noise"]}


def activation(x, p):
    """Return s(v), whose mean enters G."""
    return 0.5 * (1.0 + tanh(p.steepness * (x.v - p.midpoint)))


def drift(x, m, p):
    """Return (g_L (V_L - v) + g (V_E - v), gamma (G - g))."""
    s = activation(x, p)
    target = p.base + p.amplitude * s + (p.interaction + p.joint * s) * m.activation
    return (
        p.leak * (p.leak_voltage - x.v) + x.g * (p.excitatory_voltage - x.v),
        p.rate * (target - x.g),
    )


def initial(z, p):
    """Return a Gaussian start, clipped to [V_L, V_E] and folded to g >= 0."""
    v = p.voltage_start + p.voltage_spread * z.v
    g = p.conductance_start + p.conductance_spread * z.g
    v = where(v < p.leak_voltage, p.leak_voltage, v)
    v = where(v > p.excitatory_voltage, p.excitatory_voltage, v)
    return v, where(g < 0.0, -g, g)


MODEL = Model(
    summary="Stochastic Morris-Lecar neurons with a conductance reflected at zero.",
    source="Herda, Monmarche & Perthame 2024, eqs (2), (17)",
    state=(
        State(
            "v",
            "voltage",
            long_name="membrane voltage v",
            range=("leak_voltage", "excitatory_voltage"),
        ),
        State("g", "conductance", "1/time", "conductance g", floor=0.0),
    ),
    params=(
        Param("leak", 1.0, "1/time", "leak conductance g_L", positive=True),
        Param("leak_voltage", 1.0, doc="leak reversal potential V_L"),
        Param("excitatory_voltage", 2.0, doc="excitatory reversal potential V_E"),
        Param("rate", 1.0, "1/time", "rate gamma of the conductance", positive=True),
        Param("base", 0.2, "1/time", "conductance G0 at rest", positive=True),
        Param("amplitude", 1.0, "1/time", "amplitude Gm of the own activation"),
        Param("interaction", 0.0, "1/time", "amplitude Gn of the network's mean activation"),
        Param("joint", 0.0, "1/time", "amplitude Gx of own times network's mean activation"),
        Param("steepness", 1.0, doc="steepness beta of the activation"),
        Param("midpoint", 1.5, doc="voltage v_m of half activation"),
        Param("noise", 0.2, "1/time^1.5", "noise amplitude a", low=0.0),
        Param("voltage_start", 1.5, doc="initial mean voltage, inside [V_L, V_E]"),
        Param("conductance_start", 0.7, "1/time", "initial mean conductance", low=0.0),
        Param("voltage_spread", 0.0, doc="initial standard deviation of v", low=0.0),
        Param("conductance_spread", 0.0, "1/time", "initial standard deviation of g", low=0.0),
    ),
    derive=derive,
    drift=drift,
    noise=Noise("g", "sigma"),
    fields=(Field("activation", activation),),
    initial=initial,
    work=7.0,
)
