"""What networks with a voltage, a recovery variable and gap junctions have in common.

    dv = [ f(v, w) + (rho0/eps) (V - v) ] dt + sigma dW,     dw = [ b v - a w + c ] dt + sigma_w dB

The two models that share it differ in the drift of the voltage only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import GapJunctions, Noise, Param, State

STATE = (
    State(
        "v",
        "voltage",
        long_name="membrane voltage v",
        start="v_start",
        spread="v_start_std",
        profile="v_spread",
    ),
    State(
        "w",
        "recovery",
        long_name="recovery variable w",
        start="w_start",
        spread="w_start_std",
        profile="w_spread",
    ),
)
COUPLING = GapJunctions("v", "gap")
NOISE = (Noise("v", "sigma"), Noise("w", "sigma_w"))

PARAMS = (
    Param("eps", 0.01, "time", "inverse coupling strength", positive=True),
    Param("current", 0.0, "1/time", "input current I, added to the voltage drift"),
    Param("a", 0.3, "1/time", "decay of the recovery variable", low=0.0),
    Param("b", 0.1, "1/time", "gain of the recovery variable"),
    Param("c", 0.0, "1/time", "constant drive of the recovery variable"),
    Param("sigma", 2.0**0.5, "1/sqrt(time)", "voltage noise", low=0.0),
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


def numbers(params: Mapping[str, Any], density: float = 1.0) -> dict[str, float]:
    """Return what the equations read beside the parameters, by name.

    Parameters
    ----------
    params : model parameters
    density : neuron density rho0 of the site

    Returns
    -------
    gap = rho0/eps, sigma_w, the start and its spread, and the spread of the limit law,
    sigma sqrt(eps/(2 rho0)) and sigma_w/sqrt(2 a), 0 where nothing decays and there is no such law
    """
    eps, sigma_w = params["eps"], params["recovery_noise"]
    if params["recovery_noise_scale"] == "root_eps":
        sigma_w *= np.sqrt(eps)
    v_spread = params["sigma"] * np.sqrt(eps / (2.0 * density))
    w_spread = sigma_w / np.sqrt(2.0 * params["a"]) if params["a"] > 0.0 else 0.0
    v_unit = 1.0 if params["initial"] == "absolute" else v_spread
    w_unit = w_spread if params["initial"] == "prepared" else 1.0
    return {
        "gap": density / eps,
        "sigma_w": sigma_w,
        "v_start": params["voltage_start"],
        "w_start": params["recovery_start"],
        "v_start_std": params["voltage_spread"] * v_unit,
        "w_start_std": params["recovery_spread"] * w_unit,
        "v_spread": v_spread,
        "w_spread": w_spread,
    }
