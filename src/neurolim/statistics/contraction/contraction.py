r"""The rate at which the copies of a coupling approach each other, in several norms.

    decay(t) = E |x_t - x'_t|      in l1, l2, the recorded weighted norm, per variable, or 003's rho

A record is used while the decay is above ``floor_share`` of its start and above four standard
errors over replicas (a replica is a block of pairs).  The window is the later half of the records
used, where the slowest mode is left; the rate is minus the least-squares slope of log decay, its
interval a percentile bootstrap over replicas.  ``bend`` is the relative difference of the rates in
the two halves of the window: what is left of faster modes.

Beside the mean there is the worst pair: ``pathwise_rate`` is the largest rate r such that every
pair obeys |x_t - x'_t| <= e^{-r t} |x_0 - x'_0| in the weighted norm at every record.
``order_defect`` is the largest relative difference of E|x - x'| in l1 and |E x - E x'|: the latter
is a lower, the former an upper bound of W1, so zero means that W1 is the difference of means.

Source: Herda, Monmarche & Perthame 2024, Theorems 1-3; Efron & Tibshirani 1993, ch. 13
(percentile intervals).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import (
    Column,
    Kind,
    Model,
    Param,
    Row,
    Statistic,
    StudyError,
    Table,
    Verdict,
    get,
)
from neurolim.core.verdict import WIDEST, at_least, between, exceeds
from neurolim.statistics.contraction.proven_bounds import proven_rate
from neurolim.statistics.parts.common import grid_points, labelled
from neurolim.statistics.parts.contraction import CONDUCTANCE, rho_of_pairs

NORMS = ("l1", "l2", "weighted", "rho")
_RESAMPLES = 1000
_SHORTEST = 4
_FEWEST_RECORDS = 2 * _SHORTEST
#: Twice the bend from which a decay is not yet that of one mode, where no tolerance is larger.
_STRAIGHT = 0.03

_LABELS = {
    "decay": ("state", "E|x - x'|"),
    "decay_error": ("state", "standard error of E|x - x'|"),
    "rate": ("1/time", "rate of decay"),
    "rate_low": ("1/time", "lower end of the interval of the rate"),
    "rate_high": ("1/time", "upper end of the interval of the rate"),
    "bend": ("1", "relative difference of the rates in both halves of the window"),
    "window_start": ("time", "first record that is fitted"),
    "window_end": ("time", "last record that is fitted"),
    "pathwise_rate": ("1/time", "rate of the worst pair"),
    "order_defect": ("1", "E|x - x'| over |E x - E x'|, less 1"),
    "rate_over_gap": ("1", "rate over spectral gap"),
    "spectral_gap": ("1/time", "spectral gap of the reference"),
    "norm": ("1", "norm of the difference of two copies"),
}
_GIVES = tuple(name for name in _LABELS if name != "norm")
#: What ``fit_rate`` returns, by the name of the variable.
_FITTED = {
    "rate": "rate", "rate_low": "low", "rate_high": "high", "bend": "bend",
    "window_start": "start", "window_end": "end",
}  # fmt: skip


def _norms(dataset: xr.Dataset, of: tuple[str, ...], model: Model) -> xr.DataArray:
    """Return the decays [norm, grid, replica, time]."""
    distance = dataset["distance"].mean("site")
    found = []
    for norm in of:
        if norm == "l1":
            part = distance.sum("variable", skipna=False)
        elif norm == "l2":
            part = dataset["distance_squared"].mean("site").sum("variable", skipna=False) ** 0.5
        elif norm == "weighted":
            part = dataset["weighted_distance"]
        elif norm == "rho":
            part = rho_of_pairs(dataset, model).mean("site")
        else:
            part = distance.sel(variable=norm, drop=True)
        found.append(part.drop_vars([n for n in part.coords if n not in part.dims]))
    norms = xr.DataArray(list(of), dims="norm", name="norm")
    return xr.concat(found, norms, join="override")


def window(mean: np.ndarray, error: np.ndarray, floor_share: float) -> slice:
    """Return the records a rate is fitted on; empty if fewer than four are left.

    Parameters
    ----------
    mean, error : decay and its standard error [time]
    floor_share : of the starting value, below which nothing is used
    """
    good = (mean > floor_share * mean[0]) & (mean > 4.0 * np.nan_to_num(error)) & (mean > 0)
    last = len(good) if good.all() else int(np.argmin(good))
    first = last // 2
    return slice(first, last) if last - first >= _SHORTEST else slice(0, 0)


def _slope(time: np.ndarray, logs: np.ndarray) -> Any:
    centred = time - time.mean()
    return -(logs @ centred) / (centred @ centred)


def fit_rate(
    time: np.ndarray, samples: np.ndarray, floor_share: float, seed: int = 0
) -> dict[str, float]:
    """Return the rate of decay of the mean over replicas, its interval, and the window.

    Parameters
    ----------
    time : [n]
    samples : decay per replica [replica, n]; NaN rows are failed runs
    floor_share : see ``window``
    seed : of the bootstrap

    Returns
    -------
    rate, low, high (95 %), bend, start, end; NaN where nothing can be fitted
    """
    nothing = dict.fromkeys(_FITTED.values(), np.nan)
    samples = samples[np.isfinite(samples).all(axis=1)]
    if len(samples) < 2:
        return nothing
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    place = window(samples.mean(axis=0), error, floor_share)
    if place.stop == 0:
        return nothing
    time, samples = time[place], samples[:, place]
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen = generator.integers(0, len(samples), (_RESAMPLES, len(samples)))
    rate = float(_slope(time, np.log(samples.mean(axis=0))))
    slopes = _slope(time, np.log(np.maximum(samples[chosen].mean(axis=1), 1e-300)))
    half = len(time) // 2
    logs = np.log(samples.mean(axis=0))
    halves = [_slope(time[: half + 1], logs[: half + 1]), _slope(time[half:], logs[half:])]
    return {
        "rate": rate,
        "low": float(np.quantile(slopes, 0.025)),
        "high": float(np.quantile(slopes, 0.975)),
        "bend": float(abs(halves[0] - halves[1]) / abs(rate)) if rate else np.nan,
        "start": float(time[0]),
        "end": float(time[-1]),
    }


def apply(
    dataset: xr.Dataset, *, of: tuple[str, ...], floor_share: float, model: Model
) -> xr.Dataset:
    """Return decays, rates, the worst pair's rate, and rates over the reference's gap.

    Parameters
    ----------
    dataset : what the solver ``pairs`` gives, maybe with ``reference_gap``
    of : norms: l1, l2, weighted, rho (of a model of CONDUCTANCE, needs samples) or state variables
    floor_share : of its start, below which a decay is not used
    model : of the neurons, for rho
    """
    decays = _norms(dataset, of, model).transpose(..., "replica", "time")
    lead = decays.dims[:-2]
    time = dataset["time"].values
    table = {name: np.full(decays.shape[:-2], np.nan) for name in _FITTED.values()}
    for place in np.ndindex(*decays.shape[:-2]):
        for name, value in fit_rate(time, decays.values[place], floor_share).items():
            table[name][place] = value
    coords = {d: decays[d] for d in lead if d in decays.coords}
    later = dataset["log_worst"].isel(time=slice(1, None))
    pathwise = (-later / later["time"]).min("time", skipna=False).min("replica")
    mean = dataset["copy_mean"].mean("site")
    apart = abs(
        (
            mean.sel(network_copy="first", drop=True) - mean.sel(network_copy="second", drop=True)
        ).mean("replica")
    ).sum("variable", skipna=False)
    l1 = dataset["distance"].mean("site").sum("variable", skipna=False).mean("replica")
    used = l1 > floor_share * l1.isel(time=0)
    defect = (abs(l1 - apart) / l1).where(used).max("time")
    gap = dataset.get("reference_gap", xr.DataArray(np.nan)).drop_attrs()
    count = decays.notnull().sum("replica")
    result = xr.Dataset(
        {
            "decay": decays.mean("replica"),
            "decay_error": decays.std("replica", ddof=1) / count**0.5,
            **{name: xr.DataArray(table[key], coords, lead) for name, key in _FITTED.items()},
            "pathwise_rate": pathwise,
            "order_defect": defect,
            "rate_over_gap": xr.DataArray(table["rate"], coords, lead) / gap,
            "spectral_gap": gap,
        },
        attrs=dict(dataset.attrs),
    )
    return labelled(result, _LABELS)


#: Columns of the table whose variable has another name.
_KNOWN = {"proven_pathwise": "lambda_weighted", "log10_theorem_2": "log10_theorem_2_corrected"}
_RATES = (
    Column("rate", "1/time"),
    Column("rate_low", "1/time"),
    Column("rate_high", "1/time"),
    Column("rate_over_gap"),
    Column("bend", digits=2),
    Column("window_start", "time"),
    Column("window_end", "time"),
    Column("pathwise_rate", "1/time"),
)
_PROVEN = (Column("proven_pathwise", "1/time"), Column("log10_theorem_2"))


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``contraction``: per grid point and norm the rate, beside what is known of it."""
    known = [column for column in _PROVEN if _KNOWN[column.name] in dataset]
    names = {column.name: _KNOWN.get(column.name, column.name) for column in (*_RATES, *known)}
    loss = dataset.get("log10_theorem_3_eta", xr.DataArray(np.nan))
    increasing = dataset.get("increasing", xr.DataArray(1.0))
    used = dataset[list(names.values())].assign(
        loss=loss, gap=dataset["spectral_gap"], increasing=increasing
    )
    solver = json.loads(dataset.attrs.get("options", "{}"))
    dims = [dim for dim in dataset["rate"].dims if dim != "norm"]
    rows = []
    for at, point in grid_points(used.load(), dims):
        coupling = at.get("coupling", solver.get("coupling"))
        expected = dict(expect.get("rate_over_gap", {}))
        if coupling != "synchronous" or not float(point["increasing"]):
            expected.pop("order", None)
        for norm in map(str, point["norm"].values):
            chosen = point.sel(norm=norm)
            values = {name: float(chosen[variable]) for name, variable in names.items()}
            proven = proven_rate(values, float(chosen["loss"]), norm, coupling)
            quantity, verdict = _verdict(
                values, norm, coupling, proven, float(chosen["gap"]), expected
            )
            rows.append(Row(values, verdict, quantity, {**at, "norm": norm}))
    return (Table("contraction", (*_RATES, *known), tuple(rows)),)


def _verdict(
    values: Mapping[str, float],
    norm: str,
    coupling: str,
    proven: float,
    gap: float,
    expect: Mapping[str, Any],
) -> tuple[str, Verdict]:
    """Return whether the rate lies between what is proven and the gap, and of which quantity.

    Parameters
    ----------
    values : of the table's row
    norm : in which the copies approach each other
    coupling : of the copies' noises
    proven : rate that a theorem proves of the coupling, NaN if none does
    gap : spectral gap, NaN where none is known
    expect : what the study expects of the rate over the gap, an order where that is the gap's
    """
    rate = values["rate"]
    missing = "window below the floor of the estimator"
    if np.isfinite(rate):
        if coupling == "synchronous":
            worst = at_least(values["pathwise_rate"], proven)
            if worst.kind is Kind.DISAGREES:
                return "pathwise_rate", replace(worst, reason="a pair is slower than proven")
        if norm == "l1" and np.isfinite(gap):
            return "rate_over_gap", _beside_the_gap(values, proven, gap, expect)
    return "rate", exceeds(rate, values["rate_low"], values["rate_high"], proven, missing, ">=")


def _beside_the_gap(
    values: Mapping[str, float], proven: float, gap: float, expect: Mapping[str, Any]
) -> Verdict:
    """Return whether a rate in l1 does not beat the gap, and is the gap where that is expected.

    No coupling beats the gap in l1, because its mean distance is an upper bound of W1; that it
    equals the gap is expected of synchronous copies that stay in order only.  The gap bounds the
    rate in the end: before, while the decay bends, faster modes may still decay.
    """
    tolerance, order = expect.get("tolerance", 0.0), expect.get("order")
    low, high = values["rate_low"] / gap, values["rate_high"] / gap
    least = float(order) if order is not None else proven / gap
    least = least if np.isfinite(least) else -np.inf
    verdict = between(values["rate_over_gap"], low, high, least, 1.0, tolerance, WIDEST)
    if verdict.kind is Kind.UNDECIDED:
        return verdict
    if verdict.kind is Kind.DISAGREES:
        if values["bend"] > 0.5 * max(tolerance, _STRAIGHT):
            return replace(verdict, kind=Kind.UNDECIDED, reason="the decay still bends, run longer")
        faster, bound = low - tolerance > 1.0, "proven" if order is None else "the spectral gap"
        reason = "faster than the spectral gap" if faster else f"slower than {bound}"
        return replace(verdict, reason=reason)
    if order is not None:
        return replace(verdict, reason="equals the spectral gap")
    if high < 0.0 and np.isnan(proven):
        reason = "the copies separate, and no rate is proven"
        return replace(verdict, kind=Kind.NOT_JUDGED, reason=reason)
    slower = "slower" if high + tolerance < 1.0 else "not faster"
    return replace(verdict, reason=f"{slower} than the spectral gap")


def exact() -> list[Any]:
    """Return two copies of an exponential decay with known rate, replicas differing by factors."""
    time = np.linspace(0.0, 4.0, 41)
    generator = np.random.Generator(np.random.PCG64(1))
    factor = 1.0 + 0.01 * generator.standard_normal(32)
    curve = factor[:, None] * np.exp(-0.7 * time)
    dims = ("replica", "time", "site", "variable")
    dataset = xr.Dataset(
        {
            "distance": (dims, curve[..., None, None]),
            "distance_squared": (dims, curve[..., None, None] ** 2),
            "weighted_distance": (dims[:2], curve),
            "log_worst": (dims[:2], np.broadcast_to(-0.7 * time, curve.shape).copy()),
            "copy_mean": (
                ("replica", "network_copy", *dims[1:]),
                np.stack([curve, 0 * curve], axis=1)[..., None, None],
            ),
            "status": ("replica", np.zeros(32, np.int8)),
            "reference_gap": ((), 0.35),
        },
        {"time": time, "variable": ["x"], "network_copy": ["first", "second"], "site": [0.0]},
    )
    options = {"of": ("l1", "x"), "floor_share": 1e-9, "model": get("model", "morris_lecar")}
    l1 = {"norm": "l1"}
    # The bootstrap resamples factors, which do not change the slope.
    checks = [
        ("rate", l1, 0.7, 1e-9),
        ("rate_low", l1, 0.7, 1e-9),
        ("rate_high", {"norm": "x"}, 0.7, 1e-9),
        ("pathwise_rate", {}, 0.7, 1e-9),
        ("order_defect", {}, 0.0, 1e-9),
        ("rate_over_gap", l1, 2.0, 1e-8),
        ("window_start", l1, 2.0, 0.1),
    ]
    lost = dataset.copy()
    lost["distance"] = xr.zeros_like(dataset["distance"]) + (dataset["time"] == 0)
    return [(dataset, options, checks), (lost, options, [("decay", l1, 1.0 / 41.0, 1e-12)])]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    read = ["distance", "distance_squared", "weighted_distance", "log_worst", "copy_mean"]
    return (*read, "sample") if "rho" in options["of"] else tuple(read)


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given, or refuse norms that there are not."""
    for norm in options["of"]:
        if norm not in (*NORMS, *state):
            raise StudyError("of", f"unknown norm {norm!r}", (*NORMS, *state))
    return _GIVES


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse too few replicas for an error and too few records for a window."""
    if sizes["replica"] < 2:
        raise StudyError("replicas", "one replica has no standard error", "at least 2")
    if sizes["time"] < _FEWEST_RECORDS:
        raise StudyError(
            "records", f"{sizes['time']} with the start, too few", f"at least {_FEWEST_RECORDS - 1}"
        )


STATISTIC = Statistic(
    summary="Rate at which coupled copies approach each other, on average and for the worst pair.",
    source="Herda, Monmarche & Perthame 2024, Theorems 1-3; windows: module docstring",
    options=(
        Param("of", ("l1",), doc="norms: l1, l2, weighted, rho or state variables", kind="names"),
        Param("floor_share", 1e-9, doc="smallest share of the start used", positive=True, high=0.5),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    check=check,
    judge=judge,
    model_needs=lambda options: (CONDUCTANCE,) if "rho" in options["of"] else (),
    tables=("contraction",),
)
