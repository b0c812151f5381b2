"""What all time steps share: a network and its buffers, sums over neurons, walls, records.

A network is an array X [variable, site, neuron].  A tile of neurons is worked on at a time: its
noise is drawn into a buffer on the stack, one loop moves all variables of a neuron at once in
registers, and the sums for the next step's means are taken while the tile is in the L1 cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types

from neurolim.core.model import MAX_FIELDS, MAX_VARIABLES
from neurolim.kernels.by_address import array_type, kept_by_address, provide
from neurolim.kernels.walls import fold, reflect_bridge, wrap
from neurolim.numerics.columns import add_to_lanes, copy_row, sum_lanes
from neurolim.numerics.compiled import kernel
from neurolim.numerics.summary import summarise

#: Most means a site has: state variables and fields.
MAX_MEANS = MAX_VARIABLES + MAX_FIELDS


class Network(NamedTuple):
    """A network on its way; P sites, d variables, nm means: of states, then of fields.

    X : state [d, P, neuron]
    work : rows beside it [row, P, neuron]
    rows : parameters of the sites [P, parameter]
    coupling : weights K [P, P]
    means, inputs : means of the sites, and K times them [P, nm]
    n : neurons per site; X is longer
    h : step
    key, replica : of the noise
    delays : which means come late, and how they were
    """

    X: Any
    work: Any
    rows: Any
    coupling: Any
    means: Any
    inputs: Any
    n: int
    h: float
    key: Any
    replica: int
    delays: Any


class Noises(NamedTuple):
    """Which random numbers the noises take; see `noise.draw` and `noise.draw_variables`.

    brings : of noise taken exactly, by variable [d]
    streams, common : of all other noises [n_noises]
    refinement : a step's noise is the sum of that of so many finer ones
    wide : a float32 or a float64: the resolution of the normals
    """

    brings: Any
    streams: Any
    common: Any
    refinement: int
    wide: Any


class Walls(NamedTuple):
    """Where variables are kept, [d] each.

    floor, ceiling : -inf, inf where there is none
    period : of a circle, 0 for none
    deviation : of the noise at a floor that is reached by a bridge [P, d], 0 for folding
    """

    floor: Any
    ceiling: Any
    period: Any
    deviation: Any


class Records(NamedTuple):
    """What is recorded of one network; times come first in every array.

    mean, covariance, central_moment, quantile, histogram : as ``numerics.summary`` fills them
    state : every neuron [time, site, variable, neuron], or no times for none
    scale, low, width, levels : of histogram and quantiles, as ``numerics.summary`` takes them
    trace : means [sample, site, variable], sampled after every so many steps, if ``every`` > 0
    """

    mean: Any
    covariance: Any
    central_moment: Any
    quantile: Any
    histogram: Any
    state: Any
    scale: Any
    low: float
    width: float
    levels: Any
    trace: Any
    every: int


@kernel
def couple(coupling, means, inputs):
    """Fill inputs = K means: what every site receives from the others."""
    for s in range(means.shape[0]):
        for k in range(means.shape[1]):
            total = 0.0
            for r in range(means.shape[0]):
                total += coupling[s, r] * means[r, k]
            inputs[s, k] = total


@kernel
def add_states(lanes, at, X, rows, s, first, count):
    """Add a tile's first ``rows`` rows of X [row, site, neuron] to the running sums from ``at``."""
    for k in range(rows):
        add_to_lanes(lanes, at + k, X[k, s, first : first + count], count)


@kernel
def add_buffer(lanes, at, buffer, rows, count):
    """Add the first ``rows`` rows of a buffer [row, TILE] to the running sums from ``at`` on."""
    for k in range(rows):
        add_to_lanes(lanes, at + k, buffer[k, :count], count)


@kernel
def average(lanes, at, n, out):
    """Fill ``out`` with the running sums from ``at`` on, divided by n."""
    for k in range(out.size):
        out[k] = sum_lanes(lanes, at + k) / n


@kernel
def keep_inside(X, old, at, s, first, size, h, key, replica, step, walls):
    """Take a tile of a site back between its walls and onto its circles.

    ``old`` [row, site, neuron] holds the state before, from row ``at`` on, where a bridge asks.
    """
    for k in range(X.shape[0]):
        new, deviation = X[k, s, first : first + size], walls.deviation[s, k]
        floor, ceiling = walls.floor[k], walls.ceiling[k]
        if deviation > 0.0:
            before = old[at + k, s, first : first + size]
            reflect_bridge(before, new, floor, deviation, h, first, key, replica, step, s, k)
        elif floor > -np.inf or ceiling < np.inf:
            fold(new, floor, ceiling)
        if walls.period[k] > 0.0:
            wrap(new, walls.period[k])


@kernel
def is_bridged(walls, s):
    """Return whether a wall of a site is kept by the bridge, which asks for the old state."""
    found = False
    for k in range(walls.floor.size):
        found = found or walls.deviation[s, k] > 0.0
    return found


@kernel
def is_walled(walls):
    """Return whether there is a wall or a circle."""
    found = False
    for k in range(walls.floor.size):
        inside = walls.floor[k] == -np.inf and walls.ceiling[k] == np.inf
        found = found or not inside or walls.period[k] > 0.0
    return found


@kernel
def keep_old(X, old, at, s, first, size, shift):
    """Fill rows of ``old`` from ``at`` on with the states of a tile, moved by their shift [d]."""
    for k in range(X.shape[0]):
        row, before = X[k, s, first : first + size], old[at + k, s, first : first + size]
        for i in range(size):
            before[i] = row[i] + shift[k]


@kernel
def move(X, s, first, size, shift):
    """Move the states of a tile by a shift [d]."""
    for k in range(X.shape[0]):
        row = X[k, s, first : first + size]
        for i in range(size):
            row[i] += shift[k]


@kernel
def sample(network, records, step):
    """Sample the means after a step, where its number says so."""
    if records.every > 0 and step % records.every == 0:
        target = records.trace[step // records.every]
        for s in range(target.shape[0]):
            for k in range(target.shape[1]):
                target[s, k] = network.means[s, k]


_array = array_type(3)
_summarise = kept_by_address(
    summarise,
    (
        *(_array, types.int64, array_type(2), types.float64, types.float64, array_type(1)),
        *(array_type(2), _array, _array, _array, array_type(3, types.int32)),
    ),
)


@kernel
def record(network, records, t):
    """Fill the records of time t; return whether they are finite."""
    X, n = network.X, network.n
    finite = _summarise(
        X, n, records.scale, records.low, records.width, records.levels, records.mean[t],
        records.covariance[t], records.central_moment[t], records.quantile[t],
        records.histogram[t],
    )  # fmt: skip
    if records.state.shape[0] > 0:
        for s in range(X.shape[1]):
            for k in range(X.shape[0]):
                copy_row(records.state[t, s, k], X[k, s, :n])
    return finite


def provide_records() -> None:
    """Provide what `record` calls."""
    provide(_summarise)
