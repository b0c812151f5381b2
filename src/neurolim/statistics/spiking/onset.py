r"""Where spikes begin and end along an axis, and how their rate rises from there.

Between two neighbouring levels of the axis the rate becomes positive (onset) and, further up, zero
again (offset): both are known as that interval.  From the middle I_c of the onset's,

    rate = C s^(2 p) (1 + |D| s)^(+-1),         s = (I - I_c)^(1/2)

is fitted to the levels from ``near`` to ``far`` beyond I_c: p is 1/2 at a saddle-node on a cycle
(class I), where a period is const/s and the time of the spike itself, and 0 where a cycle is there
already (class II).  ``near`` should be several times the length of the interval of the onset.

Expected values are compared with the interval, widened by ``allowed`` for the digits they were
printed with; p with its own as in ``convergence_rate``.

Source: Rinzel & Ermentrout 1998, ch. 7 (classes of excitability); docs/spiking.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.core.verdict import contains
from neurolim.numerics.regression import OrderFit, fit_order
from neurolim.statistics.parts.common import grid_points, judge_order, labelled, unit_of

_LABELS = {
    "onset_low": ("axis", "last level without spikes before the onset"),
    "onset_high": ("axis", "first level with spikes"),
    "offset_low": ("axis", "last level with spikes"),
    "offset_high": ("axis", "first level without spikes after the offset"),
    "onset_order": ("1", "order of the rate beyond the onset"),
    "onset_order_low": ("1", "lower end of the interval of the order"),
    "onset_order_high": ("1", "upper end of the interval of the order"),
    "onset_constant": ("of the rate over a power of the axis", "constant of the rate"),
    "expected_onset": ("axis", "expected onset"),
    "expected_offset": ("axis", "expected offset"),
    "expected_order": ("1", "expected order of the rate"),
}
_GIVES = tuple(_LABELS)
_COLUMNS = (Column("measured"), Column("low"), Column("high"), Column("expected"))


def apply(
    dataset: xr.Dataset,
    *,
    of: str,
    over: str,
    near: float,
    far: float,
    onsets: tuple[float, ...],
    offsets: tuple[float, ...],
    orders: tuple[float, ...],
    allowed: float,
) -> xr.Dataset:
    """Return intervals of onset and offset, and the order of the rate [grid without ``over``].

    Parameters
    ----------
    dataset : the rate [grid, replica]; replicas are averaged
    of, over : name of the rate; axis
    near, far : distances beyond the onset between which the order is fitted, axis
    onsets, offsets, orders : expected values at each combination of the other axes, in their
        order; 0 (of an order: -1) where there is none
    allowed : widening of the intervals for the digits of the expected values, axis

    Raises
    ------
    StudyError : the rate does not vary along ``over``; as many values as combinations are needed
    """
    rate = dataset[of]
    if over not in rate.dims:
        raise StudyError("over", f"{of} does not vary along {over}", f"an axis of {of}")
    if "replica" in rate.dims:
        rate = rate.mean("replica")
    rest = [str(dim) for dim in rate.dims if dim != over]
    rate = rate.transpose(*rest, over).sortby(over)
    shape = tuple(rate.sizes[dim] for dim in rest)
    found = {name: np.full(shape, np.nan) for name in _GIVES}
    for name, values, none in (
        ("onset", onsets, 0.0), ("offset", offsets, 0.0), ("order", orders, -1.0)
    ):  # fmt: skip
        found[f"expected_{name}"] = _expected(f"{name}s", values, none, shape)
    levels = rate[over].values.astype(float)
    for place in itertools.product(*(range(size) for size in shape)):
        for name, value in _at(levels, rate.values[place], near, far).items():
            found[name][place] = value
    result = xr.Dataset(
        {name: (rest, values) for name, values in found.items()},
        {name: c for name, c in dataset.coords.items() if set(c.dims) <= set(rest)},
        dict(dataset.attrs),
    )
    axis = unit_of(dataset, over)
    return labelled(
        result,
        {name: (axis if unit == "axis" else unit, text) for name, (unit, text) in _LABELS.items()},
    )


def _expected(
    key: str, values: tuple[float, ...], none: float, shape: tuple[int, ...]
) -> np.ndarray:
    """Return expected values in the shape of the other axes, NaN where there is none."""
    count = int(np.prod(shape))
    if len(values) not in (1, count):
        raise StudyError(key, f"{len(values)} values", f"1 or {count}")
    found = np.broadcast_to(np.reshape(values, shape if len(values) == count else 1), shape)
    return np.where(found == none, np.nan, found)


def _at(levels: np.ndarray, rate: np.ndarray, near: float, far: float) -> dict[str, float]:
    """Return what is found along one line of rates; nothing where no spike begins."""
    spiking = np.flatnonzero(rate > 0.0)
    found: dict[str, float] = {}
    if spiking.size == 0 or not np.isfinite(rate).all():
        return found
    first, last = spiking[0], spiking[-1]
    if last + 1 < levels.size:
        found |= {"offset_low": levels[last], "offset_high": levels[last + 1]}
    if first == 0:
        return found
    low, high = levels[first - 1], levels[first]
    distance = levels - 0.5 * (low + high)
    used = np.flatnonzero((distance >= near) & (distance <= far) & (rate > 0.0))
    # The rate is that of a neuron without noise, or of many replicas: no error of its own.
    fit = fit_order(distance[used] ** 0.5, [rate[[k]] for k in used], True, replicated=False)
    return found | {
        "onset_low": low,
        "onset_high": high,
        "onset_order": fit.order / 2.0,
        "onset_order_low": fit.low / 2.0,
        "onset_order_high": fit.high / 2.0,
        "onset_constant": fit.constant,
    }


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``onset``: intervals and orders beside the expected ones, with verdicts."""
    rows = []
    for at, point in grid_points(dataset, dataset["onset_low"].dims):
        number = {name: float(point[name]) for name in _GIVES}
        for name in ("onset", "offset"):
            low, high = number[f"{name}_low"], number[f"{name}_high"]
            middle, expected = 0.5 * (low + high), number[f"expected_{name}"]
            verdict = contains(
                middle, low, high, expected, options["allowed"], missing="not inside the axis"
            )
            rows.append(Row(_values(middle, low, high, expected), verdict, name, at))
        fit, order = OrderFit(*(number[name] for name in _GIVES[4:8])), number["expected_order"]
        verdict = judge_order(fit, expect.get("onset_order", {}), order)
        rows.append(Row(_values(fit.order, fit.low, fit.high, order), verdict, "onset_order", at))
    return (Table("onset", _COLUMNS, tuple(rows)),)


def _values(*values: float) -> dict[str, float]:
    return {column.name: value for column, value in zip(_COLUMNS, values, strict=True)}


def exact() -> list[Any]:
    """Return a root that begins at 2.05 and a jump at 1.05 that ends at 4.95."""
    current = np.round(np.arange(1.0, 6.0, 0.1), 10)
    root = 0.3 * np.sqrt(np.maximum(current - 2.05, 0.0))
    jump = np.where((current > 1.05) & (current < 4.95), 0.7, 0.0)
    dataset = xr.Dataset(
        {"firing_rate": (("kind", "current"), [root, jump])},
        {"kind": ["root", "jump"], "current": current},
    )
    options = {
        "of": "firing_rate", "over": "current", "near": 0.1, "far": 2.0, "onsets": (2.05, 1.05),
        "offsets": (0.0, 4.95), "orders": (0.5, 0.0), "allowed": 0.0,
    }  # fmt: skip
    root_at, jump_at = {"kind": "root"}, {"kind": "jump"}
    checks = [
        ("onset_low", root_at, 2.0, 1e-9),
        ("onset_high", root_at, 2.1, 1e-9),
        ("onset_order", root_at, 0.5, 1e-6),
        ("onset_constant", root_at, 0.3, 1e-6),
        ("onset_low", jump_at, 1.0, 1e-9),
        ("onset_order", jump_at, 0.0, 1e-6),
        ("offset_low", jump_at, 4.9, 1e-9),
        ("offset_high", jump_at, 5.0, 1e-9),
    ]
    return [(dataset, options, checks)]


STATISTIC = Statistic(
    summary="Where spikes begin and end along an axis, and the order of their rate at the onset.",
    source="Rinzel & Ermentrout 1998, ch. 7",
    options=(
        Param("of", "firing_rate", doc="name of the rate", kind="text"),
        Param("over", "current", doc="axis along which spikes begin", kind="axis"),
        Param("near", 0.0, doc="least distance from the onset that is fitted", low=0.0),
        Param("far", 1.0, doc="largest distance from the onset that is fitted", positive=True),
        Param("onsets", (0.0,), doc="expected onsets, 0 for none", kind="vector", low=0.0),
        Param("offsets", (0.0,), doc="expected offsets, 0 for none", kind="vector", low=0.0),
        Param("orders", (-1.0,), doc="expected orders, -1 for none", kind="vector", low=-1.0),
        Param("allowed", 0.0, doc="half a digit of the expected values", low=0.0),
    ),
    needs=lambda options: (options["of"],),
    gives=lambda options, state: _GIVES,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("onset",),
)
