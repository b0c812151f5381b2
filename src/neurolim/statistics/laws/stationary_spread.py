r"""Spread of the stationary law about the deterministic equilibrium, over a^2.

    spread = int |v - v*|^2 + |g - g*|^2 dmu,
    spread/a^2 -> trace S,   J S + S J^T + diag(0, 2) = 0

and what Corollary 1 proves:  spread <= max(1, A)/lambda a^2  with Theorem 1's A and lambda.  The
limit needs an equilibrium several standard deviations away from the reflecting wall.

Source: Herda, Monmarche & Perthame 2024, Corollary 1 (its proof, with the constants of
docs/contraction.md); Lyapunov equation: linear noise approximation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Model, Param, Row, Statistic, Table, get
from neurolim.core.verdict import at_most
from neurolim.statistics.parts.common import AFTER, grid_points, window
from neurolim.statistics.parts.contraction import (
    CONDUCTANCE,
    Neuron,
    at_each_point,
    best_weight,
    constants,
    synchronous_rate,
)

_GIVES = ("spread", "spread_error", "spread_over_a2", "lyapunov", "spread_bound")


def apply(dataset: xr.Dataset, *, of: str, after: float, model: Model) -> xr.Dataset:
    """Return the spread [grid], its standard error, its limit over a^2, and its proven bound.

    Parameters
    ----------
    dataset : what ``pairs`` gives (its second copy is not read) or ``fokker_planck``
    of : pairs, law (``fokker_planck`` as solver) or reference (as reference)
    after : records later than this are averaged (pairs), time
    model : of the neurons
    """
    c = constants(dataset, model)
    v, g, trace = at_each_point(dataset, model, Neuron.lyapunov_trace)
    if of == "pairs":
        chosen = window(dataset, after).sel(network_copy="first", drop=True)
        mean, covariance = chosen["copy_mean"], chosen["copy_covariance"]
    else:
        prefix = "reference_" if of == "reference" else ""
        mean = dataset[f"{prefix}stationary_mean"]
        covariance = dataset[f"{prefix}stationary_covariance"]
    first, second = (str(name) for name in dataset["variable"].values)
    parts = [
        covariance.sel(variable=name, variable_b=name, drop=True)
        + (mean.sel(variable=name, drop=True) - place) ** 2
        for name, place in ((first, v), (second, g))
    ]
    square = parts[0] + parts[1]
    per_run = square.mean([d for d in ("time", "site") if d in square.dims])
    spread, error = per_run, xr.zeros_like(per_run)
    if "replica" in per_run.dims:
        count = per_run.notnull().sum("replica")
        spread, error = per_run.mean("replica"), per_run.std("replica", ddof=1) / count**0.5
    noise = c["noise"].where(c["noise"] > 0)
    best = best_weight(c).fillna(np.inf)
    bound = xr.where(best > 1.0, best, 1.0) / synchronous_rate(c) * noise**2
    units = {"units": "state^2"}
    return xr.Dataset(
        {
            "spread": spread.assign_attrs(long_name="spread about the equilibrium", **units),
            "spread_error": error.assign_attrs(long_name="standard error", **units),
            "spread_over_a2": (spread / noise**2).assign_attrs(
                long_name="spread over a^2", units="state^2 time^3"
            ),
            "lyapunov": trace.drop_attrs().assign_attrs(
                long_name="limit of spread/a^2", units="state^2 time^3"
            ),
            "spread_bound": bound.drop_attrs().assign_attrs(long_name="Corollary 1", **units),
        },
        attrs=dict(dataset.attrs),
    )


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``stationary_spread``: spread/a^2 against its limit and the proven bound."""
    spreads = dataset[list(_GIVES)].load().broadcast_like(dataset["spread"])
    rows = []
    for at, point in grid_points(spreads, dataset["spread"].dims):
        values = {name: float(point[name]) for name in _GIVES}
        verdict = at_most(values["spread"], values["spread_bound"])
        values["relative_deviation"] = values["spread_over_a2"] / values["lyapunov"] - 1.0
        rows.append(Row(values, verdict, "spread", at))
    return (Table("stationary_spread", _COLUMNS, tuple(rows)),)


_COLUMNS = (
    Column("spread", "state^2", error="spread_error"),
    Column("spread_error", "state^2", 2),
    Column("spread_over_a2"),
    Column("lyapunov"),
    Column("spread_bound", "state^2"),
    Column("relative_deviation", digits=3),
)


def exact() -> list[Any]:
    """Return Gaussian laws whose spread is known, about the equilibrium of constant G."""
    import json

    # G = g_L = 1 in [1, 2]: v* = 1.5, g* = 1, J = [[-2, .5], [0, -1]]: S = [[1/24, 1/6], [1/6, 1]].
    params = {
        "leak": 1.0, "leak_voltage": 1.0, "excitatory_voltage": 2.0, "rate": 1.0, "base": 1.0,
        "amplitude": 0.0, "interaction": 0.0, "joint": 0.0, "steepness": 1.0, "midpoint": 1.5,
    }  # fmt: skip
    noise = np.array([0.1, 0.05])
    covariance = np.array([[1 / 24, 1 / 6], [1 / 6, 1.0]]) * noise[:, None, None] ** 2
    dataset = xr.Dataset(
        {
            "stationary_mean": (("noise", "site", "variable"), np.array([[[1.5, 1.0]]] * 2)),
            "stationary_covariance": (
                ("noise", "site", "variable", "variable_b"),
                covariance[:, None],
            ),
        },
        {
            "noise": noise,
            "site": [0.0],
            "variable": ["voltage", "conductance"],
            "variable_b": ["voltage", "conductance"],
        },
        {"params": json.dumps(params)},
    )
    at = {"noise": 0.05}
    return [
        (
            dataset,
            {"of": "law", "after": 0.0, "model": get("model", "morris_lecar")},
            [
                ("lyapunov", at, 25.0 / 24.0, 1e-10),
                ("spread_over_a2", at, 25.0 / 24.0, 1e-10),
                ("spread", at, 25.0 / 24.0 * 0.05**2, 1e-12),
            ],
        )
    ]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return {
        "pairs": ("copy_mean", "copy_covariance"),
        "law": ("stationary_mean", "stationary_covariance"),
        "reference": ("reference_stationary_mean", "reference_stationary_covariance"),
    }[options["of"]]


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return _GIVES


STATISTIC = Statistic(
    summary="Spread of the stationary law about the equilibrium, against a^2.",
    source="Herda, Monmarche & Perthame 2024, Corollary 1",
    options=(
        Param(
            "of",
            "pairs",
            doc="where the law comes from",
            kind="choice",
            choices=("pairs", "law", "reference"),
        ),
        AFTER,
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    model_needs=lambda options: (CONDUCTANCE,),
    tables=("stationary_spread",),
)
