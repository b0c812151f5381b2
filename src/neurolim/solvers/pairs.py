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
from collections.abc import Mapping
from typing import Any

import numpy as np

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
    resolve,
)
from neurolim.numerics.random import BLOCK, STREAM_INITIAL
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers._couplings import COUPLINGS, REFLECTIONS, kernels
from neurolim.solvers._times import (
    TIME_OPTIONS,
    largest_rate,
    record_times,
    state_coords,
    steps_per_record,
)

#: Stream of the starts of second copies that start by themselves.
STREAM_SECOND_INITIAL = 96

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
    site = -(-options["n_neurons"] * options["n_pairs"] // BLOCK) * BLOCK
    neurons = len(model.sites(params).labels) * site
    steps = options["t_end"] / options["dt"]
    d = len(model.state)
    # Seconds per pair-step and variable; neurons of a network look at their means, others' too.
    per_step = 18e-9
    if options["n_neurons"] > 1 or neurons > site or options["limit_copy"]:
        per_step = 45e-9 if options["mean_over"] == "others" else 36e-9
    seconds = steps * (neurons * per_step * d + 3e-6) + options["records"] * neurons * 8e-8
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
    # One number for every population of a vector.
    given = {
        name: (value,) if isinstance(params.get(name), tuple) else value
        for name, value in zip(names, values, strict=True)
    }
    changed = resolve(model.params, given)
    return dict(params) | {name: changed[name] for name in names}


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse what cannot be coupled.

    Raises
    ------
    StudyError : step that does not divide the recording interval or does not resolve the
        coupling; wrong numbers of weights or values; a coupling of noises that differ or vanish;
        a mean over the others of a single neuron
    """
    steps_per_record(options)
    first = model.sites(params)
    try:
        second = model.sites(second_params(model, params, options))
    except StudyError as error:
        raise error.within("other_values" if error.key != "other_values" else "") from None
    d = len(model.state)
    if len(options["weights"]) not in (1, d):
        raise StudyError("weights", f"{len(options['weights'])} values", f"1 or {d} values")
    if second.labels != first.labels:
        raise StudyError("other", "the copies have different sites", "other parameters")
    noises = [
        np.array([model.equations.noise(p) for p in sites.params]) for sites in (first, second)
    ]
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
    rate = largest_rate(model, params)
    if rate * options["dt"] > 0.5:
        raise StudyError(
            "dt",
            f"{options['dt']:g} does not resolve the coupling rate {rate:g}",
            f"at most {0.5 / rate:g}",
        )


def _coupled(model: Model, sites: Sites, options: Mapping[str, Any]) -> bool:
    """Return whether linear couplings act; one neuron has no gap junctions."""
    found = structure_of(model)
    alone = options["n_neurons"] == 1 and not options["limit_copy"]
    if "coupling" in found.untraceable:
        return True
    if not any(found.pulled) and (alone or not any(found.gapped)):
        return False
    # Affine rates vanish everywhere if they and their slopes vanish once.
    if found.rates_bend:
        return True
    slopes, n_means = derivatives_of(model), len(model.means)
    x, means = (0.0,) * len(model.state), (1.0,) * n_means
    for p in sites.params:
        at = (x, means, means, p)
        pull, _, gap = model.equations.relax(means, means, p)
        if any(pull) or any(slopes.pull_m(*at)) or any(slopes.pull_c(*at)):
            return True
        if not alone and (any(gap) or any(slopes.gap_m(*at)) or any(slopes.gap_c(*at))):
            return True
    return False


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
    first, second = model.sites(params), model.sites(second_params(model, params, options))
    rows = [np.array([[float(v) for v in p] for p in sites.params]) for sites in (first, second)]
    d, n_sites = len(model.state), len(first.labels)
    n, n_pairs, stride = options["n_neurons"], options["n_pairs"], steps_per_record(options)
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
    tied = (
        COUPLINGS.index(options["coupling"]),
        options["switch_scale"],
        REFLECTIONS.index(options["reflection"]),
        _coupled(model, first, options) or _coupled(model, second, options),
    )
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
                *rows,
                coupling,
                n,
                n_pairs,
                options["dt"],
                (np.uint64(key), replica),
                (max(0, t - 1) * stride, t * stride),
                tied,
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
