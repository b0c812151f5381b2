r"""Whether the spectral gap of the stationary law keeps to the rate that Theorem 1 proves.

Copies on the same noise approach each other at ``lambda_sync`` or faster where the drift contracts,
D (K + K1) < g_L, so every mean of the law decays as fast and the gap is not smaller:

    gap >= lambda_sync,        gap_over_proven = gap/lambda_sync

The interval of the gap is what its error estimate leaves.

Source: Herda, Monmarche & Perthame 2024, Theorem 1, corrected as in docs/contraction.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Param, Row, Statistic, Table
from neurolim.core.verdict import exceeds
from neurolim.statistics.parts.common import grid_points

_GIVES = ("compared_gap", "compared_gap_error", "proven_gap", "gap_over_proven")
_COLUMNS = (
    Column("gap", "1/time", error="gap_error"),
    Column("gap_error", "1/time", digits=2),
    Column("lambda_sync", "1/time"),
    Column("gap_over_proven"),
)


def apply(dataset: xr.Dataset, *, of: str) -> xr.Dataset:
    """Return the gap, its error, the proven rate and their ratio [grid]; NaN where none is proven.

    Parameters
    ----------
    dataset : of ``finite_volume`` as solver or reference, and what ``proven_bounds`` gives
    of : law (``finite_volume`` is the solver) or reference
    """
    gap, error = (dataset[name] for name in _gap(of))
    gap, proven = xr.broadcast(gap, dataset["lambda_sync"])
    return xr.Dataset(
        {
            "compared_gap": gap.assign_attrs(long_name="spectral gap", units="1/time"),
            "compared_gap_error": error.assign_attrs(
                long_name="error of the spectral gap", units="1/time"
            ),
            "proven_gap": proven.drop_attrs().assign_attrs(
                long_name="proven rate, below which no gap is", units="1/time"
            ),
            "gap_over_proven": (gap / proven)
            .drop_attrs()
            .assign_attrs(long_name="gap over proven rate", units="1"),
        },
        attrs=dict(dataset.attrs),
    )


def _gap(of: str) -> tuple[str, str]:
    """Return the names of the gap and of its error."""
    prefix = "reference_" if of == "reference" else ""
    return f"{prefix}gap", f"{prefix}gap_error"


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``gap_bound``: the gap against the proven rate at every point."""
    rows = []
    used = dataset[list(_GIVES)].load()
    for at, point in grid_points(used, used["gap_over_proven"].dims):
        gap, error, proven, ratio = (float(point[name]) for name in _GIVES)
        values = dict(zip((c.name for c in _COLUMNS), (gap, error, proven, ratio), strict=True))
        verdict = exceeds(gap, gap - error, gap + error, proven, "no gap computed", ">=")
        rows.append(Row(values, verdict, "gap", at))
    return (Table("gap_bound", _COLUMNS, tuple(rows)),)


def exact() -> list[Any]:
    """Return gaps above, at and without a proven rate."""
    dataset = xr.Dataset(
        {
            "gap": ("noise", [0.9, 0.3, 0.2]),
            "gap_error": ("noise", [0.01, 0.01, 0.01]),
            "lambda_sync": ("noise", [0.3, 0.3, np.nan]),
        },
        {"noise": [0.1, 0.2, 0.3]},
    )
    ratio = "gap_over_proven"
    return [
        (
            dataset,
            {"of": "law"},
            [(ratio, {"noise": 0.1}, 3.0, 1e-12), (ratio, {"noise": 0.2}, 1.0, 1e-12)],
        )
    ]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (*_gap(options["of"]), "lambda_sync")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return _GIVES


STATISTIC = Statistic(
    summary="Spectral gap against the rate that Theorem 1 proves where the drift contracts.",
    source="Herda, Monmarche & Perthame 2024, Theorem 1, corrected",
    options=(
        Param(
            "of",
            "law",
            doc="where the gap comes from",
            kind="choice",
            choices=("law", "reference"),
        ),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("gap_bound",),
)
