"""What networks with a voltage, a recovery variable and gap junctions have in common.

    dv = [ f(v, w) + (rho0/eps) (V - v) ] dt + sigma dW,     dw = [ b v - a w + c ] dt + sigma_w dB

The two models that share it differ in the drift of the voltage only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Param, Var

STATE = (
    Var("voltage", "1", "membrane voltage v"),
    Var("recovery", "1", "recovery variable w"),
)

PARAMS = (
    Param("eps", 0.01, "time", "inverse coupling strength", positive=True),
    Param("current", 0.0, "1/time", "input current I, added to the voltage drift"),
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
    Param("voltage_start", 0.0, doc="initial mean voltage"),
    Param("recovery_start", 0.0, doc="initial mean recovery"),
    Param(
        "initial",
        "prepared",
        kind="choice",
        choices=("prepared", "prepared_voltage", "absolute"),
        doc="unit of the initial spreads: the limit law's, the limit law's for v only, or absolute",
    ),
    Param("voltage_spread", 1.0, doc="initial standard deviation of v", low=0.0),
    Param("recovery_spread", 1.0, doc="initial standard deviation of w", low=0.0),
)


def kernel_parameters(params: Mapping[str, Any], density: float = 1.0) -> dict[str, float]:
    """Return the numbers the kernels below read, by name.

    Parameters
    ----------
    params : model parameters
    density : neuron density rho0 of the site

    Returns
    -------
    a, b, c, gap = rho0/eps, sigma, sigma_w, start and its spread, and the spread of the limit law,
    sigma sqrt(eps/(2 rho0)) and sigma_w/sqrt(2 a)
    """
    eps, a, sigma = params["eps"], params["a"], params["sigma"]
    sigma_w = params["recovery_noise"]
    if params["recovery_noise_scale"] == "root_eps":
        sigma_w *= np.sqrt(eps)
    v_spread = sigma * np.sqrt(eps / (2.0 * density))
    w_spread = sigma_w / np.sqrt(2.0 * a)
    v_unit = 1.0 if params["initial"] == "absolute" else v_spread
    w_unit = w_spread if params["initial"] == "prepared" else 1.0
    return {
        "a": a,
        "b": params["b"],
        "c": params["c"],
        "gap": float(density / eps),
        "sigma": sigma,
        "sigma_w": float(sigma_w),
        "v_start": params["voltage_start"],
        "w_start": params["recovery_start"],
        "v_start_std": float(params["voltage_spread"] * v_unit),
        "w_start_std": float(params["recovery_spread"] * w_unit),
        "v_spread": float(v_spread),
        "w_spread": float(w_spread),
    }


def relax(m, c, p):
    """Return the gap junctions: v is drawn to the mean voltage of its site at rate rho0/eps."""
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
    """Return the limit law: sd(v) = sigma sqrt(eps / (2 rho0)), sd(w) = sigma_w / sqrt(2 a)."""
    return (p.v_spread, p.w_spread)
