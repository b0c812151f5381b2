r"""The balanced network with synapses that take time to open and close.

The network of ``balanced``, where a neuron sends its own synaptic variable instead of S(v),

    dy = [ r_p S_p(v) (1 - y) - d_p y ] dt,          s_q = mean over q of y.

Reconstructed (docs/balance.md).  On the balance manifold y is slow: v sits at the balance voltage
of the synapses that are open now, which attracts whatever the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurolim.core import Field, Model, Sites, State, Synapses
from neurolim.math import sigmoid
from neurolim.models.parts import populations
from neurolim.models.parts.populations import vector


def prepare(params: Mapping[str, Any]) -> Sites:
    """Return one site per population, coupled by the synaptic weights.

    Raises
    ------
    StudyError : vectors that do not have one entry per population, or weights not square
    """
    own = {"rise": "rise", "decay": "decay", "y_start": "synapse_start"}
    return populations.populations(params, populations.POPULATION | own)


def drift(x, p):
    """Return (f(v) - w, b v - a w, r S(v) (1 - y) - d y)."""
    dv, dw = populations.local(x, p)
    activity = sigmoid((x.v - p.threshold) / p.slope)
    return dv, dw, p.rise * activity * (1.0 - x.y) - p.decay * x.y


def drive(x, p):
    """Return y V; y itself is part of the state."""
    return x.y * p.reversal


def conductance(c, p):
    """Return gamma A, A = sum_q g_pq y_q."""
    return p.gamma * c.y


def current(c, p):
    """Return gamma sum_q g_pq y_q V_q."""
    return p.gamma * c.drive


MODEL = Model(
    summary="Excitatory and inhibitory populations whose strong synapses take time to open.",
    source="Quininao & Touboul 2025, abstract; synapses reconstructed (docs/balance.md)",
    state=(
        populations.VOLTAGE,
        populations.RECOVERY,
        State("y", "synapse", long_name="share of open synapses y", start="y_start"),
    ),
    params=(
        *populations.PARAMS,
        vector("rise", (2.0, 2.0), "1/time", "rate at which synapses open", positive=True),
        vector("decay", (1.0, 1.0), "1/time", "rate at which synapses close", positive=True),
        vector(
            "synapse_start", (0.3, 0.3), "1", "initial share of open synapses", low=0.0, high=1.0
        ),
    ),
    prepare=prepare,
    drift=drift,
    coupling=(Synapses("v", conductance, current), populations.GAP_JUNCTIONS),
    noise=populations.NOISE,
    fields=(Field("drive", drive),),
    work=3.0,
)
