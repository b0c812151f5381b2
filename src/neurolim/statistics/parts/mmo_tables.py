"""Tables of mixed-mode oscillations: measures of every grid point, signatures, sensitivity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Row, Table
from neurolim.statistics.parts.common import grid_points

#: Names, extra dimensions, unit and description of what is given.
_GIVES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "spikes": ((), "1", "spikes, all replicas"),
    "verdict": ((), "1", "0 enough spikes; 1 too few; 2 threshold within small oscillations"),
    "needed_time": ((), "time", "time, all replicas, that gives 30 intervals"),
    "spike_rate": ((), "1/time", "spikes per time"),
    "spike_rate_error": ((), "1/time", "its standard error, CV rate/sqrt(spikes)"),
    "interval_mean": ((), "time", "mean interval between spikes"),
    "interval_mean_error": ((), "time", "its standard error"),
    "interval_cv": ((), "1", "coefficient of variation of intervals"),
    "interval_cv_error": ((), "1", "its standard error"),
    "interval_correlation": ((), "1", "serial correlation of intervals"),
    "interval_histogram": (("interval_bin",), "1", "intervals by length over mean"),
    "small_mean": ((), "1", "mean number N of small oscillations before a spike"),
    "small_mean_error": ((), "1", "its standard error"),
    "small_none": ((), "1", "P(N = 0)"),
    "small_none_error": ((), "1", "its standard error"),
    "small_none_theory": ((), "1", "Phi(-2 pi^(1/4) mu/sigma1)"),
    "small_time": ((), "1", "share of time in small oscillations"),
    "small_histogram": (("small",), "1", "spikes by N; the last bin holds the rest"),
    "small_hazard": (("small",), "1", "P(N = k | N >= k)"),
    "tail_from": ((), "1", "k0 of the geometric tail"),
    "tail_parameter": ((), "1", "lambda0 of the geometric tail"),
    "tail_low": ((), "1", "lower end of its 95 % interval"),
    "tail_high": ((), "1", "upper end of its 95 % interval"),
    "tail_chi2": ((), "1", "chi-square of the tail against a geometric law"),
    "tail_dof": ((), "1", "degrees of freedom"),
    "tail_p": ((), "1", "probability of a larger chi-square"),
    "signature": (("large", "small"), "1", "how often L spikes and then s small oscillations"),
    "sensitivity_spikes": (("variant",), "1", "spikes"),
    "sensitivity_mean": (("variant",), "1", "mean N"),
    "sensitivity_none": (("variant",), "1", "P(N = 0)"),
}


#: Columns of the table ``mmo`` and the variables they show.
_SHOWN = {
    "rate": "spike_rate",
    "rate_error": "spike_rate_error",
    "ISI": "interval_mean",
    "ISI_error": "interval_mean_error",
    "CV": "interval_cv",
    "CV_error": "interval_cv_error",
    "serial_correlation": "interval_correlation",
    "mean_N": "small_mean",
    "mean_N_error": "small_mean_error",
    "P_N_0": "small_none",
    "P_N_0_error": "small_none_error",
    "theory": "small_none_theory",
    "time_small": "small_time",
    "k0": "tail_from",
    "lambda0": "tail_parameter",
    "lambda0_low": "tail_low",
    "lambda0_high": "tail_high",
    "chi2": "tail_chi2",
    "dof": "tail_dof",
    "p": "tail_p",
}


_COLUMNS = (
    Column("spikes", digits=9),
    *(
        Column(
            name,
            _GIVES[variable][1],
            2 if name.endswith("_error") else 4,
            f"{name}_error" if f"{name}_error" in _SHOWN else "",
        )
        for name, variable in _SHOWN.items()
    ),
    Column("remark", ""),
)


_BLOCKS = (Column("signature", ""), Column("count", digits=9), Column("share", digits=3))


_VARIED = (Column("spikes", digits=9), Column("mean_N"), Column("P_N_0"))


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``mmo``, a row per grid point, ``mmo_signatures`` and ``mmo_sensitivity``."""
    rows: list[Row] = []
    blocks: list[Row] = []
    variants: list[Row] = []
    for at, point in grid_points(dataset[list(_GIVES)], dataset["spikes"].dims):
        remark = _remark(point)
        values: dict[str, Any] = {
            "spikes": int(np.nan_to_num(float(point["spikes"]))),
            **dict.fromkeys(_SHOWN, np.nan),
            "remark": remark,
        }
        if not remark:
            values |= {name: float(point[variable]) for name, variable in _SHOWN.items()}
            blocks += [Row(block, at=at) for block in _frequent(point["signature"].values)]
            variants += _varied(point, at)
        rows.append(Row(values, at=at))
    return (
        Table("mmo", _COLUMNS, tuple(rows)),
        Table("mmo_signatures", _BLOCKS, tuple(blocks)),
        Table("mmo_sensitivity", _VARIED, tuple(variants)),
    )


def _remark(point: xr.Dataset) -> str:
    """Return why there are no statistics at a grid point; nothing where there are."""
    verdict = float(point["verdict"])
    if verdict == 1:
        return f"too few spikes: run for {float(point['needed_time']):.3g} or longer"
    if verdict == 2:
        return "threshold within small oscillations: set high elsewhere"
    return "" if verdict == 0 else "no successful run"


def _frequent(counts: np.ndarray) -> list[dict[str, Any]]:
    """Return the five most frequent signatures; a plus marks all that are at least as large."""
    blocks = []
    for k in np.argsort(-counts, axis=None, kind="stable")[:5]:
        large, small = np.unravel_index(k, counts.shape)
        if counts[large, small] > 0:
            plus = [
                "+" if i == size - 1 else ""
                for i, size in zip((large, small), counts.shape, strict=True)
            ]
            blocks.append(
                {
                    "signature": f"{large + 1}{plus[0]}^{small}{plus[1]}",
                    "count": int(counts[large, small]),
                    "share": float(counts[large, small] / counts.sum()),
                }
            )
    return blocks


def _varied(point: xr.Dataset, at: Mapping[str, Any]) -> list[Row]:
    """Return spikes, mean N and P(N = 0) of every variant at a grid point."""
    rows = []
    for variant in point["variant"].values:
        chosen = point.sel(variant=variant)
        values = {
            "spikes": int(chosen["sensitivity_spikes"]),
            "mean_N": float(chosen["sensitivity_mean"]),
            "P_N_0": float(chosen["sensitivity_none"]),
        }
        rows.append(Row(values, at={**at, "variant": str(variant)}))
    return rows
