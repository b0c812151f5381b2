"""Compiled kernels kept on disk, found again by what they were made from.

numba's own cache is keyed by the outermost function: an edited callee returns stale code, and a
kernel built around a model's functions is never found again.  Here the key is given by the caller,
who knows every source the kernel depends on, so both problems are gone.
"""

from __future__ import annotations

import contextlib
from typing import Any

from numba.core.caching import FunctionCache


class _KeyedCache(FunctionCache):
    """numba's cache of compiled code with a key that stands for all sources."""

    def __init__(self, function: Any, key: str) -> None:
        super().__init__(function)
        self._key = key

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        # The processor is part of the key: code for another one is compiled anew.
        return (sig, codegen.magic_tuple(), self._key)


def keep_compiled(dispatcher: Any, key: str) -> Any:
    """Return the jitted function, set to keep its machine code on disk under ``key``.

    Parameters
    ----------
    dispatcher : a numba function with array and number arguments only
    key : digest of everything the code depends on beside argument types and processor

    Notes
    -----
    The folder is NUMBA_CACHE_DIR, or ``__pycache__`` beside the source, or the user's cache; if
    none can be written the function is compiled in every process, which costs only time.
    """
    # RuntimeError: numba found no folder to write to.
    with contextlib.suppress(RuntimeError):
        dispatcher._cache = _KeyedCache(dispatcher.py_func, key)
    return dispatcher
