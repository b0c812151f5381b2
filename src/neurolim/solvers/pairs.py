r"""Two copies of a network on shared noise: couplings of stochastic neurons, pair by pair.

Both copies obey the model's equation; only their Brownian motions are tied,

    dW = alpha dB + beta dB',      dW' = alpha dB - beta dB',      alpha^2 + beta^2 = 1,

with B, B' independent, so each copy alone has the right law.  ``synchronous`` is beta = 0;
``mirror`` is beta = 1 where the copies differ by more than the switch scale xi, 0 below xi/2, and
in between they turn smoothly on the circle; ``independent`` gives each copy its own
noise; ``maximal`` is the reflection-maximal coupling of one step's Gaussians, under which noisy
variables meet.  Noise is a function of (key, replica, neuron, step, stream): a coupling is nothing
but streams and a sign, neuron by neuron, for every model.

One step of length h is  drift(h/2) noise(h) drift(h/2): the drift is swept component by component
there and back, each exponentially with its own slope (exact where a component is affine in itself,
so Morris-Lecar voltages stay in [V_L, V_E]); the noise step is exact with the linear couplings of
the model, and exact for a reflected Brownian motion when ``reflection`` is ``bridge``.  Weak order
2 without reflection, 1 with it.  Shared bridge uniforms make the reflected step of the synchronous
coupling order preserving and non-expansive, as the Skorokhod map is.

Sources: Herda, Monmarche & Perthame 2024, eq. (10), section 3 (couplings, particle by particle);
Lepingle 1995 (bridge); Bou-Rabee, Eberle & Zimmer 2020 (reflection-maximal step).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.np.unsafe.ndarray import to_fixed_tuple

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
    resolve,
)
from neurolim.numerics.cache import keep_compiled, named
from neurolim.numerics.columns import TILE
from neurolim.numerics.elementary import expm1, log
from neurolim.numerics.lowlevel import stack_array
from neurolim.numerics.random import (
    BLOCK,
    STREAM_BRIDGE,
    STREAM_INITIAL,
    STREAM_NOISE,
    normals,
    uniforms,
)
from neurolim.provenance import code_digest
from neurolim.solvers._times import TIME_OPTIONS, record_times, state_coords

COUPLINGS = ("synchronous", "mirror", "independent", "maximal")
REFLECTIONS = ("bridge", "symmetrised", "projected")
#: Streams of B', of the bridge of an independent copy and of the maximal coupling's choice.
STREAM_SECOND, STREAM_SECOND_BRIDGE, STREAM_CHOICE, STREAM_SECOND_INITIAL = 48, 64, 80, 96

OPTIONS = (
    Param("n_neurons", 1, doc="neurons per site of each copy", kind="integer", low=1, high=2**24),
    Param("n_pairs", 1000, doc="pairs per replica", kind="integer", low=1, high=2**24),
    Param("coupling", "synchronous", doc="how noise is shared", kind="choice", choices=COUPLINGS),
    Param(
        "switch_scale", 0.05, "state", "distance xi at which mirror noise sets in", positive=True
    ),
    Param(
        "reflection",
        "bridge",
        doc="how a noisy variable is kept above its floor",
        kind="choice",
        choices=REFLECTIONS,
    ),
    Param(
        "other",
        ("none",),
        doc="parameters in which the second copy differs, e.g. its start; none",
        kind="names",
    ),
    Param("other_values", (0.0,), doc="their values in the second copy", kind="vector"),
    Param(
        "start",
        "shared",
        doc="whether both copies start from the same normals",
        kind="choice",
        choices=("shared", "independent"),
    ),
    Param(
        "mean_over",
        "all",
        doc="neurons whose field a neuron feels: all of its network, or all others",
        kind="choice",
        choices=("all", "others"),
    ),
    Param(
        "limit_copy",
        False,
        doc="second copies feel the mean over all pairs: solutions of the limit equation",
        kind="boolean",
    ),
    Param(
        "weights",
        (1.0,),
        doc="weights of the squared norm, per state variable",
        kind="vector",
        positive=True,
    ),
    Param("samples", 0, doc="pairs whose first neuron is recorded", kind="integer", low=0),
    Param("dt", 0.01, "time", "time step h", positive=True),
    *TIME_OPTIONS,
)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return distances between the copies, moments of each copy, and recorded pairs."""
    by_variable = ("time", "site", "variable")
    found = [
        Var("distance", "state", "mean |difference| of the copies", by_variable),
        Var("distance_squared", "state^2", "mean squared difference of the copies", by_variable),
        Var("weighted_distance", "state", "mean weighted norm of the difference", ("time",)),
        Var(
            "log_worst",
            "1",
            "largest log of weighted norm over its start, over pairs",
            ("time",),
        ),
        Var("met", "1", "share of pairs that are equal to 1e-12", ("time",)),
        Var("copy_mean", "state", "mean of each copy", ("copy", *by_variable)),
        Var(
            "copy_covariance",
            "state^2",
            "covariance of each copy over pairs and neurons",
            ("copy", *by_variable, "variable_b"),
        ),
    ]
    if options["samples"]:
        found.append(Var("sample", "state", "first neurons", ("copy", *by_variable, "pair")))
    return tuple(found)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, both variable coordinates, copy and recorded pair."""
    found = state_coords(model, params, options)
    found["copy"] = Coord(("first", "second"), "1", "copy of the network")
    if options["samples"]:
        found["pair"] = Coord(tuple(float(i) for i in range(options["samples"])), "1", "pair")
    return found


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Predict the cost of one replica from the measured time per pair-step."""
    neurons = len(model.prepare(params).labels) * options["n_neurons"] * options["n_pairs"]
    steps = options["t_end"] / options["dt"]
    per_step = 25e-9 if options["coupling"] == "synchronous" else 32e-9
    d = len(model.state)
    seconds = steps * (neurons * per_step * d + 4e-6) + options["records"] * neurons * 2e-7
    return Cost(seconds, 8.0 * neurons * (4.0 * d + 16.0))


def second_params(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """Return the parameters of the second copy.

    Raises
    ------
    StudyError : unknown names, unequal numbers of names and values
    """
    names, values = options["other"], options["other_values"]
    if tuple(names) == ("none",):
        return dict(params)
    if len(names) != len(values):
        raise StudyError(
            "other_values", f"{len(values)} values for {len(names)} names", "one value per name"
        )
    changed = resolve(model.params, dict(zip(names, values, strict=True)))
    return dict(params) | {name: changed[name] for name in names}


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse what cannot be coupled.

    Raises
    ------
    StudyError : step that does not divide the recording interval or does not resolve the
        coupling; wrong numbers of weights or values; a coupling of noises that differ or vanish;
        a mean over the others of a single neuron
    """
    _stride(options)
    first = model.prepare(params)
    try:
        second = model.prepare(second_params(model, params, options))
    except StudyError as error:
        raise error.within("other_values" if error.key != "other_values" else "") from None
    d = len(model.state)
    if len(options["weights"]) not in (1, d):
        raise StudyError("weights", f"{len(options['weights'])} values", f"1 or {d} values")
    if second.labels != first.labels:
        raise StudyError("other", "the copies have different sites", "other parameters")
    noises = [np.array([model.noise(p) for p in sites.params]) for sites in (first, second)]
    if options["coupling"] != "synchronous" and not noises[0].any():
        raise StudyError(
            "coupling", f"{options['coupling']} needs noise", "synchronous, or noise > 0"
        )
    if options["coupling"] in ("mirror", "maximal") and not np.array_equal(noises[0], noises[1]):
        raise StudyError("other", f"{options['coupling']} copies need equal noise", "other names")
    if options["mean_over"] == "others" and options["n_neurons"] < 2:
        raise StudyError("mean_over", "one neuron has no others", "all, or n_neurons >= 2")
    if options["samples"] > options["n_pairs"]:
        raise StudyError("samples", f"{options['samples']} of {options['n_pairs']} pairs", "fewer")
    if len(first.labels) * options["n_neurons"] * options["n_pairs"] > 2**31:
        raise StudyError("n_pairs", "more than 2^31 neurons", "fewer pairs, more replicas")
    rate = _fastest(model, first)
    if rate * options["dt"] > 0.5:
        raise StudyError(
            "dt",
            f"{options['dt']:g} does not resolve the coupling rate {rate:g}",
            f"at most {0.5 / rate:g}",
        )


def _fastest(model: Model, sites: Any) -> float:
    """Return the largest linear coupling rate at the start."""
    rates = [0.0]
    for p in sites.params:
        x = model.initial((0.0,) * len(model.state), p)
        m = (*x, *model.field(x, p))
        pull, _, gap = model.relax(m, m, p)
        rates += [a + b for a, b in zip(pull, gap, strict=True)]
    return max(rates)


def _stride(options: Mapping[str, Any]) -> int:
    """Return the steps between two records, or raise StudyError."""
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


class Kernels(NamedTuple):
    """Compiled functions that move pairs.

    n_means : length of a row of means: state variables, then fields
    start : (X, rows, key, replica, stream) draws the initial states of one copy
    advance : (X, rows, coupling matrix, n, h, key, replica, first, last, kind, scale, wall,
        others, pooled) does the steps first..last on both copies
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
    d = len(model.state)
    sites = model.prepare({param.name: param.default for param in model.params})
    parameters_class = type(sites.params[0])
    n_parameters = len(sites.params[0])
    n_fields = len(model.field(tuple(0.5 for _ in range(d)), sites.params[0]))
    n_means = d + n_fields
    floors = np.array([-np.inf if v.reflect is None else v.reflect for v in model.state])
    slope_step = 2.0**-10
    tag = f"{code_digest(__name__, model.drift.__module__)}_pairs"

    def inline(function: Any) -> Any:
        return njit(error_model="numpy", forceinline=True)(named(function, tag))

    def compiled(function: Any) -> Any:
        return njit(error_model="numpy", nogil=True)(named(function, tag))

    drift, relax, noise = inline(model.drift), inline(model.relax), inline(model.noise)
    field, initial = inline(model.field), inline(model.initial)

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
        for s in range(X.shape[1]):
            p = parameters(rows, s)
            column = X[:, s]
            for pair in range(n_pairs):
                total = zero
                for i in range(n):
                    x = gather(column, pair * n + i)
                    total = add(total, x + field(x, p))
                for k in range(n_means):
                    means[s, k, pair] = total[k] / n
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

        def of_networks(X, rows, means, inputs, n, n_pairs, h, others):
            for s in range(X.shape[1]):
                p = parameters(rows, s)
                column, row = X[:, s], X[component, s]
                for pair in range(n_pairs):
                    m, c = means_of(means[s], pair), means_of(inputs[s], pair)
                    for j in range(pair * n, pair * n + n):
                        x = gather(column, j)
                        felt = m
                        if others:
                            own = x + field(x, p)
                            for k in range(d, n_means):
                                rest = (n * m[k] - own[k]) / (n - 1)
                                felt = tuple_setitem(felt, k, rest)
                        row[j] = moved(x, felt, c, p, h)

        def of_lone_neurons(x, rows, coupling, count, h):
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

    networks, lone_neurons = zip(*(component_sweeps(k) for k in range(d)), strict=True)
    network_0, lone_0 = networks[0], lone_neurons[0]
    network_1, lone_1 = networks[min(1, d - 1)], lone_neurons[min(1, d - 1)]
    network_2, lone_2 = networks[min(2, d - 1)], lone_neurons[min(2, d - 1)]

    @inline
    def lone_step(x, rows, coupling, count, h, component):
        if component == 0:
            lone_0(x, rows, coupling, count, h)
        elif component == 1:
            lone_1(x, rows, coupling, count, h)
        else:
            lone_2(x, rows, coupling, count, h)

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
            if component == 0:
                network_0(X, rows, means, inputs, n, n_pairs, part, others)
            elif component == 1:
                network_1(X, rows, means, inputs, n, n_pairs, part, others)
            else:
                network_2(X, rows, means, inputs, n, n_pairs, part, others)

    @compiled
    def tie(w1, w2, x1, x2, b, b2, u, scale, size, kind):
        """Fill the normals w1, w2 of both copies from B, B' and a uniform; kind: see COUPLINGS."""
        if kind == 0:
            w1[:] = b
            w2[:] = b
        elif kind == 1:
            for j in range(b.size):
                # A rational parametrisation of the circle: alpha^2 + beta^2 = 1.
                t = min(max(2.0 * abs(x1[j] - x2[j]) / scale - 1.0, 0.0), 1.0)
                alpha, beta = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
                w1[j] = alpha * b[j] + beta * b2[j]
                w2[j] = alpha * b[j] - beta * b2[j]
        elif kind == 2:
            w1[:] = b
            w2[:] = b2
        else:
            for j in range(b.size):
                target = b[j] + (x1[j] - x2[j]) / size
                meet = log(u[j]) <= 0.5 * (b[j] * b[j] - target * target)
                w1[j] = b[j]
                w2[j] = target if meet else -b[j]

    @compiled
    def shake(x, w, means, inputs, p, k, n, n_pairs, h, floor, wall, u, coupled):
        """Apply noise w and the linear couplings of variable k to one copy's row x for a time h.

        w is overwritten by the proposals.
        """
        size = noise(p)[k]
        root = size * np.sqrt(h)
        if coupled:
            for pair in range(n_pairs):
                pull, target, gap = relax(means_of(means, pair), means_of(inputs, pair), p)
                own, mixed = 0.0, 0.0
                for j in range(pair * n, pair * n + n):
                    own += x[j]
                    mixed += w[j]
                own, mixed = own / n, mixed / n
                # A network moves with its own mean; a limit copy about the law's, which is given.
                centre = means[k, pair]
                if abs(centre - own) > 1e-9 * (1.0 + abs(own)):
                    mixed = 0.0
                slow, fast = -pull[k], -(pull[k] + gap[k])
                decay_mean, decay = 1.0 + expm1(slow * h), 1.0 + expm1(fast * h)
                c_mean = size * np.sqrt(h if slow == 0.0 else expm1(2.0 * slow * h) / (2.0 * slow))
                c_own = size * np.sqrt(h if fast == 0.0 else expm1(2.0 * fast * h) / (2.0 * fast))
                moved = target[k] + (centre - target[k]) * decay_mean + c_mean * mixed
                for j in range(pair * n, pair * n + n):
                    w[j] = moved + (x[j] - centre) * decay + c_own * (w[j] - mixed)
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

    @inline
    def has_couplings(X, rows, n, pooled):
        """Return whether the model has linear couplings that act here."""
        found = False
        for s in range(X.shape[1]):
            p = parameters(rows, s)
            x = gather(X[:, s], 0)
            m = x + field(x, p)
            pull, _, gap = relax(m, m, p)
            for k in range(d):
                found = found or pull[k] != 0.0 or (gap[k] != 0.0 and (n > 1 or pooled))
        return found

    @compiled
    def kick(
        X,
        rows1,
        rows2,
        coupling,
        n,
        n_pairs,
        pooled,
        means,
        inputs,
        h,
        key,
        replica,
        step,
        kind,
        scale,
        wall,
        B,
        W,
    ):
        """Apply one noise step to both copies."""
        n_all = X.shape[3]
        coupled = has_couplings(X[0], rows1, n, pooled) or has_couplings(X[1], rows2, n, pooled)
        if coupled:
            average(X[0], rows1, coupling, n, n_pairs, False, means[0], inputs[0])
            average(X[1], rows2, coupling, n, n_pairs, pooled, means[1], inputs[1])
        for s in range(X.shape[2]):
            p1, p2 = parameters(rows1, s), parameters(rows2, s)
            offset = s * n_all
            for k in range(d):
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
                    size = noise(p1)[k] * np.sqrt(h)
                    tie(W[0], W[1], X[0, k, s], X[1, k, s], B[0], B[1], B[2], scale, size, kind)
                floor = floors[k]
                bridged = floor > -np.inf and wall == 0
                if bridged:
                    uniforms(B[2], offset, key, replica, step, STREAM_BRIDGE + k)
                shake(
                    X[0, k, s],
                    W[0],
                    means[0, s],
                    inputs[0, s],
                    p1,
                    k,
                    n,
                    n_pairs,
                    h,
                    floor,
                    wall,
                    B[2],
                    coupled,
                )
                if bridged and kind == 2:
                    uniforms(B[2], offset, key, replica, step, STREAM_SECOND_BRIDGE + k)
                shake(
                    X[1, k, s],
                    W[1],
                    means[1, s],
                    inputs[1, s],
                    p2,
                    k,
                    n,
                    n_pairs,
                    h,
                    floor,
                    wall,
                    B[2],
                    coupled,
                )

    @compiled
    def advance(
        X,
        rows1,
        rows2,
        coupling,
        n,
        n_pairs,
        h,
        key,
        replica,
        first,
        last,
        kind,
        scale,
        wall,
        others,
        pooled,
    ):
        """Do the steps first .. last - 1 on both copies X [2, d, site, neuron]."""
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
                kick(
                    X,
                    rows1,
                    rows2,
                    coupling,
                    n,
                    n_pairs,
                    pooled,
                    means,
                    inputs,
                    h,
                    key,
                    replica,
                    step,
                    kind,
                    scale,
                    wall,
                    B,
                    W,
                )

    return Kernels(n_means, keep_compiled(start, tag), keep_compiled(advance, tag))


def _reader(size: int) -> Callable[..., Any]:
    """Return a compiled function (rows [size, n], i) -> tuple of column i."""
    zero = (0.0,) * size

    def read(rows, i):
        found = zero
        for k in range(size):
            found = tuple_setitem(found, k, rows[k, i])
        return found

    return njit(error_model="numpy", forceinline=True)(named(read, f"pairs_{size}"))


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Simulate ``n_pairs`` pairs per replica.

    Parameters
    ----------
    model, params, options : what to simulate, resolved
    key : 64-bit noise key of the grid point
    replicas : replica numbers; each is its own counter of the noise

    Returns
    -------
    arrays [replica, ...] as in ``outputs``; a replica that leaves the finite numbers is DIVERGED
    and holds NaN everywhere.
    """
    first, second = model.prepare(params), model.prepare(second_params(model, params, options))
    rows = [np.array([[float(v) for v in p] for p in sites.params]) for sites in (first, second)]
    d, n_sites = len(model.state), len(first.labels)
    n, n_pairs, stride = options["n_neurons"], options["n_pairs"], _stride(options)
    n_all = -(-n * n_pairs // BLOCK) * BLOCK
    weights = np.broadcast_to(np.array(options["weights"], dtype=float), (d,))
    times = len(record_times(options))
    run = kernels(model)
    coupling = np.ascontiguousarray(first.coupling)
    shapes = {
        var.name: tuple(
            {"time": times, "site": n_sites, "copy": 2, "pair": options["samples"]}.get(dim, d)
            for dim in var.dims
        )
        for var in outputs(model, options)
    }
    arrays = {name: np.full((len(replicas), *shape), np.nan) for name, shape in shapes.items()}
    status = np.zeros(len(replicas), np.int8)
    X = np.empty((2, d, n_sites, n_all))
    for r, replica in enumerate(replicas):
        shared = options["start"] == "shared"
        for copy, stream in enumerate((STREAM_INITIAL, STREAM_SECOND_INITIAL)):
            run.start(
                X[copy],
                rows[copy],
                np.uint64(key),
                replica,
                STREAM_INITIAL if shared else stream,
            )
        start: np.ndarray = np.empty(0)
        for t in range(times):
            run.advance(
                X,
                rows[0],
                rows[1],
                coupling,
                n,
                n_pairs,
                options["dt"],
                np.uint64(key),
                replica,
                max(0, t - 1) * stride,
                t * stride,
                COUPLINGS.index(options["coupling"]),
                options["switch_scale"],
                REFLECTIONS.index(options["reflection"]),
                options["mean_over"] == "others",
                options["limit_copy"],
            )
            now = X[..., : n * n_pairs]
            if not np.isfinite(now).all():
                status[r] = Status.DIVERGED
                for array in arrays.values():
                    array[r] = np.nan
                break
            start = _record(arrays, r, t, now, n, weights, start)
    return Solution(arrays, status)


def _record(
    arrays: dict[str, np.ndarray],
    r: int,
    t: int,
    x: np.ndarray,
    n: int,
    weights: np.ndarray,
    start: np.ndarray,
) -> np.ndarray:
    """Write what is recorded of x [copy, variable, site, neuron]; return the starting norms."""
    difference = x[0] - x[1]
    size = np.abs(difference)
    arrays["distance"][r, t] = size.mean(axis=-1).T
    arrays["distance_squared"][r, t] = (difference**2).mean(axis=-1).T
    squared = np.tensordot(weights, difference**2, 1).sum(axis=0)
    norm = np.sqrt(squared.reshape(-1, n).mean(axis=1))
    start = norm if t == 0 else start
    arrays["weighted_distance"][r, t] = norm.mean()
    apart = start > 0
    if apart.any():
        ratio = norm[apart] / start[apart]
        arrays["log_worst"][r, t] = math.log(max(ratio.max(), 1e-300))
    arrays["met"][r, t] = (size.max(axis=(0, 1)).reshape(-1, n).max(axis=1) < 1e-12).mean()
    mean = x.mean(axis=-1)
    arrays["copy_mean"][r, :, t] = np.swapaxes(mean, 1, 2)
    centred = x - mean[..., None]
    arrays["copy_covariance"][r, :, t] = (
        np.einsum("cksj,clsj->cskl", centred, centred) / x.shape[-1]
    )
    if "sample" in arrays:
        arrays["sample"][r, :, t] = np.swapaxes(x[..., : n * arrays["sample"].shape[-1] : n], 1, 2)
    return start


SOLVER = Solver(
    summary="Pairs of networks on shared noise: synchronous, mirror, independent and maximal.",
    source="Herda, Monmarche & Perthame 2024, eqs (10), (17); scheme: module docstring",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=True,
)
