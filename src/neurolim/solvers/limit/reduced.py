r"""The mean of a finite network as a stochastic equation in as many variables as a neuron has.

    dV = [ <f>(V) - W ] dt + sigma/sqrt(n) dB,       dW = [ b V - a W + c ] dt + sigma_w/sqrt(n) dB'

    <f> = f + f'' S/2 + f'''' S^2/8,      S = sigma^2 / (2 (1/eps - f' - f''' S/2))

for planar networks; ``_mean_of_network`` has the equation of any model whose law concentrates.
The noise is that of a mean of n independent neurons; S is the variance about the mean, at which
the Gaussian closure (``bifurcation.closure``) arrives within a time eps/2.  Neglected are terms of
relative order eps^2 and 1/n in S and the fluctuations of S, O(n^{-1/2} eps).  A single neuron is
its own mean: S = 0.  With ``variance: limit`` S is 0, too: the limit equation with noise.

Runge-Kutta of order 4 with the noise of a step as a constant force: weak order 2 in h, order 4 in
the drift, which is what counts near a canard, where trajectories amplify errors of the drift.

Source: docs/phase-diagrams.md; Milstein & Tretyakov 1997 (schemes for small noise).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, StudyError, Var
from neurolim.core.model import TIME
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.lowlevel import stack_array
from neurolim.numerics.random import BLOCK, STREAM_INITIAL, STREAM_NOISE, normals
from neurolim.provenance import code_digest
from neurolim.solvers.parts.compiled import COMPILED
from neurolim.solvers.parts.concentration import check_concentrates, widths
from neurolim.solvers.parts.mean_of_network import NANOSECONDS, average_of, simulate
from neurolim.solvers.parts.needs import (
    GAUSSIAN_START,
    NO_WALLS,
    derivatives,
    few_nonlinear,
    one_site,
)
from neurolim.solvers.parts.plane import PLANE, Planar, plane_of, steepest
from neurolim.solvers.parts.times import TIME_OPTIONS, record_times, state_coords, steps_per_record

_LANES = 8
_BATCH = 8 * BLOCK
#: Core-nanoseconds per step of a replica in full lanes, for the cost model.
_NANOSECONDS = 20.0

OPTIONS = (
    Param("n_neurons", 1000, doc="neurons of the network", kind="integer", low=1, high=2**62),
    Param("dt", 0.02, "time", "time step h", positive=True),
    *TIME_OPTIONS,
    Param(
        "trace_every",
        0,
        doc="steps between two samples of the trace; 0 keeps no trace",
        kind="integer",
        low=0,
    ),
    Param(
        "variance",
        "closure",
        doc="variance about the mean: the closure's, or 0 as in the limit",
        kind="choice",
        choices=("closure", "limit"),
    ),
)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the mean at the record times and, if asked for, its trace."""
    quantities = [Var("state_mean", "state", "mean of the network", ("time", "site", "variable"))]
    if options["trace_every"] > 0:
        dims = ("trace_time", "site", "variable")
        quantities.append(Var("trace", "state", "mean of the network, every few steps", dims))
    return tuple(quantities)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variable and the times of the trace."""
    axes = state_coords(model, params, options)
    del axes["variable_b"]
    every = options["trace_every"]
    if every > 0:
        count = _steps(options)[1] // every
        times = np.arange(count + 1) * (every * options["dt"])
        axes["trace_time"] = Coord(tuple(times.tolist()), "time", "time of the trace")
    return axes


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return the measured time per step."""
    _, steps = _steps(options)
    per_step = _NANOSECONDS
    if _plane(model, params) is None:
        per_step = NANOSECONDS * average_of(model, params, True).weights.size
    kept = steps / options["trace_every"] if options["trace_every"] else 0.0
    return Cost(steps * per_step * 1e-9 + 1e-4, 16.0 * len(model.state) * kept + 1e6)


def _steps(options: Mapping[str, Any]) -> tuple[int, int]:
    """Return (steps between records, steps in all)."""
    stride = steps_per_record(options, most=2**34)
    return stride, stride * options["records"]


def _plane(model: Model, params: Mapping[str, Any]) -> Planar | None:
    """Return the planar system of a network, None where it is of another form or moves in time."""
    if TIME in model.features or any(need.fault(model) for need in PLANE):
        return None
    try:
        return plane_of(model, params)
    except StudyError:
        return None


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse laws that do not concentrate, steps that do not fit, couplings that do not hold.

    Raises
    ------
    StudyError
    """
    planar, sites = _plane(model, params), one_site(model.sites(params))
    if planar is None:
        check_concentrates(model, widths(model, sites))
    _steps(options)
    if planar is None or not _wide(options):
        return
    plane, network = planar.plane, planar.network
    if network.coupling <= steepest(plane):
        raise StudyError(
            "model",
            f"coupling {network.coupling:g} below the largest slope of the drift, "
            f"{steepest(plane):.4g}: no narrow law",
            f"a coupling above {max(steepest(plane), 0.0):.4g}, or variance: limit",
        )


def _wide(options: Mapping[str, Any]) -> bool:
    """Return whether the law has a width about its mean."""
    return options["variance"] == "closure" and options["n_neurons"] > 1


@njit(error_model="numpy", forceinline=True)
def _drift(v, w, f0, f1, f2, f3, f4, f5, f6, f7, a, b, c, coupling, half_noise):
    """Return the drift of the mean for coefficients f0..f7; half_noise is sigma^2/2."""
    # f and its scaled derivatives f^(k)/k!, so that S f''/2 is S g2 and S f'''/2 is 3 S g3.
    g0 = ((((((f7 * v + f6) * v + f5) * v + f4) * v + f3) * v + f2) * v + f1) * v + f0
    g1 = ((((7 * f7 * v + 6 * f6) * v + 5 * f5) * v + 4 * f4) * v + 3 * f3) * v
    g1 = (g1 + 2 * f2) * v + f1
    g2 = ((((21 * f7 * v + 15 * f6) * v + 10 * f5) * v + 6 * f4) * v + 3 * f3) * v + f2
    g3 = (((35 * f7 * v + 20 * f6) * v + 10 * f5) * v + 4 * f4) * v + f3
    g4 = ((35 * f7 * v + 15 * f6) * v + 5 * f5) * v + f4
    s = half_noise / (coupling - g1)
    s = half_noise / (coupling - g1 - 3.0 * g3 * s)
    return g0 + s * g2 + 3.0 * s * s * g4 - w, b * v - a * w + c


@njit(error_model="numpy")
def _keep(x, count, kept, row):
    """Fill a row of kept [replicas, rows, 2] with the means x [2, lanes]."""
    for r in range(count):
        kept[r, row, 0], kept[r, row, 1] = x[0, r], x[1, r]


@njit(error_model="numpy", nogil=True)
def _run(
    start, f, a, b, c, coupling, half_noise, s_v, s_w, h, stride, every, key, first, mean, trace
):
    """Fill mean [replicas, records + 1, 2] and trace [replicas, samples, 2] from start.

    Means move side by side in lanes: their chains of operations are independent, so the processor
    works on all of them at once.  Lanes without a replica repeat the last one.
    """
    count = start.shape[0]
    f0, f1, f2, f3, f4, f5, f6, f7 = f
    z = np.empty((_BATCH, _LANES))
    y = np.zeros((_BATCH, _LANES))
    column = np.empty(_BATCH)
    x = stack_array(np.float64, 2, _LANES)
    push = stack_array(np.float64, 2, _LANES)
    slope = stack_array(np.float64, 2, _LANES)
    total = stack_array(np.float64, 2, _LANES)
    for lane in range(_LANES):
        x[0, lane], x[1, lane] = start[min(lane, count - 1), 0], start[min(lane, count - 1), 1]
    for r in range(count):
        mean[r, 0] = start[r]
        if every > 0:
            trace[r, 0] = start[r]
    force_v, force_w = s_v / np.sqrt(h), s_w / np.sqrt(h)
    steps = stride * (mean.shape[1] - 1)
    to_mean, to_trace = stride, every
    record = sample = 1
    for batch in range(0, steps, _BATCH):
        for r in range(count):
            normals(column, batch, key, first + r, 0, STREAM_NOISE)
            z[:, r] = column
            if s_w > 0.0:
                normals(column, batch, key, first + r, 0, STREAM_NOISE + 1)
                y[:, r] = column
        for r in range(count, _LANES):
            z[:, r], y[:, r] = z[:, count - 1], y[:, count - 1]
        for row in range(min(_BATCH, steps - batch)):
            for lane in range(_LANES):
                push[0, lane], push[1, lane] = force_v * z[row, lane], force_w * y[row, lane]
                slope[0, lane] = slope[1, lane] = total[0, lane] = total[1, lane] = 0.0
            for stage in range(4):
                reach = h if stage == 3 else (0.5 * h if stage > 0 else 0.0)
                weight = h / 3.0 if stage == 1 or stage == 2 else h / 6.0
                for lane in range(_LANES):
                    p, q = _drift(
                        x[0, lane] + reach * slope[0, lane], x[1, lane] + reach * slope[1, lane],
                        f0, f1, f2, f3, f4, f5, f6, f7, a, b, c, coupling, half_noise,
                    )  # fmt: skip
                    p, q = p + push[0, lane], q + push[1, lane]
                    slope[0, lane], slope[1, lane] = p, q
                    total[0, lane] += weight * p
                    total[1, lane] += weight * q
            for lane in range(_LANES):
                x[0, lane] += total[0, lane]
                x[1, lane] += total[1, lane]
            to_trace -= 1
            if to_trace == 0:
                to_trace = every
                _keep(x, count, trace, sample)
                sample += 1
            to_mean -= 1
            if to_mean == 0:
                to_mean = stride
                _keep(x, count, mean, record)
                record += 1


keep_compiled(_run, code_digest(__name__))


def _simulate_plane(
    model: Model,
    planar: Planar,
    options: Mapping[str, Any],
    key: int,
    replicas: range,
    mean: np.ndarray,
    trace: np.ndarray,
) -> None:
    """Fill mean [replicas, records + 1, 2] and trace [replicas, samples, 2] of a planar network."""
    plane, current, network, p, scale = planar
    f = (*plane.f, *(0.0,) * (8 - len(plane.f)))
    f = (f[0] + current, *f[1:])
    half_noise = 0.5 * network.sigma**2 if _wide(options) else 0.0
    root_n = np.sqrt(float(options["n_neurons"]))
    n_replicas = len(replicas)
    z, y = np.empty(BLOCK), np.empty(BLOCK)
    start = np.empty((n_replicas, 2))
    for i, replica in enumerate(replicas):
        normals(z, 0, np.uint64(key), replica, 0, STREAM_INITIAL)
        normals(y, 0, np.uint64(key), replica, 0, STREAM_INITIAL + 1)
        v, w = model.equations.initial((z[0] / root_n, y[0] / root_n), p)
        start[i] = v, scale * w
    for i in range(0, n_replicas, _LANES):
        lanes = slice(i, min(i + _LANES, n_replicas))
        _run(
            start[lanes], f, plane.a, plane.b, plane.c, network.coupling, half_noise,
            network.sigma / root_n, network.sigma_w / root_n, options["dt"], _steps(options)[0],
            options["trace_every"], np.uint64(key), replicas[i], mean[lanes], trace[lanes],
        )  # fmt: skip
    mean *= planar.units
    trace *= planar.units


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Simulate the mean once per replica.

    Returns
    -------
    mean [replica, time, site, variable], trace [replica, trace_time, site, variable]; DIVERGED
    and NaN where the mean left the finite numbers (a step too long).
    """
    stride, steps = _steps(options)
    every = options["trace_every"]
    samples, d = steps // every + 1 if every else 0, len(model.state)
    mean = np.full((len(replicas), len(record_times(options)), d), np.nan)
    trace = np.full((len(replicas), samples, d), np.nan)
    planar = _plane(model, params)
    if planar is None:
        simulate(
            model, params, average_of(model, params, _wide(options)),
            (options["dt"], stride, every), key, replicas, mean, trace, options["n_neurons"],
        )  # fmt: skip
    else:
        _simulate_plane(model, planar, options, key, replicas, mean, trace)
    lost = ~np.isfinite(mean).all(axis=(1, 2))
    mean[lost], trace[lost] = np.nan, np.nan
    status = np.where(lost, int(Status.DIVERGED), int(Status.OK)).astype(np.int8)
    arrays = {"state_mean": mean[:, :, None, :]}
    if every:
        arrays["trace"] = trace[:, :, None, :]
    return Solution(arrays, status)


SOLVER = Solver(
    summary="The mean of a finite network as a stochastic equation.",
    source="docs/phase-diagrams.md",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=True,
    takes=frozenset({TIME}),
    needs=(derivatives(), NO_WALLS, GAUSSIAN_START, few_nonlinear(3), COMPILED),
)
