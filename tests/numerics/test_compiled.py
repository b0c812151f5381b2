"""How functions are compiled that compiled functions call."""

import gc

import pytest
from numba import njit
from numba.core.errors import NumbaError
from numba.extending import overload

from neurolim.numerics.compiled import kernel


def _collecting(seen):
    """Return a function whose compilation notes whether garbage is being collected."""

    def probe():
        raise NotImplementedError

    @overload(probe)
    def _probe():
        seen.append(gc.isenabled())
        return lambda: 1

    return kernel(lambda: probe())


def test_garbage_waits_while_a_function_is_compiled_and_is_collected_afterwards():
    seen: list[bool] = []
    assert gc.isenabled()
    assert _collecting(seen)() == 1
    assert set(seen) == {False}
    assert gc.isenabled()


def test_garbage_is_collected_again_after_a_compilation_that_fails():
    with pytest.raises(NumbaError):
        njit(lambda x: x.nothing_of_the_kind)(1.0)
    assert gc.isenabled()


def test_a_collector_that_was_stopped_stays_so():
    gc.disable()
    try:
        _collecting([])()
        assert not gc.isenabled()
    finally:
        gc.enable()
