r"""Constants of the contraction theorems, from the parameters of a Morris-Lecar dataset.

    D = V_E - V_L,   K = max |d_{v_i} G_i|,   K1 = (n - 1) max |d_{v_j} G_i|, j other than i,

for G_i = G0 + Gm s(v_i) + mean_j [Gn + Gx s(v_i)] s(v_j), s'(v) = (beta/2)/cosh^2(beta (v - v_m)),

and the rates built from them: Herda, Monmarche & Perthame 2024, sections 2 and 3, corrected as in
docs/contraction.md.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import brentq

from neurolim.core import StudyError
from neurolim.statistics.parts.common import parameter

_NAMES = (
    "leak",
    "leak_voltage",
    "excitatory_voltage",
    "rate",
    "base",
    "amplitude",
    "interaction",
    "joint",
    "steepness",
    "midpoint",
    "noise",
)


def constants(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the model's parameters by name, with those of the theorems.

    Added are ``range`` D, ``slope`` K, ``slope_others`` K1 and ``slope_all``, their sum.  With
    s in [0, 1], K = max(|Gm|, |Gm + Gx|) max |s'| and K1 = max(|Gn|, |Gn + Gx|) max |s'|.

    Raises
    ------
    StudyError : the dataset is not one of Morris-Lecar neurons
    """
    if dataset.attrs.get("model") != "morris_lecar":
        raise StudyError(
            "statistics", f"no proven rates for {dataset.attrs.get('model')}", "morris_lecar"
        )
    found = {name: parameter(dataset, name) for name in _NAMES}
    low, high = found["leak_voltage"], found["excitatory_voltage"]
    steepest = found["midpoint"].clip(low, high)
    spread = found["steepness"] * (steepest - found["midpoint"])
    activation = 0.5 * abs(found["steepness"]) / np.cosh(spread) ** 2
    found["range"] = high - low
    for name, of in (("slope", "amplitude"), ("slope_others", "interaction")):
        ends = abs(found[of]), abs(found[of] + found["joint"])
        found[name] = xr.apply_ufunc(np.maximum, *ends) * activation
    found["slope_all"] = found["slope"] + found["slope_others"]
    return found


def weight(dataset: xr.Dataset) -> float | None:
    """Return the weight A of the conductance in the recorded norm, or None if there is none."""
    given = json.loads(dataset.attrs.get("options", "{}")).get("weights")
    if given is None:
        return None
    return float(given[-1]) / float(given[0])


def best_weight(c: dict[str, xr.DataArray]) -> xr.DataArray:
    """Return A = D/(gamma K), which makes the drift matrix symmetric; infinite for K = 0."""
    found: xr.DataArray = c["range"] / (c["rate"] * c["slope_all"]).where(c["slope_all"] > 0)
    return found


def weighted_rate(c: dict[str, xr.DataArray], a: Any) -> xr.DataArray:
    """Return the contraction rate in |v|^2 + A |g|^2 that the drift matrix proves, 1/time.

    lam(A) = (g_L + gamma - sqrt((g_L - gamma)^2 + (D + A gamma K)^2/A))/2, negative if none.

    Parameters
    ----------
    c : what ``constants`` returns
    a : weight A
    """
    mixed = (c["range"] + a * c["rate"] * c["slope_all"]) ** 2 / a
    found: xr.DataArray = 0.5 * (
        c["leak"] + c["rate"] - ((c["leak"] - c["rate"]) ** 2 + mixed) ** 0.5
    )
    return found


def synchronous_rate(c: dict[str, xr.DataArray]) -> xr.DataArray:
    """Return lambda_sync, the largest lam(A): 4 gamma D K under the root; NaN unless D K < g_L."""
    root = ((c["leak"] - c["rate"]) ** 2 + 4.0 * c["rate"] * c["range"] * c["slope_all"]) ** 0.5
    found: xr.DataArray = 0.5 * (c["leak"] + c["rate"] - root)
    return found.where(c["range"] * c["slope_all"] < c["leak"])


def mirror_constants(c: dict[str, xr.DataArray], corrected: bool) -> dict[str, xr.DataArray]:
    """Return m, M, R (up to which rho is concave), k and log10 of lambda in Theorem 2.

    Parameters
    ----------
    c : what ``constants`` returns
    corrected : M gamma K in k, and concavity up to D + theta_2(R*) instead of R*
    """
    span, rate, slope = c["range"], c["rate"], c["slope"].where(c["slope"] > 0)
    squared = c["noise"].where(c["noise"] > 0) ** 2
    small = c["leak"] / (2.0 * rate * slope)
    large = 4.0 * span / rate
    reach = xr.where(slope * span > 1.0, 2.0 * slope * span, 2.0)
    prefactor = np.minimum(
        np.minimum(1.0, c["leak"] / (2.0 + 2.0 * large)),
        np.minimum(rate / 8.0, rate * large * reach / (8.0 * span)),
    )
    last = large * rate * slope if corrected else small * rate * slope
    k = (1.0 + (span + 4.0 * squared * (large - small)) / small + last) / (8.0 * squared * small**2)
    # theta_2 has slope m up to R* - 1 and then rises to M at the largest rate allowed.
    concave = span + small * reach + 0.5 * (large - small) if corrected else reach
    log_rate = (np.log10(prefactor) - k * concave**2 / np.log(10.0)).where(large > small)
    return {"m": small, "M": large, "R": concave, "R_star": reach, "k": k, "log10": log_rate}


def equilibria(values: dict[str, float]) -> list[tuple[float, float]]:
    """Return all (v*, g*) with g* = G(V(g*)), V(g) = (g_L V_L + g V_E)/(g_L + g); eq. (3).

    Parameters
    ----------
    values : the model's parameters as numbers, by name
    """

    def voltage(g: float) -> float:
        top = values["leak"] * values["leak_voltage"] + g * values["excitatory_voltage"]
        return top / (values["leak"] + g)

    def balance(g: float) -> float:
        return target(values, voltage(g)) - g

    together = values["amplitude"] + values["interaction"] + values["joint"]
    top = values["base"] + max(0.0, values["amplitude"] + values["interaction"], together)
    points = np.linspace(0.0, 1.01 * top, 2001)
    signs = np.array([balance(float(g)) for g in points])
    roots = [
        float(brentq(balance, points[i], points[i + 1], xtol=1e-14))
        for i in np.flatnonzero(signs[:-1] * signs[1:] <= 0.0)
    ]
    return [(voltage(g), g) for g in roots]


def target(values: dict[str, float], v: float) -> float:
    """Return G(v) with all neurons at v."""
    active = 0.5 * (1.0 + np.tanh(values["steepness"] * (v - values["midpoint"])))
    linear = values["amplitude"] + values["interaction"]
    return float(values["base"] + (linear + values["joint"] * active) * active)


def lyapunov_trace(values: dict[str, float]) -> tuple[float, float, float]:
    """Return (v*, g*, trace S) with J S + S J^T + diag(0, 2) = 0 at the only equilibrium.

    The stationary spread of one neuron is a^2 trace S to leading order in a.  NaN where there is
    no single equilibrium or neurons interact.

    Parameters
    ----------
    values : the model's parameters as numbers, by name
    """
    found = equilibria(values)
    if len(found) != 1 or values["interaction"] != 0.0 or values["joint"] != 0.0:
        return np.nan, np.nan, np.nan
    ((v, g),) = found
    steep = values["steepness"] * (v - values["midpoint"])
    slope = 0.5 * values["amplitude"] * values["steepness"] / np.cosh(steep) ** 2
    jacobian = np.array(
        [
            [-(values["leak"] + g), values["excitatory_voltage"] - v],
            [values["rate"] * slope, -values["rate"]],
        ]
    )
    spread = solve_continuous_lyapunov(jacobian, -np.diag([0.0, 2.0]))
    return v, g, float(np.trace(spread))


def at_each_point(c: dict[str, xr.DataArray], function: Any) -> list[xr.DataArray]:
    """Return the results of a function of parameter values, as arrays over the grid.

    Parameters
    ----------
    c : what ``constants`` returns
    function : {name: number} -> tuple of numbers
    """
    arrays = xr.broadcast(*(c[name] for name in _NAMES))
    table = np.stack([array.values.ravel() for array in arrays], axis=1)
    rows = [function(dict(zip(_NAMES, map(float, row), strict=True))) for row in table]
    return [
        arrays[0].copy(data=np.reshape(column, arrays[0].shape))
        for column in zip(*rows, strict=True)
    ]
