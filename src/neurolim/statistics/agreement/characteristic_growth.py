r"""Rates at which the mean of a network comes back to rest or leaves it, against the exact root.

While the deviation y = <x> - x* of the first variable is small and the other roots have died out,
it moves as Re C e^(lambda t), so that records one interval h apart obey

    y_(j+1) = a y_j + b y_(j-1) + c,        z^2 - a z - b = 0,      lambda = log(z)/h,

c for what noise does to x*.  Least squares over the window give lambda from the average over
replicas, because noise in what the fit rests on would bias it; the pseudo-values of the jackknife
are its replicas.  growth = Re lambda and frequency = Im lambda are compared with those of the
rightmost root of the characteristic equation (solver ``characteristic``), in standard errors.

The critical value of an axis is where a polynomial of degree 4, fitted to the growth by its errors,
has its zero, with the interval of Student's t over replicas, against that of the exact growth.

Source: de Prony 1795; Davison & Hinkley 1997, sec. 2.7.3 (jackknife); docs/phase-diagrams.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.statistics.parts.common import (
    AFTER,
    SCORES,
    critical_labels,
    critical_table,
    grid_points,
    labelled,
    score_row,
)

_GROWTHS = ("growth", "frequency")
_CRITICAL = ("critical", "critical_low", "critical_high", "critical_theory")
#: Fewer pairs of records say nothing of three numbers and their errors.
_FEWEST = 6
#: Largest degree of the polynomial through the growth.
_DEGREE = 4
#: An estimate of a critical value with a wider relative interval decides nothing.
_WIDEST = 0.05


def apply(dataset: xr.Dataset, *, over: str, after: float, high: float) -> xr.Dataset:
    """Return measured rates [grid, replica], their scores [grid] and critical values.

    Parameters
    ----------
    dataset : state_mean of a network with replicas; what ``characteristic`` gives as reference
    over : axis along which the mean loses its rest
    after : records later than this are fitted, time
    high : and up to the first that deviates by more than this, state

    Returns
    -------
    growth_measured and frequency_measured with _error, _exact and _z; critical, its interval and
    critical_theory [grid without ``over``]; NaN where a window is too short or nothing changes
    sign
    """
    first = {"site": 0, "variable": 0}
    away = (dataset["state_mean"] - dataset["reference_equilibrium"]).isel(first, drop=True)
    time = dataset["time"].values
    start, step = int(np.searchsorted(time, after, side="right")), float(time[1] - time[0])

    def each(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _rates(values[:, start:], high, step)

    measured = xr.apply_ufunc(
        each,
        away,
        input_core_dims=[["replica", "time"]],
        output_core_dims=[["replica"], ["replica"]],
        vectorize=True,
    )
    found: dict[str, Any] = {}
    exact_rates = {}
    for name, rate in zip(_GROWTHS, measured, strict=True):
        rate = rate.transpose(..., "replica")
        exact_rates[name] = dataset[f"reference_{name}"].isel(root=0, drop=True)
        count = rate.notnull().sum("replica")
        error = rate.std("replica", ddof=1) / count**0.5
        score = (rate.mean("replica") - exact_rates[name]) / error.where(error > 0)
        words = {"units": "1/time", "long_name": f"{name} of the deviation from rest"}
        found[f"{name}_measured"] = rate.assign_attrs(words)
        found[f"{name}_error"] = error.assign_attrs(words, long_name="standard error")
        found[f"{name}_exact"] = exact_rates[name].assign_attrs(words)
        found[f"{name}_z"] = score.where(count > 1).assign_attrs(
            units="standard errors", long_name=f"measured {name} less the exact one"
        )
    growth = found["growth_measured"]
    found |= _critical(growth, found["growth_error"], exact_rates["growth"], over)
    found["growth_measured"].attrs["axis"] = over
    result = xr.Dataset(found, attrs=dict(dataset.attrs))
    return labelled(result, critical_labels(dataset, over))


def _rates(values: np.ndarray, high: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return growth and frequency of deviations [replica, time], a pseudo-value per replica."""
    rates = np.full((2, len(values)), np.nan)
    used = np.isfinite(values).all(axis=1)
    count, total = int(used.sum()), values[used].sum(axis=0)
    if count < 2:
        return rates[0], rates[1]
    large = np.flatnonzero(np.abs(values[used]).max(axis=0) > high)
    last = large[0] if large.size else total.size
    if last >= _FEWEST + 2:
        together = np.array(_rate(total[:last] / count, step))
        for replica in np.flatnonzero(used):
            without = _rate((total - values[replica])[:last] / (count - 1), step)
            rates[:, replica] = count * together - (count - 1) * np.array(without)
    return rates[0], rates[1]


def _rate(y: np.ndarray, step: float) -> tuple[float, float]:
    """Return growth and frequency of a deviation over its records."""
    columns = np.stack([y[1:-1], y[:-2], np.full(y.size - 2, np.abs(y).max())], axis=1)
    a, b, _ = np.linalg.lstsq(columns, y[2:], rcond=None)[0]
    roots = np.roots([1.0, -a, -b]).astype(complex)
    largest = roots[np.argmax(np.abs(roots))]
    if largest == 0.0:
        return np.nan, np.nan
    rate = np.log(largest) / step
    return float(rate.real), abs(float(rate.imag))


def _critical(
    growth: xr.DataArray, error: xr.DataArray, exact_growth: xr.DataArray, over: str
) -> dict[str, Any]:
    """Return critical values of ``over`` with their intervals, and in theory [other axes]."""
    axis = growth[over].values.astype(float)

    def estimate(samples: np.ndarray, error: np.ndarray, theory: np.ndarray) -> tuple[float, ...]:
        weight = 1.0 / error if (error[np.isfinite(error)] > 0.0).all() else np.ones_like(error)
        return (*_jackknife(axis, samples, weight), _zero(axis, theory, weight))

    values = xr.apply_ufunc(
        estimate,
        growth,
        error,
        exact_growth.broadcast_like(growth.isel(replica=0, drop=True)),
        input_core_dims=[[over, "replica"], [over], [over]],
        output_core_dims=[[]] * len(_CRITICAL),
        vectorize=True,
    )
    return dict(zip(_CRITICAL, values, strict=True))


def _jackknife(axis: np.ndarray, samples: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
    """Return the zero of the growth over all replicas, and the ends of its interval.

    A replica less moves the zero little, so the zeros without each are those of one branch; their
    pseudo-values have its variance (Efron & Tibshirani 1993, ch. 11).

    Parameters
    ----------
    axis : [levels]
    samples : growth [levels, replicas]
    weight : of the levels
    """
    whole = np.isfinite(samples)
    count = whole.sum(axis=1)
    replicas = int(count.max(initial=0))
    total = np.where(whole, samples, 0.0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = _zero(axis, total / count, weight)
        without = [
            _zero(axis, (total - np.where(has, samples[:, r], 0.0)) / (count - has), weight, zero)
            for r, has in enumerate(whole.T)
        ]
    if replicas < 2 or not np.isfinite([zero, *without]).all():
        return np.nan, np.nan, np.nan
    pseudo = replicas * zero - (replicas - 1) * np.array(without)
    spread = pseudo.std(ddof=1) / replicas**0.5
    half = float(special.stdtrit(replicas - 1, 0.975) * spread)
    return zero, zero - half, zero + half


def _zero(
    axis: np.ndarray, growth: np.ndarray, weight: np.ndarray, near: float | None = None
) -> float:
    """Return a zero of the polynomial through the growth: the first, or that nearest to another.

    NaN without any.
    """
    used = np.isfinite(growth) & np.isfinite(weight)
    if used.sum() < 2:
        return np.nan
    degree = min(_DEGREE, int(used.sum()) - 1)
    line = np.polynomial.Polynomial.fit(axis[used], growth[used], degree, w=weight[used])
    roots = line.roots()
    inside = (np.abs(roots.imag) < 1e-9) & (roots.real >= axis.min()) & (roots.real <= axis.max())
    zeros = roots.real[inside]
    if not zeros.size:
        return np.nan
    return float(zeros.min() if near is None else zeros[np.abs(zeros - near).argmin()])


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``characteristic_growth`` and ``critical_value`` (verdicts), and ``growth_points``.

    A number expected of ``critical`` stands in the place of the exact growth's zero.
    """
    measured = dataset["growth_measured"]
    freedom = measured.notnull().sum("replica").values - 1
    rows = [score_row(name, dataset[f"{name}_z"].values, freedom) for name in _GROWTHS]
    dims = [dim for dim in measured.dims if dim != "replica"]
    points = [
        Row({column.name: _value(point, column.name) for column in _POINTS}, at=at)
        for at, point in grid_points(dataset, dims)
    ]
    return (
        Table("characteristic_growth", SCORES, tuple(rows)),
        critical_table("critical_value", "over", dataset, options["over"], expect, _WIDEST),
        Table("growth_points", _POINTS, tuple(points)),
    )


def _value(point: xr.Dataset, name: str) -> float:
    """Return what the dataset of a grid point has in a column, on average over replicas."""
    return float(point[f"{name}_measured" if name in _GROWTHS else name].mean())


_POINTS = tuple(
    Column(f"{name}{part}", unit, digits, error)
    for name in _GROWTHS
    for part, unit, digits, error in (
        ("", "1/time", 4, f"{name}_error"),
        ("_error", "1/time", 2, ""),
        ("_exact", "1/time", 4, ""),
        ("_z", "standard errors", 3, ""),
    )
)


def exact() -> list[Any]:
    """Return deviations of known rates, which grow beyond the value 2 of the axis."""
    tau, time = np.linspace(1.5, 2.5, 5), np.linspace(0.0, 30.0, 61)
    growth = 0.1 * (tau - 2.0) - 0.03 * (tau - 2.0) ** 3
    size = 1e-3 * (1.0 + 0.1 * np.arange(3))
    wave = np.exp(growth[:, None] * time) * np.cos(0.7 * time)
    mean = -1.2 + size[None, :, None] * wave[:, None, :]
    dataset = xr.Dataset(
        {
            "state_mean": (("tau", "replica", "time", "site", "variable"), mean[..., None, None]),
            "reference_equilibrium": (("tau", "site", "variable"), np.full((5, 1, 1), -1.2)),
            "reference_growth": (("tau", "root"), growth[:, None]),
            "reference_frequency": (("tau", "root"), np.full((5, 1), 0.7)),
        },
        {"tau": tau, "time": time, "site": [0.0], "variable": ["v"], "root": [0.0]},
    )
    checks = [
        ("growth_measured", {"tau": t, "replica": 0}, g, 1e-6)
        for t, g in zip(tau, growth, strict=True)
    ]
    checks += [
        ("frequency_measured", {"tau": 1.5, "replica": 2}, 0.7, 1e-6),
        ("critical", {}, 2.0, 1e-5),
        ("critical_theory", {}, 2.0, 1e-9),
    ]
    return [(dataset, {"over": "tau", "after": 5.0, "high": 1.0}, checks)]


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse a single replica, and too few records.

    Raises
    ------
    StudyError
    """
    if sizes.get("replica", 0) < 2:
        problem = "characteristic_growth needs standard errors"
        raise StudyError("replicas", problem, "2 replicas or more")
    if sizes.get("time", 0) < _FEWEST + 2:
        problem = f"{sizes.get('time', 0)} records for a rate"
        raise StudyError("records", problem, f"{_FEWEST + 2} or more")


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "reference_equilibrium", "reference_growth", "reference_frequency")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    kinds = ("measured", "error", "exact", "z")
    return (*(f"{name}_{kind}" for name in _GROWTHS for kind in kinds), *_CRITICAL)


STATISTIC = Statistic(
    summary="Growth and frequency of the mean about rest, and where rest is lost, by exact roots.",
    source="de Prony 1795; docs/phase-diagrams.md",
    options=(
        Param("over", None, doc="axis along which the mean loses its rest", kind="axis"),
        AFTER,
        Param("high", 0.05, doc="largest deviation fitted, state", positive=True),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    check=check,
    judge=judge,
    tables=("characteristic_growth", "critical_value", "growth_points"),
)
