r"""Steps of a network in which every neuron hears its own neighbours: a sparse weighted graph.

With a = drift + pull (target - x) + gap (near - W x), where near = sum_j w_ij x_j over the wires
along which gap junctions act and W = sum_j w_ij, and with the rate l = pull + gap W of each neuron
and variable, a step is

    x^ = x + h phi1(-l h) a(x) + s u,      x' = x^ + h phi2(-l h) [a(x^) - a(x) + l (x^ - x)],

s^2 = h phi1(-2 l h), u the amplitudes at x times normals: exponential Runge-Kutta of second order.
Weak order 2 for additive noise (several noises of one variable, or one of several, are exact to
second order), otherwise 1; strong order 1 for additive noise, otherwise 1/2.  The couplings of
neurons to each other are explicit: h l of a few is the limit.

Source: Hochbruck & Ostermann 2010, sec. 2 (exponential Runge-Kutta methods).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, typeof, types

from neurolim.core.model import MAX_NOISES, MAX_VARIABLES
from neurolim.kernels import euler
from neurolim.kernels.access import (
    inputs_at,
    means_at,
    noises_at,
    numbers_at,
    parameters_at,
    put,
    state_at,
    vector_at,
    write,
)
from neurolim.kernels.by_address import by_address, provide
from neurolim.kernels.network import MAX_MEANS
from neurolim.kernels.numba_types import n_means, n_noises, n_present, n_variables
from neurolim.kernels.shared import draw, keep_inside, keep_old, provide_steps
from neurolim.kernels.vectors import each_add, each_fma, each_less, each_times
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.columns import TILE
from neurolim.numerics.compiled import kernel
from neurolim.numerics.elementary import phi1
from neurolim.numerics.lowlevel import stack_array
from neurolim.provenance import code_digest


class Wires(NamedTuple):
    """Who hears whom: (s, i) hears source[starts[s, r, i] : starts[s, r, i + 1]] of site r.

    source : neurons of the site [edge]
    starts : [P, P, n + 1]
    weight : of the wires [edge], or of one entry that all of them have
    inward : W, sum of the weights along which gap junctions act on a neuron [P, n]
    everyone : every neuron hears the mean of each site, and there are no wires
    junctions : gap junctions act along the wires of the own site, otherwise on its mean
    """

    source: Any
    starts: Any
    weight: Any
    inward: Any
    everyone: bool
    junctions: bool


class GraphNetwork(NamedTuple):
    """A network on a graph; P sites, d variables, nm means.

    X, work : state [d, P, neuron], and rows beside it [row, P, neuron]
    rows, coupling : parameters of the sites [P, parameter], weights K [P, P]
    means : of the sites [P, nm]
    sent : what each neuron sends: state, fields, and what of them comes late [P, neuron, nm]
    heard : what each neuron hears, weighted [nm, P, neuron]
    near : what its gap junctions act on [d, P, neuron]
    n, h, key, replica : neurons per site, step, and of the noise
    delays : as in `kernels.delays`, the past of every neuron [slot, P, neuron, n_late]
    """

    X: Any
    work: Any
    rows: Any
    coupling: Any
    means: Any
    sent: Any
    heard: Any
    near: Any
    n: int
    h: float
    key: Any
    replica: int
    delays: Any


@kernel
def send(code, network, s):
    """Fill what the neurons of a site send now, and the means of that."""
    X, sent, d = network.X, network.sent, n_variables(code)
    means = network.means[s]
    p = parameters_at(code, network.rows, s)
    tile, row = X[:, s], sent[s]
    for i in range(network.n):
        write(row, i, numbers_at(code, tile, i))
        write(row[:, d:], i, code.field(state_at(code, tile, i), p))
    means[: n_present(code)] = 0.0
    for i in range(network.n):
        for k in range(n_present(code)):
            means[k] += row[i, k]
    for k in range(n_present(code)):
        means[k] /= network.n


@kernel
def remember_sent(code, network, step):
    """Keep what the neurons send at a step for those who hear it late."""
    of, past = network.delays.of, network.delays.past
    slot = step % past.shape[0] if of.size > 0 else 0
    for s in range(past.shape[1] if of.size > 0 else 0):
        for i in range(network.n):
            for q in range(of.size):
                past[slot, s, i, q] = network.sent[s, i, of[q]]


@kernel
def recall_sent(code, network, step):
    """Fill what the neurons send late, and its means, with what they are at a step."""
    lag, past, first = network.delays.lag, network.delays.past, n_present(code)
    for s in range(lag.shape[0]):
        for q in range(lag.shape[1]):
            at = max(step - lag[s, q], 0.0)
            share, earlier = at - int(at), int(at) % past.shape[0]
            later, total = (int(at) + 1) % past.shape[0] if share > 0.0 else earlier, 0.0
            for i in range(network.n):
                value = past[earlier, s, i, q] + share * (
                    past[later, s, i, q] - past[earlier, s, i, q]
                )
                network.sent[s, i, first + q] = value
                total += value
            network.means[s, first + q] = total / network.n


@kernel
def add_wires(code, sent, wires, s, r, i, total):
    """Add to total [nm] what neuron i of site s hears of site r, with the weights of wires."""
    source, weight, row = wires.source, wires.weight, sent[r]
    begin, end = wires.starts[s, r, i], wires.starts[s, r, i + 1]
    if weight.size > 1:
        for j in range(begin, end):
            for k in range(n_means(code)):
                total[k] += weight[j] * row[source[j], k]
    else:
        for j in range(begin, end):
            for k in range(n_means(code)):
                total[k] += row[source[j], k]
        for k in range(n_means(code)):
            total[k] *= weight[0]


@kernel
def hear(code, network, wires, s):
    """Fill what the neurons of a site hear, and what their gap junctions act on."""
    sent, heard, near = network.sent, network.heard, network.near
    d, nm, coupling = n_variables(code), n_means(code), network.coupling
    memory = stack_array(np.float64, 2, MAX_MEANS)
    part, total = memory[0], memory[1]
    for i in range(network.n):
        if i == 0 or not wires.everyone:
            total[:nm] = 0.0
            for r in range(coupling.shape[0]):
                along = r == s and wires.junctions
                if coupling[s, r] == 0.0 and not along:
                    continue
                for k in range(nm):
                    part[k] = network.means[r, k] if wires.everyone else 0.0
                if not wires.everyone:
                    add_wires(code, sent, wires, s, r, i, part)
                for k in range(nm):
                    total[k] += coupling[s, r] * part[k]
                if along:
                    for k in range(d):
                        near[k, s, i] = part[k]
        for k in range(nm):
            heard[k, s, i] = total[k]
        if not wires.junctions:
            for k in range(d):
                near[k, s, i] = network.means[s, k]


@kernel
def phi2(z):
    """Return (1 - (1 - e^-z)/z)/z to rounding."""
    near = abs(z) < 0.02
    # Truncation z^6/40320.
    series = 0.5 - z * (
        1.0 / 6.0 - z * (1.0 / 24.0 - z * (1.0 / 120.0 - z * (1.0 / 720.0 - z / 5040.0)))
    )
    return series if near else (1.0 - phi1(-z)) / z


@kernel
def force(code, network, wires, tile, heard, near, s, i, first, t, p, m):
    """Return (a, l) of a neuron: all that moves it, and the rate of what is strong."""
    x, c = state_at(code, tile, i), inputs_at(code, heard, i)
    pull, target, gap = code.relax(m, c, p)
    inward = wires.inward[s, first + i]
    flow = each_fma(pull, each_less(target, x), code.drift(t, x, m, c, p))
    across = each_less(numbers_at(code, near, i), each_times(inward, x))
    return each_fma(gap, across, flow), each_add(pull, each_times(inward, gap))


@kernel
def predict_site(code, network, wires, noises, walls, s, step):
    """Take the neurons of a site to the predictor x^; keep a(x) + l x and l beside it."""
    X, work, n, d, h = network.X, network.work, network.n, n_variables(code), network.h
    z = stack_array(noises.wide, MAX_NOISES, TILE)
    forces, rates = stack_array(np.float64, MAX_VARIABLES, TILE), network.work[d:]
    pushes = stack_array(np.float64, MAX_VARIABLES, TILE)
    still = stack_array(np.float64, 1, MAX_VARIABLES)
    still[0, :] = 0.0
    for j in range(n_noises(code)):
        z[j, :] = 0.0
    p, t = parameters_at(code, network.rows, s), step * h
    m, nothing = means_at(code, network.means, s), vector_at(code, still, 0)
    for first in range(0, n, TILE):
        size, count = min(TILE, X.shape[2] - first), min(TILE, n - first)
        draw(
            z, first, size, network.key, network.replica, step, s, noises.refinement,
            noises.streams, noises.common,
        )  # fmt: skip
        keep_old(code, X, work, 2 * d, s, first, size, still[0], walls)
        tile, rate = X[:, s, first : first + size], rates[:, s, first : first + size]
        heard = network.heard[:, s, first : first + size]
        near = network.near[:, s, first : first + size]
        for i in range(count):
            x, c = state_at(code, tile, i), inputs_at(code, heard, i)
            flow, strong = force(code, network, wires, tile, heard, near, s, i, first, t, p, m)
            put(forces, i, flow)
            put(rate, i, strong)
            put(pushes, i, code.kick(t, x, m, c, p, noises_at(code, z, i), 1.0, nothing))
        for k in range(d):
            row, beside = tile[k], work[k, s, first : first + size]
            for i in range(count):
                decay = h * rate[k, i]
                beside[i] = forces[k, i] + rate[k, i] * row[i]
                row[i] += h * phi1(-decay) * forces[k, i]
                row[i] += np.sqrt(h * phi1(-2.0 * decay)) * pushes[k, i]


@kernel
def correct_site(code, network, wires, noises, walls, s, step):
    """Take the neurons of a site from the predictor to the end of the step."""
    X, work, n, d, h = network.X, network.work, network.n, n_variables(code), network.h
    forces = stack_array(np.float64, MAX_VARIABLES, TILE)
    p, t = parameters_at(code, network.rows, s), step * h + h
    m = means_at(code, network.means, s)
    for first in range(0, n, TILE):
        size, count = min(TILE, X.shape[2] - first), min(TILE, n - first)
        tile = X[:, s, first : first + size]
        heard = network.heard[:, s, first : first + size]
        near = network.near[:, s, first : first + size]
        for i in range(count):
            put(forces, i, force(code, network, wires, tile, heard, near, s, i, first, t, p, m)[0])
        for k in range(d):
            row, beside = tile[k], work[k, s, first : first + size]
            rate = work[d + k, s, first : first + size]
            for i in range(count):
                change = forces[k, i] + rate[i] * row[i] - beside[i]
                row[i] += h * phi2(h * rate[i]) * change
        keep_inside(
            code, X, work, 2 * d, s, first, size, h, network.key, network.replica, step, walls
        )


@kernel
def listen(code, network, wires, step):
    """Fill all that the neurons of all sites send and hear at a step."""
    sites = range(network.X.shape[1])
    for s in sites:
        send(code, network, s)
    recall_sent(code, network, step)
    for s in sites:
        hear(code, network, wires, s)


#: The kernels of a model, called by address.
_listen, _start_site = by_address(listen), by_address(euler.start_site)
_predict_site, _correct_site = by_address(predict_site), by_address(correct_site)


@njit(error_model="numpy", nogil=True)
def advance(code, network, wires, noises, walls, begin, end):
    """Do the steps begin .. end - 1 (0: starts the network)."""
    sites = range(network.X.shape[1])
    if begin == 0:
        for s in sites:
            _start_site(code, network, noises, walls, s, 0)
            send(code, network, s)
        remember_sent(code, network, 0)
    for step in range(begin, end):
        _listen(code, network, wires, step)
        remember_sent(code, network, step)
        for s in sites:
            _predict_site(code, network, wires, noises, walls, s, step)
        _listen(code, network, wires, step + 1)
        for s in sites:
            _correct_site(code, network, wires, noises, walls, s, step)


@njit(error_model="numpy", nogil=True)
def record_currents(code, network, wires, step, k, recorded):
    """Fill found [P, 5] with means over the neurons of what drives variable k by its synapses.

    They are the depolarising current, the hyperpolarising current, |E + I|/(|E| + |I|), and mean
    and variance of the target where they balance.  A site's current is what it adds to that of
    synapses which hear nothing; the latter counts by itself.
    """
    X, n_sites, nm = network.X, network.X.shape[1], n_means(code)
    heard = np.zeros((3, nm))
    _listen(code, network, wires, step)
    for s in range(n_sites):
        p, m = parameters_at(code, network.rows, s), means_at(code, network.means, s)
        recorded[s] = 0.0
        for i in range(network.n):
            pull, target, _ = code.relax(m, means_at(code, heard, 2), p)
            silent = pull[k] * (target[k] - X[k, s, i])
            excitation, inhibition = max(silent, 0.0), min(silent, 0.0)
            heard[1] = 0.0
            for r in range(n_sites):
                heard[0] = 0.0
                if wires.everyone:
                    heard[0] = network.means[r]
                else:
                    add_wires(code, network.sent, wires, s, r, i, heard[0])
                for a in range(nm):
                    heard[0, a] *= network.coupling[s, r]
                    heard[1, a] += heard[0, a]
                pull, target, _ = code.relax(m, means_at(code, heard, 0), p)
                current = pull[k] * (target[k] - X[k, s, i]) - silent
                excitation += max(current, 0.0)
                inhibition += min(current, 0.0)
            _, target, _ = code.relax(m, means_at(code, heard, 1), p)
            recorded[s, 0] += excitation / network.n
            recorded[s, 1] += inhibition / network.n
            if excitation > inhibition:
                index = abs(excitation + inhibition) / (excitation - inhibition)
                recorded[s, 2] += index / network.n
            # About the mean of the site: the variance is far below the square of the mean.
            away = target[k] - network.means[s, k]
            recorded[s, 3] += away / network.n
            recorded[s, 4] += away * away / network.n
        recorded[s, 4] = max(0.0, recorded[s, 4] - recorded[s, 3] * recorded[s, 3])
        recorded[s, 3] += network.means[s, k]


@njit(error_model="numpy", nogil=True)
def record_rates(code, network, wires, step, k, recorded):
    """Fill found [P] with the mean over the neurons of pull + gap of variable k."""
    _listen(code, network, wires, step)
    for s in range(network.X.shape[1]):
        p, m, recorded[s] = (
            parameters_at(code, network.rows, s), means_at(code, network.means, s), 0.0,
        )  # fmt: skip
        for i in range(network.n):
            pull, _, gap = code.relax(m, inputs_at(code, network.heard[:, s], i), p)
            recorded[s] += (pull[k] + wires.inward[s, i] * gap[k]) / network.n


def prepare(code: Any, network: Any, wires: Any, noises: Any, walls: Any) -> None:
    """Compile the kernels of a model, or load them from disk, for a network of this kind."""
    provide_steps(code, wide=isinstance(noises.wide, np.float64))
    model, network, wires, noises, walls = code.type, *map(typeof, (network, wires, noises, walls))
    provide(_listen, given=(model, network, wires, types.int64))
    provide(_start_site, given=(model, network, noises, walls, types.int64, types.int64))
    site = (model, network, wires, noises, walls, types.int64, types.int64)
    provide(_predict_site, _correct_site, given=site)


for _kernel in (listen, predict_site, correct_site, advance, record_currents, record_rates):
    keep_compiled(_kernel, code_digest(__name__))
