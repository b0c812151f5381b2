r"""Excitatory and inhibitory populations with strong chemical and electrical synapses.

Neuron i of population p,

    dv = [ f_p(v) - w + gamma sum_q g_pq s_q (V_q - v) + J_p (mean_p v - v) ] dt + sigma_p dW
    dw = [ b_p v - a_p w ] dt,          s_q = mean over q of S_q(v),
    S_q(v) = 1/(1 + exp(-(v - th_q)/k_q)),      f_p(v) = d0_p + d1_p v + d3_p v^3.

From the paper (Quininao & Touboul 2025, abstract only at hand): the general system with
J_ij b_pq(x_i, x_j), the rate gamma -> infinity, the balance manifold.  Reconstructed here: the
chemical synapse b = (v - V_q) S_q(v'), the sigmoid, the polynomial drifts.

Populations are sites; c_p = (sum_q g_pq s_q, sum_q g_pq s_q V_q) carries the synapses, whose pull
gamma A_p toward the balance voltage A_p^{-1} sum_q g_pq s_q V_q is linear in v given the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, Param, Sites, StudyError, Var
from neurolim.numerics.elementary import sigmoid


class Parameters(NamedTuple):
    """Numbers the kernels see for one population, named as in the module equation."""

    d0: float
    d1: float
    d3: float
    a: float
    b: float
    gamma: float
    reversal: float
    threshold: float
    slope: float
    electrical: float
    sigma: float
    v_start: float
    w_start: float
    v_start_std: float


_PER_POPULATION = (
    "drift_constant",
    "drift_linear",
    "drift_cubic",
    "a",
    "b",
    "reversal",
    "threshold",
    "slope",
    "electrical",
    "sigma",
    "voltage_start",
    "recovery_start",
    "voltage_spread",
)


def prepare(params: Mapping[str, Any]) -> Sites:
    """Return one site per population, coupled by the synaptic weights.

    Raises
    ------
    StudyError : vectors that do not have one entry per population, or weights not square
    """
    weights = np.asarray(params["weights"], dtype=float)
    count = weights.shape[0]
    if weights.shape != (count, count):
        raise StudyError("weights", f"shape {weights.shape}", "as many rows as columns")
    columns: dict[str, np.ndarray] = {}
    for name in _PER_POPULATION:
        values = np.asarray(params[name], dtype=float)
        if values.size not in (1, count):
            raise StudyError(
                name, f"{values.size} values for {count} populations", f"1 or {count} values"
            )
        columns[name] = np.broadcast_to(values, count)
    labels: tuple[str, ...] = ("E", "I") if count == 2 else tuple(f"P{i + 1}" for i in range(count))
    sites = tuple(
        Parameters(
            d0=float(columns["drift_constant"][i]),
            d1=float(columns["drift_linear"][i]),
            d3=float(columns["drift_cubic"][i]),
            a=float(columns["a"][i]),
            b=float(columns["b"][i]),
            gamma=params["gamma"],
            reversal=float(columns["reversal"][i]),
            threshold=float(columns["threshold"][i]),
            slope=float(columns["slope"][i]),
            electrical=float(columns["electrical"][i]),
            sigma=float(columns["sigma"][i]),
            v_start=float(columns["voltage_start"][i]),
            w_start=float(columns["recovery_start"][i]),
            v_start_std=float(columns["voltage_spread"][i]),
        )
        for i in range(count)
    )
    return Sites(labels, weights, sites)


def drift(x, m, c, p):
    """Return (f(v) - w, b v - a w)."""
    v, w = x
    return ((p.d3 * v * v + p.d1) * v + p.d0 - w, p.b * v - p.a * w)


def relax(m, c, p):
    """Return the synapses: pull gamma A to the balance voltage, gap J to the own mean.

    c[2] = sum_q g_pq s_q = A and c[3] = sum_q g_pq s_q V_q; a silent network (A = 0) pulls nowhere.
    """
    balance = c[3] / c[2] if c[2] != 0.0 else m[0]
    return (p.gamma * c[2], 0.0), (balance, 0.0), (p.electrical, 0.0)


def noise(p):
    """Return (sigma, 0)."""
    return (p.sigma, 0.0)


def field(x, p):
    """Return (S(v), S(v) V), what the population sends to the others."""
    activity = sigmoid((x[0] - p.threshold) / p.slope)
    return (activity, activity * p.reversal)


def initial(z, p):
    """Return Gaussian voltages and a sharp recovery variable."""
    return (p.v_start + p.v_start_std * z[0], p.w_start)


def _vector(name: str, default: tuple[float, ...], unit: str, doc: str, **bounds: Any) -> Param:
    return Param(name, default, unit, f"{doc}, per population", kind="vector", **bounds)


MODEL = Model(
    summary="Excitatory and inhibitory populations with gamma-strong chemical synapses.",
    source="Quininao & Touboul 2025, abstract; chemical synapses reconstructed (docs/science.md)",
    state=(
        Var("voltage", "1", "membrane voltage v"),
        Var("recovery", "1", "recovery variable w"),
    ),
    params=(
        Param("gamma", 100.0, "1/time", "strength of the chemical synapses", low=0.0),
        Param(
            "weights",
            ((1.0, 2.0), (1.5, 1.0)),
            doc="g_pq, row p receives from column q",
            kind="matrix",
            low=0.0,
        ),
        _vector("reversal", (3.0, -1.0), "1", "synaptic reversal potential V"),
        _vector("threshold", (0.5, 0.5), "1", "threshold of the synaptic sigmoid"),
        _vector("slope", (0.8, 0.8), "1", "width of the synaptic sigmoid", positive=True),
        _vector("electrical", (0.0, 0.0), "1/time", "gap-junction rate J", low=0.0),
        _vector("drift_constant", (0.5, 0.2), "1/time", "constant part of f"),
        _vector("drift_linear", (-1.0, -1.0), "1/time", "linear part of f"),
        _vector("drift_cubic", (0.0, 0.0), "1/time", "cubic part of f", high=0.0),
        _vector("a", (1.0, 1.0), "1/time", "decay of the recovery variable", positive=True),
        _vector("b", (0.0, 0.0), "1/time", "gain of the recovery variable (0: switched off)"),
        _vector("sigma", (1.0, 1.0), "1/sqrt(time)", "voltage noise", low=0.0),
        _vector("voltage_start", (0.0, 0.0), "1", "initial mean voltage"),
        _vector("recovery_start", (0.0, 0.0), "1", "initial recovery"),
        _vector("voltage_spread", (0.0, 0.0), "1", "initial standard deviation of v", low=0.0),
    ),
    prepare=prepare,
    drift=drift,
    relax=relax,
    noise=noise,
    field=field,
    initial=initial,
)
