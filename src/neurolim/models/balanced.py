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

from neurolim.core import Field, Model, Synapses
from neurolim.math import sigmoid
from neurolim.models.parts import populations


def activity(x, p):
    """Return S(v)."""
    return sigmoid((x.v - p.threshold) / p.slope)


def drive(x, p):
    """Return S(v) V."""
    return activity(x, p) * p.reversal


def conductance(c, p):
    """Return gamma A, A = sum_q g_pq s_q."""
    return p.gamma * c.activity


def current(c, p):
    """Return gamma sum_q g_pq s_q V_q."""
    return p.gamma * c.drive


MODEL = Model(
    summary="Excitatory and inhibitory populations with gamma-strong chemical synapses.",
    source="Quininao & Touboul 2025, abstract; chemical synapses reconstructed (docs/balance.md)",
    state=(populations.VOLTAGE, populations.RECOVERY),
    params=populations.PARAMS,
    prepare=populations.populations,
    drift=populations.local,
    coupling=(Synapses("v", conductance, current), populations.GAP_JUNCTIONS),
    noise=populations.NOISE,
    fields=(Field("activity", activity), Field("drive", drive)),
    work=3.0,
)
