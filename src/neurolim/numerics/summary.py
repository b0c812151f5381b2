"""Summaries of a population while it is being simulated: mean, covariance, histogram."""

from __future__ import annotations

import numpy as np
from numba import njit

from neurolim.numerics.columns import (
    MAX_COLUMNS,
    SUM_LANES,
    TILE,
    add_to_lanes,
    load,
    sum_lanes,
)
from neurolim.numerics.lowlevel import stack_array

_PRODUCTS = MAX_COLUMNS * MAX_COLUMNS


@njit(error_model="numpy", nogil=True)
def summarise(columns, n, means, scale, low, width, mean, covariance, histogram):
    """Write mean, covariance and histogram of a population; return whether all is finite.

    Parameters
    ----------
    columns : state [variable, site, n_padded]; the first n of each site count
    n : neurons per site
    means : site means [site, variables and fields], known from the step
    scale : unit of the histogram [site, variable]; a variable with scale <= 0 has none
    low, width : left edge of the first bin and bin width, in units of ``scale``
    mean : out [site, variable]
    covariance : out [site, variable, variable], about the site mean, divided by n
    histogram : out, counts of (x - mean)/scale [site, variable, bin]; zero bins for none
    """
    d = columns.shape[0]
    bins = histogram.shape[2]
    x = stack_array(np.float64, MAX_COLUMNS, TILE)
    products = stack_array(np.float64, _PRODUCTS, TILE)
    lanes = stack_array(np.float64, _PRODUCTS, SUM_LANES)
    finite = True
    for s in range(columns.shape[1]):
        lanes[:] = 0.0
        for first in range(0, n, TILE):
            count = min(TILE, n - first)
            load(x, columns, first, count, s)
            for k in range(d):
                centre = means[s, k]
                for i in range(count):
                    x[k, i] -= centre
            for k in range(d):
                for j in range(d):
                    for i in range(count):
                        products[k * d + j, i] = x[k, i] * x[j, i]
            for q in range(d * d):
                add_to_lanes(lanes, products, q, count)
            for k in range(d):
                if bins > 0 and scale[s, k] > 0.0:
                    factor = 1.0 / (scale[s, k] * width)
                    for i in range(count):
                        place = np.floor(x[k, i] * factor - low / width)
                        if place >= 0.0 and place < bins:
                            histogram[s, k, np.int64(place)] += 1
        for k in range(d):
            mean[s, k] = means[s, k]
            finite = finite and np.isfinite(means[s, k])
            for j in range(d):
                covariance[s, k, j] = sum_lanes(lanes, k * d + j) / n
                finite = finite and np.isfinite(covariance[s, k, j])
    return finite
