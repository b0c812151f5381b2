r"""What a network does, decided from its signal by rules, with the evidence beside the verdict.

A run is *up* after crossing ``high`` upwards and *down* after falling below ``low``.  With U the
number of its upward crossings after ``after``, and the limit's class from ``equilibria``:

    resting            no crossing up or down: it stays on one side
    clamped            all runs rest on the same side
    bistable           all runs rest, some on each side
    oscillating        at least 3 crossings per run on average and the limit has a stable cycle
    noise_induced      the same, but the limit only rests
    mixed_mode         oscillating or noise-induced, and a share between ``mixed`` and 1 - ``mixed``
                       of the intervals holds small oscillations (``numerics/events.py``); with
                       more, spikes are rare escapes from rest, with less, small ones are rare
    rare_switching     crossings, and the limit has stable states on both sides and no stable cycle
    uncertain          1 or 2 crossings per run, runs that disagree, a voltage that moves without
                       crossing (more than a tenth of the knees' distance), or no successful run

Runs are the replicas and, where the study has an axis of initial states, the points along it:
bistability shows only from two or more initial means.  A limit with a stable state and a stable
cycle agrees with either.  ``agrees`` compares with the limit: clamped with one stable state,
bistable and rare switching with two, oscillating and mixed-mode with a cycle.  Where the reference
has a ``margin``, ``robust`` marks the cells whose limit has the same class all around.

Source: docs/phase-diagrams.md; Quininao & Touboul 2020, sec. 7 (the regimes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.numerics.events import find_events
from neurolim.statistics.parts.common import grid_points, share_reached
from neurolim.statistics.parts.signal import (
    HIGH,
    LOW,
    OF,
    START,
    Signal,
    signals,
    synthetic,
    thresholds,
)

REGIMES = (
    "uncertain",
    "clamped",
    "bistable",
    "oscillating",
    "noise_induced",
    "mixed_mode",
    "rare_switching",
)
_UNCERTAIN, _CLAMPED, _BISTABLE, _OSCILLATING, _INDUCED, _MIXED, _SWITCHING = range(7)
#: Classes of the limit (solver ``equilibria``) with a stable cycle, with one and two stable states.
_CYCLE, _ONE, _TWO = (3, 4, 5), (1, 4), (2, 5)
_MIN_CYCLES = 3
_EVIDENCE = {
    "amplitude": ("1", "central 95 % range of V, median over runs"),
    "crossings": ("1", "upward crossings per run"),
    "crossing_rate": ("1/time", "upward crossings per time"),
    "crossing_cv": ("1", "coefficient of variation of times between them; NaN below 3"),
    "dwell_up": ("time", "mean time up; NaN without a complete one"),
    "dwell_down": ("time", "mean time down"),
    "share_up": ("1", "share of runs that end up"),
    "small_share": ("1", "share of intervals that hold small oscillations"),
    "runs": ("1", "successful runs"),
}


def apply(
    dataset: xr.Dataset,
    *,
    of: str,
    after: float,
    high: float | str,
    low: float | str,
    mixed: float,
    starts: str,
) -> xr.Dataset:
    """Return the regime of every grid point, the evidence, and agreement with the limit [grid].

    Parameters
    ----------
    dataset : the signal; reference_limit_class, reference_centre, reference_turning,
        reference_knee; reference_robust if there is one
    of, after, high, low : signal, where it starts, thresholds
    mixed : least share of intervals with, and without, small oscillations in mixed-mode ones
    starts : axis of initial states, pooled; "none" if there is no such axis

    Raises
    ------
    StudyError : ``starts`` names no axis of the dataset
    """
    points = list(signals(dataset, of, after))
    dims = [str(d) for d in dataset["reference_limit_class"].dims]
    if starts != "none" and starts not in dims:
        raise StudyError("starts", f"no axis {starts!r}", [*dims, "none"])
    place = dims.index(starts) if starts != "none" else -1
    kept = [dim for dim in dims if dim != starts]
    shape = tuple(dataset.sizes[dim] for dim in kept)
    pooled: dict[tuple[int, ...], list[tuple[Signal, xr.Dataset]]] = {}
    for index, signal, here in points:
        cell = index if place < 0 else index[:place] + index[place + 1 :]
        pooled.setdefault(cell, []).append((signal, here))
    regime = np.zeros(shape, np.int8)
    limit = np.zeros(shape, np.int8)
    agrees = np.zeros(shape, np.int8)
    robust = np.zeros(shape, np.int8)
    evidence = {name: np.full(shape, np.nan) for name in _EVIDENCE}
    for cell, parts in pooled.items():
        limit[cell] = int(parts[0][1]["reference_limit_class"])
        regime[cell], found = _classify(parts, int(limit[cell]), high, low, mixed)
        agrees[cell] = agreement(int(regime[cell]), int(limit[cell]))
        robust[cell] = int(parts[0][1].get("reference_robust", -1))
        for name, value in found.items():
            evidence[name][cell] = value
    words = "; ".join(f"{number} {name}" for number, name in enumerate(REGIMES))
    variables: dict[str, Any] = {
        "regime": (kept, regime, {"units": "1", "long_name": words}),
        "regime_limit": (kept, limit, {"units": "1", "long_name": "class of the limit"}),
        "agrees": (kept, agrees, {"units": "1", "long_name": "1 yes, 0 no, -1 uncertain"}),
        "robust": (kept, robust, {"units": "1", "long_name": "limit alike around; -1 unknown"}),
    }
    for name, (unit, text) in _EVIDENCE.items():
        variables[name] = (kept, evidence[name], {"units": unit, "long_name": text})
    coords = {
        name: dataset[name] for name in dataset.coords if set(dataset[name].dims) <= set(kept)
    }
    return xr.Dataset(variables, coords)


def agreement(regime: int, limit: int) -> int:
    """Return 1 if a regime is what the limit does, 0 if not, -1 if uncertain.

    Parameters
    ----------
    regime : index to REGIMES
    limit : class of the limit
    """
    if regime == _UNCERTAIN:
        return -1
    expected = {
        _CLAMPED: _ONE,
        _BISTABLE: _TWO,
        _SWITCHING: _TWO,
        _OSCILLATING: _CYCLE,
        _MIXED: _CYCLE,
        _INDUCED: (),
    }
    return int(limit in expected[regime])


def _classify(
    parts: list[tuple[Signal, xr.Dataset]],
    limit: int,
    high: float | str,
    low: float | str,
    mixed: float,
) -> tuple[int, dict[str, float]]:
    """Return the regime of one cell and its evidence."""
    ranges, crossings, ends, gaps, ups, downs, turns = [], [], [], [], [], [], []
    time = 0.0
    knees = parts[0][1]["reference_knee"].values
    for signal, here in parts:
        if signal.v.shape[0] == 0:
            continue
        top, bottom = thresholds(here, high, low)
        centre, omega = here["reference_centre"].values, float(here["reference_turning"])
        time += signal.time
        for v, w in zip(signal.v, signal.w, strict=True):
            event = find_events(v, w, top, bottom, tuple(centre), omega if omega > 0 else 1.0)
            fell = bool((v[0] > top) & (v < bottom).any())
            ranges.append(float(np.quantile(v, 0.975) - np.quantile(v, 0.025)))
            crossings.append(event.spikes.size + 0.5 * (fell and event.spikes.size == 0))
            ends.append(v[-1] > 0.5 * (top + bottom))
            gaps.append(np.diff(event.spikes) * signal.interval)
            up = (event.falls - event.spikes) * signal.interval
            ups.append(up[np.isfinite(up)])
            downs.append((event.spikes[1:] - event.falls[:-1]) * signal.interval)
            turns.append(event.turns)
    if not ranges:
        return _UNCERTAIN, {"runs": 0.0}
    gap, up, down = (np.concatenate(part) for part in (gaps, ups, downs))
    turn = np.concatenate(turns)
    count = np.array(crossings)
    evidence = {
        "amplitude": float(np.median(ranges)),
        "crossings": float(count.mean()),
        "crossing_rate": float(count.sum() / time),
        "crossing_cv": float(gap.std(ddof=1) / gap.mean()) if gap.size >= _MIN_CYCLES else np.nan,
        "dwell_up": float(up.mean()) if up.size else np.nan,
        "dwell_down": float(down.mean()) if down.size else np.nan,
        "share_up": float(np.mean(ends)),
        "small_share": float((turn > 0).mean()) if turn.size else np.nan,
        "runs": float(len(ranges)),
    }
    return _rule(evidence, count, limit, mixed, 0.1 * float(knees[1] - knees[0])), evidence


def _rule(
    evidence: Mapping[str, float], count: np.ndarray, limit: int, mixed: float, still: float
) -> int:
    """Return the regime for the evidence: the rules of the module docstring."""
    if (count == 0).all():
        if evidence["amplitude"] > still:
            return _UNCERTAIN
        return _CLAMPED if evidence["share_up"] in (0.0, 1.0) else _BISTABLE
    if limit in _TWO and limit not in _CYCLE:
        return _SWITCHING
    if evidence["crossings"] < _MIN_CYCLES or (count == 0).any():
        return _UNCERTAIN
    if mixed <= evidence["small_share"] <= 1.0 - mixed:
        return _MIXED
    return _OSCILLATING if limit in _CYCLE else _INDUCED


_CELLS = (
    Column("regime", ""),
    Column("limit"),
    Column("agrees", ""),
    Column("robust", ""),
    *(Column(name, unit) for name, (unit, _) in _EVIDENCE.items()),
)
_COUNTS = (
    Column("item", ""),
    Column("count", digits=9),
    Column("of", digits=9),
    Column("share", digits=3),
)


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``regimes``, a row per simulated cell, and ``regime_summary``, counts and shares.

    That a cell differs from the limit is what a map shows, and no verdict on the study; where it
    expects a share of ``agrees`` (``robust``: away from bifurcations), the counts reach it or not.
    """
    names = ["regime", "regime_limit", "agrees", "robust", *_EVIDENCE]
    rows = []
    for at, cell in grid_points(dataset[names], dataset["regime"].dims):
        if float(cell["runs"]) > 0.0:
            values = {
                "regime": REGIMES[int(cell["regime"])],
                "limit": int(cell["regime_limit"]),
                "agrees": {1: "yes", 0: "no", -1: "uncertain"}[int(cell["agrees"])],
                "robust": {1: "yes", 0: "no", -1: ""}[int(cell["robust"])],
                **{name: float(cell[name]) for name in _EVIDENCE},
            }
            rows.append(Row(values, at=at))
    return (
        Table("regimes", _CELLS, tuple(rows)),
        Table("regime_summary", _COUNTS, _counts(dataset, expect)),
    )


def _counts(dataset: xr.Dataset, expect: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return how many cells were simulated, show each regime, and agree with the limit."""
    simulated = dataset["runs"].values > 0
    regimes, agrees, robust = (
        dataset[name].values[simulated] for name in ("regime", "agrees", "robust")
    )
    cells = int(simulated.sum())
    items = [("cells simulated", cells, simulated.size, "")]
    items += [
        (name, int((regimes == number).sum()), cells, "") for number, name in enumerate(REGIMES)
    ]
    everywhere = np.full(agrees.shape, True)
    for text, chosen, quantity in (
        ("cells", everywhere, "agrees"),
        ("cells away from bifurcations", robust == 1, "robust"),
    ):
        if chosen.any() or quantity in expect:
            agreed, of = int((agrees[chosen] == 1).sum()), int(chosen.sum())
            items.append((f"{text} that agree with the limit", agreed, of, quantity))
    return tuple(
        Row(
            {"item": item, "count": count, "of": of, "share": count / of if of else np.nan},
            share_reached(count, of, expect.get(quantity, {})),
            quantity if quantity in expect else "",
        )
        for item, count, of, quantity in items
    )


def exact() -> list[Any]:
    """Return synthetic signals whose regime is plain, one of each kind."""
    options = {
        "of": "trace", "after": 0.0, "high": "auto", "low": "auto", "mixed": 0.1, "starts": "none"
    }  # fmt: skip
    cases: list[Any] = []
    spikes, small = synthetic([0] * 8, replicas=2), synthetic([0, 2] * 4, replicas=2)
    still = 0.0 * spikes["trace"] + xr.DataArray([-0.1, 0.0], dims="variable")
    sides = still + xr.DataArray([0.0, 4.0], dims="replica")
    one = spikes["trace"].isel(trace_time=slice(0, 150))
    for trace, limit, expected in (
        (spikes["trace"], 3, _OSCILLATING),
        (spikes["trace"], 1, _INDUCED),
        (spikes["trace"], 2, _SWITCHING),
        (small["trace"], 3, _MIXED),
        (still, 1, _CLAMPED),
        (sides, 2, _BISTABLE),
        (one, 1, _UNCERTAIN),
    ):
        case = small if trace.sizes["trace_time"] == small.sizes["trace_time"] else spikes
        dataset = case.drop_vars("trace").isel(trace_time=slice(0, trace.sizes["trace_time"]))
        dataset = dataset.assign(
            trace=trace.transpose(*spikes["trace"].dims), reference_limit_class=((), limit)
        )
        cases.append((dataset, options, [("regime", {}, expected, 0.0)]))
    return cases


STATISTIC = Statistic(
    summary="The regime of every grid point, by rules on its signal, with the evidence.",
    source="docs/phase-diagrams.md; Quininao & Touboul 2020, sec. 7",
    options=(
        OF,
        START,
        HIGH,
        LOW,
        Param(
            "mixed", 0.1, doc="least share of intervals with, and without, turns", low=0.0, high=0.5
        ),
        Param("starts", "none", doc="axis of initial states, or none", kind="text"),
    ),
    needs=lambda options: (
        options["of"],
        "reference_limit_class",
        "reference_centre",
        "reference_turning",
        "reference_knee",
    ),
    gives=lambda options, state: ("regime", "regime_limit", "agrees", "robust", *_EVIDENCE),
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("regimes", "regime_summary"),
)
