"""The resting voltage of a neuron whose other variables have a steady state at every voltage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq


def resting_voltage(
    drift: Callable[[float], float], low: float, high: float, step: float = 0.25
) -> float:
    """Return the lowest voltage at which no steady current flows.

    Parameters
    ----------
    drift : voltage -> drift of the voltage with all else at its steady state; positive at ``low``,
        negative at ``high``
    low, high : voltages between which to look
    step : at most the distance of neighbouring equilibria
    """
    voltages = np.arange(low, high + step, step)
    above = next(k for k, voltage in enumerate(voltages) if drift(float(voltage)) < 0.0)
    found: Any = brentq(drift, voltages[above - 1], voltages[above], xtol=1e-12)
    return float(found)
