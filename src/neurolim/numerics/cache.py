"""Compiled kernels kept on disk, found again by what they were made from.

numba's own cache is keyed by the outermost function: an edited callee returns stale code, and a
kernel built around a model's functions is never found again.  Here the key is given by the caller,
who knows every source the kernel depends on, so both problems are gone.
"""

from __future__ import annotations

import contextlib
import pickle
from hashlib import sha256
from pathlib import Path
from types import FunctionType
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

from neurolim import files

#: Bytes of a checksum at the head of a file.
_SEAL = sha256().digest_size


class _Files(IndexDataCacheFile):
    """The files of a function, sealed: what is not as it was written is not there.

    Half a file, one of another version and one with a wrong bit are compiled anew: nothing of them
    is unpickled, and no damaged code runs.
    """

    def _load_index(self) -> Any:
        with contextlib.suppress(Exception):  # whatever unpickling meets: types that are gone
            stamp, overloads = self._opened(self._index_path)
            if stamp == (self._version, self._source_stamp):
                return overloads
        return {}

    def _save_index(self, overloads: Any) -> None:
        self._seal(self._index_path, ((self._version, self._source_stamp), overloads))

    def _load_data(self, name: str) -> Any:
        try:
            return self._opened(self._data_path(name))
        except Exception as error:
            raise OSError(name) from error  # which numba takes for a file that is gone

    def _save_data(self, name: str, data: Any) -> None:
        self._seal(self._data_path(name), data)

    def _opened(self, path: str) -> Any:
        content = memoryview(Path(path).read_bytes())
        if sha256(content[_SEAL:]).digest() != content[:_SEAL]:
            raise ValueError(path)
        return pickle.loads(content[_SEAL:])

    def _seal(self, path: str, content: Any) -> None:
        data = self._dump(content)
        with files.beside(Path(path)) as temporary:
            temporary.write_bytes(sha256(data).digest() + data)


class _KeyedCache(FunctionCache):
    """numba's cache of compiled code with a key that stands for all sources."""

    def __init__(self, function: Any, key: str) -> None:
        super().__init__(function)
        self._key = key
        self._cache_file = _Files(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code, unless an argument's type says that nothing covers its source."""
        if all(getattr(argument, "kept", True) for argument in sig):
            # A full disk costs the time to compile again.
            with contextlib.suppress(OSError):
                super().save_overload(sig, data)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return compiled code for these types, or None.

        Two processes that compile for two models at once may put the code of the one under the
        name of the other: what is found is compared with what was asked for.
        """
        found = super().load_overload(sig, target_context)
        return found if found is None or tuple(found.signature.args) == tuple(sig) else None

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        # The processor is part of the key: code for another one is compiled anew.
        return (sig, codegen.magic_tuple(), self._key)


def named(function: Any, tag: object) -> Any:
    """Return a copy of the function with a tag in its qualified name.

    Machine code is linked by qualified name and a counter that starts anew in every process.  Two
    functions of one name, one from disk and one compiled here, could be taken for each other where
    they close over different things or see different parameter classes; with that in their name
    they cannot.
    """
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__ = f"{function.__qualname__}.{tag}"
    copy.__module__ = function.__module__
    copy.__doc__ = function.__doc__
    return copy


def keep_compiled(dispatcher: Any, key: str, known: bool = True) -> Any:
    """Return the jitted function, set to keep its machine code on disk under ``key``.

    Parameters
    ----------
    dispatcher : a numba function with array and number arguments only, all closures in it being
        ``named`` by what they close over
    key : digest of everything the code depends on beside argument types and processor
    known : False if the code depends on something that no digest covers: it is not kept

    Notes
    -----
    The folder is NUMBA_CACHE_DIR, or ``__pycache__`` beside the source, or the user's cache; if
    none can be written the function is compiled in every process, which costs only time.
    """
    if not known:
        return dispatcher
    # RuntimeError: numba found no folder to write to.
    with contextlib.suppress(RuntimeError):
        dispatcher._cache = _KeyedCache(dispatcher.py_func, key)
    return dispatcher
