"""Small loops over columns of a tile: the vocabulary of the particle kernels.

A tile is TILE neurons; a tile buffer is a stack array [variable, TILE].  Loops over the neurons
of a tile are branch-free and stay in the L1 cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from numba import njit

from neurolim.numerics.cache import named

TILE = 512
#: Most state variables a model may have.
MAX_COLUMNS = 3
#: Running sums per column; wide enough that the compiler keeps the loop and packs it.
SUM_LANES = 64


@lru_cache(maxsize=8)
def accessors(size: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return compiled ``gather(buffer, i)`` and ``scatter(buffer, i, x)`` for ``size`` columns.

    ``gather`` reads the tuple of neuron i, ``scatter`` writes it.  They are spelled out for each
    size because a tuple's length must be known when it is compiled.
    """
    if size == 0:

        def gather(buffer, i):
            return ()

        def scatter(buffer, i, x):
            pass

    elif size == 1:

        def gather(buffer, i):
            return (buffer[0, i],)

        def scatter(buffer, i, x):
            buffer[0, i] = x[0]

    elif size == 2:

        def gather(buffer, i):
            return (buffer[0, i], buffer[1, i])

        def scatter(buffer, i, x):
            buffer[0, i] = x[0]
            buffer[1, i] = x[1]

    elif size == 3:

        def gather(buffer, i):
            return (buffer[0, i], buffer[1, i], buffer[2, i])

        def scatter(buffer, i, x):
            buffer[0, i] = x[0]
            buffer[1, i] = x[1]
            buffer[2, i] = x[2]

    else:
        raise ValueError(f"{size} columns; at most {MAX_COLUMNS}")
    return (
        njit(error_model="numpy", forceinline=True)(named(gather, size)),
        njit(error_model="numpy", forceinline=True)(named(scatter, size)),
    )


@njit(error_model="numpy", forceinline=True)
def load(buffer, columns, first, count, site):
    """Copy neurons first .. first + count of every variable from columns [variable, site, n]."""
    for k in range(columns.shape[0]):
        # A slice, so that indices start at zero and the loop packs.
        row = columns[k, site, first : first + count]
        for i in range(count):
            buffer[k, i] = row[i]


@njit(error_model="numpy", forceinline=True)
def store(columns, buffer, first, count, site):
    """Copy a tile back to columns [variable, site, n]."""
    for k in range(columns.shape[0]):
        row = columns[k, site, first : first + count]
        for i in range(count):
            row[i] = buffer[k, i]


@njit(error_model="numpy", forceinline=True)
def add_to_lanes(lanes, buffer, column, count):
    """Add a column of a tile to SUM_LANES running sums, lane by lane.

    The order of additions is fixed by the neuron numbers alone, so a sum has the same bits on
    every processor and packs into vector registers without re-association.
    """
    whole = count - count % SUM_LANES
    for start in range(0, whole, SUM_LANES):
        row = buffer[column, start:]
        for lane in range(SUM_LANES):
            lanes[column, lane] += row[lane]
    row = buffer[column, whole:]
    for lane in range(count - whole):
        lanes[column, lane] += row[lane]


@njit(error_model="numpy", forceinline=True)
def sum_lanes(lanes, column):
    """Return the total of the running sums of a column, added in lane order."""
    total = 0.0
    for lane in range(SUM_LANES):
        total += lanes[column, lane]
    return total
