"""The noise of one step of a tile of neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from neurolim.kernels.numba_types import n_noises, n_variables
from neurolim.kernels.shared import normals, normals_and_points, wide_normals
from neurolim.numerics.columns import TILE
from neurolim.numerics.lowlevel import stack_array
from neurolim.numerics.random import BLOCK, STREAM_NOISE, STREAMS_PER_SITE


def draw_row(out: Any, first: int, key: Any, replica: int, step: int, stream: int) -> None:
    """Fill a row with normals of neurons first, first + 1, ..., of the row's own resolution."""
    raise NotImplementedError  # for kernels only


@overload(draw_row, jit_options={"error_model": "numpy"})
def _draw_row(out, first, key, replica, step, stream):
    fill = normals if out.dtype == types.float32 else wide_normals

    def draw_them(out, first, key, replica, step, stream):
        fill(out, first, key, replica, step, stream)

    return draw_them


@njit(error_model="numpy", forceinline=True)
def draw(code, z, first, size, key, replica, step, site, refinement, streams, common, wide):
    """Fill z [noise, :size] with the normals of a step: (z_1 + ... + z_r)/sqrt(r) of r finer ones.

    Parameters
    ----------
    code : the model
    z : [noise, TILE]
    first, size : neurons first .. first + size - 1, multiples of BLOCK
    key, replica, step, site : of the noise
    refinement : r; finer steps are numbered step r + j
    streams : stream of each noise, negative for one that vanishes: its row is left alone
    common : noises with one path for all neurons of the site
    wide : a float32 or a float64: the resolution of the normals
    """
    fine = stack_array(wide, 1, TILE)[0]
    for j in range(n_noises(code)):
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
                moment = step * refinement + part
                draw_row(fine[:count], start, key, replica, moment, stream)
                for i in range(count):
                    row[i] += fine[i]
            # Stored, the factor has the resolution of the normals.
            fine[0] = 1.0 / np.sqrt(np.float64(refinement))
            factor = fine[0]
            for i in range(count):
                row[i] *= factor
        if common[j]:
            row[:] = row[0]


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


@njit(error_model="numpy", nogil=True)
def draw_variables(code, z, first, size, key, replica, step, site, refinement, brings, wide):
    """Fill z [variable, :size] with the normals of a step, one per variable.

    Parameters
    ----------
    code, z, first, size, key, replica, step, site, refinement, wide : as in `draw`
    brings : by variable: -2 it has no normal of its own; -1 it has; k it has, and brings that of
        variable k, a four-point variable, for nothing more [d]
    """
    fine = stack_array(wide, 2, TILE)
    for k in range(n_variables(code)):
        if brings[k] == -2:
            continue
        stream = site * STREAMS_PER_SITE + STREAM_NOISE + k
        row, other = z[k, :size], z[max(brings[k], 0), :size]
        if refinement == 1:
            if brings[k] >= 0:
                draw_pair(row, other, first, key, replica, step, stream)
            else:
                draw_row(row, first, key, replica, step, stream)
            continue
        row[:] = 0.0
        if brings[k] >= 0:
            other[:] = 0.0
        for part in range(refinement):
            moment = step * refinement + part
            if brings[k] >= 0:
                draw_pair(fine[0, :size], fine[1, :size], first, key, replica, moment, stream)
                for i in range(size):
                    other[i] += fine[1, i]
            else:
                draw_row(fine[0, :size], first, key, replica, moment, stream)
            for i in range(size):
                row[i] += fine[0, i]
        # Stored, the factor has the resolution of the normals.
        fine[0, 0] = 1.0 / np.sqrt(np.float64(refinement))
        factor = fine[0, 0]
        for i in range(size):
            row[i] *= factor
        if brings[k] >= 0:
            for i in range(size):
                other[i] *= factor
