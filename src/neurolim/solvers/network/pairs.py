r"""Two copies of a network on shared noise: couplings of stochastic neurons, pair by pair.

Both copies obey the model's equation; only their Brownian motions are tied, noise by noise,

    dW = alpha dB + beta dB',      dW' = alpha dB - beta dB',      alpha^2 + beta^2 = 1,

with B, B' independent, so each copy alone has the right law.  ``synchronous`` is beta = 0;
``mirror`` is beta = 1 where what the noise moves differs by more than the switch scale xi, 0 below
xi/2, and in between they turn smoothly on the circle; ``independent`` gives each copy its own
noise; ``maximal`` is the reflection-maximal coupling of one step's Gaussians, under which noisy
variables meet: it needs noise of constant amplitude.  The others take any amplitude.  Noise is a
function of (key, replica, neuron, step, stream): a coupling is nothing but streams and a sign.

Common noise is the environment of a replica: one path per site for all its pairs and for both
copies, under every coupling.  What is coupled are the laws given that path: ``independent`` copies
are independent given it.

The scheme is that of `kernels.pairs`, drift(h/2) noise(h) drift(h/2): the drift swept variable by
variable there and back, each exponentially with its own slope (exact where a variable is affine in
itself, so Morris-Lecar voltages stay in [V_L, V_E]); additive noise exact with the linear couplings
of the model, and exact for a reflected Brownian motion at one wall when ``reflection`` is
``bridge``.  Weak order 2 for additive noise, rates that do not move and drifts that feel no means
of their own variable, unless these come late; otherwise 1, as by the bridge or by noise that
depends on the state (strong order 1 where noises commute, otherwise 1/2).  Where no bridge is known
(two walls, amplitudes that are not constant) a step is folded back: weak order 1/2 where noise
carries a variable to its wall.  Every copy of every pair remembers its own means for those that
come late, and delays may differ between the copies.
Shared bridge uniforms make the reflected step of the synchronous coupling order preserving and
non-expansive, as the Skorokhod map is.  On circles distances are the shortest.

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
from neurolim.core.model import FEATURES
from neurolim.kernels.model_code import pair_codes
from neurolim.kernels.pairs import advance, prepare, start
from neurolim.kernels.ties import STREAM_SECOND_INITIAL
from neurolim.numerics.random import BLOCK, STREAM_INITIAL
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.compiled import COMPILED
from neurolim.solvers.parts.needs import CORRECTION, derivatives
from neurolim.solvers.parts.steps import check_lags, lags, remembered
from neurolim.solvers.parts.ties import (
    COUPLINGS,
    REFLECTIONS,
    check_noise,
    is_alone,
    pairs_of,
    ties_of,
    walls_of_both,
)
from neurolim.solvers.parts.times import (
    TIME_OPTIONS,
    largest_rate,
    record_times,
    state_coords,
    steps_per_record,
)

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
    Param(
        "brownian_refinement",
        1,
        doc="a step's noise is the sum of this many finer steps': paths shared between steps "
        "(not by the bridge of reflected variables)",
        kind="integer",
        low=1,
        high=2**20,
    ),
)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return distances between the copies, moments of each copy, and recorded pairs."""
    by_variable = ("time", "site", "variable")
    quantities = [
        Var("distance", "state", "mean |difference| of the copies", by_variable),
        Var("distance_squared", "state^2", "mean squared difference of the copies", by_variable),
        Var("weighted_distance", "state", "mean weighted norm of the difference", ("time",)),
        Var(
            "log_worst",
            "1",
            "largest log of weighted norm over its start, over pairs; none where all start alike",
            ("time",),
            gaps=True,
        ),
        Var("met", "1", "share of pairs that are equal to 1e-12", ("time",)),
        Var("copy_mean", "state", "mean of each copy", ("network_copy", *by_variable)),
        Var(
            "copy_covariance",
            "state^2",
            "covariance of each copy over pairs and neurons",
            ("network_copy", *by_variable, "variable_b"),
        ),
    ]
    if options["samples"]:
        quantities.append(
            Var("sample", "state", "first neurons", ("network_copy", *by_variable, "pair"))
        )
    return tuple(quantities)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, both variable coordinates, copy and recorded pair."""
    axes = state_coords(model, params, options)
    axes["network_copy"] = Coord(("first", "second"), "1", "copy of the network")
    if options["samples"]:
        axes["pair"] = Coord(tuple(float(i) for i in range(options["samples"])), "1", "pair")
    return axes


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Predict the cost of one replica from the measured time per pair-step."""
    site = -(-options["n_neurons"] * options["n_pairs"] // BLOCK) * BLOCK
    sites = model.sites(params)
    neurons = len(sites.labels) * site
    steps = options["t_end"] / options["dt"]
    d, noises = len(model.state), len(model.noises)
    # Nanoseconds of a pair's step, measured on one core with AVX-512.
    each = 12.0 * d + 3.0 * model.work
    if not is_alone(model, sites, options):
        each += 8.0 * d * (2.0 if options["mean_over"] == "others" else 1.0)
    seconds = steps * (neurons * each * 1e-9 + 3e-6) + options["records"] * neurons * 8e-8
    # Both copies, their kicks and normals, and what is made of them when they are recorded.
    past = remembered(lags(model, sites, options["dt"]), 2 * options["n_pairs"])
    return Cost(seconds, 8.0 * (neurons * (10.0 * d + 2.0 * noises) + past))


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
        coupling; wrong numbers of weights or values; a coupling that the noise does not allow;
        a mean over the others of a single neuron, or of what comes late; delays that are too long,
        or shorter than a step
    """
    steps = steps_per_record(options) * options["records"]
    if steps * options["brownian_refinement"] >= 2**32:
        raise StudyError("brownian_refinement", "more than 2^32 fine steps", "fewer steps")
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
    check_noise(model, first, second, options["coupling"])
    if options["mean_over"] == "others" and options["n_neurons"] < 2:
        raise StudyError("mean_over", "one neuron has no others", "all, or n_neurons >= 2")
    sent = {delay.of for delay in model.delays} - set(model.symbols)
    if options["mean_over"] == "others" and sent:
        problem = (
            f"the field {min(sent)} comes late, and what a neuron adds to it is not remembered"
        )
        raise StudyError("mean_over", problem, "all")
    for sites in (first, second):
        check_lags(model, sites, options["dt"], least=1.0, each=2 * options["n_pairs"])
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
    structure = structure_of(model)
    alone = options["n_neurons"] == 1 and not options["limit_copy"]
    if "coupling" in structure.untraceable:
        return True
    if not any(structure.pulled) and (alone or not any(structure.gapped)):
        return False
    # Affine rates vanish everywhere if they and their slopes vanish once.
    if structure.rates_bend:
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
    d, n_sites, stride = len(model.state), len(first.labels), steps_per_record(options)
    times, many = len(record_times(options)), options["n_neurons"] * options["n_pairs"]
    sizes = {"time": times, "site": n_sites, "network_copy": 2, "pair": options["samples"]}
    arrays = {
        var.name: np.full((len(replicas), *(sizes.get(dim, d) for dim in var.dims)), np.nan)
        for var in outputs(model, options)
    }
    status = np.zeros(len(replicas), np.int8)
    ties = ties_of(model, first, second, options)
    coupled = _coupled(model, first, options) or _coupled(model, second, options)
    pairs = pairs_of(model, first, second, options, key, coupled, ties.streams)
    both = walls_of_both(model, first, second, options)
    code, sweeps = pair_codes(model)
    alone = True if is_alone(model, first, options) else None
    prepare(code, sweeps, alone)
    second_start = STREAM_INITIAL if options["start"] == "shared" else STREAM_SECOND_INITIAL
    for r, replica in enumerate(replicas):
        pairs = pairs._replace(replica=replica)
        for copy, stream in enumerate((STREAM_INITIAL, second_start)):
            start(code, pairs, stream + np.arange(d), copy)
        norms: np.ndarray = np.empty(0)
        for t in range(times):
            if t > 0:
                advance(code, sweeps, alone, pairs, ties, both, (t - 1) * stride, t * stride)
            now = pairs.X[..., :many]
            if not np.isfinite(now).all():
                status[r] = Status.DIVERGED
                for array in arrays.values():
                    array[r] = np.nan
                break
            norms = _record(arrays, r, t, now, model, options, norms)
    return Solution(arrays, status)


def _record(
    arrays: dict[str, np.ndarray],
    r: int,
    t: int,
    x: np.ndarray,
    model: Model,
    options: Mapping[str, Any],
    start: np.ndarray,
) -> np.ndarray:
    """Write what is recorded of x [copy, variable, site, neuron]; return the starting norms."""
    n, weights = options["n_neurons"], np.array(options["weights"], dtype=float)
    difference = x[0] - x[1]
    for k, var in enumerate(model.state):
        if var.period is not None:
            difference[k] -= var.period * np.round(difference[k] / var.period)
    size = np.abs(difference)
    arrays["distance"][r, t] = size.mean(axis=-1).T
    arrays["distance_squared"][r, t] = (difference**2).mean(axis=-1).T
    every = np.broadcast_to(weights, (len(difference),))
    squared = np.tensordot(every, difference**2, 1).sum(axis=0)
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
    takes=FEATURES,
    needs=(derivatives("drift"), CORRECTION, COMPILED),
)
