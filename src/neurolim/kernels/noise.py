"""The noise of one step of a tile of neurons: rows of a buffer z [noise, TILE], float32 or float64.

The element of the buffer is the resolution of the normals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from neurolim.numerics.columns import TILE
from neurolim.numerics.compiled import kernel
from neurolim.numerics.lowlevel import stack_array
from neurolim.numerics.random import (
    BLOCK,
    STREAM_INITIAL,
    STREAM_NOISE,
    STREAMS_PER_SITE,
    normals,
    normals_and_points,
    wide_normals,
)

#: Of a variable without a normal of its own, and of one whose normal brings no other.
NONE, ALONE = -2, -1


def draw_row(out: Any, first: int, key: Any, replica: int, step: int, stream: int) -> None:
    """Fill a row with normals of neurons first, first + 1, ..., of the row's own resolution."""
    raise NotImplementedError  # for kernels only


@overload(draw_row, jit_options={"error_model": "numpy"})
def _draw_row(out, first, key, replica, step, stream):
    fill = normals if out.dtype == types.float32 else wide_normals

    def draw_them(out, first, key, replica, step, stream):
        fill(out, first, key, replica, step, stream)

    return draw_them


def draw_pair(
    out: Any, points: Any, first: int, key: Any, replica: int, step: int, stream: int
) -> None:
    """Fill a row with normals and another with the four-point variables that come with them."""
    raise NotImplementedError  # for kernels only


@overload(draw_pair, jit_options={"error_model": "numpy"})
def _draw_pair(out, points, first, key, replica, step, stream):
    if out.dtype == types.float32:

        def draw_both(out, points, first, key, replica, step, stream):
            normals_and_points(out, points, first, key, replica, step, stream)

        return draw_both

    def draw_none(out, points, first, key, replica, step, stream):
        pass  # wide normals have no angle to spare, and bring nothing

    return draw_none


@kernel
def draw_initial(z, rows, first, size, key, replica, site):
    """Fill the first ``rows`` rows of z with the normals of the initial state, one per variable."""
    stream = site * STREAMS_PER_SITE + STREAM_INITIAL
    for k in range(rows):
        draw_row(z[k, :size], first, key, replica, 0, stream + k)


@kernel
def draw(z, first, size, key, replica, step, site, refinement, streams, common):
    """Fill z with the normals of a step: (z_1 + ... + z_r)/sqrt(r) of r finer ones.

    Parameters
    ----------
    z : [noise, TILE]
    first, size : neurons first .. first + size - 1, multiples of BLOCK
    key, replica, step, site : of the noise
    refinement : r; finer steps are numbered step r + j
    streams : stream of each noise, negative for one that vanishes: its row is left alone
    common : noises with one path for all neurons of the site
    """
    fine = stack_array(z.dtype, 1, TILE)[0]
    for j in range(streams.size):
        if streams[j] < 0:
            continue
        stream = site * STREAMS_PER_SITE + STREAM_NOISE + streams[j]
        row = z[j, :size]
        count, start = (BLOCK, 0) if common[j] else (size, first)
        if refinement == 1:
            draw_row(row[:count], start, key, replica, step, stream)
        else:
            row[:] = 0.0
            for part in range(refinement):
                draw_row(fine[:count], start, key, replica, step * refinement + part, stream)
                _add(row[:count], fine)
            _divide_by_root(row[:count], fine, refinement)
        if common[j]:
            row[:] = row[0]


@kernel
def draw_variables(z, first, size, key, replica, step, site, refinement, brings):
    """Fill z with the normals of a step, one per variable.

    Parameters
    ----------
    z : [variable, TILE]
    first, size, key, replica, step, site, refinement : as in `draw`
    brings : by variable: NONE, ALONE, or k: its normal brings that of variable k, a four-point
        variable, for nothing more [d]
    """
    fine = stack_array(z.dtype, 2, TILE)
    for k in range(brings.size):
        if brings[k] == NONE:
            continue
        stream = site * STREAMS_PER_SITE + STREAM_NOISE + k
        row, other = z[k, :size], z[max(brings[k], 0), :size]
        if refinement == 1:
            if brings[k] == ALONE:
                draw_row(row, first, key, replica, step, stream)
            else:
                draw_pair(row, other, first, key, replica, step, stream)
            continue
        row[:] = 0.0
        if brings[k] != ALONE:
            other[:] = 0.0
        for part in range(refinement):
            moment = step * refinement + part
            if brings[k] == ALONE:
                draw_row(fine[0, :size], first, key, replica, moment, stream)
            else:
                draw_pair(fine[0, :size], fine[1, :size], first, key, replica, moment, stream)
                _add(other, fine[1])
            _add(row, fine[0])
        _divide_by_root(row, fine[0], refinement)
        if brings[k] != ALONE:
            _divide_by_root(other, fine[0], refinement)


@kernel
def _add(row, more):
    for i in range(row.size):
        row[i] += more[i]


@kernel
def _divide_by_root(row, room, count):
    # Stored, the factor has the resolution of the normals.
    room[0] = 1.0 / np.sqrt(np.float64(count))
    factor = room[0]
    for i in range(row.size):
        row[i] *= factor
