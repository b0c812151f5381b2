r"""Covariance of two neurons of a network: what propagation of chaos sends to zero like 1/n.

With M the mean and S the sample variance (divisor n) of a variable over a site, neurons that may
be exchanged and have covariance C two by two,

    E S = (1 - 1/n)(Var x - C),      Var M = Var x/n + (1 - 1/n) C,      C = Var M - E S/(n - 1),

without bias for every n.  Var M is taken over R replicas at each record: a replica's share of it is
(M - average M)^2 R/(R - 1).  Independent neurons have C = 0.

Source: Sznitman 1991 (chaos as independence of finitely many neurons); docs/science.md, section 7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Statistic, StudyError
from neurolim.statistics.parts.common import AFTER, parameter, variables, window


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return ``x_pair_covariance`` and ``x_variance`` [grid, replica] of every variable x.

    Parameters
    ----------
    dataset : state_mean and covariance of a network, with replicas
    after : records later than this are averaged, time
    """
    chosen = window(dataset, after)
    n = parameter(dataset, "n_neurons")
    mean = chosen["state_mean"]
    count = mean.notnull().sum("replica")
    share = (mean - mean.mean("replica")) ** 2 * (count / (count - 1))
    found = {}
    for name in variables(dataset):
        spread = chosen["covariance"].sel(variable=name, variable_b=name, drop=True)
        inner = spread / (n - 1)
        pair = share.sel(variable=name, drop=True) - inner
        order = list(dataset["status"].dims)
        for key, value, long_name in (
            (f"{name}_pair_covariance", pair, f"covariance of {name} of two neurons"),
            (f"{name}_variance", spread + pair + inner, f"variance of {name} of a neuron"),
        ):
            averaged = value.mean(("time", "site"), skipna=False).transpose(*order)
            found[key] = averaged.assign_attrs(long_name=long_name, units="state^2")
    return xr.Dataset(found, attrs=dict(dataset.attrs))


def exact() -> list[Any]:
    """Return neurons that share a normal part of variance 4/n and have one of variance 2 each."""
    generator = np.random.Generator(np.random.PCG64(31))
    sizes, replicas = np.array([8, 32]), 4000
    shape = (sizes.size, replicas, 1, 1, 1)
    mean, covariance = np.empty(shape), np.empty((*shape, 1))
    for k, n in enumerate(sizes):
        shared = np.sqrt(4.0 / n) * generator.standard_normal((replicas, 1))
        x = 3.0 + shared + np.sqrt(2.0) * generator.standard_normal((replicas, n))
        mean[k, :, 0, 0, 0], covariance[k, :, 0, 0, 0, 0] = x.mean(axis=1), x.var(axis=1)
    lead = ("n_neurons", "replica", "time", "site", "variable")
    dataset = xr.Dataset(
        {
            "state_mean": (lead, mean),
            "covariance": ((*lead, "variable_b"), covariance),
            "status": (lead[:2], np.zeros(shape[:2], np.int8)),
        },
        {
            "n_neurons": sizes,
            "time": [1.0],
            "site": [0.0],
            "variable": ["x"],
            "variable_b": ["x"],
        },
        {"params": json.dumps({}), "options": json.dumps({})},
    )
    # Var M = 6/n: a sample variance of normals has the relative error sqrt(2/R).
    checks = [
        ("x_pair_covariance", {"n_neurons": n}, 4.0 / n, 4.0 * 6.0 / n * (2.0 / replicas) ** 0.5)
        for n in sizes
    ]
    checks += [("x_variance", {"n_neurons": 32}, 2.0 + 4.0 / 32, 0.05)]
    return [(dataset, {"after": 0.0}, checks)]


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse a single replica: the variance of the mean is one over replicas."""
    if sizes.get("replica", 0) < 2:
        raise StudyError("replicas", "pair_covariance compares replicas", "2 replicas or more")


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "covariance", "status")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return tuple(f"{name}_{kind}" for name in state for kind in ("pair_covariance", "variance"))


STATISTIC = Statistic(
    summary="Covariance of two neurons, which propagation of chaos sends to zero like 1/n.",
    source="Sznitman 1991; docs/science.md, section 7",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    check=check,
)
