r"""Spectral gap against 1/a^2 where two equilibria are stable: gap ~ exp(-barrier/a^2).

    log gap = c - barrier/a^2 + d a^2,

fitted over the axis ``noise`` (``barrier_change``: by how much it moves when only the smaller half
of the noises is used), beside the barrier of large-deviation theory: the smallest action

    S = 1/4 int (g' - drift of g)^2 dt,     v' = drift of v,

of a path from a stable equilibrium to the saddle, the lower of the two wells.  A path is its
voltage on a uniform grid in time, the conductance follows from the voltage equation, and S is a
sum of squares that is minimised as such (second order in the time step, exponential in its length).

Source: Freidlin & Wentzell 2012, ch. 4 and 6; Herda, Monmarche & Perthame 2024, Theorem 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import least_squares

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
from neurolim.core.verdict import within
from neurolim.statistics.parts.common import grid_points
from neurolim.statistics.parts.contraction import CONDUCTANCE, Neuron, at_each_point

_LENGTH, _POINTS = 40.0, 400
_UNIT = "1/time^3"
_GIVES = ("barrier", "barrier_change", "barrier_theory", "local_barrier")
_COLUMNS = (
    Column("barrier", _UNIT, error="barrier_change"),
    Column("barrier_change", _UNIT, digits=2),
    Column("barrier_theory", _UNIT),
)
#: Share of the action by which the fit may be off where the study names none.
_SHARE = 0.05
#: Noises without which the fit cannot be repeated on fewer.
_FEWEST = 4


def _path_action(neuron: Neuron, start: float, end: float) -> float:
    """Return the smallest action of a path between two equilibrium voltages."""
    dt = _LENGTH / _POINTS

    def residual(inner: np.ndarray) -> np.ndarray:
        # Two points outside at each end: the path leaves and arrives at rest.
        v = np.concatenate([[start] * 2, inner, [end] * 2])
        middle = 0.5 * (v[1:] + v[:-1])
        g = neuron.conductance(middle, np.diff(v) / dt)
        force = np.diff(g) / dt - neuron.drift(v[1:-1], 0.5 * (g[1:] + g[:-1]), neuron.alone)[1]
        scaled: np.ndarray = 0.5 * np.sqrt(dt) * force
        return scaled

    # A smooth step; its width does not matter, the minimum is found by Newton-like iterations.
    guess = start + (end - start) / (1.0 + np.exp(-np.linspace(-12.0, 12.0, _POINTS - 3)))
    unknowns = len(guess)
    band = np.abs(np.arange(unknowns + 2)[:, None] - 1 - np.arange(unknowns)[None, :]) <= 1
    found = least_squares(residual, guess, jac_sparsity=band, xtol=1e-10, ftol=1e-10, gtol=1e-10)
    return float(2.0 * found.cost)


def barrier(neuron: Neuron) -> float:
    """Return the lower action from a stable equilibrium to the saddle; NaN unless bistable.

    NaN, too, where neurons interact.
    """
    found = neuron.equilibria()
    if len(found) != 3 or neuron.steepest()[1] > 0.0:
        return np.nan
    below, saddle, above = (v for v, _ in found)
    return min(_path_action(neuron, below, saddle), _path_action(neuron, above, saddle))


def apply(dataset: xr.Dataset, *, of: str, model: Model) -> xr.Dataset:
    """Return the fitted barrier [grid without noise], its theory, and pairwise slopes [grid].

    Parameters
    ----------
    dataset : a gap over an axis ``noise``
    of : variable that holds the gap, e.g. gap
    model : of the neurons
    """
    logs = xr.apply_ufunc(np.log, dataset[of].where(dataset[of] > 0)).transpose(..., "noise")
    inverse = 1.0 / dataset["noise"].values ** 2
    design = np.stack([np.ones_like(inverse), -inverse, 1.0 / inverse], axis=1)
    lead = logs.dims[:-1]
    fitted, change = np.full(logs.shape[:-1], np.nan), np.full(logs.shape[:-1], np.nan)
    for place in np.ndindex(*fitted.shape):
        good = np.flatnonzero(np.isfinite(logs.values[place]))
        good = good[np.argsort(inverse[good])]
        if len(good) < _FEWEST:
            continue
        # The same fit without the larger noises says how far the expansion can be trusted.
        ends = [
            np.linalg.lstsq(design[part], logs.values[place][part], rcond=None)[0][1]
            for part in (good, good[-(len(good) // 2 + 1) :])
        ]
        fitted[place], change[place] = ends[0], abs(ends[1] - ends[0])
    local = np.full(logs.shape, np.nan)
    local[..., 1:] = -np.diff(logs.values, axis=-1) / np.diff(inverse)
    first = dataset.isel(noise=0)
    (theory,) = at_each_point(first, model, lambda neuron: (barrier(neuron),))
    coords = {d: logs[d] for d in lead if d in logs.coords}
    units = {"units": _UNIT}
    return xr.Dataset(
        {
            "barrier": xr.DataArray(
                fitted, coords, lead, attrs={"long_name": "barrier of the gap", **units}
            ),
            "barrier_change": xr.DataArray(
                change,
                coords,
                lead,
                attrs={"long_name": "change of the barrier without large noises", **units},
            ),
            "barrier_theory": theory.drop_attrs()
            .drop_vars("noise", errors="ignore")
            .assign_attrs(long_name="smallest action to the saddle", **units),
            "local_barrier": logs.copy(data=local)
            .drop_attrs()
            .assign_attrs(long_name="slope between neighbours", **units),
        },
        attrs=dict(dataset.attrs),
    )


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``arrhenius``: fitted barrier and that of theory, which agree within 5 per cent."""
    share = expect.get("barrier", {}).get("tolerance", 0.0) or _SHARE
    rows = []
    for at, point in grid_points(dataset, dataset["barrier"].dims):
        values = {column.name: float(point[column.name]) for column in _COLUMNS}
        rows.append(Row(values, _verdict(values, share), "barrier", at))
    return (Table("arrhenius", _COLUMNS, tuple(rows)),)


def _verdict(values: Mapping[str, float], share: float) -> Verdict:
    """Return whether a barrier is that of theory; undecided where it depends on the noises."""
    fitted, theory = values["barrier"], values["barrier_theory"]
    if np.isfinite(theory) and values["barrier_change"] > share * fitted:
        reason = "the fit depends on the range of noises"
        return Verdict(Kind.UNDECIDED, fitted, expected=theory, reason=reason)
    return within(fitted, theory, share * theory)


def exact() -> list[Any]:
    """Return gaps made with a known barrier."""
    import json

    noise = np.array([0.5, 0.4, 0.3, 0.25])
    params = {
        "leak": 1.0, "leak_voltage": 1.0, "excitatory_voltage": 2.0, "rate": 1.0, "base": 0.2,
        "amplitude": 1.0, "interaction": 0.0, "joint": 0.0, "steepness": 1.0, "midpoint": 1.5,
    }  # fmt: skip
    dataset = xr.Dataset(
        {"gap": ("noise", 0.3 * np.exp(-0.07 / noise**2 + 0.5 * noise**2))},
        {"noise": noise},
        {"params": json.dumps(params)},
    )
    options = {"of": "gap", "model": get("model", "morris_lecar")}
    return [(dataset, options, [("barrier", {}, 0.07, 1e-9)])]


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse fewer noises than show how far the fit, of three unknowns, depends on them."""
    if sizes.get("noise", 0) < _FEWEST:
        raise StudyError("grid", "arrhenius needs an axis noise", "noise with four values or more")


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (options["of"],)


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return _GIVES


STATISTIC = Statistic(
    summary="Spectral gap against 1/a^2, and the barrier of large-deviation theory.",
    source="Freidlin & Wentzell 2012, ch. 4 and 6",
    options=(Param("of", "gap", doc="variable that holds the gap", kind="text"),),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    check=check,
    judge=judge,
    model_needs=lambda options: (CONDUCTANCE,),
    tables=("arrhenius",),
)
