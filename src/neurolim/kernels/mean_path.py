"""The means of sites that pull at each other, followed over a step: the case ``along the path``.

See ``mean_mode.py`` for what is done with what is found here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float64
from numba.extending import overload

from neurolim.core.model import MAX_FIELDS
from neurolim.kernels.access import means_at, parameters_at, state_in, vector_at, write
from neurolim.kernels.by_address import array_type, by_address, kept_by_address, provide
from neurolim.kernels.mean_mode import (
    BASE,
    C_MEAN,
    COVARIANCE,
    FLOW,
    FORCE,
    GENERATOR,
    KAPPA,
    KAPPA_MEAN,
    P1,
    P1_MEAN,
    P2,
    P2_MEAN,
    PREDICTED,
    RATE,
    RECEIVED,
    SLOPE,
    C,
    E,
    noise_factor,
    on_its_own,
    provide_means,
    scratch_in,
    slopes_in,
)
from neurolim.kernels.mean_slopes import AT_C, AT_M, AT_X, FIELD, fill_slopes
from neurolim.kernels.numba_types import n_means, n_present, n_variables
from neurolim.kernels.shared import couple, propagate, propagate_any, provide_exponential
from neurolim.kernels.vectors import each_add, each_less, each_times
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.compiled import OPTIONS, kernel, maker
from neurolim.numerics.exponential import cholesky
from neurolim.numerics.lowlevel import stack_array
from neurolim.provenance import code_digest

#: A substep of the path may correct itself by this share of its length.
_TOLERANCE = 0.02
#: Corrections of the order of rounding pass.
_FLOOR = 1e-10
#: No substep is shorter than this share of the step.
_SHORTEST = 1e-6


@kernel
def flow_at(code, R, excess, rows, coupling, t, means, inputs, F, rate):
    """Fill F [P, d] and the rates pull + gap [P, d] of neurons at R [P, d]; means and inputs, too.

    ``excess`` [P, n_fields] is what the mean fields have more than the fields of the means.
    """
    d = n_variables(code)
    fields = stack_array(np.float64, 1, MAX_FIELDS)
    for s in range(R.shape[0]):
        p = parameters_at(code, rows, s)
        write(means, s, vector_at(code, R, s))
        write(fields, 0, code.field(state_in(code, R, s), p))
        for k in range(n_present(code) - d):
            means[s, d + k] = fields[0, k] + excess[s, k]
    couple(coupling, means, inputs)
    for s in range(R.shape[0]):
        p = parameters_at(code, rows, s)
        x, m, c = state_in(code, means, s), means_at(code, means, s), means_at(code, inputs, s)
        pull, target, gap = code.relax(m, c, p)
        write(F, s, each_add(code.drift(t, x, m, c, p), each_times(pull, each_less(target, x))))
        write(rate, s, each_add(pull, gap))


@kernel
def flow_slopes(code, means, inputs, rows, coupling, t, slopes, B):
    """Fill B = dF/dR [P d, P d] where ``flow_at`` has put means and inputs."""
    d, n_sites = n_variables(code), means.shape[0]
    fill_slopes(code, means, inputs, rows, t, slopes)
    nm = n_means(code)
    for s in range(n_sites):
        for r in range(n_sites):
            for k in range(d):
                for j in range(d):
                    by_m, by_c = slopes[AT_M, s, k * nm + j], slopes[AT_C, s, k * nm + j]
                    for a in range(n_present(code) - d):
                        by_field = slopes[FIELD, r, a * d + j]
                        by_m += slopes[AT_M, s, k * nm + d + a] * by_field
                        by_c += slopes[AT_C, s, k * nm + d + a] * by_field
                    slope = slopes[AT_X, s, k * d + j] + by_m if r == s else 0.0
                    B[s * d + k, r * d + j] = slope + coupling[s, r] * by_c


@kernel
def compose(E, P1, P2, Q, part_E, part_P1, part_P2, part_C, begin, tau, h, work):
    """Follow propagators over [0, begin] by those of a substep tau; ``work`` is like them.

    For dx = L(t) x + g(t) with g affine over the whole step h: P2 = int Phi(h, s) s/h ds.
    """
    size = E.shape[0]
    _product(work, part_E, P2)
    for i in range(size):
        for j in range(size):
            P2[i, j] = work[i, j] + (begin / h) * part_P1[i, j] + (tau / h) * part_P2[i, j]
    _product(work, part_E, P1)
    for i in range(size):
        for j in range(size):
            P1[i, j] = work[i, j] + part_P1[i, j]
    _product(work, part_E, Q)
    for i in range(size):
        for j in range(size):
            total, spread = 0.0, 0.0
            for k in range(size):
                total += work[i, k] * part_E[j, k]
                spread += part_C[i, k] * part_C[j, k]
            Q[i, j] = total + spread
    _product(work, part_E, E)
    for i in range(size):
        for j in range(size):
            E[i, j] = work[i, j]


@kernel
def end_modes(vectors, C_sites, C_means, site_Q, mean_Q, h):
    """Fill the factors of all noise, where the path has ended."""
    cholesky(mean_Q, C_means)
    for s in range(site_Q.shape[0]):
        cholesky(site_Q[s], C_sites[s])
        for k in range(site_Q.shape[1]):
            vectors[KAPPA, s, k] = noise_factor(vectors[KAPPA, s, k], h)
            vectors[KAPPA_MEAN, s, k] = noise_factor(vectors[KAPPA_MEAN, s, k], h)


@kernel
def try_move(P1, F, R, moved, change):
    """Fill moved = R + P1 F and change = P1 F, all [P, d]; return whether F is finite."""
    finite, d = True, R.shape[1]
    for i in range(R.size):
        total = 0.0
        for j in range(R.size):
            total += P1[i, j] * F[j // d, j % d]
            finite = finite and np.isfinite(F[j // d, j % d])
        change[i // d, i % d] = total
        moved[i // d, i % d] = R[i // d, i % d] + total
    return finite


@maker
def correct_move(P2, B, new_B, F, new_F, R, change, moved):
    """Add the correction of a substep to ``moved``; return its size in units of what is allowed.

    The bend P2 [F' - F - B move] alone is fooled where the flow is the same at both ends of a long
    move; the turn P2 (B' - B) move/2 is not.
    """
    size, d = R.size, R.shape[1]
    left, turned = np.zeros(size), np.zeros(size)
    for i in range(size):
        straight = 0.0
        for j in range(size):
            step = change[j // d, j % d]
            straight += B[i, j] * step
            turned[i] += (new_B[i, j] - B[i, j]) * step
        left[i] = new_F[i // d, i % d] - F[i // d, i % d] - straight
    worst = 0.0
    for k in range(d):
        correction, length, largest = 0.0, 0.0, 0.0
        for i in range(k, size, d):
            bend, turn = 0.0, 0.0
            for j in range(size):
                bend += P2[i, j] * left[j]
                turn += P2[i, j] * turned[j]
            turn *= 0.5
            if not np.isfinite(bend + turn):
                return np.inf
            moved[i // d, k] += bend
            correction = max(correction, abs(bend), abs(turn))
            length = max(length, abs(change[i // d, k]))
            largest = max(largest, abs(R[i // d, k]))
        worst = max(worst, correction / (_TOLERANCE * length + _FLOOR * (1.0 + largest)))
    return worst


_matrix, _rows, _sites = array_type(2), array_type(3), array_type(4)


_compose = kept_by_address(compose, (*(_matrix,) * 8, float64, float64, float64, _matrix))
_end_modes = kept_by_address(end_modes, (_rows, _rows, _matrix, _rows, _matrix, float64))
_try_move = kept_by_address(try_move, (_matrix,) * 5)
_correct_move = kept_by_address(correct_move, (_matrix,) * 8)


@kernel
def start_path(code, network, modes, t, excess, S):
    """Begin the path at the means, with no time passed; fill excess and the noise S [P d, P d]."""
    d, n_sites = n_variables(code), network.means.shape[0]
    fields = stack_array(np.float64, 1, MAX_FIELDS)
    vectors, matrices = modes.vectors, modes.matrices
    means, inputs = network.means, network.inputs
    for s in range(n_sites):
        p = parameters_at(code, network.rows, s)
        x, m, c = state_in(code, means, s), means_at(code, means, s), means_at(code, inputs, s)
        write(vectors[BASE], s, vector_at(code, means, s))
        write(matrices[SLOPE], s, code.drift_x(x, m, c, p, t))
        write(matrices[COVARIANCE], s, code.covariance(p))
        write(fields, 0, code.field(x, p))
        for k in range(n_present(code) - d):
            excess[s, k] = means[s, d + k] - fields[0, k]
        for k in range(d):
            vectors[FORCE, s, k], vectors[KAPPA, s, k], vectors[KAPPA_MEAN, s, k] = 0.0, 0.0, 0.0
            for j in range(d):
                matrices[E, s, k, j] = 1.0 if j == k else 0.0
                matrices[P1, s, k, j], matrices[P2, s, k, j] = 0.0, 0.0
                S[s * d + k, s * d + j] = matrices[COVARIANCE, s, k, j]


@kernel
def follow_sites(code, modes, site_Q, new_rate, begin, tau, h, work):
    """Take the propagators of the fluctuations along a substep; rates half way are second order."""
    vectors, matrices, scratch = (
        modes.vectors, modes.matrices, scratch_in(modes.work, n_variables(code)),
    )  # fmt: skip
    L, part_E, part_P1, part_P2, part_C = (
        scratch[0], scratch[1], scratch[2], scratch[3], scratch[4],
    )  # fmt: skip
    for s in range(site_Q.shape[0]):
        for k in range(n_variables(code)):
            for j in range(n_variables(code)):
                L[k, j] = matrices[SLOPE, s, k, j]
            L[k, k] -= 0.5 * (vectors[RATE, s, k] + new_rate[s, k])
            # Rates add up here; the end of the path makes factors of them.
            vectors[KAPPA, s, k] -= tau * L[k, k]
        propagate(code, L, matrices[COVARIANCE, s], tau, part_E, part_P1, part_P2, part_C)
        _compose(
            matrices[E, s], matrices[P1, s], matrices[P2, s], site_Q[s], part_E, part_P1,
            part_P2, part_C, begin, tau, h, work,
        )  # fmt: skip


@maker
def along_the_path(code, network, modes, step):
    """Fill the modes of sites whose means pull at each other; time stands at the step's start."""
    n_sites, d, h = network.means.shape[0], n_variables(code), network.h
    size, t, rows, coupling = n_sites * d, step * h, network.rows, network.coupling
    vectors, blocks = modes.vectors, modes.blocks
    R, F, rate, B = vectors[BASE], vectors[FLOW], vectors[RATE], blocks[GENERATOR, 0]
    ends = np.zeros((4, n_sites, d))
    new_R, new_F, new_rate, change = ends[0], ends[1], ends[2], ends[3]
    around, received = modes.stages[PREDICTED], modes.stages[RECEIVED]
    excess, slopes = (
        np.zeros((n_sites, n_present(code) - d)),
        slopes_in(modes.work, n_sites, d, n_means(code)),
    )
    big, site_Q, small = np.zeros((9, size, size)), np.zeros((n_sites, d, d)), np.zeros((d, d))
    S, new_B, mean_E, mean_Q, work = big[0], big[1], big[2], big[3], big[4]
    part_E, part_P1, part_P2, part_C = big[5], big[6], big[7], big[8]
    mean_P1, mean_P2 = blocks[P1_MEAN, 0], blocks[P2_MEAN, 0]
    for i in range(size):
        mean_E[i, i] = 1.0
        for j in range(size):
            mean_P1[i, j], mean_P2[i, j] = 0.0, 0.0
    start_path(code, network, modes, t, excess, S)
    flow_at(code, R, excess, rows, coupling, t, around, received, F, rate)
    flow_slopes(code, around, received, rows, coupling, t, slopes, B)

    begin, tau = 0.0, h
    while begin < h:
        propagate_any(B, S, tau, part_E, part_P1, part_P2, part_C)
        healthy = _try_move(part_P1, F, R, new_R, change)
        if not healthy and tau < h - begin:
            # A network that has overflowed gets one last substep: its record will tell.
            tau = h - begin
            continue
        flow_at(code, new_R, excess, rows, coupling, t, around, received, new_F, new_rate)
        flow_slopes(code, around, received, rows, coupling, t, slopes, new_B)
        ratio = _correct_move(part_P2, B, new_B, F, new_F, R, change, new_R)
        if ratio > 1.0 and tau > _SHORTEST * h and healthy:
            tau = max(_SHORTEST * h, tau * max(0.1, 0.8 / np.sqrt(ratio)))
            continue
        flow_at(code, new_R, excess, rows, coupling, t, around, received, new_F, new_rate)
        _compose(
            mean_E, mean_P1, mean_P2, mean_Q, part_E, part_P1, part_P2, part_C, begin, tau, h, work
        )
        for i in range(size):
            vectors[KAPPA_MEAN, i // d, i % d] -= tau * B[i, i]
        follow_sites(code, modes, site_Q, new_rate, begin, tau, h, small)
        for s in range(n_sites):
            for k in range(d):
                R[s, k], F[s, k], rate[s, k] = new_R[s, k], new_F[s, k], new_rate[s, k]
        begin += tau
        left = h - begin
        if left <= 1e-12 * h or not healthy:
            break
        tau *= min(5.0, max(0.1, 0.8 / np.sqrt(max(ratio, 1e-9))))
        tau = min(left, max(_SHORTEST * h, tau))
        flow_slopes(code, around, received, rows, coupling, t, slopes, B)
    _end_modes(vectors, modes.matrices[C], blocks[C_MEAN, 0], site_Q, mean_Q, h)


def find_modes(code: Any, network: Any, modes: Any, step: int) -> None:
    """Fill the modes of a network; of the two cases above only that of the model is compiled."""
    raise NotImplementedError  # for kernels only


@overload(find_modes, jit_options=OPTIONS)
def _find_modes(code, network, modes, step):
    find = _along_the_path if code.rates_move else _on_its_own

    def find_them(code, network, modes, step):
        find(code, network, modes, step)

    return find_them


_on_its_own, _along_the_path = by_address(on_its_own), by_address(along_the_path)


def provide_modes(code: Any, given: tuple[Any, ...]) -> None:
    """Compile or load what finds the modes of a model, for arguments of these types."""
    provide_means(code)
    provide_exponential(len(code.type.state), code.type.rates_move)
    if code.type.rates_move:
        provide(_compose, _end_modes, _try_move, _correct_move)
        provide(_along_the_path, given=given)
    else:
        provide(_on_its_own, given=given)


# Products by plain loops: those of a linear algebra library differ from machine to machine.
@kernel
def _product(out, a, b):
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = 0.0
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            out[i, j] = total


keep_compiled(along_the_path, code_digest(__name__))
