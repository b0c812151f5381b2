"""What all time steps share: a network and its buffers, walls.

A network is an array X [variable, site, neuron].  A tile of neurons is worked on at a time: its
noise is drawn into a buffer on the stack, one loop moves all variables of a neuron at once in
registers, and the sums for the next step's means are taken while the tile is in the L1 cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neurolim.core.model import MAX_FIELDS, MAX_VARIABLES
from neurolim.kernels.walls import fold, reflect_bridge, wrap
from neurolim.numerics.compiled import kernel
from neurolim.numerics.lowlevel import row_of, tile_of

#: Most means a site has: state variables and fields.
MAX_MEANS = MAX_VARIABLES + MAX_FIELDS


class Network(NamedTuple):
    """A network on its way; P sites, d variables, nm means: of states, of fields, and late ones.

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
def keep_inside(X, old, at, s, first, size, h, key, replica, step, walls):
    """Take a tile of a site back between its walls and onto its circles.

    ``old`` [row, site, neuron] holds the state before, from row ``at`` on, where a bridge asks.
    """
    tile, before = tile_of(X, s, first, size), tile_of(old, s, first, size)
    for k in range(X.shape[0]):
        new, deviation = row_of(tile, k, size), walls.deviation[s, k]
        floor, ceiling = walls.floor[k], walls.ceiling[k]
        if deviation > 0.0:
            was = row_of(before, at + k, size)
            reflect_bridge(was, new, floor, deviation, h, first, key, replica, step, s, k)
        elif floor > -np.inf or ceiling < np.inf:
            fold(new, floor, ceiling)
        if walls.period[k] > 0.0:
            wrap(new, walls.period[k])


@kernel
def keep_old(X, old, at, s, first, size, shift, walls):
    """Fill rows of ``old`` from ``at`` on with the states of a tile, moved by their shift [d].

    Only where a wall is kept by the bridge, which asks for them.
    """
    bridged = False
    for k in range(X.shape[0]):
        bridged = bridged or walls.deviation[s, k] > 0.0
    if bridged:
        tile, before = tile_of(X, s, first, size), tile_of(old, s, first, size)
        for k in range(X.shape[0]):
            row, was = row_of(tile, k, size), row_of(before, at + k, size)
            for i in range(size):
                was[i] = row[i] + shift[k]


@kernel
def move(X, s, first, size, shift):
    """Move the states of a tile by a shift [d]."""
    tile = tile_of(X, s, first, size)
    for k in range(X.shape[0]):
        row = row_of(tile, k, size)
        for i in range(size):
            row[i] += shift[k]
