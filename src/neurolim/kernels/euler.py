r"""Euler-Maruyama steps of a network: plain functions with the model as first argument.

    x' = x + h [drift + pull (target - x) + gap (m - x)] + sqrt(h) sum_j amplitude_j z_j

Strong order 1/2 (1 for additive noise), weak order 1; stable for h (pull + gap) < 2.  Takes any
noise: of state, means and time, correlated, common to a site.

Whatever is the same for all neurons of a site is computed once per step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import typeof, types

from neurolim.core.model import MAX_FIELDS, MAX_NOISES, MAX_VARIABLES
from neurolim.kernels.access import (
    means_at,
    noises_at,
    parameters_at,
    put,
    replace,
    state_at,
    state_to_replace,
)
from neurolim.kernels.by_address import by_address, provide
from neurolim.kernels.delays import recall, remember
from neurolim.kernels.network import MAX_MEANS
from neurolim.kernels.numba_types import n_present, n_variables
from neurolim.kernels.shared import (
    couple,
    draw,
    keep_inside,
    keep_old,
    provide_steps,
    record,
    sample,
)
from neurolim.kernels.sums import add_rows, average, clear
from neurolim.kernels.vectors import each_add, each_fma, each_less, each_times, relaxed
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.columns import STRIP, SUM_LANES, TILE
from neurolim.numerics.compiled import entry, inlined, kernel
from neurolim.numerics.lowlevel import columns_of, row_of, stack_array, tile_of
from neurolim.numerics.random import STREAM_INITIAL, STREAM_NOISE
from neurolim.provenance import code_digest


@kernel
def add_fields(code, lanes, X, s, p, first, count):
    """Add the fields of a tile's neurons to the running sums, after those of the states."""
    fields, tile = stack_array(np.float64, MAX_FIELDS, TILE), tile_of(X, s, first, TILE)
    for i in range(TILE):
        put(fields, i, code.field(state_at(code, tile, i), p))
    d = n_variables(code)
    add_rows(fields, n_present(code) - d, count, lanes, d)


@kernel
def start_site(code, network, noises, walls, s, step):
    """Draw the initial states of a site, and their means."""
    X, n, d = network.X, network.n, n_variables(code)
    z = stack_array(noises.wide, MAX_VARIABLES, TILE)
    lanes = stack_array(np.float64, MAX_MEANS, SUM_LANES)
    streams, common = (
        stack_array(np.int64, 1, MAX_VARIABLES),
        stack_array(np.bool_, 1, MAX_VARIABLES),
    )
    p = parameters_at(code, network.rows, s)
    for k in range(d):
        streams[0, k], common[0, k] = STREAM_INITIAL - STREAM_NOISE + k, False
    clear(lanes, n_present(code))
    for first in range(0, X.shape[2], TILE):
        draw(
            z, first, TILE, network.key, network.replica, step, s, 1,
            row_of(streams, 0, d), row_of(common, 0, d),
        )  # fmt: skip
        tile, count = tile_of(X, s, first, TILE), min(TILE, n - first)
        for i in range(TILE):
            put(tile, i, code.initial(state_at(code, z, i), p))
        add_rows(tile, d, count, lanes, 0)
        if n_present(code) > d:
            add_fields(code, lanes, X, s, p, first, count)
    average(lanes, 0, n, row_of(network.means, s, n_present(code)))


@inlined
def move_neuron(code, tile, z, i, t, m, c, p, h, keep, shift):
    """Move neuron i of a tile."""
    x, noise = state_to_replace(code, tile, i), noises_at(code, z, i)
    flow = each_fma(h, code.drift(t, x, m, c, p), relaxed(code, keep, x, shift))
    replace(tile, i, code.kick(t, x, m, c, p, noise, np.sqrt(h), flow))


@kernel
def step_site(code, network, noises, walls, s, step):
    """Move the neurons of a site, and fill their new means."""
    X, n, d, h, t = network.X, network.n, n_variables(code), network.h, step * network.h
    z = stack_array(noises.wide, MAX_NOISES, STRIP)
    lanes = stack_array(np.float64, MAX_MEANS, SUM_LANES)
    still = stack_array(np.float64, 1, MAX_VARIABLES)
    clear(still, 1)
    clear(lanes, n_present(code))
    p = parameters_at(code, network.rows, s)
    m, c = means_at(code, network.means, s), means_at(code, network.inputs, s)
    pull, target, gap = code.relax(m, c, p)
    keep = each_less(1.0, each_times(h, each_add(pull, gap)))
    shift = each_times(h, each_add(each_times(pull, target), each_times(gap, m)))
    for first in range(0, X.shape[2], STRIP):
        size = min(STRIP, X.shape[2] - first)
        draw(
            z, first, size, network.key, network.replica, step, s, noises.refinement,
            noises.streams, noises.common,
        )  # fmt: skip
        for start in range(first, first + size, TILE):
            keep_old(code, X, network.work, 0, s, start, TILE, row_of(still, 0, d), walls)
            tile, normals = tile_of(X, s, start, TILE), columns_of(z, start - first, TILE)
            for i in range(TILE):
                move_neuron(code, tile, normals, i, t, m, c, p, h, keep, shift)
            keep_inside(
                code, X, network.work, 0, s, start, TILE, h, network.key, network.replica,
                step, walls,
            )  # fmt: skip
            count = min(TILE, n - start)
            add_rows(tile, d, count, lanes, 0)
            if n_present(code) > d:
                add_fields(code, lanes, X, s, p, start, count)
    average(lanes, 0, n, row_of(network.means, s, n_present(code)))


#: The kernels of a model, called by address; all are given the same.
_start_site, _step_site = by_address(start_site), by_address(step_site)


@entry
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
    provide_steps(code, wide=isinstance(noises.wide, np.float64))
    given = (code.type, *map(typeof, (network, noises, walls)), types.int64, types.int64)
    provide(_start_site, _step_site, given=given)


for _kernel in (start_site, step_site, follow):
    keep_compiled(_kernel, code_digest(__name__))
