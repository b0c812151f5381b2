"""The network itself: n neurons per site, moved step by step on counter-based noise.

Two schemes: ``euler_maruyama`` (``kernels/euler.py``), the baseline, which takes every model, and
``exponential`` (``kernels/exponential.py``), of weak order 2 for additive noise and accurate at any
ratio of step and coupling time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import (
    FEATURES,
    Coord,
    Cost,
    Model,
    Param,
    Sites,
    Solution,
    Solver,
    Status,
    StudyError,
    Var,
)
from neurolim.kernels.mean_slopes import LONGEST_TOGETHER, PART
from neurolim.kernels.records import ORDERS, Records
from neurolim.numerics.structure import structure_of
from neurolim.solvers.parts.compiled import COMPILED
from neurolim.solvers.parts.rates import joint_rate_at_rest, longest_euler_step
from neurolim.solvers.parts.steps import (
    Engine,
    check_lags,
    check_traced,
    exact_noise,
    lags,
    remembered,
)
from neurolim.solvers.parts.times import (
    TIME_OPTIONS,
    state_coords,
    steps_per_record,
)

#: Probabilities of the recorded quantiles.
PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9)

OPTIONS = (
    Param("n_neurons", 1000, doc="neurons per site", kind="integer", low=1, high=2**30),
    Param(
        "scheme",
        "exponential",
        doc="time-stepping scheme",
        kind="choice",
        choices=("exponential", "euler_maruyama"),
    ),
    Param("dt", 0.01, "time", "time step h", positive=True),
    *TIME_OPTIONS,
    Param(
        "trace_every",
        0,
        doc="steps between samples of the network mean in `trace`; 0 for no trace",
        kind="integer",
        low=0,
    ),
    Param("states", False, doc="record the state of every neuron, too", kind="boolean"),
    Param(
        "normals",
        "float32",
        doc="resolution of the noise: 2^-24 relative, |z| < 6.7; or 2^-53, |z| < 9.5",
        kind="choice",
        choices=("float32", "float64"),
    ),
    Param(
        "brownian_refinement",
        1,
        doc="a step's noise is the sum of this many finer steps': paths shared between steps "
        "(not by the bridge of reflected variables)",
        kind="integer",
        low=1,
        high=2**20,
    ),
    Param("bins", 60, doc="histogram bins", kind="integer", low=1, high=10_000),
    Param(
        "bin_range",
        6.0,
        doc="histogram covers +- this many limit standard deviations",
        positive=True,
    ),
)

#: Cost model: core-nanoseconds of a step per neuron and variable without noise, for a model of
#: work 1, of a normal, and of a record, with seconds per site and step: measured on one core with
#: AVX-512 at n = 1000; elsewhere only the sizes of chunks are off.
_NANOSECONDS = {"euler_maruyama": 0.35, "exponential": 1.0}
_NORMAL_NANOSECONDS = {"float32": 0.65, "float64": 2.5}
_RECORD_NANOSECONDS = 4.0
_SECONDS_PER_STEP = {"euler_maruyama": 2.5e-7, "exponential": 1.8e-6}
#: Of the common path of P coupled means, per P^3; of means taken together, per P^2.
_SECONDS_PER_PATH, _SECONDS_PER_PAIR = 1.3e-6, 2e-8
#: A kernel returns after about so long, so that Ctrl-C is heard.
_SECONDS_PER_CALL = 1.0


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the recorded quantities; the histogram only where the limit law is known."""
    quantities = [
        Var("state_mean", "state", "mean of the site", ("time", "site", "variable")),
        Var(
            "covariance",
            "state^2",
            "covariance about the mean of the site (divided by n)",
            ("time", "site", "variable", "variable_b"),
        ),
        Var(
            "central_moment",
            "state^moment",
            "central moment (divided by n)",
            ("time", "site", "variable", "moment"),
        ),
        Var(
            "state_quantile",
            "state",
            "quantile of the site",
            ("time", "site", "variable", "probability"),
        ),
    ]
    if model.equations.profile is not None:
        quantities += [
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
    if options["trace_every"] > 0:
        quantities.append(
            Var("trace", "state", "mean of the site", ("trace_time", "site", "variable"))
        )
    if options["states"]:
        quantities.append(
            Var("state", "state", "every neuron", ("time", "site", "variable", "neuron"))
        )
    return tuple(quantities)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variable and bin coordinates."""
    axes = state_coords(model, params, options)
    axes["moment"] = Coord(tuple(float(q) for q in ORDERS), "1", "order of the central moment")
    axes["probability"] = Coord(PROBABILITIES, "1", "probability below the quantile")
    if options["trace_every"] > 0:
        step = options["dt"] * options["trace_every"]
        samples = steps_per_record(options) * options["records"] // options["trace_every"]
        axes["trace_time"] = Coord(tuple(k * step for k in range(samples + 1)), "time", "time")
    if options["states"]:
        axes["neuron"] = Coord(tuple(float(i) for i in range(options["n_neurons"])), "1", "neuron")
    if model.equations.profile is not None:
        low, width, bins = _bins(options)
        axes["bin"] = Coord(
            tuple(float(low + (i + 0.5) * width) for i in range(bins)),
            "scale",
            "bin centre of (x - site mean)/scale",
        )
    return axes


def _step_seconds(model: Model, sites: Sites, options: Mapping[str, Any]) -> float:
    """Predict the core-seconds of a step."""
    n_sites, scheme = len(sites.labels), options["scheme"]
    drawn = sum(exact_noise(model, sites)) + sum(not noise.exact for noise in model.noises)
    normals = drawn * _NORMAL_NANOSECONDS[options["normals"]]
    each = len(model.state) * model.work * _NANOSECONDS[scheme]
    each += normals * options["brownian_refinement"]
    seconds = n_sites * (1e-9 * options["n_neurons"] * each + _SECONDS_PER_STEP[scheme])
    if scheme == "exponential" and n_sites > 1:
        known = structure_of(model)
        if known.rates_move:
            seconds += n_sites**3 * _SECONDS_PER_PATH
        else:
            rate = joint_rate_at_rest(model, sites)
            parts = 1.0 + options["dt"] * rate / PART if rate > 0.0 else 0.0
            seconds += n_sites**2 * _SECONDS_PER_PAIR * parts
    return seconds


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Predict the cost of one replica from measured times."""
    sites = model.sites(params)
    d = len(model.state)
    neurons = len(sites.labels) * options["n_neurons"]
    steps = options["t_end"] / options["dt"]
    records = (options["records"] + 1) * 1e-9 * neurons * d * _RECORD_NANOSECONDS
    sizes = {dim: len(coord.values) for dim, coord in coords(model, params, options).items()}
    recorded = sum(
        np.dtype(var.dtype).itemsize * math.prod(sizes[dim] for dim in var.dims)
        for var in outputs(model, options)
    )
    seconds = steps * _step_seconds(model, sites, options) + records
    past = 8.0 * remembered(lags(model, sites, options["dt"])) if model.delays else 0.0
    return Cost(seconds, 3.0 * 8.0 * neurons * d + past + recorded)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse a step that does not divide the recording interval or is unstable.

    Raises
    ------
    StudyError : dt does not divide the recording interval; an Euler-Maruyama step of
        `rates.longest_euler_step`, at which a mode is no longer damped; an exponential step
        thousands of times longer than sites take to move each other; a trace or refinement that
        does not fit the steps
    """
    stride = steps_per_record(options)
    every = options["trace_every"]
    if every > 0 and (stride * options["records"]) % every != 0:
        raise StudyError(
            "trace_every",
            f"{every} does not divide the {stride * options['records']} steps of the run",
            "a divisor of t_end/dt, or 0",
        )
    if stride * options["records"] * options["brownian_refinement"] >= 2**32:
        raise StudyError(
            "brownian_refinement", "more than 2^32 fine steps", "fewer steps or a shorter run"
        )
    least = 1.0 if options["scheme"] == "exponential" else 0.0
    check_lags(model, model.sites(params), options["dt"], least, instead=", or euler_maruyama")
    check_traced(model, options["scheme"])
    if options["scheme"] == "exponential":
        rate = joint_rate_at_rest(model, model.sites(params))
        if options["dt"] * rate > LONGEST_TOGETHER:
            raise StudyError(
                "dt",
                f"{options['dt']:g} is {options['dt'] * rate:.3g} times the time 1/{rate:.3g} in "
                "which sites move each other",
                f"dt <= {LONGEST_TOGETHER / rate:.3g}",
            )
        return
    limit = longest_euler_step(model, params, options["n_neurons"], options["t_end"])
    if options["dt"] >= limit:
        raise StudyError(
            "dt",
            f"{options['dt']:g} is beyond the stability limit {limit:g} of euler_maruyama",
            f"dt < {limit:g}, or scheme: exponential",
        )


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
    sites = model.sites(params)
    d, n_sites = len(model.state), len(sites.labels)
    low, width, _ = _bins(options)
    scale = (
        np.zeros((n_sites, d))
        if model.equations.profile is None
        else np.array([model.equations.profile(p) for p in sites.params], dtype=float)
    )
    engine = Engine(
        model, sites, options["scheme"], options["n_neurons"], options["dt"],
        options["normals"] == "float64", options["brownian_refinement"],
    )  # fmt: skip
    stride = steps_per_record(options)
    steps = stride * options["records"]
    per_call = max(1, int(_SECONDS_PER_CALL / _step_seconds(model, sites, options)))
    arrays = _empty_arrays(model, params, options, len(replicas))
    status = np.zeros(len(replicas), np.int8)
    for i, replica in enumerate(replicas):
        record = {name: array[i] for name, array in arrays.items() if name != "scale"}
        records = Records(
            record["state_mean"],
            record["covariance"],
            record["central_moment"],
            record["state_quantile"],
            record.get("histogram", np.empty((len(record["state_mean"]), n_sites, d, 0), np.int32)),
            record.get("state", np.empty((0, n_sites, d, 0))),
            scale,
            low,
            width,
            np.array(PROBABILITIES),
            record.get("trace", np.empty((0, n_sites, d))),
            options["trace_every"],
        )
        for begin in range(0, steps, per_call):
            end = min(begin + per_call, steps)
            if not engine.follow(key, replica, records, stride, begin, end):
                status[i] = Status.DIVERGED
                break
    if model.equations.profile is not None:
        arrays["scale"][:] = scale
    for array in arrays.values():
        array[status != Status.OK] = np.nan if array.dtype.kind == "f" else 0
    return Solution(arrays, status)


def _empty_arrays(
    model: Model, params: Mapping[str, Any], options: Mapping[str, Any], n_replicas: int
) -> dict[str, np.ndarray]:
    """Return the output arrays [replica, ...] by name."""
    sizes = {dim: len(coord.values) for dim, coord in coords(model, params, options).items()}
    return {
        var.name: np.zeros((n_replicas, *(sizes[dim] for dim in var.dims)), var.dtype)
        for var in outputs(model, options)
    }


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
    takes=FEATURES,
    needs=(COMPILED,),
)
