r"""Time steps of a network of neurons on counter-based noise, compiled for one model.

For  dx = [drift + pull (target - x) + gap (mean - x)] dt + noise dW  (core.Model):

``exponential``
    Exponential Rosenbrock step.  About the site means M the network is split into mean modes and
    a fluctuation mode, generator L_y = J - pull - gap with J the slope of the drift at M.  Each
    mode is a matrix Ornstein-Uhlenbeck process and is stepped exactly; what is left is treated by
    a two-stage correction (ETD-RK2), for the fluctuations y = x - M

        y^ = E y + P1 N(y) + C xi,      y' = y^ + P2 [N(y^) - N(y)],   N = drift - J y,

    E = e^{L h}, P1 = h phi1(L h), P2 = h phi2(L h), C C^T the covariance of the noise over the
    step; for the means see ``_mean_mode.py``.  Weak order 2 in h for additive noise, exact mean
    and covariance for linear networks at any h, stable for any h gap and, where the pull is that
    of synapses, any h pull; the O(eps) correction of the variance survives h >> eps.

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
from neurolim.kernels.model_code import compiled_derivatives, compiled_equations, kernel_key
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
from neurolim.numerics.lowlevel import fma, stack_array
from neurolim.numerics.random import (
    STREAM_BRIDGE,
    STREAM_INITIAL,
    STREAM_NOISE,
    STREAMS_PER_SITE,
    normals,
    normals_and_points,
    uniforms,
    wide_normals,
)
from neurolim.numerics.structure import structure_of
from neurolim.numerics.summary import summarise
from neurolim.provenance import code_digest
from neurolim.solvers._layout import layout
from neurolim.solvers._mean_mode import (
    ModelCode,
    correct_means,
    mean_mode,
    predict_means,
)


class Kernels(NamedTuple):
    """Compiled functions that move a network.

    n_means : length of a row of means: state variables, then fields
    n_work : rows of the buffer ``work`` [row, site, neuron] of ``advance``
    start : (X, rows, key, replica, n, means) draws the initial state and fills ``means``
    advance : (X, work, rows, coupling, means, trace, every, n, h, refinement, key, replica, first,
        last) does the steps first .. last - 1; trace [sample, site, variable] gets the means after
        every ``every`` steps (0: never)
    follow : (X, work, rows, coupling, means, trace, every, n, h, refinement, key, replica, stride,
        scale, low, width, levels, records, begin, end) does the steps begin .. end - 1 (0: starts
        the network) and records every ``stride`` steps; returns whether the records are finite
    """

    n_means: int
    n_work: int
    start: Callable[..., None]
    advance: Callable[..., None]
    follow: Callable[..., bool]


class Records(NamedTuple):
    """What is recorded of one network; times come first in every array.

    mean, covariance, central_moment, quantile, histogram : as ``numerics.summary`` fills them
    state : every neuron [time, site, variable, neuron], or no times for none
    """

    mean: Any
    covariance: Any
    central_moment: Any
    quantile: Any
    histogram: Any
    state: Any


class Variant(NamedTuple):
    """What a kernel is compiled for, beside the model.

    noisy : which state variables have noise; the others need no normals
    wide : normals of float64 resolution
    """

    noisy: tuple[bool, ...]
    wide: bool = False


class Sums(NamedTuple):
    """Sums over the neurons of every site that an exponential step takes on its way.

    predicted, received : means of the predictor, and K times them [P, d + n_fields]
    bend, noise : mean of drift(x) - J x, and of the normals [P, d]
    excess : <drift(x)> - drift(<x>) [P, d]
    residual : what the corrector of the means starts from [P, d]
    moved : the means on their way [P, d]
    """

    predicted: Any
    received: Any
    bend: Any
    noise: Any
    excess: Any
    residual: Any
    moved: Any


keep_compiled(summarise, code_digest(summarise.__module__))

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
    d, n_fields, n_means, parameters_class, n_parameters, floors = layout(model)
    reflects = bool(np.isfinite(floors).any())
    wide = variant.wide
    # The exponential step spreads noise to every variable.  A variable without noise of its own
    # takes the four-point variable that comes with the normals of one that has: brings[k] is the
    # variable it goes to, or -1.  Only variables after the noisy ones do: the triangular factor
    # gives them what is left when the noisy ones have their normals.
    noisy = tuple([any(variant.noisy)] * d)
    own = [k for k in range(d) if variant.noisy[k]]
    after = (k for k in range(d) if noisy[k] and own and k > max(own))
    fed = dict(zip(own, after, strict=False))
    brings = tuple(-1 if wide else fed.get(k, -1) for k in range(d))
    drawn = tuple(noisy[k] and k not in brings for k in range(d))
    noise_type = np.float64 if wide else np.float32

    shape = structure_of(model)
    curved, rates_move = shape.curved, shape.rates_move
    curves = tuple(k for k in range(d) if curved[k])
    place = tuple(curves.index(k) if curved[k] else -1 for k in range(d))
    n_curved = len(curves)
    # The bridge of a reflected variable needs the state at the start of the step: d more rows.
    n_old = d if reflects else 0

    key, known = kernel_key(model, __name__, mean_mode.__module__)
    tag = f"{key}_{'_'.join(map(str, (*variant.noisy, variant.wide)))}"

    def inline(function: Any) -> Any:
        return njit(error_model="numpy", forceinline=True)(named(function, tag))

    def compiled(function: Any) -> Any:
        return njit(error_model="numpy", nogil=True)(named(function, tag))

    def per_variable(function: Any) -> Any:
        return tuple_of(d, function, tag)

    def per_curved(function: Any) -> Any:
        return tuple_of(n_curved, function, tag)

    drift, relax, noise, field, initial, _ = compiled_equations(model, tag)
    drift_x = compiled_derivatives(model, tag).drift_x
    rows_of, tile_of, gather, scatter = access(d)
    _, field_tile_of, _, scatter_field = access(n_fields)
    curved_rows_of, curved_tile_of, gather_bend, scatter_bend = access(n_curved)
    _, _, _, scatter_old = access(n_old)
    # The size of a stack buffer must be a constant when the kernel is compiled.
    field_rows = max(1, n_fields)
    means_of = _tuple_reader(n_means)

    def old_row(args, k):
        B, site, first, count = args
        return B[n_curved + k, site, first : first + count]

    old_rows_of = tuple_of(n_old, old_row, tag)

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

    @inline
    def draw_step(z, first, size, key, replica, step, site):
        """Fill a tile with the noise of one step, for the variables that have some."""
        for k in range(d):
            stream = STREAM_NOISE + k
            if brings[k] >= 0:
                out, points = z[k, :size], z[brings[k], :size]
                stream += site * STREAMS_PER_SITE
                normals_and_points(out, points, first, key, replica, step, stream)
            elif drawn[k]:
                draw_one(z[k, :size], first, key, replica, step, site, stream)

    @compiled
    def draw_refined(z, first, size, key, replica, step, site, refinement):
        """Fill a tile with (z_1 + ... + z_r)/sqrt(r): this step's share of r finer ones."""
        fine = stack_array(noise_type, d, TILE)
        z[:] = 0.0
        for j in range(refinement):
            draw_step(fine, first, size, key, replica, step * refinement + j, site)
            for k in range(d):
                if noisy[k]:
                    for i in range(size):
                        z[k, i] += fine[k, i]
        factor = noise_type(1.0 / np.sqrt(np.float64(refinement)))
        for k in range(d):
            for i in range(size):
                z[k, i] *= factor

    @inline
    def draw(z, first, size, key, replica, step, site, refinement):
        if refinement == 1:
            draw_step(z, first, size, key, replica, step, site)
        else:
            draw_refined(z, first, size, key, replica, step, site, refinement)

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

    # The exponential step in two passes over the network, which move the fluctuations only: what is
    # the same for all neurons of a site is a shift, added when the neuron is read next.  With
    # bend(x) = drift(x) - J x (a constant, left to the shift, where the drift is affine),
    #     X^ = E x + P1 bend(x) + C z + shift,
    #     X' = X^ + P2 [bend(X^) - bend(x) - (change of pull and gap) X^] + shift'.
    # X holds the state, then the predictor, then the state; B holds bend(x).

    code = ModelCode(drift, relax, noise, field, drift_x, parameters, means_of, couple)
    room, find_modes = mean_mode(d, n_fields, rates_move, code, tag)
    matrix_of = _tuple_reader(d * d)
    vector_of = _tuple_reader(d)

    @per_variable
    def shifted(args, k):
        x, shift = args
        return x[k] + shift[k]

    @per_variable
    def predicted_state(args, k):
        """Return E x + P1 bend + C z."""
        x, bent, E, P1, C, z = args
        total = E[k * d] * x[0]
        for j in range(1, d):
            total = fma(E[k * d + j], x[j], total)
        for j in range(d):
            if curved[j]:
                total = fma(P1[k * d + j], bent[j], total)
        if noisy[k]:
            for j in range(k + 1):
                total = fma(C[k * d + j], z[j], total)
        return total

    @per_curved
    def bend(args, q):
        """Return drift_k(x) - sum_j J_kj x_j of a curved variable k."""
        slope, J, x = args
        k = curves[q]
        total = slope[k]
        for j in range(d):
            total = fma(-J[k * d + j], x[j], total)
        return total

    @per_curved
    def difference(args, q):
        new, old = args
        return new[q] - old[q]

    @per_variable
    def among_all(args, k):
        """Return what curved variables have, zero for the others."""
        if n_curved > 0:
            return args[place[k]] if curved[k] else 0.0
        return 0.0

    @per_variable
    def less_product(args, k):
        x, factor, y = args
        return fma(-factor[k], y[k], x[k])

    @per_variable
    def corrected_state(args, k):
        """Return y + P2 n."""
        y, P2, n = args
        total = y[k]
        for j in range(d):
            if curved[j] or rates_move:
                total = fma(P2[k * d + j], n[j], total)
        return total

    @compiled
    def predict(
        X, B, s, shifts, modes, sums, rows, means, inputs, n, h, refinement, key, replica, step
    ):
        """First pass over a site: X becomes the predictor of the fluctuations, B the bends.

        Sums what the means need: bends, noise, and the predictor itself, which centres it.
        """
        n_padded = X.shape[2]
        z = stack_array(noise_type, d, TILE)
        bend_lanes = stack_array(np.float64, d, SUM_LANES)
        z_lanes = stack_array(np.float64, d, SUM_LANES)
        lanes = stack_array(np.float64, d, SUM_LANES)
        bend_lanes[:] = 0.0
        z_lanes[:] = 0.0
        lanes[:] = 0.0
        p = parameters(rows, s)
        m, c = means_of(means[s]), means_of(inputs[s])
        shift, J = vector_of(shifts[s]), matrix_of(modes.J[s].ravel())
        E, P1 = matrix_of(modes.E[s].ravel()), matrix_of(modes.P1[s].ravel())
        C = matrix_of(modes.C[s].ravel())
        for first in range(0, n_padded, TILE):
            size = min(TILE, n_padded - first)
            count = min(size, n - first)
            draw(z, first, size, key, replica, step, s, refinement)
            states, bends = rows_of((X, s, first, size)), curved_rows_of((B, s, first, size))
            olds = old_rows_of((B, s, first, size))
            for i in range(size):
                x = shifted((gather((states, i)), shift))
                scatter_old(olds, i, x)
                bend_here = bend((drift(x, m, c, p), J, x))
                scatter_bend(bends, i, bend_here)
                args = (x, among_all(bend_here), E, P1, C, normals_of((z, i)))
                scatter(states, i, predicted_state(args))
            if n_curved > 0:
                for q in range(n_curved):
                    add_to_lanes(bend_lanes, q, bends[q], count)
            for k in range(d):
                add_to_lanes(lanes, k, states[k], count)
                if noisy[k]:
                    add_to_lanes(z_lanes, k, z[k], count)
        at_mean = drift(m[:d], m, c, p)
        for k in range(d):
            flat = at_mean[k]
            for j in range(d):
                flat -= modes.J[s, k, j] * m[j]
            sums.bend[s, k] = sum_lanes(bend_lanes, place[k]) / n if curved[k] else flat
            sums.excess[s, k] = sums.bend[s, k] - flat
            sums.noise[s, k] = sum_lanes(z_lanes, k) / n if noisy[k] else 0.0
            shifts[s, k] = -sum_lanes(lanes, k) / n

    @compiled
    def sum_fields(X, s, shifts, rows, n, found):
        """Fill found with the mean fields of a site whose states still lack their shift."""
        buffer = stack_array(np.float64, d, TILE)
        lanes = stack_array(np.float64, n_means, SUM_LANES)
        lanes[:] = 0.0
        p, shift = parameters(rows, s), vector_of(shifts[s])
        for first in range(0, X.shape[2], TILE):
            size = min(TILE, X.shape[2] - first)
            states, tile = rows_of((X, s, first, size)), tile_of((buffer, size))
            for i in range(size):
                scatter(tile, i, shifted((gather((states, i)), shift)))
            accumulate(lanes, tile, min(size, n - first), p)
        for k in range(n_fields):
            found[k] = sum_lanes(lanes, d + k) / n

    @compiled
    def correct(X, B, s, shifts, modes, sums, rows, n):
        """Second pass over a site: X becomes the corrected fluctuations.

        Fills the residual of the means, and ``shifts`` with what centres the correction.
        """
        n_padded = X.shape[2]
        buffer = stack_array(np.float64, d, TILE)
        lanes = stack_array(np.float64, d, SUM_LANES)
        lanes[:] = 0.0
        change = stack_array(np.float64, 1, d)[0]
        p = parameters(rows, s)
        m, c = means_of(sums.predicted[s]), means_of(sums.received[s])
        pull, target, gap = relax(m, c, p)
        for k in range(d):
            change[k] = pull[k] + gap[k] - modes.rate[s, k]
        new_rate, shift = vector_of(change), vector_of(shifts[s])
        J, P2 = matrix_of(modes.J[s].ravel()), matrix_of(modes.P2[s].ravel())
        for first in range(0, n_padded, TILE):
            size = min(TILE, n_padded - first)
            states, bends = rows_of((X, s, first, size)), curved_rows_of((B, s, first, size))
            changes = curved_tile_of((buffer, size))
            for i in range(size):
                y = shifted((gather((states, i)), shift))
                new_bend = bend((drift(y, m, c, p), J, y))
                bend_change = difference((new_bend, gather_bend((bends, i))))
                scatter_bend(changes, i, bend_change)
                everything = among_all(bend_change)
                if rates_move:
                    everything = less_product((everything, new_rate, y))
                scatter(states, i, corrected_state((y, P2, everything)))
            if n_curved > 0:
                for q in range(n_curved):
                    add_to_lanes(lanes, q, changes[q], min(size, n - first))
        for k in range(d):
            change[k] = sum_lanes(lanes, place[k]) / n if curved[k] else 0.0
            # <drift(X^)> + pull (target - M^) less what the predictor has used.
            residual = sums.bend[s, k] + change[k] + pull[k] * (target[k] - m[k])
            for j in range(d):
                residual += modes.J[s, k, j] * m[j]
            sums.residual[s, k] = residual - modes.flow[s, k] - sums.excess[s, k]
            if rates_move:
                change[k] -= new_rate[k] * m[k]
        for k in range(d):
            shifts[s, k] = -m[k]
            for j in range(d):
                shifts[s, k] -= modes.P2[s, k, j] * change[j]

    @compiled
    def settle(X, B, s, shifts, rows, means, n, h, key, replica, step):
        """Add the shift, reflect, and take the means of what has come out."""
        lanes = stack_array(np.float64, n_means, SUM_LANES)
        lanes[:] = 0.0
        p, shift = parameters(rows, s), vector_of(shifts[s])
        for first in range(0, X.shape[2], TILE):
            size = min(TILE, X.shape[2] - first)
            states = rows_of((X, s, first, size))
            for i in range(size):
                scatter(states, i, shifted((gather((states, i)), shift)))
            if reflects:
                olds = old_rows_of((B, s, first, size))
                reflect(olds, states, noise(p), h, first, size, key, replica, step, s)
            accumulate(lanes, states, min(size, n - first), p)
        for k in range(n_means):
            means[s, k] = sum_lanes(lanes, k) / n
        for k in range(d):
            shifts[s, k] = 0.0

    @compiled
    def exponential_step(
        X, B, shifts, modes, sums, rows, coupling, means, inputs, n, h, refinement, key, replica,
        step,
    ):  # fmt: skip
        """Move every neuron by one exponential Rosenbrock step (module docstring).

        After each pass the shift is what takes the site's own mean to where it belongs.  The mean
        is summed, not carried along: where fluctuations grow, its rounding errors would, too.
        """
        sites, predicted = range(X.shape[1]), sums.predicted
        find_modes(modes, means, inputs, rows, coupling, h)
        for s in sites:
            predict(
                X, B, s, shifts, modes, sums, rows, means, inputs, n, h, refinement,
                key, replica, step,
            )  # fmt: skip
        predict_means(modes, sums.excess, sums.noise, sums.moved)
        for s in sites:
            for k in range(d):
                predicted[s, k] = sums.moved[s, k]
                shifts[s, k] += sums.moved[s, k]
            if n_fields > 0:
                sum_fields(X, s, shifts, rows, n, predicted[s, d:])
        couple(coupling, predicted, sums.received)
        for s in sites:
            correct(X, B, s, shifts, modes, sums, rows, n)
        correct_means(modes, sums.residual, sums.moved)
        for s in sites:
            for k in range(d):
                means[s, k] = sums.moved[s, k]
                shifts[s, k] += sums.moved[s, k]
            if reflects or n_fields > 0:
                settle(X, B, s, shifts, rows, means, n, h, key, replica, step)

    @compiled
    def advance(
        X, work, rows, coupling, means, trace, every, n, h, refinement, key, replica, first, last
    ):
        """Do the steps first, first + 1, ..., last - 1 on X; ``means`` follows the state."""
        inputs = np.empty_like(means)
        n_sites = X.shape[1]
        shifts = np.zeros((n_sites, d))
        # Small arrays of the exponential step, made once: making them costs as much as its algebra.
        modes = room(n_sites)
        sums = Sums(
            np.empty((n_sites, n_means)),
            np.empty((n_sites, n_means)),
            np.empty((n_sites, d)),
            np.empty((n_sites, d)),
            np.empty((n_sites, d)),
            np.empty((n_sites, d)),
            np.empty((n_sites, d)),
        )
        for step in range(first, last):
            couple(coupling, means, inputs)
            exponential_step(
                X, work, shifts, modes, sums, rows, coupling, means, inputs, n, h, refinement,
                key, replica, step,
            )  # fmt: skip
            if every > 0 and (step + 1) % every == 0:
                trace[(step + 1) // every] = means[:, :d]
        for s in range(X.shape[1]):
            for k in range(d):
                row = X[k, s]
                for i in range(row.size):
                    row[i] += shifts[s, k]

    @compiled
    def record(X, n, scale, low, width, levels, records, t):
        """Fill the records of time t; return whether they are finite."""
        finite = summarise(
            X, n, scale, low, width, levels, records.mean[t], records.covariance[t],
            records.central_moment[t], records.quantile[t], records.histogram[t],
        )  # fmt: skip
        if records.state.shape[0] > 0:
            for s in range(X.shape[1]):
                for k in range(d):
                    copy_row(records.state[t, s, k], X[k, s, :n])
        return finite

    # Many records in one call: whatever returns to Python waits there for the other threads.
    @compiled
    def follow(
        X, work, rows, coupling, means, trace, every, n, h, refinement, key, replica, stride,
        scale, low, width, levels, records, begin, end,
    ):  # fmt: skip
        """Do the steps begin .. end - 1; return whether what was recorded is finite."""
        if begin == 0:
            start(X, rows, key, replica, n, means)
            if every > 0:
                trace[0] = means[:, :d]
            if not record(X, n, scale, low, width, levels, records, 0):
                return False
        step = begin
        while step < end:
            stop = min(end, (step // stride + 1) * stride)
            advance(
                X, work, rows, coupling, means, trace, every, n, h, refinement, key, replica,
                step, stop,
            )  # fmt: skip
            step = stop
            if step % stride == 0 and not record(
                X, n, scale, low, width, levels, records, step // stride
            ):
                return False
        return True

    start, advance, follow = (keep_compiled(f, tag, known) for f in (start, advance, follow))
    return Kernels(n_means, n_curved + n_old, start, advance, follow)


def _tuple_reader(size: int) -> Callable[..., Any]:
    """Return a compiled function array [size] -> tuple."""

    def read(array):
        return to_fixed_tuple(array, size)

    return njit(error_model="numpy", forceinline=True)(named(read, size))
