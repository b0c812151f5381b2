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

from neurolim.core import Model, Param, Sites, Var


class Parameters(NamedTuple):
    """Numbers the kernels see, named as in the module equation."""

    k: float
    a: float
    b: float
    c: float
    current: float
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
    eps, a, sigma = params["eps"], params["a"], params["sigma"]
    sigma_w = params["recovery_noise"]
    if params["recovery_noise_scale"] == "root_eps":
        sigma_w *= np.sqrt(eps)
    v_spread, w_spread = sigma * np.sqrt(eps / 2.0), sigma_w / np.sqrt(2.0 * a)
    scaled = params["initial"] == "prepared"
    site = Parameters(
        k=params["leak"],
        a=a,
        b=params["b"],
        c=params["c"],
        current=params["current"],
        gap=1.0 / eps,
        sigma=sigma,
        sigma_w=float(sigma_w),
        v_start=params["voltage_start"],
        w_start=params["recovery_start"],
        v_start_std=float(params["voltage_spread"] * (v_spread if scaled else 1.0)),
        w_start_std=float(params["recovery_spread"] * (w_spread if scaled else 1.0)),
        v_spread=float(v_spread),
        w_spread=float(w_spread),
    )
    return Sites((0.0,), np.zeros((1, 1)), (site,))


def drift(x, m, c, p):
    """Return (-k v - w + I, b v - a w + c)."""
    v, w = x
    return (p.current - p.k * v - w, p.b * v - p.a * w + p.c)


def relax(m, c, p):
    """Return the gap junctions: v is drawn to the mean voltage at rate 1/eps."""
    return (0.0, 0.0), (0.0, 0.0), (p.gap, 0.0)


def noise(p):
    """Return (sigma, sigma_w)."""
    return (p.sigma, p.sigma_w)


def field(x, p):
    """Return nothing: neurons broadcast only their state."""
    return ()


def initial(z, p):
    """Return a Gaussian start about (voltage_start, recovery_start)."""
    return (p.v_start + p.v_start_std * z[0], p.w_start + p.w_start_std * z[1])


def spread(p):
    """Return the limit law: sd(v) = sigma sqrt(eps/2), sd(w) = sigma_w / sqrt(2 a)."""
    return (p.v_spread, p.w_spread)


MODEL = Model(
    summary="Linear network with strong gap junctions: Gaussian, solvable in closed form.",
    source="docs/science.md, section on the linear network (Gaussian for all n, eps, t)",
    state=(
        Var("voltage", "1", "membrane voltage v"),
        Var("recovery", "1", "recovery variable w"),
    ),
    params=(
        Param("eps", 0.01, "time", "inverse coupling strength", positive=True),
        Param("leak", 1.0, "1/time", "leak rate k"),
        Param("current", 0.0, "1/time", "input current I"),
        Param("a", 0.3, "1/time", "decay of the recovery variable", positive=True),
        Param("b", 0.1, "1/time", "gain of the recovery variable"),
        Param("c", 0.0, "1/time", "constant drive of the recovery variable"),
        Param("sigma", 2.0**0.5, "1/sqrt(time)", "voltage noise", positive=True),
        Param("recovery_noise", 0.0, "1/sqrt(time)", "recovery noise sigma_w", low=0.0),
        Param(
            "recovery_noise_scale",
            "fixed",
            kind="choice",
            choices=("fixed", "root_eps"),
            doc="root_eps multiplies recovery_noise by sqrt(eps)",
        ),
        Param("voltage_start", 1.0, doc="initial mean voltage"),
        Param("recovery_start", 0.0, doc="initial mean recovery"),
        Param(
            "initial",
            "prepared",
            kind="choice",
            choices=("prepared", "absolute"),
            doc="unit of the initial spreads: the limit law's, or absolute",
        ),
        Param("voltage_spread", 1.0, doc="initial standard deviation of v", low=0.0),
        Param("recovery_spread", 1.0, doc="initial standard deviation of w", low=0.0),
    ),
    prepare=prepare,
    drift=drift,
    relax=relax,
    noise=noise,
    field=field,
    initial=initial,
    spread=spread,
    linear=True,
)
