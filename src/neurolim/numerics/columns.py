"""How a network lies in memory: an array [variable, site, neuron], worked on tile by tile.

A tile is TILE neurons of a site.  Loops over its neurons are branch-free and stay in the L1 cache.
"""

from __future__ import annotations

import numpy as np

TILE = 256
#: Neurons whose noise is drawn at a time: fewer calls, and still in the L1 cache.
STRIP = 4 * TILE
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
