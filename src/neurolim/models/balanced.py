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

from neurolim.core import Model, Sites
from neurolim.models._balance import PARAMS, RECOVERY, VOLTAGE, populations
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


def prepare(params: Mapping[str, Any]) -> Sites:
    """Return one site per population, coupled by the synaptic weights.

    Raises
    ------
    StudyError : vectors that do not have one entry per population, or weights not square
    """
    return populations(params, Parameters)


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


MODEL = Model(
    summary="Excitatory and inhibitory populations with gamma-strong chemical synapses.",
    source="Quininao & Touboul 2025, abstract; chemical synapses reconstructed (docs/balance.md)",
    state=(VOLTAGE, RECOVERY),
    params=PARAMS,
    prepare=prepare,
    drift=drift,
    relax=relax,
    noise=noise,
    field=field,
    initial=initial,
    work=3.0,
)
