r"""The balanced network with synapses that take time to open and close.

The network of ``balanced``, where a neuron sends its own synaptic variable instead of S(v),

    dy = [ r_p S_p(v) (1 - y) - d_p y ] dt,          s_q = mean over q of y.

Reconstructed (docs/balance.md).  On the balance manifold y is slow: v sits at the balance voltage
of the synapses that are open now, which attracts whatever the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from neurolim.core import Model, Sites, Var
from neurolim.models._balance import (
    PARAMS,
    POPULATION,
    RECOVERY,
    VOLTAGE,
    populations,
    vector,
)
from neurolim.numerics.elementary import sigmoid


class Parameters(NamedTuple):
    """Numbers the kernels see for one population, named as in the module equations."""

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
    rise: float
    decay: float
    y_start: float


def prepare(params: Mapping[str, Any]) -> Sites:
    """Return one site per population, coupled by the synaptic weights.

    Raises
    ------
    StudyError : vectors that do not have one entry per population, or weights not square
    """
    own = {"rise": "rise", "decay": "decay", "y_start": "synapse_start"}
    return populations(params, Parameters, POPULATION | own)


def drift(x, m, c, p):
    """Return (f(v) - w, b v - a w, r S(v) (1 - y) - d y)."""
    v, w, y = x
    activity = sigmoid((v - p.threshold) / p.slope)
    return (
        (p.d3 * v * v + p.d1) * v + p.d0 - w,
        p.b * v - p.a * w,
        p.rise * activity * (1.0 - y) - p.decay * y,
    )


def relax(m, c, p):
    """Return the synapses: pull gamma A to the balance voltage, gap J to the own mean.

    c[2] = sum_q g_pq s_q = A and c[3] = sum_q g_pq s_q V_q; a silent network (A = 0) pulls nowhere.
    """
    balance = c[3] / c[2] if c[2] != 0.0 else m[0]
    return (p.gamma * c[2], 0.0, 0.0), (balance, 0.0, 0.0), (p.electrical, 0.0, 0.0)


def noise(p):
    """Return (sigma, 0, 0)."""
    return (p.sigma, 0.0, 0.0)


def field(x, p):
    """Return (y V,); y itself is part of the state."""
    return (x[2] * p.reversal,)


def initial(z, p):
    """Return Gaussian voltages, a sharp recovery variable and sharp synapses."""
    return (p.v_start + p.v_start_std * z[0], p.w_start, p.y_start)


MODEL = Model(
    summary="Excitatory and inhibitory populations whose strong synapses take time to open.",
    source="Quininao & Touboul 2025, abstract; synapses reconstructed (docs/balance.md)",
    state=(VOLTAGE, RECOVERY, Var("synapse", "1", "share of open synapses y")),
    params=(
        *PARAMS,
        vector("rise", (2.0, 2.0), "1/time", "rate at which synapses open", positive=True),
        vector("decay", (1.0, 1.0), "1/time", "rate at which synapses close", positive=True),
        vector(
            "synapse_start", (0.3, 0.3), "1", "initial share of open synapses", low=0.0, high=1.0
        ),
    ),
    prepare=prepare,
    drift=drift,
    relax=relax,
    noise=noise,
    field=field,
    initial=initial,
    work=3.0,
)
