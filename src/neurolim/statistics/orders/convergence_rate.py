r"""Orders of convergence: regression and pairwise orders with confidence intervals and verdicts.

The error of a quantity at a level is |average over replicas|; its order in ``over`` is fitted by
numerics.regression.  Levels lost in noise, or without a successful run, are dropped and named.
Where the limit is that of a growing axis, as a coupling rate gamma, the next order is one in
1/gamma: the fit is done in the inverse of the levels and its order given in the levels themselves.

Source: docs/science.md, section on measuring orders.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.numerics.regression import (
    OrderFit,
    fit_constant,
    fit_order,
    measure_levels,
    pairwise_orders,
)
from neurolim.statistics.parts.common import judge_order, labelled, unit_of

_LABELS = {
    "order": ("1", "order of convergence"),
    "order_low": ("1", "lower end of the interval of the order"),
    "order_high": ("1", "upper end of the interval of the order"),
    "constant_free": ("of the quantity", "constant of the fit of constant and order"),
    "level_error": ("of the quantity", "error at the level"),
    "level_standard_error": ("of the quantity", "standard error of the error at the level"),
    "pairwise_order": ("1", "order between the level and the one before"),
    "level_used": ("1", "whether the level is fitted"),
    "level_reason": ("1", "why the level is not fitted"),
    "quantity": ("1", "quantity and where"),
    "quantity_name": ("1", "name of the quantity"),
    "quantity_at": ("1", "coordinates of the quantity"),
}


def apply(
    dataset: xr.Dataset,
    *,
    of: tuple[str, ...],
    over: str,
    limit: str,
    below: float,
    correction: bool,
    resamples: int,
    confidence: float,
    bootstrap_seed: int,
) -> xr.Dataset:
    """Return orders [quantity] and levels [quantity, level] of the named quantities.

    Parameters
    ----------
    dataset : the quantities, with dims (grid.., over.., [replica])
    of : names of quantities; each combination of the other grid axes makes a row of its own
    over : axis along which the error goes to zero
    limit : "zero" or "infinity", where the axis goes
    below : levels farther from the limit than this are shown but not fitted; 0 fits all
    correction : fit the next order too
    resamples, confidence, bootstrap_seed : of the bootstrap

    Raises
    ------
    StudyError : a quantity does not vary along ``over``, or levels are not positive
    """
    axis = dataset[over]
    order = np.argsort(axis.values)[:: 1 if limit == "infinity" else -1]
    levels = axis.values[order].astype(float)
    if levels.min() <= 0:
        raise StudyError("over", f"{over} has values <= 0", "a positive axis")
    common = axis.attrs.get("noise") == "common"
    rows = []
    for name in of:
        # One replica of a stochastic solver is one sample, not a deterministic value.
        replicated = "replica" in dataset[name].dims
        for at, samples in _rows(dataset, name, over, order):
            settings = (correction, common, resamples, confidence, bootstrap_seed, replicated)
            fine = _fine(levels, below, limit)
            small = _small(levels[fine], limit)
            free = _in_levels(fit_order(small, [samples[k] for k in fine], *settings), limit)
            measured = measure_levels(samples, common, replicated)
            for k in set(range(len(levels))) - set(fine):
                measured.reason[k] = measured.reason[k] or "coarse"
            rows.append((Row({}, quantity=name, at=at), free, measured))
    about = [row[0] for row in rows]
    columns = ("quantity", "level")
    result = xr.Dataset(
        {
            "order": ("quantity", [row[1].order for row in rows]),
            "order_low": ("quantity", [row[1].low for row in rows]),
            "order_high": ("quantity", [row[1].high for row in rows]),
            "constant_free": ("quantity", [row[1].constant for row in rows]),
            "level_error": (columns, [row[2].error for row in rows]),
            "level_standard_error": (columns, [row[2].standard_error for row in rows]),
            "pairwise_order": (columns, [pairwise_orders(levels, row[2].error) for row in rows]),
            "level_used": (columns, [row[2].used for row in rows]),
            "level_reason": (columns, [row[2].reason for row in rows]),
        },
        coords={
            "quantity": [row.label for row in about],
            "quantity_name": ("quantity", [row.quantity for row in about]),
            "quantity_at": ("quantity", [json.dumps(row.at) for row in about]),
            "level_value": ("level", levels),
        },
        attrs=dict(dataset.attrs),
    )
    result = labelled(result, _LABELS | {"level_value": (unit_of(dataset, over), over)})
    result["level_value"].attrs |= dict(axis.attrs) | {"axis": over}
    return result


def _small(levels: np.ndarray, limit: str) -> np.ndarray:
    """Return what goes to zero with the levels: themselves, or their inverse."""
    return 1.0 / levels if limit == "infinity" else levels


def _in_levels(fit: OrderFit, limit: str) -> OrderFit:
    """Return a fit in ``_small`` levels as one in the levels."""
    if limit == "infinity":
        return OrderFit(-fit.order, -fit.high, -fit.low, fit.constant)
    return fit


def _fine(levels: np.ndarray, below: float, limit: str) -> list[int]:
    """Return the places of the levels that are fitted."""
    if below == 0.0:
        return list(range(len(levels)))
    bound = float(_small(np.array([below]), limit)[0])
    return [k for k, small in enumerate(_small(levels, limit)) if small <= bound]


def _rows(
    dataset: xr.Dataset, name: str, over: str, order: np.ndarray
) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
    """Yield (coordinates, samples per level) for every combination of the remaining grid axes."""
    array = dataset[name]
    if over not in array.dims:
        raise StudyError("of", f"{name} does not vary along {over}", f"quantities over {over}")
    rest = [str(dim) for dim in array.dims if dim not in (over, "replica")]
    for index in itertools.product(*(range(array.sizes[dim]) for dim in rest)):
        chosen = array.isel(dict(zip(rest, index, strict=True)))
        at = {
            dim: dataset[dim].values[i].item() if dim in dataset.coords else i
            for dim, i in zip(rest, index, strict=True)
        }
        chosen = chosen.transpose(over, ...)
        yield at, [np.atleast_1d(chosen.values[k]) for k in order]


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``convergence_rate``, one row per quantity, and ``convergence_levels``."""
    over, limit = options["over"], options["limit"]
    levels = dataset["level_value"].values
    rows, steps = [], []
    for i in range(dataset.sizes["quantity"]):
        chosen = dataset.isel(quantity=i)
        name, at = str(chosen["quantity_name"].item()), json.loads(chosen["quantity_at"].item())
        expectation = expect.get(name, {})
        fit = OrderFit(
            *(float(chosen[key]) for key in ("order", "order_low", "order_high", "constant_free"))
        )
        constant, expected = fit.constant, expectation.get("order")
        if expected is not None and np.isfinite(fit.order):
            used = chosen["level_used"].values.astype(bool)
            constant = fit_constant(
                _small(levels[used], limit),
                chosen["level_error"].values[used],
                -expected if limit == "infinity" else expected,
                options["correction"],
            )
        reasons = [str(reason) for reason in chosen["level_reason"].values]
        values = {
            "over": over,
            "order": fit.order,
            "order_low": fit.low,
            "order_high": fit.high,
            "expected": np.nan if expected is None else float(expected),
            "constant": constant,
            "levels": sum(not reason for reason in reasons),
        }
        rows.append(Row(values, judge_order(fit, expectation), name, at))
        for k, level in enumerate(levels):
            values = {
                "over": over,
                "level": float(level),
                "error": float(chosen["level_error"][k]),
                "standard_error": float(chosen["level_standard_error"][k]),
                "pairwise_order": float(chosen["pairwise_order"][k]),
                "used": not reasons[k],
                "left_out_for": reasons[k],
            }
            steps.append(Row(values, quantity=name, at=at))
    return (
        Table("convergence_rate", _ORDERS, tuple(rows)),
        Table("convergence_levels", _LEVELS, tuple(steps)),
    )


_ORDERS = (
    Column("over", ""),
    Column("order"),
    Column("order_low"),
    Column("order_high"),
    Column("expected"),
    Column("constant"),
    Column("levels"),
)
_LEVELS = (
    Column("over", ""),
    Column("level"),
    Column("error", error="standard_error"),
    Column("standard_error", digits=2),
    Column("pairwise_order"),
    Column("used", ""),
    Column("left_out_for", ""),
)


def exact() -> list[Any]:
    """Return an exact square-root law and a second-order law, without and with replicas."""
    eps = np.array([0.4, 0.2, 0.1, 0.05])
    deterministic = xr.Dataset(
        {"half": ("eps", 2.0 * eps**0.5), "two": ("eps", -(eps**2))}, {"eps": eps}
    )
    options = {
        "of": ("half", "two"),
        "over": "eps",
        "limit": "zero",
        "below": 0.0,
        "correction": False,
        "resamples": 100,
        "confidence": 0.95,
        "bootstrap_seed": 0,
    }
    checks = [
        ("order", {"quantity": "half"}, 0.5, 1e-12),
        ("order", {"quantity": "two"}, 2.0, 1e-12),
        ("constant_free", {"quantity": "half"}, 2.0, 1e-12),
    ]
    bent = deterministic.assign(
        half=deterministic["half"] * (1.0 + 9.0 * (deterministic["eps"] > 0.3))
    )
    # As the axis grows: 2 gamma^-1/2 (1 + 3/gamma), whose next order the correction has exactly.
    gamma = np.array([1.0, 10.0, 100.0, 1000.0, 1e4])
    growing = xr.Dataset(
        {"half": ("gamma", 2.0 * gamma**-0.5 * (1.0 + 3.0 / gamma))}, {"gamma": gamma}
    )
    upward = options | {"of": ("half",), "over": "gamma", "limit": "infinity", "correction": True}
    at = {"quantity": "half"}
    return [
        (deterministic, options, checks),
        (bent, options | {"below": 0.3}, checks),
        (growing, upward, [("order", at, -0.5, 1e-9), ("constant_free", at, 2.0, 1e-9)]),
    ]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return tuple(options["of"])


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return (
        "order",
        "order_low",
        "order_high",
        "constant_free",
        "level_error",
        "level_standard_error",
        "pairwise_order",
        "level_used",
        "level_reason",
    )


STATISTIC = Statistic(
    summary="Observed orders of convergence with bootstrap intervals and verdicts.",
    source="Eca & Hoekstra 2014; Davison & Hinkley 1997, ch. 5; docs/science.md",
    options=(
        Param("of", None, doc="quantities", kind="names"),
        Param("over", "eps", doc="axis along which errors vanish", kind="axis"),
        Param(
            "limit",
            "zero",
            doc="where the axis goes",
            kind="choice",
            choices=("zero", "infinity"),
        ),
        Param(
            "below",
            0.0,
            doc="fit levels up to this only, from this on where the axis grows (0: all)",
            low=0.0,
        ),
        Param("correction", False, doc="fit the next order too", kind="boolean"),
        Param("resamples", 2000, doc="bootstrap resamples", kind="integer", low=100, high=10**6),
        Param("confidence", 0.95, doc="confidence of intervals", low=0.5, high=0.999),
        Param("bootstrap_seed", 0, doc="seed of the bootstrap", kind="integer", low=0),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("convergence_rate", "convergence_levels"),
)
