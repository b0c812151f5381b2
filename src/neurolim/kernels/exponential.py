r"""Exponential Rosenbrock steps of a network: plain functions with the model as first argument.

About the site means M the network is split into mean modes (``mean_mode.py``) and a fluctuation
mode, generator L = J - pull - gap with J the slope of the drift at M.  Each mode is a matrix
Ornstein-Uhlenbeck process and is stepped exactly; what is left is treated by a two-stage
correction (ETD-RK2), for the fluctuations y = x - M

    y^ = E y + P1 [N(y) + kappa u(x)] + C z,      y' = y^ + P2 [N(y^) - N(y)],   N = drift - J y,

E = e^{L h}, P1 = h phi1(L h), P2 = h phi2(L h), C C^T the covariance of the noise over the step.

C z is noise that is additive and of every neuron's own: weak order 2, exact mean and covariance of
linear networks at any h, stable for any h gap and, where the pull is that of synapses, any h pull;
the O(eps) correction of the variance survives h >> eps.

u is all other noise, frozen at the start of the step: amplitudes times normals, and Milstein's
correction.  Strong order 1 where the noises of a neuron commute and amplitudes do not depend on
means, otherwise 1/2; weak order 1, and 2 for common additive noise.  No Levy areas.

Two passes over the network move the fluctuations only: what is the same for all neurons of a site
is a shift, added when the neuron is read next.  With bend(x) = drift(x) - J x (a constant, left to
the shift, where the drift is affine),

    X^ = E x + P1 [bend(x) + kappa u(x)] + C z + shift,
    X' = X^ + P2 [bend(X^) - bend(x) - (change of pull and gap) X^] + shift'.

X holds the state, then the predictor, then the state; the work buffer holds bend(x), and below it,
where a wall is kept by a bridge, the state at the start of the step.

Sources: Quininao & Touboul 2020, eq. (6.6) (equations); Hochbruck & Ostermann 2010 (exponential
Rosenbrock methods); Kloeden & Platen 1992, secs 10.3, 15.1 (Milstein; weak order 2); Lepingle 1995
(reflection by the minimum of the Brownian bridge).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from neurolim.core.model import MAX_NOISES, MAX_VARIABLES
from neurolim.kernels.euler import (
    MAX_MEANS,
    add_tile,
    couple,
    is_bridged,
    is_walled,
    keep_inside,
    record,
    start,
)
from neurolim.kernels.mean_mode import (
    correct_means,
    find_modes,
    make_modes,
    predict_means,
)
from neurolim.kernels.noise import draw, draw_variables
from neurolim.kernels.numba_types import (
    as_state,
    bends_at,
    curved_places,
    matrix_at,
    means_at,
    n_curved,
    n_means,
    n_noises,
    n_variables,
    noises_at,
    normals_at,
    parameters_at,
    put,
    put_beside,
    rates_move,
    replace,
    state_at,
    state_in,
    state_to_replace,
    vector_at,
    write,
)
from neurolim.kernels.vectors import (
    add_curved,
    add_lower,
    add_product,
    bends,
    each_add,
    each_less,
    each_times,
    product,
    stage_change,
)
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.columns import SUM_LANES, TILE, add_to_lanes, sum_lanes
from neurolim.numerics.lowlevel import stack_array
from neurolim.provenance import code_digest

#: Running sums of the first pass: states, normals, pushes and bends.
_LANES = 4 * MAX_VARIABLES


class Sums(NamedTuple):
    """Sums over the neurons of every site that a step takes on its way.

    predicted, received : means of the predictor, and K times them [P, d + n_fields]
    bend, noise, push : mean of drift(x) - J x, of the normals, and of u [P, d]
    excess : <drift(x)> - drift(<x>) [P, d]
    residual : what the corrector of the means starts from [P, d]
    moved : the means on their way [P, d]
    shift : what all neurons of a site still have to be moved by [P, d]
    """

    predicted: Any
    received: Any
    bend: Any
    noise: Any
    push: Any
    excess: Any
    residual: Any
    moved: Any
    shift: Any


class ExactNoises(NamedTuple):
    """Which random numbers an exponential step takes; see `noise.draw_variables`, `noise.draw`.

    brings : of the noise taken exactly [d]
    streams, common : of all other noises [n_noises]
    """

    brings: Any
    streams: Any
    common: Any
    refinement: int
    wide: Any


@njit(error_model="numpy", nogil=True)
def make_sums(code, n_sites):
    """Return room for the sums of a network, without a shift."""
    d, nm = n_variables(code), n_means(code)
    return Sums(
        np.empty((n_sites, nm)),
        np.empty((n_sites, nm)),
        np.empty((n_sites, d)),
        np.empty((n_sites, d)),
        np.zeros((n_sites, d)),
        np.empty((n_sites, d)),
        np.empty((n_sites, d)),
        np.empty((n_sites, d)),
        np.zeros((n_sites, d)),
    )


@njit(error_model="numpy", nogil=True)
def predict_site(
    code, X, B, s, p, means, inputs, modes, sums, t, n, h, key, replica, step, noises, bridged
):
    """First pass over a site: X becomes the predictor of the fluctuations, B the bends.

    Sums bends, noise and pushes for the means, and the predictor itself, which centres it.
    """
    d = n_variables(code)
    z = stack_array(noises.wide, MAX_VARIABLES, TILE)
    z_push = stack_array(noises.wide, MAX_NOISES, TILE)
    pushes = stack_array(np.float64, MAX_VARIABLES, TILE)
    lanes = stack_array(np.float64, _LANES, SUM_LANES)
    for k in range(d):
        z[k, :] = 0.0
    for j in range(n_noises(code)):
        z_push[j, :] = 0.0
    for k in range(4 * d):
        lanes[k, :] = 0.0
    m, c, root = means_at(code, means, s), means_at(code, inputs, s), np.sqrt(h)
    shift, kappa = vector_at(code, sums.shift, s), vector_at(code, modes.kappa, s)
    J, E = matrix_at(code, modes.J, s), matrix_at(code, modes.E, s)
    P1, C = matrix_at(code, modes.P1, s), matrix_at(code, modes.C, s)
    for first in range(0, X.shape[2], TILE):
        size = min(TILE, X.shape[2] - first)
        count = min(size, n - first)
        draw_variables(
            code, z, first, size, key, replica, step, s, noises.refinement, noises.brings,
            noises.wide,
        )  # fmt: skip
        draw(
            code, z_push, first, size, key, replica, step, s, noises.refinement, noises.streams,
            noises.common, noises.wide,
        )  # fmt: skip
        tile, beside = X[:, s, first : first + size], B[:, s, first : first + size]
        if bridged:
            for k in range(d):
                for i in range(size):
                    beside[n_curved(code) + k, i] = tile[k, i] + sums.shift[s, k]
        for i in range(size):
            x = as_state(code, each_add(state_to_replace(code, tile, i), shift))
            bent = bends(code, code.drift(t, x, m, c, p), J, x)
            pushed = code.push(t, x, m, c, p, noises_at(code, z_push, i), root)
            y = add_curved(code, product(E, x), P1, bent)
            y = add_product(y, P1, each_times(kappa, pushed))
            put_beside(beside, i, bent)
            put(pushes, i, pushed)
            replace(tile, i, add_lower(y, C, normals_at(code, z, i)))
        for k in range(d):
            add_to_lanes(lanes, k, X[k, s, first : first + size], count)
            add_to_lanes(lanes, d + k, z[k, :size], count)
            if n_noises(code) > 0:
                add_to_lanes(lanes, 2 * d + k, pushes[k, :size], count)
        for q in range(n_curved(code)):
            add_to_lanes(lanes, 3 * d + q, B[q, s, first : first + size], count)
    for k in range(d):
        sums.shift[s, k] = -sum_lanes(lanes, k) / n
        sums.noise[s, k] = sum_lanes(lanes, d + k) / n
        if n_noises(code) > 0:
            sums.push[s, k] = sum_lanes(lanes, 2 * d + k) / n
    # Where the drift is affine, its bend is the same everywhere, and at the mean.
    place = curved_places(code)
    write(sums.bend, s, code.drift(t, state_in(code, means, s), m, c, p))
    for k in range(d):
        for j in range(d):
            sums.bend[s, k] -= modes.J[s, k, j] * means[s, j]
        flat = sums.bend[s, k]
        if place[k] >= 0:
            sums.bend[s, k] = sum_lanes(lanes, 3 * d + place[k]) / n
        sums.excess[s, k] = sums.bend[s, k] - flat


@njit(error_model="numpy", nogil=True)
def sum_fields(code, X, s, p, shift, n, found):
    """Fill found with the mean fields of a site whose states still lack their shift."""
    buffer = stack_array(np.float64, MAX_VARIABLES, TILE)
    fields = stack_array(np.float64, MAX_MEANS, TILE)
    lanes = stack_array(np.float64, MAX_MEANS, SUM_LANES)
    n_fields = n_means(code) - n_variables(code)
    for k in range(n_fields):
        lanes[k, :] = 0.0
    shift = vector_at(code, shift, s)
    for first in range(0, X.shape[2], TILE):
        size = min(TILE, X.shape[2] - first)
        tile = X[:, s, first : first + size]
        for i in range(size):
            put(buffer, i, each_add(state_at(code, tile, i), shift))
        for i in range(size):
            put(fields, i, code.field(state_at(code, buffer, i), p))
        for k in range(n_fields):
            add_to_lanes(lanes, k, fields[k, :size], min(size, n - first))
    for k in range(n_fields):
        found[s, n_variables(code) + k] = sum_lanes(lanes, k) / n


@njit(error_model="numpy", nogil=True)
def correct_site(code, X, B, s, p, means, modes, sums, t, n):
    """Second pass over a site: X becomes the corrected fluctuations.

    Fills the residual of the means, and the shift with what centres the correction; t is the end
    of the step.
    """
    d = n_variables(code)
    changes = stack_array(np.float64, MAX_VARIABLES, TILE)
    lanes = stack_array(np.float64, MAX_VARIABLES, SUM_LANES)
    change = stack_array(np.float64, 1, MAX_VARIABLES)[0]
    rates = stack_array(np.float64, 3, MAX_VARIABLES)
    for q in range(n_curved(code)):
        lanes[q, :] = 0.0
    m, c = means_at(code, sums.predicted, s), means_at(code, sums.received, s)
    pull, target, gap = code.relax(m, c, p)
    new_rate = each_less(each_add(pull, gap), vector_at(code, modes.rate, s))
    shift, J = vector_at(code, sums.shift, s), matrix_at(code, modes.J, s)
    P2 = matrix_at(code, modes.P2, s)
    for first in range(0, X.shape[2], TILE):
        size = min(TILE, X.shape[2] - first)
        tile, beside = X[:, s, first : first + size], B[:, s, first : first + size]
        for i in range(size):
            y = as_state(code, each_add(state_to_replace(code, tile, i), shift))
            bent = bends(code, code.drift(t, y, m, c, p), J, y)
            bent = each_less(bent, bends_at(code, beside, i))
            put(changes, i, bent)
            replace(tile, i, add_curved(code, y, P2, stage_change(code, bent, new_rate, y)))
        for q in range(n_curved(code)):
            add_to_lanes(lanes, q, changes[q, :size], min(size, n - first))
    write(rates, 0, pull)
    write(rates, 1, target)
    write(rates, 2, new_rate)
    place = curved_places(code)
    at = sums.predicted
    for k in range(d):
        change[k] = sum_lanes(lanes, place[k]) / n if place[k] >= 0 else 0.0
        # <drift(X^)> + pull (target - M^) less what the predictor has used.
        residual = sums.bend[s, k] + change[k] + rates[0, k] * (rates[1, k] - at[s, k])
        for j in range(d):
            residual += modes.J[s, k, j] * at[s, j]
        sums.residual[s, k] = residual - modes.flow[s, k] - sums.excess[s, k]
        if rates_move(code):
            change[k] -= rates[2, k] * at[s, k]
    for k in range(d):
        sums.shift[s, k] = -at[s, k]
        for j in range(d):
            sums.shift[s, k] -= modes.P2[s, k, j] * change[j]


@njit(error_model="numpy", nogil=True)
def settle_site(code, X, B, s, p, shift, means, n, h, key, replica, step, walls):
    """Add the shift, keep the neurons inside, and take the means of what has come out."""
    lanes = stack_array(np.float64, MAX_MEANS, SUM_LANES)
    for k in range(n_means(code)):
        lanes[k, :] = 0.0
    walled = is_walled(code, walls)
    for first in range(0, X.shape[2], TILE):
        size = min(TILE, X.shape[2] - first)
        for k in range(n_variables(code)):
            row = X[k, s, first : first + size]
            for i in range(size):
                row[i] += shift[s, k]
        if walled:
            old = B[n_curved(code) :, s, first : first + size]
            keep_inside(code, X, old, s, first, size, h, key, replica, step, walls)
        add_tile(code, lanes, X, s, first, min(size, n - first), p)
    for k in range(n_means(code)):
        means[s, k] = sum_lanes(lanes, k) / n
    for k in range(n_variables(code)):
        shift[s, k] = 0.0


@njit(error_model="numpy", nogil=True)
def step_network(
    code, X, B, modes, sums, rows, coupling, means, inputs, n, h, key, replica, step, noises, walls
):
    """Move every neuron by one exponential Rosenbrock step (module docstring).

    After each pass the shift is what takes the site's own mean to where it belongs.  The mean is
    summed, not carried along: where fluctuations grow, its rounding errors would, too.
    """
    d, t = n_variables(code), step * h
    predicted, shift = sums.predicted, sums.shift
    couple(coupling, means, inputs)
    find_modes(code, modes, means, inputs, rows, coupling, t, h)
    for s in range(X.shape[1]):
        p = parameters_at(code, rows, s)
        predict_site(
            code, X, B, s, p, means, inputs, modes, sums, t, n, h, key, replica, step, noises,
            is_bridged(code, walls, s),
        )  # fmt: skip
    predict_means(modes, sums.excess, sums.noise, sums.push, sums.moved)
    for s in range(X.shape[1]):
        for k in range(d):
            predicted[s, k] = sums.moved[s, k]
            shift[s, k] += sums.moved[s, k]
        if n_means(code) > d:
            sum_fields(code, X, s, parameters_at(code, rows, s), shift, n, predicted)
    couple(coupling, predicted, sums.received)
    for s in range(X.shape[1]):
        correct_site(code, X, B, s, parameters_at(code, rows, s), means, modes, sums, t + h, n)
    correct_means(modes, sums.residual, sums.moved)
    for s in range(X.shape[1]):
        for k in range(d):
            means[s, k] = sums.moved[s, k]
            shift[s, k] += sums.moved[s, k]
        if is_walled(code, walls) or n_means(code) > d:
            p = parameters_at(code, rows, s)
            settle_site(code, X, B, s, p, shift, means, n, h, key, replica, step, walls)


@njit(error_model="numpy", nogil=True)
def advance(
    code, X, B, rows, coupling, means, trace, every, n, h, key, replica, first, last, noises, walls
):
    """Do the steps first .. last - 1; ``means`` follows the state.

    ``trace`` [sample, site, variable] gets the means after every ``every`` steps (0: never).  B is
    work [curved variables and, where a wall is kept by a bridge, d more, site, neuron].
    """
    inputs = np.empty_like(means)
    # Small arrays, made once: making them costs as much as the algebra of a step.
    modes, sums = make_modes(code, X.shape[1]), make_sums(code, X.shape[1])
    for step in range(first, last):
        step_network(
            code, X, B, modes, sums, rows, coupling, means, inputs, n, h, key, replica, step,
            noises, walls,
        )  # fmt: skip
        if every > 0 and (step + 1) % every == 0:
            trace[(step + 1) // every] = means[:, : n_variables(code)]
    for s in range(X.shape[1]):
        for k in range(n_variables(code)):
            row = X[k, s]
            for i in range(row.size):
                row[i] += sums.shift[s, k]


# Many records in one call: whatever returns to Python waits there for the other threads.
@njit(error_model="numpy", nogil=True)
def follow(
    code, X, B, rows, coupling, means, trace, every, n, h, key, replica, stride, scale, low, width,
    levels, records, begin, end, noises, walls,
):  # fmt: skip
    """Do the steps begin .. end - 1 (0: starts the network) and record every ``stride`` steps.

    Return whether what was recorded is finite.
    """
    if begin == 0:
        start(code, X, rows, key, replica, noises.wide, n, means)
        if every > 0:
            trace[0] = means[:, : n_variables(code)]
        if not record(X, n, scale, low, width, levels, records, 0):
            return False
    step = begin
    while step < end:
        stop = min(end, (step // stride + 1) * stride)
        advance(
            code, X, B, rows, coupling, means, trace, every, n, h, key, replica, step, stop,
            noises, walls,
        )  # fmt: skip
        step = stop
        if step % stride == 0 and not record(
            X, n, scale, low, width, levels, records, step // stride
        ):
            return False
    return True


for _kernel in (advance, follow):
    keep_compiled(_kernel, code_digest(__name__))
