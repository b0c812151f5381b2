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
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, Param, Sites, StudyError, Var
from neurolim.numerics.elementary import tanh


class Parameters(NamedTuple):
    """Numbers the kernels see, named as in the module equation."""

    leak: float
    v_leak: float
    v_excitatory: float
    rate: float
    base: float
    amplitude: float
    interaction: float
    joint: float
    steepness: float
    midpoint: float
    noise: float
    v_start: float
    g_start: float
    v_start_std: float
    g_start_std: float


def prepare(params: Mapping[str, Any]) -> Sites:
    """Return the single site of the network.

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
    site = Parameters(
        leak=params["leak"],
        v_leak=low,
        v_excitatory=high,
        rate=params["rate"],
        base=params["base"],
        amplitude=params["amplitude"],
        interaction=params["interaction"],
        joint=params["joint"],
        steepness=params["steepness"],
        midpoint=params["midpoint"],
        noise=params["noise"],
        v_start=params["voltage_start"],
        g_start=params["conductance_start"],
        v_start_std=params["voltage_spread"],
        g_start_std=params["conductance_spread"],
    )
    return Sites((0.0,), np.zeros((1, 1)), (site,))


def drift(x, m, c, p):
    """Return (g_L (V_L - v) + g (V_E - v), gamma (G - g))."""
    v, g = x
    activation = 0.5 * (1.0 + tanh(p.steepness * (v - p.midpoint)))
    target = p.base + p.amplitude * activation + (p.interaction + p.joint * activation) * m[2]
    return (p.leak * (p.v_leak - v) + g * (p.v_excitatory - v), p.rate * (target - g))


def relax(m, c, p):
    """Return no strong coupling."""
    return (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)


def noise(p):
    """Return (0, sqrt(2) a)."""
    return (0.0, 1.4142135623730951 * p.noise)


def field(x, p):
    """Return the activation s(v), whose mean enters G."""
    return (0.5 * (1.0 + tanh(p.steepness * (x[0] - p.midpoint))),)


def initial(z, p):
    """Return a Gaussian start, clipped to [V_L, V_E] and folded to g >= 0."""
    v = p.v_start + p.v_start_std * z[0]
    return (min(max(v, p.v_leak), p.v_excitatory), abs(p.g_start + p.g_start_std * z[1]))


MODEL = Model(
    summary="Stochastic Morris-Lecar neurons with a conductance reflected at zero.",
    source="Herda, Monmarche & Perthame 2024, eqs (2), (17)",
    state=(
        Var("voltage", "1", "membrane voltage v"),
        Var("conductance", "1/time", "conductance g", reflect=0.0),
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
    prepare=prepare,
    drift=drift,
    relax=relax,
    noise=noise,
    field=field,
    initial=initial,
    work=7.0,
)
