r"""Kuramoto's phase oscillators with noise and random natural frequencies.

    dphi_i = [ omega_i + K mean_j sin(phi_j - phi_i) ] dt + sigma dW_i      on [0, 2 pi)

A natural frequency is a variable that does not move: drawn once per neuron, normal with standard
deviation ``width``, or Lorentzian with half width ``width`` (the quotient of two normals).  The
order parameter |mean exp(i phi)| and its critical coupling are known in closed form
(docs/science.md, section 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurolim.core import Field, Model, Noise, Param, State
from neurolim.math import cos, exp, pi, sin, where


def drift(x, m, p):
    """Return (omega + K mean sin(phi_j - phi), 0)."""
    pull = m.sine * cos(x.phi) - m.cosine * sin(x.phi)
    return x.omega + p.coupling * pull, 0.0


def initial(z, p):
    """Return phases spread over an arc and independent natural frequencies.

    The quotient of two normals depends on their angle alone, exp(-r^2/2) on their radius alone:
    a Lorentzian frequency comes with a phase uniform on the arc, a normal one with a normal phase.
    """
    radius = exp(-0.5 * (z.phi * z.phi + z.omega * z.omega))
    safe = where(z.phi * z.phi > 0.0, z.phi, 1.0)
    phase = where(p.lorentzian > 0.0, 2.0 * pi * radius, z.phi)
    frequency = where(p.lorentzian > 0.0, z.omega / safe, z.omega)
    return p.spread * phase, p.width * frequency


def numbers(params: Mapping[str, Any]) -> dict[str, float]:
    """Return which law the frequencies have, as a number."""
    return {"lorentzian": float(params["frequencies"] == "lorentzian")}


MODEL = Model(
    summary="Noisy phase oscillators with random natural frequencies: synchronisation.",
    source="Sakaguchi 1988; docs/science.md, section 7",
    state=(
        State("phi", "phase", "rad", "phase", period=2.0 * pi),
        State("omega", "frequency", "rad/time", "natural frequency"),
    ),
    params=(
        Param("coupling", 2.0, "1/time", "strength of the coupling K", low=0.0),
        Param("sigma", 1.0, "1/sqrt(time)", "noise", positive=True),
        Param("width", 0.0, "1/time", "width of the frequencies' law", low=0.0),
        Param(
            "frequencies",
            "lorentzian",
            kind="choice",
            choices=("lorentzian", "normal"),
            doc="law of the natural frequencies: half width, or standard deviation, `width`",
        ),
        Param(
            "spread",
            0.1,
            doc="initial phases: share of the circle (lorentzian), or standard deviation (normal)",
            low=0.0,
        ),
    ),
    derive=numbers,
    drift=drift,
    noise=Noise("phi", "sigma"),
    fields=(Field("cosine", lambda x: cos(x.phi)), Field("sine", lambda x: sin(x.phi))),
    initial=initial,
    work=2.0,
)
