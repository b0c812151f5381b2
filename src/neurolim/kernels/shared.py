"""What every kernel calls and no model changes: random numbers, summaries, propagators."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload

from neurolim.core.model import MAX_VARIABLES
from neurolim.kernels.by_address import by_address, provide
from neurolim.numerics import random, summary
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.exponential import propagator
from neurolim.provenance import code_digest


def _array(dimensions: int, element: Any = types.float64) -> Any:
    return types.Array(element, dimensions, "C")


def _kept(function: Any, *arguments: Any) -> Any:
    key = code_digest(function.py_func.__module__)
    return by_address(keep_compiled(function, key), *arguments)


#: first neuron, key, replica, step, stream
_COUNTER = (types.int64, types.uint64, types.int64, types.int64, types.int64)
_single = _array(1, types.float32)

normals = _kept(random.normals, _single, *_COUNTER)
normals_and_points = _kept(random.normals_and_points, _single, _single, *_COUNTER)
wide_normals = _kept(random.wide_normals, _array(1), *_COUNTER)
uniforms = _kept(random.uniforms, _array(1), *_COUNTER)
summarise = _kept(
    summary.summarise,
    *(_array(3), types.int64, _array(2), types.float64, types.float64, _array(1)),
    *(_array(2), _array(3), _array(3), _array(3), _array(3, types.int32)),
)
_matrix = _array(2)
_STEP = (_matrix, _matrix, types.float64, _matrix, _matrix, _matrix, _matrix)
#: By number of variables.
_PROPAGATE = {d: _kept(propagator(d), *_STEP) for d in range(1, MAX_VARIABLES + 1)}
propagate_any = _kept(propagator(0), *_STEP)


def propagate(
    code: Any, L: Any, S: Any, h: float, E: Any, P1: Any, P2: Any, C: Any
) -> None:
    """Fill E, P1, P2, C of a linear system of a model's variables; see `numerics.exponential`."""
    raise NotImplementedError  # for kernels only


@overload(propagate, jit_options={"error_model": "numpy"})
def _propagate(code, L, S, h, E, P1, P2, C):
    call = _PROPAGATE[len(code.state)]

    def fill_them(code, L, S, h, E, P1, P2, C):
        call(L, S, h, E, P1, P2, C)

    return fill_them


def provide_steps() -> None:
    """Provide what every time step calls."""
    provide(normals, wide_normals, uniforms, summarise)


def provide_exponential(n_variables: int, along_a_path: bool) -> None:
    """Provide what an exponential step of so many variables calls beside."""
    provide(normals_and_points, _PROPAGATE[n_variables])
    if along_a_path:
        provide(propagate_any)
