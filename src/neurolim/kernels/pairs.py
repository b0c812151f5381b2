r"""Steps of two copies of a network on shared noise: plain functions with the model as argument.

One step of length h is  D(h/2) N(h) D(h/2).

D, the drift without linear couplings and noise, moves one variable after the other, there and back,

    D(h) = S_1(h/2) .. S_{d-1}(h/2) S_d(h) S_{d-1}(h/2) .. S_1(h/2),
    S_k(h):  x_k <- x_k + h phi1(h d drift_k/d x_k) drift_k,

at the time in the middle of what it covers.  Means are taken anew before each S_k into which they
enter.  What a drift takes beyond a wall goes to the wall, as the Skorokhod map has it.

N, noise and linear couplings with their rates and targets held, is exact in every variable for
additive noise:

    x <- target + (m - target) e^{-pull h} + (x - m) e^{-(pull + gap) h}
         + by_mean <u> + by_own (u - <u>),

u being amplitudes times normals and Milstein's correction, at the start of N and at the time in the
middle of the step;  by_own^2 = int_0^h e^{-2 (pull + gap) s} ds,  by_mean the same without gap.

Orders.  S_k is an exponential Euler step with the exact slope, of local error O(h^3) if drift_k
feels no means of x_k or of fields of x_k, which it holds; a symmetric composition of steps of
second order is of second order, and D N D is Strang's splitting.  Hence weak order 2 for additive
noise (common, correlated, of amplitudes in time, too) where no drift feels means of its own
variable and pull, gap and target are constant along N, away from walls.  Means that come late are
taken as time is, in the middle of what D or N covers, between what is kept of the steps: of second
order, too.  Otherwise weak order 1: of what is held while it moves, of Milstein's step (Kloeden &
Platen 1992, sec. 14.1) or of the bridge.
Strong order 1 where noises commute and no amplitude depends on means, otherwise 1/2: that of what
Milstein's correction leaves of the double integrals (sec. 10.3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, float32, float64, int64, njit, typeof, types
from numba.extending import overload

from neurolim.core.model import MAX_FIELDS, MAX_VARIABLES
from neurolim.kernels.access import (
    as_means,
    means_of,
    noises_at,
    parameters_at,
    present_at,
    put,
    put_beside,
    replace,
    state_at,
    state_to_replace,
    write,
)
from neurolim.kernels.by_address import array_type, by_address, provide
from neurolim.kernels.network import MAX_MEANS
from neurolim.kernels.numba_types import n_means, n_present, n_variables
from neurolim.kernels.shared import WALLS, draw
from neurolim.kernels.ties import (
    BY_MEAN,
    BY_OWN,
    DECAY,
    PAIRS,
    PLACE,
    TIES,
    couple_copy,
    draw_normals,
    fill_late,
    keep_means,
    move_both,
    project_copy,
    spread,
)
from neurolim.kernels.vectors import each_add, each_times
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.columns import TILE
from neurolim.numerics.elementary import expm1, phi1
from neurolim.numerics.lowlevel import stack_array
from neurolim.provenance import code_digest


@njit(error_model="numpy", nogil=True)
def start(code, pairs, streams, copy):
    """Draw the initial states of one copy; ``streams`` of the variables' normals [d]."""
    X = pairs.X
    z = stack_array(np.float32, MAX_VARIABLES, TILE)
    own = np.zeros(streams.size, np.bool_)
    for s in range(X.shape[2]):
        p = parameters_at(code, pairs.rows[copy], s)
        for first in range(0, X.shape[3], TILE):
            draw(z, first, TILE, pairs.key, pairs.replica, 0, s, 1, streams, own)
            tile = X[copy, :, s, first : first + TILE]
            for i in range(TILE):
                put(tile, i, code.initial(state_at(code, z, i), p))


@njit(error_model="numpy", nogil=True)
def average(code, pairs, copy):
    """Fill the means of every pair's network, or of all, and what its sites receive.

    Means that come late stay as they are.
    """
    X, n, means = pairs.X, pairs.n, pairs.means
    seen = stack_array(np.float64, MAX_MEANS, TILE)
    for k in range(n_present(code)):
        seen[k, 0] = 0.0
    # Sums of a loop stay in registers as a tuple.
    zero = each_times(1.0, present_at(code, seen, 0))
    count = n * pairs.n_pairs
    for s in range(X.shape[2]):
        p, rows = parameters_at(code, pairs.rows[copy], s), means[copy, s]
        pair, left, total = 0, n, zero
        for first in range(0, count, TILE):
            tile = X[copy, :, s, first : first + TILE]
            for i in range(TILE):
                put(seen, i, code.own(state_at(code, tile, i), p))
            for i in range(min(TILE, count - first)):
                total = each_add(total, present_at(code, seen, i))
                left -= 1
                if left == 0:
                    put(rows, pair, total)
                    pair, left, total = pair + 1, n, zero
        for k in range(n_present(code)):
            for pair in range(pairs.n_pairs):
                rows[k, pair] /= n
            if copy == 1 and pairs.pooled:
                rows[k, :] = rows[k].mean()
    couple_copy(pairs.coupling[copy], means[copy], pairs.inputs[copy])


@njit(error_model="numpy", nogil=True)
def feel(code, pairs, copy, s, first, m, c):
    """Fill what the neurons of a tile feel: means m and inputs c [mean, TILE].

    With ``others`` a neuron's own field is taken out of the mean field.
    """
    spread(pairs.means[copy, s], pairs.n, first, m)
    spread(pairs.inputs[copy, s], pairs.n, first, c)
    if pairs.others:
        fields = stack_array(np.float64, MAX_FIELDS, TILE)
        tile = pairs.X[copy, :, s, first : first + TILE]
        p, d, n = parameters_at(code, pairs.rows[copy], s), n_variables(code), pairs.n
        for i in range(TILE):
            put(fields, i, code.field(state_at(code, tile, i), p))
        for k in range(n_present(code) - d):
            for i in range(TILE):
                m[d + k, i] = (n * m[d + k, i] - fields[k, i]) / (n - 1)


_average, _feel = by_address(average), by_address(feel)


def felt(code: Any, alone: Any, x: Any, p: Any, gain: float, m: Any, c: Any, i: int) -> Any:
    """Return (means, inputs) that a neuron feels: those of its tile, or, ``alone``, its own."""
    raise NotImplementedError  # for kernels only


@overload(felt, jit_options={"error_model": "numpy", "forceinline": True})
def _felt(code, alone, x, p, gain, m, c, i):
    def of_the_network(code, alone, x, p, gain, m, c, i):
        return means_of(code, m, i), means_of(code, c, i)

    def own(code, alone, x, p, gain, m, c, i):
        seen = code.own(x, p)
        return as_means(code, seen), as_means(code, each_times(gain, seen))

    return of_the_network if isinstance(alone, types.NoneType) else own


@njit(error_model="numpy", nogil=True)
def sweep(code, part, alone, pairs, copy, first, size, t, h, feels):
    """Move one variable, that of ``part``, of neurons first .. first + size - 1 for a time h.

    ``feels`` : means enter
    """
    X, gain = pairs.X, pairs.coupling[copy, 0, 0]
    m, c = stack_array(np.float64, MAX_MEANS, TILE), stack_array(np.float64, MAX_MEANS, TILE)
    for s in range(X.shape[2]):
        p = parameters_at(code, pairs.rows[copy], s)
        for begin in range(first, first + size, TILE):
            if feels:
                _feel(code, pairs, copy, s, begin, m, c)
            tile = X[copy, :, s, begin : begin + TILE]
            for i in range(TILE):
                x = state_to_replace(code, tile, i)
                mean, received = felt(code, alone, x, p, gain, m, c, i)
                replace(tile, i, part.sweep(t, x, mean, received, p, h))


@njit(error_model="numpy", nogil=True)
def find_linear(code, pairs, copy, s):
    """Fill the exact step of a site's linear couplings, network by network; see `ties.propose`."""
    h, linear = pairs.h, pairs.linear
    p, means, inputs = parameters_at(code, pairs.rows[copy], s), pairs.means, pairs.inputs
    rates = stack_array(np.float64, 3, MAX_VARIABLES)
    for pair in range(pairs.n_pairs):
        m, c = means_of(code, means[copy, s], pair), means_of(code, inputs[copy, s], pair)
        pull, target, gap = code.relax(m, c, p)
        write(rates, 0, pull)
        write(rates, 1, target)
        write(rates, 2, gap)
        for k in range(n_variables(code)):
            slow, fast = -rates[0, k], -(rates[0, k] + rates[2, k])
            gone = (means[copy, s, k, pair] - rates[1, k]) * (1.0 + expm1(slow * h))
            linear[copy, PLACE, k, pair] = rates[1, k] + gone
            linear[copy, DECAY, k, pair] = 1.0 + expm1(fast * h)
            linear[copy, BY_MEAN, k, pair] = np.sqrt(h * phi1(2.0 * slow * h))
            linear[copy, BY_OWN, k, pair] = np.sqrt(h * phi1(2.0 * fast * h))


@njit(error_model="numpy", nogil=True)
def kick(code, alone, pairs, ties, walls, s, step):
    """Apply the noise of a step, and the linear couplings, to a site of both copies."""
    X, kicks, normals = pairs.X, pairs.kicks, pairs.normals
    m, c = stack_array(np.float64, MAX_MEANS, TILE), stack_array(np.float64, MAX_MEANS, TILE)
    t, root = (step + 0.5) * pairs.h, np.sqrt(pairs.h)
    if pairs.coupled:
        _find_linear(code, pairs, 0, s)
        _find_linear(code, pairs, 1, s)
    draw_normals(pairs, ties, walls[0].period, s, step)
    for copy in range(2):
        p, gain = parameters_at(code, pairs.rows[copy], s), pairs.coupling[copy, 0, 0]
        for first in range(0, X.shape[3], TILE):
            if pairs.felt[n_variables(code)]:
                _feel(code, pairs, copy, s, first, m, c)
            tile, beside = X[copy, :, s, first : first + TILE], kicks[copy, :, first : first + TILE]
            z = normals[copy, :, first : first + TILE]
            for i in range(TILE):
                x = state_to_replace(code, tile, i)
                mean, received = felt(code, alone, x, p, gain, m, c, i)
                pushes = code.push(t, x, mean, received, p, noises_at(code, z, i), root)
                put_beside(beside, i, pushes)
    move_both(pairs, ties, walls, s, step)


_sweep, _find_linear, _kick = by_address(sweep), by_address(find_linear), by_address(kick)


def there_and_back(
    code: Any,
    sweeps: Any,
    alone: Any,
    pairs: Any,
    copy: int,
    first: int,
    size: int,
    t: float,
    h: float,
) -> None:
    """Move the variables of ``sweeps`` for a time h: S_1(h/2) .. S_d(h) .. S_1(h/2)."""
    raise NotImplementedError  # for kernels only


@overload(there_and_back, jit_options={"error_model": "numpy", "forceinline": True})
def _there_and_back(code, sweeps, alone, pairs, copy, first, size, t, h):
    def the_last(code, sweeps, alone, pairs, copy, first, size, t, h):
        _move_one(code, sweeps, alone, pairs, copy, first, size, t, h)

    def around_the_rest(code, sweeps, alone, pairs, copy, first, size, t, h):
        _move_one(code, sweeps, alone, pairs, copy, first, size, t, 0.5 * h)
        there_and_back(code, sweeps[1:], alone, pairs, copy, first, size, t, h)
        _move_one(code, sweeps, alone, pairs, copy, first, size, t, 0.5 * h)

    return around_the_rest if len(sweeps) > 1 else the_last


@njit(error_model="numpy", forceinline=True)
def _move_one(code, sweeps, alone, pairs, copy, first, size, t, h):
    """Move the first variable of ``sweeps``, taking means anew where they enter."""
    feels = pairs.felt[n_variables(code) - len(sweeps)]
    if feels:
        _average(code, pairs, copy)
    _sweep(code, sweeps[0], alone, pairs, copy, first, size, t, h, feels)


@njit(error_model="numpy", forceinline=True)
def _remember(code, pairs, copy, step, share):
    """Keep the means for those that come late, or add their share to what is kept."""
    if n_present(code) < n_means(code):
        _average(code, pairs, copy)
    keep_means(code, pairs.delays[copy], pairs.means[copy], step, share)


@njit(error_model="numpy", nogil=True)
def advance(code, sweeps, alone, pairs, ties, walls, begin, end):
    """Do the steps begin .. end - 1 of both copies.

    Parameters
    ----------
    code, sweeps : of the model, see `model_code.pair_codes`
    alone : True for neurons that feel only themselves, otherwise None
    pairs, ties : what is moved, and how the copies share noise
    walls : of the two copies
    begin, end : numbers of steps
    """
    X, h, d = pairs.X, pairs.h, n_variables(code)
    # Neurons alone are done tile by tile, in the cache; networks need their means.
    size = X.shape[3] if alone is None else TILE
    for step in range(begin, end + 1):
        # Two half drifts in a row are one: only the ends of the interval see halves.
        middle, part = float(step), h
        if step == begin:
            middle, part = step + 0.25, 0.5 * h
        elif step == end:
            middle, part = step - 0.25, 0.5 * h
        for copy in range(2):
            _remember(code, pairs, copy, step, 1.0)
            fill_late(code, pairs.delays[copy], pairs.means[copy], middle)
            for first in range(0, X.shape[3], size):
                there_and_back(code, sweeps, alone, pairs, copy, first, size, middle * h, part)
                project_copy(X, walls[copy], copy, first, size)
        if step == end:
            continue
        for copy in range(2):
            # At the step itself a drift that goes around it is half done.
            if step > begin:
                _remember(code, pairs, copy, step, 0.5)
            fill_late(code, pairs.delays[copy], pairs.means[copy], step + 0.5)
            if pairs.coupled or pairs.felt[d]:
                _average(code, pairs, copy)
        for s in range(X.shape[2]):
            _kick(code, alone, pairs, ties, walls, s, step)


def prepare(code: Any, sweeps: Any, alone: Any) -> None:
    """Compile the kernels of a model, or load them from disk, for networks or neurons alone."""
    provide(draw, element=float32)
    provide(couple_copy, draw_normals, project_copy, move_both, spread)
    provide(keep_means, fill_late, code=code.type)
    model, rows, lone = code.type, array_type(2), typeof(alone)
    provide(_average, given=(model, PAIRS, int64))
    provide(_feel, given=(model, PAIRS, *(int64,) * 3, rows, rows))
    provide(_find_linear, given=(model, PAIRS, int64, int64))
    for part in sweeps:
        more = (*(int64,) * 3, float64, float64, boolean)
        provide(_sweep, given=(model, part.type, lone, PAIRS, *more))
    both = types.UniTuple(WALLS, 2)
    provide(_kick, given=(model, lone, PAIRS, TIES, both, int64, int64))


for _kernel in (start, average, feel, sweep, find_linear, kick, advance):
    keep_compiled(_kernel, code_digest(__name__))
