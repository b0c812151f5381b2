r"""Mixed-mode oscillations: spikes, the small oscillations between them, and their laws.

Spikes are hysteresis crossings and small oscillations full turns about the equilibrium of the
limit (``numerics/events.py``).  N is the number of turns before a spike, h(k) = P(N = k | N >= k)
its hazard.  Theory (weak noise near the canard) makes N asymptotically geometric,

    P(N = k + 1 | N > k) -> lambda0,        P(N = 0) ~ Phi(-2 pi^(1/4) mu/sigma1),

    sigma1 = k s_v b^(-3/4),   mu = (k/r) (I_c - I)/sqrt(b) - sigma1^2,   s_v = sigma/sqrt(n),

k = f''/2 at the lower knee, r = b/a.  lambda0 is the maximum-likelihood estimate from N >= k0 with
the exact (Clopper-Pearson) interval; k0 is the smallest for which a chi-square test does not
reject a geometric tail.  Standard errors of means are stretched by the serial correlation.

The last interval of a run is cut off by its end, and is a long one more often than not: means over
complete intervals come out short by about cov(x, tau)/T.  For renewals Wald's identity gives the
unbiased

    <x> = (sum of x + R cov(x, tau)/<tau>)/(number of intervals),

R runs, tau the interval, x any property of it; so are tau, its square, N and P(N = 0) averaged.
Histograms, hazard and tail are of complete intervals: runs should hold many (say 50).

Source: Berglund & Landon 2012 (N counts one more there); Cox 1962, ch. 5 (length bias);
docs/phase-diagrams.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from neurolim.core import Param, Statistic, StudyError
from neurolim.numerics.events import Events, find_events
from neurolim.statistics.parts.common import labelled, parameter
from neurolim.statistics.parts.intervals import (
    MIN_SPIKES,
    MOST_SPIKES,
    correlation_of,
    error_of_cv,
    geometric_tail,
    neighbours,
    signatures,
    standard_error,
    unbiased_mean,
)
from neurolim.statistics.parts.mmo_tables import _GIVES, judge
from neurolim.statistics.parts.signal import (
    HIGH,
    LOW,
    OF,
    START,
    Signal,
    empty,
    signals,
    synthetic,
    thresholds,
)

_BINS, _BIN_WIDTH = 80, 0.05
_COORDINATES = {
    "interval_bin": ("1", "interval over its mean"),
    "small": ("1", "small oscillations between two spikes, the last with all that are more"),
    "large": ("1", "spikes in a row"),
    "variant": ("1", "what differs of thresholds, sampling or smoothing"),
}
_VARIANTS = (
    "as chosen",
    "high raised",
    "high lowered",
    "low raised",
    "low lowered",
    "every 2nd sample",
    "every 4th sample",
    "smoothed over 3",
    "smoothed over 9",
    "raw maxima",
)


def apply(
    dataset: xr.Dataset, *, of: str, after: float, high: float | str, low: float | str, most: int
) -> xr.Dataset:
    """Return the statistics named in the module, pooled over replicas [grid].

    Parameters
    ----------
    dataset : the signal, and of the reference ``equilibria``: reference_centre,
        reference_turning, reference_knee, reference_curvature, reference_bifurcation_current
    of, after : signal and where it starts
    high, low : thresholds of a spike
    most : largest N told apart

    Returns
    -------
    NaN with verdict 1 where there are fewer than 30 spikes (``needed_time`` says how long to run),
    with verdict 2 where moving ``high`` by a tenth of the voltage's range changes the number of
    spikes by more than 5 %: it lies within the small oscillations, choose another.
    """
    sizes = {
        "interval_bin": _BINS, "small": most + 1, "large": MOST_SPIKES, "variant": len(_VARIANTS)
    }  # fmt: skip
    dims, found = empty(dataset, of, {name: entry[0] for name, entry in _GIVES.items()}, sizes)
    for index, signal, here in signals(dataset, of, after):
        if signal.v.shape[0] == 0:
            continue
        for name, value in _at_point(signal, here, high, low, most).items():
            found[name][index] = value
    coords: dict[str, Any] = {
        "interval_bin": (np.arange(_BINS) + 0.5) * _BIN_WIDTH,
        "small": np.arange(most + 1),
        "large": np.arange(1, MOST_SPIKES + 1),
        "variant": list(_VARIANTS),
    }
    variables = {
        name: ((*dims, *extra), found[name], {"units": unit, "long_name": text})
        for name, (extra, unit, text) in _GIVES.items()
    }
    kept = {name: dataset[name] for name in dataset.coords if set(dataset[name].dims) <= set(dims)}
    return labelled(xr.Dataset(variables, coords | kept), _COORDINATES)


def _events(signal: Signal, here: xr.Dataset, high: float, low: float) -> list[Events]:
    """Return the events of every replica; without turning frequency nothing turns."""
    centre = here["reference_centre"].values
    omega = float(here["reference_turning"])
    return [
        find_events(v, w, high, low, (centre[0], centre[1]), omega if omega > 0.0 else 1.0)
        for v, w in zip(signal.v, signal.w, strict=True)
    ]


def _at_point(
    signal: Signal, here: xr.Dataset, high: float | str, low: float | str, most: int
) -> dict[str, Any]:
    """Return the statistics of one grid point by name; those not given stay NaN."""
    top, bottom = thresholds(here, high, low)
    events = _events(signal, here, top, bottom)
    count = sum(event.spikes.size for event in events)
    rate = count / signal.time
    found: dict[str, Any] = {
        "spikes": count,
        "spike_rate": rate,
        # The first spike of a replica ends no interval; where none came, 3 are the 95 % bound.
        "needed_time": (MIN_SPIKES + len(signal.v)) * signal.time / (count or 3),
        "small_none_theory": _theory(here),
    }
    # The first interval starts before the run does.
    turns = np.concatenate([event.turns for event in events])
    intervals = np.concatenate([np.diff(event.spikes) for event in events]) * signal.interval
    if turns.size < MIN_SPIKES:
        return found | {"verdict": 1}
    reach = 0.1 * float(np.ptp(signal.v))
    moved = [
        sum(event.spikes.size for event in _events(signal, here, top + shift, bottom))
        for shift in (-reach, reach)
    ]
    if max(abs(other - count) for other in moved) > 0.05 * count:
        return found | {"verdict": 2}
    following = np.concatenate([neighbours(np.diff(event.spikes)) for event in events])
    correlation = correlation_of(following)
    of_turns = correlation_of(np.concatenate([neighbours(event.turns) for event in events]))

    def mean(values: np.ndarray) -> float:
        return unbiased_mean(values, intervals, sum(event.spikes.size > 0 for event in events))

    length, none = mean(intervals), mean(turns == 0)
    cv = np.sqrt(max(mean(intervals**2) / length**2 - 1.0, 0.0))
    histogram = np.bincount(np.minimum(turns, most), minlength=most + 1)
    at_risk = histogram[::-1].cumsum()[::-1]
    hazard = np.where(at_risk > 0, histogram / np.maximum(at_risk, 1), np.nan)
    hazard[-1] = np.nan
    spent = sum(float(event.turning.sum()) for event in events) * signal.interval
    return found | {
        "verdict": 0,
        "spike_rate_error": cv * rate / np.sqrt(count),
        "interval_mean": length,
        "interval_mean_error": standard_error(intervals, correlation),
        "interval_cv": cv,
        "interval_cv_error": error_of_cv(intervals),
        "interval_correlation": correlation,
        "interval_histogram": np.histogram(intervals / length, _BINS, (0.0, _BINS * _BIN_WIDTH))[0],
        "small_mean": mean(turns),
        "small_mean_error": standard_error(turns, of_turns),
        "small_none": none,
        "small_none_error": np.sqrt(none * (1.0 - none) / turns.size),
        "small_time": spent / float(intervals.sum()),
        "small_histogram": histogram,
        "small_hazard": hazard,
        **geometric_tail(turns),
        "signature": signatures([event.turns for event in events], most),
        **_sensitivity(signal, here, top, bottom),
    }


def _theory(here: xr.Dataset) -> float:
    """Return Berglund & Landon's P(N = 0) (their P(N = 1)), NaN where it has no parameters."""
    try:
        a, b, current, sigma, n = (
            float(parameter(here, name)) for name in ("a", "b", "current", "sigma", "n_neurons")
        )
    except StudyError:
        return float("nan")
    if b <= 0.0:
        return float("nan")
    k = float(here["reference_curvature"].values[0])
    canard = float(here["reference_bifurcation_current"].sel(bifurcation="canard_low"))
    noise = k * sigma / np.sqrt(n) * b**-0.75
    mu = k * a / b * (canard - current) / np.sqrt(b) - noise**2
    return float(special.ndtr(-2.0 * np.pi**0.25 * mu / noise))


def _sensitivity(signal: Signal, here: xr.Dataset, top: float, bottom: float) -> dict[str, Any]:
    """Return spikes, mean N and P(N = 0) for other thresholds, samplings and smoothings."""
    reach = 0.1 * (top - bottom)
    results = []
    for variant in _VARIANTS:
        moved, up, down = signal, top, bottom
        if variant.startswith("high"):
            up += reach if variant.endswith("raised") else -reach
        elif variant.startswith("low"):
            down += reach if variant.endswith("raised") else -reach
        elif variant.startswith("every"):
            step = int(variant.split()[1][:-2])
            moved = Signal(signal.v[:, ::step], signal.w[:, ::step], step * signal.interval)
        elif variant.startswith("smoothed"):
            width = int(variant.split()[2])
            moved = Signal(_smooth(signal.v, width), _smooth(signal.w, width), signal.interval)
        events = _events(moved, here, up, down)
        turns = np.concatenate([event.turns for event in events])
        if variant == "raw maxima":
            turns = np.concatenate(
                [_maxima(v, event) for v, event in zip(signal.v, events, strict=True)]
            )
        spikes = sum(event.spikes.size for event in events)
        share = (turns == 0).mean() if turns.size else np.nan
        results.append((spikes, turns.mean() if turns.size else np.nan, share))
    columns = (np.array(column) for column in zip(*results, strict=True))
    names = ("sensitivity_spikes", "sensitivity_mean", "sensitivity_none")
    return dict(zip(names, columns, strict=True))


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Return the moving average over an odd number of samples."""
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    return (total[:, width:] - total[:, :-width]) / width


def _maxima(v: np.ndarray, events: Events) -> np.ndarray:
    """Return the local maxima of V between the fall after a spike and the next spike."""
    peaks = np.flatnonzero((v[1:-1] > v[:-2]) & (v[1:-1] >= v[2:])) + 1
    after = np.searchsorted(peaks, events.falls[:-1])
    before = np.searchsorted(peaks, events.spikes[1:])
    return np.maximum(before - after, 0)


def exact() -> list[Any]:
    """Return signals of known signatures: 1^1 1^2 1^3 repeated, and 2^3 repeated.

    Intervals take 60 and 20 more per turn; of each signal one is cut off, for which 1/59 of the
    covariance with the interval over its mean is added.
    """
    options = {"of": "trace", "after": 0.0, "high": "auto", "low": "auto", "most": 40}
    three = synthetic([1, 2, 3] * 20)
    pair = synthetic([0, 3] * 30)
    turns, none = (59 * 2 + 1) / 59, 29 / 59
    cut = 20.0 * ((20 * 9 + 20 * 4 + 19) / 59 - turns**2) / (60.0 + 20.0 * turns) / 59
    cut_none = -60.0 * none * (1.0 - none) / (60.0 + 60.0 * (1.0 - none)) / 59
    return [
        (
            three,
            options,
            [
                ("spikes", {}, 60, 0.0),
                ("small_mean", {}, turns + cut, 1e-12),
                ("small_none", {}, 0.0, 0.0),
                ("interval_mean", {}, 60.0 + 20.0 * (turns + cut), 1e-9),
                ("signature", {"large": 1, "small": 2}, 19, 0.0),  # the first block is cut off
                ("signature", {"large": 1, "small": 3}, 20, 0.0),
            ],
        ),
        (
            pair,
            options,
            [
                ("small_none", {}, none + cut_none, 1e-12),
                ("signature", {"large": 2, "small": 3}, 29, 0.0),
                ("interval_correlation", {}, -1.0, 1e-6),
            ],
        ),
    ]


STATISTIC = Statistic(
    summary="Spikes and small oscillations: intervals, numbers, signatures, geometric tail.",
    source="Berglund & Landon 2012; Desroches et al. 2012; docs/phase-diagrams.md",
    options=(
        OF,
        START,
        HIGH,
        LOW,
        Param("most", 40, doc="largest N told apart", kind="integer", low=1, high=1000),
    ),
    needs=lambda options: (
        options["of"],
        "reference_centre",
        "reference_turning",
        "reference_knee",
        "reference_curvature",
        "reference_bifurcation_current",
    ),
    gives=lambda options, state: tuple(_GIVES),
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("mmo", "mmo_signatures", "mmo_sensitivity"),
)
