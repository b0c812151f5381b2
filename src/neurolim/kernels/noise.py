"""The noise of one step of some tiles of neurons: rows of a buffer z, float32 or float64.

The element of the buffer is the resolution of the normals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from neurolim.numerics.columns import STRIP, TILE
from neurolim.numerics.compiled import OPTIONS, kernel
from neurolim.numerics.lowlevel import row_of, stack_array
from neurolim.numerics.random import (
    BLOCK,
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


@overload(draw_row, jit_options=OPTIONS)
def _draw_row(out, first, key, replica, step, stream):
    return (normals if out.dtype == types.float32 else wide_normals).py_func


def draw_pair(
    out: Any, points: Any, first: int, key: Any, replica: int, step: int, stream: int
) -> None:
    """Fill a row with normals and another with the four-point variables that come with them."""
    raise NotImplementedError  # for kernels only


@overload(draw_pair, jit_options=OPTIONS)
def _draw_pair(out, points, first, key, replica, step, stream):
    if out.dtype == types.float32:
        return normals_and_points.py_func
    # Wide normals have no angle to spare, and bring nothing.
    return lambda out, points, first, key, replica, step, stream: None


@kernel
def draw(z, first, size, key, replica, step, site, refinement, streams, common):
    """Fill z with the normals of a step: (z_1 + ... + z_r)/sqrt(r) of r finer ones.

    Parameters
    ----------
    z : [noise, neuron]
    first, size : neurons first .. first + size - 1, multiples of BLOCK, at most a strip
    key, replica, step, site : of the noise
    refinement : r; finer steps are numbered step r + j
    streams : stream of each noise, negative for one that vanishes: its row is left alone
    common : noises with one path for all neurons of the site
    """
    fine = stack_array(z.dtype, 1, STRIP)
    for j in range(streams.size):
        if streams[j] < 0:
            continue
        stream = site * STREAMS_PER_SITE + STREAM_NOISE + streams[j]
        count, start = (BLOCK, 0) if common[j] else (size, first)
        row = row_of(z, j, count)
        part = row if refinement == 1 else row_of(fine, 0, count)
        if refinement > 1:
            _clear(row)
        for k in range(refinement):
            draw_row(part, start, key, replica, step * refinement + k, stream)
            if refinement > 1:
                _add(row, part)
        if refinement > 1:
            _divide_by_root(row, fine, refinement)
        if common[j]:
            for i in range(size):
                z[j, i] = z[j, 0]


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
        row, other = row_of(z, k, size), row_of(z, max(brings[k], 0), size)
        part = row if refinement == 1 else row_of(fine, 0, size)
        points = other if refinement == 1 else row_of(fine, 1, size)
        if refinement > 1:
            _clear(row)
            if brings[k] != ALONE:
                _clear(other)
        for r in range(refinement):
            moment = step * refinement + r
            if brings[k] == ALONE:
                draw_row(part, first, key, replica, moment, stream)
            else:
                draw_pair(part, points, first, key, replica, moment, stream)
            if refinement > 1:
                _add(row, part)
                if brings[k] != ALONE:
                    _add(other, points)
        if refinement > 1:
            _divide_by_root(row, fine, refinement)
            if brings[k] != ALONE:
                _divide_by_root(other, fine, refinement)


@kernel
def _clear(row):
    for i in range(row.size):
        row[i] = 0.0


@kernel
def _add(row, more):
    for i in range(row.size):
        row[i] += more[i]


@kernel
def _divide_by_root(row, room, count):
    # Stored, the factor has the resolution of the normals.
    room[0, 0] = 1.0 / np.sqrt(np.float64(count))
    factor = room[0, 0]
    for i in range(row.size):
        row[i] *= factor
