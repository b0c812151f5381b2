r"""How tightly the neurons of a network keep together, and how fast they come together.

    x_deviation = average over records later than ``after`` of n/(n - 1) Var(x), every variable x,
    decay_rate  = -slope of log Var over records in (``begin``, ``until``], first variable.

Var is the network's second moment about its own mean.  With ``theory: reference`` the decay rate
is compared with that of the reference's covariance, fitted to the same records, in standard errors
over R replicas: two-sided tails of Student's t with R - 1 degrees of freedom, times the number of
points (Bonferroni), below .01 are a disagreement.  Otherwise the table says whether the variance
falls at all.

Source: Bossy, Fontbona & Olivero 2019 (exponential synchronisation up to the noise).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

from neurolim.core import Param, Statistic, StudyError
from neurolim.statistics._common import AFTER, CHANCE, parameter, place_of, variables, window


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


def tables(dataset: xr.Dataset, expect: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return ``synchrony``: decay rate at every point, with a verdict."""
    rates = dataset["decay_rate"]
    dims = [str(dim) for dim in rates.dims if dim != "replica"]
    rows = []
    points = int(np.prod([rates.sizes[dim] for dim in dims]))
    for index in np.ndindex(*(rates.sizes[dim] for dim in dims)):
        here = dataset.isel(dict(zip(dims, index, strict=True)))
        place = place_of(here, dataset, dims)
        label = ", ".join(f"{name}={value}" for name, value in place.items())
        values = np.atleast_1d(here["decay_rate"].values)
        values = values[np.isfinite(values)]
        theory = float(here["decay_rate_theory"]) if "decay_rate_theory" in here else np.nan
        error = float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else np.nan
        mean = float(values.mean()) if values.size else np.nan
        rows.append(
            {
                "quantity": f"decay_rate [{label}]" if label else "decay_rate",
                "decay_rate": mean,
                "standard_error": error,
                "theory": theory,
                "compared": int(values.size),
                "largest_z": abs(mean - theory) / error if error > 0 else np.nan,
                "verdict": _verdict(mean, error, theory, values.size, points),
            }
        )
    return {"synchrony": pd.DataFrame(rows)}


def _verdict(mean: float, error: float, theory: float, replicas: int, points: int) -> str:
    """Return whether a decay rate agrees with theory, or is positive where there is none."""
    if not error > 0.0:
        return "inconclusive: fewer than two replicas that differ"
    allowed = -error * float(special.stdtrit(replicas - 1, CHANCE / (2.0 * points)))
    if np.isfinite(theory):
        word = "agrees" if abs(mean - theory) <= allowed else "disagrees"
        return f"{word}: {mean:.3g}, theory {theory:.3g}"
    if mean > allowed:
        return f"agrees: the variance falls at {mean:.3g}"
    return "disagrees: the variance does not fall" if mean < -allowed else "inconclusive: noise"


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
    tables=tables,
    table_names=("synchrony",),
)
