"""Means that come late: a ring buffer of what the means were."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from neurolim.numerics.compiled import OPTIONS, kernel


class Delays(NamedTuple):
    """Means that come late, the last ones of a row of means.

    of : of which mean each of them is [n_late]
    lag : by how many steps, 1 or more for the exponential scheme, at each site [P, n_late]
    past : the means they are of, a ring of steps [slot, P, n_late]
    """

    of: Any
    lag: Any
    past: Any


def make_delays(of: tuple[int, ...], lag: np.ndarray, each: tuple[int, ...] = ()) -> Delays:
    """Return the means that come late, of a network that has yet to start.

    Parameters
    ----------
    of, lag : as in `Delays`
    each : (n,) where the past of every neuron, or pair, is kept, not of the means alone
    """
    slots = 2 + int(np.ceil(lag.max(initial=0.0))) if of else 0
    past = np.zeros((slots, lag.shape[0], *each, lag.shape[1]))
    return Delays(np.array(of, dtype=np.int64), lag, past)


def remember(code: Any, network: Any, step: int) -> None:
    """Keep the means at a step for those that come late."""
    raise NotImplementedError  # for kernels only


def recall(code: Any, network: Any, step: int, means: Any) -> None:
    """Fill those of the means [P, nm] that come late with what they are at a step.

    Between steps they are interpolated, second order.  Before the first they are what they were at
    the first.
    """
    raise NotImplementedError  # for kernels only


@overload(remember, jit_options=OPTIONS)
def _remember(code, network, step):
    return keep if code.n_present < len(code.means) else lambda code, network, step: None


@overload(recall, jit_options=OPTIONS)
def _recall(code, network, step, means):
    return look_up if code.n_present < len(code.means) else lambda code, network, step, means: None


def keep(code, network, step):
    """Keep the means at a step, of a model that has delays."""
    of, past = network.delays.of, network.delays.past
    slot = step % past.shape[0]
    for s in range(past.shape[1]):
        for q in range(of.size):
            past[slot, s, q] = network.means[s, of[q]]


def look_up(code, network, step, means):
    """Fill the means that come late, of a model that has some."""
    lag, past = network.delays.lag, network.delays.past
    slots, first = past.shape[0], means.shape[1] - lag.shape[1]
    for s in range(lag.shape[0]):
        for q in range(lag.shape[1]):
            at = max(step - lag[s, q], 0.0)
            k = int(at)
            value, share = past[k % slots, s, q], at - k
            if share > 0.0:
                value += share * (past[(k + 1) % slots, s, q] - value)
            means[s, first + q] = value


@kernel
def keep_means(delays, means, step, share):
    """Keep the means [P, nm, pair] of one copy at a step, or add their share to what is kept."""
    of, past = delays.of, delays.past
    slot = step % past.shape[0]
    for s in range(past.shape[1]):
        for pair in range(past.shape[2]):
            for q in range(of.size):
                value = means[s, of[q], pair]
                if share < 1.0:
                    value = past[slot, s, pair, q] + share * (value - past[slot, s, pair, q])
                past[slot, s, pair, q] = value


@kernel
def fill_late(delays, means, at):
    """Fill those of the means [P, nm, pair] of one copy that come late, at a number of steps."""
    lag, past = delays.lag, delays.past
    slots, first = past.shape[0], means.shape[1] - lag.shape[1]
    for s in range(lag.shape[0]):
        for q in range(lag.shape[1]):
            now = max(at - lag[s, q], 0.0)
            k = int(now)
            share, earlier, later = now - k, past[k % slots, s], past[(k + 1) % slots, s]
            for pair in range(means.shape[2]):
                value = earlier[pair, q]
                # What is kept of the step after is right only where it is asked for.
                if share > 0.0:
                    value += share * (later[pair, q] - value)
                means[s, first + q, pair] = value
