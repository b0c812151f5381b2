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

from neurolim.kernels.access import means_at, parameters_at, state_in, write
from neurolim.kernels.by_address import array_type, kept_by_address
from neurolim.kernels.numba_types import n_means, n_variables
from neurolim.numerics.compiled import kernel, maker

#: A Taylor series of a step longer than this many times 1/|B| is taken in parts.
PART = 3.0
#: Steps longer than this many times 1/|B| leave the coupling of the means to the corrector.
LONGEST_TOGETHER = 3000.0
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
def _add_own_means(slopes, coupling, s, n_fields, B):
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
def _fill_changes(y, field, changes):
    """Fill changes [n_present, P] of the means of states and fields when states move by y."""
    d = y.shape[1]
    changes[:] = 0.0
    for r in range(y.shape[0]):
        for j in range(d):
            changes[j, r] = y[r, j]
        for a in range(changes.shape[0] - d):
            for j in range(d):
                changes[d + a, r] += field[r, a * d + j] * y[r, j]


@kernel
def _generate(own, slopes, across, acting, y, work, out):
    """Fill out [P, d] = B y; work [n_present + 1, P]."""
    changes, arriving = work[:-1], work[-1]
    _fill_changes(y, slopes[FIELD], changes)
    n_sites, d = y.shape
    nm = slopes.shape[2] // d
    for s in range(n_sites):
        for k in range(d):
            out[s, k] = 0.0
            for j in range(d):
                out[s, k] += own[s, k, j] * y[s, j]
    for a in range(acting.size):
        if acting[a]:
            arriving[:] = 0.0
            # Sites side by side, so that the loop becomes vector code.
            for r in range(n_sites):
                for s in range(n_sites):
                    arriving[s] += across[r, s] * changes[a, r]
            for s in range(n_sites):
                for k in range(d):
                    out[s, k] += slopes[AT_C, s, k * nm + a] * arriving[s]


@maker
def _acting(slopes, d, n_fields):
    """Return which inputs act on a drift [n_present]; those that come late stay as they are."""
    nm = slopes.shape[2] // d
    acting = np.zeros(d + n_fields, np.bool_)
    for s in range(slopes.shape[1]):
        for k in range(d):
            for a in range(acting.size):
                acting[a] = acting[a] or slopes[AT_C, s, k * nm + a] != 0.0
    return acting


@maker
def _apply_generator(own, slopes, across, n_fields, y, out):
    """Fill out [P, d] = B y."""
    acting = _acting(slopes, y.shape[1], n_fields)
    work = np.empty((acting.size + 1, y.shape[0]))
    _generate(own, slopes, across, acting, y, work, out)


@maker
def _joint_rate(own, slopes, across, n_fields, h):
    """Return a bound on |B| if the means move together over a step h, else 0.

    They do not where no input acts, and are left to the corrector where B is too large.
    """
    n_sites, d = own.shape[0], own.shape[1]
    nm = slopes.shape[2] // d
    acting = _acting(slopes, d, n_fields)
    # Loops, because numpy's any, abs and sum take a second to compile.
    acts, hears = False, False
    for a in range(acting.size):
        acts = acts or acting[a]
    for r in range(n_sites):
        for s in range(n_sites):
            hears = hears or across[r, s] != 0.0
    if not (acts and hears):
        return 0.0
    rate = 0.0
    reach = np.empty(n_sites)
    for s in range(n_sites):
        for k in range(d):
            row = 0.0
            for j in range(d):
                row += abs(own[s, k, j])
            rate = max(rate, row)
    for a in range(acting.size):
        if acting[a]:
            for s in range(n_sites):
                reach[s] = 1.0 if a < d else 0.0
                for j in range(d if a >= d else 0):
                    reach[s] += abs(slopes[FIELD, s, (a - d) * d + j])
            arriving, steepest = 0.0, 0.0
            for s in range(n_sites):
                total = 0.0
                for r in range(n_sites):
                    total += abs(across[r, s]) * reach[r]
                arriving = max(arriving, total)
                for k in range(d):
                    steepest = max(steepest, abs(slopes[AT_C, s, k * nm + a]))
            rate += arriving * steepest
    return rate if h * rate <= LONGEST_TOGETHER else 0.0


@maker
def _move_together(own, slopes, across, n_fields, h, rate, steady, rising, y):
    """Fill y [P, d] with the solution at h of  y' = B y + steady + (t/h) rising,  y(0) = 0.

    Parameters
    ----------
    own : B_s of every site [P, d, d]
    slopes : of the network, `fill_slopes`
    across : weights K[s, r] of the other sites, [r, s]
    n_fields : of the model
    h : time
    rate : |B|, as `joint_rate` returns it
    steady, rising : [P, d]
    y : filled [P, d]
    """
    n_sites, d = y.shape
    acting = _acting(slopes, d, n_fields)
    work = np.empty((acting.size + 1, n_sites))
    term, new = np.empty((n_sites, d)), np.empty((n_sites, d))
    parts = 1 + int(h * rate / PART)
    tau = h / parts
    y[:] = 0.0
    for part in range(parts):
        _generate(own, slopes, across, acting, y, work, new)
        share = part / parts
        for s in range(n_sites):
            for k in range(d):
                term[s, k] = tau * (new[s, k] + steady[s, k] + share * rising[s, k])
        for j in range(2, _MOST_TERMS):
            _generate(own, slopes, across, acting, term, work, new)
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
add_own_means = kept_by_address(_add_own_means, (_own, _matrix, int64, int64, _matrix))
joint_rate = kept_by_address(_joint_rate, (_own, _own, _matrix, int64, float64))
apply_generator = kept_by_address(_apply_generator, (_own, _own, _matrix, int64, _matrix, _matrix))
move_together = kept_by_address(
    _move_together,
    (_own, _own, _matrix, int64, float64, float64, _matrix, _matrix, _matrix),
)
