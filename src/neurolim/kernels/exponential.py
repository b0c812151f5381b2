r"""Exponential Rosenbrock steps of a network: plain functions with the model as first argument.

About the site means M the network is split into mean modes (``mean_mode.py``, ``mean_path.py``) and
a fluctuation mode, generator L = J - pull - gap with J the slope of the drift at M.  Each mode is a
matrix Ornstein-Uhlenbeck process and is stepped exactly; what is left is treated by a two-stage
correction (ETD-RK2), for the fluctuations y = x - M

    y^ = E y + P1 [N(y) + kappa u(x)] + C z,      y' = y^ + P2 [N(y^) - N(y)],   N = drift - J y,

E = e^{L h}, P1 = h phi1(L h), P2 = h phi2(L h), C C^T the covariance of the noise over the step.

C z is noise that is additive and of every neuron's own: weak order 2, exact mean of linear networks
at any h and, on one site, exact covariance, stable for any h gap and, where the pull is that of
synapses, any h pull; the O(eps) correction of the variance survives h >> eps.

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

from typing import Any

import numpy as np
from numba import typeof, types

from neurolim.core.model import MAX_FIELDS, MAX_NOISES, MAX_VARIABLES
from neurolim.kernels import euler, mean_path
from neurolim.kernels.access import (
    as_state,
    bends_at,
    matrix_at,
    means_at,
    noises_at,
    normals_at,
    parameters_at,
    put,
    put_beside,
    put_buffer,
    replace,
    state_at,
    state_in,
    state_to_replace,
    vector_at,
    write,
)
from neurolim.kernels.by_address import by_address, provide
from neurolim.kernels.delays import recall, remember
from neurolim.kernels.euler import add_fields
from neurolim.kernels.mean_mode import (
    BEND,
    EXCESS,
    FLOW,
    KAPPA,
    MOVED,
    NOISE,
    P1,
    P2,
    PREDICTED,
    PUSH,
    RATE,
    RECEIVED,
    RESIDUAL,
    SHIFT,
    SLOPE,
    C,
    E,
    correct_all,
    predict_all,
)
from neurolim.kernels.mean_path import find_modes
from neurolim.kernels.network import MAX_MEANS
from neurolim.kernels.numba_types import (
    curved_places,
    n_curved,
    n_noises,
    n_present,
    n_variables,
    rates_move,
)
from neurolim.kernels.shared import (
    couple,
    draw,
    draw_variables,
    keep_inside,
    keep_old,
    move,
    provide_passes,
    provide_steps,
    record,
    sample,
)
from neurolim.kernels.sums import add_rows, average, clear
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
from neurolim.numerics.columns import SUM_LANES, TILE
from neurolim.numerics.compiled import entry, kernel
from neurolim.numerics.lowlevel import stack_array, tile_of
from neurolim.provenance import code_digest

#: Running sums of the first pass: states, normals, pushes and bends.
_LANES = 4 * MAX_VARIABLES


@kernel
def predict_site(code, network, modes, noises, walls, s, step):
    """First pass over a site: X becomes the predictor of the fluctuations, work the bends.

    Sums bends, noise and pushes for the means, and the predictor itself, which centres it.
    """
    X, work, n, d = network.X, network.work, network.n, n_variables(code)
    vectors, matrices = modes.vectors, modes.matrices
    z = stack_array(noises.wide, MAX_VARIABLES, TILE)
    z_push = stack_array(noises.wide, MAX_NOISES, TILE)
    pushes = stack_array(np.float64, MAX_VARIABLES, TILE)
    lanes = stack_array(np.float64, _LANES, SUM_LANES)
    clear(z, d)
    clear(z_push, n_noises(code))
    clear(lanes, 4 * d)
    p, t, root = parameters_at(code, network.rows, s), step * network.h, np.sqrt(network.h)
    m, c = means_at(code, network.means, s), means_at(code, network.inputs, s)
    shift, kappa = vector_at(code, vectors[SHIFT], s), vector_at(code, vectors[KAPPA], s)
    slope, by_exp = matrix_at(code, matrices[SLOPE], s), matrix_at(code, matrices[E], s)
    by_phi, spread = matrix_at(code, matrices[P1], s), matrix_at(code, matrices[C], s)
    for first in range(0, X.shape[2], TILE):
        draw_variables(
            z, first, TILE, network.key, network.replica, step, s, noises.refinement, noises.brings
        )
        if n_noises(code) > 0:
            draw(
                z_push, first, TILE, network.key, network.replica, step, s, noises.refinement,
                noises.streams, noises.common,
            )  # fmt: skip
        keep_old(code, X, work, n_curved(code), s, first, TILE, vectors[SHIFT, s], walls)
        tile, beside = tile_of(X, s, first, TILE), tile_of(work, s, first, TILE)
        for i in range(TILE):
            x = as_state(code, each_add(state_to_replace(code, tile, i), shift))
            bent = bends(code, code.drift(t, x, m, c, p), slope, x)
            pushed = code.push(t, x, m, c, p, noises_at(code, z_push, i), root)
            y = add_curved(code, product(by_exp, x), by_phi, bent)
            y = add_product(y, by_phi, each_times(kappa, pushed))
            put_beside(beside, i, bent)
            put_buffer(pushes, i, pushed)
            replace(tile, i, add_lower(y, spread, normals_at(code, z, i)))
        count = min(TILE, n - first)
        add_rows(tile, d, count, lanes, 0)
        add_rows(z, d, count, lanes, d)
        add_rows(beside, n_curved(code), count, lanes, 2 * d)
        if n_noises(code) > 0:
            add_rows(pushes, d, count, lanes, 3 * d)
    average(lanes, 0, n, vectors[SHIFT, s])
    average(lanes, d, n, vectors[NOISE, s])
    average(lanes, 2 * d, n, vectors[MOVED, s])
    if n_noises(code) > 0:
        average(lanes, 3 * d, n, vectors[PUSH, s])
    # Where the drift is affine, its bend is the same everywhere, and at the mean.
    curved = curved_places(code)
    write(vectors[BEND], s, code.drift(t, state_in(code, network.means, s), m, c, p))
    for k in range(d):
        vectors[SHIFT, s, k] = -vectors[SHIFT, s, k]
        for j in range(d):
            vectors[BEND, s, k] -= matrices[SLOPE, s, k, j] * network.means[s, j]
        flat = vectors[BEND, s, k]
        if curved[k] >= 0:
            vectors[BEND, s, k] = vectors[MOVED, s, curved[k]]
        vectors[EXCESS, s, k] = vectors[BEND, s, k] - flat


@kernel
def predict_fields(code, network, modes, noises, walls, s, step):
    """Fill the mean fields of the predictor, whose states still lack their shift."""
    X, n, d = network.X, network.n, n_variables(code)
    buffer = stack_array(np.float64, MAX_VARIABLES, TILE)
    fields = stack_array(np.float64, MAX_FIELDS, TILE)
    lanes = stack_array(np.float64, MAX_FIELDS, SUM_LANES)
    p, shift = parameters_at(code, network.rows, s), vector_at(code, modes.vectors[SHIFT], s)
    clear(lanes, n_present(code) - d)
    for first in range(0, X.shape[2], TILE):
        tile = tile_of(X, s, first, TILE)
        for i in range(TILE):
            put(buffer, i, each_add(state_at(code, tile, i), shift))
        for i in range(TILE):
            put(fields, i, code.field(state_at(code, buffer, i), p))
        add_rows(fields, n_present(code) - d, min(TILE, n - first), lanes, 0)
    average(lanes, 0, n, modes.stages[PREDICTED, s, d : n_present(code)])


@kernel
def correct_site(code, network, modes, noises, walls, s, step):
    """Second pass over a site: X becomes the corrected fluctuations.

    Fills the residual of the means, and the shift with what centres the correction.
    """
    X, work, n, d = network.X, network.work, network.n, n_variables(code)
    vectors, matrices = modes.vectors, modes.matrices
    changes = stack_array(np.float64, MAX_VARIABLES, TILE)
    lanes = stack_array(np.float64, MAX_VARIABLES, SUM_LANES)
    change = stack_array(np.float64, 1, MAX_VARIABLES)[0]
    rates = stack_array(np.float64, 3, MAX_VARIABLES)
    clear(lanes, n_curved(code))
    p, t = parameters_at(code, network.rows, s), step * network.h + network.h
    at = modes.stages[PREDICTED, s]
    m = means_at(code, modes.stages[PREDICTED], s)
    c = means_at(code, modes.stages[RECEIVED], s)
    pull, target, gap = code.relax(m, c, p)
    new_rate = each_less(each_add(pull, gap), vector_at(code, vectors[RATE], s))
    shift, slope = vector_at(code, vectors[SHIFT], s), matrix_at(code, matrices[SLOPE], s)
    by_phi = matrix_at(code, matrices[P2], s)
    for first in range(0, X.shape[2], TILE):
        tile, beside = tile_of(X, s, first, TILE), tile_of(work, s, first, TILE)
        for i in range(TILE):
            y = as_state(code, each_add(state_to_replace(code, tile, i), shift))
            bent = bends(code, code.drift(t, y, m, c, p), slope, y)
            bent = each_less(bent, bends_at(code, beside, i))
            put_buffer(changes, i, bent)
            replace(tile, i, add_curved(code, y, by_phi, stage_change(code, bent, new_rate, y)))
        add_rows(changes, n_curved(code), min(TILE, n - first), lanes, 0)
    average(lanes, 0, n, change[: n_curved(code)])
    write(rates, 0, pull)
    write(rates, 1, target)
    write(rates, 2, new_rate)
    curved = curved_places(code)
    for k in range(d):
        moved = change[curved[k]] if curved[k] >= 0 else 0.0
        # <drift(X^)> + pull (target - M^) less what the predictor has used.
        residual = vectors[BEND, s, k] + moved + rates[0, k] * (rates[1, k] - at[k])
        for j in range(d):
            residual += matrices[SLOPE, s, k, j] * at[j]
        vectors[RESIDUAL, s, k] = residual - vectors[FLOW, s, k] - vectors[EXCESS, s, k]
        if rates_move(code):
            moved -= rates[2, k] * at[k]
        vectors[MOVED, s, k] = moved
    for k in range(d):
        centre = -at[k]
        for j in range(d):
            centre -= matrices[P2, s, k, j] * vectors[MOVED, s, j]
        vectors[SHIFT, s, k] = centre


@kernel
def settle_site(code, network, modes, noises, walls, s, step):
    """Add the shift, keep the neurons inside, and take the means of what has come out."""
    X, n, d = network.X, network.n, n_variables(code)
    lanes = stack_array(np.float64, MAX_MEANS, SUM_LANES)
    p, shift = parameters_at(code, network.rows, s), modes.vectors[SHIFT, s]
    clear(lanes, n_present(code))
    for first in range(0, X.shape[2], TILE):
        move(X, s, first, TILE, shift)
        keep_inside(
            code, X, network.work, n_curved(code), s, first, TILE, network.h, network.key,
            network.replica, step, walls,
        )  # fmt: skip
        count = min(TILE, n - first)
        add_rows(tile_of(X, s, first, TILE), d, count, lanes, 0)
        if n_present(code) > d:
            add_fields(code, lanes, X, s, p, first, count)
    average(lanes, 0, n, network.means[s, : n_present(code)])
    shift[:] = 0.0


#: The kernels of a model, called by address; all are given the same.
_predict_site, _correct_site = by_address(predict_site), by_address(correct_site)
_predict_fields = by_address(predict_fields, needed=lambda code: code.has_fields)
_settle_site = by_address(settle_site, needed=lambda code: code.walled or code.has_fields)


@kernel
def step_network(code, network, modes, noises, walls, step):
    """Move every neuron by one exponential Rosenbrock step (module docstring).

    After each pass the shift is what takes the site's own mean to where it belongs.  The mean is
    summed, not carried along: where fluctuations grow, its rounding errors would, too.
    """
    sites, d = range(network.X.shape[1]), n_variables(code)
    vectors, stages = modes.vectors, modes.stages
    remember(code, network, step)
    recall(code, network, step, network.means)
    # The path keeps what comes late as it is at the start of the step.
    recall(code, network, step, stages[PREDICTED])
    couple(network.coupling, network.means, network.inputs)
    find_modes(code, network, modes, step)
    for s in sites:
        _predict_site(code, network, modes, noises, walls, s, step)
    predict_all(code, network, modes)
    for s in sites:
        for k in range(d):
            stages[PREDICTED, s, k] = vectors[MOVED, s, k]
            vectors[SHIFT, s, k] += vectors[MOVED, s, k]
        _predict_fields(code, network, modes, noises, walls, s, step)
    recall(code, network, step + 1, stages[PREDICTED])
    couple(network.coupling, stages[PREDICTED], stages[RECEIVED])
    for s in sites:
        _correct_site(code, network, modes, noises, walls, s, step)
        for k in range(d):
            vectors[MOVED, s, k] = stages[PREDICTED, s, k]
    correct_all(code, network, modes)
    for s in sites:
        for k in range(d):
            network.means[s, k] = vectors[MOVED, s, k]
            vectors[SHIFT, s, k] += vectors[MOVED, s, k]
        _settle_site(code, network, modes, noises, walls, s, step)


_step_network, _start_site = by_address(step_network), by_address(euler.start_site)


@entry
def follow(code, network, modes, noises, walls, records, stride, begin, end):
    """Do the steps begin .. end - 1 (0: starts the network) and record every ``stride`` steps.

    Return whether what was recorded is finite.
    """
    if begin == 0:
        modes.vectors[SHIFT] = 0.0
        for s in range(network.X.shape[1]):
            _start_site(code, network, noises, walls, s, 0)
        sample(network, records, 0)
        if not record(network, records, 0):
            return False
    for step in range(begin, end):
        _step_network(code, network, modes, noises, walls, step)
        if records.every > 0:
            sample(network, records, step + 1)
        if (step + 1) % stride == 0:
            for s in range(network.X.shape[1]):
                move(network.X, s, 0, network.X.shape[2], modes.vectors[SHIFT, s])
                modes.vectors[SHIFT, s, :] = 0.0
            if not record(network, records, (step + 1) // stride):
                return False
    return True


def prepare(code: Any, network: Any, modes: Any, noises: Any, walls: Any) -> None:
    """Compile the kernels of a model, or load them from disk, for a network of this kind."""
    provide_steps(code, wide=isinstance(noises.wide, np.float64))
    provide_passes(wide=isinstance(noises.wide, np.float64))
    model, network, modes, noises, walls = code.type, *map(typeof, (network, modes, noises, walls))
    mean_path.provide_modes(code, (model, network, modes, types.int64))
    site = (model, network, modes, noises, walls, types.int64, types.int64)
    provide(_predict_site, _correct_site, given=site)
    provide(_predict_fields, _settle_site, given=site)
    provide(_start_site, given=(model, network, noises, walls, types.int64, types.int64))
    provide(_step_network, given=site[:-1])


for _kernel in (predict_site, predict_fields, correct_site, settle_site, step_network, follow):
    keep_compiled(_kernel, code_digest(__name__))
