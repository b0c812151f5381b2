r"""The concentration profile: eps log(density) against its limit.

For each state variable x with limit law N(alpha, s^2) (voltage: s^2 = eps, recovery: eps/a),

    prediction  -eps (x - alpha)^2 / (2 s^2)   =  -(v - alpha)^2/2,  -a (w - beta)^2/2
    measured     prediction + eps log( counts / expected counts ),

expected counts being the exact probability of each histogram bin under N(alpha, s^2), so neither
bin width nor the normalisation eps/2 log(2 pi s^2) leaves a trace. Histograms are taken about the
mean of their own network, which wanders by O(n^(-1/2)); expected counts are placed by its average
over replicas, and have the variance s^2 (1 - 1/n) of n neurons about their mean. (The caption of
Fig. 6.1 prints 1/2 log(2 pi eps) without the factor eps, which would not vanish with eps.)

``x_profile`` is the root mean square of measured - prediction over the bins within ``within``
standard deviations (not the sup, whose bias under sampling noise no resampling removes). The
square of a noisy deviation has the noise's variance as a floor, so the mean square is taken over
pairs of different replicas r, q, which are independent:

    S = average over bins and pairs r != q of  d_r d_q,      x_profile = sign(S) sqrt|S|,

d_r being the jackknife pseudo-values of the pooled deviation. S is unbiased up to the square of
the logarithm's own bias, O(1/counts^2); without any deviation it scatters about zero. Replicas
enter as the pseudo-values of S carried through the root: their mean is x_profile, their scatter
its error. Where S is not ``_CLEAR`` standard errors above zero the root has no linear error; the
relative error of S stands in its place, so that such a level counts as lost in noise.

The order: the law is N(alpha + eps v1, s^2 (1 + O(eps))) times a cubic correction of relative order
eps^(3/2), hence log(density ratio) = eps^(1/2) v1 u + O(eps) with u = (x - alpha)/s, and eps
times that is O(eps^(3/2)). ``x_shape`` is the same distance with the prediction moved to the
network's own mean: what remains is O(eps) in log(density ratio), O(eps^2) in all.

Source: Quininao & Touboul 2020, eq. (6.5), Fig. 6.1; order: docs/science.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtr

from neurolim.core import Param, Statistic, StudyError
from neurolim.statistics.parts.common import (
    AFTER,
    parameter,
    standard_normal_network,
    variables,
    window,
)

#: Bins in which the limit law expects fewer neurons, all replicas together, are not shown.
_FEWEST = 20.0
_POOLED = ("time", "site")
#: Standard errors above zero from which a mean square has a root with a linear error; the same as
#: in the rule by which levels are lost in noise (numerics.regression.NOISE_SHARE).
_CLEAR = 3.0
#: Replicas without which a mean square over pairs has no error.
_FEWEST_REPLICAS = 3


def apply(dataset: xr.Dataset, *, after: float, eps: str, within: float) -> xr.Dataset:
    """Return measured and predicted profiles and the distance between them.

    Parameters
    ----------
    dataset : histogram, scale, state_mean, reference_state_mean, reference_spread, status
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
        valid = here["status"] == 0
        replicas = valid.sum("replica")
        scale = here["scale"].where(valid & (here["scale"] > 0)).mean("replica")
        # Histograms are about the network's own mean. Where that lies on average, of all replicas
        # and of all but each: its wandering at finite n is no width of the law. Neurons minus
        # their mean are narrower than the law by the mean's own share.
        narrowed = width * (1.0 - 1.0 / n) ** 0.5
        shift = ((here["state_mean"] - here["reference_state_mean"]) / narrowed).where(valid)
        mean_shift = shift.mean("replica")
        others = (replicas * mean_shift - shift) / (replicas - 1).where(replicas > 1)
        low, high = (scale * (centres + side) / narrowed for side in (-half, half))
        counts = here["histogram"].sum(_POOLED).where(valid, 0)
        spread = width.mean(_POOLED)
        centre = (here["state_mean"] - here["reference_state_mean"]).where(valid).mean("replica")
        offset = (centre + scale * centres).mean(_POOLED)

        deviation, error, profile = _deviations(
            counts,
            _expected(n, mean_shift + low, mean_shift + high),
            _expected(n, others + low, others + high),
            valid,
            small,
            abs(offset) <= within * spread,
        )
        own = _expected(n, low, high)
        _, _, shape = _deviations(
            counts,
            own,
            own,
            valid,
            small,
            abs(centres) * scale.mean("site") <= within * spread,
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
    hoped_of_others: xr.DataArray,
    valid: xr.DataArray,
    small: xr.DataArray,
    inside: xr.DataArray,
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return eps log(counts/hoped), its jackknife error [grid, bin], its rms [grid, replica].

    Parameters
    ----------
    counts : neurons per bin and replica [grid, replica, bin]
    hoped : what the limit law expects of a replica [grid, bin]
    hoped_of_others : the same as seen by all replicas but one [grid, bin] or [grid, replica, bin]
    valid : replicas that did not fail [grid, replica]
    small : eps
    inside : bins over which the rms is taken [grid, bin]
    """
    replicas = valid.sum("replica")
    total, total_hoped = counts.sum("replica"), replicas * hoped
    populated = total_hoped >= _FEWEST
    deviation = (small * _log_ratio(total, total_hoped)).where(populated)
    without = small * _log_ratio(total - counts, (replicas - 1) * hoped_of_others)
    without = without.where(populated & valid)
    scatter = (without - without.mean("replica")) ** 2
    error = (((replicas - 1) / replicas * scatter.sum("replica")) ** 0.5).where(populated)
    pseudo = replicas * deviation - (replicas - 1) * without
    measured = inside & (pseudo.notnull().sum("replica") == replicas)
    distance = _root_mean_square(pseudo.where(measured), replicas, measured.sum("bin"))
    return deviation, error, distance.where(valid)


def _root_mean_square(
    values: xr.DataArray, replicas: xr.DataArray, bins: xr.DataArray
) -> xr.DataArray:
    """Return samples whose mean is the root mean square freed of noise [grid, replica].

    Parameters
    ----------
    values : independent replicas of what is squared, NaN where not measured [grid, replica, bin]
    replicas, bins : how many are measured [grid]
    """
    r, bins = replicas.where(replicas >= _FEWEST_REPLICAS), bins.where(bins > 0)
    # Products of each replica with all others, and of all pairs.
    products = (values * (values.sum("replica") - values)).sum("bin")
    pairs = products.sum("replica")
    mean = pairs / (bins * r * (r - 1))
    without = (pairs - 2.0 * products) / (bins * (r - 1) * (r - 2))
    samples = (r * mean - (r - 1) * without).where(values.notnull().any("bin"))
    root = abs(mean) ** 0.5
    linear = root + (samples - mean) / (2.0 * root)
    clear = mean > _CLEAR * samples.std("replica", ddof=1) / r**0.5
    return xr.where(clear, linear, samples / root.where(root > 0, 1.0))


def _expected(n: xr.DataArray, low: xr.DataArray, high: xr.DataArray) -> xr.DataArray:
    """Return how many of n standard normal neurons lie between low and high, sites pooled."""
    return (n * xr.apply_ufunc(_probability, low, high)).sum(_POOLED)


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
    return array.drop_attrs(deep=False).assign_attrs(long_name=long_name, units="1")


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse fewer replicas than an error over pairs of them needs, and histograms of one bin."""
    if sizes["replica"] < _FEWEST_REPLICAS:
        raise StudyError(
            "replicas",
            f"{sizes['replica']}, too few to tell a profile from noise",
            f"at least {_FEWEST_REPLICAS}",
        )
    if sizes["bin"] < 2:
        raise StudyError("bins", f"{sizes['bin']}, too few for a profile", "at least 2")


def exact() -> list[Any]:
    """Return samples of N(0, eps (1 + eps)), of known log density ratio, and of the limit law."""
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
    options = {"after": 0.0, "eps": "eps", "within": 2.0}
    # Noise alone: the variance of the log ratio in a bin is 1/counts, that of the mean of its
    # square over pairs twice the sum of the variances' squares over the number of bins squared.
    bins, few = 3000, 20000
    noise = standard_normal_network([eps, 0.1], replicas, few, 4, bins=bins)
    edges = np.linspace(-2.0, 2.0, bins // 3 + 1)
    variance = 1.0 / (2 * replicas * few * np.diff(ndtr(edges)))
    tolerance = eps * (3.0 * np.sqrt(2.0 * np.sum(variance**2)) / len(variance)) ** 0.5
    nothing = [(f"x_{what}", {"eps": eps}, 0.0, tolerance) for what in ("profile", "shape")]
    return [(dataset, options, checks), (noise, options, nothing)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "histogram",
        "scale",
        "state_mean",
        "reference_state_mean",
        "reference_spread",
        "status",
    )


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
    check=check,
)
