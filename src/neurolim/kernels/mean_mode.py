r"""How the means of the sites move over an exponential step, before any neuron does.

The step splits the network into the means of its sites and the fluctuations of the neurons about
them (``exponential.py``).  This file finds the propagators of both, and the point R near which the
means end up.  Two cases:

``on its own``
    Pull and gap depend on neither means nor inputs.  The mean of a site has the generator
    L_m = J - pull, J the slope of the drift at the mean; R is where the mean is now.
    Where means enter the drift, or what synapses pull to, the own site's part is in L_m,
    and all sites are taken together: P1_m and P2_m are those of one generator, which act on vectors
    and are never formed (``mean_slopes.py``).

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
from numba import float64, int64
from numba.extending import overload

from neurolim.core.model import MAX_VARIABLES
from neurolim.kernels.access import means_at, parameters_at, state_in, vector_at, write
from neurolim.kernels.by_address import array_type, kept_by_address, provide
from neurolim.kernels.mean_slopes import (
    FIELD,
    add_own_means,
    apply_generator,
    fill_slopes,
    joint_rate,
    move_together,
)
from neurolim.kernels.numba_types import n_means, n_present, n_variables
from neurolim.kernels.shared import propagate
from neurolim.kernels.vectors import each_add, each_less, each_times
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.compiled import OPTIONS, inlined, kernel, maker
from neurolim.numerics.elementary import exp
from neurolim.numerics.lowlevel import shaped, stack_array
from neurolim.provenance import code_digest

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
    work : five matrices [d, d] to work with; then, where means act on each other, the slopes of
        their flow, the weights K[s, r] of the other sites, [r, s], and |B| of all means together,
        0 while they are taken one by one.  One array, for every one more costs time at every call
    """

    vectors: Any
    matrices: Any
    blocks: Any
    stages: Any
    work: Any


def make_modes(code: Any, coupling: np.ndarray) -> Modes:
    """Return the modes of a network that has yet to make a step.

    Parameters
    ----------
    code : the model
    coupling : weights K [P, P]
    """
    model = code.type
    P, d, n_means, along_a_path = (
        len(coupling), len(model.state), len(model.means), model.rates_move,
    )  # fmt: skip
    blocks, size = (1, P * d) if along_a_path else (P, d)
    across = np.where(np.eye(P) == 1.0, 0.0, coupling).T.ravel()
    more = [np.zeros((FIELD + 1) * P * d * n_means), across, np.zeros(1)]
    if not (along_a_path or model.means_act):
        more = []
    return Modes(
        np.zeros((SHIFT + 1, P, d)),
        np.zeros((C + 1, P, d, d)),
        np.zeros((C_MEAN + 1, blocks, size, size)),
        np.zeros((RECEIVED + 1, P, n_means)),
        np.concatenate([np.zeros(5 * d * d), *more]),
    )


@inlined
def scratch_in(work, d):
    """Return five matrices to work with [5, d, d]."""
    return shaped(work, 0, (5, d, d))


@inlined
def slopes_in(work, n_sites, d, n_means):
    """Return the slopes of the flow of the means, as `fill_slopes` fills them."""
    return shaped(work, 5 * d * d, (FIELD + 1, n_sites, d * n_means))


@inlined
def across_in(work, n_sites):
    """Return the weights of the other sites, [r, s]."""
    return shaped(work, work.size - 1 - n_sites * n_sites, (n_sites, n_sites))


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
    blocks, scratch = modes.blocks, scratch_in(modes.work, d)
    means, inputs = network.means, network.inputs
    L, E_mean = scratch[0], scratch[1]
    find_slopes(code, network, modes, t)
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
        add_own(code, network, modes, s)
        for k in range(d):
            vectors[KAPPA_MEAN, s, k] = noise_factor(-h * B[k, k], h)
            vectors[KAPPA, s, k] = noise_factor(-h * L[k, k], h)
        propagate(code, B, S, h, E_mean, blocks[P1_MEAN, s], blocks[P2_MEAN, s], blocks[C_MEAN, s])
        propagate(code, L, S, h, matrices[E, s], matrices[P1, s], matrices[P2, s], matrices[C, s])
    find_joint_rate(code, network, modes)


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


@maker
def predict_together(vectors, blocks, slopes, across, n_fields, h, rate):
    """Fill MOVED like `predict_means`, of means that act on each other.

    Noise that comes in during the step acts on the other means, too, to second order.
    """
    own, (n_sites, d) = blocks[GENERATOR], vectors[MOVED].shape
    work = np.zeros((4, n_sites, d))
    shaken, steady, rising, moved = work[0], work[1], work[2], work[3]
    for s in range(n_sites):
        for k in range(d):
            steady[s, k] = vectors[FORCE, s, k] + vectors[EXCESS, s, k]
            steady[s, k] += vectors[KAPPA_MEAN, s, k] * vectors[PUSH, s, k]
            for j in range(d):
                shaken[s, k] += blocks[C_MEAN, s, k, j] * vectors[NOISE, s, j]
    apply_generator(own, slopes, across, n_fields, shaken, rising)
    for s in range(n_sites):
        for k in range(d):
            for j in range(d):
                rising[s, k] -= own[s, k, j] * shaken[s, j]
    move_together(own, slopes, across, n_fields, h, rate, steady, rising, moved)
    for s in range(n_sites):
        for k in range(d):
            vectors[MOVED, s, k] = vectors[BASE, s, k] + shaken[s, k] + moved[s, k]


@maker
def correct_together(vectors, blocks, slopes, across, n_fields, h, rate):
    """Add to MOVED like `correct_means`, of means that act on each other."""
    own, (n_sites, d) = blocks[GENERATOR], vectors[MOVED].shape
    work = np.zeros((4, n_sites, d))
    gone, rising, steady, moved = work[0], work[1], work[2], work[3]
    for s in range(n_sites):
        for k in range(d):
            gone[s, k] = vectors[MOVED, s, k] - vectors[BASE, s, k]
    apply_generator(own, slopes, across, n_fields, gone, rising)
    for s in range(n_sites):
        for k in range(d):
            rising[s, k] = vectors[RESIDUAL, s, k] - rising[s, k]
    move_together(own, slopes, across, n_fields, h, rate, steady, rising, moved)
    for s in range(n_sites):
        for k in range(d):
            vectors[MOVED, s, k] += moved[s, k]


def find_slopes(code: Any, network: Any, modes: Any, t: float) -> None:
    """Fill the slopes of the flow, where means act on each other."""
    raise NotImplementedError  # for kernels only


def add_own(code: Any, network: Any, modes: Any, s: int) -> None:
    """Add to a site's generator what its own means do to it."""
    raise NotImplementedError  # for kernels only


def find_joint_rate(code: Any, network: Any, modes: Any) -> None:
    """Find whether the means of a network act on each other, for models in which they may."""
    raise NotImplementedError  # for kernels only


def predict_all(code: Any, network: Any, modes: Any) -> None:
    """Fill where the means of the predictor are, MOVED."""
    raise NotImplementedError  # for kernels only


def correct_all(code: Any, network: Any, modes: Any) -> None:
    """Correct where the means end, MOVED."""
    raise NotImplementedError  # for kernels only


@overload(find_slopes, jit_options=OPTIONS)
def _find_slopes(code, network, modes, t):
    def find_them(code, network, modes, t):
        means, inputs = network.means, network.inputs
        slopes = slopes_in(modes.work, means.shape[0], n_variables(code), n_means(code))
        fill_slopes(code, means, inputs, network.rows, t, slopes)

    return find_them if code.means_act else lambda code, network, modes, t: None


@overload(add_own, jit_options=OPTIONS)
def _add_own(code, network, modes, s):
    def add_them(code, network, modes, s):
        d, n_fields = n_variables(code), n_present(code) - n_variables(code)
        slopes = slopes_in(modes.work, network.means.shape[0], d, n_means(code))
        add_own_means(slopes, network.coupling, s, n_fields, modes.blocks[GENERATOR, s])

    return add_them if code.means_act else lambda code, network, modes, s: None


@overload(find_joint_rate, jit_options=OPTIONS)
def _find_joint_rate(code, network, modes):
    def find_rate(code, network, modes):
        own, n_sites, d = modes.blocks[GENERATOR], network.means.shape[0], n_variables(code)
        slopes = slopes_in(modes.work, n_sites, d, n_means(code))
        across, n_fields = across_in(modes.work, n_sites), n_present(code) - d
        if n_sites > 1:
            modes.work[-1] = joint_rate(own, slopes, across, n_fields, network.h)

    return find_rate if code.means_act else lambda code, network, modes: None


def _either(alone: Any, together: Any) -> Any:
    """Return the overload of what is done with means, one by one or together."""

    def choose(code, network, modes):
        def one_by_one(code, network, modes):
            alone(modes.vectors, modes.blocks)

        def as_they_act(code, network, modes):
            vectors, blocks, rate = modes.vectors, modes.blocks, modes.work[-1]
            n_sites, d = network.means.shape[0], n_variables(code)
            if rate > 0.0:
                slopes = slopes_in(modes.work, n_sites, d, n_means(code))
                across, n_fields = across_in(modes.work, n_sites), n_present(code) - d
                together(vectors, blocks, slopes, across, n_fields, network.h, rate)
            else:
                alone(vectors, blocks)

        return as_they_act if code.means_act else one_by_one

    return choose


def provide_means(code: Any) -> None:
    """Provide what moves the means of a model."""
    provide(_predict_means, _correct_means)
    if code.type.means_act:
        provide(add_own_means, joint_rate, apply_generator, move_together)
        provide(_predict_together, _correct_together)


_predict_means = kept_by_address(predict_means, (array_type(3), array_type(4)))
_correct_means = kept_by_address(correct_means, (array_type(3), array_type(4)))
_TOGETHER = (
    *(array_type(3), array_type(4), array_type(3), array_type(2)), int64, float64, float64,
)  # fmt: skip
_predict_together = kept_by_address(predict_together, _TOGETHER)
_correct_together = kept_by_address(correct_together, _TOGETHER)
for _function, _choose in (
    (predict_all, _either(_predict_means, _predict_together)),
    (correct_all, _either(_correct_means, _correct_together)),
):
    overload(_function, jit_options=OPTIONS)(_choose)
keep_compiled(on_its_own, code_digest(__name__))
