"""Axes hold the numbers that people write, so that they find them again and refine them."""

from __future__ import annotations

import numpy as np
import pytest

from neurolim import StudyError, load_study
from neurolim.api import run_study
from neurolim.study.read import parse_study


def study(axis, **changes):
    base = {"model": "linear", "solver": "particles", "options": {"t_end": 1.0, "records": 2}}
    return parse_study(base | {"grid": {"current": axis}} | changes)


def values(axis):
    return list(study(axis).axes[0].components["current"])


@pytest.mark.parametrize(
    ("first", "last", "count", "step"),
    [(0, 1, 11, "0.1"), (0.0, 5.0, 51, "0.1"), (0.1, 0.7, 7, "0.1"), (0.02, 0.3, 15, "0.02"),
     (5, 1, 41, "-0.1"), (0, 1e-9, 11, "1e-10"), (1e14, 1e14 + 5, 6, "1"),
     (-0.3, 0.3, 7, "0.1"), (0.4, 1.6, 13, "0.1")],
)  # fmt: skip
def test_evenly_spaced_values_are_the_decimals_that_people_write(first, last, count, step):
    from decimal import Decimal

    wanted = [float(Decimal(str(first)) + k * Decimal(step)) for k in range(count)]
    assert values({"linspace": [first, last, count]}) == wanted


def test_values_that_no_decimal_ends_are_rounded_to_15_digits():
    assert values({"linspace": [0, 1, 4]}) == [0.0, 0.333333333333333, 0.666666666666667, 1.0]
    decades = values({"logspace": [1e-7, 1e-1, 13]})
    assert decades[::2] == [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert decades[1] == 3.16227766016838e-7


def test_the_ends_are_those_that_are_written_whatever_their_digits():
    first, last = 0.1234567890123456, np.nextafter(1.0, 2.0)
    for form in ("linspace", "logspace"):
        found = values({form: [first, float(last), 5]})
        assert (found[0], found[-1]) == (first, last)
    assert values({"linspace": [0.3, 0.7, 1]}) == [0.3]
    assert values({"linspace": [0.3, 0.3, 1]}) == [0.3]
    assert values({"linspace": [0.0, 5e-324, 2]}) == [0.0, 5e-324]


def test_a_value_is_found_by_the_number_that_people_write(tmp_path):
    found = run_study(study({"linspace": [0, 0.5, 6]}), tmp_path)
    for value in (0.1, 0.2, 0.3, 0.4):
        assert found.sel(current=value).sizes["replica"] == 1


@pytest.mark.parametrize("form", ["linspace", "logspace"])
def test_a_refined_axis_keeps_values_and_noise(form):
    coarse = study({form: [0.1, 0.7, 7]})
    keys = {
        fine.values_at(point)["current"]: fine.key(point)
        for fine in (study({form: [0.1, 0.7, 61]}), study({form: [0.1, 0.7, 13]}))
        for point in fine.points()
    }
    for point in coarse.points():
        assert coarse.key(point) == keys[coarse.values_at(point)["current"]]


def test_there_is_one_zero():
    plus, minus = (study([zero, 1.0]) for zero in (0.0, -0.0))
    assert str(minus.values_at(0)["current"]) == "0.0"
    assert [plus.key(k) for k in plus.points()] == [minus.key(k) for k in minus.points()]
    assert plus.definition() == minus.definition()
    params = [{"model": "linear", "solver": "limit", "params": {"current": z}} for z in (0.0, -0.0)]
    one, other = (parse_study(each) for each in params)
    assert one.digest(0, 1) == other.digest(0, 1)
    with pytest.raises(StudyError, match="duplicate values"):
        study([0.0, -0.0])


def test_every_axis_of_our_studies_is_as_somebody_would_write_it(root):
    for path in sorted((root / "config" / "studies").glob("*.yaml")):
        spec = load_study(path, analysis=False)
        for axis in spec.axes:
            form = spec.spec.grid[axis.name]
            if isinstance(form, dict) and "linspace" in form:
                for value in axis.components[axis.name]:
                    assert value == float(f"{value:.15g}")
