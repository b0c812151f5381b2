"""The slopes of the means' flow, and the flow of all means together.

Where the drift or what the synapses pull to depends on means, the means of all sites are one
linear system about where they are: its generator B acts on moves y of the means as

    (B y)_s = B_s y_s + b_s sum_(r != s) K[s, r] mu_r,      mu_r = (y_r, field'(M_r) y_r),

B_s of the site by itself, b the slope by the inputs c.  The propagators of B are not formed: what
they do to a vector is summed up as a Taylor series, to rounding.
"""

from __future__ import annotations

import numpy as np
from numba import float64, int64

from neurolim.kernels.by_address import array_type, kept_by_address
from neurolim.kernels.numba_types import (
    means_at,
    n_means,
    n_variables,
    parameters_at,
    state_in,
    write,
)
from neurolim.numerics.compiled import kernel, maker

#: A Taylor series of a step longer than this many times 1/|B| is taken in parts.
_LONGEST = 3.0
#: In more parts than this the coupling of the means is left to the corrector.
_MOST_PARTS = 1000
_MOST_TERMS = 60


#: What an array of slopes [what, P, d nm] holds, matrices row by row: derivatives of the flow
#: F by the state [d, d], by means and inputs [d, nm]; pull [d], its derivatives and those of pull
#: target [d, nm]; of the fields by the state [n_fields, d].
AT_X, AT_M, AT_C, PULL, PULL_M, PULL_C, CURRENT_M, CURRENT_C, FIELD = range(9)


@kernel
def fill_slopes(code, means, inputs, rows, t, slopes):
    """Fill the slopes of the flow where means and inputs are."""
    d, nm = n_variables(code), n_means(code)
    for s in range(means.shape[0]):
        p = parameters_at(code, rows, s)
        x, m, c = state_in(code, means, s), means_at(code, means, s), means_at(code, inputs, s)
        pull, _, _ = code.relax(m, c, p)
        write(slopes[PULL], s, pull)
        write(slopes[AT_X], s, code.drift_x(x, m, c, p, t))
        write(slopes[AT_M], s, code.drift_m(x, m, c, p, t))
        write(slopes[AT_C], s, code.drift_c(x, m, c, p, t))
        write(slopes[PULL_M], s, code.pull_m(x, m, c, p, t))
        write(slopes[PULL_C], s, code.pull_c(x, m, c, p, t))
        write(slopes[CURRENT_M], s, code.current_m(x, m, c, p, t))
        write(slopes[CURRENT_C], s, code.current_c(x, m, c, p, t))
        write(slopes[FIELD], s, code.field_x(x, m, c, p, t))
        for k in range(d):
            slopes[AT_X, s, k * d + k] -= slopes[PULL, s, k]
            for i in range(k * nm, k * nm + nm):
                own = means[s, k]
                slopes[AT_M, s, i] += slopes[CURRENT_M, s, i] - slopes[PULL_M, s, i] * own
                slopes[AT_C, s, i] += slopes[CURRENT_C, s, i] - slopes[PULL_C, s, i] * own


@kernel
def add_own_means(slopes, coupling, s, n_fields, B):
    """Add to B [d, d] what the means of a site do to its own flow."""
    d = B.shape[0]
    nm = slopes.shape[2] // d
    for k in range(d):
        for j in range(d):
            i = k * nm + j
            B[k, j] += slopes[AT_M, s, i] + coupling[s, s] * slopes[AT_C, s, i]
            for a in range(n_fields):
                i = k * nm + d + a
                by_field = slopes[AT_M, s, i] + coupling[s, s] * slopes[AT_C, s, i]
                B[k, j] += by_field * slopes[FIELD, s, a * d + j]


@kernel
def _meet(y, field, n_fields, met):
    """Fill met [nm, P] with the moves of states and fields; what comes late stays where it is."""
    d = y.shape[1]
    met[:] = 0.0
    for r in range(y.shape[0]):
        for j in range(d):
            met[j, r] = y[r, j]
        for a in range(n_fields):
            for j in range(d):
                met[d + a, r] += field[r, a * d + j] * y[r, j]


@kernel
def _act(own, slopes, across, n_fields, acting, y, met, out):
    """Fill out [P, d] = B y; met [nm + 1, P] is room."""
    _meet(y, slopes[FIELD], n_fields, met[:-1])
    n_sites, d = y.shape
    nm = acting.size
    for s in range(n_sites):
        for k in range(d):
            out[s, k] = 0.0
            for j in range(d):
                out[s, k] += own[s, k, j] * y[s, j]
    heard = met[-1]
    for a in range(acting.size):
        if acting[a]:
            heard[:] = 0.0
            # Sites side by side, so that the loop becomes vector code.
            for r in range(n_sites):
                for s in range(n_sites):
                    heard[s] += across[r, s] * met[a, r]
            for s in range(n_sites):
                for k in range(d):
                    out[s, k] += slopes[AT_C, s, k * nm + a] * heard[s]


@maker
def _acting(slopes, d):
    """Return which inputs act on a drift [nm]."""
    found = np.zeros(slopes.shape[2] // d, np.bool_)
    for s in range(slopes.shape[1]):
        for i in range(slopes.shape[2]):
            found[i % found.size] = found[i % found.size] or slopes[AT_C, s, i] != 0.0
    return found


@maker
def act(own, slopes, across, n_fields, y, out):
    """Fill out [P, d] = B y."""
    acting = _acting(slopes, y.shape[1])
    room = np.empty((acting.size + 1, y.shape[0]))
    _act(own, slopes, across, n_fields, acting, y, room, out)


@maker
def join(own, slopes, across, n_fields, h):
    """Return a bound on |B| if the means move together over a step h, else 0.

    They do not where no input acts, and are left to the corrector where B is too large.
    """
    n_sites, d = own.shape[0], own.shape[1]
    acting = _acting(slopes, d)
    if not acting.any() or not (across != 0.0).any():
        return 0.0
    largest = 0.0
    reach = np.zeros(n_sites)
    for s in range(n_sites):
        for k in range(d):
            largest = max(largest, np.abs(own[s, k]).sum())
    strongest = 0.0
    for a in range(acting.size):
        if acting[a]:
            for s in range(n_sites):
                reach[s] = 1.0
                if a >= d:
                    reach[s] = 0.0
                    for j in range(d if a < d + n_fields else 0):
                        reach[s] += abs(slopes[FIELD, s, (a - d) * d + j])
            arriving, steepest = 0.0, 0.0
            for s in range(n_sites):
                total = 0.0
                for r in range(n_sites):
                    total += abs(across[r, s]) * reach[r]
                arriving = max(arriving, total)
                for k in range(d):
                    steepest = max(steepest, abs(slopes[AT_C, s, k * acting.size + a]))
            strongest += arriving * steepest
    size = largest + strongest
    return size if h * size <= _LONGEST * _MOST_PARTS else 0.0


@maker
def move_together(own, slopes, across, n_fields, h, size, steady, rising, y):
    """Fill y [P, d] with the solution at h of  y' = B y + steady + (t/h) rising,  y(0) = 0.

    Parameters
    ----------
    own : B_s of every site [P, d, d]
    slopes : of the network, `fill_slopes`
    across : weights K[s, r] of the other sites, [r, s]
    n_fields : of the model
    h : time
    size : |B|, as `join` returns it
    steady, rising : [P, d]
    y : filled [P, d]
    """
    n_sites, d = y.shape
    acting = _acting(slopes, d)
    met = np.empty((acting.size + 1, n_sites))
    term, new = np.empty((n_sites, d)), np.empty((n_sites, d))
    parts = 1 + int(h * size / _LONGEST)
    tau = h / parts
    y[:] = 0.0
    for part in range(parts):
        _act(own, slopes, across, n_fields, acting, y, met, new)
        share = part / parts
        for s in range(n_sites):
            for k in range(d):
                term[s, k] = tau * (new[s, k] + steady[s, k] + share * rising[s, k])
        for j in range(2, _MOST_TERMS):
            _act(own, slopes, across, n_fields, acting, term, met, new)
            largest, length = 0.0, 0.0
            for s in range(n_sites):
                for k in range(d):
                    y[s, k] += term[s, k]
                    more = tau * tau / (2.0 * h) * rising[s, k] if j == 2 else 0.0
                    term[s, k] = tau / j * new[s, k] + more
                    largest = max(largest, abs(term[s, k]))
                    length = max(length, abs(y[s, k]))
            if not largest > 1e-16 * length:
                break
        for s in range(n_sites):
            for k in range(d):
                y[s, k] += term[s, k]


_own, _matrix = array_type(3), array_type(2)
own_means_added = kept_by_address(add_own_means, (_own, _matrix, int64, int64, _matrix))
joined = kept_by_address(join, (_own, _own, _matrix, int64, float64))
acted_on = kept_by_address(act, (_own, _own, _matrix, int64, _matrix, _matrix))
moved_together = kept_by_address(
    move_together,
    (_own, _own, _matrix, int64, float64, float64, _matrix, _matrix, _matrix),
)
