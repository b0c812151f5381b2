r"""Both limits at once: the error of the network's mean against the limit, over n and eps.

    error(n, eps)^2 = average over replicas, time and sites of (network's mean of x - limit)^2
                    ~ (C1 n^(-1/2))^2 + (C2 eps^p)^2,

noise of the mean and displacement by the width of the law, which are independent.  C1, C2 and p are
fitted to the logarithms of all points, with a bootstrap over replicas; along paths
eps ~ n^(-beta) the error falls like n^(-min(1/2, beta p)), measured between the ends of diagonals
of a geometric grid.

Source: Quininao & Touboul 2020, discussion (order of the limits); docs/mean-field.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import least_squares

from neurolim.core import Param, Statistic, StudyError
from neurolim.statistics._common import AFTER, window

_FITTED = ("noise_constant", "bias_constant", "bias_order")


def _fit(squares: np.ndarray, n: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """Return (C1, C2, p) of squares [n, eps]."""
    noise, bias = 1.0 / n[:, None], np.log(eps)[None, :]

    def miss(x: np.ndarray) -> np.ndarray:
        model = np.exp(2.0 * x[0]) * noise + np.exp(2.0 * (x[1] + x[2] * bias))
        return (np.log(model) - np.log(squares)).ravel()

    start = [
        0.5 * np.log(squares[0, -1] * n[0]),
        0.5 * np.log(squares[-1, 0]) - np.log(eps[0]),
        1.0,
    ]
    found = least_squares(miss, start).x
    return np.array([np.exp(found[0]), np.exp(found[1]), found[2]])


def apply(
    dataset: xr.Dataset, *, after: float, of: str, resamples: int, bootstrap_seed: int
) -> xr.Dataset:
    """Return errors [n_neurons, eps], the fit with its interval, and rates along paths.

    Parameters
    ----------
    dataset : means with axes n_neurons and eps, replicas, and reference_mean of the limit
    after : records later than this count, time
    of : state variable
    resamples, bootstrap_seed : of the bootstrap

    Raises
    ------
    StudyError : the dataset has no axes n_neurons and eps
    """
    if not {"n_neurons", "eps"} <= set(dataset["mean"].dims):
        raise StudyError("double_limit", "needs the axes n_neurons and eps", "a grid over both")
    chosen = window(dataset, after).sel(variable=of)
    square = (chosen["mean"] - chosen["reference_mean"]) ** 2
    square = square.mean(("time", "site"), skipna=False).sortby("n_neurons")
    square = square.sortby("eps", ascending=False).transpose("n_neurons", "eps", "replica")
    n, eps = square["n_neurons"].values.astype(float), square["eps"].values
    values = square.values
    mean = np.nanmean(values, axis=-1)
    best = _fit(mean, n, eps)
    generator = np.random.Generator(np.random.PCG64(bootstrap_seed))
    drawn = []
    for _ in range(resamples):
        places = generator.integers(0, values.shape[-1], values.shape[-1])
        drawn.append(_fit(np.nanmean(values[..., places], axis=-1), n, eps))
    low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
    error = np.sqrt(mean)
    fitted = np.hypot(best[0] / np.sqrt(n)[:, None], best[1] * eps[None, :] ** best[2])
    paths = []
    # Steps in n and in eps of the diagonals through the coarsest point.
    for i, j in ((1, 0), (2, 1), (1, 1), (1, 2)):
        steps = min((len(n) - 1) // i, (len(eps) - 1) // j if j else len(n))
        if steps:
            end, length = (i * steps, j * steps), np.log(n[i * steps] / n[0])
            ratios = [eps[end[1]] / eps[0], error[end] / error[0, 0], fitted[end] / fitted[0, 0]]
            paths.append(np.log(ratios) / length)
    steepness, slopes, expected = np.array(paths).T
    betas = -steepness
    return xr.Dataset(
        {
            "double_error": (("n_neurons", "eps"), error),
            "double_fit": ("constant", best),
            "double_low": ("constant", low),
            "double_high": ("constant", high),
            "path_rate": ("beta", slopes),
            "path_fit": ("beta", expected),
        },
        {
            "n_neurons": square["n_neurons"].values,
            "eps": eps,
            "constant": list(_FITTED),
            "beta": betas,
        },
    )


def tables(dataset: xr.Dataset, expect: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return ``double_limit`` (the fit) and ``double_limit_paths`` (rates in n along paths)."""
    fit = pd.DataFrame(
        {
            "quantity": list(_FITTED),
            "value": dataset["double_fit"].values,
            "low": dataset["double_low"].values,
            "high": dataset["double_high"].values,
        }
    )
    paths = pd.DataFrame(
        {
            "beta": dataset["beta"].values,
            "rate": dataset["path_rate"].values,
            "rate_of_the_fit": dataset["path_fit"].values,
            "asymptotic_rate": -np.minimum(0.5, dataset["beta"].values),
        }
    )
    return {"double_limit": fit, "double_limit_paths": paths}


def exact() -> list[Any]:
    """Return means with noise 2 n^(-1/2) and displacement 3 eps."""
    generator = np.random.Generator(np.random.PCG64(7))
    n, eps, replicas = np.array([100, 400, 1600]), np.array([0.1, 0.05, 0.025]), 400
    noise = generator.standard_normal((3, 3, replicas, 1, 1, 1))
    mean = 3.0 * eps[None, :, None, None, None, None] + 2.0 * noise / np.sqrt(
        n[:, None, None, None, None, None]
    )
    dataset = xr.Dataset(
        {
            "mean": (("n_neurons", "eps", "replica", "time", "site", "variable"), mean),
            "reference_mean": (
                ("n_neurons", "eps", "time", "site", "variable"),
                mean[:, :, 0] * 0.0,
            ),
        },
        {"n_neurons": n, "eps": eps, "time": [1.0], "site": [0.0], "variable": ["voltage"]},
    )
    options = {"after": 0.0, "of": "voltage", "resamples": 20, "bootstrap_seed": 0}
    # 9 points with a relative error of sqrt(2/400) = .07 in the squares.
    checks = [
        ("double_fit", {"constant": "noise_constant"}, 2.0, 0.15),
        ("double_fit", {"constant": "bias_order"}, 1.0, 0.15),
    ]
    return [(dataset, options, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("mean", "reference_mean")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("double_error", "double_fit", "double_low", "double_high", "path_rate", "path_fit")


STATISTIC = Statistic(
    summary="Errors over n and eps together: constants of both, and rates along joint paths.",
    source="Quininao & Touboul 2020, discussion; docs/mean-field.md",
    options=(
        AFTER,
        Param("of", "voltage", doc="state variable", kind="text"),
        Param("resamples", 200, doc="bootstrap resamples", kind="integer", low=10, high=10**5),
        Param("bootstrap_seed", 0, doc="seed of the bootstrap", kind="integer", low=0),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    tables=tables,
    table_names=("double_limit", "double_limit_paths"),
)
