r"""Agreement with a closed form, in standard errors.

    z = (average over replicas - exact value) / standard error over replicas

for every entry of the mean and the covariance at every record, and for the variance of the site
mean over replicas, whose standard error is that of a Gaussian sample variance.

The verdict compares the largest |z| with what so many comparisons give by chance: each |z| has the
two-sided tail of Student's t with R - 1 degrees of freedom, and Bonferroni's bound holds whatever
the correlation between records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurolim.core import Statistic
from neurolim.statistics._common import (
    AFTER,
    standard_normal_network,
    verdict_on_scores,
    window,
)

_QUANTITIES = ("mean", "covariance", "mean_covariance")


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return ``z_mean``, ``z_covariance`` and ``z_mean_covariance`` [grid, time, site, ...].

    Parameters
    ----------
    dataset : mean, covariance with replicas; reference_mean, reference_covariance,
        reference_mean_covariance without
    after : records later than this are compared, time

    Returns
    -------
    z-scores; NaN where the standard error is zero (nothing random to compare)
    """
    chosen = window(dataset, after)
    found = {}
    for name in ("mean", "covariance"):
        samples = chosen[name]
        count = samples.notnull().sum("replica")
        error = samples.std("replica", ddof=1) / np.sqrt(count)
        found[f"z_{name}"] = (samples.mean("replica") - chosen[f"reference_{name}"]) / error.where(
            error > 0
        )
    mean = chosen["mean"].drop_vars("variable")
    count = mean.notnull().sum("replica")
    centred = mean - mean.mean("replica")
    product = (centred * centred.rename(variable="variable_b")).sum("replica") / (count - 1)
    exact_value = chosen["reference_mean_covariance"].drop_vars(("variable", "variable_b"))
    diagonal = xr.DataArray(np.arange(mean.sizes["variable"]), dims="variable")
    variance = exact_value.isel(variable=diagonal, variable_b=diagonal)
    error = (
        (variance * variance.rename(variable="variable_b") + exact_value**2) / (count - 1)
    ) ** 0.5
    found["z_mean_covariance"] = (product - exact_value) / error.where(error > 0)
    lead = [dim for dim in dataset["status"].dims if dim != "replica"]
    solver = ("time", "site", "variable", "variable_b")
    return xr.Dataset(
        {
            key: value.transpose(*[d for d in (*lead, *solver) if d in value.dims]).assign_attrs(
                long_name=f"deviation of {key[2:].replace('_', ' ')} from its exact value",
                units="standard errors",
            )
            for key, value in found.items()
        },
        attrs={**dataset.attrs, "agreement_replicas": dataset.sizes["replica"]},
    ).assign_coords(variable=dataset["variable"], variable_b=dataset["variable_b"])


def tables(dataset: xr.Dataset, expect: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return ``agreement``: comparisons, largest and rms z, share beyond 3, verdict."""
    freedom = max(1, int(dataset.attrs["agreement_replicas"]) - 1)
    rows = []
    for name in _QUANTITIES:
        z = dataset[f"z_{name}"]
        if "variable_b" in z.dims:
            # A covariance is symmetric: count each entry once.
            place = np.arange(z.sizes["variable"])
            keep = xr.DataArray(place[:, None] <= place[None, :], dims=("variable", "variable_b"))
            z = z.where(keep)
        rows.append(verdict_on_scores(name, z.values, freedom))
    return {"agreement": pd.DataFrame(rows)}


def exact() -> list[Any]:
    """Return a network sampled from its own closed form, and one displaced by known z."""
    n, replicas, eps = 400, 64, 0.1
    dataset = standard_normal_network([eps, 0.2], replicas, n, 3)
    levels = dataset["eps"]
    square = xr.zeros_like(dataset["covariance"].isel(replica=0, drop=True))
    dataset["reference_covariance"] = square + (1 - 1 / n) * levels
    dataset["reference_mean_covariance"] = square + levels / n
    shifted = dataset.copy()
    shifted["reference_mean"] = dataset["reference_mean"] + 1.0
    at = {"eps": eps, "time": 1.0, "site": 0.0, "variable": "x"}
    error = float(dataset["mean"].sel(at).std("replica", ddof=1)) / replicas**0.5
    options = {"after": 0.0}
    return [
        (
            dataset,
            options,
            [
                ("z_mean", at, 0.0, 4.0),
                ("z_covariance", {**at, "variable_b": "x"}, 0.0, 4.0),
                ("z_mean_covariance", {**at, "variable_b": "x"}, 0.0, 4.0),
            ],
        ),
        (shifted, options, [("z_mean", at, -1.0 / error, 4.0)]),
    ]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("mean", "covariance", *(f"reference_{name}" for name in _QUANTITIES))


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return tuple(f"z_{name}" for name in _QUANTITIES)


STATISTIC = Statistic(
    summary="Deviation from a closed form in standard errors.",
    source="docs/science.md, section on the linear network",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    tables=tables,
    table_names=("agreement",),
)
