r"""Populations that each sit at one point: plain functions with the model as first argument.

With every neuron of population s at x_s, v its first variable, the means are m_s = (x_s,
field(x_s)), the inputs c = K m, and the flow is

    dv_s = pull (target - v_s) [+ drift_v],        the rest of dx_s = drift(x_s, m_s, c_s).

Slopes are exact, by the chain rule through fields and coupling.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from neurolim.kernels.access import means_at, parameters_at, state_in, write
from neurolim.kernels.network import couple
from neurolim.kernels.numba_types import n_means, n_variables
from neurolim.numerics.cache import keep_compiled
from neurolim.provenance import code_digest


@njit(error_model="numpy", nogil=True)
def send(code, x, rows, out):
    """Fill out [P, n_fields] with what neurons at x [P, d] send."""
    if n_means(code) > n_variables(code):
        for s in range(x.shape[0]):
            write(out, s, code.field(state_in(code, x, s), parameters_at(code, rows, s)))


@njit(error_model="numpy", nogil=True)
def see(code, x, extra, rows, coupling, m, c):
    """Fill means m [P, n_means], with ``extra`` added, and inputs c = K m of populations at x."""
    d = n_variables(code)
    send(code, x, rows, m[:, d:])
    for s in range(x.shape[0]):
        m[s, :d] = x[s]
        for k in range(n_means(code)):
            m[s, k] += extra[s, k]
    couple(coupling, m, c)


@njit(error_model="numpy", nogil=True)
def fill_rates(code, x, extra, rows, coupling, out):
    """Fill out [P, 3] with pull (1/time), target and gap (1/time) of the first variable."""
    m, c = np.empty((x.shape[0], n_means(code))), np.empty((x.shape[0], n_means(code)))
    see(code, x, extra, rows, coupling, m, c)
    for s in range(x.shape[0]):
        p = parameters_at(code, rows, s)
        pull, target, gap = code.relax(means_at(code, m, s), means_at(code, c, s), p)
        out[s, 0], out[s, 1], out[s, 2] = pull[0], target[0], gap[0]


@njit(error_model="numpy", nogil=True)
def fill_flow(code, x, extra, rows, coupling, weak, out):
    """Fill out [P, d] with the flow at x [P, d].

    Parameters
    ----------
    code : the model
    x : states [P, d]
    extra : added to the means [P, n_means]
    rows : parameters [P, parameter]
    coupling : K [P, P]
    weak : with the drift of the first variable
    out : rates of change [P, d]
    """
    m, c = np.empty((x.shape[0], n_means(code))), np.empty((x.shape[0], n_means(code)))
    see(code, x, extra, rows, coupling, m, c)
    for s in range(x.shape[0]):
        p, ms, cs = parameters_at(code, rows, s), means_at(code, m, s), means_at(code, c, s)
        pull, target, _ = code.relax(ms, cs, p)
        write(out, s, code.drift(0.0, state_in(code, x, s), ms, cs, p))
        local = out[s, 0] if weak else 0.0
        out[s, 0] = pull[0] * (target[0] - x[s, 0]) + local


@njit(error_model="numpy", nogil=True)
def fill_along(code, v, rest, m, c, row, local, sent):
    """Fill drifts of the first variable, and fields, of neurons of one population along it.

    Parameters
    ----------
    code : the model
    v : first variables [N]
    rest : the others [d - 1]
    m, c : means and inputs [1, n_means]
    row : parameters [1, parameter]
    local : drift of the first variable [N]
    sent : fields [N, n_fields]
    """
    p, ms, cs = parameters_at(code, row, 0), means_at(code, m, 0), means_at(code, c, 0)
    x = np.empty((1, n_variables(code)))
    x[0, 1:] = rest
    for i in range(v.size):
        x[0, 0] = v[i]
        local[i] = code.drift(0.0, state_in(code, x, 0), ms, cs, p)[0]
        send(code, x, row, sent[i : i + 1])


@njit(error_model="numpy", nogil=True)
def fill_changes(code, x, m, c, rows, out):
    """Fill out [P, n_means, d] with the slopes of every population's means in its own state."""
    d = n_variables(code)
    out[:] = 0.0
    for s in range(x.shape[0]):
        for k in range(d):
            out[s, k, k] = 1.0
        if n_means(code) > d:
            ms, cs = means_at(code, m, s), means_at(code, c, s)
            p = parameters_at(code, rows, s)
            write(out[:, d:], s, code.field_x(state_in(code, x, s), ms, cs, p))


@njit(error_model="numpy", nogil=True)
def fill_felt(code, x, m, c, rows, own, by_m, by_c):
    """Fill the slopes of every population's flow, not ``weak``, in its state, means and inputs.

    Parameters
    ----------
    code : the model
    x, m, c, rows : states, means and inputs, parameters of all populations
    own : d flow_k/d x_j [P, d, d]
    by_m, by_c : d flow_k/d m_i and d c_i [P, d, n_means]
    """
    for s in range(x.shape[0]):
        p, xs = parameters_at(code, rows, s), state_in(code, x, s)
        ms, cs = means_at(code, m, s), means_at(code, c, s)
        write(own, s, code.drift_x(xs, ms, cs, p))
        write(by_m, s, code.drift_m(xs, ms, cs, p))
        write(by_c, s, code.drift_c(xs, ms, cs, p))
        own[s, 0, :] = 0.0
        own[s, 0, 0] = -code.relax(ms, cs, p)[0][0]
        current_m, pull_m = code.current_m(xs, ms, cs, p), code.pull_m(xs, ms, cs, p)
        current_c, pull_c = code.current_c(xs, ms, cs, p), code.pull_c(xs, ms, cs, p)
        for i in range(n_means(code)):
            by_m[s, 0, i] = current_m[i] - x[s, 0] * pull_m[i]
            by_c[s, 0, i] = current_c[i] - x[s, 0] * pull_c[i]


@njit(error_model="numpy", nogil=True)
def fill_slope(code, x, rows, coupling, out):
    """Fill out [P, d, P, d] with d flow/dx of the flow that is not ``weak``."""
    count, d, size = x.shape[0], n_variables(code), n_means(code)
    m, c, moved = np.empty((count, size)), np.empty((count, size)), np.empty((count, size, d))
    see(code, x, np.zeros((count, size)), rows, coupling, m, c)
    fill_changes(code, x, m, c, rows, moved)
    own = np.empty((count, d, d))
    by_m, by_c = np.empty((count, d, size)), np.empty((count, d, size))
    fill_felt(code, x, m, c, rows, own, by_m, by_c)
    for s in range(count):
        for k in range(d):
            for r in range(count):
                for j in range(d):
                    total = own[s, k, j] if r == s else 0.0
                    for i in range(size):
                        weight = coupling[s, r] * by_c[s, k, i]
                        if r == s:
                            weight += by_m[s, k, i]
                        total += weight * moved[r, i, j]
                    out[s, k, r, j] = total


for _kernel in (send, fill_rates, fill_flow, fill_along, fill_slope):
    keep_compiled(_kernel, code_digest(__name__))
