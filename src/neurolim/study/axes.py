"""Axes of a study: what a user may write, and the values it stands for."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from neurolim.core import Param, StudyError
from neurolim.core.errors import show

MAX_POINTS = 10_000_000
_FORMS = ("values", "inverse", "linspace", "logspace", "zip")
_ALLOWED = "a list of values, or one of " + ", ".join(_FORMS) + " (with noise: independent|common)"


@dataclass(frozen=True)
class Axis:
    """One dimension of the grid.

    Parameters
    ----------
    name : dimension of the dataset; a parameter or option unless the axis is zipped
    components : {parameter or option: values}; one entry unless zipped; equal lengths
    common : grid points along this axis share their noise
    """

    name: str
    components: dict[str, tuple[Any, ...]]
    common: bool

    @property
    def size(self) -> int:
        """Return the number of values."""
        return len(next(iter(self.components.values())))

    @property
    def zipped(self) -> bool:
        """Return whether several parameters move together along this axis."""
        return tuple(self.components) != (self.name,)


def parse_axis(name: str, spec: Any, known: Mapping[str, Param]) -> Axis:
    """Return the axis a study asks for.

    Parameters
    ----------
    name : key in ``grid``
    spec : a list, or a mapping of one form and an optional ``noise``
    known : parameters of the model and options of the solver, by name

    Raises
    ------
    StudyError : unknown form or name, empty, duplicate or non-finite values, out of bounds
    """
    key = f"grid.{name}"
    common = False
    if isinstance(spec, Mapping):
        spec = dict(spec)
        noise = spec.pop("noise", "independent")
        if noise not in ("independent", "common"):
            raise StudyError(f"{key}.noise", f"unknown word {show(noise)}", "independent, common")
        common = noise == "common"
        if len(spec) == 1 and "zip" in spec:
            return Axis(name, _zipped(name, spec["zip"], known), common)
    return Axis(name, {name: _values(key, name, spec, known)}, common)


def _zipped(name: str, spec: Any, known: Mapping[str, Param]) -> dict[str, tuple[Any, ...]]:
    key = f"grid.{name}.zip"
    if name in known:
        raise StudyError(key, f"{name!r} is a parameter", "a free name for a zipped axis")
    if not isinstance(spec, Mapping) or len(spec) < 2:
        raise StudyError(key, "not a mapping of two or more parameters", "{parameter: values, ...}")
    components = {
        str(part): _values(f"{key}.{part}", str(part), form, known, False)
        for part, form in spec.items()
    }
    lengths = {part: len(values) for part, values in components.items()}
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{part} has {length}" for part, length in lengths.items())
        raise StudyError(key, f"unequal lengths: {text}", "lists of equal length")
    # A parameter may stand still along the path; two points may not be the same.
    _refuse_duplicates(key, list(zip(*components.values(), strict=True)))
    return components


def _refuse_duplicates(key: str, values: Sequence[Any]) -> None:
    duplicates = [show(value) for value, count in Counter(values).items() if count > 1]
    if duplicates:
        raise StudyError(key, f"duplicate values: {', '.join(duplicates[:5])}", "distinct values")


def _values(
    key: str, name: str, spec: Any, known: Mapping[str, Param], distinct: bool = True
) -> tuple[Any, ...]:
    if name not in known:
        raise StudyError(
            key, "neither a parameter of the model nor an option of the solver", sorted(known)
        )
    param = known[name]
    if param.kind not in ("number", "integer", "choice", "boolean"):
        raise StudyError(key, f"a {param.kind} cannot be an axis", "number, integer, choice")
    values: Sequence[Any]
    if isinstance(spec, (list, tuple)):
        values = spec
    elif isinstance(spec, Mapping) and len(spec) == 1 and next(iter(spec)) in _FORMS[:4]:
        form, body = next(iter(spec.items()))
        if not isinstance(body, (list, tuple)):
            raise StudyError(f"{key}.{form}", f"not a list: {show(body)}", "a list")
        values = body if form == "values" else _formula(f"{key}.{form}", form, body)
    else:
        raise StudyError(key, f"not an axis: {show(spec)}", _ALLOWED)
    if len(values) == 0:
        raise StudyError(key, "empty axis", "at least one value")
    if len(values) > MAX_POINTS:
        raise StudyError(key, f"{len(values)} values", f"at most {MAX_POINTS}")
    checked = []
    for value in values:
        try:
            checked.append(param.check(value))
        except StudyError as error:
            raise StudyError(key, error.problem, error.allowed) from None
    if distinct:
        _refuse_duplicates(key, checked)
    return tuple(checked)


def _formula(key: str, form: str, body: Sequence[Any]) -> list[float]:
    for value in body:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise StudyError(key, f"wrong type: got {show(value)}", "numbers")
        # Integers of any size are YAML; beyond the floats they are as good as infinite.
        if abs(value) > sys.float_info.max or value != value:
            raise StudyError(key, f"not finite: {show(value)}", "finite numbers")
    if form == "inverse":
        if any(value == 0 for value in body):
            raise StudyError(key, "division by zero", "non-zero numbers")
        return [1.0 / value for value in body]
    if len(body) != 3:
        raise StudyError(key, f"{len(body)} entries", "[first, last, how many]")
    low, high, count = body
    if not isinstance(count, int) or not 1 <= count <= MAX_POINTS:
        raise StudyError(key, f"how many: {show(count)}", f"an integer from 1 to {MAX_POINTS}")
    if form == "logspace" and (low <= 0 or high <= 0):
        raise StudyError(key, f"ends {low:g}, {high:g}", "positive ends")
    between = _evenly(low, high, count) if form == "linspace" else np.geomspace(low, high, count)
    # What is between the ends is what people write: 0.3, not 0.30000000000000004.
    inner = [_as_written(float(value)) for value in between[1:-1]]
    return [float(low), *inner, float(high)][:count]


def _evenly(low: float, high: float, count: int) -> list[float]:
    """Return numbers at equal distances, each the float nearest to what decimals give."""
    first, last = Fraction(str(low)), Fraction(str(high))
    parts = max(count - 1, 1)
    below = first.denominator * last.denominator * parts
    start, step = first * below, (last - first) * below / parts
    return [(start.numerator + place * step.numerator) / below for place in range(count)]


def _as_written(value: float) -> float:
    """Return the float nearest to the decimal of 15 digits that is nearest to a number."""
    written = float(f"{value:.15g}")
    return written if math.isfinite(written) else value
