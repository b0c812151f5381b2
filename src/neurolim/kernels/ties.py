"""What ties two copies of a network, the same for every model: their noise, and one step of it.

Both copies of a network stand in one array X [copy, variable, site, neuron], pair after pair.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import float64, int64, njit, typeof
from numba.types import UniTuple

from neurolim.core.model import MAX_NOISES
from neurolim.kernels import delays
from neurolim.kernels.by_address import array_type, kept_by_address
from neurolim.kernels.shared import WALLS, draw
from neurolim.kernels.walls import draw_logs, fold, project, push_up, wrap
from neurolim.numerics.columns import TILE
from neurolim.numerics.elementary import log
from neurolim.numerics.lowlevel import stack_array
from neurolim.numerics.random import STREAM_BRIDGE, STREAMS_PER_SITE, uniforms

SYNCHRONOUS, MIRROR, INDEPENDENT, MAXIMAL = range(4)
#: Streams of B', of the bridge of an independent copy, of the maximal coupling's choice, and of the
#: starts of second copies that start by themselves.
STREAM_SECOND, STREAM_SECOND_BRIDGE, STREAM_CHOICE, STREAM_SECOND_INITIAL = 48, 64, 80, 96
#: Rows of `Pairs.linear`.
PLACE, DECAY, BY_MEAN, BY_OWN = range(4)


class Pairs(NamedTuple):
    """Pairs of networks on their way: d variables, P sites, N neurons of all pairs, whole tiles.

    X : states of both copies [2, d, P, N]
    normals, kicks : of a step, at a site: the normals, and what noise does with them, per root
        time, and then where it takes the neurons [2, n_noises, N], [2, d, N]
    rows : parameters of the sites [2, P, parameter]
    coupling : weights K [2, P, P]
    means, inputs : means of every pair's network, and K times them [2, P, nm, pair]
    linear : the exact step of a site's linear couplings, see `propose` [2, row, d, pair]
    n, n_pairs : neurons per site and network, pairs
    h : step
    key, replica : of the noise
    coupled : linear couplings act
    others : fields leave out the neuron that feels them
    pooled : second copies feel the mean over all pairs
    projected : walls project; otherwise they fold, or push by the bridge
    felt : drifts in which means enter, and, last, whether they enter an amplitude [d + 1]
    moved : variables that noise or linear couplings move [d]
    delays : which means come late, of both copies; the past of every pair [slot, P, pair, n_late]
    """

    X: Any
    normals: Any
    kicks: Any
    rows: Any
    coupling: Any
    means: Any
    inputs: Any
    linear: Any
    n: int
    n_pairs: int
    h: float
    key: Any
    replica: int
    coupled: bool
    others: bool
    pooled: bool
    projected: bool
    felt: Any
    moved: Any
    delays: Any


class Ties(NamedTuple):
    """How the copies share noise.

    kinds : SYNCHRONOUS and so on, by noise; common noise is synchronous always [n_noises]
    streams, seconds : of B and B', negative for noise that vanishes, as `noise.draw` takes them
        [n_noises]
    common : noises with one path for all neurons of a site [n_noises]
    refinement : a step's noise is the sum of that of so many finer ones
    moves : which variables a noise moves [n_noises, d]
    scale : distance xi at which mirror noise sets in
    groups : first of the noises that move the same variables, however far linked [n_noises]
    toward : least normals that move a neuron by a difference of states per root time
        [P, n_noises, d]
    """

    kinds: Any
    streams: Any
    seconds: Any
    common: Any
    refinement: int
    moves: Any
    scale: float
    groups: Any
    toward: Any


@njit(error_model="numpy", nogil=True)
def take_images(first, second, period, out):
    """Fill ``out`` with a row ``one``, on a circle with what is nearest to ``two`` on the line."""
    if period > 0.0:
        for i in range(TILE):
            out[i] = first[i] - period * np.floor((first[i] - second[i]) / period + 0.5)
    else:
        for i in range(TILE):
            out[i] = first[i]


@njit(error_model="numpy", nogil=True)
def couple_pairs(coupling, means, inputs):
    """Fill inputs = K means of one copy [P, nm, pair]: what every site receives."""
    for s in range(means.shape[0]):
        for k in range(means.shape[1]):
            inputs[s, k, :] = 0.0
            for r in range(means.shape[0]):
                for pair in range(means.shape[2]):
                    inputs[s, k, pair] += coupling[s, r] * means[r, k, pair]


@njit(error_model="numpy", nogil=True)
def spread_means(means, n, first, out):
    """Fill ``out`` [mean, TILE] with what each neuron of a tile has of ``means`` [mean, pair]."""
    last = means.shape[1] - 1
    for k in range(means.shape[0]):
        pair, begin, end = first // n, 0, n - first % n
        while begin < TILE:
            value = means[k, min(pair, last)]
            for i in range(begin, min(end, TILE)):
                out[k, i] = value
            pair, begin, end = pair + 1, end, end + n


@njit(error_model="numpy", nogil=True)
def draw_both(pairs, ties, period, s, step):
    """Fill the normals of a step of both copies of a site."""
    normals = pairs.normals
    count, key, replica, parts = ties.kinds.size, pairs.key, pairs.replica, ties.refinement
    z, other = stack_array(np.float32, MAX_NOISES, TILE), stack_array(np.float32, MAX_NOISES, TILE)
    for first in range(0, normals.shape[2], TILE):
        draw(z, first, TILE, key, replica, step, s, parts, ties.streams, ties.common)
        draw(other, first, TILE, key, replica, step, s, parts, ties.seconds, ties.common)
        for j in range(count):
            w, v = normals[0, j, first : first + TILE], normals[1, j, first : first + TILE]
            if ties.kinds[j] == MIRROR:
                mirror(pairs, ties, period, s, first, j, z[j], other[j], w, v)
            elif ties.streams[j] >= 0:
                second = other[j] if ties.kinds[j] == INDEPENDENT else z[j]
                for i in range(TILE):
                    w[i] = z[j, i]
                    v[i] = second[i]
        for lead in range(count):
            if ties.kinds[lead] == MAXIMAL and ties.groups[lead] == lead:
                meet(pairs, ties, period, s, first, step, lead)


@njit(error_model="numpy", nogil=True)
def mirror(pairs, ties, period, s, first, j, z, other, w, v):
    """Fill a tile's normals w, v of a noise of both copies from those of B and B'.

    They turn from one path to opposite ones on the circle, C^2 at both ends, as the distance of
    what the noise moves grows from xi/2 to xi.

    Source: Herda, Monmarche & Perthame 2024, section 3.
    """
    X, largest = pairs.X, stack_array(np.float64, 1, TILE)[0]
    near = stack_array(np.float64, 1, TILE)[0]
    largest[:] = 0.0
    for k in range(X.shape[1]):
        if ties.moves[j, k]:
            two = X[1, k, s, first : first + TILE]
            take_images(X[0, k, s, first : first + TILE], two, period[k], near)
            for i in range(TILE):
                largest[i] = max(largest[i], abs(near[i] - two[i]))
    rate = 2.0 / ties.scale
    for i in range(TILE):
        t = min(max(rate * largest[i] - 1.0, 0.0), 1.0)
        t = t * t * t * (10.0 + t * (6.0 * t - 15.0))
        # On a rational parametrisation of the circle.
        whole = 1.0 / (1.0 + t * t)
        alpha, beta = (1.0 - t * t) * whole, 2.0 * t * whole
        w[i] = alpha * z[i] + beta * other[i]
        v[i] = alpha * z[i] - beta * other[i]


@njit(error_model="numpy", nogil=True)
def meet(pairs, ties, period, s, first, step, lead):
    """Fill the second copy's normals of a tile by the reflection-maximal coupling to the first's.

    With w those, and e the least normals by which the second copy goes where the first does, the
    second takes w + e with probability min(1, phi(w + e)/phi(w)), else w reflected along e.
    ``lead`` is the first of a group of noises.

    Source: Bou-Rabee, Eberle & Zimmer 2020 (reflection-maximal step).
    """
    normals, e = pairs.normals, stack_array(np.float64, MAX_NOISES, TILE)
    apart, u = stack_array(np.float64, 1, TILE)[0], stack_array(np.float64, 1, TILE)[0]
    along, square = stack_array(np.float64, 1, TILE)[0], stack_array(np.float64, 1, TILE)[0]
    stream = s * STREAMS_PER_SITE + STREAM_CHOICE + ties.streams[lead]
    uniforms(u, first, pairs.key, pairs.replica, step, stream)
    along[:] = 0.0
    square[:] = 0.0
    for j in range(lead, ties.kinds.size):
        if ties.groups[j] != lead:
            continue
        e[j, :] = 0.0
        for k in range(pairs.X.shape[1]):
            weight = ties.toward[s, j, k]
            if weight != 0.0:
                difference(pairs, period[k], s, first, k, apart)
                for i in range(TILE):
                    e[j, i] += weight * apart[i]
        w = normals[0, j, first : first + TILE]
        for i in range(TILE):
            along[i] += w[i] * e[j, i]
            square[i] += e[j, i] * e[j, i]
    for j in range(lead, ties.kinds.size):
        if ties.groups[j] == lead:
            w, v = normals[0, j, first : first + TILE], normals[1, j, first : first + TILE]
            for i in range(TILE):
                together = log(u[i]) <= -along[i] - 0.5 * square[i]
                back = w[i] - 2.0 * along[i] / square[i] * e[j, i]
                v[i] = w[i] + e[j, i] if together else back


@njit(error_model="numpy", nogil=True)
def difference(pairs, period, s, first, k, out):
    """Fill ``out`` with how much more noise, per root time, the second copy needs in variable k.

    That is L^-1 (mu - mu') for steps mu + L u and mu' + L u' of the copies, L that of the first:
    exact where the rates of the couplings are the same in both.
    """
    X, means, linear, n = pairs.X, pairs.means, pairs.linear, pairs.n
    two = X[1, k, s, first : first + TILE]
    take_images(X[0, k, s, first : first + TILE], two, period, out)
    if not pairs.coupled:
        per_root = 1.0 / np.sqrt(pairs.h)
        for i in range(TILE):
            out[i] = (out[i] - two[i]) * per_root
        return
    pair, begin, end = first // n, 0, n - first % n
    while begin < TILE:
        at = min(pair, pairs.n_pairs - 1)
        m, m_two = means[0, s, k, at], means[1, s, k, at]
        decay, decay_two = linear[0, DECAY, k, at], linear[1, DECAY, k, at]
        mean = (linear[0, PLACE, k, at] - linear[1, PLACE, k, at]) / linear[0, BY_MEAN, k, at]
        per_own = 1.0 / linear[0, BY_OWN, k, at]
        for i in range(begin, min(end, TILE)):
            out[i] = ((out[i] - m) * decay - (two[i] - m_two) * decay_two) * per_own + mean
        pair, begin, end = pair + 1, end, end + n


@njit(error_model="numpy", nogil=True)
def move_pairs(pairs, ties, walls, s, step):
    """Take a site of both copies where its kicks u take it, and keep it between its walls."""
    X, kicks, logs = pairs.X, pairs.kicks, stack_array(np.float64, 1, TILE)[0]
    own_bridge = False
    for j in range(ties.kinds.size):
        own_bridge = own_bridge or ties.kinds[j] == INDEPENDENT
    for k in range(X.shape[1]):
        if not pairs.moved[k]:
            continue
        propose(pairs, ties, 0, s, k)
        propose(pairs, ties, 1, s, k)
        bridged = walls[0].deviation[s, k] > 0.0 or walls[1].deviation[s, k] > 0.0
        for first in range(0, X.shape[3], TILE):
            for copy in range(2):
                x, new = X[copy, k, s, first : first + TILE], kicks[copy, k, first : first + TILE]
                floor, ceiling = walls[copy].floor[k], walls[copy].ceiling[k]
                deviation = walls[copy].deviation[s, k]
                if bridged and (copy == 0 or own_bridge):
                    stream = k + (STREAM_SECOND_BRIDGE - STREAM_BRIDGE if copy == 1 else 0)
                    draw_logs(logs, first, pairs.key, pairs.replica, step, s, stream)
                if deviation > 0.0:
                    push_up(x, new, floor, 2.0 * deviation * deviation * pairs.h, logs)
                elif floor > -np.inf or ceiling < np.inf:
                    if pairs.projected:
                        project(new, floor, ceiling)
                    else:
                        fold(new, floor, ceiling)
                for i in range(TILE):
                    x[i] = new[i]


@njit(error_model="numpy", nogil=True)
def propose(pairs, ties, copy, s, k):
    """Replace the kicks u of a variable of a copy by where they take it without walls.

        x <- place + (x - m) decay + by_mean <u> + by_own (u - <u>),        x <- x + sqrt(h) u

    with linear couplings, network by network, and without.  The mean of a law, ``pooled``, has no
    noise of neurons' own: <u> is that of all pairs where there is common noise, otherwise 0.
    """
    x, u = pairs.X[copy, k, s], pairs.kicks[copy, k]
    if not pairs.coupled:
        root = np.sqrt(pairs.h)
        for i in range(u.size):
            u[i] = x[i] + root * u[i]
        return
    n, many = pairs.n, pairs.n * pairs.n_pairs
    of_law, common = copy == 1 and pairs.pooled and pairs.n_pairs > 1, 0.0
    if of_law and ties.common.any():
        common = u[:many].mean()
    for pair in range(pairs.n_pairs):
        at, mixed = range(pair * n, pair * n + n), common
        if not of_law:
            for i in at:
                mixed += u[i]
            mixed /= n
        m, decay = pairs.means[copy, s, k, pair], pairs.linear[copy, DECAY, k, pair]
        target = pairs.linear[copy, PLACE, k, pair] + pairs.linear[copy, BY_MEAN, k, pair] * mixed
        by_own = pairs.linear[copy, BY_OWN, k, pair]
        for i in at:
            u[i] = target + ((x[i] - m) * decay + by_own * (u[i] - mixed))
    u[many:] = x[many:]


@njit(error_model="numpy", nogil=True)
def project_inside(X, walls, copy, first, size):
    """Take what a drift has taken beyond a wall to the wall, and round the circles."""
    for k in range(X.shape[1]):
        floor, ceiling, period = walls.floor[k], walls.ceiling[k], walls.period[k]
        for s in range(X.shape[2]):
            row = X[copy, k, s, first : first + size]
            if floor > -np.inf or ceiling < np.inf:
                project(row, floor, ceiling)
            if period > 0.0:
                wrap(row, period)


def comes_late(code: Any) -> bool:
    """Return whether means of a model come late."""
    return bool(code.n_present < len(code.means))


_cube, _block = np.zeros((0, 0, 0)), np.zeros((0, 0, 0, 0))
_whole, _bools, _choices = np.zeros(0, np.int64), np.zeros(0, bool), np.zeros((0, 0), bool)
_late = delays.Delays(_whole, np.zeros((0, 0)), _block)
PAIRS = typeof(
    Pairs(
        _block, _cube, _cube, _cube, _cube, _block, _block, _block, 1, 1, 1.0, np.uint64(0), 0,
        True, True, True, True, _bools, _bools, (_late, _late),
    )
)  # fmt: skip
TIES = typeof(Ties(_whole, _whole, _whole, _bools, 1, _choices, 1.0, _whole, _cube))
_rows = array_type(2)
couple_copy = kept_by_address(couple_pairs, (_rows, array_type(3), array_type(3)))
spread = kept_by_address(spread_means, (_rows, int64, int64, _rows))
draw_normals = kept_by_address(draw_both, (PAIRS, TIES, array_type(1), int64, int64))
move_both = kept_by_address(move_pairs, (PAIRS, TIES, UniTuple(WALLS, 2), int64, int64))
keep_means = kept_by_address(
    delays.keep_means, (typeof(_late), array_type(3), int64, float64), needed=comes_late
)
fill_late = kept_by_address(
    delays.fill_late, (typeof(_late), array_type(3), float64), needed=comes_late
)
project_copy = kept_by_address(project_inside, (array_type(4), WALLS, int64, int64, int64))
