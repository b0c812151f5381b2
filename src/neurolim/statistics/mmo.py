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

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.numerics.events import Events, find_events
from neurolim.statistics._common import grid_points, parameter
from neurolim.statistics._signal import (
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

#: Fewer spikes than this support no statistic.
MIN_SPIKES = 30
_BINS, _BIN_WIDTH = 80, 0.05
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
_LARGE = 8


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
        "interval_bin": _BINS, "small": most + 1, "large": _LARGE, "variant": len(_VARIANTS)
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
        "large": np.arange(1, _LARGE + 1),
        "variant": list(_VARIANTS),
    }
    variables = {
        name: ((*dims, *extra), found[name], {"units": unit, "long_name": text})
        for name, (extra, unit, text) in _GIVES.items()
    }
    kept = {name: dataset[name] for name in dataset.coords if set(dataset[name].dims) <= set(dims)}
    return xr.Dataset(variables, coords | kept)


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
    following = np.concatenate([_pairs(np.diff(event.spikes)) for event in events])
    correlation = _correlation(following)
    of_turns = _correlation(np.concatenate([_pairs(event.turns) for event in events]))

    def mean(values: np.ndarray) -> float:
        return _mean(values, intervals, sum(event.spikes.size > 0 for event in events))

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
        "interval_mean_error": _error(intervals, correlation),
        "interval_cv": cv,
        "interval_cv_error": _error_of_cv(intervals),
        "interval_correlation": correlation,
        "interval_histogram": np.histogram(intervals / length, _BINS, (0.0, _BINS * _BIN_WIDTH))[0],
        "small_mean": mean(turns),
        "small_mean_error": _error(turns, of_turns),
        "small_none": none,
        "small_none_error": np.sqrt(none * (1.0 - none) / turns.size),
        "small_time": spent / float(intervals.sum()),
        "small_histogram": histogram,
        "small_hazard": hazard,
        **geometric_tail(turns),
        "signature": signatures([event.turns for event in events], most),
        **_sensitivity(signal, here, top, bottom),
    }


def _mean(values: np.ndarray, intervals: np.ndarray, runs: int) -> float:
    """Return the mean of a property of intervals, freed of the bias of those cut off (see above).

    Parameters
    ----------
    values, intervals : property and length of every complete interval [n]
    runs : how many runs they come from: as many intervals were cut off
    """
    excess = ((values - values.mean()) * (intervals - intervals.mean())).mean() / intervals.mean()
    return float(values.mean() + runs * excess / values.size)


def _pairs(values: np.ndarray) -> np.ndarray:
    """Return neighbouring values [n - 1, 2]."""
    return np.stack([values[:-1], values[1:]], axis=1).astype(float)


def _correlation(pairs: np.ndarray) -> float:
    """Return the correlation between the columns of pairs, NaN where one does not vary."""
    if len(pairs) < 3 or (np.ptp(pairs, axis=0) == 0.0).any():
        return float("nan")
    return float(np.corrcoef(pairs.T)[0, 1])


def _error(values: np.ndarray, correlation: float) -> float:
    """Return the standard error of a mean of values with this correlation between neighbours."""
    stretch = 1.0 + 2.0 * max(np.nan_to_num(correlation), 0.0)
    return float(values.std(ddof=1) * np.sqrt(stretch / values.size))


def _error_of_cv(values: np.ndarray) -> float:
    """Return the jackknife's standard error of the coefficient of variation."""
    n, total, squares = values.size, values.sum(), (values**2).sum()
    mean = (total - values) / (n - 1)
    variance = np.maximum((squares - values**2) / (n - 1) - mean**2, 0.0)
    without = np.sqrt(variance) / mean
    return float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))


def geometric_tail(turns: np.ndarray, largest: int = 6, level: float = 0.05) -> dict[str, float]:
    """Return where the law of N becomes geometric, and its parameter.

    Parameters
    ----------
    turns : values of N [n]
    largest : largest k0 tried
    level : a geometric tail is rejected below this probability

    Returns
    -------
    tail_from, tail_parameter, tail_low, tail_high, tail_chi2, tail_dof, tail_p; the fit with the
    smallest k0 that is not rejected, or the last one tried with at least 30 values
    """
    names = ("from", "parameter", "low", "high", "chi2", "dof", "p")
    found = dict.fromkeys((f"tail_{name}" for name in names), np.nan)
    for first in range(largest + 1):
        tail = turns[turns >= first] - first
        if tail.size < MIN_SPIKES:
            break
        # Every spike ends a chain of independent trials: `ends` of them stopped, the rest went on.
        ends, trials = tail.size, int(tail.sum()) + tail.size
        goes_on = 1.0 - ends / trials
        low, high = 0.0, special.betaincinv(trials - ends + 1, ends, 0.975)
        if trials > ends:
            low = float(special.betaincinv(trials - ends, ends + 1, 0.025))
        expected = ends * (1.0 - goes_on) * goes_on ** np.arange(tail.max() + 2)
        bins = int(np.argmax(expected < 5.0)) if (expected < 5.0).any() else expected.size
        while bins > 0 and ends * goes_on**bins < 5.0:
            bins -= 1
        observed = np.append(np.bincount(tail, minlength=bins)[:bins], (tail >= bins).sum()).astype(
            float
        )
        wanted = np.append(expected[:bins], ends * goes_on**bins)
        chi2 = float(((observed - wanted) ** 2 / np.maximum(wanted, 1e-300)).sum())
        dof = bins - 1
        p = float(special.chdtrc(dof, chi2)) if dof > 0 else np.nan
        values = (first, goes_on, low, high, chi2, dof, p)
        found = {f"tail_{name}": float(v) for name, v in zip(names, values, strict=True)}
        if dof <= 0 or p >= level:
            break
    return found


def signatures(sequences: list[np.ndarray], most: int) -> np.ndarray:
    """Return how often L spikes are followed by s small oscillations [large, small].

    A block L^s is L spikes with nothing between them, then s >= 1 small oscillations; the last
    row and column hold what is larger.

    Parameters
    ----------
    sequences : N before each spike but the first, per replica
    most : largest s told apart
    """
    counts = np.zeros((_LARGE, most + 1))
    for sequence in sequences:
        large = 1
        begun = False  # the first block may have started before the run
        for n in sequence:
            if n == 0:
                large += 1
            else:
                if begun:
                    counts[min(large, _LARGE) - 1, min(n, most)] += 1
                begun, large = True, 1
    return counts


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
