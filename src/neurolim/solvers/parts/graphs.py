"""Who hears whom: graphs drawn at random, rings, and graphs that are given wire by wire."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import binom

from neurolim.core import Model, StudyError
from neurolim.core.wires import wire_name
from neurolim.kernels.graph import Wires
from neurolim.numerics.random import BLOCK, STREAMS_PER_SITE, uniforms
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.times import at_start, largest_rate

#: Kinds of graphs.
KINDS = ("all", "fixed", "binomial", "ring", "given")
#: Streams of random numbers that lay the wires of a site: degrees, then one per site it hears.
_STREAM_DEGREE, _STREAM_WIRE = 120, 128
MOST_SITES = 128


def check_graph(n_sites: int, n: int, options: Mapping[str, Any]) -> None:
    """Refuse graphs that a network of n neurons on so many sites cannot have.

    Raises
    ------
    StudyError
    """
    kind, degree, graph = options["wires"], options["in_degree"], options["graph"]
    if n_sites > MOST_SITES:
        raise StudyError("wires", f"{n_sites} sites", f"at most {MOST_SITES}")
    if kind in ("fixed", "binomial") and degree > n:
        raise StudyError("in_degree", f"{degree} wires from {n} neurons", "at most n_neurons")
    if kind == "ring" and (degree % 2 or degree >= n):
        problem = f"{degree} neighbours on a ring of {n} neurons"
        raise StudyError("in_degree", problem, "an even number below n_neurons")
    if bool(graph) != (kind == "given"):
        problem = "no wires" if kind == "given" else f"{len(graph)} wires beside wires: {kind}"
        raise StudyError("graph", problem, "rows [to, from, weight] with wires: given")
    for row, (to, source, _) in enumerate(graph):
        for node in (to, source):
            if node >= n_sites * n:
                problem = f"{wire_name(graph, row)} ends at node {node} of {n_sites * n}"
                raise StudyError("graph", problem, f"nodes 0 to {n_sites * n - 1}, site after site")
    if graph:
        to, _, weight = (np.array(column) for column in zip(*graph, strict=True))
        sums = np.bincount(to, np.abs(weight))
        if not np.isfinite(sums).all():
            problem = f"the weights |w| of node {sums.argmax()} add up to no finite number"
            raise StudyError("graph", problem, f"sums up to {sys.float_info.max:.2g}")


def most_heard(options: Mapping[str, Any], n_sites: int, n: int) -> tuple[float, float]:
    """Return the largest sums of weights |w|: of wires from one site, and for gap junctions.

    For random numbers of wires they are bounds that are passed once in 10^9 neurons.
    """
    degree = options["in_degree"]
    if options["wires"] == "binomial":
        most = float(binom.isf(1e-9, n, degree / n)) / degree
        return most, most if options["junctions"] == "wires" else 1.0
    if options["wires"] != "given":
        return 1.0, 1.0
    to, source, weight = (np.array(column) for column in zip(*options["graph"], strict=True))
    sums = np.bincount(to * n_sites + source // n, np.abs(weight))
    own = to // n == source // n
    inward = np.bincount(to[own], np.abs(weight[own]), minlength=1).max(initial=0.0)
    return float(sums.max()), float(inward) if options["junctions"] == "wires" else 1.0


def fastest_rate(model: Model, params: Mapping[str, Any], gain: float, inward: float) -> float:
    """Return a rate (1/time) that no mode of a network decays faster than, at the start.

    It is the largest eigenvalue of the matrix over sites and variables [P d, P d]

        pull_k + inward gap_k - d drift_k/d x_k,  beside the diagonal |d drift_k/d x_l|,
        + gain |K[s, r]| |sum_j d drift_k/d c_j d sent_j/d x_l| + the same of m with weight 1,

    which bounds the Jacobian entry by entry (for one variable: Gershgorin's row sums).  What comes
    late moves no mode at once.  Where drifts feel no means, the diagonal is all that counts.

    Parameters
    ----------
    model, params : the network
    gain, inward : as `most_heard` returns them
    """
    rate = largest_rate(model, params, slopes=True, gain=gain, inward=inward)
    if {"drift", "fields"} & set(structure_of(model).untraceable):
        return rate
    sites, slopes = model.sites(params), derivatives_of(model)
    d, P, now = len(model.state), len(sites.labels), len(model.means) - len(model.delays)
    own, sent = np.zeros((P, d, d)), np.zeros((P, now, d))
    felt, heard = np.zeros((P, d, now)), np.zeros((P, d, now))
    for s, (x, m, c, p) in enumerate(at_start(model, sites, gain)):
        slope = np.reshape(slopes.drift_x(x, m, c, p), (d, d))
        pull, _, gap = model.equations.relax(m, c, p)
        own[s] = np.where(np.eye(d), np.add(pull, np.multiply(inward, gap)) - slope, np.abs(slope))
        felt[s] = np.reshape(slopes.drift_m(x, m, c, p), (d, -1))[:, :now]
        heard[s] = np.reshape(slopes.drift_c(x, m, c, p), (d, -1))[:, :now]
        sent[s] = np.vstack([np.eye(d), np.reshape(slopes.field_x(x, m, c, p), (-1, d))])
    if not (felt.any() or heard.any()):
        return rate
    weights = gain * np.abs(sites.coupling)
    bound = np.abs(np.einsum("skj,rjl->skrl", heard, sent)) * weights[:, None, :, None]
    each = np.arange(P)
    bound[each, :, each] += own + np.abs(felt @ sent)
    most = sys.float_info.max
    bound = np.nan_to_num(bound, nan=most, posinf=most).reshape(P * d, P * d)
    return min(float(np.linalg.eigvals(bound).real.max()), most)


def lay_wires(n_sites: int, n: int, options: Mapping[str, Any], key: int, replica: int) -> Wires:
    """Return the wires of one network: a function of key and replica alone.

    Parameters
    ----------
    n_sites, n : sites, neurons per site
    options : ``wires``, ``in_degree``, ``graph`` and ``junctions``
    key, replica : of the noise
    """
    kind, degree = options["wires"], options["in_degree"]
    along = options["junctions"] == "wires" and kind != "all"
    sources: list[np.ndarray] = []
    if kind == "all":
        # Nothing is looked up where everyone hears everyone.
        counts, weight = np.zeros((1, 1, 0), np.int64), np.ones(1)
    elif kind == "given":
        sources, counts, weight = _given(n_sites, n, options["graph"])
    else:
        sources, counts = _drawn(n_sites, n, kind, degree, key, replica)
        weight = np.array([1.0 / degree])
    ends = np.cumsum(counts.ravel()).reshape(counts.shape)
    place = np.concatenate([(ends - counts)[..., :1], ends], axis=2)
    source = np.concatenate([np.zeros(0, np.int32), *sources]).astype(np.int32)
    inward = np.ones((n_sites, n))
    if along:
        weights = np.broadcast_to(weight, source.shape) if weight.size == 1 else weight
        target = np.repeat(np.arange(counts.size), counts.ravel())
        sums = np.bincount(target, weights, minlength=counts.size).reshape(counts.shape)
        inward = np.array([sums[s, s] for s in range(n_sites)])
    return Wires(source, place, weight, inward, kind == "all", along)


def _drawn(
    n_sites: int, n: int, kind: str, degree: int, key: int, replica: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return whom each neuron hears, site by site, and how many they are [P, P, n]."""
    padded = -(-n // BLOCK) * BLOCK
    counts = np.full((n_sites, n_sites, n), degree, np.int64)
    sources: list[np.ndarray] = []
    for s in range(n_sites):
        streams = s * STREAMS_PER_SITE
        for r in range(n_sites):
            if kind == "ring":
                steps = np.arange(1, degree // 2 + 1)
                around = np.concatenate([-steps[::-1], steps])
                sources.append(((np.arange(n)[:, None] + around) % n).ravel())
                continue
            if kind == "binomial":
                u = np.empty(padded)
                uniforms(u, 0, np.uint64(key), replica, r, streams + _STREAM_DEGREE)
                counts[s, r] = _binomial(u[:n], n, degree / n)
            draws = np.empty((counts[s, r].max(), padded))
            for k in range(len(draws)):
                uniforms(draws[k], 0, np.uint64(key), replica, k, streams + _STREAM_WIRE + r)
            chosen = np.arange(len(draws)) < counts[s, r][:, None]
            sources.append((draws[:, :n].T[chosen] * n).astype(np.int32))
    return sources, counts


def _given(
    n_sites: int, n: int, graph: tuple[tuple[int, int, float], ...]
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return whom each neuron hears, how many they are [P, P, n], and the weights."""
    to, source, weight = (np.array(column) for column in zip(*graph, strict=True))
    order = np.lexsort((source % n, to % n, source // n, to // n))
    to, source, weight = to[order], source[order], weight[order].astype(float)
    counts = np.zeros((n_sites, n_sites, n), np.int64)
    np.add.at(counts, (to // n, source // n, to % n), 1)
    # One weight would be taken for that of all wires, which it is.
    return [source % n], counts, weight


def _binomial(u: np.ndarray, n: int, share: float) -> np.ndarray:
    """Return Binomial(n, share) numbers from uniforms by inverting the distribution."""
    spread = np.sqrt(n * share * (1.0 - share))
    low = max(0, int(n * share - 8.0 * spread - 10.0))
    high = min(n, int(n * share + 8.0 * spread + 10.0))
    values = np.arange(low, high + 1)
    return values[np.minimum(np.searchsorted(binom.cdf(values, n, share), u), len(values) - 1)]
