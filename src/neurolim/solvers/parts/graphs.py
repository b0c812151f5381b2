"""Who hears whom: graphs drawn at random, rings, and graphs that are given wire by wire."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import binom

from neurolim.core import StudyError
from neurolim.core.wires import Graph
from neurolim.kernels.graph import Wires
from neurolim.numerics.random import BLOCK, STREAMS_PER_SITE, uniforms

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
    if graph:
        _check_wires(graph, n_sites * n)


def _check_wires(graph: Graph, n_nodes: int) -> None:
    """Refuse wires of other nodes, and weights that overflow."""
    ends = np.stack([graph.to, graph.source], axis=1)
    beyond = np.argwhere(ends >= n_nodes)
    if beyond.size:
        row, end = beyond[0]
        problem = f"{graph.wire(row)} ends at node {ends[row, end]} of {n_nodes}"
        raise StudyError("graph", problem, f"nodes 0 to {n_nodes - 1}, site after site")
    sizes = np.abs(graph.weight)
    sums = np.bincount(graph.to, sizes)
    if not np.isfinite(sums).all():
        node = sums.argmax()
        wire = graph.wire(int(np.where(graph.to == node, sizes, -1.0).argmax()))
        problem = f"{wire}: the weights |w| of node {node} add up to no finite number"
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
    gain, inward = _heaviest(options["graph"], n_sites, n)
    return gain, inward if options["junctions"] == "wires" else 1.0


@lru_cache(maxsize=16)
def _heaviest(graph: Graph, n_sites: int, n: int) -> tuple[float, float]:
    """Return the largest sums of weights |w| of the wires to a neuron: from one site, from its own.

    It is asked for at every point of a grid.
    """
    to, source, size = graph.to, graph.source // n, np.abs(graph.weight)
    own = to // n == source
    pairs, pair = np.unique(to * n_sites + source, return_inverse=True)
    sums = np.bincount(pair, size, minlength=len(pairs))
    inward = np.bincount(to[own], size[own]).max(initial=0.0)
    return float(sums.max()), float(inward)


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
        heard, counts, weight = _given(n_sites, n, options["graph"])
        sources.append(heard)
    else:
        sources, counts = _drawn(n_sites, n, kind, degree, key, replica)
        weight = np.array([1.0 / degree])
    ends = np.cumsum(counts.ravel()).reshape(counts.shape)
    starts = np.concatenate([(ends - counts)[..., :1], ends], axis=2)
    source = np.concatenate([np.zeros(0, np.int32), *sources]).astype(np.int32)
    inward = np.ones((n_sites, n))
    if along:
        weights = np.broadcast_to(weight, source.shape) if weight.size == 1 else weight
        target = np.repeat(np.arange(counts.size), counts.ravel())
        sums = np.bincount(target, weights, minlength=counts.size).reshape(counts.shape)
        inward = np.array([sums[s, s] for s in range(n_sites)])
    return Wires(source, starts, weight, inward, kind == "all", along)


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


@lru_cache(maxsize=4)
def _given(n_sites: int, n: int, graph: Graph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whom each neuron hears, how many they are [P, P, n], and the weights.

    Sorting the wires of every run anew took longer than short runs.
    """
    to, source = graph.to, graph.source
    order = np.lexsort((source % n, to % n, source // n, to // n))
    to, source, weight = to[order], source[order], graph.weight[order]
    counts = np.zeros((n_sites, n_sites, n), np.int64)
    np.add.at(counts, (to // n, source // n, to % n), 1)
    # One weight would be taken for that of all wires, which it is.
    return source % n, counts, weight


def _binomial(u: np.ndarray, n: int, share: float) -> np.ndarray:
    """Return Binomial(n, share) numbers from uniforms by inverting the distribution."""
    spread = np.sqrt(n * share * (1.0 - share))
    low = max(0, int(n * share - 8.0 * spread - 10.0))
    high = min(n, int(n * share + 8.0 * spread + 10.0))
    values = np.arange(low, high + 1)
    return values[np.minimum(np.searchsorted(binom.cdf(values, n, share), u), len(values) - 1)]
