r"""The concentration profile: eps log(density) against its limit.

For each state variable x with limit law N(alpha, s^2) (voltage: s^2 = eps, recovery: eps/a),

    prediction  -eps (x - alpha)^2 / (2 s^2)   =  -(v - alpha)^2/2,  -a (w - beta)^2/2
    measured     prediction + eps log( counts / expected counts ),

expected counts being the exact probability of each histogram bin under N(alpha, s^2), so neither
bin width nor the normalisation eps/2 log(2 pi s^2) leaves a trace.  (The caption of Fig. 6.1
prints 1/2 log(2 pi eps) without the factor eps, which would not vanish with eps.)

``x_profile`` is the root mean square of measured - prediction over the bins within ``within``
standard deviations (not the sup, whose bias under sampling noise no resampling removes). Its
order: the law is N(alpha + eps v1, s^2 (1 + O(eps))) times a cubic correction of relative order
eps^(3/2), hence log(density ratio) = eps^(1/2) v1 u + O(eps) with u = (x - alpha)/s, and eps
times that is O(eps^(3/2)). ``x_shape`` is the same distance with the prediction moved to the
network's own mean: what remains is O(eps) in log(density ratio), O(eps^2) in all. Replicas enter
as jackknife pseudo-values: their mean is the value of the pooled histogram freed of its leading
bias, their scatter its error.

Source: Quininao & Touboul 2020, eq. (6.5), Fig. 6.1; order: docs/science.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtr

from neurolim.core import Param, Statistic
from neurolim.statistics._common import (
    AFTER,
    parameter,
    standard_normal_network,
    variables,
    window,
)

#: Bins in which the limit law expects fewer neurons, all replicas together, are not shown.
_FEWEST = 20.0


def apply(dataset: xr.Dataset, *, after: float, eps: str, within: float) -> xr.Dataset:
    """Return measured and predicted profiles and the distance between them.

    Parameters
    ----------
    dataset : histogram, scale, mean, reference_mean, reference_spread, status
    after : records later than this are pooled, time
    eps : name of the small parameter
    within : the distance is taken over bins within this many limit standard deviations

    Returns
    -------
    per state variable x: ``x_log_density``, ``x_log_prediction``, ``x_log_offset`` (x - alpha),
    ``x_log_error`` (standard error) [grid, bin], and ``x_profile`` [grid, replica]
    """
    chosen = window(dataset, after)
    small = parameter(dataset, eps)
    n = parameter(dataset, "n_neurons")
    centres = dataset["bin"]
    half = 0.5 * float(centres[1] - centres[0])
    found: dict[str, xr.DataArray] = {}
    for name in variables(dataset):
        here = chosen.sel(variable=name, drop=True)
        width = here["reference_spread"].where(here["reference_spread"] > 0)
        scale = here["scale"].where(here["scale"] > 0)
        # Bin edges in units of the predicted law, about its own centre.
        shift = (here["mean"] - here["reference_mean"]) / width
        ratio = scale / width
        expected = xr.apply_ufunc(
            _probability,
            shift + ratio * (centres - half),
            shift + ratio * (centres + half),
        )
        about_own_mean = xr.apply_ufunc(
            _probability, ratio * (centres - half), ratio * (centres + half)
        )
        valid = here["status"] == 0
        pooled = ("time", "site")
        counts = here["histogram"].sum(pooled).where(valid, 0)
        spread = width.mean(pooled)
        offset = ((here["mean"] - here["reference_mean"] + scale * centres).where(valid)).mean(
            (*pooled, "replica")
        )
        hoped = (n * expected).sum(pooled).where(valid, 0.0)
        deviation, error, profile = _deviations(
            counts, hoped, valid, small, abs(offset) <= within * spread
        )
        _, _, shape = _deviations(
            counts,
            (n * about_own_mean).sum(pooled).where(valid, 0.0),
            valid,
            small,
            abs(centres) * scale.mean(("site", "replica")) <= within * spread,
        )
        prediction = (-small * offset**2 / (2.0 * spread**2)).where(deviation.notnull())
        found |= {
            f"{name}_log_density": _named(prediction + deviation, f"eps log density of {name}"),
            f"{name}_log_prediction": _named(prediction, f"limit of eps log density of {name}"),
            f"{name}_log_offset": _named(offset, f"{name} minus its limit"),
            f"{name}_log_error": _named(error, f"standard error of eps log density of {name}"),
            f"{name}_profile": _named(profile, f"rms of eps log density of {name} minus its limit"),
            f"{name}_shape": _named(
                shape, f"rms of eps log density of {name} minus a limit law about its own mean"
            ),
        }
    lead = [dim for dim in dataset["status"].dims if dim != "replica"]
    return xr.Dataset(
        {
            key: value.transpose(*[d for d in (*lead, "replica", "bin") if d in value.dims])
            for key, value in found.items()
        }
    )


def _deviations(
    counts: xr.DataArray,
    hoped: xr.DataArray,
    valid: xr.DataArray,
    small: xr.DataArray,
    inside: xr.DataArray,
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return eps log(counts/hoped) with its jackknife error [grid, bin] and rms [grid, replica].

    Parameters
    ----------
    counts, hoped : neurons per bin, found and expected [grid, replica, bin]
    valid : replicas that did not fail [grid, replica]
    small : eps
    inside : bins over which the rms is taken [grid, bin]
    """
    total, total_hoped = counts.sum("replica"), hoped.sum("replica")
    populated = total_hoped >= _FEWEST
    deviation = (small * _log_ratio(total, total_hoped)).where(populated)
    without = small * _log_ratio(total - counts, total_hoped - hoped)
    without = without.where(populated & valid)
    replicas = valid.sum("replica")
    scatter = (without - without.mean("replica")) ** 2
    error = (((replicas - 1) / replicas * scatter.sum("replica")) ** 0.5).where(populated)
    whole = (deviation**2).where(inside).mean("bin") ** 0.5
    partial = (without**2).where(inside).mean("bin") ** 0.5
    return deviation, error, (replicas * whole - (replicas - 1) * partial).where(valid)


def _probability(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return P(low < Z < high) for a standard normal, without cancellation in the upper tail."""
    flip = low > 0
    return np.where(flip, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))


def _log_ratio(counts: xr.DataArray, expected: xr.DataArray) -> xr.DataArray:
    """Return log(counts/expected), NaN where either is zero."""
    positive = (counts > 0) & (expected > 0)
    ratio = counts.where(positive) / expected.where(positive)
    return ratio.copy(data=np.log(ratio.values))


def _named(array: xr.DataArray, long_name: str) -> xr.DataArray:
    return array.assign_attrs(long_name=long_name, units="1")


def exact() -> list[Any]:
    """Return samples of N(0, eps (1 + eps)), whose log density ratio is known in every bin."""
    eps, replicas, n = 0.2, 20, 20000
    dataset = standard_normal_network([eps, 0.1], replicas, n, 2, widening=1.0)
    edges = np.linspace(-2.0, 2.0, 21)
    ratio = np.diff(ndtr(edges / np.sqrt(1.0 + eps))) / np.diff(ndtr(edges))
    rms = eps * float(np.sqrt(np.mean(np.log(ratio) ** 2)))
    # Each bin holds some 1e4 counts: 1 % in its ratio, far less in the mean over bins.
    checks = [
        ("x_profile", {"eps": eps}, rms, 0.01 * eps),
        ("x_shape", {"eps": eps}, rms, 0.01 * eps),
    ]
    return [(dataset, {"after": 0.0, "eps": "eps", "within": 2.0}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("histogram", "scale", "mean", "reference_mean", "reference_spread", "status")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    kinds = ("log_density", "log_prediction", "log_offset", "log_error", "profile", "shape")
    return tuple(f"{name}_{kind}" for name in state for kind in kinds)


STATISTIC = Statistic(
    summary="eps log(density) against the Gaussian profile of the limit.",
    source="Quininao & Touboul 2020, eq. (6.5), Fig. 6.1",
    options=(
        AFTER,
        Param("eps", "eps", doc="name of the small parameter", kind="parameter"),
        Param("within", 2.0, doc="standard deviations covered by the distance", positive=True),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
