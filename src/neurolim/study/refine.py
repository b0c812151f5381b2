r"""Adaptive maps: a coarse grid first, then only the cells between neighbours that differ.

A study with ``refine: {axes: [x, y], by: regime, levels: L}`` has the grid it says, but not all of
it is simulated.  Level 0 is every 2^L-th value of both axes (and the last), level l every
2^(L-l)-th.  A point of level l > 0 is simulated if the corners of the coarser cell, or the ends of
the coarser edge, it lies on are not all of one class; the rest is SKIPPED and has the class of its
corners.  Points are numbered level by level, so that levels are further chunks of one study; noise
depends on coordinates only, so cells have the bits they have in the full grid.

What is missed: a region that lies whole within a coarse cell without touching a corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def levels_of(shape: Sequence[int], levels: int) -> np.ndarray:
    """Return the level of every cell of a map.

    Parameters
    ----------
    shape : cells along each refined axis
    levels : L, number of refinements
    """
    found = np.zeros(tuple(shape), dtype=int)
    for axis, size in enumerate(shape):
        index = np.arange(size)
        level = np.zeros(size, dtype=int)
        for finer in range(levels):
            level[index % 2 ** (levels - finer) != 0] = finer + 1
        level[-1] = 0
        found = np.maximum(
            found, level.reshape([-1 if k == axis else 1 for k in range(len(shape))])
        )
    return found


def corners(cell: Sequence[int], shape: Sequence[int], level: int, levels: int) -> np.ndarray:
    """Return the cells of coarser levels around a cell of a level above 0 [corners, axes].

    Parameters
    ----------
    cell : its index
    shape : of the map
    level : of the cell
    levels : L
    """
    stride = 2 ** (levels - level + 1)
    ends = []
    for index, size in zip(cell, shape, strict=True):
        low = index - index % stride
        on_lattice = low == index or index == size - 1
        ends.append((index,) if on_lattice else (low, min(low + stride, size - 1)))
    grids = np.meshgrid(*ends, indexing="ij")
    return np.stack([grid.ravel() for grid in grids], axis=-1)


def wanted(classes: np.ndarray, known: np.ndarray, level: int, levels: int) -> np.ndarray:
    """Return which cells of a level have corners of different classes.

    Parameters
    ----------
    classes : class of every cell [map, others]; used where known
    known : cells simulated so far [map]
    level, levels : the level asked for, L

    Returns
    -------
    booleans [map]; at level 0 all cells of that level
    """
    place = levels_of(known.shape, levels)
    if level == 0:
        return place == 0
    filled = classes.copy()
    found = np.zeros(known.shape, dtype=bool)
    for here in range(1, level + 1):
        for cell in map(tuple, np.argwhere(place == here)):
            around = corners(cell, known.shape, here, levels)
            values = filled[tuple(around.T)]
            if here == level:
                found[cell] = bool((values != values[0]).any())
            elif not known[cell]:
                filled[cell] = values[0]
    return found


def filled_with(arrays: Mapping[str, np.ndarray], done: np.ndarray) -> dict[str, np.ndarray]:
    """Return arrays with gaps: rows in their places where ``done``, NaN (0 for integers) elsewhere.

    Parameters
    ----------
    arrays : rows that were computed [done.sum(), ...]
    done : which rows those are
    """
    found = {}
    for name, array in arrays.items():
        empty = np.nan if array.dtype.kind == "f" else 0
        found[name] = np.full((done.size, *array.shape[1:]), empty, array.dtype)
        found[name][done] = array
    return found
