r"""How the means of the sites move over an exponential step, before any neuron does.

The step splits the network into the means of its sites and the fluctuations of the neurons about
them (``exponential.py``).  This file finds the propagators of both, and the point R near which the
means end up.  Two cases:

``on its own``
    Pull and gap do not depend on the fields.  The mean of a site has the generator
    L_m = J - pull, J the slope of the drift at the mean; R is where the mean is now.

``along the path``
    Synapses: pull and target of a site depend on the means of the others, at the rate gamma of
    the pull itself.  All means are one system dR/dt = F(R): the flow of a network whose neurons
    sit at the means, but for the excess <field(x)> - field(<x>), which is kept from the start of
    the step.  The path R is followed to the end of the step by exponential Rosenbrock substeps
    with error control, P d equations and no neurons, and the propagators are composed along it.
    Near a balance point one substep is enough at any h gamma.

Both give  R, F = F(R),  B = dF/dR  and propagators with which the kernel does

    predictor   M^ = R + P1_m (force + excess + kappa_m <u>) + C_m <z>
                y^ = E_y y + P1_y [N(x) + kappa_y (u - <u>)] + C_y (z - <z>)
    corrector   M' = M^ + P2_m [<drift(X^)> + pull^ (target^ - M^) - F - B (M^ - R) - excess]
                y' = y^ + P2_y [N(X^) - N(x) - (pull^ + gap^ - rate) y^],

excess = <drift(x)> - drift(M), N(x) = drift(x) - J y less its mean, force = F on its own (the means
have yet to move) and 0 along the path (they have moved).  C z is the noise that is additive and of
every neuron's own, exact; all other noise is u, which enters like a force: its factor

    kappa = [(1 + e)/(1 - e) Lambda/2]^(1/2) / h^(1/2),    e = exp(-Lambda),  Lambda = -int_0^h L_kk

gives a variable of rate -L_kk the variance of frozen noise at any h, and is h^(-1/2) for short
steps (to order h^2).

Sources: Hochbruck & Ostermann 2010 (exponential Rosenbrock methods; the error estimate is that of
their second-order method with its corrector); docs/science.md, section 4.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import float64
from numba.extending import overload

from neurolim.core.model import MAX_FIELDS, MAX_VARIABLES
from neurolim.kernels.by_address import array_type, by_address, kept_by_address, provide
from neurolim.kernels.numba_types import (
    means_at,
    n_means,
    n_present,
    n_variables,
    parameters_at,
    state_in,
    vector_at,
    write,
)
from neurolim.kernels.shared import couple, propagate, propagate_any, provide_exponential
from neurolim.kernels.vectors import each_add, each_less, each_times
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.compiled import OPTIONS, kernel, maker
from neurolim.numerics.elementary import exp
from neurolim.numerics.exponential import cholesky
from neurolim.numerics.lowlevel import stack_array
from neurolim.provenance import code_digest

#: A substep of the path may correct itself by this share of its length.
_TOLERANCE = 0.02
#: Corrections of the order of rounding pass.
_FLOOR = 1e-10
#: No substep is shorter than this share of the step.
_SHORTEST = 1e-6
#: Beyond this, exp(-Lambda) counts as zero, or as growth without end.
_LARGE = 700.0

#: What `Modes.vectors` holds: R, F(R), the force on the mean, pull + gap at R, factors of noise
#: that is not exact, for fluctuations and means; then sums over the neurons of a site: mean of
#: drift(x) - J x, of the normals and of u, <drift(x)> - drift(<x>), what the corrector of the means
#: starts from; the means on their way; and what all neurons have still to be moved by.
BASE, FLOW, FORCE, RATE, KAPPA, KAPPA_MEAN = range(6)
BEND, NOISE, PUSH, EXCESS, RESIDUAL, MOVED, SHIFT = range(6, 13)
#: What `Modes.matrices` holds: slope J of the drift at the mean, covariance of the exact noise per
#: time, propagators of the fluctuations.
SLOPE, COVARIANCE, E, P1, P2, C = range(6)
#: What `Modes.blocks` holds: the generator B of the means (along the path: of its last substep)
#: and their propagators.
GENERATOR, P1_MEAN, P2_MEAN, C_MEAN = range(4)
#: What `Modes.stages` holds: means of the predictor, and K times them.
PREDICTED, RECEIVED = range(2)


class Modes(NamedTuple):
    """What an exponential step knows of means and fluctuations; P sites, d variables, nm means.

    vectors, matrices : of every site [13, P, d], [6, P, d, d]
    blocks : of coupled means [4, blocks, size, size]: P blocks of size d on its own, one of size
        P d along the path
    stages : [2, P, nm]
    scratch : [5, d, d]
    """

    vectors: Any
    matrices: Any
    blocks: Any
    stages: Any
    scratch: Any


def make_modes(n_sites: int, n_variables: int, n_means: int, along_a_path: bool) -> Modes:
    """Return the modes of a network that has yet to make a step."""
    P, d = n_sites, n_variables
    blocks, size = (1, P * d) if along_a_path else (P, d)
    return Modes(
        np.zeros((SHIFT + 1, P, d)),
        np.zeros((C + 1, P, d, d)),
        np.zeros((C_MEAN + 1, blocks, size, size)),
        np.zeros((RECEIVED + 1, P, n_means)),
        np.zeros((5, d, d)),
    )


@kernel
def noise_factor(decay, h):
    """Return kappa of a variable whose rate adds up to ``decay`` over the step h."""
    if abs(decay) < 1e-4:
        return (1.0 + decay * decay / 24.0) / np.sqrt(h)
    decay = min(max(decay, -_LARGE), _LARGE)
    left = exp(-decay)
    return np.sqrt((1.0 + left) / (1.0 - left) * 0.5 * decay / h)


@kernel
def on_its_own(code, network, modes, step):
    """Fill the modes of sites whose means relax one by one."""
    d, h = n_variables(code), network.h
    t = step * h
    rates = stack_array(np.float64, 2, MAX_VARIABLES)
    vectors, matrices = modes.vectors, modes.matrices
    blocks, scratch = modes.blocks, modes.scratch
    means, inputs = network.means, network.inputs
    L, E_mean = scratch[0], scratch[1]
    for s in range(means.shape[0]):
        p = parameters_at(code, network.rows, s)
        x, m, c = state_in(code, means, s), means_at(code, means, s), means_at(code, inputs, s)
        pull, target, gap = code.relax(m, c, p)
        flow = each_add(code.drift(t, x, m, c, p), each_times(pull, each_less(target, x)))
        write(rates, 0, pull)
        write(rates, 1, gap)
        write(vectors[BASE], s, vector_at(code, means, s))
        write(vectors[FLOW], s, flow)
        write(vectors[FORCE], s, flow)
        write(vectors[RATE], s, each_add(pull, gap))
        write(matrices[SLOPE], s, code.drift_x(x, m, c, p, t))
        write(matrices[COVARIANCE], s, code.covariance(p))
        J, S, B = matrices[SLOPE, s], matrices[COVARIANCE, s], blocks[GENERATOR, s]
        for k in range(d):
            for j in range(d):
                B[k, j] = J[k, j] - (rates[0, k] if j == k else 0.0)
                L[k, j] = B[k, j] - (rates[1, k] if j == k else 0.0)
            vectors[KAPPA_MEAN, s, k] = noise_factor(-h * B[k, k], h)
            vectors[KAPPA, s, k] = noise_factor(-h * L[k, k], h)
        propagate(code, B, S, h, E_mean, blocks[P1_MEAN, s], blocks[P2_MEAN, s], blocks[C_MEAN, s])
        propagate(code, L, S, h, matrices[E, s], matrices[P1, s], matrices[P2, s], matrices[C, s])


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


class Slopes(NamedTuple):
    """Derivatives of the flow at every site; nm means, of states and fields.

    at_x, at_m, at_c : of F by the state, the means and the inputs [P, d, d], [P, d, nm]
    pull, pull_m, pull_c : pull and its derivatives [P, d], [P, d, nm]
    current_m, current_c : derivatives of pull target [P, d, nm]
    field : of the fields by the state [P, n_fields, d]
    """

    at_x: Any
    at_m: Any
    at_c: Any
    pull: Any
    pull_m: Any
    pull_c: Any
    current_m: Any
    current_c: Any
    field: Any


@maker
def make_slopes(code, n_sites):
    """Return room for the slopes of a network."""
    d, nm = n_variables(code), n_means(code)
    return Slopes(
        np.zeros((n_sites, d, d)),
        np.zeros((n_sites, d, nm)),
        np.zeros((n_sites, d, nm)),
        np.zeros((n_sites, d)),
        np.zeros((n_sites, d, nm)),
        np.zeros((n_sites, d, nm)),
        np.zeros((n_sites, d, nm)),
        np.zeros((n_sites, d, nm)),
        np.zeros((n_sites, n_present(code) - d, d)),
    )


@kernel
def flow_slopes(code, means, inputs, rows, coupling, t, slopes, B):
    """Fill B = dF/dR [P d, P d] where ``flow_at`` has put means and inputs."""
    d, n_sites = n_variables(code), means.shape[0]
    for s in range(n_sites):
        p = parameters_at(code, rows, s)
        x, m, c = state_in(code, means, s), means_at(code, means, s), means_at(code, inputs, s)
        pull, _, _ = code.relax(m, c, p)
        write(slopes.pull, s, pull)
        write(slopes.at_x, s, code.drift_x(x, m, c, p, t))
        write(slopes.at_m, s, code.drift_m(x, m, c, p, t))
        write(slopes.at_c, s, code.drift_c(x, m, c, p, t))
        write(slopes.pull_m, s, code.pull_m(x, m, c, p, t))
        write(slopes.pull_c, s, code.pull_c(x, m, c, p, t))
        write(slopes.current_m, s, code.current_m(x, m, c, p, t))
        write(slopes.current_c, s, code.current_c(x, m, c, p, t))
        write(slopes.field, s, code.field_x(x, m, c, p, t))
        for k in range(d):
            slopes.at_x[s, k, k] -= slopes.pull[s, k]
            for a in range(n_means(code)):
                own = means[s, k]
                slopes.at_m[s, k, a] += slopes.current_m[s, k, a] - slopes.pull_m[s, k, a] * own
                slopes.at_c[s, k, a] += slopes.current_c[s, k, a] - slopes.pull_c[s, k, a] * own
    for s in range(n_sites):
        for r in range(n_sites):
            for k in range(d):
                for j in range(d):
                    by_m, by_c = slopes.at_m[s, k, j], slopes.at_c[s, k, j]
                    for a in range(n_present(code) - d):
                        by_m += slopes.at_m[s, k, d + a] * slopes.field[r, a, j]
                        by_c += slopes.at_c[s, k, d + a] * slopes.field[r, a, j]
                    here = slopes.at_x[s, k, j] + by_m if r == s else 0.0
                    B[s * d + k, r * d + j] = here + coupling[s, r] * by_c


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
        correction, length, place = 0.0, 0.0, 0.0
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
            place = max(place, abs(R[i // d, k]))
        worst = max(worst, correction / (_TOLERANCE * length + _FLOOR * (1.0 + place)))
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
    vectors, matrices, scratch = modes.vectors, modes.matrices, modes.scratch
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
    excess, slopes = np.zeros((n_sites, n_present(code) - d)), make_slopes(code, n_sites)
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
    provide(_predict_means, _correct_means)
    provide_exponential(len(code.type.state), code.type.rates_move)
    if code.type.rates_move:
        provide(_compose, _end_modes, _try_move, _correct_move)
        provide(_along_the_path, given=given)
    else:
        provide(_on_its_own, given=given)


@kernel
def predict_means(vectors, blocks):
    """Fill MOVED = R + P1_m (force + excess + kappa_m push) + C_m noise."""
    size, d = blocks.shape[2], vectors.shape[2]
    for block in range(blocks.shape[1]):
        for i in range(size):
            s, k = (block * size + i) // d, i % d
            total = vectors[BASE, s, k]
            for j in range(size):
                r, q = (block * size + j) // d, j % d
                pressed = vectors[FORCE, r, q] + vectors[EXCESS, r, q]
                pressed += vectors[KAPPA_MEAN, r, q] * vectors[PUSH, r, q]
                total += blocks[P1_MEAN, block, i, j] * pressed
                total += blocks[C_MEAN, block, i, j] * vectors[NOISE, r, q]
            vectors[MOVED, s, k] = total


@kernel
def correct_means(vectors, blocks):
    """Add P2_m [residual - B (MOVED - R)] to MOVED; the residual is spoilt."""
    size, d = blocks.shape[2], vectors.shape[2]
    for block in range(blocks.shape[1]):
        for i in range(size):
            s, k = (block * size + i) // d, i % d
            for j in range(size):
                r, q = (block * size + j) // d, j % d
                gone = vectors[MOVED, r, q] - vectors[BASE, r, q]
                vectors[RESIDUAL, s, k] -= blocks[GENERATOR, block, i, j] * gone
        for i in range(size):
            s, k = (block * size + i) // d, i % d
            for j in range(size):
                r, q = (block * size + j) // d, j % d
                vectors[MOVED, s, k] += blocks[P2_MEAN, block, i, j] * vectors[RESIDUAL, r, q]


# Products by plain loops: those of a linear algebra library differ from machine to machine.
@kernel
def _product(out, a, b):
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = 0.0
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            out[i, j] = total


for _kernel in (on_its_own, along_the_path):
    keep_compiled(_kernel, code_digest(__name__))
_predict_means = kept_by_address(predict_means, (_rows, _sites))
_correct_means = kept_by_address(correct_means, (_rows, _sites))
