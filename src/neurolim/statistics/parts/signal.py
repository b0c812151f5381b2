"""The mean of a network as a signal: what statistics of spikes and regimes read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurolim.core import Param, StudyError

OF = Param(
    "of",
    "trace",
    doc="signal: the trace (set trace_every) or the mean at the record times",
    kind="choice",
    choices=("trace", "state_mean"),
)
START = Param("after", 0.0, "time", "use the signal later than this", low=0.0)
HIGH = Param(
    "high", "auto", doc="a spike crosses this voltage; auto: upper knee of f", choices=("auto",)
)
LOW = Param(
    "low",
    "auto",
    doc="then has to fall below this one; auto: a tenth of the knees' distance below the lower",
    choices=("auto",),
)


class Signal(NamedTuple):
    """The means of all replicas at one grid point.

    v, w : first and second state variable of the first site [replicas, samples]
    interval : time between samples
    """

    v: np.ndarray
    w: np.ndarray
    interval: float

    @property
    def time(self) -> float:
        """Return the time observed, all replicas together."""
        return self.v.shape[0] * (self.v.shape[1] - 1) * self.interval


def grid_dims(dataset: xr.Dataset, of: str) -> list[str]:
    """Return the grid axes of the signal."""
    clock = "trace_time" if of == "trace" else "time"
    return [
        str(dim) for dim in dataset[of].dims if dim not in ("replica", clock, "site", "variable")
    ]


def signals(
    dataset: xr.Dataset, of: str, after: float
) -> Iterator[tuple[tuple[int, ...], Signal, xr.Dataset]]:
    """Yield, for every grid point, its index, the signals of its successful replicas, the rest.

    Parameters
    ----------
    dataset : ``trace`` [grid, replica, trace_time, site, variable] or ``state_mean`` [.., time, ..]
    of : "trace" or "state_mean"
    after : samples later than this are used

    Raises
    ------
    StudyError : fewer than two state variables, or no samples left
    """
    clock = "trace_time" if of == "trace" else "time"
    times = dataset[clock].values
    kept = np.flatnonzero(times > after)
    if kept.size < 3:
        raise StudyError(
            "after", f"{kept.size} samples of {of} later than {after:g}", f"below {times[-1]:g}"
        )
    if dataset.sizes["variable"] < 2:
        raise StudyError("model", "one state variable only", "a voltage and a recovery variable")
    dims = grid_dims(dataset, of)
    interval = float((times[-1] - times[0]) / (times.size - 1))
    array = dataset[of].isel(site=0).transpose(*dims, "replica", clock, "variable")
    shape = tuple(dataset.sizes[dim] for dim in dims)
    for index in np.ndindex(*shape):
        values = array[index].values[:, kept, :2]
        good = np.isfinite(values).all(axis=(1, 2))
        here = dataset.isel(dict(zip(dims, index, strict=True)))
        yield index, Signal(values[good, :, 0], values[good, :, 1], interval), here


def thresholds(here: xr.Dataset, high: float | str, low: float | str) -> tuple[float, float]:
    """Return (high, low) at one grid point, from the knees of f where they are "auto".

    Raises
    ------
    StudyError : low is not below high
    """
    knees = here["reference_knee"].values
    top = float(knees[1]) if isinstance(high, str) else high
    bottom = float(knees[0] - 0.1 * (knees[1] - knees[0])) if isinstance(low, str) else low
    if not bottom < top:
        raise StudyError("low", f"{bottom:g} is not below high, {top:g}", f"less than {top:g}")
    return top, bottom


def empty(
    dataset: xr.Dataset, of: str, shapes: Mapping[str, tuple[str, ...]], sizes: Mapping[str, int]
) -> tuple[list[str], dict[str, Any]]:
    """Return the grid dims and NaN arrays [grid, ...] by name."""
    dims = grid_dims(dataset, of)
    grid = tuple(dataset.sizes[dim] for dim in dims)
    return dims, {
        name: np.full((*grid, *(sizes[dim] for dim in extra)), np.nan)
        for name, extra in shapes.items()
    }


def synthetic(
    turns: list[int], interval: float = 0.5, period: float = 20.0, replicas: int = 1
) -> xr.Dataset:
    """Return a signal with a known number of small oscillations before each spike.

    About (0, 0): down the left branch, turns of radius .2, then a spike to V = 4 with V falling
    back to -1; every interval takes 3 periods and one more per turn.

    Parameters
    ----------
    turns : N of each interval
    interval, period : time between samples, time of a turn
    replicas : copies of the signal
    """
    per_turn = round(period / interval)
    v_parts, w_parts = [], []
    for n in turns:
        angle = np.linspace(0.65, 2.0 + n, (n + 1) * per_turn, endpoint=False) * 2.0 * np.pi
        radius = np.full(angle.size, 0.2)
        radius[: per_turn // 2] = np.linspace(1.2, 0.2, per_turn // 2)
        angle[: per_turn // 2] = np.linspace(angle[0], 2.0 * np.pi, per_turn // 2)
        angle[per_turn // 2 :] = np.linspace(
            2.0 * np.pi, 2.0 * np.pi * (n + 1), angle.size - per_turn // 2
        )
        rise = np.linspace(0.0, 1.0, 2 * per_turn, endpoint=False)
        plateau = np.where(rise < 0.7, np.minimum(rise * 20.0, 1.0) * 3.8 + 0.2, -0.8)
        height = np.where(rise < 0.7, 4.0 * rise, 2.8 - 6.0 * (rise - 0.7))
        v_parts += [radius * np.cos(angle), plateau]
        w_parts += [radius * np.sin(angle), height]
    v, w = np.concatenate(v_parts), np.concatenate(w_parts)
    trace = np.broadcast_to(np.stack([v, w], axis=-1)[:, None, :], (replicas, v.size, 1, 2)).copy()
    side, variable = ["low", "high"], ["voltage", "recovery"]
    return xr.Dataset(
        {
            "trace": (("replica", "trace_time", "site", "variable"), trace),
            "reference_centre": ("variable", [0.0, 0.0]),
            "reference_turning": ((), 1.0),
            "reference_knee": ("side", [0.0, 2.4]),
            "reference_curvature": ("side", [3.6, -3.6]),
            "reference_bifurcation_current": ("bifurcation", [5.535]),
        },
        {
            "trace_time": np.arange(v.size) * interval,
            "site": [0.0],
            "variable": variable,
            "side": side,
            "bifurcation": ["canard_low"],
        },
        {"params": "{}", "options": "{}"},
    )
