r"""Spikes of any network's mean by fixed thresholds: rate, regularity and bursts.

A spike is an upward crossing of ``high``; the next one counts only after a fall below ``low``.
Crossings are interpolated between samples.  With K spikes at t_1 < ... < t_K later than ``after``,

    firing_rate        = (K - 1)/(t_K - t_1); K/time observed for K < 2, so 0 at rest
    interval_variation = standard deviation over mean of the intervals

Spikes less than ``pause`` apart belong to one burst.  Bursts between the first and the last one are
whole: spikes_per_burst and burst_period (from first spike to first spike) are their averages.

Where ``mmo`` asks for small oscillations about a known equilibrium, this asks for nothing.

Source: definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.statistics.parts.common import grid_points
from neurolim.statistics.parts.signal import OF, START

_GIVES = {
    "firing_rate": ("1/time", "spikes per time"),
    "interval_variation": ("1", "coefficient of variation of the intervals between spikes"),
    "spikes_per_burst": ("1", "spikes of a burst"),
    "burst_period": ("time", "time from burst to burst"),
}


def spike_times(time: np.ndarray, v: np.ndarray, high: float, low: float) -> np.ndarray:
    """Return when a signal crosses ``high`` upwards for the first time since it was below ``low``.

    Parameters
    ----------
    time, v : the signal [K]
    high, low : thresholds, low < high
    """
    side = np.where(v >= high, 1, np.where(v < low, -1, 0))
    decided = np.flatnonzero(side)
    rises = np.flatnonzero(np.diff(side[decided]) == 2)
    at = decided[rises + 1]
    share = (high - v[at - 1]) / (v[at] - v[at - 1])
    return time[at - 1] + share * (time[at] - time[at - 1])


def measures(spikes: np.ndarray, observed: float, pause: float) -> tuple[float, ...]:
    """Return rate, variation of intervals, spikes per burst and period of bursts.

    Parameters
    ----------
    spikes : times of the spikes [K]
    observed : length of the signal, time
    pause : shortest time between bursts
    """
    gaps = np.diff(spikes)
    if gaps.size == 0:
        return spikes.size / observed, np.nan, np.nan, np.nan
    rate, variation = 1.0 / gaps.mean(), gaps.std() / gaps.mean()
    first = np.flatnonzero(gaps > pause) + 1
    if first.size < 2:
        return rate, variation, np.nan, np.nan
    starts = spikes[first]
    return rate, variation, np.diff(first).mean(), np.diff(starts).mean()


def apply(
    dataset: xr.Dataset,
    *,
    of: str,
    after: float,
    high: float,
    low: float,
    pause: float,
) -> xr.Dataset:
    """Return the four measures [grid, replica] of the first variable of the first site.

    Parameters
    ----------
    dataset : the signal
    of, after : signal ("trace" or "state_mean") and where it starts
    high, low : thresholds of a spike, state
    pause : shortest time between bursts

    Raises
    ------
    StudyError : low is not below high; nothing later than ``after``
    """
    if not low < high:
        raise StudyError("low", f"{low:g} is not below high, {high:g}", f"less than {high:g}")
    clock = "trace_time" if of == "trace" else "time"
    kept = np.flatnonzero(dataset[clock].values > after)
    if kept.size < 2:
        end = float(dataset[clock].values[-1])
        raise StudyError("after", f"nothing of {of} later than {after:g}", f"below {end:g}")
    time = dataset[clock].values[kept]

    def one(v: np.ndarray) -> tuple[float, ...]:
        if not np.isfinite(v).all():
            return (np.nan,) * len(_GIVES)
        return measures(spike_times(time, v, high, low), float(time[-1] - time[0]), pause)

    signal = dataset[of].isel(site=0, variable=0, drop=True).isel({clock: kept})
    arrays = xr.apply_ufunc(
        one,
        signal,
        input_core_dims=[[clock]],
        output_core_dims=[[]] * len(_GIVES),
        vectorize=True,
        output_dtypes=[float] * len(_GIVES),
    )
    found = {
        name: array.assign_attrs(units=unit, long_name=text)
        for (name, (unit, text)), array in zip(_GIVES.items(), arrays, strict=True)
    }
    return xr.Dataset(found, attrs=dict(dataset.attrs))


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``spikes``: the measures at every grid point, averaged over replicas."""
    dims = [dim for dim in dataset["firing_rate"].dims if dim != "replica"]
    rows = [
        Row({name: float(np.mean(point[name].values)) for name in _GIVES}, at=at)
        for at, point in grid_points(dataset[list(_GIVES)], dims)
    ]
    columns = tuple(Column(name, unit) for name, (unit, _) in _GIVES.items())
    return (Table("spikes", columns, tuple(rows)),)


def exact() -> list[Any]:
    """Return bursts of three spikes every 10."""
    time = np.arange(0.0, 60.0, 0.01)
    spikes = (np.arange(6)[:, None] * 10.0 + 2.0 + np.array([0.0, 1.0, 2.5])).ravel()
    # Peaks of height 2 that cross 1 upwards, linearly, at these times.
    nearest = np.abs(time[:, None] - spikes[None, :] - 0.2).min(axis=1)
    signal = np.maximum(2.0 - 5.0 * nearest, -1.0)
    dataset = xr.Dataset(
        {"state_mean": (("time", "site", "variable"), signal[:, None, None])},
        {"time": time, "site": [0.0], "variable": ["v"]},
    )
    options = {"of": "state_mean", "after": 0.0, "high": 1.0, "low": 0.0, "pause": 3.0}
    gaps = np.diff(spikes)
    checks: list[Any] = [
        ("firing_rate", {}, 17.0 / 52.5, 1e-9),
        ("interval_variation", {}, gaps.std() / gaps.mean(), 1e-9),
        ("spikes_per_burst", {}, 3.0, 1e-9),
        ("burst_period", {}, 10.0, 1e-9),
    ]
    rest = dataset.assign(state_mean=0.0 * dataset["state_mean"] - 1.0)
    return [(dataset, options, checks), (rest, options, [("firing_rate", {}, 0.0, 0.0)])]


STATISTIC = Statistic(
    summary="Spikes and bursts of any network's mean: rate, regularity, spikes per burst, period.",
    source="definitions",
    options=(
        OF,
        START,
        Param("high", 0.0, "state", "a spike crosses this value upwards"),
        Param("low", -20.0, "state", "then has to fall below this one"),
        Param("pause", 1e9, "time", "shortest time between bursts", positive=True),
    ),
    needs=lambda options: (options["of"],),
    gives=lambda options, state: tuple(_GIVES),
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("spikes",),
)
