r"""How the means of the sites move over an exponential step, before any neuron does.

The step splits the network into the means of its sites and the fluctuations of the neurons about
them (``_schemes.py``).  This file finds the propagators of both, and the point R near which the
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

    predictor   M^ = R + P1_m (force + excess) + C_m <z>,    y^ = E_y y + P1_y N(x) + C_y (z - <z>)
    corrector   M' = M^ + P2_m [<drift(X^)> + pull^ (target^ - M^) - F - B (M^ - R) - excess]
                y' = y^ + P2_y [N(X^) - N(x) - (pull^ + gap^ - rate) y^],

excess = <drift(x)> - drift(M), N(x) = drift(x) - J y less its mean, force = F on its own (the means
have yet to move) and 0 along the path (they have moved).

Sources: Hochbruck & Ostermann 2010 (exponential Rosenbrock methods; the error estimate is that of
their second-order method with its corrector); docs/science.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple

from neurolim.numerics.cache import named
from neurolim.numerics.exponential import cholesky, propagator
from neurolim.numerics.lowlevel import stack_array

#: Step of the central differences of the flow, as a share of |x| where that exceeds one.
_SLOPE_STEP = 2.0**-10
#: A substep of the path may correct itself by this share of its length.
_TOLERANCE = 0.02
#: Corrections of the order of rounding pass.
_FLOOR = 1e-10
#: No substep is shorter than this share of the step.
_SHORTEST = 1e-6


class Modes(NamedTuple):
    """What an exponential step needs to know of means and fluctuations; P sites, d variables.

    base, flow, force, rate : R, F(R), the force on the mean and pull + gap at R [P, d]
    J : slope of the drift at the mean [P, d, d]
    B, P1m, P2m, Cm : generator (along the path: of its last substep) and propagators of the
        means, in blocks of coupled ones [blocks, size, size]: P blocks of size d on its own, one
        of size P d along the path
    E, P1, P2, C : propagators of the fluctuations [P, d, d]
    """

    base: Any
    flow: Any
    force: Any
    rate: Any
    J: Any
    B: Any
    P1m: Any
    P2m: Any
    Cm: Any
    E: Any
    P1: Any
    P2: Any
    C: Any


class ModelCode(NamedTuple):
    """Compiled functions of a model.

    drift, relax, noise, field : as in core.Equations
    drift_x : as in structure.Derivatives
    parameters : (rows, site) -> parameters of a site
    means_of : row of means -> tuple
    couple : (coupling, means, inputs) fills inputs = K means
    """

    drift: Callable[..., Any]
    relax: Callable[..., Any]
    noise: Callable[..., Any]
    field: Callable[..., Any]
    drift_x: Callable[..., Any]
    parameters: Callable[..., Any]
    means_of: Callable[..., Any]
    couple: Callable[..., Any]


def mean_mode(
    d: int, n_fields: int, feedback: bool, code: ModelCode, tag: str
) -> tuple[Callable[..., Modes], Callable[..., None]]:
    """Return compiled ``(room, find)``: ``room(P)`` makes Modes, ``find`` fills them.

    Parameters
    ----------
    d, n_fields : number of state variables and of fields
    feedback : pull or gap depend on the fields: means move along their common path
    code : the model
    tag : names what the functions close over

    ``find(modes, means, inputs, rows, coupling, h)`` takes the means [P, d + n_fields], their
    inputs K means and the step h.
    """
    drift, relax, noise, field, drift_x, parameters, means_of, couple = code
    propagate, propagate_all = propagator(d), propagator(0)

    def compiled(function: Any) -> Any:
        return njit(error_model="numpy", nogil=True)(named(function, tag))

    @compiled
    def room(n_sites):
        blocks, size = (1, n_sites * d) if feedback else (n_sites, d)
        return Modes(
            np.empty((n_sites, d)),
            np.empty((n_sites, d)),
            np.zeros((n_sites, d)),
            np.empty((n_sites, d)),
            np.empty((n_sites, d, d)),
            np.empty((blocks, size, size)),
            np.empty((blocks, size, size)),
            np.empty((blocks, size, size)),
            np.empty((blocks, size, size)),
            np.empty((n_sites, d, d)),
            np.empty((n_sites, d, d)),
            np.empty((n_sites, d, d)),
            np.empty((n_sites, d, d)),
        )

    @compiled
    def slopes(m, c, p, J):
        """Fill J [d, d] with the slope of the drift at the site mean."""
        found = drift_x(m[:d], m, c, p)
        for k in range(d):
            for j in range(d):
                J[k, j] = found[k * d + j]

    @compiled
    def on_its_own(modes, means, inputs, rows, coupling, h):
        """Fill the modes of sites whose means relax one by one."""
        amplitudes = stack_array(np.float64, 1, d)[0]
        L, E = stack_array(np.float64, d, d), stack_array(np.float64, d, d)
        for s in range(means.shape[0]):
            p = parameters(rows, s)
            m, c = means_of(means[s]), means_of(inputs[s])
            pull, target, gap = relax(m, c, p)
            sigma = noise(p)
            slopes(m, c, p, modes.J[s])
            at_mean = drift(m[:d], m, c, p)
            for k in range(d):
                amplitudes[k] = sigma[k]
                modes.base[s, k] = m[k]
                modes.flow[s, k] = at_mean[k] + pull[k] * (target[k] - m[k])
                modes.force[s, k] = modes.flow[s, k]
                modes.rate[s, k] = pull[k] + gap[k]
                for j in range(d):
                    modes.B[s, k, j] = modes.J[s, k, j] - (pull[k] if j == k else 0.0)
                    L[k, j] = modes.B[s, k, j] - (gap[k] if j == k else 0.0)
            propagate(modes.B[s], amplitudes, h, E, modes.P1m[s], modes.P2m[s], modes.Cm[s])
            propagate(L, amplitudes, h, modes.E[s], modes.P1[s], modes.P2[s], modes.C[s])

    @compiled
    def flow_at(R, excess, rows, coupling, means, inputs, F, rate):
        """Fill F [P, d] and the rates pull + gap [P, d] of neurons at R [P, d]."""
        for s in range(R.shape[0]):
            x, p = to_fixed_tuple(R[s], d), parameters(rows, s)
            sent = field(x, p)
            for k in range(d):
                means[s, k] = R[s, k]
            for k in range(n_fields):
                means[s, d + k] = sent[k] + excess[s, k]
        couple(coupling, means, inputs)
        for s in range(R.shape[0]):
            m, c = means_of(means[s]), means_of(inputs[s])
            p = parameters(rows, s)
            pull, target, gap = relax(m, c, p)
            slope = drift(m[:d], m, c, p)
            for k in range(d):
                F[s, k] = slope[k] + pull[k] * (target[k] - R[s, k])
                rate[s, k] = pull[k] + gap[k]

    @compiled
    def flow_slopes(R, excess, rows, coupling, means, inputs, B, up, down, rate):
        """Fill B = dF/dR [P d, P d] by central differences."""
        for j in range(R.size):
            s, k = j // d, j % d
            x = R[s, k]
            step = _SLOPE_STEP * max(1.0, abs(x))
            R[s, k] = x + step
            flow_at(R, excess, rows, coupling, means, inputs, up, rate)
            R[s, k] = x - step
            flow_at(R, excess, rows, coupling, means, inputs, down, rate)
            R[s, k] = x
            for i in range(R.size):
                B[i, j] = (up[i // d, i % d] - down[i // d, i % d]) / (2.0 * step)

    @compiled
    def compose(E, P1, P2, Q, part_E, part_P1, part_P2, part_C, begin, tau, h):
        """Follow propagators over [0, begin] by those of a substep tau.

        For dx = L(t) x + g(t) with g affine over the whole step h: P2 = int Phi(h, s) s/h ds.
        """
        P2[:] = _times(part_E, P2) + (begin / h) * part_P1 + (tau / h) * part_P2
        P1[:] = _times(part_E, P1) + part_P1
        Q[:] = _times(_times(part_E, Q), part_E.T) + _times(part_C, part_C.T)
        E[:] = _times(part_E, E)

    @compiled
    def along_the_path(modes, means, inputs, rows, coupling, h):
        """Fill the modes of sites whose means pull at each other."""
        n_sites = means.shape[0]
        size = n_sites * d
        R, F, rate = modes.base, modes.flow, modes.rate
        new_R, new_F, new_rate = np.empty_like(R), np.empty_like(R), np.empty_like(R)
        up, down, at = np.empty_like(R), np.empty_like(R), np.empty_like(R)
        around, received = np.empty_like(means), np.empty_like(means)
        excess = np.empty((n_sites, n_fields))
        B, new_B = modes.B[0], np.empty((size, size))
        E, P1, P2, C = np.empty((4, size, size))
        local = np.empty((5, d, d))
        mean_E, mean_Q = np.eye(size), np.zeros((size, size))
        site_Q = np.zeros((n_sites, d, d))
        sigma = np.empty((n_sites, d))
        modes.P1m[:] = 0.0
        modes.P2m[:] = 0.0
        modes.P1[:] = 0.0
        modes.P2[:] = 0.0
        for s in range(n_sites):
            p = parameters(rows, s)
            m, c = means_of(means[s]), means_of(inputs[s])
            slopes(m, c, p, modes.J[s])
            sent, amplitudes = field(m[:d], p), noise(p)
            for k in range(d):
                R[s, k] = m[k]
                sigma[s, k] = amplitudes[k]
            for k in range(n_fields):
                excess[s, k] = m[d + k] - sent[k]
            modes.E[s] = np.eye(d)
        flow_at(R, excess, rows, coupling, around, received, F, rate)
        flow_slopes(R, excess, rows, coupling, around, received, B, up, down, at)

        begin, tau = 0.0, h
        while begin < h:
            # A network that has overflowed gets one last substep: its record will tell.
            healthy = np.isfinite(F).all()
            if not healthy:
                tau = h - begin
            propagate_all(B, sigma.ravel(), tau, E, P1, P2, C)
            move = _applied(P1, F.ravel())
            new_R[:] = R + move.reshape(R.shape)
            flow_at(new_R, excess, rows, coupling, around, received, new_F, new_rate)
            flow_slopes(new_R, excess, rows, coupling, around, received, new_B, up, down, at)
            bend = _applied(P2, new_F.ravel() - F.ravel() - _applied(B, move))
            # The bend alone is fooled where the flow is the same at both ends of a long move.
            turn = _applied(P2, _applied(new_B - B, move)) * 0.5
            ratio = _worst(bend, turn, move, R.ravel(), d)
            if ratio > 1.0 and tau > _SHORTEST * h and healthy:
                tau *= max(0.1, 0.8 / np.sqrt(ratio))
                continue
            new_R += bend.reshape(R.shape)
            # Rates half way between the ends are second order in the substep.
            flow_at(new_R, excess, rows, coupling, around, received, new_F, new_rate)
            compose(mean_E, modes.P1m[0], modes.P2m[0], mean_Q, E, P1, P2, C, begin, tau, h)
            for s in range(n_sites):
                local[4] = modes.J[s]
                for k in range(d):
                    local[4, k, k] -= 0.5 * (rate[s, k] + new_rate[s, k])
                propagate(local[4], sigma[s], tau, local[0], local[1], local[2], local[3])
                compose(
                    modes.E[s], modes.P1[s], modes.P2[s], site_Q[s],
                    local[0], local[1], local[2], local[3], begin, tau, h,
                )  # fmt: skip
            R[:], F[:], rate[:] = new_R, new_F, new_rate
            begin += tau
            left = h - begin
            if left <= 1e-12 * h or not healthy:
                break
            tau = min(left, tau * min(5.0, max(0.1, 0.8 / np.sqrt(max(ratio, 1e-9)))))
            flow_slopes(R, excess, rows, coupling, around, received, B, up, down, at)
        cholesky(mean_Q, modes.Cm[0])
        for s in range(n_sites):
            cholesky(site_Q[s], modes.C[s])

    return room, along_the_path if feedback else on_its_own


@njit(error_model="numpy")
def predict_means(modes, excess, noise, moved):
    """Fill moved = R + P1_m (force + excess) + C_m noise, all [P, d]."""
    size = modes.P1m.shape[1]
    base, force = modes.base.ravel(), modes.force.ravel()
    excess, noise = excess.ravel(), noise.ravel()
    out = moved.ravel()
    for block in range(modes.P1m.shape[0]):
        first = block * size
        for i in range(size):
            total = base[first + i]
            for j in range(size):
                total += modes.P1m[block, i, j] * (force[first + j] + excess[first + j])
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
