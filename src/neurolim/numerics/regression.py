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
from scipy import special

#: A level whose standard error exceeds this share of its value says nothing about an order.
NOISE_SHARE = 1.0 / 3.0
#: |D| eps at the coarsest level stays below this: beyond, order and correction look the same.
STRONGEST_CORRECTION = 10.0
#: Relative errors below this are rounding, not information.
ROUNDING = 2.0**-50
#: How far an interval is followed, in half widths of the straight line's.
_FARTHEST = 1e3
#: Places looked at, twice: the second time between two of the first.
_PLACES = 50
#: Steps of Newton's method from within 8 % of D: five reach rounding, the rest are for odd sets.
_NEWTON_STEPS = 12


class Levels(NamedTuple):
    """Errors at the levels, [n_levels] each.

    error : |mean over replicas|;  standard_error : of that mean, 0 for deterministic values, NaN
        for a single random one
    reason : "" if the level is used, otherwise "failed", "zero", "one sample" or "noise"
    kept : per level the values the error was taken from
    """

    error: np.ndarray
    standard_error: np.ndarray
    reason: list[str]
    kept: list[np.ndarray]

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


def measure_levels(
    samples: Sequence[np.ndarray], common: bool = False, replicated: bool | None = None
) -> Levels:
    """Return error and standard error of each level and whether it can be used.

    Parameters
    ----------
    samples : per level the signed values of the replicas [n_replicas]; NaN marks a failed run
    common : levels share their noise: a replica that failed at one used level is left out of
        all of them, so that replicas stay paired (equal numbers needed)
    replicated : values are replicas of something random, of which one alone tells no error; by
        default they are unless every level came with a single value
    """
    values = [np.asarray(level, dtype=float) for level in samples]
    sizes = {len(level) for level in values}
    if replicated is None:
        replicated = sizes != {1}
    measured = _measure(values, replicated)
    if not (common and len(sizes) == 1 and measured.used.any()):
        return measured
    used = measured.used
    whole = np.isfinite(np.stack(values)[used]).all(axis=0)
    paired = [
        np.where(whole, level, np.nan) if use else level
        for level, use in zip(values, used, strict=True)
    ]
    return _measure(paired, replicated)


def _measure(values: Sequence[np.ndarray], replicated: bool) -> Levels:
    """Return the levels of ``values``, each taken on its own."""
    kept = [level[np.isfinite(level)] for level in values]
    errors, standard_errors, reasons = [], [], []
    for finite in kept:
        error = abs(float(finite.mean())) if finite.size else np.nan
        standard_error = np.nan if replicated else 0.0
        if finite.size > 1:
            standard_error = float(finite.std(ddof=1)) / np.sqrt(finite.size)
            if standard_error < ROUNDING * error:
                standard_error = 0.0
        if not finite.size:
            reasons.append("failed")
        elif error == 0.0:
            reasons.append("zero")
        elif np.isnan(standard_error):
            reasons.append("one sample")
        else:
            reasons.append("noise" if standard_error > NOISE_SHARE * error else "")
        errors.append(error)
        standard_errors.append(standard_error)
    return Levels(np.array(errors), np.array(standard_errors), reasons, kept)


def pairwise_orders(levels: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return log(e_k/e_{k-1}) / log(eps_k/eps_{k-1}) [n_levels]; NaN for the first level."""
    orders = np.full(len(levels), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        orders[1:] = np.diff(np.log(errors)) / np.diff(np.log(levels))
    return np.where(np.isfinite(orders), orders, np.nan)


class _Curve:
    """Least squares of log errors at fixed levels, for many sets of errors at once.

    The linear part, log C and p (C alone where the order is given), is projected out; what is
    left is a search in the one number D (negative D: the exponent -1).
    """

    def __init__(self, levels: np.ndarray, correction: bool, order: float | None = None) -> None:
        self.levels = levels
        self.known = np.zeros_like(levels) if order is None else order * np.log(levels)
        columns = [np.ones_like(levels)] + ([np.log(levels)] if order is None else [])
        self.design = np.stack(columns, axis=1)
        self.solver = np.linalg.pinv(self.design)
        self.residual_of = np.eye(len(levels)) - self.design @ self.solver
        self.correction = correction
        self.n_terms = len(columns) + int(correction)

    def fit(self, log_errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients [n_sets, 1 or 2] and residuals [n_sets, n_levels].

        Parameters
        ----------
        log_errors : [n_sets, n_levels]; a set that is not finite gives NaN
        """
        targets = log_errors - self.known
        bends = self._search(targets) if self.correction else np.zeros(len(targets))
        straight = targets - self._bend(bends)
        return straight @ self.solver.T, straight @ self.residual_of

    def _bend(self, bends: np.ndarray) -> np.ndarray:
        """Return sign(D) log(1 + |D| eps) [n_bends, n_levels]."""
        return np.sign(bends)[:, None] * np.log1p(np.abs(bends)[:, None] * self.levels)

    def _slope(self, bends: np.ndarray) -> np.ndarray:
        """Return the derivative of the bend with respect to D [n_bends, n_levels]."""
        return self.levels / (1.0 + np.abs(bends)[:, None] * self.levels)

    def _search(self, targets: np.ndarray) -> np.ndarray:
        """Return the best D of each set: the best of a grid, then Newton kept in its bracket."""
        sizes = np.geomspace(0.02, STRONGEST_CORRECTION, 80) / self.levels.max()
        grid = np.concatenate([-sizes[::-1], [0.0], sizes])
        left, right = targets @ self.residual_of, self._bend(grid) @ self.residual_of
        best = np.argmin((right**2).sum(axis=1) - 2.0 * left @ right.T, axis=1)
        low = grid[np.maximum(best - 1, 0)]
        high = grid[np.minimum(best + 1, len(grid) - 1)]
        bends = 0.5 * (low + high)
        for _ in range(_NEWTON_STEPS):
            residuals = left - self._bend(bends) @ self.residual_of
            slope = self._slope(bends)
            # Half the first and second derivative of the sum of squares, the first negated.
            gain = (residuals * slope).sum(axis=1)
            projected = ((slope @ self.residual_of) ** 2).sum(axis=1)
            curvature = projected + np.sign(bends) * (residuals * slope**2).sum(axis=1)
            low, high = np.where(gain > 0.0, bends, low), np.where(gain > 0.0, high, bends)
            with np.errstate(divide="ignore", invalid="ignore"):
                bends = bends + gain / curvature
            inside = (low <= bends) & (bends <= high) & (curvature > 0.0)
            bends = np.where(inside, bends, 0.5 * (low + high))
        return bends


def fit_order(
    levels: np.ndarray,
    samples: Sequence[np.ndarray],
    correction: bool = False,
    common: bool = False,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    replicated: bool | None = None,
) -> OrderFit:
    """Return the observed order of |mean of samples| in the level, with confidence interval.

    Parameters
    ----------
    levels : [n_levels], positive
    samples : per level the signed values of the replicas; one value each if deterministic
    correction : fit the next order (1 + |D| eps)^(+-1) too
    common : levels share their noise: resample replicas jointly (equal numbers needed)
    resamples, confidence, seed : of the bootstrap
    replicated : as in ``measure_levels``

    Returns
    -------
    OrderFit.  With replicas the interval is the bootstrap's, D fitted anew in every resample,
    stretched by t/z quantiles and sqrt(R/(R-1)) for few replicas, and by the Birge ratio
    sqrt(chi2/dof) where the curve does not fit the levels within their errors.  Without noise
    (deterministic values, or replicas that agree) it comes from the residuals: all orders at which
    the best curve, C and D fitted anew, misses the levels by little more.  NaN if fewer than 3
    levels (4 with correction) are usable; an end that is not finite is NaN.
    """
    levels = np.asarray(levels, dtype=float)
    measured = measure_levels(samples, common, replicated)
    used = measured.used
    n_levels = int(used.sum())
    if n_levels < 3 + int(correction):
        return OrderFit(np.nan, np.nan, np.nan, np.nan)
    curve = _Curve(levels[used], correction)
    logs = np.log(measured.error[used])
    ((log_constant, order),), (residuals,) = curve.fit(logs[None])
    freedom = n_levels - curve.n_terms
    tail = 0.5 - confidence / 2

    relative = measured.standard_error[used] / measured.error[used]
    if relative.min() == 0.0:
        scatter = float(np.sqrt(residuals @ residuals / freedom))
        noise = max(scatter, ROUNDING * (1.0 + float(np.abs(logs).max())))
        quantile = float(special.stdtrit(freedom, 1 - tail))
        low, high = _likely_orders(curve, logs, float(order), noise, quantile)
    else:
        kept = [values for values, use in zip(measured.kept, used, strict=True) if use]
        drawn = _resampled_means(kept, common, resamples, seed)
        with np.errstate(divide="ignore", invalid="ignore"):
            orders = curve.fit(np.log(np.abs(drawn)))[0][:, 1]
        fewest = min(len(values) for values in kept)
        stretch = (special.stdtrit(fewest - 1, 1 - tail) / special.ndtri(1 - tail)) * np.sqrt(
            fewest / (fewest - 1)
        )
        stretch *= max(
            1.0, float(np.sqrt(np.mean((residuals / relative) ** 2) * n_levels / freedom))
        )
        # A resample whose mean is exactly zero has no logarithm, and leaves no finite interval.
        ends = np.quantile(orders, (tail, 1 - tail)) if np.isfinite(orders).all() else np.nan
        low, high = order + stretch * (ends - order) * np.ones(2)
    return OrderFit(float(order), float(low), float(high), float(np.exp(log_constant)))


def _likely_orders(
    curve: _Curve, logs: np.ndarray, order: float, noise: float, quantile: float
) -> tuple[float, float]:
    """Return the ends of {p : S(p) - S <= (quantile noise)^2}, S(p) the least squares at order p.

    For a straight line this is order +- quantile noise (X^T X)^(-1/2); with correction it is wider
    and not symmetric, because D makes up for part of a wrong order.  NaN: no end within reach.
    """
    half = quantile * noise * float(np.linalg.norm(curve.solver[1]))
    if not curve.correction:
        return order - half, order + half
    held = _Curve(curve.levels, True, order=0.0)
    allowed = float((curve.fit(logs[None])[1] ** 2).sum()) + (quantile * noise) ** 2

    def excess(orders: np.ndarray) -> np.ndarray:
        squares = held.fit(logs - orders[:, None] * np.log(curve.levels))[1] ** 2
        return squares.sum(axis=1) - allowed

    def end(side: float) -> float:
        places = order + side * np.geomspace(1.0, _FARTHEST, _PLACES)
        for finer in (False, True):
            inside = excess(places) <= 0.0
            # But for rounding the first place is inside, for there D may stay as it is, and the
            # last of the finer ones is outside, as it was before.
            inside[0], inside[-1] = True, inside[-1] and not finer
            last = int(np.flatnonzero(inside)[-1])
            if last == _PLACES - 1:
                return np.nan
            places = np.linspace(places[last], places[last + 1], _PLACES)
        return float(places.mean())

    return end(-half), end(half)


def fit_constant(
    levels: np.ndarray, errors: np.ndarray, order: float, correction: bool = False
) -> float:
    """Return C of the best curve through errors [n_levels] with the order held fixed."""
    (log_constant,) = _Curve(levels, correction, order).fit(np.log(errors)[None])[0][0]
    return float(np.exp(log_constant))


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
