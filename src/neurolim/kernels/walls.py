"""What keeps a variable where it lives: reflecting walls, and circles."""

from __future__ import annotations

import numpy as np

from neurolim.numerics.columns import TILE
from neurolim.numerics.compiled import kernel
from neurolim.numerics.elementary import log
from neurolim.numerics.lowlevel import stack_array
from neurolim.numerics.random import STREAM_BRIDGE, STREAMS_PER_SITE, uniforms


@kernel
def reflect_bridge(old, new, floor, deviation, h, first, key, replica, step, site, k):
    """Push proposals up by how far the Brownian bridge from old to new went below the floor.

    The minimum of a Brownian bridge has the law (x + y - sqrt((y - x)^2 - 2 s^2 h ln U))/2; the
    push is the local time of the reflected path, weak order 1 for additive noise.

    Source: Lepingle 1995.
    """
    logs = stack_array(np.float64, 1, TILE)[0]
    draw_logs(logs[: new.size], first, key, replica, step, site, k)
    push_up(old, new, floor, 2.0 * deviation * deviation * h, logs)


@kernel
def draw_logs(logs, first, key, replica, step, site, k):
    """Fill a row with the logarithms of the bridges' uniforms, whole blocks of neurons."""
    uniforms(logs, first, key, replica, step, site * STREAMS_PER_SITE + STREAM_BRIDGE + k)
    for i in range(logs.size):
        logs[i] = log(logs[i])


@kernel
def push_up(old, new, floor, spread, logs):
    """Push proposals up by their bridges; ``spread`` = 2 s^2 h; see `reflect_bridge`."""
    for i in range(new.size):
        x, y = old[i], new[i]
        low = 0.5 * (x + y - np.sqrt((y - x) * (y - x) - spread * logs[i]))
        new[i] = y + (floor - low if low < floor else 0.0)


@kernel
def fold(row, floor, ceiling):
    """Mirror what lies beyond a wall; what lies beyond both goes to the wall it left last.

    Weak order 1/2 where noise carries a variable to the wall; exact in the limit of short steps
    where the drift keeps it inside and only a step's overshoot is caught.
    """
    for i in range(row.size):
        x = row[i]
        x = 2.0 * floor - x if x < floor else x
        x = 2.0 * ceiling - x if x > ceiling else x
        row[i] = max(x, floor)


@kernel
def project(row, floor, ceiling):
    """Take what lies beyond a wall to the wall.

    What the Skorokhod map does to a drift that pushes against it.  For noise of weak order 1/2: the
    map of a walk pushes less than that of the path through its points.
    """
    for i in range(row.size):
        row[i] = min(max(row[i], floor), ceiling)


@kernel
def wrap(row, period):
    """Take a variable on a circle back to [0, period)."""
    for i in range(row.size):
        row[i] -= period * np.floor(row[i] / period)
