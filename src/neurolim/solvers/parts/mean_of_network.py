r"""The mean of a finite network of any model whose law concentrates, as a stochastic equation.

    dM = [ <drift>(M) + pull (target - M) ] dt + n^{-1/2} A dB

<.> is the average over a normal law about M, independent in each of the variables that enter
otherwise than affinely (Gauss's rule of four nodes each, exact to degree 7), of the variances at
which the Gaussian closure arrives,

    S_k = noise_k^2 / (2 (pull_k + gap_k - <d drift_k/dx_k>)),      S <d drift> = <drift (x - M)>,

found by three iterations from a slope of zero; each gains a factor of the order of the slope
over the coupling.  Means of fields are averages, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from neurolim.core import Model
from neurolim.kernels.access import means_at, parameters_at, put, state_at
from neurolim.kernels.model_code import step_code
from neurolim.numerics import hermite
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.random import BLOCK, STREAM_INITIAL, STREAM_NOISE, normals
from neurolim.numerics.structure import structure_of
from neurolim.provenance import code_digest
from neurolim.solvers.parts.needs import one_site

_NODES = 4
_ITERATIONS = 3
_BATCH = 8 * BLOCK
#: Core-nanoseconds per step and node of the average, for the cost model.
NANOSECONDS = 500.0


class Average(NamedTuple):
    """How averages over the law about the mean are taken.

    bent : variables that enter otherwise than affinely [q]
    nodes, weights : standard normal nodes [q, n] and weights [n]
    tilted : their products [q, n]
    variance : noise^2/2 of every variable, 0 for a law without width [d]
    weight : of the site's coupling to itself
    """

    bent: np.ndarray
    nodes: np.ndarray
    weights: np.ndarray
    tilted: np.ndarray
    variance: np.ndarray
    weight: float


class Work(NamedTuple):
    """Arrays that a slope needs: states and drifts [d, n], fields, means, rates, variances."""

    x: np.ndarray
    drift: np.ndarray
    fields: np.ndarray
    means: np.ndarray
    rates: np.ndarray
    spread: np.ndarray


def average_of(model: Model, params: Mapping[str, Any], wide: bool) -> Average:
    """Return how averages over the law about the mean of a network are taken.

    Parameters
    ----------
    model, params : the network, on one site
    wide : whether the law has a width
    """
    sites = one_site(model.sites(params))
    bent = [model.symbols.index(name[2:]) for name in structure_of(model).nonlinear] if wide else []
    points, shares = hermite.nodes(_NODES)
    grid = np.array([*itertools.product(range(_NODES), repeat=len(bent))], dtype=int)
    grid = grid.reshape(_NODES ** len(bent), len(bent))
    noise = np.array(model.equations.noise(sites.params[0]), dtype=float)
    nodes, weights = np.ascontiguousarray(points[grid].T), shares[grid].prod(axis=1)
    return Average(
        bent=np.array(bent, dtype=np.int64),
        nodes=nodes,
        weights=weights,
        tilted=nodes * weights,
        variance=0.5 * noise**2 if wide else np.zeros(noise.size),
        weight=float(sites.coupling[0, 0]),
    )


@njit(error_model="numpy", nogil=True)
def sum_of(weights, values):
    """Return the sum of weights times values: short, so a loop and no library's product."""
    total = 0.0
    for i in range(weights.size):
        total += weights[i] * values[i]
    return total


@njit(error_model="numpy", nogil=True)
def spread_out(code, t, mean, p, average, work):
    """Fill ``work`` for a law of the spreads it holds about the mean: states, rates, drifts."""
    d, count = work.x.shape
    n_fields = work.fields.shape[0]
    for k in range(d):
        work.means[0, k] = mean[k]
        for i in range(count):
            work.x[k, i] = mean[k]
    for q in range(average.bent.size):
        k = average.bent[q]
        for i in range(count):
            work.x[k, i] += work.spread[k] * average.nodes[q, i]
    if n_fields > 0:
        for i in range(count):
            put(work.fields, i, code.field(state_at(code, work.x, i), p))
        for k in range(n_fields):
            work.means[0, d + k] = sum_of(average.weights, work.fields[k])
    for k in range(work.means.shape[1]):
        work.means[1, k] = average.weight * work.means[0, k]
    m, c = means_at(code, work.means, 0), means_at(code, work.means, 1)
    pull, target, gap = code.relax(m, c, p)
    put(work.rates, 0, pull)
    put(work.rates, 1, target)
    put(work.rates, 2, gap)
    for i in range(count):
        put(work.drift, i, code.drift(t, state_at(code, work.x, i), m, c, p))


@njit(error_model="numpy", nogil=True)
def slope(code, t, mean, p, average, work, out):
    """Fill out [d] with the drift of the mean."""
    work.spread[:] = 0.0
    for _ in range(_ITERATIONS if average.bent.size > 0 else 0):
        spread_out(code, t, mean, p, average, work)
        for q in range(average.bent.size):
            k = average.bent[q]
            steep = 0.0
            if work.spread[k] > 0.0:
                steep = sum_of(average.tilted[q], work.drift[k]) / work.spread[k]
            rate = work.rates[k, 0] + work.rates[k, 2] - steep
            if average.variance[k] > 0.0:
                # A rate below zero holds nothing together: not a number, so DIVERGED.
                work.spread[k] = np.sqrt(average.variance[k] / rate)
    spread_out(code, t, mean, p, average, work)
    for k in range(mean.size):
        pulled = work.rates[k, 0] * (work.rates[k, 1] - mean[k])
        out[k] = sum_of(average.weights, work.drift[k]) + pulled


@njit(error_model="numpy", nogil=True)
def follow(code, start, rows, average, work, force, h, stride, every, key, replica, mean, trace):
    """Fill mean [records + 1, d] and trace [samples, d] of one replica from start [d].

    Runge-Kutta of order 4 with the noise of a step, force [d] times normals, as a constant force.
    """
    d = start.size
    p = parameters_at(code, rows, 0)
    z = np.zeros((d, _BATCH))
    x, reached, total = start.copy(), start.copy(), start.copy()
    change, push = start.copy(), start.copy()
    mean[0] = x
    if every > 0:
        trace[0] = x
    for step in range(stride * (mean.shape[0] - 1)):
        if step % _BATCH == 0:
            for k in range(d):
                if force[k] > 0.0:
                    normals(z[k], step, key, replica, 0, STREAM_NOISE + k)
        for k in range(d):
            push[k], total[k], change[k] = force[k] * z[k, step % _BATCH], 0.0, 0.0
        for stage in range(4):
            reach = h if stage == 3 else (0.5 * h if stage > 0 else 0.0)
            share = h / 3.0 if stage == 1 or stage == 2 else h / 6.0
            for k in range(d):
                reached[k] = x[k] + reach * change[k]
            slope(code, step * h + reach, reached, p, average, work, change)
            for k in range(d):
                change[k] += push[k]
                total[k] += share * change[k]
        for k in range(d):
            x[k] += total[k]
        if every > 0 and (step + 1) % every == 0:
            trace[(step + 1) // every] = x
        if (step + 1) % stride == 0:
            mean[(step + 1) // stride] = x


keep_compiled(follow, code_digest(__name__))


def simulate(
    model: Model,
    params: Mapping[str, Any],
    average: Average,
    steps: tuple[float, int, int],
    key: int,
    replicas: range,
    mean: np.ndarray,
    trace: np.ndarray,
    n_neurons: int,
) -> None:
    """Fill mean [replica, records + 1, d] and trace [replica, samples, d].

    Parameters
    ----------
    model, params : the network
    average : see ``average_of``
    steps : length of a step, steps between records, steps between samples of the trace
    key, replicas : of the noise
    mean, trace : to be filled
    n_neurons : n
    """
    (p,) = model.sites(params).params
    d, count, root = len(model.state), average.weights.size, np.sqrt(float(n_neurons))
    work = Work(
        x=np.empty((d, count)),
        drift=np.empty((d, count)),
        fields=np.empty((len(model.fields), count)),
        means=np.empty((2, len(model.means))),
        rates=np.empty((d, 3)),
        spread=np.empty(d),
    )
    rows, force = np.array([p], dtype=float), np.array(model.equations.noise(p), dtype=float)
    h, stride, every = steps
    z = np.empty((d, BLOCK))
    for i, replica in enumerate(replicas):
        for k in range(d):
            normals(z[k], 0, np.uint64(key), replica, 0, STREAM_INITIAL + k)
        start = model.equations.initial(tuple((z[:, 0] / root).tolist()), p)
        follow(
            step_code(model), np.array(start, dtype=float), rows, average, work,
            force / (root * np.sqrt(h)), h, stride, every, np.uint64(key), replica, mean[i],
            trace[i],
        )  # fmt: skip
