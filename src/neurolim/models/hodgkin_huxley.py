r"""Hodgkin-Huxley neurons with noisy channels on gap junctions.

    C dv = [ I - g_Na m^3 h (v - V_Na) - g_K n^4 (v - V_K) - g_L (v - V_L) + J_E (V - v) ] dt
    dx   = [ rho_x(v) (1 - x) - zeta_x(v) x ] dt
           + sigma sqrt(rho_x(v) (1 - x) + zeta_x(v) x) chi(x) dW_x,            x = m, h, n

V is the mean of v over the network, voltages count from rest, C = 1 uF/cm^2.  The cut-off
chi(x) = exp(-1/(8 x (1 - x))) vanishes at 0 and 1 with all its derivatives, so gates stay between;
the walls there only catch the overshoot of a step.

Source: Bossy, Fontbona & Olivero 2019, arXiv 1803.04379 (noise, gap junctions); Hodgkin & Huxley
1952 (rates, conductances); chi: Baladron et al. 2012, with their factor taken into sigma.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from neurolim.core import GapJunctions, Model, Noise, Param, State
from neurolim.math import exp, expm1, sqrt, where
from neurolim.models.parts.rest import resting_voltage


def linoid(u):
    """Return u/(e^u - 1), continued by 1 at u = 0."""
    small = u * u < 1e-20
    return where(small, 1.0, u / expm1(where(small, 1.0, u)))


def m_rates(v):
    """Return (rho, zeta): rates (1/ms) at which sodium channels are activated and closed."""
    return linoid(2.5 - 0.1 * v), 4.0 * exp(v / -18.0)


def h_rates(v):
    """Return (rho, zeta): rates (1/ms) at which the inactivation of sodium is lifted and set."""
    return 0.07 * exp(v / -20.0), 1.0 / (exp(3.0 - 0.1 * v) + 1.0)


def n_rates(v):
    """Return (rho, zeta): rates (1/ms) at which potassium channels open and close."""
    return 0.1 * linoid(1.0 - 0.1 * v), 0.125 * exp(v / -80.0)


def voltage(v, m, h, n, p):
    """Return dv/dt (mV/ms) of a neuron alone."""
    sodium = 120.0 * m * m * m * h * (v - 115.0)
    return p.current - sodium - 36.0 * n * n * n * n * (v + 12.0) - 0.3 * (v - 10.6)


def relaxation(rates, x):
    """Return rho (1 - x) - zeta x."""
    rho, zeta = rates
    return rho * (1.0 - x) - zeta * x


def drift(x, p):
    """Return the drift of v, m, h and n without coupling."""
    return (
        voltage(x.v, x.m, x.h, x.n, p),
        relaxation(m_rates(x.v), x.m),
        relaxation(h_rates(x.v), x.h),
        relaxation(n_rates(x.v), x.n),
    )


def fluctuation(rates, x, p):
    """Return sigma sqrt(rho (1 - x) + zeta x) chi(x)."""
    rho, zeta = rates
    # At a wall the exponent is -1e11 instead of minus infinity: zero all the same.
    return p.sigma * sqrt(rho * (1.0 - x) + zeta * x) * exp(-0.125 / (x * (1.0 - x) + 1e-12))


def steady(v):
    """Return the steady states of m, h and n at a voltage."""
    return tuple(rho / (rho + zeta) for rho, zeta in (m_rates(v), h_rates(v), n_rates(v)))


def derive(params: Mapping[str, Any]) -> dict[str, float]:
    """Return where the neurons start: the voltage, and the gates at their steady states there."""
    p, start = SimpleNamespace(**params), params["voltage_start"]

    def current(v: float) -> float:
        m, h, n = steady(v)
        return voltage(v, m, h, n, p)

    if start == "rest":
        start = resting_voltage(current, -200.0, 120.0)
    m, h, n = steady(start)
    return {"voltage_start": start, "m_start": m, "h_start": h, "n_start": n}


def folded(x):
    """Return x mirrored into [0, 1]."""
    x = where(x < 0.0, -x, x)
    return where(x > 1.0, 2.0 - x, x)


def initial(z, p):
    """Return a normal start, with the gates mirrored into [0, 1]."""
    return (
        p.voltage_start + p.voltage_spread * z.v,
        folded(p.m_start + p.gate_spread * z.m),
        folded(p.h_start + p.gate_spread * z.h),
        folded(p.n_start + p.gate_spread * z.n),
    )


def channel(symbol, long_name):
    """Return the state of a gate."""
    return State(symbol, symbol, "1", long_name, floor=0.0, ceiling=1.0)


MODEL = Model(
    summary="Hodgkin-Huxley neurons with noisy channels on gap junctions.",
    source="Bossy, Fontbona & Olivero 2019; Hodgkin & Huxley 1952",
    state=(
        State("v", "voltage", "mV", "membrane voltage v"),
        channel("m", "activation m of sodium"),
        channel("h", "inactivation h of sodium"),
        channel("n", "activation n of potassium"),
    ),
    params=(
        Param("gap", 1.0, "1/ms", "strength J_E of the gap junctions", low=0.0),
        Param("current", 10.0, "uA/cm^2", "input current I", low=-50.0, high=500.0),
        Param("sigma", 0.1, doc="noise of the channels", low=0.0),
        Param(
            "voltage_start", "rest", "mV", "initial mean voltage; rest: the lowest equilibrium",
            low=-50.0, high=150.0, choices=("rest",),
        ),
        Param("voltage_spread", 0.0, "mV", "initial standard deviation of v", low=0.0),
        Param("gate_spread", 0.0, doc="initial standard deviation of the gates", low=0.0, high=0.2),
    ),
    derive=derive,
    drift=drift,
    coupling=GapJunctions("v", "gap"),
    noise=(
        Noise("m", lambda x, p: fluctuation(m_rates(x.v), x.m, p)),
        Noise("h", lambda x, p: fluctuation(h_rates(x.v), x.h, p)),
        Noise("n", lambda x, p: fluctuation(n_rates(x.v), x.n, p)),
    ),
    initial=initial,
    work=40.0,
)  # fmt: skip
