r"""Wasserstein distances between the laws of the two copies, from recorded pairs.

    W1 of each variable      exactly, by sorting (mean |x_(i) - x'_(i)|)
    W1 of the pair (v, g)    exactly for equal samples, metric l1, by linear assignment
    W2^2, debiased           W2^2(X, X') - (W2^2(X1, X2) + W2^2(X'1, X'2))/2, halves 1 and 2

The distance of two samples of one law is not zero: ``wasserstein_floor`` is the mean distance
between halves of each sample, scaled from n/2 to n points by the rate n^(-1/2) that holds up to a
logarithm in two dimensions.  ``wasserstein_rate`` is fitted only while the distance is above three
times that floor, and is NaN where fewer than four records are.

Source: Bonneel, Rabin, Peyre & Pfister 2015, sec. 2 (sorting); Crouse 2016 (assignment); Ajtai,
Komlos & Tusnady 1984 (rate in two dimensions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from neurolim.core import Param, Statistic, StudyError
from neurolim.statistics.parts.common import labelled

Metric = Literal["cityblock", "sqeuclidean"]
_ABOVE_FLOOR = 3.0
_LABELS = {
    "wasserstein_1": ("state", "W1 distance of the samples, by sums of absolute differences"),
    "wasserstein_marginal": ("state", "W1 distance of the marginals"),
    "wasserstein_2_squared": ("state^2", "square of the W2 distance, freed of its floor"),
    "wasserstein_floor": ("state", "W1 distance of two samples of one law"),
    "wasserstein_rate": ("1/time", "rate of decay of the W1 distance"),
}


def assignment_cost(x: np.ndarray, y: np.ndarray, metric: Metric) -> float:
    """Return the mean cost of the optimal matching of two samples of equal size.

    Parameters
    ----------
    x, y : [n, d]
    metric : "cityblock" (W1 in l1) or "sqeuclidean" (W2 squared)
    """
    costs = cdist(x, y, metric)
    return float(costs[linear_sum_assignment(costs)].mean())


def _halves(x: np.ndarray, metric: Metric) -> float:
    half = len(x) // 2
    return assignment_cost(x[:half], x[half : 2 * half], metric)


def apply(dataset: xr.Dataset, *, points: int) -> xr.Dataset:
    """Return distances [grid, replica, time], their floor, and the rate of decay [grid, replica].

    Parameters
    ----------
    dataset : ``sample`` of the solver ``pairs``
    points : of each sample that are used
    """
    sample = dataset["sample"].isel(site=0, pair=slice(0, points))
    sample = sample.transpose(..., "time", "network_copy", "pair", "variable")
    lead = sample.dims[:-3]
    shape = sample.shape[:-3]
    one, two, floor = (np.full(shape, np.nan) for _ in range(3))
    values = sample.values
    for place in np.ndindex(*shape):
        x, y = values[place]
        if not np.isfinite(values[place]).all():
            continue
        one[place] = assignment_cost(x, y, "cityblock")
        own = 0.5 * (_halves(x, "sqeuclidean") + _halves(y, "sqeuclidean"))
        two[place] = assignment_cost(x, y, "sqeuclidean") - own
        between = 0.5 * (_halves(x, "cityblock") + _halves(y, "cityblock"))
        floor[place] = between / np.sqrt(2.0)
    ordered = np.sort(values, axis=-2)
    marginal = np.abs(ordered[..., 0, :, :] - ordered[..., 1, :, :]).mean(axis=-2)
    time = dataset["time"].values
    rate = np.full(shape[:-1], np.nan)
    for place in np.ndindex(*shape[:-1]):
        rate[place] = _rate(time, one[place], floor[place])
    coords = {d: sample[d] for d in lead if d in sample.coords}
    still = {d: c for d, c in coords.items() if d != "time"}
    result = xr.Dataset(
        {
            "wasserstein_1": xr.DataArray(one, coords, lead),
            "wasserstein_marginal": xr.DataArray(
                marginal, coords | {"variable": dataset["variable"]}, (*lead, "variable")
            ),
            "wasserstein_2_squared": xr.DataArray(two, coords, lead),
            "wasserstein_floor": xr.DataArray(floor, coords, lead),
            "wasserstein_rate": xr.DataArray(rate, still, lead[:-1]),
        },
        attrs=dict(dataset.attrs),
    )
    return labelled(result, _LABELS)


def _rate(time: np.ndarray, distance: np.ndarray, floor: np.ndarray) -> float:
    """Return minus the slope of log distance over the leading records above the floor."""
    good = distance > _ABOVE_FLOOR * floor
    last = len(good) if good.all() else int(np.argmin(good))
    if last < 4:
        return np.nan
    return float(-np.polyfit(time[:last], np.log(distance[:last]), 1)[0])


def exact() -> list[Any]:
    """Return samples whose distances are known: a shift, and two samples of one law."""
    generator = np.random.Generator(np.random.PCG64(2))
    n = 200
    cloud = generator.random((n, 2))
    time = np.arange(5.0)
    shift = np.array([3.0, 4.0])
    second = np.stack([cloud + shift * np.exp(-0.1 * t) for t in time])
    first = np.broadcast_to(cloud, second.shape)
    sample = np.stack([first, second])[None, :, :, None].transpose(0, 1, 2, 3, 5, 4)
    dims = ("replica", "network_copy", "time", "site", "variable", "pair")
    coords = {
        "time": time,
        "variable": ["x", "y"],
        "network_copy": ["first", "second"],
        "site": [0.0],
    }
    at = {"time": 0.0}
    return [
        (
            # A shift is its own optimal map: W1 = 3 + 4, and it decays at the rate .1.
            xr.Dataset({"sample": (dims, sample)}, coords),
            {"points": n},
            [
                ("wasserstein_1", at, 7.0, 1e-9),
                ("wasserstein_marginal", at | {"variable": "y"}, 4.0, 1e-9),
                ("wasserstein_rate", {}, 0.1, 1e-9),
                # W2^2 = 25 less what halves of 100 points in the unit square differ by: about
                # log(n)/(2 pi n) for each matching.
                ("wasserstein_2_squared", at, 25.0 - np.log(100) / (2 * np.pi * 100), 0.02),
            ],
        )
    ]


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse more points than were recorded."""
    if options["points"] > sizes["pair"]:
        raise StudyError(
            "points", f"{options['points']} of {sizes['pair']} recorded", "at most samples"
        )


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("sample",)


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return tuple(_LABELS)


STATISTIC = Statistic(
    summary="Exact Wasserstein distances between recorded samples, with their floor.",
    source="Bonneel et al. 2015, sec. 2 (sorting); Crouse 2016 (assignment)",
    options=(Param("points", 500, doc="points of each sample", kind="integer", low=8, high=2000),),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    check=check,
)
