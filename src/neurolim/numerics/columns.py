"""Small loops over columns of a tile: the vocabulary of the particle kernels.

A network is an array [variable, site, neuron]; a tile is TILE neurons of a site, and its rows are
one view per variable.  Kernels see a neuron as a tuple; the functions here are built for a number
of variables and compile to plain register code.  Loops over the neurons of a tile are branch-free
and stay in the L1 cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from neurolim.numerics.cache import named
from neurolim.numerics.compiled import inlined

TILE = 256
#: Most state variables a model may have.
MAX_COLUMNS = 8
#: Running sums per column: eight registers of eight numbers on the widest processors.
SUM_LANES = 64


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Return an uninitialised float64 array that starts on a cache line.

    A register of eight numbers then never straddles two lines, which would halve the speed.
    """
    size = int(np.prod(shape))
    raw = np.empty(size + 8)
    start = (-raw.ctypes.data % 64) // 8
    return raw[start : start + size].reshape(shape)


def tuple_of(size: int, element: Callable[..., Any], tag: object = "") -> Callable[..., Any]:
    """Return the compiled function  args -> (element(args, 0), ..., element(args, size - 1)).

    A tuple's length must be known when it is compiled; it is built up one element at a time.

    Parameters
    ----------
    size : length of the tuple
    element : plain function of (args, k), args a tuple of anything
    tag : names the element where functions of equal names close over different things
    """
    tag = f"{element.__qualname__}.{tag}.{size}"
    if size == 0:

        def empty(args):
            return ()

        return inlined(named(empty, tag))
    last = size - 1
    before = tuple_of(last, element, tag)
    at = inlined(named(element, tag))

    def build(args):
        # numba joins tuples, but does not unpack them.
        return before(args) + (at(args, last),)  # noqa: RUF005

    return inlined(named(build, tag))


class Access(NamedTuple):
    """How kernels read and write neurons of ``size`` variables.

    rows : (columns, site, first, count) -> the tile's row of every variable
    tile : (buffer, count) -> the rows of a stack buffer [variable, TILE]
    gather : (rows, i) -> tuple of neuron i
    scatter : rows, i, x -> write neuron i
    """

    rows: Callable[..., Any]
    tile: Callable[..., Any]
    gather: Callable[..., Any]
    scatter: Callable[..., Any]


@lru_cache(maxsize=8)
def access(size: int) -> Access:
    """Return the compiled accessors for ``size`` variables."""

    def row(args, k):
        columns, site, first, count = args
        return columns[k, site, first : first + count]

    def buffer_row(args, k):
        buffer, count = args
        return buffer[k, :count]

    def value(args, k):
        rows, i = args
        return rows[k][i]

    return Access(
        tuple_of(size, row), tuple_of(size, buffer_row), tuple_of(size, value), _scatter(size)
    )


def _scatter(size: int) -> Callable[..., Any]:
    if size == 0:

        def nothing(rows, i, x):
            pass

        return inlined(named(nothing, "scatter"))
    last = size - 1
    before = _scatter(last)

    def scatter(rows, i, x):
        before(rows, i, x)
        rows[last][i] = x[last]

    return inlined(named(scatter, size))


@inlined
def copy_row(target, source):
    """Copy a row into another of the same length."""
    for i in range(target.size):
        target[i] = source[i]


@inlined
def add_to_lanes(lanes, column, row, count):
    """Add the first ``count`` numbers of a tile's row to the SUM_LANES running sums of a column.

    The order of additions is fixed by the neuron numbers alone, so a sum has the same bits on
    every processor and packs into vector registers without re-association.  A whole tile is
    eight segments added pairwise, which reads and writes the running sums only once.
    """
    if count == TILE:
        for lane in range(SUM_LANES):
            low = np.float64(row[lane]) + np.float64(row[lane + 64])
            high = np.float64(row[lane + 128]) + np.float64(row[lane + 192])
            lanes[column, lane] += low + high
    else:
        whole = count - count % SUM_LANES
        for start in range(0, whole, SUM_LANES):
            segment = row[start:]
            for lane in range(SUM_LANES):
                lanes[column, lane] += segment[lane]
        segment = row[whole:]
        for lane in range(count - whole):
            lanes[column, lane] += segment[lane]


@inlined
def sum_lanes(lanes, column):
    """Return the total of the running sums of a column, added as a tree; destroys the sums."""
    for width in (32, 16, 8):
        for lane in range(width):
            lanes[column, lane] += lanes[column, lane + width]
    total = 0.0
    for lane in range(8):
        total += lanes[column, lane]
    return total
