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
    h gap; the O(eps) correction of the variance survives h >> eps.  Where the pull depends on the
    fields (chemical synapses) the step must resolve how fast the fields move.

Sources: Quininao & Touboul 2020, eq. (6.6) (equations); Hochbruck & Ostermann 2010 (exponential
Rosenbrock methods); Kloeden & Platen 1992, sec. 15.1 (weak order 2 for additive noise); Lepingle
1995 (reflection by the minimum of the Brownian bridge).

How the loops are kept fast: a tile of 256 neurons is worked on at a time.  Its noise is drawn into
a buffer on the stack, one loop moves all variables of a neuron at once in registers, straight from
and to the network's arrays, and the sums the next step needs are taken while the tile is still in
the L1 cache.  Whatever is the same for all neurons is computed once per step.
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
    access,
    add_to_lanes,
    copy_row,
    sum_lanes,
    tuple_of,
)
from neurolim.numerics.elementary import log
from neurolim.numerics.exponential import propagator
from neurolim.numerics.lowlevel import fma, stack_array
from neurolim.numerics.random import (
    STREAM_BRIDGE,
    STREAM_INITIAL,
    STREAM_NOISE,
    STREAMS_PER_SITE,
    normals,
    uniforms,
    wide_normals,
)
from neurolim.provenance import code_digest

_SLOPE_STEP = 2.0**-10


class Kernels(NamedTuple):
    """Compiled functions that move a network.

    n_means : length of a row of means: state variables, then fields
    start : (X, rows, key, replica, n, means) draws the initial state and fills ``means``
    advance : (X, work, rows, coupling, means, trace, every, n, h, refinement, key, replica, first,
        last) does the steps first .. last - 1; ``work`` is a buffer of the size of X, trace
        [sample, site, variable] gets the means after every ``every`` steps (0: never)
    """

    n_means: int
    start: Callable[..., None]
    advance: Callable[..., None]


class Variant(NamedTuple):
    """What a kernel is compiled for, beside the model.

    scheme : "exponential" or "euler_maruyama"
    noisy : which state variables have noise; the others need no normals
    wide : normals of float64 resolution
    """

    scheme: str
    noisy: tuple[bool, ...]
    wide: bool = False


_compiling = Lock()


def kernels(model: Model, variant: Variant) -> Kernels:
    """Return the compiled network step of a model, built once per process.

    Model functions and the few words of ``variant`` are the only things compiled in; all numbers
    are arguments, so one kernel serves a whole sweep.
    """
    with _compiling:
        return _build(model, variant)


@lru_cache(maxsize=64)
def _build(model: Model, variant: Variant) -> Kernels:
    d = len(model.state)
    sites = model.prepare({param.name: param.default for param in model.params})
    parameters_class = type(sites.params[0])
    n_parameters = len(sites.params[0])
    n_fields = len(model.field(tuple(0.5 for _ in range(d)), sites.params[0]))
    floors = np.array([-np.inf if v.reflect is None else v.reflect for v in model.state])
    reflects = bool(np.isfinite(floors).any())
    exponential = variant.scheme == "exponential"
    wide = variant.wide
    # The convolution of noise and coupling spreads noise to every variable.
    noisy = np.array([any(variant.noisy)] * d if exponential else variant.noisy)
    noise_type = np.float64 if wide else np.float32

    shape = _structure(model, parameters_class, n_means=d + n_fields)
    relaxing, curved, rates_move = shape.relaxing, shape.curved, shape.rates_move

    functions = (model.drift, model.relax, model.noise, model.field, model.initial)
    modules = {function.__module__ for function in functions}
    registered = all(module.startswith("neurolim.models.") for module in modules)
    key = code_digest(__name__, *(sorted(modules) if registered else ()))
    tag = f"{key}_{'_'.join(map(str, (variant.scheme, *variant.noisy, variant.wide)))}"

    def inline(function: Any) -> Any:
        return njit(error_model="numpy", forceinline=True)(named(function, tag))

    def compiled(function: Any) -> Any:
        return njit(error_model="numpy", nogil=True)(named(function, tag))

    def per_variable(function: Any) -> Any:
        return tuple_of(d, function, tag)

    drift, relax, noise, field, initial = (inline(function) for function in functions)
    rows_of, tile_of, gather, scatter = access(d)
    _, field_tile_of, _, scatter_field = access(n_fields)
    n_means = d + n_fields
    # The size of a stack buffer must be a constant when the kernel is compiled.
    field_rows = max(1, n_fields)
    means_of = _tuple_reader(n_means)
    propagate = propagator(d)

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
    def accumulate(lanes, states, count, p):
        """Add a tile's states and fields to the running sums."""
        for k in range(d):
            add_to_lanes(lanes, k, states[k], count)
        if n_fields > 0:
            fields = stack_array(np.float64, field_rows, TILE)
            field_rows_of_tile = field_tile_of((fields, TILE))
            for i in range(count):
                scatter_field(field_rows_of_tile, i, field(gather((states, i)), p))
            for k in range(n_fields):
                add_to_lanes(lanes, d + k, field_rows_of_tile[k], count)

    @compiled
    def start(X, rows, key, replica, n, means):
        """Draw the initial states and their means."""
        z = stack_array(noise_type, d, TILE)
        lanes = stack_array(np.float64, n_means, SUM_LANES)
        for s in range(X.shape[1]):
            p = parameters(rows, s)
            lanes[:] = 0.0
            for first in range(0, X.shape[2], TILE):
                size = min(TILE, X.shape[2] - first)
                for k in range(d):
                    draw_one(z[k, :size], first, key, replica, 0, s, STREAM_INITIAL + k)
                states = rows_of((X, s, first, size))
                for i in range(size):
                    scatter(states, i, initial(normals_of((z, i)), p))
                accumulate(lanes, states, min(size, n - first), p)
            for k in range(n_means):
                means[s, k] = sum_lanes(lanes, k) / n

    @inline
    def draw_one(out, first, key, replica, step, site, stream):
        if wide:
            wide_normals(out, first, key, replica, step, site * STREAMS_PER_SITE + stream)
        else:
            normals(out, first, key, replica, step, site * STREAMS_PER_SITE + stream)

    @compiled
    def draw_refined(out, first, key, replica, step, site, stream, refinement):
        """Fill a row with (z_1 + ... + z_r)/sqrt(r): this step's share of r finer ones."""
        fine = stack_array(noise_type, 1, TILE)
        out[:] = 0.0
        for j in range(refinement):
            draw_one(fine[0, : out.size], first, key, replica, step * refinement + j, site, stream)
            for i in range(out.size):
                out[i] += fine[0, i]
        factor = noise_type(1.0 / np.sqrt(np.float64(refinement)))
        for i in range(out.size):
            out[i] *= factor

    @inline
    def draw(z, first, size, key, replica, step, site, refinement):
        """Fill a tile with this step's normals, for the variables that have noise."""
        for k in range(d):
            if noisy[k]:
                stream = STREAM_NOISE + k
                if refinement == 1:
                    draw_one(z[k, :size], first, key, replica, step, site, stream)
                else:
                    draw_refined(z[k, :size], first, key, replica, step, site, stream, refinement)

    @per_variable
    def normals_of(args, k):
        z, i = args
        return np.float64(z[k, i])

    @inline
    def reflect(old, new, amplitudes, h, first, size, key, replica, step, site):
        """Push proposals up by how far the bridge from old to new went below the floor.

        The minimum of a Brownian bridge has the law (x + y - sqrt((y - x)^2 - 2 s^2 h ln U))/2;
        the push is the local time of the reflected path (Lepingle 1995), weak order 1.
        """
        u = stack_array(np.float64, 1, TILE)
        for k in range(d):
            if floors[k] == -np.inf:
                continue
            stream = site * STREAMS_PER_SITE + STREAM_BRIDGE + k
            uniforms(u[0, :size], first, key, replica, step, stream)
            spread = 2.0 * amplitudes[k] * amplitudes[k] * h
            floor = floors[k]
            before, after = old[k], new[k]
            for i in range(size):
                x, y = before[i], after[i]
                low = 0.5 * (x + y - np.sqrt((y - x) * (y - x) - spread * log(u[0, i])))
                after[i] = y + (floor - low if low < floor else 0.0)

    # Euler-Maruyama: x' = keep x + shift + h drift + scale z, with keep = 1 - h (pull + gap) and
    # shift = h (pull target + gap mean).  Variables without relaxation or noise skip their part.

    @per_variable
    def euler_keep(args, k):
        h, pull, gap = args
        return 1.0 - h * (pull[k] + gap[k])

    @per_variable
    def euler_shift(args, k):
        h, pull, target, gap, m = args
        return h * (pull[k] * target[k] + gap[k] * m[k])

    @per_variable
    def euler_scale(args, k):
        h, amplitudes = args
        return np.sqrt(h) * amplitudes[k]

    @per_variable
    def euler_move(args, k):
        x, slope, keep, shift, scale, h, z, i = args
        moved = fma(h, slope[k], fma(keep[k], x[k], shift[k]) if relaxing[k] else x[k])
        return fma(scale[k], np.float64(z[k, i]), moved) if noisy[k] else moved

    @compiled
    def euler_step(X, rows, means, inputs, n, h, refinement, key, replica, step):
        """Move every neuron by one Euler-Maruyama step; ``means`` becomes that of the new state."""
        z = stack_array(noise_type, d, TILE)
        y = stack_array(np.float64, d, TILE)
        lanes = stack_array(np.float64, n_means, SUM_LANES)
        for s in range(X.shape[1]):
            p = parameters(rows, s)
            m, c = means_of(means[s]), means_of(inputs[s])
            pull, target, gap = relax(m, c, p)
            amplitudes = noise(p)
            keep = euler_keep((h, pull, gap))
            shift = euler_shift((h, pull, target, gap, m))
            scale = euler_scale((h, amplitudes))
            lanes[:] = 0.0
            for first in range(0, X.shape[2], TILE):
                size = min(TILE, X.shape[2] - first)
                draw(z, first, size, key, replica, step, s, refinement)
                old = rows_of((X, s, first, size))
                new = tile_of((y, size)) if reflects else old
                for i in range(size):
                    x = gather((old, i))
                    slope = drift(x, m, c, p)
                    scatter(new, i, euler_move((x, slope, keep, shift, scale, h, z, i)))
                if reflects:
                    reflect(old, new, amplitudes, h, first, size, key, replica, step, s)
                    for k in range(d):
                        copy_row(old[k], new[k])
                accumulate(lanes, old, min(size, n - first), p)
            for k in range(n_means):
                means[s, k] = sum_lanes(lanes, k) / n

    # The exponential step in two passes over the network.  The predictor of the fluctuation mode is
    #     X^ = x + P1 (drift(x) - rate x + const) + C z,   rate = pull + gap,
    # const = pull target + gap mean.  What the mean mode does differently is the same for every
    # neuron: a shift, known once the sums are.  The corrector adds P2 n with
    #     n = drift(X^) - drift(x) - J (X^ - x) + what the new fields change in pull and target.
    # X holds the state less a shift that is still to be added, Y the predictor.  The drift at x is
    # computed twice: that is cheaper than a third array going through the caches.

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

    matrix_of = _tuple_reader(d * d)
    vector_of = _tuple_reader(d)

    @per_variable
    def shifted(args, k):
        x, shift = args
        return x[k] + shift[k]

    @per_variable
    def force(args, k):
        """Return drift_k - rate_k x_k + const_k."""
        slope, rate, x, constant = args
        return fma(-rate[k], x[k], slope[k] + constant[k]) if relaxing[k] else slope[k]

    @per_variable
    def predicted_state(args, k):
        """Return x + P1 G + C z."""
        x, P1, G, C, z = args
        total = x[k]
        for j in range(d):
            total = fma(P1[k * d + j], G[j], total)
        if noisy[k]:
            for j in range(k + 1):
                total = fma(C[k * d + j], z[j], total)
        return total

    @per_variable
    def curvature(args, k):
        """Return drift_k(y) - drift_k(x) - sum_j J_kj (y - x)_j."""
        new, old, J, moved = args
        if not curved[k]:
            return 0.0
        total = new[k] - old[k]
        for j in range(d):
            total = fma(-J[k * d + j], moved[j], total)
        return total

    @per_variable
    def difference(args, k):
        x, y = args
        return x[k] - y[k]

    @per_variable
    def less_product(args, k):
        x, factor, y = args
        return fma(-factor[k], y[k], x[k])

    @per_variable
    def corrected_state(args, k):
        """Return y + constant + P2 n."""
        y, constant, P2, n = args
        total = y[k] + constant[k]
        for j in range(d):
            if curved[j] or rates_move:
                total = fma(P2[k * d + j], n[j], total)
        return total

    @compiled
    def exponential_step(
        X, Y, shifts, room, rows, coupling, means, inputs, n, h, refinement, key, replica, step
    ):
        """Move every neuron by one exponential Rosenbrock step (module docstring)."""
        n_sites, n_padded = X.shape[1], X.shape[2]
        predicted, received, D_mean, old_shifts, J, P2m, P2y = room
        Lm, Ly = stack_array(np.float64, d, d), stack_array(np.float64, d, d)
        Em, Ey = stack_array(np.float64, d, d), stack_array(np.float64, d, d)
        P1m, P1y = stack_array(np.float64, d, d), stack_array(np.float64, d, d)
        Cm, Cy = stack_array(np.float64, d, d), stack_array(np.float64, d, d)
        vectors = stack_array(np.float64, 2, d)
        a, b = vectors[0], vectors[1]
        z = stack_array(noise_type, d, TILE)
        buffer = stack_array(np.float64, d, TILE)
        D_lanes = stack_array(np.float64, d, SUM_LANES)
        z_lanes = stack_array(np.float64, d, SUM_LANES)
        lanes = stack_array(np.float64, n_means, SUM_LANES)

        for s in range(n_sites):
            p = parameters(rows, s)
            m, c = means_of(means[s]), means_of(inputs[s])
            pull, target, gap = relax(m, c, p)
            amplitudes = noise(p)
            slopes(m, c, p, J[s], a)
            for k in range(d):
                a[k] = amplitudes[k]
                for j in range(d):
                    Lm[k, j] = J[s, k, j] - (pull[k] if j == k else 0.0)
                    Ly[k, j] = J[s, k, j] - (pull[k] + gap[k] if j == k else 0.0)
            propagate(Lm, a, h, Em, P1m, P2m[s], Cm)
            propagate(Ly, a, h, Ey, P1y, P2y[s], Cy)
            for k in range(d):
                a[k] = pull[k] + gap[k]
                b[k] = pull[k] * target[k] + gap[k] * m[k]

            shift, rate, constant = vector_of(shifts[s]), vector_of(a), vector_of(b)
            P1, C = matrix_of(P1y.ravel()), matrix_of(Cy.ravel())
            D_lanes[:] = 0.0
            z_lanes[:] = 0.0
            for first in range(0, n_padded, TILE):
                size = min(TILE, n_padded - first)
                count = min(size, n - first)
                draw(z, first, size, key, replica, step, s, refinement)
                states, predictors = rows_of((X, s, first, size)), rows_of((Y, s, first, size))
                drifts = tile_of((buffer, size))
                for i in range(size):
                    x = shifted((gather((states, i)), shift))
                    slope = drift(x, m, c, p)
                    scatter(drifts, i, slope)
                    G = force((slope, rate, x, constant))
                    scatter(predictors, i, predicted_state((x, P1, G, C, normals_of((z, i)))))
                for k in range(d):
                    if curved[k]:
                        add_to_lanes(D_lanes, k, drifts[k], count)
                    if noisy[k]:
                        add_to_lanes(z_lanes, k, z[k], count)
            at_mean = drift(m[:d], m, c, p)
            for k in range(d):
                D_mean[s, k] = sum_lanes(D_lanes, k) / n if curved[k] else at_mean[k]
                # The mean force, in which gap junctions drop out, and the mean noise.
                a[k] = D_mean[s, k] + pull[k] * (target[k] - m[k])
                b[k] = sum_lanes(z_lanes, k) / n
            for k in range(d):
                predicted[s, k] = m[k]
                old_shifts[s, k] = shifts[s, k]
                shifts[s, k] = 0.0
                for j in range(d):
                    predicted[s, k] += P1m[k, j] * a[j] + Cm[k, j] * b[j]
                    shifts[s, k] += (P1m[k, j] - P1y[k, j]) * a[j] + (Cm[k, j] - Cy[k, j]) * b[j]
            if n_fields > 0:
                lanes[:] = 0.0
                shift = vector_of(shifts[s])
                for first in range(0, n_padded, TILE):
                    size = min(TILE, n_padded - first)
                    predictors, tile = rows_of((Y, s, first, size)), tile_of((buffer, size))
                    for i in range(size):
                        scatter(tile, i, shifted((gather((predictors, i)), shift)))
                    accumulate(lanes, tile, min(size, n - first), p)
                for k in range(d, n_means):
                    predicted[s, k] = sum_lanes(lanes, k) / n

        couple(coupling, predicted, received)

        for s in range(n_sites):
            p = parameters(rows, s)
            m, c = means_of(means[s]), means_of(inputs[s])
            pull, target, gap = relax(m, c, p)
            new_m, new_c = means_of(predicted[s]), means_of(received[s])
            new_pull, new_target, new_gap = relax(new_m, new_c, p)
            amplitudes = noise(p)
            # What the new fields add to n: a constant and, where the rates have changed, a slope.
            for k in range(d):
                a[k] = (new_pull[k] - pull[k]) + (new_gap[k] - gap[k])
                b[k] = new_pull[k] * new_target[k] - pull[k] * target[k]
            new_rate = vector_of(a)
            for k in range(d):
                a[k] = 0.0
                for j in range(d):
                    by_gap = new_gap[j] * (new_m[j] - m[j]) + (new_gap[j] - gap[j]) * m[j]
                    a[k] += P2y[s, k, j] * (b[j] + by_gap)
            shift, old_shift = vector_of(shifts[s]), vector_of(old_shifts[s])
            constant = vector_of(a)
            J_s, P2 = matrix_of(J[s].ravel()), matrix_of(P2y[s].ravel())
            D_lanes[:] = 0.0
            for first in range(0, n_padded, TILE):
                size = min(TILE, n_padded - first)
                states, predictors = rows_of((X, s, first, size)), rows_of((Y, s, first, size))
                news = predictors if reflects else states
                drifts = tile_of((buffer, size))
                for i in range(size):
                    x = shifted((gather((states, i)), old_shift))
                    y = shifted((gather((predictors, i)), shift))
                    new_drift = drift(y, new_m, new_c, p)
                    scatter(drifts, i, new_drift)
                    change = curvature((new_drift, drift(x, m, c, p), J_s, difference((y, x))))
                    if rates_move:
                        change = less_product((change, new_rate, y))
                    scatter(news, i, corrected_state((y, constant, P2, change)))
                for k in range(d):
                    if curved[k]:
                        add_to_lanes(D_lanes, k, drifts[k], min(size, n - first))
            at_mean = drift(new_m[:d], new_m, new_c, p)
            # Mean of n as seen by the mode that moved the neurons, and by the mean's own.
            for k in range(d):
                shifts[s, k] = 0.0
                means[s, k] = predicted[s, k]
            for j in range(d):
                new_D_mean = sum_lanes(D_lanes, j) / n if curved[j] else at_mean[j]
                by_mean = new_D_mean - D_mean[s, j] + b[j]
                by_mean -= (new_pull[j] - pull[j]) * new_m[j]
                for i in range(d):
                    by_mean -= J[s, j, i] * (new_m[i] - m[i])
                by_fluctuation = by_mean + gap[j] * (new_m[j] - m[j])
                for k in range(d):
                    shifts[s, k] += P2m[s, k, j] * by_mean - P2y[s, k, j] * by_fluctuation
                    means[s, k] += P2m[s, k, j] * by_mean
            if reflects or n_fields > 0:
                lanes[:] = 0.0
                shift = vector_of(shifts[s])
                for first in range(0, n_padded, TILE):
                    size = min(TILE, n_padded - first)
                    states, news = rows_of((X, s, first, size)), rows_of((Y, s, first, size))
                    if reflects:
                        for i in range(size):
                            scatter(news, i, shifted((gather((news, i)), shift)))
                        reflect(states, news, amplitudes, h, first, size, key, replica, step, s)
                        for k in range(d):
                            copy_row(states[k], news[k])
                    else:
                        for i in range(size):
                            scatter(states, i, shifted((gather((states, i)), shift)))
                    accumulate(lanes, states, min(size, n - first), p)
                for k in range(n_means):
                    means[s, k] = sum_lanes(lanes, k) / n
                for k in range(d):
                    shifts[s, k] = 0.0

    @compiled
    def advance(
        X, work, rows, coupling, means, trace, every, n, h, refinement, key, replica, first, last
    ):
        """Do the steps first, first + 1, ..., last - 1 on X; ``means`` follows the state."""
        inputs = np.empty_like(means)
        n_sites = X.shape[1]
        shifts = np.zeros((n_sites, d))
        # Small arrays of the exponential step, made once: making them costs as much as its algebra.
        room = (
            np.empty((n_sites, n_means)),
            np.empty((n_sites, n_means)),
            np.empty((n_sites, d)),
            np.empty((n_sites, d)),
            np.empty((n_sites, d, d)),
            np.empty((n_sites, d, d)),
            np.empty((n_sites, d, d)),
        )
        for step in range(first, last):
            couple(coupling, means, inputs)
            if exponential:
                exponential_step(
                    X, work, shifts, room, rows, coupling, means, inputs, n, h, refinement,
                    key, replica, step,
                )  # fmt: skip
            else:
                euler_step(X, rows, means, inputs, n, h, refinement, key, replica, step)
            if every > 0 and (step + 1) % every == 0:
                trace[(step + 1) // every] = means[:, :d]
        if exponential:
            for s in range(X.shape[1]):
                for k in range(d):
                    row = X[k, s]
                    for i in range(row.size):
                        row[i] += shifts[s, k]

    # The digest knows the sources of this package only: a model from elsewhere is compiled anew.
    if registered:
        start, advance = keep_compiled(start, tag), keep_compiled(advance, tag)
    return Kernels(n_means, start, advance)


class _Structure(NamedTuple):
    """What holds for a model whatever its parameters.

    relaxing : variables with a pull or a gap junction
    curved : variables whose drift is not affine in the state
    rates_move : pull or gap depend on the fields
    """

    relaxing: tuple[bool, ...]
    curved: tuple[bool, ...]
    rates_move: bool


def _structure(model: Model, parameters_class: Any, n_means: int) -> _Structure:
    """Find the structure of a model by probing it with random parameters, states and fields.

    What vanishes for random numbers vanishes always, up to a set of measure zero; the loops leave
    it out.  A second difference counts as zero if it is of the size of rounding.
    """
    d = len(model.state)
    generator = np.random.default_rng(1)

    def numbers(size: int) -> tuple[float, ...]:
        return tuple(float(x) for x in generator.uniform(0.3, 1.0, size))

    relaxing, curved, rates_move = [False] * d, [False] * d, False
    for _ in range(4):
        p = parameters_class(*numbers(len(parameters_class._fields)))
        rates = []
        for _ in range(2):
            pull, _, gap = model.relax(numbers(n_means), numbers(n_means), p)
            rates.append((pull, gap))
        rates_move = rates_move or rates[0] != rates[1]
        m, c, x, step = numbers(n_means), numbers(n_means), numbers(d), numbers(d)
        low, middle, high = (
            model.drift(tuple(a + i * b for a, b in zip(x, step, strict=True)), m, c, p)
            for i in range(3)
        )
        for k in range(d):
            relaxing[k] = relaxing[k] or pull[k] + gap[k] != 0.0
            bend = abs(low[k] - 2.0 * middle[k] + high[k])
            curved[k] = curved[k] or bend > 1e-12 * (abs(low[k]) + abs(high[k]))
    return _Structure(tuple(relaxing), tuple(curved), rates_move)


def _tuple_reader(size: int) -> Callable[..., Any]:
    """Return a compiled function array [size] -> tuple."""

    def read(array):
        return to_fixed_tuple(array, size)

    return njit(error_model="numpy", forceinline=True)(named(read, size))
