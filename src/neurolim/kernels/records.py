"""What is recorded of a network while it moves: moments, quantiles, histogram, states, means."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import float64, int32, int64

from neurolim.kernels.by_address import array_type, kept_by_address, provide
from neurolim.kernels.sums import add_rows, average, clear
from neurolim.numerics.columns import MAX_COLUMNS, SUM_LANES, TILE
from neurolim.numerics.compiled import inlined, kernel, maker
from neurolim.numerics.lowlevel import row_of, stack_array, tile_of

#: Central moments beyond the covariance.
ORDERS = (3, 4, 5, 6)
_POWERS = len(ORDERS)
_PRODUCTS = MAX_COLUMNS + _POWERS
_SUMS = MAX_COLUMNS * (MAX_COLUMNS + 1) // 2 + MAX_COLUMNS * _POWERS
#: Bins that sort a population coarsely before quantiles are picked, over +- _REACH deviations.
_COARSE = 1024
_REACH = 6.0
#: Counters kept in turn, so that neighbours in one bin do not wait for each other.
_COPIES = 4
#: Bounds 1/scale, so that zero times it is zero.
_STEEPEST = 1e300


class Records(NamedTuple):
    """What is recorded of one network; times come first in every array.

    mean : of a site [time, site, variable]
    covariance : about it, divided by n [time, site, variable, variable]
    central_moment : of ORDERS, divided by n [time, site, variable, order]
    quantile : exact, linear between order statistics [time, site, variable, level]
    histogram : counts of (x - mean)/scale [time, site, variable, bin]; no bins for none
    state : every neuron [time, site, variable, neuron], or no times for none
    scale : unit of the histogram [site, variable]; a variable with scale <= 0 has none
    low, width : left edge of the first bin and bin width, in units of ``scale``
    levels : of the quantiles, increasing, in [0, 1] [level]
    trace : means [sample, site, variable], sampled after every so many steps, if ``every`` > 0
    """

    mean: Any
    covariance: Any
    central_moment: Any
    quantile: Any
    histogram: Any
    state: Any
    scale: Any
    low: float
    width: float
    levels: Any
    trace: Any
    every: int


@kernel
def sample(network, records, step):
    """Sample the means after a step, where its number says so."""
    if records.every > 0 and step % records.every == 0:
        at, trace = step // records.every, records.trace
        for s in range(trace.shape[1]):
            for k in range(trace.shape[2]):
                trace[at, s, k] = network.means[s, k]


@kernel
def _fill_moments(X, s, n, mean, covariance, moments):
    """Fill mean, covariance and central moments of a site; return whether they are finite."""
    d, finite = mean.size, True
    lanes = stack_array(np.float64, _SUMS, SUM_LANES)
    centred = stack_array(np.float64, MAX_COLUMNS, TILE)
    products = stack_array(np.float64, _PRODUCTS, TILE)
    clear(lanes, d)
    for first in range(0, n, TILE):
        count = min(TILE, n - first)
        add_rows(tile_of(X, s, first, count), d, count, lanes, 0)
    average(lanes, 0, n, mean)
    clear(lanes, _SUMS)
    for first in range(0, n, TILE):
        count = min(TILE, n - first)
        tile, column = tile_of(X, s, first, count), 0
        for k in range(d):
            row, x, centre = row_of(tile, k, count), row_of(centred, k, count), mean[k]
            for i in range(count):
                x[i] = row[i] - centre
        for k in range(d):
            # Products with variables k .. d - 1, then powers, each from the one before it.
            pairs, x = d - k, row_of(centred, k, count)
            for j in range(pairs + _POWERS):
                before = row_of(products, 0 if j == pairs else max(j - 1, 0), count)
                factor = row_of(centred, k + j, count) if j < pairs else before
                product = row_of(products, j, count)
                for i in range(count):
                    product[i] = factor[i] * x[i]
            add_rows(products, pairs + _POWERS, count, lanes, column)
            column += pairs + _POWERS
    column = 0
    for k in range(d):
        average(lanes, column, n, covariance[k, k:])
        average(lanes, column + d - k, n, moments[k])
        column += d - k + _POWERS
        for j in range(k, d):
            covariance[j, k] = covariance[k, j]
        finite = finite and np.isfinite(mean[k]) and np.isfinite(covariance[k, k])
        for q in range(_POWERS):
            finite = finite and np.isfinite(moments[k, q])
    return finite


@kernel
def _count_places(row, centre, factor, shift, width, places, counts):
    """Fill places [n] with (x - centre) factor + shift, cut to [0, width), and count them.

    Counts [_COPIES width] are kept in turn, then added up in the first of them.
    """
    # Places are unsigned as an index: a signed one is tested for being negative.
    top = width - 1.0
    for i in range(row.size):
        u = (row[i] - centre) * factor + shift
        u = u if u > 0.0 else 0.0
        places[i] = np.int32(u if u < top else top)
    for j in range(_COPIES * width):
        counts[j] = 0
    whole = row.size - row.size % _COPIES
    for i in range(0, whole, _COPIES):
        for copy in range(_COPIES):
            counts[np.uint32(copy * width + places[i + copy])] += 1
    for i in range(whole, row.size):
        counts[np.uint32(places[i])] += 1
    for copy in range(1, _COPIES):
        for j in range(width):
            counts[j] += counts[copy * width + j]


@inlined
def _sort(values):
    """Sort by insertion over shrinking gaps (Shell 1959, with Knuth's gaps)."""
    gap = 1
    while gap < values.size // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, values.size):
            value, j = values[i], i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
        gap //= 3


@maker
def _pick_quantiles(values, centre, spread, levels, quantiles, places, counts):
    """Fill the quantiles of finite values at some levels, linear between order statistics.

    Values are sorted into coarse bins; only those in the bins that hold the wanted order
    statistics are sorted in full.  About two nanoseconds a value where a plain sort takes sixty.

    Parameters
    ----------
    values : [n], finite
    centre, spread : where the bins lie; any choice gives the same quantiles
    levels : increasing, in [0, 1] [level]
    quantiles : out [level]
    places, counts : work [n], [_COPIES _COARSE]
    """
    n = values.size
    factor = min(_COARSE / (2.0 * _REACH * spread), _STEEPEST) if spread > 0.0 else 0.0
    _count(values, centre, factor, 0.5 * _COARSE, _COARSE, places, counts)
    # Beside the counts stand the number of values before a bin, whether it holds a wanted order
    # statistic, and the number of values in such bins before it.
    before, wanted, kept = counts[_COARSE:], counts[2 * _COARSE :], counts[3 * _COARSE :]
    total = 0
    for bin_ in range(_COARSE):
        before[bin_], wanted[bin_] = total, 0
        total += counts[bin_]
    for q in range(levels.size):
        position = int(levels[q] * (n - 1))
        wanted[_bin_of(before, position)] = 1
        wanted[_bin_of(before, min(position + 1, n - 1))] = 1
    total = 0
    for bin_ in range(_COARSE):
        kept[bin_] = total
        total += wanted[bin_] * counts[bin_]
    held, total = np.empty(total), 0
    for i in range(n):
        if wanted[np.uint32(places[i])] == 1:
            held[total] = values[i]
            total += 1
    _sort(held)
    for q in range(levels.size):
        exact = levels[q] * (n - 1)
        position = int(exact)
        bin_below, bin_above = _bin_of(before, position), _bin_of(before, min(position + 1, n - 1))
        lower = held[kept[bin_below] + position - before[bin_below]]
        upper = held[kept[bin_above] + min(position + 1, n - 1) - before[bin_above]]
        quantiles[q] = lower + (exact - position) * (upper - lower)


@kernel
def _bin_of(before, position):
    """Return the coarse bin that holds a position of the sorted population."""
    low, high = 0, _COARSE - 1
    while low < high:
        middle = (low + high + 1) // 2
        if before[middle] <= position:
            low = middle
        else:
            high = middle - 1
    return low


_vector, _matrix, _cube = (array_type(dimensions) for dimensions in (1, 2, 3))
_integers = array_type(1, int32)
_moments = kept_by_address(_fill_moments, (_cube, int64, int64, _vector, _matrix, _matrix))
_count = kept_by_address(
    _count_places, (_vector, float64, float64, float64, int64, _integers, _integers)
)
_quantiles = kept_by_address(
    _pick_quantiles, (_vector, float64, float64, _vector, _vector, _integers, _integers)
)


@maker
def record(network, records, t):
    """Fill the records of time t; return whether they are finite."""
    X, n, bins = network.X, network.n, records.histogram.shape[3]
    places = np.empty(n, np.int32)
    counts = np.empty(_COPIES * max(_COARSE, bins + 2), np.int32)
    for s in range(X.shape[1]):
        mean, covariance = records.mean[t, s], records.covariance[t, s]
        if not _moments(X, s, n, mean, covariance, records.central_moment[t, s]):
            return False
        tile = tile_of(X, s, 0, n)
        for k in range(X.shape[0]):
            row, histogram = row_of(tile, k, n), records.histogram[t, s, k]
            if bins > 0 and records.scale[s, k] > 0.0:
                # One bin more on either side takes what lies outside.
                factor = min(1.0 / (records.scale[s, k] * records.width), _STEEPEST)
                shift = 1.0 - records.low / records.width
                _count(row, mean[k], factor, shift, bins + 2, places, counts)
                for bin_ in range(bins):
                    histogram[bin_] = counts[bin_ + 1]
            spread = np.sqrt(covariance[k, k])
            _quantiles(
                row, mean[k], spread, records.levels, records.quantile[t, s, k], places, counts
            )
            if records.state.shape[0] > 0:
                state = records.state[t, s, k]
                for i in range(n):
                    state[i] = row[i]
    return True


def provide_records() -> None:
    """Provide what `record` calls."""
    provide(add_rows, element=float64)
    provide(average, _moments, _count, _quantiles)
