"""A model of two variables on a grid of both: plain functions with the model as first argument.

Places on the grid are v [n_v] and g [n_g]; means m, inputs c and parameters are those of one site,
a row each.
"""

from __future__ import annotations

from numba import njit

from neurolim.kernels.access import as_state, means_at, parameters_at
from neurolim.kernels.numba_types import n_means
from neurolim.numerics.cache import keep_compiled
from neurolim.provenance import code_digest


@njit(error_model="numpy", nogil=True)
def fill_drift(code, v, g, row, m, c, component, out):
    """Fill out [n_v, n_g] with the drift of one variable (0 or 1)."""
    p, ms, cs = parameters_at(code, row, 0), means_at(code, m, 0), means_at(code, c, 0)
    for i in range(v.size):
        for j in range(g.size):
            both = code.drift(0.0, as_state(code, (v[i], g[j])), ms, cs, p)
            out[i, j] = both[0] if component == 0 else both[1]


@njit(error_model="numpy", nogil=True)
def fill_observed(code, v, g, row, out):
    """Fill out [n_means, n_v, n_g] with what enters the means: both variables, then fields."""
    p = parameters_at(code, row, 0)
    for i in range(v.size):
        for j in range(g.size):
            sent = code.field(as_state(code, (v[i], g[j])), p)
            observed = (v[i], g[j]) + sent  # noqa: RUF005  numba joins tuples, but does not unpack
            for k in range(n_means(code)):
                out[k, i, j] = observed[k]


@njit(error_model="numpy", nogil=True)
def fill_felt(code, v, g, row, m, c, coupling, out):
    """Fill out [2 n_means, n_v, n_g] with the slopes of both drifts in the means, v's first.

    ``coupling`` is the weight of the site to itself, by which its means are its inputs, too.
    """
    p, ms, cs = parameters_at(code, row, 0), means_at(code, m, 0), means_at(code, c, 0)
    for i in range(v.size):
        for j in range(g.size):
            x = as_state(code, (v[i], g[j]))
            direct, carried = code.drift_m(x, ms, cs, p), code.drift_c(x, ms, cs, p)
            for k in range(2 * n_means(code)):
                out[k, i, j] = direct[k] + coupling * carried[k]


for _kernel in (fill_drift, fill_observed, fill_felt):
    keep_compiled(_kernel, code_digest(__name__))
