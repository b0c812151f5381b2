r"""The network of n neurons per site with wires: all to all, or drawn at random.

Neuron i of site s hears from site r

    c_i = sum_r K[s, r] (1/k) sum_{j in wires(i, r)} (x_j, field(x_j)),

with ``all`` the mean over the whole site (as ``particles``), with ``fixed`` over k neurons drawn
with replacement, with ``binomial`` over a number of neurons drawn from Binomial(n, k/n), still
divided by k: neurons then differ in what they hear.  Gap junctions act on the mean of the whole
site.

Step: exponential Runge-Kutta of second order, each neuron and variable with its own rate
l = pull + gap of the strong coupling,

    x^ = x + h phi1(-l h) G(x) + s xi,   x' = x^ + h phi2(-l h) [N(x^) - N(x)],   N(x) = G(x) + l x,

s^2 = sigma^2 (1 - e^{-2 l h})/(2 l).  Weak order 2.  The means of the populations act on each other
at rates of the size of l: longer steps than 1/l (at the start) could settle on false cycles and are
refused.

Unlike ``particles`` it records currents: what excites and inhibits the neurons, what is left of it,
and where each neuron's own balance lies.

Source: Quininao & Touboul 2025, abstract; scheme after Hochbruck & Ostermann 2010; docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple
from scipy.stats import binom

from neurolim.core import (
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
from neurolim.kernels.model_code import compiled_equations, kernel_key
from neurolim.numerics.cache import keep_compiled, named
from neurolim.numerics.elementary import expm1
from neurolim.numerics.random import (
    BLOCK,
    STREAM_INITIAL,
    STREAM_NOISE,
    STREAMS_PER_SITE,
    normals,
    uniforms,
)
from neurolim.solvers._layout import layout
from neurolim.solvers._times import (
    TIME_OPTIONS,
    largest_rate,
    record_times,
    state_coords,
    steps_per_record,
)

OPTIONS = (
    Param("n_neurons", 1000, doc="neurons per site", kind="integer", low=1, high=2**24),
    Param("dt", 0.005, "time", "time step h", positive=True),
    *TIME_OPTIONS,
    Param(
        "wires",
        "all",
        doc="who hears whom: all, a fixed number of neurons per site, or a binomial number",
        kind="choice",
        choices=("all", "fixed", "binomial"),
    ),
    Param("in_degree", 100, doc="wires k per neuron and site", kind="integer", low=1, high=2**20),
    Param("bins", 60, doc="histogram bins", kind="integer", low=1, high=10_000),
    Param("bin_range", 6.0, doc="histogram covers +- this many scales", positive=True),
)

#: Streams of random numbers that lay the wires of a site: degrees, then one per site it hears.
_STREAM_DEGREE, _STREAM_WIRE = 120, 128
_MOST_SITES = 128
#: What the kernel ``record`` measures.
_RECORDED = (
    "excitation",
    "inhibition",
    "neuron_index",
    "target_mean",
    "target_variance",
    "scale",
)
#: Steps longer than this many relaxation times 1/(pull + gap) of a neuron are refused.
_LONGEST = 1.0
#: Core-nanoseconds per neuron, state variable and step, and per wire and step: measured.
_NANOSECONDS, _PER_WIRE = 75.0, 6.0


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return moments, currents and histogram."""
    site = ("time", "site")
    return (
        Var("mean", "state", "mean of the site", (*site, "variable")),
        Var(
            "covariance",
            "state^2",
            "covariance about the mean of the site (divided by n)",
            (*site, "variable", "variable_b"),
        ),
        Var("excitation", "1/time", "mean depolarising synaptic current", site),
        Var("inhibition", "1/time", "mean hyperpolarising synaptic current", site),
        Var("neuron_index", "1", "mean over neurons of |E+I|/(|E|+|I|)", site),
        Var("target_mean", "1", "mean over neurons of their own balance voltage", site),
        Var("target_variance", "1", "variance over neurons of their own balance voltage", site),
        Var("scale", "1", "noise/sqrt(2 (pull + gap)), unit of the histogram", site),
        Var(
            "histogram",
            "1",
            "neurons per bin of (v - site mean)/scale",
            (*site, "bin"),
            "int32",
        ),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variable and bin coordinates."""
    width = 2.0 * options["bin_range"] / options["bins"]
    centres = (-options["bin_range"] + (i + 0.5) * width for i in range(options["bins"]))
    return state_coords(model, params, options) | {
        "bin": Coord(tuple(centres), "scale", "bin centre of (v - site mean)/scale")
    }


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Predict the cost of one replica from the measured time per neuron-step and wire."""
    sites = model.sites(params)
    count = len(sites.labels)
    wires = 0 if options["wires"] == "all" else count * options["in_degree"]
    nanoseconds = _NANOSECONDS * len(model.state) + 2 * _PER_WIRE * wires
    neurons = count * options["n_neurons"]
    steps = options["t_end"] / options["dt"]
    return Cost(steps * neurons * nanoseconds * 1e-9, neurons * (100.0 + 4.0 * wires))


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse steps that do not fit the records or the coupling, too many wires, and reflection.

    Raises
    ------
    StudyError
    """
    steps_per_record(options)
    if any(var.floor is not None for var in model.state):
        raise StudyError("solver", "wired knows no reflection", "particles")
    rate = largest_rate(model, params)
    if options["dt"] * rate > _LONGEST:
        raise StudyError(
            "dt",
            f"{options['dt']:g} is longer than the relaxation time 1/(pull + gap) = {1 / rate:g}",
            f"dt <= {_LONGEST / rate:g}",
        )
    if len(model.sites(params).labels) > _MOST_SITES:
        raise StudyError("weights", "too many populations", f"at most {_MOST_SITES}")
    if options["wires"] != "all" and options["in_degree"] > options["n_neurons"]:
        raise StudyError(
            "in_degree",
            f"{options['in_degree']} wires from {options['n_neurons']} neurons",
            "at most n_neurons",
        )


class Wires(NamedTuple):
    """Who hears whom: ``source[place[s, r, i] : place[s, r, i + 1]]`` are what (s, i) hears of r.

    degree : neurons a mean is divided by; 0 for all to all, when the arrays are empty
    """

    source: np.ndarray
    place: np.ndarray
    degree: int


def lay_wires(n_sites: int, n: int, options: Mapping[str, Any], key: int, replica: int) -> Wires:
    """Return the wires of one network: a function of key and replica alone.

    Parameters
    ----------
    n_sites, n : sites, neurons per site
    options : ``wires`` and ``in_degree``
    key, replica : of the noise
    """
    rule, degree = options["wires"], options["in_degree"]
    if rule == "all":
        return Wires(np.zeros(0, np.int32), np.zeros((n_sites, n_sites, n + 1), np.int64), 0)
    padded = -(-n // BLOCK) * BLOCK
    u = np.empty(padded)
    place = np.zeros((n_sites, n_sites, n + 1), np.int64)
    parts, total = [], 0
    for s in range(n_sites):
        streams = s * STREAMS_PER_SITE
        for r in range(n_sites):
            degrees = np.full(n, degree)
            if rule == "binomial":
                uniforms(u, 0, np.uint64(key), replica, r, streams + _STREAM_DEGREE)
                degrees = _binomial(u[:n], n, degree / n)
            draws = np.empty((degrees.max(), padded))
            for k in range(len(draws)):
                uniforms(draws[k], 0, np.uint64(key), replica, k, streams + _STREAM_WIRE + r)
            chosen = np.arange(len(draws)) < degrees[:, None]
            parts.append((draws[:, :n].T[chosen] * n).astype(np.int32))
            place[s, r] = total + np.concatenate([[0], np.cumsum(degrees)])
            total = int(place[s, r, -1])
    return Wires(np.concatenate(parts), place, degree)


def _binomial(u: np.ndarray, n: int, share: float) -> np.ndarray:
    """Return Binomial(n, share) numbers from uniforms by inverting the distribution."""
    spread = np.sqrt(n * share * (1.0 - share))
    low = max(0, int(n * share - 8.0 * spread - 10.0))
    high = min(n, int(n * share + 8.0 * spread + 10.0))
    values = np.arange(low, high + 1)
    return values[np.minimum(np.searchsorted(binom.cdf(values, n, share), u), len(values) - 1)]


class Kernels(NamedTuple):
    """Compiled functions that move and record a wired network."""

    start: Callable[..., None]
    advance: Callable[..., None]
    record: Callable[..., None]


_compiling = Lock()


def kernels(model: Model) -> Kernels:
    """Return the compiled functions of a model, built once per process.

    Parameters
    ----------
    model : its kernels are compiled in
    """
    with _compiling:
        return _build(model)


@lru_cache(maxsize=16)
def _build(model: Model) -> Kernels:
    d, n_fields, n_means, parameters_class, n_parameters, _ = layout(model)
    key, known = kernel_key(model, __name__)

    def compiled(function: Any) -> Any:
        return njit(error_model="numpy", nogil=True)(named(function, key))

    drift, relax, noise, field, initial, _ = compiled_equations(model, key)

    @compiled
    def parameters(rows, site):
        return parameters_class(*to_fixed_tuple(rows[site], n_parameters))

    @compiled
    def send(X, rows, n, sent, means):
        """Fill sent [site, n, n_means] with what each neuron sends, and its means."""
        x = np.empty(d)
        for s in range(X.shape[0]):
            p = parameters(rows, s)
            means[s] = 0.0
            for i in range(n):
                for k in range(d):
                    x[k] = X[s, i, k]
                    sent[s, i, k] = x[k]
                # An empty tuple cannot be indexed, not even in a loop that never runs.
                if n_fields > 0:
                    fields = field(to_fixed_tuple(x, d), p)
                    for k in range(n_fields):
                        sent[s, i, d + k] = fields[k]
                for k in range(n_means):
                    means[s, k] += sent[s, i, k]
            for k in range(n_means):
                means[s, k] /= n

    @compiled
    def hear(s, r, i, source, place, degree, sent, means, heard):
        """Fill heard [n_means] with what neuron i of site s hears of site r, without weight."""
        if degree == 0:
            heard[:] = means[r]
            return
        heard[:] = 0.0
        for j in range(place[s, r, i], place[s, r, i + 1]):
            for k in range(n_means):
                heard[k] += sent[r, source[j], k]
        for k in range(n_means):
            heard[k] /= degree

    @compiled
    def start(X, rows, n, key, replica):
        """Draw the initial states X [site, n, d]."""
        padded = -(-n // BLOCK) * BLOCK
        z = np.empty((d, padded))
        one = np.empty(d)
        for s in range(X.shape[0]):
            p = parameters(rows, s)
            for k in range(d):
                normals(z[k], 0, key, replica, 0, s * STREAMS_PER_SITE + STREAM_INITIAL + k)
            for i in range(n):
                for k in range(d):
                    one[k] = z[k, i]
                state = initial(to_fixed_tuple(one, d), p)
                for k in range(d):
                    X[s, i, k] = state[k]

    @compiled
    def forces(X, rows, coupling, source, place, degree, sent, means, n, G, L, first):
        """Fill G [site, n, d] with all forces; L with the rates of the strong ones if ``first``."""
        total, heard, x = np.empty(n_means), np.empty(n_means), np.empty(d)
        n_sites = X.shape[0]
        for s in range(n_sites):
            p = parameters(rows, s)
            m = to_fixed_tuple(means[s], n_means)
            for i in range(n):
                if i == 0 or degree > 0:
                    total[:] = 0.0
                    for r in range(n_sites):
                        if coupling[s, r] != 0.0:
                            hear(s, r, i, source, place, degree, sent, means, heard)
                            for k in range(n_means):
                                total[k] += coupling[s, r] * heard[k]
                for k in range(d):
                    x[k] = X[s, i, k]
                c = to_fixed_tuple(total, n_means)
                pull, target, gap = relax(m, c, p)
                local = drift(to_fixed_tuple(x, d), m, c, p)
                for k in range(d):
                    G[s, i, k] = (
                        local[k] + pull[k] * (target[k] - x[k]) + gap[k] * (means[s, k] - x[k])
                    )
                    if first:
                        L[s, i, k] = pull[k] + gap[k]

    @compiled
    def phis(z):
        """Return phi1(-z) and phi2(-z) for z >= 0, to rounding (series: truncation z^6/40320)."""
        if z < 0.02:
            phi2 = 0.5 - z * (
                1.0 / 6.0 - z * (1.0 / 24.0 - z * (1.0 / 120.0 - z * (1.0 / 720.0 - z / 5040.0)))
            )
            return 1.0 - z * phi2, phi2
        phi1 = -expm1(-z) / z
        return phi1, (1.0 - phi1) / z

    @compiled
    def advance(X, rows, coupling, source, place, degree, n, h, key, replica, first, last):
        """Do the steps first, first + 1, ..., last - 1 on X [site, n, d]."""
        n_sites = X.shape[0]
        padded = -(-n // BLOCK) * BLOCK
        sent, means = np.empty((n_sites, n, n_means)), np.empty((n_sites, n_means))
        Y, G, F, L = np.empty_like(X), np.empty_like(X), np.empty_like(X), np.empty_like(X)
        z = np.empty(padded)
        for step in range(first, last):
            send(X, rows, n, sent, means)
            forces(X, rows, coupling, source, place, degree, sent, means, n, G, L, True)
            for s in range(n_sites):
                amplitudes = noise(parameters(rows, s))
                for k in range(d):
                    sigma = amplitudes[k]
                    if sigma != 0.0:
                        stream = s * STREAMS_PER_SITE + STREAM_NOISE + k
                        normals(z, 0, key, replica, step, stream)
                    rate, weight, spread = -1.0, 0.0, 0.0
                    for i in range(n):
                        # All to all, the rate is that of the site.
                        if L[s, i, k] != rate:
                            rate = L[s, i, k]
                            weight = h * phis(rate * h)[0]
                            spread = sigma * np.sqrt(h * phis(2.0 * rate * h)[0])
                        Y[s, i, k] = X[s, i, k] + weight * G[s, i, k]
                        if sigma != 0.0:
                            Y[s, i, k] += spread * z[i]
            send(Y, rows, n, sent, means)
            forces(Y, rows, coupling, source, place, degree, sent, means, n, F, L, False)
            for s in range(n_sites):
                for k in range(d):
                    rate, weight = -1.0, 0.0
                    for i in range(n):
                        if L[s, i, k] != rate:
                            rate = L[s, i, k]
                            weight = h * phis(rate * h)[1]
                        change = F[s, i, k] - G[s, i, k] + rate * (Y[s, i, k] - X[s, i, k])
                        X[s, i, k] = Y[s, i, k] + weight * change

    @compiled
    def record(X, rows, coupling, source, place, degree, n, found):
        """Fill found [site, 6] with what ``_RECORDED`` names."""
        n_sites = X.shape[0]
        sent, means = np.empty((n_sites, n, n_means)), np.empty((n_sites, n_means))
        heard, total = np.empty(n_means), np.empty(n_means)
        send(X, rows, n, sent, means)
        for s in range(n_sites):
            p = parameters(rows, s)
            m = to_fixed_tuple(means[s], n_means)
            found[s] = 0.0
            for i in range(n):
                excitation, inhibition = 0.0, 0.0
                total[:] = 0.0
                for r in range(n_sites):
                    hear(s, r, i, source, place, degree, sent, means, heard)
                    for k in range(n_means):
                        heard[k] *= coupling[s, r]
                        total[k] += heard[k]
                    pull, target, _ = relax(m, to_fixed_tuple(heard, n_means), p)
                    current = pull[0] * (target[0] - X[s, i, 0])
                    excitation += max(current, 0.0)
                    inhibition += min(current, 0.0)
                pull, target, gap = relax(m, to_fixed_tuple(total, n_means), p)
                found[s, 0] += excitation / n
                found[s, 1] += inhibition / n
                if excitation > inhibition:
                    found[s, 2] += abs(excitation + inhibition) / (excitation - inhibition) / n
                # About the mean of the site: the variance is far below the square of the mean.
                away = target[0] - means[s, 0]
                found[s, 3] += away / n
                found[s, 4] += away * away / n
                found[s, 5] += (pull[0] + gap[0]) / n
            found[s, 4] = max(0.0, found[s, 4] - found[s, 3] * found[s, 3])
            found[s, 3] += means[s, 0]
            found[s, 5] = noise(p)[0] / np.sqrt(2.0 * found[s, 5])

    return Kernels(*(keep_compiled(function, key, known) for function in (start, advance, record)))


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Simulate the network once per replica; each replica has wires of its own.

    Returns
    -------
    arrays [replica, ...] as in ``outputs``; a replica that leaves the finite numbers is DIVERGED
    and holds NaN (0 counts) everywhere.
    """
    sites = model.sites(params)
    sizes = {name: len(coord.values) for name, coord in coords(model, params, options).items()}
    arrays = {
        var.name: np.zeros((len(replicas), *(sizes[dim] for dim in var.dims)), var.dtype)
        for var in outputs(model, options)
    }
    status = np.zeros(len(replicas), np.int8)
    for place, replica in enumerate(replicas):
        record = {name: array[place] for name, array in arrays.items()}
        if not _run(model, sites, options, key, replica, record):
            status[place] = Status.DIVERGED
            for array in record.values():
                array[...] = np.nan if array.dtype.kind == "f" else 0
    return Solution(arrays, status)


def _run(
    model: Model,
    sites: Sites,
    options: Mapping[str, Any],
    key: int,
    replica: int,
    record: Mapping[str, np.ndarray],
) -> bool:
    """Fill one replica's arrays [time, ...]; return whether all numbers are finite."""
    run = kernels(model)
    n, steps, n_sites = options["n_neurons"], steps_per_record(options), len(sites.labels)
    rows = np.array([[float(value) for value in p] for p in sites.params])
    wires = lay_wires(n_sites, n, options, key, replica)
    network = (rows, np.ascontiguousarray(sites.coupling, dtype=float), *wires, n)
    X = np.empty((n_sites, n, len(model.state)))
    noise = (np.uint64(key), replica)
    run.start(X, rows, n, *noise)
    found = np.empty((n_sites, len(_RECORDED)))
    edges = np.linspace(-options["bin_range"], options["bin_range"], options["bins"] + 1)
    for t in range(len(record_times(options))):
        if t > 0:
            run.advance(X, *network, options["dt"], *noise, (t - 1) * steps, t * steps)
        if not np.isfinite(X).all():
            return False
        run.record(X, *network, found)
        for name, column in zip(_RECORDED, found.T, strict=True):
            record[name][t] = column
        mean = X.mean(axis=1)
        record["mean"][t] = mean
        for s, scale in enumerate(record["scale"][t]):
            away = X[s] - mean[s]
            record["covariance"][t, s] = away.T @ away / n
            unit = scale if scale > 0.0 and np.isfinite(scale) else 1.0
            record["histogram"][t, s] = np.histogram(away[:, 0] / unit, edges)[0]
    return True


SOLVER = Solver(
    summary="The network of n neurons per site, wired all to all or at random, with its currents.",
    source="Quininao & Touboul 2025, abstract; Hochbruck & Ostermann 2010; docs/balance.md",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=True,
)
