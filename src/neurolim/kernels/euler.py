r"""Euler-Maruyama steps of a network: plain functions with the model as first argument.

    x' = x + h [drift + pull (target - x) + gap (m - x)] + sqrt(h) sum_j amplitude_j z_j

Strong order 1/2 (1 for additive noise), weak order 1; stable for h (pull + gap) < 2.  Takes any
noise: of state, means and time, correlated, common to a site.

Whatever is the same for all neurons of a site is computed once per step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, typeof, types

from neurolim.core.model import MAX_FIELDS, MAX_NOISES, MAX_VARIABLES
from neurolim.kernels.by_address import by_address, provide
from neurolim.kernels.delays import recall, remember
from neurolim.kernels.network import MAX_MEANS, is_bridged, is_walled
from neurolim.kernels.numba_types import (
    means_at,
    n_noises,
    n_present,
    n_variables,
    noises_at,
    parameters_at,
    put,
    replace,
    state_at,
    state_to_replace,
)
from neurolim.kernels.shared import (
    add_buffer,
    add_states,
    average,
    couple,
    draw,
    draw_initial,
    keep_inside,
    keep_old,
    provide_steps,
    record,
    sample,
)
from neurolim.kernels.vectors import each_add, each_fma, each_less, each_times
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.columns import SUM_LANES, TILE, add_to_lanes
from neurolim.numerics.compiled import kernel
from neurolim.numerics.lowlevel import stack_array, unowned
from neurolim.provenance import code_digest


@kernel
def add_fields(code, lanes, X, s, p, first, count):
    """Add the fields of a tile's neurons to the running sums, after those of the states."""
    fields = stack_array(np.float64, MAX_FIELDS, TILE)
    tile = X[:, s, first : first + count]
    for i in range(count):
        put(fields, i, code.field(state_at(code, tile, i), p))
    add_buffer(lanes, n_variables(code), fields, n_present(code) - n_variables(code), count)


@kernel
def start_site(code, network, noises, walls, s, step):
    """Draw the initial states of a site, and their means."""
    X, n, d = unowned(network.X), network.n, n_variables(code)
    z = stack_array(noises.wide, MAX_VARIABLES, TILE)
    lanes = stack_array(np.float64, MAX_MEANS, SUM_LANES)
    p = parameters_at(code, network.rows, s)
    for k in range(n_present(code)):
        lanes[k, :] = 0.0
    for first in range(0, X.shape[2], TILE):
        size = min(TILE, X.shape[2] - first)
        draw_initial(z, d, first, size, network.key, network.replica, s)
        tile = X[:, s, first : first + size]
        for i in range(size):
            put(tile, i, code.initial(state_at(code, z, i), p))
        count = min(size, n - first)
        add_states(lanes, 0, X, d, s, first, count)
        if n_present(code) > d:
            add_fields(code, lanes, X, s, p, first, count)
    average(lanes, 0, n, network.means[s, : n_present(code)])


@kernel
def step_site(code, network, noises, walls, s, step):
    """Move the neurons of a site, and fill their new means."""
    X, work, n, d = unowned(network.X), unowned(network.work), network.n, n_variables(code)
    h = network.h
    z = stack_array(noises.wide, MAX_NOISES, TILE)
    lanes = stack_array(np.float64, MAX_MEANS, SUM_LANES)
    still = stack_array(np.float64, 1, MAX_VARIABLES)[0]
    still[:] = 0.0
    for k in range(n_present(code)):
        lanes[k, :] = 0.0
    for j in range(n_noises(code)):
        z[j, :] = 0.0
    bridged, walled = is_bridged(walls, s), is_walled(walls)
    p, t, root = parameters_at(code, network.rows, s), step * h, np.sqrt(h)
    m, c = means_at(code, network.means, s), means_at(code, network.inputs, s)
    pull, target, gap = code.relax(m, c, p)
    keep = each_less(1.0, each_times(h, each_add(pull, gap)))
    shift = each_times(h, each_add(each_times(pull, target), each_times(gap, m)))
    for first in range(0, X.shape[2], TILE):
        size = min(TILE, X.shape[2] - first)
        draw(
            z, first, size, network.key, network.replica, step, s, noises.refinement,
            noises.streams, noises.common,
        )  # fmt: skip
        if bridged:
            keep_old(X, work, 0, s, first, size, still)
        tile = X[:, s, first : first + size]
        for i in range(size):
            x = state_to_replace(code, tile, i)
            flow = each_fma(h, code.drift(t, x, m, c, p), each_fma(keep, x, shift))
            replace(tile, i, code.kick(t, x, m, c, p, noises_at(code, z, i), root, flow))
        if walled:
            keep_inside(X, work, 0, s, first, size, h, network.key, network.replica, step, walls)
        count = min(size, n - first)
        for k in range(d):
            add_to_lanes(lanes, k, X[k, s, first : first + count], count)
        if n_present(code) > d:
            add_fields(code, lanes, X, s, p, first, count)
    average(lanes, 0, n, network.means[s, : n_present(code)])


#: The kernels of a model, called by address; all are given the same.
_start_site, _step_site = by_address(start_site), by_address(step_site)


@njit(error_model="numpy", nogil=True)
def follow(code, network, noises, walls, records, stride, begin, end):
    """Do the steps begin .. end - 1 (0: starts the network) and record every ``stride`` steps.

    Return whether what was recorded is finite.
    """
    sites = range(network.X.shape[1])
    if begin == 0:
        for s in sites:
            _start_site(code, network, noises, walls, s, 0)
        sample(network, records, 0)
        if not record(network, records, 0):
            return False
    for step in range(begin, end):
        remember(code, network, step)
        recall(code, network, step, network.means)
        couple(network.coupling, network.means, network.inputs)
        for s in sites:
            _step_site(code, network, noises, walls, s, step)
        if records.every > 0:
            sample(network, records, step + 1)
        if (step + 1) % stride == 0 and not record(network, records, (step + 1) // stride):
            return False
    return True


def prepare(code: Any, network: Any, noises: Any, walls: Any) -> None:
    """Compile the kernels of a model, or load them from disk, for a network of this kind."""
    provide_steps(wide=isinstance(noises.wide, np.float64))
    given = (code.type, *map(typeof, (network, noises, walls)), types.int64, types.int64)
    provide(_start_site, _step_site, given=given)


for _kernel in (start_site, step_site, follow):
    keep_compiled(_kernel, code_digest(__name__))
