r"""Morris-Lecar neurons of class I or II, as they were built for the voltage, on gap junctions.

    dv = [ (I - g_L (v - V_L) - g_K w (v - V_K) - g_Ca m(v) (v - V_Ca))/C + (V - v)/eps ] dt
         + sigma dW,                                                        V = mean of v
    dw = [ phi cosh((v - V_3)/(2 V_4)) (n(v) - w) ] dt
    m(v) = (1 + tanh((v - V_1)/V_2))/2,        n(v) = (1 + tanh((v - V_3)/V_4))/2

C = 20 uF/cm^2, V_K = -84, V_L = -60, V_Ca = 120, V_1 = -1.2, V_2 = 18 mV, g_K = 8, g_L = 2 mS/cm^2.
With growing I a neuron of class I starts to spike at a saddle-node on its cycle, at I = 39.96, with
frequencies that rise from zero; one of class II at a subcritical Hopf point, 93.86, with a jump.

Source: Rinzel & Ermentrout 1998, ch. 7 of Methods in Neuronal Modeling, appendix A.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from neurolim.core import GapJunctions, Model, Noise, Param, State
from neurolim.math import exp, tanh
from neurolim.models.parts.rest import resting_voltage

#: What the classes differ in: V_3, V_4 (mV), phi (1/ms), g_Ca (mS/cm^2).
_CLASSES = {"class_1": (12.0, 17.4, 1.0 / 15.0, 4.0), "class_2": (2.0, 30.0, 0.04, 4.4)}


def gate(v, p):
    """Return n(v), the steady state of w."""
    return 0.5 * (1.0 + tanh((v - p.V3) / p.V4))


def voltage(v, w, p):
    """Return dv/dt of a neuron alone."""
    calcium = p.g_Ca * 0.5 * (1.0 + tanh((v + 1.2) / 18.0)) * (v - 120.0)
    return (p.current - 2.0 * (v + 60.0) - 8.0 * w * (v + 84.0) - calcium) / 20.0


def drift(x, p):
    """Return the drift of v and w without coupling."""
    growth = exp((x.v - p.V3) / (2.0 * p.V4))
    rate = 0.5 * p.phi * (growth + 1.0 / growth)
    return voltage(x.v, x.w, p), rate * (gate(x.v, p) - x.w)


def derive(params: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of the class, 1/eps, the start and sigma sqrt(eps/2) of the limit law."""
    found = dict(zip(("V3", "V4", "phi", "g_Ca"), _CLASSES[params["excitability"]], strict=True))
    p, start = SimpleNamespace(**params, **found), params["voltage_start"]
    if start == "rest":
        start = resting_voltage(lambda v: voltage(v, gate(v, p), p), -200.0, 120.0)
    return found | {
        "gap": 1.0 / params["eps"],
        "spread": params["sigma"] * (params["eps"] / 2.0) ** 0.5,
        "voltage_start": start,
        "recovery_start": gate(start, p),
    }


MODEL = Model(
    summary="Morris-Lecar neurons of class I or II (barnacle muscle) on gap junctions.",
    source="Rinzel & Ermentrout 1998, ch. 7, appendix A; Morris & Lecar 1981",
    state=(
        State(
            "v", "voltage", "mV", "membrane voltage v", "voltage_start", "voltage_spread",
            profile="spread",
        ),
        State("w", "recovery", "1", "share w of open potassium channels", "recovery_start"),
    ),
    params=(
        Param(
            "excitability", "class_2", doc="class of the neuron", kind="choice",
            choices=tuple(_CLASSES),
        ),
        Param("current", 90.0, "uA/cm^2", "input current I", low=-200.0, high=500.0),
        Param("eps", 0.1, "ms", "inverse coupling strength", positive=True),
        Param("sigma", 1.0, "mV/sqrt(ms)", "voltage noise", low=0.0),
        Param(
            "voltage_start", "rest", "mV", "initial mean voltage; rest: the lowest equilibrium",
            low=-200.0, high=200.0, choices=("rest",),
        ),
        Param("voltage_spread", 0.0, "mV", "initial standard deviation of v", low=0.0),
    ),
    derive=derive,
    drift=drift,
    coupling=GapJunctions("v", "gap"),
    noise=Noise("v", "sigma"),
    work=6.0,
)  # fmt: skip
