r"""Extrapolated Euler steps: high order, error control and stability uniform in the stiffness.

A step of size H is taken with n_j = 2, 3, .., J + 1 equal Euler substeps; the Aitken-Neville table

    T_{j,1} = x after n_j substeps,   T_{j,m+1} = T_{j,m} + (T_{j,m} - T_{j-1,m})/(n_j/n_{j-m} - 1)

removes the powers of H/n_j one after the other, so T_{J,J} is of order J and T_{J,J} - T_{J,J-1}
measures the error.  Where the substep treats stiff linear parts implicitly, slaved variables follow
the slow ones at the same order whatever the stiffness: no order is lost as eps -> 0.

Source: Deuflhard 1985 and Constantinescu & Sandu 2010 for the idea (not checked); the orders are
measured in tests/solvers/test_kinetic.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Substep = Callable[[np.ndarray, float, float], np.ndarray]


class StepError(ArithmeticError):
    """The step fell below the smallest sensible one, or the state was not wanted any more.

    Parameters
    ----------
    time, error : where, and the error of the last step over its tolerance
    found : the records reached before [time, n], in the next place the state at ``time``, then NaN
    """

    def __init__(self, time: float, error: float, found: np.ndarray) -> None:
        self.time, self.error, self.found = time, error, found
        super().__init__(f"step failed at t = {time:g}, error {error:.3g} of the tolerance")


def extrapolated_step(
    substep: Substep, x: np.ndarray, t: float, step: float, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return x after one extrapolated step and its error estimate.

    Parameters
    ----------
    substep : (x, t, h) -> x, one first-order step with a smooth error expansion
    x : state [n]
    t, step : time and H
    order : J, columns of the table
    """
    counts = range(2, order + 2)
    row: list[np.ndarray] = []
    for j, count in enumerate(counts):
        h = step / count
        value = x
        for i in range(count):
            value = substep(value, t + i * h, h)
        new = [value]
        for m in range(j):
            new.append(new[m] + (new[m] - row[m]) / (count / counts[j - m - 1] - 1.0))
        row = new
    return row[-1], row[-1] - row[-2]


def integrate(
    substep: Substep,
    x: np.ndarray,
    times: np.ndarray,
    tolerance: float | np.ndarray,
    first_step: float,
    order: int = 5,
    sound: Callable[[np.ndarray], bool] = lambda x: True,
) -> np.ndarray:
    """Return the state at the given times [time, n] with adaptive extrapolated steps.

    Parameters
    ----------
    substep : (x, t, h) -> x, see ``extrapolated_step``
    x : state at times[0] [n]
    times : increasing
    tolerance : allowed error per step, absolute, of every entry [n] or of all
    first_step : where to start
    order : of the extrapolation, at least 2
    sound : state [n] -> whether it is worth going on from

    Raises
    ------
    StepError : the step fell below 1e-9 of the first one, or a state was not sound
    """
    found = np.full((len(times), x.size), np.nan)
    found[0] = x
    t, step = float(times[0]), first_step
    for place in range(1, len(times)):
        end = float(times[place])
        while t < end:
            left = end - t
            # Equal steps to the record, so that none is tiny.
            size = left / np.ceil(left / step * (1.0 - 1e-9))
            new, error = extrapolated_step(substep, x, t, size, order)
            ratio = float((np.abs(error) / tolerance).max())
            if not np.isfinite(ratio):
                ratio = 1e12
            factor = 0.8 * max(ratio, 1e-12) ** (-1.0 / order)
            if ratio <= 1.0:
                x = new
                t = end if size >= left * (1.0 - 1e-12) else t + size
                step = max(step if size < step else 0.0, size * min(3.0, factor))
            else:
                step = size * max(0.1, factor)
            if step < 1e-9 * first_step or not sound(x):
                found[place] = x
                raise StepError(t, ratio, found)
        found[place] = x
    return found
