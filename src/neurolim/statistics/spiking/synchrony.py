r"""How tightly the neurons of a network keep together, and how fast they come together.

    x_deviation = average over records later than ``after`` of n/(n - 1) Var(x), every variable x,
    decay_rate  = -slope of log Var over records in (``begin``, ``until``], first variable.

Var is the network's second moment about its own mean.  With ``theory: reference`` the decay rate
is compared with that of the reference's covariance, fitted to the same records, in standard errors
over R replicas: two-sided tails of Student's t with R - 1 degrees of freedom, times the number of
points (Bonferroni), below .01 are a disagreement; where half of the theory's rate would be none,
nothing agrees.  Without a theory the table says whether the variance falls at all.

Source: Bossy, Fontbona & Olivero 2019 (exponential synchronisation up to the noise).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.core.verdict import CHANCE, WIDEST, exceeds, within
from neurolim.statistics.parts.common import AFTER, grid_points, parameter, variables, window

_COLUMNS = (
    Column("decay_rate", "1/time", error="standard_error"),
    Column("standard_error", "1/time", digits=2),
    Column("theory", "1/time"),
    Column("compared", digits=9),
    Column("largest_z", "standard errors"),
)


def apply(
    dataset: xr.Dataset, *, after: float, begin: float, until: float, theory: str
) -> xr.Dataset:
    """Return deviations and the decay rate [grid, replica], with ``theory`` that of the reference.

    Parameters
    ----------
    dataset : covariance; reference_covariance with ``theory: reference``
    after : records later than this are averaged for the deviations, time
    begin, until : records between are fitted for the decay rate, time
    theory : "none", or "reference"

    Raises
    ------
    StudyError : fewer than three records between ``begin`` and ``until``
    """
    chosen, names = window(dataset, after), variables(dataset)
    n = parameter(dataset, "n_neurons")
    found = {}
    for name in names:
        variance = chosen["covariance"].sel(variable=name, variable_b=name, drop=True)
        deviation = (variance * n / (n - 1.0)).mean(("time", "site"), skipna=False)
        found[f"{name}_deviation"] = deviation.assign_attrs(
            long_name=f"mean variance of {name} between neurons", units="state^2"
        )
    units = {"units": "1/time", "long_name": "rate at which the variance falls"}
    found["decay_rate"] = _rate(dataset, "covariance", begin, until).assign_attrs(units)
    if theory == "reference":
        found["decay_rate_theory"] = _rate(
            dataset, "reference_covariance", begin, until
        ).assign_attrs(units)
    return xr.Dataset(found, attrs=dict(dataset.attrs))


def _rate(dataset: xr.Dataset, name: str, begin: float, until: float) -> xr.DataArray:
    """Return minus the slope of log Var of the first variable, sites averaged."""
    time = dataset["time"].values
    inside = np.flatnonzero((time > begin) & (time <= until))
    if inside.size < 3:
        raise StudyError("until", f"{inside.size} records in ({begin:g}, {until:g}]", "3 or more")
    first = variables(dataset)[0]
    variance = dataset[name].sel(variable=first, variable_b=first, drop=True).mean("site")
    variance = variance.isel(time=inside)
    centred = xr.DataArray(time[inside] - time[inside].mean(), dims="time")
    logs = xr.apply_ufunc(np.log, variance.where(variance > 0).drop_vars("time"))
    return -(logs * centred).sum("time", skipna=False) / float((centred**2).sum())


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``synchrony``: decay rate at every point, with a verdict."""
    rates = dataset["decay_rate"]
    dims = [dim for dim in rates.dims if dim != "replica"]
    count = int(np.prod([rates.sizes[dim] for dim in dims]))
    rows = []
    for at, point in grid_points(dataset, dims):
        values = np.atleast_1d(point["decay_rate"].values)
        values = values[np.isfinite(values)]
        reference = options["theory"] == "reference"
        theory = float(point["decay_rate_theory"]) if reference else np.nan
        mean = float(values.mean()) if values.size else np.nan
        error = float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else np.nan
        # Fewer than two replicas that differ have no interval.
        quantile = -float(special.stdtrit(values.size - 1, CHANCE / (2.0 * count)))
        allowed = quantile * error if error > 0.0 else np.nan
        low, high = mean - allowed, mean + allowed
        cells = {
            "decay_rate": mean,
            "standard_error": error,
            "theory": theory,
            "compared": int(values.size),
            "largest_z": abs(mean - theory) / error if error > 0.0 else np.nan,
        }
        if reference:
            spread, widest = (error if error > 0.0 else np.nan), WIDEST * abs(theory)
            verdict = within(mean, theory, 0.0, spread, quantile, widest=widest)
        else:
            verdict = exceeds(mean, low, high, 0.0)
        rows.append(Row(cells, verdict, "decay_rate", at))
    return (Table("synchrony", _COLUMNS, tuple(rows)),)


def exact() -> list[Any]:
    """Return a variance 3 exp(-t/2) of 4 neurons, and of the reference exp(-t)."""
    time = np.linspace(0.0, 4.0, 9)
    dims = ("time", "site", "variable", "variable_b")
    dataset = xr.Dataset(
        {
            "covariance": (dims, 3.0 * np.exp(-time / 2.0)[:, None, None, None]),
            "reference_covariance": (dims, np.exp(-time)[:, None, None, None]),
        },
        {"time": time, "site": [0.0], "variable": ["v"], "variable_b": ["v"]},
        {"params": "{}", "options": '{"n_neurons": 4}'},
    )
    options = {"after": 3.7, "begin": 0.4, "until": 2.0, "theory": "reference"}
    checks: list[Any] = [
        ("v_deviation", {}, 4.0 * np.exp(-2.0), 1e-12),
        ("decay_rate", {}, 0.5, 1e-12),
        ("decay_rate_theory", {}, 1.0, 1e-12),
    ]
    return [(dataset, options, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    reference = ("reference_covariance",) if options["theory"] == "reference" else ()
    return ("covariance", *reference)


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    theory = ("decay_rate_theory",) if options["theory"] == "reference" else ()
    return (*(f"{name}_deviation" for name in state), "decay_rate", *theory)


STATISTIC = Statistic(
    summary="Variance between the neurons of a network, and the rate at which it falls.",
    source="Bossy, Fontbona & Olivero 2019",
    options=(
        AFTER,
        Param("begin", 0.0, "time", "start of the fit of the decay rate", low=0.0),
        Param("until", 10.0, "time", "end of the fit of the decay rate", positive=True),
        Param(
            "theory",
            "none",
            doc="what the decay rate is compared with",
            kind="choice",
            choices=("none", "reference"),
        ),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("synchrony",),
)
