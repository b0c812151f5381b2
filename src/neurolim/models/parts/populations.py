r"""What networks of populations with strong chemical and electrical synapses have in common.

    dv = [ f_p(v) - w + gamma sum_q g_pq s_q (V_q - v) + J_p (mean_p v - v) ] dt + sigma_p dW
    dw = [ b_p v - a_p w ] dt,          f_p(v) = d0_p + d1_p v + d3_p v^3.

The models that share it differ in what a neuron sends, s_q.  Populations are sites; of the sums
over them, A = sum_q g_pq s_q and sum_q g_pq s_q V_q, each makes its synapses.

With ``clock: layer`` time is measured in units of 1/gamma: every rate is divided by gamma and the
noise by its root.  The stationary law is the same; the layer in which a network falls onto its
balance then has length one, whatever gamma.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import GapJunctions, Noise, Param, Sites, State, StudyError

VOLTAGE = State(
    "v", "voltage", long_name="membrane voltage v", start="v_start", spread="v_start_std"
)
RECOVERY = State("w", "recovery", long_name="recovery variable w", start="w_start")
NOISE = Noise("v", "sigma")
GAP_JUNCTIONS = GapJunctions("v", "electrical")

#: Vectors of parameters, one entry per population, by the name that the equations use.
POPULATION = {
    "d0": "drift_constant",
    "d1": "drift_linear",
    "d3": "drift_cubic",
    "a": "a",
    "b": "b",
    "reversal": "reversal",
    "threshold": "threshold",
    "slope": "slope",
    "electrical": "electrical",
    "sigma": "sigma",
    "v_start": "voltage_start",
    "w_start": "recovery_start",
    "v_start_std": "voltage_spread",
}
#: Rates, which the layer clock divides by gamma.
_RATES = ("d0", "d1", "d3", "a", "b", "electrical", "rise", "decay")
_PAIRS = (("weight_ee", 0, 0), ("weight_ei", 0, 1), ("weight_ie", 1, 0), ("weight_ii", 1, 1))


def vector(name: str, default: tuple[float, ...], unit: str, doc: str, **bounds: Any) -> Param:
    """Return a parameter with one entry per population (or one for all)."""
    return Param(name, default, unit, f"{doc}, per population", kind="vector", **bounds)


PARAMS = (
    Param("gamma", 100.0, "1/time", "strength of the chemical synapses", low=0.0),
    Param(
        "weights",
        ((1.0, 2.0), (1.5, 1.0)),
        doc="g_pq, row p receives from column q",
        kind="matrix",
        low=0.0,
    ),
    *(
        Param(name, 1.0, doc=f"factor of g_{name[-2:].upper()}, of two populations E, I", low=0.0)
        for name, _, _ in _PAIRS
    ),
    vector("reversal", (3.0, -1.0), "1", "synaptic reversal potential V"),
    vector("threshold", (0.5, 0.5), "1", "threshold of the synaptic sigmoid"),
    vector("slope", (0.8, 0.8), "1", "width of the synaptic sigmoid", positive=True),
    vector("electrical", (0.0, 0.0), "1/time", "gap-junction rate J", low=0.0),
    Param(
        "electrical_scale",
        "fixed",
        doc="gamma multiplies the gap-junction rate by gamma, off by zero",
        kind="choice",
        choices=("fixed", "gamma", "off"),
    ),
    vector("drift_constant", (0.5, 0.2), "1/time", "constant part of f"),
    vector("drift_linear", (-1.0, -1.0), "1/time", "linear part of f"),
    vector("drift_cubic", (0.0, 0.0), "1/time", "cubic part of f", high=0.0),
    vector("a", (1.0, 1.0), "1/time", "decay of the recovery variable", positive=True),
    vector("b", (0.0, 0.0), "1/time", "gain of the recovery variable (0: switched off)"),
    vector("sigma", (1.0, 1.0), "1/sqrt(time)", "voltage noise", low=0.0),
    vector("voltage_start", (0.0, 0.0), "1", "initial mean voltage"),
    vector("recovery_start", (0.0, 0.0), "1", "initial recovery"),
    vector("voltage_spread", (0.0, 0.0), "1", "initial standard deviation of v", low=0.0),
    Param(
        "clock",
        "time",
        doc="unit of time: the model's own, or 1/gamma",
        kind="choice",
        choices=("time", "layer"),
    ),
)


def local(x, p):
    """Return (f(v) - w, b v - a w)."""
    return (p.d3 * x.v * x.v + p.d1) * x.v + p.d0 - x.w, p.b * x.v - p.a * x.w


def populations(params: Mapping[str, Any], columns: Mapping[str, str] = POPULATION) -> Sites:
    """Return one site per population, coupled by the synaptic weights.

    Parameters
    ----------
    params : model parameters
    columns : vector parameters by the name that the equations use

    Raises
    ------
    StudyError : vectors that do not have one entry per population, weights not square, factors of
        weights without two populations, a layer clock without coupling
    """
    weights = np.array(params["weights"], dtype=float)
    count = weights.shape[0]
    if weights.shape != (count, count):
        raise StudyError("weights", f"shape {weights.shape}", "as many rows as columns")
    for name, p, q in _PAIRS:
        if count == 2:
            weights[p, q] *= params[name]
        elif params[name] != 1.0:
            raise StudyError(name, f"{count} populations", "1, or two populations")
    gamma = params["gamma"]
    if params["clock"] == "layer" and gamma == 0.0:
        raise StudyError("clock", "the layer clock runs at rate gamma = 0", "gamma > 0, or time")
    clock = gamma if params["clock"] == "layer" else 1.0
    rows: list[dict[str, float]] = [{"gamma": gamma / clock} for _ in range(count)]
    for short, name in columns.items():
        values = np.asarray(params[name], dtype=float)
        if values.size not in (1, count):
            raise StudyError(
                name, f"{values.size} values for {count} populations", f"1 or {count} values"
            )
        if short == "electrical":
            values = values * {"fixed": 1.0, "gamma": gamma, "off": 0.0}[params["electrical_scale"]]
        if short in _RATES:
            values = values / clock
        elif short == "sigma":
            values = values / np.sqrt(clock)
        for row, value in zip(rows, np.broadcast_to(values, count), strict=True):
            row[short] = float(value)
    labels: tuple[str, ...] = ("E", "I") if count == 2 else tuple(f"P{i + 1}" for i in range(count))
    return Sites(labels, weights, tuple(rows))
