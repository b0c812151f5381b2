r"""Both limits at once: the error of the network's mean against the limit, over n and eps.

    error(n, eps)^2 = average over replicas, time and sites of (network's mean of x - limit)^2
                    ~ (C1 n^(-1/2))^2 + (C2 eps^p)^2,

noise of the mean and displacement by the width of the law, which are independent.  C1, C2 and p are
fitted to the logarithms of all points with eps up to ``below``, with a bootstrap over replicas;
along paths eps ~ n^(-beta) the error falls like n^(-min(1/2, beta p)), measured between the ends
of diagonals of a geometric grid.

Source: Quininao & Touboul 2020, discussion (order of the limits); docs/mean-field.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import least_squares

from neurolim.core import Column, Param, Row, Statistic, StudyError, Table
from neurolim.numerics.regression import OrderFit
from neurolim.statistics.parts.common import AFTER, grid_points, judge_order, labelled, window

_ESTIMATES = ("noise_constant", "constant", "order", "order_low", "order_high")
_FIT = (
    Column("over", ""),
    Column("order"),
    Column("order_low"),
    Column("order_high"),
    Column("expected"),
    Column("constant"),
    Column("noise_constant"),
)
_LABELS = {
    "double_error": ("state", "rms deviation of the mean of the network from the limit"),
    "displacement": ("of the estimate", "constants and order of the fit to all errors"),
    "path_rate": ("1", "exponent of n with which the error falls along a path"),
    "path_fit": ("1", "the same of the fit"),
    "estimate": ("1", "constants of noise and width, order of the width with its interval"),
    "beta": ("1", "steepness of a path: eps falls like n^(-beta)"),
}
_PATHS = (Column("rate"), Column("rate_of_the_fit"), Column("asymptotic_rate"))


def _fit(squares: np.ndarray, n: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """Return (C1, C2, p) of squares [n, eps]."""
    log_n, log_eps = np.log(n)[:, None], np.log(eps)[None, :]

    def miss(x: np.ndarray) -> np.ndarray:
        model = np.logaddexp(2.0 * x[0] - log_n, 2.0 * (x[1] + x[2] * log_eps))
        return (model - np.log(squares)).ravel()

    start = [0.5 * np.log(squares[0, -1] * n[0]), 0.5 * np.log(squares[-1, 0] / eps[0] ** 2), 1.0]
    found = least_squares(miss, start).x
    return np.array([np.exp(found[0]), np.exp(found[1]), found[2]])


def apply(
    dataset: xr.Dataset,
    *,
    after: float,
    of: str,
    below: float,
    resamples: int,
    bootstrap_seed: int,
) -> xr.Dataset:
    """Return errors [n_neurons, eps], the fit with its interval, and rates along paths.

    Parameters
    ----------
    dataset : means with axes n_neurons and eps, replicas, and reference_state_mean of the limit
    after : records later than this count, time
    of : state variable
    below : larger eps are shown but not fitted; 0 fits all
    resamples, bootstrap_seed : of the bootstrap
    """
    chosen = window(dataset, after).sel(variable=of)
    square = (chosen["state_mean"] - chosen["reference_state_mean"]) ** 2
    square = square.mean(("time", "site"), skipna=False).sortby("n_neurons")
    square = square.sortby("eps", ascending=False).transpose("n_neurons", "eps", "replica")
    n, eps = square["n_neurons"].values.astype(float), square["eps"].values
    values = square.values
    mean = np.nanmean(values, axis=-1)
    fine = (eps <= below) | (below == 0.0)
    best = _fit(mean[:, fine], n, eps[fine])
    generator = np.random.Generator(np.random.PCG64(bootstrap_seed))
    drawn = []
    for _ in range(resamples):
        places = generator.integers(0, values.shape[-1], values.shape[-1])
        drawn.append(_fit(np.nanmean(values[:, fine][..., places], axis=-1), n, eps[fine]))
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
    betas = 0.0 - steepness  # no -0
    result = xr.Dataset(
        {
            "double_error": (("n_neurons", "eps"), error),
            "displacement": ("estimate", [*best, low[2], high[2]]),
            "path_rate": ("beta", slopes),
            "path_fit": ("beta", expected),
        },
        {
            "n_neurons": square["n_neurons"].values,
            "eps": eps,
            "estimate": list(_ESTIMATES),
            "beta": betas,
        },
    )
    return labelled(result, _LABELS)


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``double_limit`` (the fit) and ``double_limit_paths`` (rates in n along paths)."""
    fitted = dict(zip(_ESTIMATES, map(float, dataset["displacement"].values), strict=True))
    fit = OrderFit(*(fitted[name] for name in ("order", "order_low", "order_high", "constant")))
    expected = expect.get("displacement", {})
    values = {"over": "eps", "expected": expected.get("order", np.nan), **fitted}
    rows = [
        Row(
            {
                "rate": float(point["path_rate"]),
                "rate_of_the_fit": float(point["path_fit"]),
                "asymptotic_rate": 0.0 - min(0.5, at["beta"]),
            },
            at=at,
        )
        for at, point in grid_points(dataset, ["beta"])
    ]
    return (
        Table("double_limit", _FIT, (Row(values, judge_order(fit, expected), "displacement"),)),
        Table("double_limit_paths", _PATHS, tuple(rows)),
    )


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
            "state_mean": (("n_neurons", "eps", "replica", "time", "site", "variable"), mean),
            "reference_state_mean": (
                ("n_neurons", "eps", "time", "site", "variable"),
                mean[:, :, 0] * 0.0,
            ),
        },
        {"n_neurons": n, "eps": eps, "time": [1.0], "site": [0.0], "variable": ["voltage"]},
    )
    options = {
        "after": 0.0,
        "of": "voltage",
        "below": 0.0,
        "resamples": 20,
        "bootstrap_seed": 0,
    }
    # 9 points with a relative error of sqrt(2/400) = .07 in the squares.
    checks = [
        ("displacement", {"estimate": "noise_constant"}, 2.0, 0.15),
        ("displacement", {"estimate": "order"}, 1.0, 0.15),
    ]
    return [(dataset, options, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "reference_state_mean")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("double_error", "displacement", "path_rate", "path_fit")


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse grids without the axes n_neurons and eps, or with too few points for a fit.

    Raises
    ------
    StudyError
    """
    for name in ("n_neurons", "eps"):
        if sizes.get(name, 0) < 3:
            raise StudyError("", f"axis {name} of {sizes.get(name, 0)} values", "3 at least")


STATISTIC = Statistic(
    summary="Errors over n and eps together: constants of both, and rates along joint paths.",
    source="Quininao & Touboul 2020, discussion; docs/mean-field.md",
    options=(
        AFTER,
        Param("of", "voltage", doc="state variable", kind="text"),
        Param("below", 0.0, doc="fit eps up to this only (0: all)", low=0.0),
        Param("resamples", 200, doc="bootstrap resamples", kind="integer", low=10, high=10**5),
        Param("bootstrap_seed", 0, doc="seed of the bootstrap", kind="integer", low=0),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    check=check,
    tables=("double_limit", "double_limit_paths"),
)
