"""The network itself: n neurons per site, moved step by step on counter-based noise.

The schemes are described in ``_schemes.py``: ``euler_maruyama``, the baseline, and
``exponential``, second order and accurate at any ratio of step and coupling time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import (
    Coord,
    Cost,
    Model,
    Param,
    Solution,
    Solver,
    Status,
    StudyError,
    Var,
)
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.random import BLOCK
from neurolim.numerics.summary import summarise
from neurolim.provenance import code_digest
from neurolim.solvers._schemes import kernels
from neurolim.solvers._times import TIME_OPTIONS, record_times, state_coords

keep_compiled(summarise, code_digest(summarise.__module__))

OPTIONS = (
    Param("n_neurons", 1000, doc="neurons per site", kind="integer", low=2, high=2**30),
    Param(
        "scheme",
        "exponential",
        doc="time-stepping scheme",
        kind="choice",
        choices=("exponential", "euler_maruyama"),
    ),
    Param("dt", 0.01, "time", "time step h", positive=True),
    *TIME_OPTIONS,
    Param("bins", 60, doc="histogram bins", kind="integer", low=1, high=10_000),
    Param(
        "bin_range",
        6.0,
        doc="histogram covers +- this many limit standard deviations",
        positive=True,
    ),
)

#: Core-nanoseconds per neuron-step, records included, for the cost model: measured for two
#: variables on one core with AVX-512; elsewhere only the sizes of chunks are off.
_NANOSECONDS = {"euler_maruyama": 5.5, "exponential": 12.0}
_SECONDS_PER_STEP = 3e-6


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the recorded quantities; the histogram only where the limit law is known."""
    found = [
        Var("mean", "state", "mean of the site", ("time", "site", "variable")),
        Var(
            "covariance",
            "state^2",
            "covariance about the mean of the site (divided by n)",
            ("time", "site", "variable", "variable_b"),
        ),
    ]
    if model.spread is not None:
        found += [
            Var(
                "scale",
                "state",
                "standard deviation of the limit law, unit of the histogram",
                ("site", "variable"),
            ),
            Var(
                "histogram",
                "1",
                "neurons per bin of (x - site mean)/scale",
                ("time", "site", "variable", "bin"),
                "int32",
            ),
        ]
    return tuple(found)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variable and bin coordinates."""
    found = state_coords(model, params, options)
    if model.spread is not None:
        low, width, bins = _bins(options)
        found["bin"] = Coord(
            tuple(float(low + (i + 0.5) * width) for i in range(bins)),
            "scale",
            "bin centre of (x - site mean)/scale",
        )
    return found


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Predict the cost of one replica from the measured time per neuron-step."""
    n_sites = len(model.prepare(params).labels)
    neurons = n_sites * options["n_neurons"]
    steps = options["t_end"] / options["dt"]
    per_neuron = _NANOSECONDS[options["scheme"]] * len(model.state) / 2 * 1e-9
    seconds = steps * (neurons * per_neuron + n_sites * _SECONDS_PER_STEP)
    return Cost(seconds, 3.0 * 8.0 * neurons * len(model.state))


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse a step that does not divide the recording interval."""
    _stride(options)


def _stride(options: Mapping[str, Any]) -> int:
    """Return the steps between two records.

    Raises
    ------
    StudyError : not a whole number, or more steps than the 32-bit step counter can name
    """
    interval = options["t_end"] / options["records"]
    stride = round(interval / options["dt"])
    if stride < 1 or abs(stride * options["dt"] / interval - 1.0) > 1e-9:
        raise StudyError(
            "dt",
            f"{options['dt']:g} does not divide the recording interval {interval:g}",
            "t_end/records divided by an integer",
        )
    if stride * options["records"] >= 2**32:
        raise StudyError("dt", "more than 2^32 steps", "a longer step or a shorter run")
    return int(stride)


def _bins(options: Mapping[str, Any]) -> tuple[float, float, int]:
    low, bins = -options["bin_range"], options["bins"]
    return low, -2.0 * low / bins, bins


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Simulate the network once per replica.

    Parameters
    ----------
    model, params, options : what to simulate, resolved
    key : 64-bit noise key of the grid point
    replicas : replica numbers; each is its own counter of the noise

    Returns
    -------
    arrays [replica, ...] as in ``outputs``; a replica that leaves the finite numbers is DIVERGED
    and holds NaN (0 counts) everywhere.
    """
    sites = model.prepare(params)
    d, n_sites = len(model.state), len(sites.labels)
    rows = np.array([[float(value) for value in p] for p in sites.params])
    times = len(record_times(options))
    low, width, bins = _bins(options)
    scale = (
        np.zeros((n_sites, d))
        if model.spread is None
        else np.array([model.spread(p) for p in sites.params], dtype=float)
    )
    run = kernels(model, options["scheme"])
    n, dt, stride = options["n_neurons"], options["dt"], _stride(options)
    coupling = np.ascontiguousarray(sites.coupling)
    state = np.empty((d, n_sites, -(-n // BLOCK) * BLOCK))
    means = np.empty((n_sites, run.n_means))
    n_replicas = len(replicas)
    mean = np.full((n_replicas, times, n_sites, d), np.nan)
    covariance = np.full((n_replicas, times, n_sites, d, d), np.nan)
    histogram = np.zeros(
        (n_replicas, times, n_sites, d, 0 if model.spread is None else bins), np.int32
    )
    status = np.zeros(n_replicas, np.int8)
    for i, replica in enumerate(replicas):
        run.start(state, rows, np.uint64(key), replica, n, means)
        for t in range(times):
            run.advance(
                state,
                rows,
                coupling,
                means,
                n,
                dt,
                np.uint64(key),
                replica,
                max(0, t - 1) * stride,
                t * stride,
            )
            if not summarise(
                state, n, means, scale, low, width, mean[i, t], covariance[i, t], histogram[i, t]
            ):
                status[i] = Status.DIVERGED
                mean[i], covariance[i], histogram[i] = np.nan, np.nan, 0
                break
    arrays = {"mean": mean, "covariance": covariance}
    if model.spread is not None:
        arrays["scale"] = np.broadcast_to(scale, (n_replicas, n_sites, d)).copy()
        arrays["scale"][status != Status.OK] = np.nan
        arrays["histogram"] = histogram
    return Solution(arrays, status)


SOLVER = Solver(
    summary="The network of n neurons per site, by Euler-Maruyama or an exponential scheme.",
    source="Quininao & Touboul 2020, eq. (6.6); scheme: docs/science.md",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=True,
)
