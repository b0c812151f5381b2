"""Observed orders of convergence with honest uncertainty.

An error measured at levels eps_k is fitted by

    |error| = C eps^p    or, with ``correction``,    |error| = C eps^p (1 + |D| eps)^(+-1),

by unweighted least squares of logarithms: weights from statistical errors would favour the coarse
levels, which are the least asymptotic.  The correction is the next order for levels not yet in the
asymptotic regime; its rational form is what a relaxation rate 1/eps + O(1) gives exactly, and it
stays finite where the exponential or linear form does not.  Uncertainty comes from resampling
replicas, not from the line.

Source: Eca & Hoekstra 2014 (fits of observed orders); Davison & Hinkley 1997, ch. 5 (bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

#: A level whose standard error exceeds this share of its value says nothing about an order.
NOISE_SHARE = 1.0 / 3.0
#: An interval wider than this decides nothing between the orders theory proposes.
WIDEST = 0.5
#: |D| eps at the coarsest level stays below this: beyond, order and correction look the same.
STRONGEST_CORRECTION = 10.0


class Levels(NamedTuple):
    """Errors at the levels, [n_levels] each.

    error : |mean over replicas|;  standard_error : of that mean (NaN for a single sample)
    reason : "" if the level is used, otherwise "failed", "zero" or "noise"
    """

    error: np.ndarray
    standard_error: np.ndarray
    reason: list[str]

    @property
    def used(self) -> np.ndarray:
        """Return which levels enter a fit [n_levels]."""
        return np.array([not reason for reason in self.reason], dtype=bool)


class OrderFit(NamedTuple):
    """Order with confidence interval and constant C; NaN where the levels do not allow a fit."""

    order: float
    low: float
    high: float
    constant: float


def measure_levels(samples: Sequence[np.ndarray]) -> Levels:
    """Return error and standard error of each level and whether it can be used.

    Parameters
    ----------
    samples : per level the signed values of the replicas [n_replicas]; NaN marks a failed run
    """
    errors, standard_errors, reasons = [], [], []
    for values in samples:
        finite = np.asarray(values, dtype=float)
        finite = finite[np.isfinite(finite)]
        error = abs(float(finite.mean())) if finite.size else np.nan
        single = finite.size < 2
        standard_error = np.nan if single else float(finite.std(ddof=1)) / np.sqrt(finite.size)
        if not np.isfinite(error):
            reasons.append("failed")
        elif error == 0.0:
            reasons.append("zero")
        elif not single and standard_error > NOISE_SHARE * error:
            reasons.append("noise")
        else:
            reasons.append("")
        errors.append(error)
        standard_errors.append(standard_error)
    return Levels(np.array(errors), np.array(standard_errors), reasons)


def pairwise_orders(levels: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return log(e_k/e_{k-1}) / log(eps_k/eps_{k-1}) [n_levels]; NaN for the first level."""
    orders = np.full(len(levels), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        orders[1:] = np.diff(np.log(errors)) / np.diff(np.log(levels))
    return np.where(np.isfinite(orders), orders, np.nan)


class _Curve:
    """Least squares of log errors at fixed levels, for many sets of errors at once."""

    def __init__(self, levels: np.ndarray, correction: bool) -> None:
        self.logs = np.log(levels)
        self.design = np.stack([np.ones_like(levels), self.logs], axis=1)
        self.solver = np.linalg.pinv(self.design)
        bends = np.array([0.0])
        if correction:
            sizes = np.geomspace(0.02, STRONGEST_CORRECTION, 80) / levels.max()
            bends = np.concatenate([-sizes[::-1], [0.0], sizes])
        #: Possible corrections +-log(1 + |D| eps), [n_bends, n_levels]
        self.bends = np.sign(bends)[:, None] * np.log1p(np.abs(bends)[:, None] * levels)
        self.n_terms = 2 + int(correction)

    def orders(self, log_errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return orders [n_sets] and residuals [n_sets, n_levels] of log errors [n_sets, ..]."""
        residual_of = np.eye(len(self.logs)) - self.design @ self.solver
        left, right = log_errors @ residual_of, self.bends @ residual_of
        squares = (right**2).sum(axis=1) - 2.0 * left @ right.T
        best = np.argmin(squares, axis=1)
        straight = log_errors - self.bends[best]
        return straight @ self.solver[1], left - right[best]

    def constant(self, log_errors: np.ndarray, order: float) -> float:
        """Return C of the best curve [n_levels] with the order held fixed."""
        rest = log_errors - order * self.logs - self.bends
        best = np.argmin(rest.var(axis=1))
        return float(np.exp(rest[best].mean()))


def fit_order(
    levels: np.ndarray,
    samples: Sequence[np.ndarray],
    correction: bool = False,
    common: bool = False,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    expected: float | None = None,
) -> OrderFit:
    """Return the observed order of |mean of samples| in the level, with confidence interval.

    Parameters
    ----------
    levels : [n_levels], positive
    samples : per level the signed values of the replicas; one value each if deterministic
    correction : fit the next order (1 + |D| eps)^(+-1) too
    common : levels share their noise: resample replicas jointly (equal numbers needed)
    resamples, confidence, seed : of the bootstrap
    expected : order at which the constant is fitted; the fitted order if None

    Returns
    -------
    OrderFit.  With replicas the interval is the bootstrap's, stretched by t/z quantiles and
    sqrt(R/(R-1)) for few replicas, and by the Birge ratio sqrt(chi2/dof) where the curve does not
    fit the levels within their errors.  Without replicas it comes from the residuals.  NaN if
    fewer than 3 levels (4 with correction) are usable.
    """
    levels = np.asarray(levels, dtype=float)
    measured = measure_levels(samples)
    used = measured.used
    curve = _Curve(levels[used], correction) if used.any() else None
    n_levels = int(used.sum())
    if curve is None or n_levels < curve.n_terms + 1:
        return OrderFit(np.nan, np.nan, np.nan, np.nan)
    logs = np.log(measured.error[used])
    (order,), (residuals,) = curve.orders(logs[None])
    freedom = n_levels - curve.n_terms

    relative = measured.standard_error[used] / measured.error[used]
    if np.isnan(relative).any():
        variance = float(residuals @ residuals) / freedom
        half = stats.t.ppf(0.5 + confidence / 2, freedom) * np.sqrt(
            variance * float(curve.solver[1] @ curve.solver[1])
        )
        low, high = order - half, order + half
    else:
        kept = [np.asarray(s, dtype=float) for s, use in zip(samples, used, strict=True) if use]
        kept = [values[np.isfinite(values)] for values in kept]
        drawn = _resampled_means(kept, common, resamples, seed)
        with np.errstate(divide="ignore"):
            orders, _ = curve.orders(np.log(np.abs(drawn)))
        fewest = min(len(values) for values in kept)
        tail = 0.5 - confidence / 2
        stretch = (stats.t.ppf(1 - tail, fewest - 1) / stats.norm.ppf(1 - tail)) * np.sqrt(
            fewest / (fewest - 1)
        )
        stretch *= max(
            1.0, float(np.sqrt(np.mean((residuals / relative) ** 2) * n_levels / freedom))
        )
        low, high = (
            order + stretch * (float(np.quantile(orders, q)) - order) for q in (tail, 1 - tail)
        )
    constant = curve.constant(logs, order if expected is None else expected)
    return OrderFit(float(order), float(low), float(high), constant)


def _resampled_means(
    kept: Sequence[np.ndarray], common: bool, resamples: int, seed: int
) -> np.ndarray:
    """Return means of resampled replicas [resamples, n_levels]."""
    generator = np.random.Generator(np.random.PCG64(seed))
    joint = common and len({len(values) for values in kept}) == 1
    means = []
    shared = generator.integers(0, len(kept[0]), (resamples, len(kept[0]))) if joint else None
    for values in kept:
        places = (
            shared
            if shared is not None
            else generator.integers(0, len(values), (resamples, len(values)))
        )
        means.append(values[places].mean(axis=1))
    return np.stack(means, axis=1)


def verdict(fit: OrderFit, expected: float | None, tolerance: float = 0.0) -> str:
    """Return whether the measured interval contains the expected order, in words.

    Starts with "contains", "excludes" or "inconclusive".
    """
    if not np.isfinite(fit.order):
        return "inconclusive: too few usable levels"
    if fit.high - fit.low > WIDEST:
        return f"inconclusive: interval wider than {WIDEST:g}"
    if expected is None:
        return "inconclusive: no order expected"
    if fit.low - tolerance <= expected <= fit.high + tolerance:
        inside = fit.low <= expected <= fit.high
        return "contains" if inside else f"contains (within tolerance {tolerance:g})"
    return f"excludes: {'above' if fit.low > expected else 'below'} the expected order"
