r"""Euler-Maruyama steps of a network: plain functions with the model as first argument.

    x' = x + h [drift + pull (target - x) + gap (m - x)] + sqrt(h) sum_j amplitude_j z_j

Strong order 1/2 (1 for additive noise), weak order 1; stable for h (pull + gap) < 2.  Takes any
noise: of state, means and time, correlated, common to a site.

A tile of neurons is worked on at a time: its noise is drawn into a buffer on the stack, one loop
moves all variables of a neuron at once in registers, and the sums for the next step's means are
taken while the tile is in the L1 cache.  Whatever is the same for all neurons of a site is
computed once per step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from neurolim.core.model import MAX_FIELDS, MAX_NOISES, MAX_VARIABLES
from neurolim.kernels.noise import draw, draw_row
from neurolim.kernels.numba_types import (
    means_at,
    n_means,
    n_noises,
    n_variables,
    noises_at,
    parameters_at,
    put,
    replace,
    state_at,
    state_to_replace,
)
from neurolim.kernels.shared import summarise
from neurolim.kernels.vectors import each_add, each_fma, each_less, each_times
from neurolim.kernels.walls import fold, reflect_bridge, wrap
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.columns import SUM_LANES, TILE, add_to_lanes, copy_row, sum_lanes
from neurolim.numerics.lowlevel import stack_array, unowned
from neurolim.numerics.random import STREAM_INITIAL, STREAMS_PER_SITE
from neurolim.provenance import code_digest

#: Most means a site has: state variables and fields.
MAX_MEANS = MAX_VARIABLES + MAX_FIELDS


class Walls(NamedTuple):
    """Where variables are kept, [d] each.

    floor, ceiling : -inf, inf where there is none
    period : of a circle, 0 for none
    deviation : of the noise at a floor that is reached by a bridge [site, d], 0 for folding
    """

    floor: Any
    ceiling: Any
    period: Any
    deviation: Any


class Noises(NamedTuple):
    """Which random numbers the noises take; see `noise.draw`."""

    streams: Any
    common: Any
    refinement: int
    wide: Any


@njit(error_model="numpy", nogil=True)
def add_tile(code, lanes, X, s, first, count, p):
    """Add states and fields of the neurons first .. first + count - 1 to the running sums."""
    for k in range(n_variables(code)):
        add_to_lanes(lanes, k, X[k, s, first : first + count], count)
    if n_means(code) > n_variables(code):
        fields = stack_array(np.float64, MAX_MEANS, TILE)
        tile = X[:, s, first : first + count]
        for i in range(count):
            put(fields, i, code.field(state_at(code, tile, i), p))
        for k in range(n_variables(code), n_means(code)):
            add_to_lanes(lanes, k, fields[k - n_variables(code), :count], count)


@njit(error_model="numpy", nogil=True)
def start_site(code, X, s, p, key, replica, wide, n, means):
    """Draw the initial states X [variable, site, neuron] of a site, and their means."""
    z = stack_array(wide, MAX_VARIABLES, TILE)
    lanes = stack_array(np.float64, MAX_MEANS, SUM_LANES)
    for k in range(n_means(code)):
        lanes[k, :] = 0.0
    stream = s * STREAMS_PER_SITE + STREAM_INITIAL
    for first in range(0, X.shape[2], TILE):
        size = min(TILE, X.shape[2] - first)
        for k in range(n_variables(code)):
            draw_row(z[k, :size], first, key, replica, 0, stream + k)
        tile = X[:, s, first : first + size]
        for i in range(size):
            put(tile, i, code.initial(state_at(code, z, i), p))
        add_tile(code, lanes, X, s, first, min(size, n - first), p)
    for k in range(n_means(code)):
        means[k] = sum_lanes(lanes, k) / n


@njit(error_model="numpy", nogil=True)
def keep_inside(code, X, old, s, first, size, h, key, replica, step, walls):
    """Take a tile of a site back between its walls and onto its circles; ``old``: before."""
    for k in range(n_variables(code)):
        new, deviation = X[k, s, first : first + size], walls.deviation[s, k]
        floor, ceiling = walls.floor[k], walls.ceiling[k]
        if deviation > 0.0:
            before = old[k, :size]
            reflect_bridge(before, new, floor, deviation, h, first, key, replica, step, s, k)
        elif floor > -np.inf or ceiling < np.inf:
            fold(new, floor, ceiling)
        if walls.period[k] > 0.0:
            wrap(new, walls.period[k])


@njit(error_model="numpy")
def is_bridged(code, walls, s):
    """Return whether a wall of a site is kept by the bridge, which asks for the old state."""
    found = False
    for k in range(n_variables(code)):
        found = found or walls.deviation[s, k] > 0.0
    return found


@njit(error_model="numpy")
def is_walled(code, walls):
    """Return whether there is a wall or a circle."""
    found = False
    for k in range(n_variables(code)):
        inside = walls.floor[k] == -np.inf and walls.ceiling[k] == np.inf
        found = found or not inside or walls.period[k] > 0.0
    return found


@njit(error_model="numpy", nogil=True)
def step_site(code, X, s, p, m, c, means, n, h, key, replica, step, noises, walls):
    """Move the neurons X [variable, site, neuron] of a site, and fill their new means."""
    z = stack_array(noises.wide, MAX_NOISES, TILE)
    old = stack_array(np.float64, MAX_VARIABLES, TILE)
    lanes = stack_array(np.float64, MAX_MEANS, SUM_LANES)
    for k in range(n_means(code)):
        lanes[k, :] = 0.0
    for j in range(n_noises(code)):
        z[j, :] = 0.0
    bridged, walled = is_bridged(code, walls, s), is_walled(code, walls)
    t, root = step * h, np.sqrt(h)
    pull, target, gap = code.relax(m, c, p)
    keep = each_less(1.0, each_times(h, each_add(pull, gap)))
    shift = each_times(h, each_add(each_times(pull, target), each_times(gap, m)))
    for first in range(0, X.shape[2], TILE):
        size = min(TILE, X.shape[2] - first)
        draw(
            code, z, first, size, key, replica, step, s, noises.refinement, noises.streams,
            noises.common, noises.wide,
        )  # fmt: skip
        if bridged:
            for k in range(n_variables(code)):
                copy_row(old[k, :size], X[k, s, first : first + size])
        tile = X[:, s, first : first + size]
        for i in range(size):
            x = state_to_replace(code, tile, i)
            still = each_fma(h, code.drift(t, x, m, c, p), each_fma(keep, x, shift))
            replace(tile, i, code.kick(t, x, m, c, p, noises_at(code, z, i), root, still))
        if walled:
            keep_inside(code, X, old, s, first, size, h, key, replica, step, walls)
        add_tile(code, lanes, X, s, first, min(size, n - first), p)
    for k in range(n_means(code)):
        means[k] = sum_lanes(lanes, k) / n


@njit(error_model="numpy", nogil=True)
def couple(coupling, means, inputs):
    """Fill inputs = K means: what every site receives from the others."""
    for s in range(means.shape[0]):
        for k in range(means.shape[1]):
            total = 0.0
            for r in range(means.shape[0]):
                total += coupling[s, r] * means[r, k]
            inputs[s, k] = total


@njit(error_model="numpy", nogil=True)
def start(code, X, rows, key, replica, wide, n, means):
    """Draw the initial states X [variable, site, neuron], and fill the means [site, mean]."""
    for s in range(X.shape[1]):
        p = parameters_at(code, rows, s)
        start_site(code, X, s, p, key, replica, wide, n, means[s])


@njit(error_model="numpy", nogil=True)
def advance(
    code, X, rows, coupling, means, trace, every, n, h, key, replica, first, last, noises, walls
):
    """Do the steps first .. last - 1; ``means`` follows the state.

    ``trace`` [sample, site, variable] gets the means after every ``every`` steps (0: never).
    """
    X, rows, means = unowned(X), unowned(rows), unowned(means)
    noises = Noises(unowned(noises.streams), unowned(noises.common), noises.refinement, noises.wide)
    walls = Walls(
        unowned(walls.floor),
        unowned(walls.ceiling),
        unowned(walls.period),
        unowned(walls.deviation),
    )
    inputs = np.empty_like(means)
    for step in range(first, last):
        couple(coupling, means, inputs)
        for s in range(X.shape[1]):
            p = parameters_at(code, rows, s)
            m, c = means_at(code, means, s), means_at(code, inputs, s)
            step_site(code, X, s, p, m, c, means[s], n, h, key, replica, step, noises, walls)
        if every > 0 and (step + 1) % every == 0:
            trace[(step + 1) // every] = means[:, : n_variables(code)]


@njit(error_model="numpy", nogil=True)
def record(X, n, scale, low, width, levels, records, t):
    """Fill the records of time t; return whether they are finite."""
    finite = summarise(
        X, n, scale, low, width, levels, records.mean[t], records.covariance[t],
        records.central_moment[t], records.quantile[t], records.histogram[t],
    )  # fmt: skip
    if records.state.shape[0] > 0:
        for s in range(X.shape[1]):
            for k in range(X.shape[0]):
                copy_row(records.state[t, s, k], X[k, s, :n])
    return finite


# Many records in one call: whatever returns to Python waits there for the other threads.
@njit(error_model="numpy", nogil=True)
def follow(
    code, X, rows, coupling, means, trace, every, n, h, key, replica, stride, scale, low, width,
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
            code, X, rows, coupling, means, trace, every, n, h, key, replica, step, stop, noises,
            walls,
        )  # fmt: skip
        step = stop
        if step % stride == 0 and not record(
            X, n, scale, low, width, levels, records, step // stride
        ):
            return False
    return True


for _kernel in (start, advance, follow):
    keep_compiled(_kernel, code_digest(__name__))
