"""What every kernel calls and no model changes, compiled once per machine and called by address.

Each name is that of the function it calls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, float64, int64, typeof, types, uint64
from numba.extending import overload

from neurolim.core.model import MAX_VARIABLES
from neurolim.kernels import network, noise, records, sums
from neurolim.kernels.by_address import array_type, kept_by_address, provide
from neurolim.kernels.delays import Delays
from neurolim.numerics.compiled import OPTIONS
from neurolim.numerics.exponential import propagator

_vector, _matrix, _rows, _sites = (array_type(dimensions) for dimensions in (1, 2, 3, 4))
_integers, _bools = array_type(1, int64), array_type(1, types.bool_)
_flat, _table, _cube, _block = (np.zeros((0,) * dimensions) for dimensions in (1, 2, 3, 4))
_counts = np.zeros((0,) * 4, np.int32)
WALLS = typeof(network.Walls(_flat, _flat, _flat, _table))
_late = Delays(np.zeros(0, np.int64), _table, _cube)
NETWORK = typeof(
    network.Network(_cube, _cube, _table, _table, _table, _table, 1, 1.0, np.uint64(0), 0, _late)
)
RECORDS = typeof(
    records.Records(
        _cube, _block, _block, _block, _counts, _block, _table, 0.0, 0.0, _flat, _cube, 0
    )
)

couple = kept_by_address(network.couple, (_matrix, _matrix, _matrix))
move = kept_by_address(network.move, (_rows, int64, int64, int64, _vector))
keep_old = kept_by_address(
    network.keep_old,
    (_rows, _rows, *(int64,) * 4, _vector, WALLS),
    needed=lambda code: code.walled,
)
keep_inside = kept_by_address(
    network.keep_inside,
    (_rows, _rows, *(int64,) * 4, float64, uint64, int64, int64, WALLS),
    needed=lambda code: code.walled,
)
sample = kept_by_address(records.sample, (NETWORK, RECORDS, int64))
record = kept_by_address(records.record, (NETWORK, RECORDS, int64))
#: first neuron, neurons, key, replica, step, site, refinement
_PLACE = (int64, int64, uint64, int64, int64, int64, int64)
_buffers = (array_type(2, float32), array_type(2, float64))
draw = kept_by_address(noise.draw, *((z, *_PLACE, _integers, _bools) for z in _buffers))
draw_variables = kept_by_address(noise.draw_variables, *((z, *_PLACE, _integers) for z in _buffers))
_STEP = (_matrix, _matrix, float64, *(_matrix,) * 4)
#: By number of variables.
_PROPAGATE = {d: kept_by_address(propagator(d), _STEP) for d in range(1, MAX_VARIABLES + 1)}
propagate_any = kept_by_address(propagator(0), _STEP)


def propagate(code: Any, L: Any, S: Any, h: float, E: Any, P1: Any, P2: Any, C: Any) -> None:
    """Fill E, P1, P2, C of a linear system of a model's variables; see `numerics.exponential`."""
    raise NotImplementedError  # for kernels only


@overload(propagate, jit_options=OPTIONS)
def _propagate(code, L, S, h, E, P1, P2, C):
    call = _PROPAGATE[len(code.state)]

    def fill_them(code, L, S, h, E, P1, P2, C):
        call(L, S, h, E, P1, P2, C)

    return fill_them


def provide_steps(code: Any, wide: bool) -> None:
    """Provide what every time step of a model calls.

    Parameters
    ----------
    code : the model
    wide : normals of float64 resolution
    """
    records.provide_records()
    provide(couple, sample, record)
    provide(keep_old, keep_inside, code=code.type)
    provide(draw, element=float64 if wide else float32)


def provide_exponential(n_variables: int, along_a_path: bool) -> None:
    """Provide what finds the modes of an exponential step of so many variables."""
    provide(_PROPAGATE[n_variables])
    if along_a_path:
        provide(propagate_any)


def provide_passes(wide: bool) -> None:
    """Provide what the passes of an exponential step call; ``wide`` as in `provide_steps`."""
    provide(move)
    provide(sums.add_rows, draw_variables, element=float64 if wide else float32)
