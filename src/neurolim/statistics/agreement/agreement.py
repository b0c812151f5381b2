r"""Agreement with a closed form, in standard errors.

    z = (average over replicas - exact value) / standard error over replicas

for every entry of the mean and the covariance at every record, and for the variance of the site
mean over replicas, whose standard error is that of a Gaussian sample variance.

The verdict compares every z with what so many comparisons give by chance, R being the replicas
that did not fail. Those of mean and covariance are divided by a measured standard error: two-sided
tails of Student's t with R - 1 degrees of freedom (exact for the mean, of order n^(-1/2) for the
covariance). Those of the site mean's variance are divided by the exact one: R - 1 + sqrt(2 (R - 1))
z is chi-square with R - 1 degrees of freedom, and its upper tail bounds both tails of a covariance,
whose cumulants are no larger. Bonferroni's bound holds whatever the correlation between records.

Agreement means something only if disagreement could have been seen: where |z| would have to exceed
``core.verdict.BLIND`` to count, nothing is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from neurolim.core import Statistic, Table
from neurolim.core.verdict import CHANCE
from neurolim.statistics.parts.common import (
    AFTER,
    SCORES,
    critical_score,
    entries_once,
    score_row,
    standard_normal_network,
    survivors,
    window,
)

#: The variable of a network and of its closed form, by the quantity that is compared.
_QUANTITIES = {
    "mean": "state_mean",
    "covariance": "covariance",
    "mean_covariance": "mean_covariance",
}
#: Replicas that differ by less than this share of a variable's size are one, to rounding.
_EQUAL = 1e-12


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return ``z_mean``, ``z_covariance`` and ``z_mean_covariance`` [grid, time, site, ...].

    ``agreement_replicas`` [grid] counts the replicas that did not fail.

    Parameters
    ----------
    dataset : state_mean, covariance with replicas; reference_state_mean, reference_covariance,
        reference_mean_covariance without
    after : records later than this are compared, time

    Returns
    -------
    z-scores; NaN where the standard error is zero to rounding (nothing random to compare)
    """
    chosen = window(dataset, after)
    size = _size(chosen)
    found = {}
    for name, scale in (("mean", size), ("covariance", size * size.rename(variable="variable_b"))):
        variable = _QUANTITIES[name]
        samples = chosen[variable]
        count = samples.notnull().sum("replica")
        error = samples.std("replica", ddof=1) / np.sqrt(count)
        found[f"z_{name}"] = (
            samples.mean("replica") - chosen[f"reference_{variable}"]
        ) / error.where(error > _EQUAL * scale)
    mean = chosen["state_mean"].drop_vars("variable")
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
    scores = {
        key: value.transpose(*[d for d in (*lead, *solver) if d in value.dims]).assign_attrs(
            long_name=f"deviation of {key[2:].replace('_', ' ')} from its exact value",
            units="standard errors",
        )
        for key, value in found.items()
    }
    return xr.Dataset(
        scores | {"agreement_replicas": survivors(dataset)}, attrs=dict(dataset.attrs)
    ).assign_coords(variable=dataset["variable"], variable_b=dataset["variable_b"])


def _size(chosen: xr.Dataset) -> xr.DataArray:
    """Return the size of the states of neurons [grid, time, site, variable]: their rms."""
    plain = chosen[["state_mean", "covariance"]].drop_vars(("variable", "variable_b"))
    diagonal = xr.DataArray(np.arange(plain.sizes["variable"]), dims="variable")
    variance = plain["covariance"].isel(variable=diagonal, variable_b=diagonal)
    size = (plain["state_mean"] ** 2 + variance).mean("replica") ** 0.5
    return size.assign_coords(variable=chosen["variable"])


def _tail(z: np.ndarray, freedom: np.ndarray, name: str, diagonal: np.ndarray) -> np.ndarray:
    """Return a bound of the probability of a deviation as large as z by chance."""
    if name != "mean_covariance":
        return np.asarray(2.0 * special.stdtr(freedom, -np.abs(z)))

    def above(size: np.ndarray) -> np.ndarray:
        return np.asarray(
            special.chdtrc(freedom, np.maximum(freedom + np.sqrt(2.0 * freedom) * size, 0.0))
        )

    # Below: the chi-square's own lower tail for a variance.
    own = np.minimum(above(z), 1.0 - above(z))
    return np.minimum(1.0, 2.0 * np.where(diagonal, own, above(np.abs(z))))


def _critical(compared: int, freedom: int, name: str) -> float:
    """Return the |z| from which one of so many comparisons disagrees."""
    if name != "mean_covariance":
        return critical_score(compared, freedom)
    quantile = special.chdtri(freedom, CHANCE / (2.0 * compared))
    return float((quantile - freedom) / np.sqrt(2.0 * freedom))


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``agreement``: comparisons, largest and rms z, share beyond 3, verdict."""
    rows = []
    for name in _QUANTITIES:
        z, diagonal = entries_once(dataset[f"z_{name}"]), xr.DataArray(True)
        if "variable_b" in z.dims:
            number = xr.DataArray(np.arange(z.sizes["variable"]), dims="variable")
            diagonal = number == number.rename(variable="variable_b")
        z, replicas, diagonal = xr.broadcast(z, dataset["agreement_replicas"], diagonal)
        compared = np.isfinite(z.values)
        values, freedom = z.values[compared], replicas.values[compared] - 1
        p_value, critical = 1.0, 0.0
        if values.size:
            tails = _tail(values, freedom, name, diagonal.values[compared])
            p_value = min(1.0, values.size * float(tails.min()))
            critical = _critical(values.size, int(freedom.min()), name)
        rows.append(score_row(name, values, 0, p_value, critical))
    return (Table("agreement", SCORES, tuple(rows)),)


def exact() -> list[Any]:
    """Return a network sampled from its own closed form, and one displaced by known z."""
    n, replicas, eps = 400, 64, 0.1
    dataset = standard_normal_network([eps, 0.2], replicas, n, 3)
    levels = dataset["eps"]
    square = xr.zeros_like(dataset["covariance"].isel(replica=0, drop=True))
    dataset["reference_covariance"] = square + (1 - 1 / n) * levels
    dataset["reference_mean_covariance"] = square + levels / n
    shifted = dataset.copy()
    shifted["reference_state_mean"] = dataset["reference_state_mean"] + 1.0
    at = {"eps": eps, "time": 1.0, "site": 0.0, "variable": "x"}
    error = float(dataset["state_mean"].sel(at).std("replica", ddof=1)) / replicas**0.5
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
    return (
        "state_mean",
        "covariance",
        "status",
        *(f"reference_{variable}" for variable in _QUANTITIES.values()),
    )


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return (*(f"z_{name}" for name in _QUANTITIES), "agreement_replicas")


STATISTIC = Statistic(
    summary="Deviation from a closed form in standard errors.",
    source="docs/science.md, section on the linear network",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("agreement",),
)
