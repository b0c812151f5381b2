r"""Compiled steps of two copies of a network on shared noise, and the ways to share it.

The scheme is that of the solver ``pairs``, whose docstring says what the couplings are; here are
the loops over pairs and neurons.  A coupling is a choice of streams and a sign; every model's
functions are inlined, and every number is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.np.unsafe.ndarray import to_fixed_tuple

from neurolim.core import Model
from neurolim.kernels.model_code import compiled_equations, kernel_key
from neurolim.numerics.cache import keep_compiled, named
from neurolim.numerics.columns import TILE
from neurolim.numerics.elementary import expm1, log
from neurolim.numerics.lowlevel import stack_array
from neurolim.numerics.random import STREAM_BRIDGE, STREAM_NOISE, normals, uniforms
from neurolim.solvers._layout import layout

COUPLINGS = ("synchronous", "mirror", "independent", "maximal")
REFLECTIONS = ("bridge", "symmetrised", "projected")
#: Streams of B', of the bridge of an independent copy and of the maximal coupling's choice.
STREAM_SECOND, STREAM_SECOND_BRIDGE, STREAM_CHOICE = 48, 64, 80


class Kernels(NamedTuple):
    """Compiled functions that move pairs.

    n_means : length of a row of means: state variables, then fields
    start : (X, rows, key, replica, stream) draws the initial states of one copy
    advance : (X, rows, rows', coupling matrix, n, n_pairs, h, (key, replica), (first, last),
        (kind, scale, wall, coupled), others, pooled) does the steps first .. last - 1 on both
        copies; kind and wall are places in COUPLINGS and REFLECTIONS, coupled says whether the
        model has linear couplings that act here
    """

    n_means: int
    start: Callable[..., None]
    advance: Callable[..., None]


_compiling = Lock()


def kernels(model: Model) -> Kernels:
    """Return the compiled pair step of a model, built once per process.

    Parameters
    ----------
    model : its kernels are inlined into the loops over pairs; every number is an argument
    """
    with _compiling:
        return _build(model)


@lru_cache(maxsize=64)
def _build(model: Model) -> Kernels:
    d, _, n_means, parameters_class, n_parameters, floors = layout(model)
    slope_step = 2.0**-10
    key, known = kernel_key(model, __name__)
    tag = f"{key}_pairs"

    def inline(function: Any) -> Any:
        return njit(error_model="numpy", forceinline=True)(named(function, tag))

    def compiled(function: Any) -> Any:
        return njit(error_model="numpy", nogil=True)(named(function, tag))

    drift, relax, noise, field, initial, _ = compiled_equations(model, tag)

    @inline
    def parameters(rows, site):
        return parameters_class(*to_fixed_tuple(rows[site], n_parameters))

    gather = _reader(d)

    @inline
    def scatter(columns, i, x):
        for k in range(d):
            columns[k, i] = x[k]

    @inline
    def load(tile, columns, first, count, site):
        for k in range(d):
            row = columns[k, site, first : first + count]
            for i in range(count):
                tile[k, i] = row[i]

    @inline
    def store(columns, tile, first, count, site):
        for k in range(d):
            row = columns[k, site, first : first + count]
            for i in range(count):
                row[i] = tile[k, i]

    @inline
    def observe(tile, count, p):
        """Fill the rows below the states of a tile with the fields."""
        for j in range(count):
            x = gather(tile, j)
            found = x + field(x, p)
            for k in range(d, n_means):
                tile[k, j] = found[k]

    means_of = _reader(n_means)
    zero = (0.0,) * n_means

    @compiled
    def start(X, rows, key, replica, stream):
        """Draw the initial states of one copy [d, site, neuron]."""
        n_all = X.shape[2]
        z = np.empty((d, n_all))
        for s in range(X.shape[1]):
            p = parameters(rows, s)
            for k in range(d):
                normals(z[k], s * n_all, key, replica, 0, stream + k)
            column = X[:, s]
            for j in range(n_all):
                scatter(column, j, initial(gather(z, j), p))

    @compiled
    def average(X, rows, coupling, n, n_pairs, pooled, means, inputs):
        """Fill means and inputs = K means [site, n_means, pair] of one copy."""
        x = stack_array(np.float64, n_means, TILE)
        for s in range(X.shape[1]):
            p = parameters(rows, s)
            pair, left, total = 0, n, zero
            for first in range(0, n * n_pairs, TILE):
                count = min(TILE, n * n_pairs - first)
                load(x, X, first, count, s)
                observe(x, count, p)
                for j in range(count):
                    total = add(total, means_of(x, j))
                    left -= 1
                    if left == 0:
                        for k in range(n_means):
                            means[s, k, pair] = total[k] / n
                        pair, left, total = pair + 1, n, zero
            if pooled:
                for k in range(n_means):
                    means[s, k, :] = means[s, k].mean()
        for s in range(X.shape[1]):
            for k in range(n_means):
                for pair in range(n_pairs):
                    inward = 0.0
                    for r in range(X.shape[1]):
                        inward += coupling[s, r] * means[r, k, pair]
                    inputs[s, k, pair] = inward

    @inline
    def add(a, b):
        for k in range(n_means):
            a = tuple_setitem(a, k, a[k] + b[k])
        return a

    @inline
    def times(a, factor):
        for k in range(n_means):
            a = tuple_setitem(a, k, a[k] * factor)
        return a

    def component_sweeps(component):
        """Return the steps of one component: of networks, and of lone neurons."""

        def inline(function: Any) -> Any:
            return njit(error_model="numpy", forceinline=True)(
                named(function, f"{tag}_{component}")
            )

        @inline
        def moved(x, m, c, p, h):
            """Return x_k + h phi1(h slope) drift_k, slope by a central difference."""
            force = drift(x, m, c, p)[component]
            above = drift(tuple_setitem(x, component, x[component] + slope_step), m, c, p)
            below = drift(tuple_setitem(x, component, x[component] - slope_step), m, c, p)
            z = h * ((above[component] - below[component]) * (0.5 / slope_step))
            near = abs(z) < 1e-6
            phi = expm1(z) / (1.0 if near else z)
            return x[component] + h * (1.0 + 0.5 * z if near else phi) * force

        def of_networks(X, rows, means, inputs, n, n_pairs, h, others, k):
            # What every neuron feels stands beside it, so that the drift is one plain loop.
            x = stack_array(np.float64, n_means, TILE)
            m = stack_array(np.float64, n_means, TILE)
            c = stack_array(np.float64, n_means, TILE)
            for s in range(X.shape[1]):
                p = parameters(rows, s)
                pair, left = 0, n
                for first in range(0, n * n_pairs, TILE):
                    count = min(TILE, n * n_pairs - first)
                    load(x, X, first, count, s)
                    for j in range(count):
                        for place in range(n_means):
                            m[place, j] = means[s, place, pair]
                            c[place, j] = inputs[s, place, pair]
                        left -= 1
                        if left == 0:
                            pair, left = pair + 1, n
                    if others:
                        observe(x, count, p)
                        for place in range(d, n_means):
                            for j in range(count):
                                m[place, j] = (n * m[place, j] - x[place, j]) / (n - 1)
                    for j in range(count):
                        x[component, j] = moved(gather(x, j), means_of(m, j), means_of(c, j), p, h)
                    row = X[component, s, first : first + count]
                    for j in range(count):
                        row[j] = x[component, j]

        def of_lone_neurons(x, rows, coupling, count, h, k):
            """Move a tile x [d, TILE] of neurons whose means are their own state."""
            p = parameters(rows, 0)
            gain = coupling[0, 0]
            for j in range(count):
                here = gather(x, j)
                m = here + field(here, p)
                x[component, j] = moved(here, m, times(m, gain), p, h)

        return (
            njit(error_model="numpy", nogil=True)(named(of_networks, f"{tag}_{component}")),
            inline(of_lone_neurons),
        )

    def sweep_from(component):
        """Return (networks, lone neurons), the sweeps that move component k >= ``component``."""
        network, lone = component_sweeps(component)
        if component == d - 1:
            return network, lone
        next_network, next_lone = sweep_from(component + 1)

        def of_networks(X, rows, means, inputs, n, n_pairs, h, others, k):
            if k == component:
                network(X, rows, means, inputs, n, n_pairs, h, others, k)
            else:
                next_network(X, rows, means, inputs, n, n_pairs, h, others, k)

        def of_lone_neurons(x, rows, coupling, count, h, k):
            if k == component:
                lone(x, rows, coupling, count, h, k)
            else:
                next_lone(x, rows, coupling, count, h, k)

        return tuple(
            njit(error_model="numpy", forceinline=True)(named(f, f"{tag}_from_{component}"))
            for f in (of_networks, of_lone_neurons)
        )

    network_step, lone_step = sweep_from(0)

    @compiled
    def local(X, rows, coupling, n, n_pairs, pooled, means, inputs, h, others):
        """Follow the drift of one copy for a time h, second order."""
        if n == 1 and X.shape[1] == 1 and not pooled:
            x = stack_array(np.float64, d, TILE)
            for first in range(0, X.shape[2], TILE):
                count = min(TILE, X.shape[2] - first)
                load(x, X, first, count, 0)
                for place in range(2 * d - 1):
                    component = place if place < d else 2 * d - 2 - place
                    part = h if component == d - 1 else 0.5 * h
                    lone_step(x, rows, coupling, count, part, component)
                store(X, x, first, count, 0)
            return
        for place in range(2 * d - 1):
            component = place if place < d else 2 * d - 2 - place
            part = h if component == d - 1 else 0.5 * h
            average(X, rows, coupling, n, n_pairs, pooled, means, inputs)
            network_step(X, rows, means, inputs, n, n_pairs, part, others, component)

    @compiled
    def tie(w1, w2, x1, x2, b, b2, u, scale, kind):
        """Fill the normals w1, w2 of both copies from B, B' and a uniform; kind: see COUPLINGS.

        ``maximal`` finds in w2 by how much the second copy's normals must exceed the first's for
        the copies to meet.
        """
        if kind == 0:
            w1[:] = b
            w2[:] = b
        elif kind == 1:
            for j in range(b.size):
                t = min(max(2.0 * abs(x1[j] - x2[j]) / scale - 1.0, 0.0), 1.0)
                # C^2 at both ends, as 003 asks, on a rational parametrisation of the circle.
                t = t * t * t * (10.0 + t * (6.0 * t - 15.0))
                alpha, beta = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
                w1[j] = alpha * b[j] + beta * b2[j]
                w2[j] = alpha * b[j] - beta * b2[j]
        elif kind == 2:
            w1[:] = b
            w2[:] = b2
        else:
            for j in range(b.size):
                target = b[j] + w2[j]
                meet = log(u[j]) <= 0.5 * (b[j] * b[j] - target * target)
                w1[j] = b[j]
                w2[j] = target if meet else -b[j]

    @inline
    def linear_step(means, inputs, p, k, pair, h):
        """Return (place, decay, c_mean, c_own) of the exact linear step of variable k in a pair.

        x_j <- place + (x_j - m) decay + c_mean mean(w) + c_own (w_j - mean(w))
        """
        size = noise(p)[k]
        pull, target, gap = relax(means_of(means, pair), means_of(inputs, pair), p)
        slow, fast = -pull[k], -(pull[k] + gap[k])
        c_mean = size * np.sqrt(h if slow == 0.0 else expm1(2.0 * slow * h) / (2.0 * slow))
        c_own = size * np.sqrt(h if fast == 0.0 else expm1(2.0 * fast * h) / (2.0 * fast))
        place = target[k] + (means[k, pair] - target[k]) * (1.0 + expm1(slow * h))
        return place, 1.0 + expm1(fast * h), c_mean, c_own

    @compiled
    def apart(w, x1, x2, means, inputs, p1, p2, k, n, n_pairs, h, coupled):
        """Fill w with the difference of normals that takes both copies to one place.

        That is L^{-1} (mu - mu') for steps mu + L w and mu' + L w' of the copies, L that of the
        first: exact where the couplings' rates are the same in both.
        """
        root = noise(p1)[k] * np.sqrt(h)
        if not coupled:
            for j in range(x1.size):
                w[j] = (x1[j] - x2[j]) / root
            return
        for pair in range(n_pairs):
            place1, decay1, c_mean, c_own = linear_step(means[0], inputs[0], p1, k, pair, h)
            place2, decay2, _, _ = linear_step(means[1], inputs[1], p2, k, pair, h)
            m1, m2 = means[0, k, pair], means[1, k, pair]
            for j in range(pair * n, pair * n + n):
                w[j] = ((x1[j] - m1) * decay1 - (x2[j] - m2) * decay2) / c_own
                w[j] += (place1 - place2) / c_mean

    @compiled
    def shake(x, w, means, inputs, p, k, n, n_pairs, h, floor, wall, u, coupled, of_law):
        """Apply noise w and the linear couplings of variable k to one copy's row x for a time h.

        w is overwritten by the proposals.  ``of_law``: the mean is that of a law, without noise.
        """
        root = noise(p)[k] * np.sqrt(h)
        if coupled:
            for pair in range(n_pairs):
                place, decay, c_mean, c_own = linear_step(means, inputs, p, k, pair, h)
                mixed = 0.0
                if not of_law:
                    for j in range(pair * n, pair * n + n):
                        mixed += w[j]
                    mixed /= n
                for j in range(pair * n, pair * n + n):
                    own = (x[j] - means[k, pair]) * decay + c_own * (w[j] - mixed)
                    w[j] = place + c_mean * mixed + own
            for j in range(n * n_pairs, x.size):
                w[j] = x[j]
        else:
            for j in range(x.size):
                w[j] = x[j] + root * w[j]
        if floor == -np.inf:
            x[:] = w
        elif wall == 0:
            spread = 2.0 * root * root
            for j in range(x.size):
                jump = w[j] - x[j]
                low = 0.5 * (x[j] + w[j] - np.sqrt(jump * jump - spread * log(u[j])))
                x[j] = w[j] + (floor - low if low < floor else 0.0)
        elif wall == 1:
            for j in range(x.size):
                x[j] = floor + abs(w[j] - floor)
        else:
            for j in range(x.size):
                x[j] = max(w[j], floor)

    @compiled
    def kick(X, rows1, rows2, coupling, n, n_pairs, pooled, means, inputs, h, noise_of, tied, B, W):
        """Apply one noise step to both copies; noise_of, tied: see ``advance``."""
        key, replica, step = noise_of
        kind, scale, wall, coupled = tied
        n_all = X.shape[3]
        if coupled:
            average(X[0], rows1, coupling, n, n_pairs, False, means[0], inputs[0])
            average(X[1], rows2, coupling, n, n_pairs, pooled, means[1], inputs[1])
        for s in range(X.shape[2]):
            p1, p2 = parameters(rows1, s), parameters(rows2, s)
            offset = s * n_all
            m, c = means[:, s], inputs[:, s]
            for k in range(d):
                x1, x2 = X[0, k, s], X[1, k, s]
                noisy = noise(p1)[k] != 0.0 or noise(p2)[k] != 0.0
                if not noisy and not coupled:
                    continue
                W[:, :] = 0.0
                if noisy:
                    normals(B[0], offset, key, replica, step, STREAM_NOISE + k)
                    if kind == 1 or kind == 2:
                        normals(B[1], offset, key, replica, step, STREAM_SECOND + k)
                    if kind == 3:
                        uniforms(B[2], offset, key, replica, step, STREAM_CHOICE + k)
                        apart(W[1], x1, x2, m, c, p1, p2, k, n, n_pairs, h, coupled)
                    tie(W[0], W[1], x1, x2, B[0], B[1], B[2], scale, kind)
                floor = floors[k]
                bridged = floor > -np.inf and wall == 0
                if bridged:
                    uniforms(B[2], offset, key, replica, step, STREAM_BRIDGE + k)
                args = (k, n, n_pairs, h, floor, wall)
                shake(x1, W[0], m[0], c[0], p1, *args, B[2], coupled, False)
                if bridged and kind == 2:
                    uniforms(B[2], offset, key, replica, step, STREAM_SECOND_BRIDGE + k)
                of_law = pooled and n_pairs > 1
                shake(x2, W[1], m[1], c[1], p2, *args, B[2], coupled, of_law)

    @compiled
    def advance(X, rows1, rows2, coupling, n, n_pairs, h, noise_of, steps, tied, others, pooled):
        """Do the steps of both copies X [2, d, site, neuron]; arguments: see ``Kernels``."""
        key, replica = noise_of
        first, last = steps
        means = np.zeros((2, X.shape[2], n_means, n_pairs))
        inputs = np.zeros_like(means)
        B, W = np.empty((3, X.shape[3])), np.empty((2, X.shape[3]))
        for step in range(first, last + 1):
            # Two half drifts in a row are one: only the ends of the interval see halves.
            part = 0.5 * h if step in (first, last) else h
            if last > first:
                local(X[0], rows1, coupling, n, n_pairs, False, means[0], inputs[0], part, others)
                local(X[1], rows2, coupling, n, n_pairs, pooled, means[1], inputs[1], part, others)
            if step < last:
                now = (key, replica, step)
                kick(
                    X, rows1, rows2, coupling, n, n_pairs, pooled, means, inputs, h, now, tied, B, W
                )

    return Kernels(n_means, keep_compiled(start, tag, known), keep_compiled(advance, tag, known))


def _reader(size: int) -> Callable[..., Any]:
    """Return a compiled function (rows [size, n], i) -> tuple of column i."""
    zero = (0.0,) * size

    def read(rows, i):
        found = zero
        for k in range(size):
            found = tuple_setitem(found, k, rows[k, i])
        return found

    return njit(error_model="numpy", forceinline=True)(named(read, f"pairs_{size}"))
