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
from numba import njit
from numba.extending import overload

from neurolim.core.model import MAX_FIELDS, MAX_VARIABLES
from neurolim.kernels.euler import couple
from neurolim.kernels.numba_types import (
    means_at,
    n_means,
    n_variables,
    parameters_at,
    rates_move,
    state_in,
    vector_at,
    write,
)
from neurolim.kernels.shared import propagate, propagate_any
from neurolim.kernels.vectors import each_add, each_less, each_times
from neurolim.numerics.elementary import exp
from neurolim.numerics.exponential import cholesky
from neurolim.numerics.lowlevel import stack_array

#: A substep of the path may correct itself by this share of its length.
_TOLERANCE = 0.02
#: Corrections of the order of rounding pass.
_FLOOR = 1e-10
#: No substep is shorter than this share of the step.
_SHORTEST = 1e-6
#: Beyond this, exp(-Lambda) counts as zero, or as growth without end.
_LARGE = 700.0


class Modes(NamedTuple):
    """What an exponential step needs to know of means and fluctuations; P sites, d variables.

    base, flow, force, rate : R, F(R), the force on the mean and pull + gap at R [P, d]
    J : slope of the drift at the mean [P, d, d]
    S : covariance of the exact noise per time [P, d, d]
    B, P1m, P2m, Cm : generator (along the path: of its last substep) and propagators of the
        means, in blocks of coupled ones [blocks, size, size]: P blocks of size d on its own, one
        of size P d along the path
    E, P1, P2, C : propagators of the fluctuations [P, d, d]
    kappa, kappa_m : factors of all other noise, for the fluctuations and for the means [P, d]
    scratch : [5, d, d]
    """

    base: Any
    flow: Any
    force: Any
    rate: Any
    J: Any
    S: Any
    B: Any
    P1m: Any
    P2m: Any
    Cm: Any
    E: Any
    P1: Any
    P2: Any
    C: Any
    kappa: Any
    kappa_m: Any
    scratch: Any


@njit(error_model="numpy", nogil=True)
def make_modes(code, n_sites):
    """Return room for the modes of a network."""
    d = n_variables(code)
    blocks, size = (1, n_sites * d) if rates_move(code) else (n_sites, d)
    return Modes(
        np.empty((n_sites, d)),
        np.empty((n_sites, d)),
        np.zeros((n_sites, d)),
        np.empty((n_sites, d)),
        np.empty((n_sites, d, d)),
        np.empty((n_sites, d, d)),
        np.empty((blocks, size, size)),
        np.empty((blocks, size, size)),
        np.empty((blocks, size, size)),
        np.empty((blocks, size, size)),
        np.empty((n_sites, d, d)),
        np.empty((n_sites, d, d)),
        np.empty((n_sites, d, d)),
        np.empty((n_sites, d, d)),
        np.empty((n_sites, d)),
        np.empty((n_sites, d)),
        np.empty((5, d, d)),
    )


@njit(error_model="numpy")
def noise_factor(decay, h):
    """Return kappa of a variable whose rate adds up to ``decay`` over the step h."""
    if abs(decay) < 1e-4:
        return (1.0 + decay * decay / 24.0) / np.sqrt(h)
    decay = min(max(decay, -_LARGE), _LARGE)
    left = exp(-decay)
    return np.sqrt((1.0 + left) / (1.0 - left) * 0.5 * decay / h)


@njit(error_model="numpy", nogil=True)
def on_its_own(code, modes, means, inputs, rows, coupling, t, h):
    """Fill the modes of sites whose means relax one by one."""
    d = n_variables(code)
    rates = stack_array(np.float64, 2, MAX_VARIABLES)
    L, E = modes.scratch[0], modes.scratch[1]
    for s in range(means.shape[0]):
        p = parameters_at(code, rows, s)
        x, m, c = state_in(code, means, s), means_at(code, means, s), means_at(code, inputs, s)
        pull, target, gap = code.relax(m, c, p)
        write(rates, 0, pull)
        write(rates, 1, gap)
        flow = each_add(code.drift(t, x, m, c, p), each_times(pull, each_less(target, x)))
        write(modes.J, s, code.drift_x(x, m, c, p, t))
        write(modes.S, s, code.covariance(p))
        write(modes.base, s, vector_at(code, means, s))
        write(modes.flow, s, flow)
        write(modes.force, s, flow)
        write(modes.rate, s, each_add(pull, gap))
        for k in range(d):
            for j in range(d):
                modes.B[s, k, j] = modes.J[s, k, j] - (rates[0, k] if j == k else 0.0)
                L[k, j] = modes.B[s, k, j] - (rates[1, k] if j == k else 0.0)
            modes.kappa_m[s, k] = noise_factor(-h * modes.B[s, k, k], h)
            modes.kappa[s, k] = noise_factor(-h * L[k, k], h)
        propagate(code, modes.B[s], modes.S[s], h, E, modes.P1m[s], modes.P2m[s], modes.Cm[s])
        propagate(code, L, modes.S[s], h, modes.E[s], modes.P1[s], modes.P2[s], modes.C[s])


@njit(error_model="numpy", nogil=True)
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
        for k in range(n_means(code) - d):
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


@njit(error_model="numpy")
def make_slopes(code, n_sites):
    """Return room for the slopes of a network."""
    d, nm = n_variables(code), n_means(code)
    return Slopes(
        np.empty((n_sites, d, d)),
        np.empty((n_sites, d, nm)),
        np.empty((n_sites, d, nm)),
        np.empty((n_sites, d)),
        np.empty((n_sites, d, nm)),
        np.empty((n_sites, d, nm)),
        np.empty((n_sites, d, nm)),
        np.empty((n_sites, d, nm)),
        np.empty((n_sites, nm - d, d)),
    )


@njit(error_model="numpy", nogil=True)
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
                    for a in range(n_means(code) - d):
                        by_m += slopes.at_m[s, k, d + a] * slopes.field[r, a, j]
                        by_c += slopes.at_c[s, k, d + a] * slopes.field[r, a, j]
                    here = slopes.at_x[s, k, j] + by_m if r == s else 0.0
                    B[s * d + k, r * d + j] = here + coupling[s, r] * by_c


@njit(error_model="numpy")
def compose(E, P1, P2, Q, part_E, part_P1, part_P2, part_C, begin, tau, h):
    """Follow propagators over [0, begin] by those of a substep tau.

    For dx = L(t) x + g(t) with g affine over the whole step h: P2 = int Phi(h, s) s/h ds.
    """
    P2[:] = _times(part_E, P2) + (begin / h) * part_P1 + (tau / h) * part_P2
    P1[:] = _times(part_E, P1) + part_P1
    Q[:] = _times(_times(part_E, Q), part_E.T) + _times(part_C, part_C.T)
    E[:] = _times(part_E, E)


@njit(error_model="numpy", nogil=True)
def start_path(code, modes, means, inputs, rows, t, excess, S):
    """Begin the path at the means: no time has passed; ``excess`` and the noise S [P d, P d]."""
    d, n_sites = n_variables(code), means.shape[0]
    fields = stack_array(np.float64, 1, MAX_FIELDS)
    modes.P1m[:] = 0.0
    modes.P2m[:] = 0.0
    modes.P1[:] = 0.0
    modes.P2[:] = 0.0
    modes.E[:] = 0.0
    modes.kappa[:] = 0.0
    modes.kappa_m[:] = 0.0
    S[:] = 0.0
    for s in range(n_sites):
        p = parameters_at(code, rows, s)
        x, m, c = state_in(code, means, s), means_at(code, means, s), means_at(code, inputs, s)
        write(modes.base, s, vector_at(code, means, s))
        write(modes.J, s, code.drift_x(x, m, c, p, t))
        write(modes.S, s, code.covariance(p))
        write(fields, 0, code.field(x, p))
        for k in range(n_means(code) - d):
            excess[s, k] = means[s, d + k] - fields[0, k]
        for k in range(d):
            modes.E[s, k, k] = 1.0
            for j in range(d):
                S[s * d + k, s * d + j] = modes.S[s, k, j]


@njit(error_model="numpy", nogil=True)
def follow_sites(code, modes, site_Q, rate, new_rate, begin, tau, h):
    """Take the propagators of the fluctuations along a substep; rates half way are second order."""
    E, P1, P2, C, L = (
        modes.scratch[0], modes.scratch[1], modes.scratch[2], modes.scratch[3], modes.scratch[4],
    )  # fmt: skip
    for s in range(rate.shape[0]):
        L[:] = modes.J[s]
        for k in range(n_variables(code)):
            L[k, k] -= 0.5 * (rate[s, k] + new_rate[s, k])
            # Rates add up here; the end of the path makes factors of them.
            modes.kappa[s, k] -= tau * L[k, k]
        propagate(code, L, modes.S[s], tau, E, P1, P2, C)
        compose(
            modes.E[s], modes.P1[s], modes.P2[s], site_Q[s], E, P1, P2, C, begin, tau, h
        )


@njit(error_model="numpy", nogil=True)
def end_path(code, modes, mean_Q, site_Q, h):
    """Fill the factors of the noise, where the path has ended."""
    cholesky(mean_Q, modes.Cm[0])
    for s in range(site_Q.shape[0]):
        cholesky(site_Q[s], modes.C[s])
        for k in range(n_variables(code)):
            modes.kappa[s, k] = noise_factor(modes.kappa[s, k], h)
            modes.kappa_m[s, k] = noise_factor(modes.kappa_m[s, k], h)


@njit(error_model="numpy", nogil=True)
def along_the_path(code, modes, means, inputs, rows, coupling, t, h):
    """Fill the modes of sites whose means pull at each other; time stands at the step's start."""
    n_sites, d = means.shape[0], n_variables(code)
    size = n_sites * d
    R, F, rate, B = modes.base, modes.flow, modes.rate, modes.B[0]
    new_R, new_F, new_rate = np.empty_like(R), np.empty_like(R), np.empty_like(R)
    around, received = np.empty_like(means), np.empty_like(means)
    excess, slopes = np.empty((n_sites, n_means(code) - d)), make_slopes(code, n_sites)
    new_B, S = np.empty((size, size)), np.empty((size, size))
    E, P1, P2, C = np.empty((4, size, size))
    mean_E, mean_Q, site_Q = np.eye(size), np.zeros((size, size)), np.zeros((n_sites, d, d))
    start_path(code, modes, means, inputs, rows, t, excess, S)
    flow_at(code, R, excess, rows, coupling, t, around, received, F, rate)
    flow_slopes(code, around, received, rows, coupling, t, slopes, B)

    begin, tau = 0.0, h
    while begin < h:
        # A network that has overflowed gets one last substep: its record will tell.
        healthy = np.isfinite(F).all()
        if not healthy:
            tau = h - begin
        propagate_any(B, S, tau, E, P1, P2, C)
        move = _applied(P1, F.ravel())
        new_R[:] = R + move.reshape(R.shape)
        flow_at(code, new_R, excess, rows, coupling, t, around, received, new_F, new_rate)
        flow_slopes(code, around, received, rows, coupling, t, slopes, new_B)
        bend = _applied(P2, new_F.ravel() - F.ravel() - _applied(B, move))
        # The bend alone is fooled where the flow is the same at both ends of a long move.
        turn = _applied(P2, _applied(new_B - B, move)) * 0.5
        ratio = _worst(bend, turn, move, R.ravel(), d)
        if ratio > 1.0 and tau > _SHORTEST * h and healthy:
            tau *= max(0.1, 0.8 / np.sqrt(ratio))
            continue
        new_R += bend.reshape(R.shape)
        flow_at(code, new_R, excess, rows, coupling, t, around, received, new_F, new_rate)
        compose(mean_E, modes.P1m[0], modes.P2m[0], mean_Q, E, P1, P2, C, begin, tau, h)
        for i in range(size):
            modes.kappa_m[i // d, i % d] -= tau * B[i, i]
        follow_sites(code, modes, site_Q, rate, new_rate, begin, tau, h)
        R[:], F[:], rate[:] = new_R, new_F, new_rate
        begin += tau
        left = h - begin
        if left <= 1e-12 * h or not healthy:
            break
        tau = min(left, tau * min(5.0, max(0.1, 0.8 / np.sqrt(max(ratio, 1e-9)))))
        flow_slopes(code, around, received, rows, coupling, t, slopes, B)
    end_path(code, modes, mean_Q, site_Q, h)


def find_modes(
    code: Any, modes: Any, means: Any, inputs: Any, rows: Any, coupling: Any, t: float, h: float
) -> None:
    """Fill the modes of a network; of the two cases above only that of the model is compiled."""
    raise NotImplementedError  # for kernels only


@overload(find_modes, jit_options={"error_model": "numpy"})
def _find_modes(code, modes, means, inputs, rows, coupling, t, h):
    find = along_the_path if code.rates_move else on_its_own

    def find_them(code, modes, means, inputs, rows, coupling, t, h):
        find(code, modes, means, inputs, rows, coupling, t, h)

    return find_them


@njit(error_model="numpy")
def predict_means(modes, excess, noise, push, moved):
    """Fill moved = R + P1_m (force + excess + kappa_m push) + C_m noise, all [P, d]."""
    size = modes.P1m.shape[1]
    base, force = modes.base.ravel(), modes.force.ravel()
    excess, noise = excess.ravel(), noise.ravel()
    push, kappa = push.ravel(), modes.kappa_m.ravel()
    out = moved.ravel()
    for block in range(modes.P1m.shape[0]):
        first = block * size
        for i in range(size):
            total = base[first + i]
            for j in range(size):
                pressed = force[first + j] + excess[first + j] + kappa[first + j] * push[first + j]
                total += modes.P1m[block, i, j] * pressed
                total += modes.Cm[block, i, j] * noise[first + j]
            out[first + i] = total


@njit(error_model="numpy")
def correct_means(modes, residual, moved):
    """Add P2_m [residual - B (moved - R)] to ``moved``; ``residual`` is spoilt."""
    size = modes.P2m.shape[1]
    base, left, out = modes.base.ravel(), residual.ravel(), moved.ravel()
    for block in range(modes.P2m.shape[0]):
        first = block * size
        for i in range(size):
            for j in range(size):
                left[first + i] -= modes.B[block, i, j] * (out[first + j] - base[first + j])
        for i in range(size):
            for j in range(size):
                out[first + i] += modes.P2m[block, i, j] * left[first + j]


# Products by plain loops: those of a linear algebra library differ from machine to machine.


@njit(error_model="numpy")
def _times(a, b):
    """Return the product of two matrices."""
    out = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[i, k] * b[k, j]
    return out


@njit(error_model="numpy")
def _applied(a, x):
    """Return the product of a matrix and a vector."""
    out = np.zeros(a.shape[0])
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            out[i] += a[i, k] * x[k]
    return out


@njit(error_model="numpy")
def _worst(bend, turn, move, R, d):
    """Return the largest correction of a substep in units of what is allowed, per variable."""
    worst = 0.0
    for k in range(d):
        correction, length, place = 0.0, 0.0, 0.0
        for i in range(k, R.size, d):
            if not np.isfinite(bend[i] + turn[i]):
                return np.inf
            correction = max(correction, abs(bend[i]), abs(turn[i]))
            length = max(length, abs(move[i]))
            place = max(place, abs(R[i]))
        worst = max(worst, correction / (_TOLERANCE * length + _FLOOR * (1.0 + place)))
    return worst
