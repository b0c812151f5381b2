r"""Variance of linear neurons on a sparse random graph, against the exact one of large networks.

Neurons dx = (-decay x + gain c) dt + sigma dW hear c = (1/k) sum of x over k others on average,
drawn anew for each.  In a large network these have nothing in common, so that spectra S obey

    S(w) = (sigma^2 + (gain^2/k) S(w))/(decay^2 + w^2),
    Var x = sigma^2/( 2 sqrt(decay^2 - gain^2/k) ),

whatever the sign of the gain.  ``excess`` is its part beyond the mean-field law, k = infinity:

    excess = 2 decay Var x/sigma^2 - 1 = (1 - q)^(-1/2) - 1 = q/2 + O(q^2),    q = (gain/decay)^2/k,

and ``instability`` = 1 - (1 + excess)^(-2) is q itself, of order -1 in k down to q = 1, where the
graph loses its stability, which its mean does not tell.

Source: May 1972; Rajan & Abbott 2006; the spectra: docs/science.md, section 7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.statistics.parts.common import (
    AFTER,
    SCORES,
    grid_points,
    labelled,
    parameter,
    score_row,
    window,
)

_GIVES = ("excess", "excess_error", "excess_theory", "excess_z")
_LABELS = {
    "excess": ("1", "variance beyond that of the mean field"),
    "excess_error": ("1", "standard error of the excess"),
    "excess_theory": ("1", "exact excess"),
    "excess_z": ("standard errors", "measured excess less the exact one"),
    "instability": ("1", "critical degree over the mean degree, from the variance"),
    "degree_ratio": ("1", "mean degree over the critical degree"),
}
_MORE = ("instability", "degree_ratio")
_POINTS = (*_GIVES[1:], "degree_ratio")


def apply(dataset: xr.Dataset, *, decay: str, gain: str, sigma: str, after: float) -> xr.Dataset:
    """Return excess and instability [grid, replica]; error, exact value and score [grid].

    Parameters
    ----------
    dataset : state_mean and covariance of ``wired``, of a model of one variable
    decay, gain, sigma : names of the parameters in the equation above
    after : records later than this are averaged, time

    Returns
    -------
    and degree_ratio = 1/q [grid]; NaN in theory where q >= 1
    """
    chosen = window(dataset, after).isel(variable=0, variable_b=0, drop=True)
    square = (chosen["covariance"] + chosen["state_mean"] ** 2).mean(("time", "site"), skipna=False)
    rate, noise = parameter(dataset, decay), parameter(dataset, sigma)
    excess = (2.0 * rate / noise**2 * square - 1.0).transpose(..., "replica")
    count = excess.notnull().sum("replica")
    error = excess.std("replica", ddof=1) / count**0.5
    q = (parameter(dataset, gain) / rate) ** 2 / parameter(dataset, "in_degree")
    # Wires that are not drawn at random have another law.
    random = _wires(dataset).isin(["fixed", "binomial"])
    theory = ((1.0 - q.where((q < 1.0) & random)) ** -0.5 - 1.0).broadcast_like(error)
    z = (excess.mean("replica") - theory) / error.where(error > 0)
    found = dict(zip(_GIVES, (excess, error, theory, z.where(count > 1)), strict=True))
    found["instability"] = 1.0 - (1.0 + excess) ** -2.0
    found["degree_ratio"] = (1.0 / q).broadcast_like(error)
    return labelled(xr.Dataset(found, attrs=dict(dataset.attrs)), _LABELS)


def _wires(dataset: xr.Dataset) -> xr.DataArray:
    """Return how neurons are wired, at every grid point or everywhere."""
    if "wires" in dataset.coords:
        return dataset["wires"]
    return xr.DataArray(json.loads(dataset.attrs.get("options", "{}")).get("wires", "fixed"))


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``sparse_variance`` (verdict) and ``excess_points``."""
    excess = dataset["excess"]
    freedom = excess.notnull().sum("replica").values - 1
    row = score_row("excess", dataset["excess_z"].values, freedom)
    dims = [dim for dim in excess.dims if dim != "replica"]
    columns = tuple(Column(name) for name in ("excess", *_POINTS))
    points = [
        Row({column.name: float(point[column.name].mean()) for column in columns}, at=at)
        for at, point in grid_points(dataset, dims)
    ]
    return (
        Table("sparse_variance", SCORES, (row,)),
        Table("excess_points", columns, tuple(points)),
    )


def exact() -> list[Any]:
    """Return normal neurons of the exact variance at decay 2, gain -3, sigma 0.5."""
    generator = np.random.Generator(np.random.PCG64(17))
    degrees, replicas, n = np.array([3, 9, 90]), 60, 1000
    variance = 0.25 / (2.0 * np.sqrt(4.0 - 9.0 / degrees))
    x = np.sqrt(variance)[:, None, None] * generator.standard_normal((3, replicas, n))
    dims = ("in_degree", "replica", "time", "site", "variable")
    dataset = xr.Dataset(
        {
            "state_mean": (dims, x.mean(axis=2)[..., None, None, None]),
            "covariance": ((*dims, "variable_b"), x.var(axis=2)[..., None, None, None, None]),
        },
        {"in_degree": degrees, "time": [1.0], "site": [0.0]},
        {"params": '{"decay": 2.0, "gain": -3.0, "sigma": 0.5}', "options": "{}"},
    )
    error = (2.0 / (n * replicas)) ** 0.5
    checks: list[Any] = [
        ("excess_theory", {"in_degree": 3}, 1.0, 1e-12),  # q = 9/4/3: (1 - 3/4)^(-1/2) - 1
        ("excess_theory", {"in_degree": 9}, (4.0 / 3.0) ** 0.5 - 1.0, 1e-12),
        ("excess_error", {"in_degree": 3}, 2.0 * error, error),
    ]
    checks += [("excess_z", {"in_degree": k}, 0.0, 4.0) for k in degrees]
    # q = 9/4/k; a replica's relative error is (2/n)^(1/2), nearly twice as much of 1 - q.
    checks += [("instability", {"in_degree": 3, "replica": 0}, 0.75, 4.0 * 0.5 * (2.0 / n) ** 0.5)]
    options = {"decay": "decay", "gain": "gain", "sigma": "sigma", "after": 0.0}
    return [(dataset, options, checks)]


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse a single replica, and more than one variable.

    Raises
    ------
    StudyError
    """
    if sizes.get("replica", 0) < 2:
        raise StudyError("replicas", "sparse_variance needs standard errors", "2 replicas or more")
    if sizes.get("variable", 1) != 1:
        raise StudyError("model", f"{sizes['variable']} variables", "one variable")


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "covariance")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return (*_GIVES, *_MORE)


STATISTIC = Statistic(
    summary="Variance of linear neurons on a sparse random graph against the exact one.",
    source="May 1972; Rajan & Abbott 2006; docs/science.md, section 7",
    options=(
        Param("decay", "decay", doc="rate at which a neuron forgets", kind="parameter"),
        Param("gain", "gain", doc="factor of what it hears", kind="parameter"),
        Param("sigma", "sigma", doc="its noise", kind="parameter"),
        AFTER,
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    check=check,
    judge=judge,
    tables=("sparse_variance", "excess_points"),
)
