r"""Spikes and small oscillations in a signal (V, W), found without amplitude thresholds.

A spike is an upward crossing of ``high``; the next one counts only after V has been below ``low``.
Between two spikes small oscillations are full turns of the angle

    theta = atan2((W - W*)/omega, V - V*)

since the return below ``low``: floor(|turned angle|/2 pi).  A trajectory that comes down the left
branch and leaves at once turns by about two thirds of a circle, so 0 and 1 are well apart.

Source: docs/phase-diagrams.md; Desroches et al. 2012 (mixed-mode oscillations).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

_TURN = 2.0 * np.pi


class Events(NamedTuple):
    """What happened in a signal.

    spikes : sample of each spike [n], interpolated: sample number plus fraction
    turns : full turns between spike k and spike k + 1 [n - 1]
    turning : samples spent in these turns, from their start to the spike [n - 1]
    falls : sample of the first crossing below ``low`` after each spike, NaN if none [n]
    """

    spikes: np.ndarray
    turns: np.ndarray
    turning: np.ndarray
    falls: np.ndarray


@njit(error_model="numpy", nogil=True)
def _find(v, w, high, low, v_rest, w_rest, omega, spikes, turns, turning, falls, angle):
    count = 0
    armed = v[0] < high
    down = v[0] < low
    begun = 0
    total = 0.0
    for i in range(1, v.size):
        if down:
            x0, y0 = v[i - 1] - v_rest, (w[i - 1] - w_rest) / omega
            x1, y1 = v[i] - v_rest, (w[i] - w_rest) / omega
            total += np.arctan2(x0 * y1 - y0 * x1, x0 * x1 + y0 * y1)
            angle[i] = total
        if v[i] >= high and armed:
            spikes[count] = i - 1 + (high - v[i - 1]) / (v[i] - v[i - 1])
            falls[count] = np.nan
            if count > 0:
                n = int(abs(total) / (2.0 * np.pi))
                turns[count - 1] = n
                first = i
                while n > 0 and first > begun and abs(total - angle[first]) < n * 2.0 * np.pi:
                    first -= 1
                turning[count - 1] = i - first
            count += 1
            armed = down = False
        elif v[i] < low and not armed:
            armed = down = True
            begun = i
            total = 0.0
            angle[i] = 0.0
            if count > 0:
                falls[count - 1] = i - 1 + (low - v[i - 1]) / (v[i] - v[i - 1])
    return count


def find_events(
    v: np.ndarray,
    w: np.ndarray,
    high: float,
    low: float,
    centre: tuple[float, float],
    omega: float,
) -> Events:
    """Return spikes and small oscillations of a signal.

    Parameters
    ----------
    v, w : samples at equal intervals, several per turn [K]
    high, low : thresholds, low < high
    centre : (V*, W*)
    omega : frequency of small oscillations, 1/time

    Returns
    -------
    Events; all in samples
    """
    most = v.size // 2 + 2
    spikes, falls = np.empty(most), np.empty(most)
    turns, turning = np.empty(most, np.int64), np.empty(most)
    count = _find(
        np.ascontiguousarray(v, dtype=float),
        np.ascontiguousarray(w, dtype=float),
        high,
        low,
        centre[0],
        centre[1],
        omega,
        spikes,
        turns,
        turning,
        falls,
        np.zeros(v.size),
    )
    last = max(count - 1, 0)
    return Events(
        spikes[:count].copy(), turns[:last].copy(), turning[:last].copy(), falls[:count].copy()
    )
