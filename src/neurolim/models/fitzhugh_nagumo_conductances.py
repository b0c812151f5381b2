r"""FitzHugh-Nagumo neurons on chemical synapses whose maximal conductances are noisy.

    dv = [ k v - q v^3 - w + I + J Y (V_rev - v) ] dt + sigma dW + sigma_J Y (V_rev - v) dB
    dw = a (v + b - c w) dt
    dy = [ r(v) (1 - y) - a_d y ] dt + sqrt(r(v) (1 - y) + a_d y) chi(y) dW',      Y = mean of y,
    r(v) = a_r S(v),
    S(v) = T_max/(1 + exp(-slope (v - V_T))),      chi(y) = gate exp(-cutoff/(4 y (1 - y)))

A neuron's maximal conductance is J + sigma_J dB/dt, white noise of its own; y is the share of
open channels that it sends.  With q = slope = gate = 0 the mean of y follows an equation of its
own and the others are linear: their mean and covariance are known (docs/science.md, section 7).
"""

from __future__ import annotations

from neurolim.core import Model, Noise, Param, State, Synapses
from neurolim.math import exp, sigmoid, sqrt, where


def opening_rate(x, p):
    """Return the rate a_r S(v) at which closed channels open."""
    return p.opening * p.transmitter * sigmoid(p.slope * (x.v - p.threshold))


def drift(x, p):
    """Return the drift without synaptic currents."""
    return (
        (p.growth - p.cubic * x.v * x.v) * x.v - x.w + p.current,
        p.a * (x.v + p.b - p.c * x.w),
        opening_rate(x, p) * (1.0 - x.y) - p.closing * x.y,
    )


def gate_noise(x, p):
    """Return the amplitude of the channel noise, zero where all channels are open or closed."""
    room = x.y * (1.0 - x.y)
    inside = where(room > 0.0, room, 1.0)
    cut = where(room > 0.0, p.gate * exp(-0.25 * p.cutoff / inside), 0.0)
    return cut * sqrt(opening_rate(x, p) * (1.0 - x.y) + p.closing * x.y)


MODEL = Model(
    summary="FitzHugh-Nagumo neurons, chemical synapses with white noise on the conductances.",
    source="after Baladron, Fasoli, Faugeras & Touboul 2012 (docs/science.md, section 7)",
    state=(
        State("v", "voltage", start="voltage_start", spread="voltage_spread"),
        State("w", "recovery", start="recovery_start", spread="recovery_spread"),
        State(
            "y", "synapse", start="synapse_start", spread="synapse_spread", floor=0.0, ceiling=1.0
        ),
    ),
    params=(
        Param("growth", 1.0, "1/time", "linear part k of the voltage drift"),
        Param("cubic", 1.0 / 3.0, "1/time", "cubic part q of the voltage drift", low=0.0),
        Param("current", 0.4, "1/time", "input current I"),
        Param("a", 0.08, "1/time", "rate of the recovery", positive=True),
        Param("b", 0.7, doc="shift of the recovery"),
        Param("c", 0.8, doc="decay of the recovery over its rate", low=0.0),
        Param("sigma", 0.2, "1/sqrt(time)", "noise of the voltage", low=0.0),
        Param("conductance", 1.0, "1/time", "mean J of the maximal conductance", low=0.0),
        Param("conductance_noise", 0.2, "1/sqrt(time)", "its noise sigma_J", low=0.0),
        Param("reversal", 1.0, doc="reversal potential V_rev of the synapses"),
        Param("opening", 1.0, "1/time", "rate a_r at which channels open", low=0.0),
        Param("closing", 1.0, "1/time", "rate a_d at which channels close", positive=True),
        Param("transmitter", 1.0, doc="concentration T_max of the transmitter", low=0.0),
        Param("slope", 0.2, doc="steepness of the transmitter's release", low=0.0),
        Param("threshold", 2.0, doc="voltage V_T of half the release"),
        Param("gate", 0.1, doc="size of the channel noise", low=0.0),
        Param("cutoff", 0.5, doc="how soon the channel noise ends near 0 and 1", low=0.0),
        Param("voltage_start", 0.0, doc="initial mean voltage"),
        Param("voltage_spread", 0.4, doc="initial standard deviation of v", low=0.0),
        Param("recovery_start", 0.5, doc="initial mean recovery"),
        Param("recovery_spread", 0.4, doc="initial standard deviation of w", low=0.0),
        Param("synapse_start", 0.3, doc="initial share of open channels", low=0.0, high=1.0),
        Param("synapse_spread", 0.05, doc="its initial standard deviation", low=0.0, high=0.1),
    ),
    drift=drift,
    coupling=Synapses(
        "v",
        conductance=lambda m, p: p.conductance * m.y,
        current=lambda m, p: p.conductance * m.y * p.reversal,
    ),
    noise=(
        Noise("v", "sigma"),
        Noise("v", lambda x, m, p: p.conductance_noise * m.y * (p.reversal - x.v)),
        Noise("y", gate_noise),
    ),
    work=2.5,
)
