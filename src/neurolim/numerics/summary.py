"""Summaries of a population while it is being simulated: moments, quantiles, histogram."""

from __future__ import annotations

import numpy as np

from neurolim.numerics.columns import MAX_COLUMNS, SUM_LANES, TILE, add_to_lanes, sum_lanes
from neurolim.numerics.compiled import inlined, kernel
from neurolim.numerics.lowlevel import stack_array

#: Central moments beyond the covariance.
ORDERS = (3, 4, 5, 6)
_SUMS = MAX_COLUMNS * (MAX_COLUMNS + 1) // 2 + MAX_COLUMNS * len(ORDERS)
#: Bins that sort a population coarsely before quantiles are picked, over +- _REACH deviations.
_COARSE = 1024
_REACH = 6.0
#: Counters kept in turn, so that neighbours in one bin do not wait for each other.
_COPIES = 4
#: Bounds 1/scale, so that zero times it is zero.
_STEEPEST = 1e300


@kernel
def summarise(
    columns, n, scale, low, width, levels, mean, covariance, moments, quantiles, histogram
):
    """Write the summaries of a population; return whether means and moments are finite.

    Parameters
    ----------
    columns : state [variable, site, n_padded]; the first n of each site count
    n : neurons per site
    scale : unit of the histogram [site, variable]; a variable with scale <= 0 has none
    low, width : left edge of the first bin and bin width, in units of ``scale``
    levels : levels of the quantiles, increasing [level]
    mean : out [site, variable]
    covariance : out [site, variable, variable], about the site mean, divided by n
    moments : out [site, variable, order], central moments of ORDERS, divided by n
    quantiles : out [site, variable, level], exact, linear between order statistics
    histogram : out, counts of (x - mean)/scale [site, variable, bin]; zero bins for none
    """
    d = columns.shape[0]
    bins = histogram.shape[2]
    lanes = stack_array(np.float64, _SUMS, SUM_LANES)
    x = stack_array(np.float64, MAX_COLUMNS, TILE)
    product = stack_array(np.float64, 1, TILE)
    place = stack_array(np.int32, 1, TILE)
    coarse = np.empty(n, np.int32)
    counts = np.empty((_COPIES, _COARSE), np.int32)
    scaled = np.empty((d, _COPIES, bins + 2), np.int32)
    finite = True
    for s in range(columns.shape[1]):
        lanes[:] = 0.0
        for first in range(0, n, TILE):
            count = min(TILE, n - first)
            for k in range(d):
                add_to_lanes(lanes, k, columns[k, s, first : first + count], count)
        for k in range(d):
            mean[s, k] = sum_lanes(lanes, k) / n
            finite = finite and np.isfinite(mean[s, k])
        # A finite mean has finite summands: what follows may turn numbers into places.
        if not finite:
            return False

        lanes[:] = 0.0
        scaled[:] = 0
        for first in range(0, n, TILE):
            count = min(TILE, n - first)
            for k in range(d):
                centre = mean[s, k]
                row = columns[k, s, first : first + count]
                for i in range(count):
                    x[k, i] = row[i] - centre
            column = 0
            for k in range(d):
                for j in range(k, d):
                    for i in range(count):
                        product[0, i] = x[k, i] * x[j, i]
                    add_to_lanes(lanes, column, product[0], count)
                    column += 1
                for i in range(count):
                    product[0, i] = x[k, i] * x[k, i]
                for _ in range(len(ORDERS)):
                    for i in range(count):
                        product[0, i] *= x[k, i]
                    add_to_lanes(lanes, column, product[0], count)
                    column += 1
                if bins > 0 and scale[s, k] > 0.0:
                    factor = min(1.0 / (scale[s, k] * width), _STEEPEST)
                    for i in range(count):
                        # One bin more on either side takes what lies outside.
                        u = x[k, i] * factor + (1.0 - low / width)
                        place[0, i] = np.int32(min(max(u, 0.0), bins + 1.0))
                    _count(place[0, :count], scaled[k])
        column = 0
        for k in range(d):
            for j in range(k, d):
                covariance[s, k, j] = sum_lanes(lanes, column) / n
                covariance[s, j, k] = covariance[s, k, j]
                column += 1
            for q in range(len(ORDERS)):
                moments[s, k, q] = sum_lanes(lanes, column) / n
                finite = finite and np.isfinite(moments[s, k, q])
                column += 1
            for bin_ in range(bins):
                histogram[s, k, bin_] = 0
                for copy in range(_COPIES):
                    histogram[s, k, bin_] += scaled[k, copy, bin_ + 1]
            finite = finite and np.isfinite(covariance[s, k, k])
        if not finite:
            return False
        for k in range(d):
            spread = np.sqrt(covariance[s, k, k])
            pick_quantiles(
                columns[k, s, :n], mean[s, k], spread, levels, quantiles[s, k], coarse, counts
            )
    return finite


@kernel
def pick_quantiles(values, centre, spread, levels, quantiles, coarse, counts):
    """Write the quantiles of ``values`` at ``levels``, linear between order statistics.

    Values are sorted into coarse bins; only those in the bins that hold the wanted order
    statistics are sorted in full.  About two nanoseconds a value where a plain sort takes sixty.

    Parameters
    ----------
    values : [n], finite
    centre, spread : where the bins lie; any choice gives the same quantiles
    levels : increasing, in [0, 1] [level]
    quantiles : out [level]
    coarse : work [n]
    counts : work [_COPIES, _COARSE]
    """
    n = values.size
    factor = min(_COARSE / (2.0 * _REACH * spread), _STEEPEST) if spread > 0.0 else 0.0
    offset = 0.5 * _COARSE
    for i in range(n):
        u = min(max((values[i] - centre) * factor + offset, 0.0), _COARSE - 1.0)
        coarse[i] = np.int32(u)
    counts[:] = 0
    _count(coarse[:n], counts)
    for bin_ in range(_COARSE):
        for copy in range(1, _COPIES):
            counts[0, bin_] += counts[copy, bin_]

    # counts[3] becomes the number of values before a bin, counts[1] 1 for bins that hold a wanted
    # order statistic, counts[2] the number of values kept before such a bin.
    before = 0
    for bin_ in range(_COARSE):
        counts[1, bin_], counts[3, bin_] = 0, before
        before += counts[0, bin_]
    kept = 0
    for q in range(levels.size):
        position = np.int64(levels[q] * (n - 1))
        for wanted in (position, min(position + 1, n - 1)):
            bin_ = _bin_of(counts, wanted)
            if counts[1, bin_] == 0:
                counts[1, bin_], counts[2, bin_] = 1, kept
                kept += counts[0, bin_]
    held = np.empty(kept)
    kept = 0
    for i in range(n):
        if counts[1, coarse[i]] == 1:
            held[kept] = values[i]
            kept += 1
    held.sort()
    for q in range(levels.size):
        exact = levels[q] * (n - 1)
        position = np.int64(exact)
        lower = _order_statistic(held, counts, position)
        upper = _order_statistic(held, counts, min(position + 1, n - 1))
        quantiles[q] = lower + (exact - position) * (upper - lower)


@inlined
def _count(places, counts):
    """Add the number of times every place occurs to ``counts`` [_COPIES, places], whose sum counts.

    Places are unsigned when they serve as index: a signed one is tested for being negative.
    """
    whole = places.size - places.size % _COPIES
    for i in range(0, whole, _COPIES):
        for copy in range(_COPIES):
            counts[copy, np.uint32(places[i + copy])] += 1
    for i in range(whole, places.size):
        counts[0, np.uint32(places[i])] += 1


@kernel
def _bin_of(counts, position):
    """Return the coarse bin that holds a position of the sorted population."""
    low, high = 0, _COARSE - 1
    while low < high:
        middle = (low + high + 1) // 2
        if counts[3, middle] <= position:
            low = middle
        else:
            high = middle - 1
    return low


@kernel
def _order_statistic(held, counts, position):
    """Return the value at a position of the sorted population, whose bin is among those held."""
    bin_ = _bin_of(counts, position)
    return held[counts[2, bin_] + position - counts[3, bin_]]
