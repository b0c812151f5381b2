r"""Time steps of a network of neurons on counter-based noise, compiled for one model.

Two schemes for  dx = [drift + pull (target - x) + gap (mean - x)] dt + noise dW  (core.Model):

``euler_maruyama``
    x' = x + h (...) + noise dW.  Weak order 1; needs h << 1/(pull + gap), diverges beyond
    h = 2/(pull + gap).  The baseline.

``exponential``
    Exponential Rosenbrock step.  About the site mean M the equation is split into a mean mode,
    generator L_m = J - pull, and a fluctuation mode, generator L_y = J - pull - gap, with J the
    slope of the drift at M.  Each mode is a matrix Ornstein-Uhlenbeck process and is stepped
    exactly; what is left is treated by a two-stage correction (ETD-RK2):

        X^ = X + P1 G(X) + C xi,      X' = X^ + P2 [N(X^) - N(X)],   N = G - L X,

    P1 = h phi1(L h), P2 = h phi2(L h), C C^T the covariance of the noise over the step.  Weak
    order 2 in h for additive noise, exact in law for linear networks at any h, stable for any
    h (pull + gap); the O(eps) correction of the variance survives h >> eps.

Sources: Quininao & Touboul 2020, eq. (6.6) (equations); Hochbruck & Ostermann 2010 (exponential
Rosenbrock methods); Kloeden & Platen 1992, sec. 15.1 (weak order 2 for additive noise); Lepingle
1995 (reflection by the minimum of the Brownian bridge).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple

from neurolim.core import Model
from neurolim.numerics.cache import keep_compiled, named
from neurolim.numerics.columns import (
    SUM_LANES,
    TILE,
    accessors,
    add_to_lanes,
    load,
    store,
    sum_lanes,
)
from neurolim.numerics.elementary import log
from neurolim.numerics.exponential import propagator
from neurolim.numerics.lowlevel import stack_array
from neurolim.numerics.random import (
    STREAM_BRIDGE,
    STREAM_INITIAL,
    STREAM_NOISE,
    normals,
    uniforms,
)
from neurolim.provenance import code_digest

_SLOPE_STEP = 2.0**-10


class Kernels(NamedTuple):
    """Compiled functions that move a network.

    n_means : length of a row of means: state variables, then fields
    start : (X, rows, key, replica, n, means) draws the initial state and fills ``means``
    advance : (X, rows, coupling, means, n, h, key, replica, first, last) does steps first..last
    """

    n_means: int
    start: Callable[..., None]
    advance: Callable[..., None]


_compiling = Lock()


def kernels(model: Model, scheme: str) -> Kernels:
    """Return the compiled network step of a model, built once per process.

    Model functions are the only thing compiled in; every number is an argument, so one kernel
    serves a whole sweep.

    Parameters
    ----------
    model : its kernels are inlined into the loops over neurons
    scheme : "exponential" or "euler_maruyama"
    """
    with _compiling:
        return _build(model, scheme)


@lru_cache(maxsize=64)
def _build(model: Model, scheme: str) -> Kernels:
    d = len(model.state)
    sites = model.prepare({param.name: param.default for param in model.params})
    parameters_class = type(sites.params[0])
    n_parameters = len(sites.params[0])
    n_fields = len(model.field(tuple(0.5 for _ in range(d)), sites.params[0]))
    floors = np.array([-np.inf if v.reflect is None else v.reflect for v in model.state])
    reflects = bool(np.isfinite(floors).any())

    key = code_digest(__name__, model.drift.__module__)
    tag = f"{key}_{scheme}"

    def inline(function: Any) -> Any:
        return njit(error_model="numpy", forceinline=True)(named(function, tag))

    def compiled(function: Any) -> Any:
        return njit(error_model="numpy", nogil=True)(named(function, tag))

    drift, relax, noise = inline(model.drift), inline(model.relax), inline(model.noise)
    field, initial = inline(model.field), inline(model.initial)
    gather, scatter = accessors(d)
    _, scatter_field = accessors(n_fields)
    n_means = d + n_fields
    # The size of a stack buffer must be a constant when the kernel is compiled.
    field_rows = max(1, n_fields)
    means_of = _tuple_reader(n_means)
    propagate = propagator(d)
    exponential = scheme == "exponential"

    @inline
    def parameters(rows, site):
        return parameters_class(*to_fixed_tuple(rows[site], n_parameters))

    @compiled
    def couple(coupling, means, inputs):
        """Fill inputs = K means: what every site receives from the others."""
        for s in range(means.shape[0]):
            for k in range(n_means):
                total = 0.0
                for r in range(means.shape[0]):
                    total += coupling[s, r] * means[r, k]
                inputs[s, k] = total

    @inline
    def accumulate(lanes, buffer, count, p):
        """Add a tile's states and fields to the running sums."""
        for k in range(d):
            add_to_lanes(lanes, buffer, k, count)
        if n_fields > 0:
            fields = stack_array(np.float64, field_rows, TILE)
            for i in range(count):
                scatter_field(fields, i, field(gather(buffer, i), p))
            for k in range(n_fields):
                add_to_lanes(lanes[d:], fields, k, count)

    @compiled
    def start(X, rows, key, replica, n, means):
        """Draw the initial states and their means."""
        for s in range(X.shape[1]):
            p = parameters(rows, s)
            lanes = stack_array(np.float64, n_means, SUM_LANES)
            lanes[:] = 0.0
            z = stack_array(np.float64, d, TILE)
            x = stack_array(np.float64, d, TILE)
            for first in range(0, X.shape[2], TILE):
                size = min(TILE, X.shape[2] - first)
                count = min(size, n - first)
                for k in range(d):
                    normals(
                        z[k, :size],
                        s * X.shape[2] + first,
                        key,
                        replica,
                        0,
                        STREAM_INITIAL + k,
                    )
                for i in range(size):
                    scatter(x, i, initial(gather(z, i), p))
                store(X, x, first, size, s)
                accumulate(lanes, x, count, p)
            for k in range(n_means):
                means[s, k] = sum_lanes(lanes, k) / n

    @inline
    def draw(z, amplitudes, offset, size, key, replica, step):
        """Fill a tile with this step's normals; variables without noise get zeros."""
        for k in range(d):
            column = z[k, :size]
            if amplitudes[k] != 0.0:
                normals(column, offset, key, replica, step, STREAM_NOISE + k)
            else:
                column[:] = 0.0

    @inline
    def reflect(old, new, amplitudes, h, offset, size, key, replica, step):
        """Push proposals up by how far the bridge from old to new went below the floor.

        The minimum of a Brownian bridge has the law (x + y - sqrt((y - x)^2 - 2 s^2 h ln U))/2;
        the push is the local time of the reflected path (Lepingle 1995), weak order 1.
        """
        u = stack_array(np.float64, 1, TILE)
        for k in range(d):
            if floors[k] == -np.inf:
                continue
            uniforms(u[0, :size], offset, key, replica, step, STREAM_BRIDGE + k)
            spread = 2.0 * amplitudes[k] * amplitudes[k] * h
            floor = floors[k]
            for i in range(size):
                x, y = old[k, i], new[k, i]
                low = 0.5 * (x + y - np.sqrt((y - x) * (y - x) - spread * log(u[0, i])))
                new[k, i] = y + (floor - low if low < floor else 0.0)

    @compiled
    def euler_step(X, rows, means, inputs, n, h, key, replica, step):
        """Move every neuron by one Euler-Maruyama step; ``means`` becomes that of the new state."""
        root_h = np.sqrt(h)
        for s in range(X.shape[1]):
            p = parameters(rows, s)
            m, c = means_of(means[s]), means_of(inputs[s])
            pull, target, gap = relax(m, c, p)
            amplitudes = noise(p)
            lanes = stack_array(np.float64, n_means, SUM_LANES)
            lanes[:] = 0.0
            z = stack_array(np.float64, d, TILE)
            x = stack_array(np.float64, d, TILE)
            y = stack_array(np.float64, d, TILE)
            for first in range(0, X.shape[2], TILE):
                size = min(TILE, X.shape[2] - first)
                count = min(size, n - first)
                offset = s * X.shape[2] + first
                draw(z, amplitudes, offset, size, key, replica, step)
                load(x, X, first, size, s)
                for i in range(size):
                    scatter(y, i, drift(gather(x, i), m, c, p))
                for k in range(d):
                    a, t, g, mean = pull[k], target[k], gap[k], m[k]
                    scale = amplitudes[k] * root_h
                    for i in range(size):
                        v = x[k, i]
                        slope = y[k, i] + a * (t - v) + g * (mean - v)
                        y[k, i] = v + h * slope + scale * z[k, i]
                if reflects:
                    reflect(x, y, amplitudes, h, offset, size, key, replica, step)
                store(X, y, first, size, s)
                accumulate(lanes, y, count, p)
            for k in range(n_means):
                means[s, k] = sum_lanes(lanes, k) / n

    @compiled
    def slopes(m, c, p, J, x):
        """Fill J [d, d] with the slope of the drift at the site mean, by central differences.

        Any J keeps the scheme second order; an accurate one makes it exact for linear drift.
        """
        for j in range(d):
            for k in range(d):
                x[k] = m[k]
            x[j] = m[j] + _SLOPE_STEP
            up = drift(to_fixed_tuple(x, d), m, c, p)
            x[j] = m[j] - _SLOPE_STEP
            down = drift(to_fixed_tuple(x, d), m, c, p)
            for k in range(d):
                J[k, j] = (up[k] - down[k]) * (0.5 / _SLOPE_STEP)

    @inline
    def forces(G, x, m, c, p, pull, target, gap, size):
        """Fill a tile with drift + pull (target - x) + gap (mean - x)."""
        for i in range(size):
            scatter(G, i, drift(gather(x, i), m, c, p))
        for k in range(d):
            a, t, g, mean = pull[k], target[k], gap[k], m[k]
            for i in range(size):
                v = x[k, i]
                G[k, i] += a * (t - v) + g * (mean - v)

    @inline
    def add_product(out, matrix, x, size):
        """Add matrix x to every neuron of a tile."""
        for k in range(d):
            for j in range(d):
                factor = matrix[k, j]
                if factor != 0.0:
                    for i in range(size):
                        out[k, i] += factor * x[j, i]

    @compiled
    def exponential_step(X, Y, F, rows, coupling, means, inputs, n, h, key, replica, step):
        """Move every neuron by one exponential Rosenbrock step (module docstring).

        X holds the state, Y the predictor, F the forces at X [d, n_sites, n_padded].
        """
        n_sites, n_padded = X.shape[1], X.shape[2]
        mean_force = np.empty((n_sites, d))
        predicted = np.empty((n_sites, n_means))
        received = np.empty((n_sites, n_means))
        Lm, Ly = np.empty((n_sites, d, d)), np.empty((n_sites, d, d))
        P2m, P2y = np.empty((n_sites, d, d)), np.empty((n_sites, d, d))
        P1m, P1y = np.empty((d, d)), np.empty((d, d))
        Cm, Cy, J = np.empty((d, d)), np.empty((d, d)), np.empty((d, d))
        shift, sigma = np.empty(d), np.empty(d)
        x = stack_array(np.float64, d, TILE)
        y = stack_array(np.float64, d, TILE)
        z = stack_array(np.float64, d, TILE)
        g = stack_array(np.float64, d, TILE)

        for s in range(n_sites):
            p = parameters(rows, s)
            m, c = means_of(means[s]), means_of(inputs[s])
            pull, target, gap = relax(m, c, p)
            amplitudes = noise(p)
            slopes(m, c, p, J, shift)
            for k in range(d):
                sigma[k] = amplitudes[k]
                for j in range(d):
                    Lm[s, k, j] = J[k, j] - (pull[k] if j == k else 0.0)
                    Ly[s, k, j] = J[k, j] - (pull[k] + gap[k] if j == k else 0.0)
            propagate(Lm[s], sigma, h, P1m, P2m[s], Cm)
            propagate(Ly[s], sigma, h, P1y, P2y[s], Cy)

            # Predictor with the fluctuation mode's matrices; what the mean mode does differently
            # is the same for every neuron and is added once the sums are known.
            force_lanes = stack_array(np.float64, d, SUM_LANES)
            noise_lanes = stack_array(np.float64, d, SUM_LANES)
            force_lanes[:] = 0.0
            noise_lanes[:] = 0.0
            for first in range(0, n_padded, TILE):
                size = min(TILE, n_padded - first)
                count = min(size, n - first)
                for k in range(d):
                    normals(
                        z[k, :size],
                        s * n_padded + first,
                        key,
                        replica,
                        step,
                        STREAM_NOISE + k,
                    )
                load(x, X, first, size, s)
                forces(g, x, m, c, p, pull, target, gap, size)
                store(F, g, first, size, s)
                for k in range(d):
                    add_to_lanes(force_lanes, g, k, count)
                    add_to_lanes(noise_lanes, z, k, count)
                    for i in range(size):
                        y[k, i] = x[k, i]
                add_product(y, P1y, g, size)
                add_product(y, Cy, z, size)
                store(Y, y, first, size, s)
            for k in range(d):
                mean_force[s, k] = sum_lanes(force_lanes, k) / n
            for k in range(d):
                total = 0.0
                for j in range(d):
                    total += (P1m[k, j] - P1y[k, j]) * mean_force[s, j]
                    total += (Cm[k, j] - Cy[k, j]) * (sum_lanes(noise_lanes, j) / n)
                shift[k] = total
            lanes = stack_array(np.float64, n_means, SUM_LANES)
            lanes[:] = 0.0
            for first in range(0, n_padded, TILE):
                size = min(TILE, n_padded - first)
                load(y, Y, first, size, s)
                for k in range(d):
                    for i in range(size):
                        y[k, i] += shift[k]
                store(Y, y, first, size, s)
                accumulate(lanes, y, min(size, n - first), p)
            for k in range(n_means):
                predicted[s, k] = sum_lanes(lanes, k) / n

        couple(coupling, predicted, received)

        # Corrector: P2 [N(X^) - N(X)] with N = G - L x, again split in the two modes.
        for s in range(n_sites):
            p = parameters(rows, s)
            m, c = means_of(predicted[s]), means_of(received[s])
            pull, target, gap = relax(m, c, p)
            amplitudes = noise(p)
            lanes = stack_array(np.float64, d, SUM_LANES)
            lanes[:] = 0.0
            change = np.empty(d)
            for first in range(0, n_padded, TILE):
                size = min(TILE, n_padded - first)
                count = min(size, n - first)
                load(y, Y, first, size, s)
                load(x, X, first, size, s)
                load(z, F, first, size, s)
                forces(g, y, m, c, p, pull, target, gap, size)
                for k in range(d):
                    for i in range(size):
                        g[k, i] -= z[k, i]
                        x[k, i] -= y[k, i]
                for k in range(d):
                    add_to_lanes(lanes, g, k, count)
                add_product(g, Ly[s], x, size)
                add_product(y, P2y[s], g, size)
                store(Y, y, first, size, s)
            for k in range(d):
                change[k] = sum_lanes(lanes, k) / n
            # Mean of N(X^) - N(X) as seen by the mode that moved the neurons, and by its own.
            for k in range(d):
                total = 0.0
                for j in range(d):
                    by_fluctuation, by_mean = change[j], change[j]
                    for i in range(d):
                        moved = predicted[s, i] - means[s, i]
                        by_fluctuation -= Ly[s, j, i] * moved
                        by_mean -= Lm[s, j, i] * moved
                    total += P2m[s, k, j] * by_mean - P2y[s, k, j] * by_fluctuation
                shift[k] = total
            sums = stack_array(np.float64, n_means, SUM_LANES)
            sums[:] = 0.0
            for first in range(0, n_padded, TILE):
                size = min(TILE, n_padded - first)
                load(y, Y, first, size, s)
                for k in range(d):
                    for i in range(size):
                        y[k, i] += shift[k]
                if reflects:
                    load(x, X, first, size, s)
                    reflect(x, y, amplitudes, h, s * n_padded + first, size, key, replica, step)
                store(X, y, first, size, s)
                accumulate(sums, y, min(size, n - first), p)
            for k in range(n_means):
                means[s, k] = sum_lanes(sums, k) / n

    @compiled
    def advance(X, rows, coupling, means, n, h, key, replica, first, last):
        """Do the steps first, first + 1, ..., last - 1 on X; ``means`` follows the state."""
        inputs = np.empty_like(means)
        if exponential:
            Y, F = np.empty_like(X), np.empty_like(X)
            for step in range(first, last):
                couple(coupling, means, inputs)
                exponential_step(X, Y, F, rows, coupling, means, inputs, n, h, key, replica, step)
        else:
            for step in range(first, last):
                couple(coupling, means, inputs)
                euler_step(X, rows, means, inputs, n, h, key, replica, step)

    return Kernels(n_means, keep_compiled(start, tag), keep_compiled(advance, tag))


def _tuple_reader(size: int) -> Callable[..., Any]:
    """Return a compiled function array [size] -> tuple."""

    def read(array):
        return to_fixed_tuple(array, size)

    return njit(error_model="numpy", forceinline=True)(named(read, size))
