"""Sums over neurons, in an order that their numbers fix: the same bits on every processor.

Neuron i adds to running sum i modulo SUM_LANES, so that the sums pack into vector registers.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64

from neurolim.kernels.by_address import array_type, kept_by_address
from neurolim.numerics.columns import SUM_LANES, TILE
from neurolim.numerics.compiled import inlined, kernel
from neurolim.numerics.lowlevel import columns_of, row_of


@inlined
def clear(rows, n_rows):
    """Set the first rows of a buffer to zero."""
    for k in range(n_rows):
        for i in range(rows.shape[1]):
            rows[k, i] = 0.0


@kernel
def _add_rows(tile, n_rows, count, lanes, at):
    """Add the first ``count`` neurons of the first rows of a tile to the running sums from ``at``.

    Of a whole tile four segments are added pairwise, which reads and writes the sums only once.
    """
    if count == TILE:
        for k in range(n_rows):
            row, sums = row_of(tile, k, TILE), row_of(lanes, at + k, SUM_LANES)
            for lane in range(SUM_LANES):
                low = np.float64(row[lane]) + np.float64(row[lane + 64])
                high = np.float64(row[lane + 128]) + np.float64(row[lane + 192])
                sums[lane] += low + high
        return
    for first in range(0, count, SUM_LANES):
        part = columns_of(tile, first, SUM_LANES)
        for k in range(n_rows):
            row, sums = row_of(part, k, SUM_LANES), row_of(lanes, at + k, SUM_LANES)
            for lane in range(min(SUM_LANES, count - first)):
                sums[lane] += row[lane]


@kernel
def _average(lanes, at, n, out):
    """Fill ``out`` with the running sums from ``at`` on, divided by n; spoils the sums.

    Those of a row are added as a tree.
    """
    for k in range(out.size):
        sums = row_of(lanes, at + k, SUM_LANES)
        for width in (32, 16, 8):
            for lane in range(width):
                sums[lane] += sums[lane + width]
        total = 0.0
        for lane in range(8):
            total += sums[lane]
        out[k] = total / n


_lanes = array_type(2)
add_rows = kept_by_address(
    _add_rows,
    *((array_type(2, number, "A"), int64, int64, _lanes, int64) for number in (float64, float32)),
)
average = kept_by_address(_average, (_lanes, int64, int64, array_type(1)))
