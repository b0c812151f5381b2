"""Checks of single parameters."""

from __future__ import annotations

import numpy as np
import pytest

from neurolim.core import Param, StudyError


@pytest.mark.parametrize("value", [2**53 + 1, np.uint64(2**64 - 1), -(2**60) - 1])
def test_integers_are_kept_exactly(value):
    assert Param("x", 1, kind="integer").check(value) == int(value)


def test_bounds_of_integers_are_exact():
    param = Param("x", 1, kind="integer", low=0, high=2**53)
    assert param.check(2**53) == 2**53
    with pytest.raises(StudyError, match="out of range"):
        param.check(2**53 + 1)


@pytest.mark.parametrize("kind", ["vector", "matrix"])
@pytest.mark.parametrize("value", [np.array(5.0), [np.array(5.0)][0:0], np.zeros((0, 2))])
def test_arrays_without_entries_are_refused(kind, value):
    with pytest.raises(StudyError, match="wrong type"):
        Param("x", None, kind=kind).check(value)


def test_a_row_without_dimension_is_refused():
    with pytest.raises(StudyError, match="wrong type"):
        Param("x", None, kind="matrix").check([np.array(5.0)])
