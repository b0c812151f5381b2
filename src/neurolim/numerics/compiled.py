"""How functions are compiled that compiled functions call.

numba gives every function an entry that Python can call.  Unpacking arguments and packing results,
it is most of what is compiled of a short function, and most functions are never called by Python.

While numba compiles, Python's collector of cyclic garbage waits: it would walk again and again over
what the compiler holds on to, a sixth of the time for nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import Any

from numba import njit
from numba.core import event
from numba.core.registry import CPUDispatcher

#: Of an ``overload``, which has no entry for Python anyway.
OPTIONS = {"error_model": "numpy", "no_cfunc_wrapper": True}


class _WithoutEntry(CPUDispatcher):
    """A compiled function whose entry is compiled, with a copy of it, once Python calls it."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        without = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        super().__init__(function, targetoptions={"nopython": True} | options | without)

    def add_overload(self, cres: Any) -> None:
        """Keep what was compiled for these types out of the table of entries."""
        self.overloads[tuple(cres.signature.args)] = cres

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        return self._with_entry

    @cached_property
    def _with_entry(self) -> Any:
        return njit(error_model="numpy")(self.py_func)


#: Compiled for Python to call, with the interpreter lock released; it may not make arrays.
entry: Any = njit(error_model="numpy", nogil=True, _nrt=False)


def kernel(function: Callable[..., Any]) -> Any:
    """Return the function compiled, for kernels to call; it may not make arrays.

    Without arrays of its own it counts no references: the atomic instructions of a few arguments
    cost as much as half of a tile's arithmetic.
    """
    return _WithoutEntry(function, error_model="numpy", _nrt=False)


def maker(function: Callable[..., Any]) -> Any:
    """Return the function compiled, for kernels to call; it may make arrays."""
    return _WithoutEntry(function, error_model="numpy")


def inlined(function: Callable[..., Any]) -> Any:
    """Return the function compiled as a part of whatever calls it."""
    return _WithoutEntry(function, error_model="numpy", forceinline=True, _nrt=True)


class _WithoutCollector(event.Listener):
    """Garbage is not collected while any thread compiles, and is again once none does."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._compiling = 0
        self._collects = False

    def on_start(self, event: Any) -> None:
        """Stop the collector, if it runs and this compilation is not a part of another."""
        with self._lock:
            if self._compiling == 0:
                self._collects = gc.isenabled()
                gc.disable()
            self._compiling += 1

    def on_end(self, event: Any) -> None:
        """Start the collector again after the outermost compilation, if it ran before."""
        with self._lock:
            self._compiling -= 1
            if self._compiling == 0 and self._collects:
                gc.enable()


event.register("numba:compile", _WithoutCollector())
