"""Laws of the intervals between spikes: means, their errors, geometric tails, signatures."""

from __future__ import annotations

import numpy as np
from scipy import special

#: Fewer spikes than this support no statistic.
MIN_SPIKES = 30


MOST_SPIKES = 8


def unbiased_mean(values: np.ndarray, intervals: np.ndarray, runs: int) -> float:
    """Return the mean of a property of intervals, freed of the bias of those cut off (see above).

    Parameters
    ----------
    values, intervals : property and length of every complete interval [n]
    runs : how many runs they come from: as many intervals were cut off
    """
    excess = ((values - values.mean()) * (intervals - intervals.mean())).mean() / intervals.mean()
    return float(values.mean() + runs * excess / values.size)


def neighbours(values: np.ndarray) -> np.ndarray:
    """Return neighbouring values [n - 1, 2]."""
    return np.stack([values[:-1], values[1:]], axis=1).astype(float)


def correlation_of(pairs: np.ndarray) -> float:
    """Return the correlation between the columns of pairs, NaN where one does not vary."""
    if len(pairs) < 3 or (np.ptp(pairs, axis=0) == 0.0).any():
        return float("nan")
    return float(np.corrcoef(pairs.T)[0, 1])


def standard_error(values: np.ndarray, correlation: float) -> float:
    """Return the standard error of a mean of values with this correlation between neighbours."""
    stretch = 1.0 + 2.0 * max(np.nan_to_num(correlation), 0.0)
    return float(values.std(ddof=1) * np.sqrt(stretch / values.size))


def error_of_cv(values: np.ndarray) -> float:
    """Return the jackknife's standard error of the coefficient of variation."""
    n, total, squares = values.size, values.sum(), (values**2).sum()
    mean = (total - values) / (n - 1)
    variance = np.maximum((squares - values**2) / (n - 1) - mean**2, 0.0)
    without = np.sqrt(variance) / mean
    return float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))


def geometric_tail(turns: np.ndarray, largest: int = 6, level: float = 0.05) -> dict[str, float]:
    """Return where the law of N becomes geometric, and its parameter.

    Parameters
    ----------
    turns : values of N [n]
    largest : largest k0 tried
    level : a geometric tail is rejected below this probability

    Returns
    -------
    tail_from, tail_parameter, tail_low, tail_high, tail_chi2, tail_dof, tail_p; the fit with the
    smallest k0 that is not rejected, or the last one tried with at least 30 values
    """
    names = ("from", "parameter", "low", "high", "chi2", "dof", "p")
    found = dict.fromkeys((f"tail_{name}" for name in names), np.nan)
    for first in range(largest + 1):
        tail = turns[turns >= first] - first
        if tail.size < MIN_SPIKES:
            break
        # Every spike ends a chain of independent trials: `ends` of them stopped, the rest went on.
        ends, trials = tail.size, int(tail.sum()) + tail.size
        goes_on = 1.0 - ends / trials
        low, high = 0.0, special.betaincinv(trials - ends + 1, ends, 0.975)
        if trials > ends:
            low = float(special.betaincinv(trials - ends, ends + 1, 0.025))
        expected = ends * (1.0 - goes_on) * goes_on ** np.arange(tail.max() + 2)
        bins = int(np.argmax(expected < 5.0)) if (expected < 5.0).any() else expected.size
        while bins > 0 and ends * goes_on**bins < 5.0:
            bins -= 1
        observed = np.append(np.bincount(tail, minlength=bins)[:bins], (tail >= bins).sum()).astype(
            float
        )
        wanted = np.append(expected[:bins], ends * goes_on**bins)
        chi2 = float(((observed - wanted) ** 2 / np.maximum(wanted, 1e-300)).sum())
        dof = bins - 1
        p = float(special.chdtrc(dof, chi2)) if dof > 0 else np.nan
        values = (first, goes_on, low, high, chi2, dof, p)
        found = {f"tail_{name}": float(v) for name, v in zip(names, values, strict=True)}
        if dof <= 0 or p >= level:
            break
    return found


def signatures(sequences: list[np.ndarray], most: int) -> np.ndarray:
    """Return how often L spikes are followed by s small oscillations [large, small].

    A block L^s is L spikes with nothing between them, then s >= 1 small oscillations; the last
    row and column hold what is larger.

    Parameters
    ----------
    sequences : N before each spike but the first, per replica
    most : largest s told apart
    """
    counts = np.zeros((MOST_SPIKES, most + 1))
    for sequence in sequences:
        large = 1
        begun = False  # the first block may have started before the run
        for n in sequence:
            if n == 0:
                large += 1
            else:
                if begun:
                    counts[min(large, MOST_SPIKES) - 1, min(n, most)] += 1
                begun, large = True, 1
    return counts
