r"""The order parameter of a network through its phase transition, against closed forms.

    order = sqrt( E |Z|^2 ),      Z = mean exp(i phi) on a circle, mean x on the line

averaged over records and replicas, in units of its standard error over replicas against

    the exact E |Z|^2 of n neurons (identical oscillators, Desai-Zwanzig units), or
    R^2 and the linear response/n away from the transition (random frequencies);

and the critical value of the control parameter at which the closed form fits best,

    min over k of  sum over points of ( (E |Z|^2/(closed form at control/k) - 1) / s )^2,

s the relative standard error, times its value in theory, with the interval of Student's t,
stretched where the best fit misses by more than its errors.  Errors are relative because |Z|^2 is
close to exponential in the disordered phase: its mean and its absolute error go together, and small
means would weigh too much; its relative error does not depend on the mean.  Where it is so large
that a mean of nothing at all would agree at every point, nothing is decided.

Source: Dawson 1983; Sakaguchi 1988; docs/science.md, section 7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from scipy import special
from scipy.optimize import brentq

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.numerics.transitions import BistableUnits, Oscillators
from neurolim.statistics.parts.common import (
    AFTER,
    SCORES,
    critical_labels,
    critical_table,
    grid_points,
    labelled,
    parameter,
    score_row,
    unit_of,
    window,
)

#: Control parameter by what the neurons live on.
CONTROL = {"circle": "coupling", "line": "sigma"}
_CURVE_POINTS = 121
#: Relative step of derivatives, and most iterations, of the fit of a critical value.
_STEP, _ITERATIONS = 1e-3, 12
_CURVES = ("curve_control", "curve_limit", "curve_finite")
#: An interval of a critical value wider than this share of it decides nothing.
_WIDEST = 0.1
_CRITICAL = ("critical", "critical_low", "critical_high", "critical_theory")
_ORDERS = (
    Column("order", error="order_error"),
    Column("order_error", digits=2),
    Column("order_finite"),
    Column("order_limit"),
    Column("control_ratio"),
    Column("order_z", "standard errors"),
)
_POINTS = tuple(column.name for column in _ORDERS)
_LABELS = {
    "order_square": ("1", "square of the order parameter"),
    "order": ("1", "order parameter"),
    "order_error": ("1", "standard error of the order parameter"),
    "order_finite": ("1", "exact order parameter of n neurons"),
    "order_limit": ("1", "order parameter of infinitely many neurons"),
    "control_ratio": ("1", "control parameter over its critical value"),
    "order_z": ("standard errors", "measured square of the order parameter less the exact one"),
    "order_replicas": ("1", "replicas that did not fail"),
    "curve_limit": ("1", "order parameter of infinitely many neurons along the curve"),
    "curve_finite": ("1", "exact order parameter of n neurons along the curve"),
}


def _squares(chosen: xr.Dataset, of: str) -> xr.DataArray:
    """Return |Z|^2, averaged over records [grid, replica]."""
    if of == "line":
        square = chosen["state_mean"].isel(variable=0, drop=True) ** 2
    else:
        phase = chosen["state"].isel(variable=0, drop=True)
        cosine, sine = (phase.copy(data=part(phase.values)) for part in (np.cos, np.sin))
        square = cosine.mean("neuron") ** 2 + sine.mean("neuron") ** 2
    return square.where(chosen["status"] == 0).mean(("time", "site"), skipna=False)


def _networks(dataset: xr.Dataset, of: str, like: xr.DataArray) -> xr.DataArray:
    """Return the closed form at every grid point, an array of objects [grid]."""
    names = {"circle": ("coupling", "sigma", "width"), "line": ("theta", "sigma")}[of]
    values = [parameter(dataset, name) for name in names]
    if of == "circle":
        law = json.loads(dataset.attrs.get("params", "{}")).get("frequencies", "lorentzian")
        laws = dataset["frequencies"] if "frequencies" in dataset.coords else xr.DataArray(law)
        values.append(laws == "normal")
    kind = {"circle": Oscillators, "line": BistableUnits}[of]
    columns = [value.broadcast_like(like).transpose(*like.dims).values for value in values]
    return like.copy(data=np.vectorize(kind, otypes=[object])(*columns))


def apply(dataset: xr.Dataset, *, of: str, after: float) -> xr.Dataset:
    """Return measured and exact orders [grid], critical values and curves [grid less control].

    Parameters
    ----------
    dataset : of ``particles``: ``state`` (circle) or ``state_mean`` (line) of the first variable
    of : circle (Kuramoto oscillators) or line (Desai-Zwanzig units)
    after : records later than this are averaged, time

    Raises
    ------
    StudyError : the model does not have the parameters of the closed form
    """
    squares = _squares(window(dataset, after), of)
    measured = squares.mean("replica")
    count = squares.notnull().sum("replica")
    share = squares.std("replica", ddof=1) / count**0.5 / measured
    networks = _networks(dataset, of, measured)
    n = parameter(dataset, "n_neurons").broadcast_like(measured).transpose(*measured.dims)

    def each(value: Any) -> xr.DataArray:
        return measured.copy(data=np.vectorize(value, otypes=[float])(networks.values, n.values))

    exact_square = each(lambda network, size: network.square(int(size)))
    found = {
        "order_square": squares,
        "order": measured**0.5,
        "order_error": 0.5 * share * measured**0.5,
        "order_finite": exact_square**0.5,
        "order_limit": each(lambda network, size: network.order),
        "control_ratio": each(lambda network, size: network.ratio),
        "order_z": (measured / exact_square - 1.0) / share.where(share > 0),
        "order_replicas": count,
    }
    points = xr.Dataset(
        {"measured": measured, "share": share, "count": count, "network": networks, "n": n}
    )
    found |= _groups(points, CONTROL[of])
    labels = _LABELS | critical_labels(dataset, CONTROL[of])
    labels["curve_control"] = (unit_of(dataset, CONTROL[of]), f"{CONTROL[of]} along the curves")
    result = labelled(xr.Dataset(found, attrs=dict(dataset.attrs)), labels)
    for name in _CURVES:
        result[name].attrs["axis"] = CONTROL[of]
    return result


def _groups(points: xr.Dataset, control: str) -> dict[str, xr.DataArray]:
    """Return critical values and curves at every point of the axes but the control's."""
    groups = [dim for dim in points["n"].dims if dim != control]
    shape = tuple(points.sizes[dim] for dim in groups)
    fits = np.full((*shape, len(_CRITICAL)), np.nan)
    curves = np.full((*shape, len(_CURVES), _CURVE_POINTS), np.nan)
    for place in np.ndindex(*shape):
        here = points.isel(dict(zip(groups, place, strict=True)))
        networks = here["network"].values.ravel()
        theory = networks[0].critical
        fits[place] = *(theory * _fit(here, control)), theory
        values = [getattr(network, control) for network in networks]
        # Without coupling or noise there is no law to draw: the curve begins a little above.
        shown = np.linspace(max(min(values), 1e-3 * max(values)), max(values), _CURVE_POINTS)
        drawn = [replace(networks[0], **{control: float(value)}) for value in shown]
        size = int(here["n"].values.ravel()[0])
        curves[place][0], curves[place][1] = shown, [unit.order for unit in drawn]
        curves[place][2] = [unit.square(size) ** 0.5 for unit in drawn]
    coords = {dim: points[dim] for dim in groups if dim in points.coords}
    found = {name: xr.DataArray(fits[..., k], coords, groups) for k, name in enumerate(_CRITICAL)}
    return found | {
        name: xr.DataArray(curves[..., k, :], coords, [*groups, "curve"])
        for k, name in enumerate(_CURVES)
    }


def _fit(points: xr.Dataset, control: str) -> np.ndarray:
    """Return the best k with its 95 % interval [3]: the closed form at control/k fits best.

    Gauss and Newton's iteration from 1, NaN where it does not end.
    """
    measured, share, counts, networks, n = (
        points[name].values.ravel() for name in ("measured", "share", "count", "network", "n")
    )

    def misses(k: float) -> np.ndarray:
        moved = [replace(u, **{control: getattr(u, control) / k}) for u in networks]
        exact = [unit.square(int(size)) for unit, size in zip(moved, n, strict=True)]
        return np.asarray((measured / np.array(exact) - 1.0) / share)

    k, used = 1.0, np.isfinite(misses(1.0 + _STEP) + misses(1.0 - _STEP)) & (share > 0)
    for _ in range(_ITERATIONS):
        slope = (misses(k + _STEP) - misses(k - _STEP))[used] / (2.0 * _STEP)
        now = misses(k)[used]
        curvature = float(slope @ slope)
        if not (curvature > 0.0 and np.isfinite(now).all()):
            return np.full(3, np.nan)
        change = float(slope @ now) / curvature
        k -= change
        if not 0.5 < k < 2.0:
            return np.full(3, np.nan)
        if abs(change) < 0.1 / np.sqrt(curvature):
            break
    else:
        return np.full(3, np.nan)
    excess = float(now @ now) / max(1, now.size - 1)
    # The fewest replicas of a point: its error is known least.
    wide = special.stdtrit(counts[used].min() - 1, 0.975)
    half = wide * np.sqrt(max(1.0, excess) / curvature)
    return np.array([k, k - half, k + half])


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``phase_transition``, ``critical_point`` and ``order_parameter``."""
    ratio, freedom = dataset["control_ratio"], dataset["order_replicas"].values - 1
    share = 2.0 * dataset["order_error"] / dataset["order"]
    rows = []
    for name, phase in (("disordered phase", ratio < 1.0), ("ordered phase", ratio >= 1.0)):
        scores = dataset["order_z"].where(phase)
        least = float(share.where(np.isfinite(scores)).min())
        rows.append(score_row(name, scores.values, freedom, share=least))
    points = [
        Row({name: float(point[name]) for name in _POINTS}, at=at)
        for at, point in grid_points(dataset, dataset["order"].dims)
    ]
    return (
        Table("phase_transition", SCORES, tuple(rows)),
        critical_table(
            "critical_point", "control", dataset, CONTROL[options["of"]], expect, _WIDEST
        ),
        Table("order_parameter", _ORDERS, tuple(points)),
    )


def _gibbs(ratios: np.ndarray, replicas: int, n: int) -> xr.DataArray:
    """Return phases of identical oscillators drawn from their law [coupling, replica, ...].

    Given the field h they are independent, von Mises; h has the density of ``transitions``.
    """
    generator = np.random.Generator(np.random.PCG64(8))
    phases = np.empty((ratios.size, replicas, 1, 1, 1, n))
    for i, a in enumerate(ratios):
        h = np.linspace(1e-3, 2.0 * a + 2.0, 4000)
        logs = n * (np.log(special.i0e(h)) + h - h**2 / (4.0 * a)) + np.log(h)
        below = np.cumsum(np.exp(logs - logs.max()))
        drawn = np.interp(generator.random(replicas), below / below[-1], h)
        for r, field in enumerate(drawn):
            phases[i, r, 0, 0, 0] = generator.vonmises(0.0, field, n)
    dims = ("coupling", "replica", "time", "site", "variable", "neuron")
    return xr.DataArray(phases, {"coupling": ratios}, dims)


def exact() -> list[Any]:
    """Return oscillators drawn from their law: on both sides of K_c = 1, and at it."""
    ratios, replicas, n = np.array([0.5, 1.0, 1.5]), 400, 100
    state = _gibbs(ratios, replicas, n)
    dataset = xr.Dataset(
        {
            "state": state,
            "status": (("coupling", "replica"), np.zeros((ratios.size, replicas), np.int8)),
        },
        {"time": [1.0], "site": [0.0], "variable": ["phase"]},
        {
            "params": json.dumps({"sigma": 1.0, "width": 0.0}),
            "options": json.dumps({"n_neurons": n}),
        },
    )
    checks = [("order_z", {"coupling": ratio}, 0.0, 4.0) for ratio in ratios]
    # R = I1(3 R)/I0(3 R) at K/sigma^2 = 1.5, and a critical coupling within five per cent.
    limit = brentq(lambda r: r - special.i1(3.0 * r) / special.i0(3.0 * r), 0.1, 1.0)
    checks += [("order_limit", {"coupling": 1.5}, limit, 1e-10), ("critical", {}, 1.0, 0.05)]
    return [(dataset, {"of": "circle", "after": 0.0}, checks)]


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse a single replica: without a second there is no standard error."""
    if sizes.get("replica", 0) < 2:
        raise StudyError("replicas", "phase_transition needs standard errors", "2 replicas or more")


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ({"circle": "state", "line": "state_mean"}[options["of"]], "status")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("order_square", *_POINTS, "order_replicas", *_CRITICAL, *_CURVES)


STATISTIC = Statistic(
    summary="Order parameter through a phase transition, and the critical point, by closed forms.",
    source="Dawson 1983; Sakaguchi 1988; docs/science.md, section 7",
    options=(
        Param(
            "of",
            "line",
            doc="what the first variable lives on: circle (kuramoto) or line (desai_zwanzig)",
            kind="choice",
            choices=("circle", "line"),
        ),
        AFTER,
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    check=check,
    judge=judge,
    tables=("phase_transition", "critical_point", "order_parameter"),
)
