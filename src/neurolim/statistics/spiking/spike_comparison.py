r"""Whether two levels of an axis can be told apart by their spikes.

    z = (x_1 - x_2)/sqrt(se_1^2 + se_2^2)

for rate, CV, mean number N of small oscillations and P(N = 0), as measured by ``mmo``, and the
chi-square of homogeneity of the two laws of N (bins pooled to at least 5 expected).  Four z-tests
and one chi-square: by Bonferroni a difference at level .01 needs one p below .002.  Levels agree
where none is, and where a difference of one half would have been seen: ``comparison_unseen`` is
three standard errors of a difference over the mean of both values (of N = 0, a probability, over
one), the largest of the four.

Source: textbook two-sample tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.core.verdict import alike
from neurolim.statistics.parts.common import grid_points, labelled

_QUANTITIES = ("spike_rate", "interval_cv", "small_mean", "small_none")
#: Standard errors of a difference that chance can hide.
_HIDDEN = 3.0


def apply(dataset: xr.Dataset, *, over: str, first: int, second: int) -> xr.Dataset:
    """Return ``comparison_z`` [grid, compared]; its p-values and ``comparison_unseen`` [grid].

    Parameters
    ----------
    dataset : what ``mmo`` gives
    over : axis of the two levels
    first, second : their positions on it

    Raises
    ------
    StudyError : no such axis or level
    """
    dims = dataset["spikes"].dims
    if over not in dims:
        raise StudyError("over", f"no axis {over!r}", [str(dim) for dim in dims] or "an axis")
    size = dataset.sizes[over]
    if not (0 <= first < size and 0 <= second < size and first != second):
        raise StudyError("second", f"levels {first} and {second} of {size}", "two that exist")
    one, two = (dataset.isel({over: place}, drop=True) for place in (first, second))
    z, unseen = [], []
    for name in _QUANTITIES:
        errors = [part[f"{name}_error"] for part in (one, two)]
        difference = one[name] - two[name]
        combined = (errors[0] ** 2 + errors[1] ** 2) ** 0.5
        scale = 1.0 if name == "small_none" else 0.5 * abs(one[name] + two[name])
        # Where both errors vanish nothing can hide.
        unseen.append((_HIDDEN * combined / scale).where(combined != 0.0, 0.0))
        z.append((difference / combined.where(combined > 0)).drop_vars("compared", errors="ignore"))
    together = xr.concat(z, xr.DataArray(list(_QUANTITIES), dims="compared", name="compared"))
    p = xr.apply_ufunc(
        _homogeneity, one["small_histogram"], two["small_histogram"],
        input_core_dims=[["small"], ["small"]], vectorize=True,
    )  # fmt: skip
    each = 2.0 * stats.norm.sf(np.abs(together.values))
    least = np.fmin(np.fmin.reduce(each, axis=together.get_axis_num("compared")), p.values)
    return xr.Dataset(
        {
            "comparison_z": together.assign_attrs(units="1", long_name="difference / its error"),
            "comparison_p": p.assign_attrs(units="1", long_name="homogeneity of the laws of N"),
            "comparison_least_p": (p.dims, least, {"units": "1", "long_name": "smallest p"}),
            "comparison_unseen": xr.concat(unseen, "compared", coords="minimal", compat="override")
            .max("compared", skipna=False)
            .assign_attrs(units="1", long_name="largest share that chance can hide"),
        }
    ).pipe(labelled, {"compared": ("1", "quantity compared")})


def _homogeneity(one: np.ndarray, two: np.ndarray) -> float:
    """Return the p-value of the hypothesis that two histograms have one law."""
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        return float("nan")
    rows: list[np.ndarray] = []
    waiting = np.zeros(2)
    shares = np.array([one.sum(), two.sum()]) / (one.sum() + two.sum())
    for pair in zip(one, two, strict=True):
        waiting = waiting + pair
        if (waiting.sum() * shares).min() >= 5.0:
            rows.append(waiting)
            waiting = np.zeros(2)
    if rows:
        rows[-1] = rows[-1] + waiting
    if len(rows) < 2:
        return float("nan")
    return float(stats.chi2_contingency(np.array(rows).T, correction=False).pvalue)


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``spike_comparison``: the comparisons, and whether the levels can be told apart."""
    names = ["comparison_z", "comparison_p", "comparison_least_p", "comparison_unseen"]
    dims = [dim for dim in dataset["comparison_z"].dims if dim != "compared"]
    rows = []
    for at, point in grid_points(dataset[names], dims):
        z = point["comparison_z"]
        least = float(point["comparison_least_p"])
        p_value = float(np.minimum(1.0, (len(_QUANTITIES) + 1) * least))
        values = {
            **{f"z_{name}": float(z.sel(compared=name)) for name in _QUANTITIES},
            "p_of_N": float(point["comparison_p"]),
            "p_value": p_value,
            "unseen": float(point["comparison_unseen"]),
        }
        verdict = alike(p_value, values["unseen"], "too few spikes")
        rows.append(Row(values, verdict, "spikes", at))
    return (Table("spike_comparison", _COLUMNS, tuple(rows)),)


_COLUMNS = (
    *(Column(f"z_{name}", "standard errors", 3) for name in _QUANTITIES),
    Column("p_of_N", digits=3),
    Column("p_value", digits=3),
    Column("unseen", digits=2),
)


def exact() -> list[Any]:
    """Return two levels that differ by exactly two standard errors in N and nothing else."""
    level = ("current",)
    data: dict[str, Any] = {
        "spikes": (level, [400.0, 400.0]),
        "spike_rate": (level, [0.01, 0.01]),
        "spike_rate_error": (level, [1e-4, 1e-4]),
        "interval_cv": (level, [0.2, 0.2]),
        "interval_cv_error": (level, [0.01, 0.01]),
        "small_mean": (level, [1.0, 1.5]),
        "small_mean_error": (level, [0.15, 0.2]),
        "small_none": (level, [0.5, 0.5]),
        "small_none_error": (level, [0.02, 0.02]),
        "small_histogram": (("current", "small"), [[200.0, 200.0], [240.0, 160.0]]),
    }
    dataset = xr.Dataset(data, {"current": [5.534, 5.5349]})
    # Chi-square of [[200, 200], [240, 160]]: 8.0808 with one degree of freedom.
    exact_p = float(stats.chi2.sf(800 * (200 * 160 - 200 * 240) ** 2 / (400 * 400 * 440 * 360), 1))
    return [
        (
            dataset,
            {"over": "current", "first": 0, "second": 1},
            [
                ("comparison_z", {"compared": "small_mean"}, -2.0, 1e-12),
                ("comparison_z", {"compared": "spike_rate"}, 0.0, 1e-12),
                ("comparison_p", {}, exact_p, 1e-12),
                ("comparison_least_p", {}, exact_p, 1e-12),
                # Of N: three errors of .25 over the mean 1.25.
                ("comparison_unseen", {}, 0.6, 1e-12),
            ],
        )
    ]


STATISTIC = Statistic(
    summary="Whether two levels of an axis can be told apart by their spikes.",
    source="textbook two-sample tests",
    options=(
        Param("over", "current", doc="axis of the two levels", kind="text"),
        Param("first", 0, doc="position of the first level", kind="integer", low=0),
        Param("second", 1, doc="position of the second level", kind="integer", low=0),
    ),
    needs=lambda options: (
        "spikes",
        "spike_rate",
        "spike_rate_error",
        "interval_cv",
        "interval_cv_error",
        "small_mean",
        "small_mean_error",
        "small_none",
        "small_none_error",
        "small_histogram",
    ),
    gives=lambda options, state: (
        "comparison_z",
        "comparison_p",
        "comparison_least_p",
        "comparison_unseen",
    ),
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("spike_comparison",),
)
