r"""Quantiles of the neurons about their mean, at every record.

From the histogram of (x - site mean)/scale, linear within a bin; where the limit law of a variable
has no width, and so no histogram, those of a Gaussian with the measured variance.

    q(p) = mean + scale F^{-1}(p)        or        q(p) = mean + sqrt(Var) Phi^{-1}(p)

Error: a bin's width at most, about (bin width)^2/8 |density'/density| in between; sampling
sqrt(p(1 - p)/n)/density.  A quantile in the outermost bins, which hold what is beyond, is NaN.

Source: definition; the bands of Quininao & Touboul 2020, Figs 7.1, 7.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from neurolim.core import Param, Statistic
from neurolim.statistics._common import standard_normal_network


def apply(dataset: xr.Dataset, *, levels: tuple[float, ...]) -> xr.Dataset:
    """Return ``quantile`` [grid, replica, time, site, variable, level].

    Parameters
    ----------
    dataset : mean, covariance, histogram, scale
    levels : probabilities in (0, 1)
    """
    mean = dataset["mean"]
    dims = (*mean.dims, "level")
    counts = dataset["histogram"].transpose(*mean.dims, "bin").values.astype(float)
    centres = dataset["bin"].values
    width = float(centres[1] - centres[0]) if centres.size > 1 else 1.0
    edges = np.append(centres - 0.5 * width, centres[-1] + 0.5 * width)
    total = counts.sum(axis=-1)
    share = np.concatenate([np.zeros((*total.shape, 1)), counts.cumsum(axis=-1)], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = share / total[..., None]
    scale = dataset["scale"].broadcast_like(mean).transpose(*mean.dims).values
    variance = np.stack(
        [
            dataset["covariance"].sel(variable=name, variable_b=name).values
            for name in dataset["variable"].values
        ],
        axis=-1,
    )
    found = np.full((*mean.shape, len(levels)), np.nan)
    for place, level in enumerate(levels):
        above = np.argmax(share >= level, axis=-1)
        inside = (above > 1) & (above < centres.size) & (total > 0)
        below = np.maximum(above - 1, 0)
        low = np.take_along_axis(share, below[..., None], -1)[..., 0]
        high = np.take_along_axis(share, above[..., None], -1)[..., 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            at = edges[below] + width * (level - low) / (high - low)
        from_histogram = np.where(inside, scale * at, np.nan)
        gaussian = np.sqrt(np.maximum(variance, 0.0)) * stats.norm.ppf(level)
        found[..., place] = mean.values + np.where(scale > 0.0, from_histogram, gaussian)
    coords = {name: dataset[name] for name in mean.coords} | {"level": list(levels)}
    text = {"units": "state", "long_name": "quantile over neurons"}
    return xr.Dataset({"quantile": (dims, found, text)}, coords)


def exact() -> list[Any]:
    """Return samples of N(0, eps): quantiles sqrt(eps) Phi^-1(p)."""
    n, replicas = 4000, 16
    dataset = standard_normal_network([0.25], replicas, n, 3)
    checks = []
    for level in (0.1, 0.25, 0.75, 0.9):
        z = float(stats.norm.ppf(level))
        sampling = np.sqrt(level * (1.0 - level) / (n * replicas * 2)) / stats.norm.pdf(z)
        # The sampling error is smaller about the sample's own mean; a bin is .2 scales wide.
        tolerance = 0.5 * (4.0 * float(sampling) + 0.2**2 / 8.0 * abs(z))
        place = {"eps": 0.25, "site": 0.0, "variable": "x", "level": level}
        checks.append(("quantile", place, 0.5 * z, tolerance))
    return [(dataset, {"levels": (0.1, 0.25, 0.75, 0.9)}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("mean", "covariance", "histogram", "scale")


STATISTIC = Statistic(
    summary="Quantiles of the neurons at every record.",
    source="definition; Quininao & Touboul 2020, Figs 7.1, 7.2",
    options=(
        Param(
            "levels",
            (0.1, 0.25, 0.75, 0.9),
            doc="probabilities",
            kind="vector",
            low=0.001,
            high=0.999,
        ),
    ),
    needs=needs,
    gives=lambda options, state: ("quantile",),
    apply=apply,
    exact=exact,
)
