r"""Constants of the contraction theorems, from the equations of a model of their form.

    v' = g_L (V_L - v) + g (V_E - v),        g' = gamma (G(v, means) - g),  g >= 0, noise on g only

D = V_E - V_L,   K = max |d_v G|,   K1 = sum over means h of max |d_h G| max |h'|, which bounds what
all others together do; maxima over v in [V_L, V_E] and the means of neurons there, in each of which
G is affine.  Any model of this form will do: its functions and their derivatives are called.  The
rates built from the constants: Herda, Monmarche & Perthame 2024, sections 2 and 3, corrected as in
docs/contraction.md.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import brentq, minimize_scalar
from scipy.special import erf

from neurolim.core import Model, Need, StudyError
from neurolim.core.terms import value_of
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.statistics.parts.common import variables

_WORDS = "a voltage driven by a conductance"
_FORM = (
    "v' = g_L (V_L - v) + g (V_E - v), g' = gamma (G(v, means) - g), g >= 0, noise on g, "
    "v in the range [V_L, V_E], means of functions of v"
)
_SCANNED = 1001
_NAMES = ("leak", "range", "rate", "noise", "rest", "slope", "slope_others")


def _fault(model: Model) -> str:
    """Return why a model is not of the theorems' form, or ""."""
    found = structure_of(model)
    if len(model.state) != 2:
        return f"state variables: {len(model.state)}"
    v, g = model.symbols
    reasons = {place: why for place, why in found.untraceable.items() if place != "initial"}
    if reasons:
        return " ".join(next(iter(reasons.items())))
    if any(found.relaxing):
        return "couplings pull"
    if not model.plain_noise:
        return "noise that is not additive"
    if model.state[0].floor is not None or model.state[1].floor != 0.0:
        return f"a wall at 0 for {g}, none for {v}"
    if set(found.depends[0]) != {f"x.{v}", f"x.{g}"} or found.powers[0] != 1:
        return f"the drift of {v} is another"
    if (f"x.{g}", f"x.{g}") in found.mixes or f"x.{g}" in found.fields_bend:
        return f"a drift or a field is not affine in {g}"
    seen = {f"x.{v}", f"x.{g}", f"m.{v}", *(f"m.{sent.name}" for sent in model.fields)}
    if (f"x.{v}", f"x.{g}") not in found.products:
        return f"no product of {v} and {g}"
    if f"x.{g}" in found.bends[1] or set(found.depends[1]) - seen or found.means_bend:
        return f"the drift of {g} is another"
    if model.state[0].range is None:
        return f"{v} has no range"
    return ""


#: What the statistics of the theorems need of a model.
CONDUCTANCE = Need(_WORDS, _fault, _FORM)


class Neuron:
    """A neuron of the theorems' form with its numbers, by the functions of its model.

    Parameters
    ----------
    model : of the form that CONDUCTANCE describes
    params : parameters by name

    Raises
    ------
    StudyError : numbers with which the model is not of the form
    """

    def __init__(self, model: Model, params: Mapping[str, Any]) -> None:
        sites = model.sites(params)
        if len(sites.labels) != 1:
            raise StudyError("model", f"{len(sites.labels)} sites", "one site")
        self.model, (self.p,) = model, sites.params
        self.alone = (0.0,) * len(model.means)
        self.slopes = derivatives_of(model)
        origin = ((0.0, 0.0), self.alone, self.alone, self.p)
        v_in_v, self.high, _, g_in_g = self.slopes.drift_x(*origin)
        pair = structure_of(model).products.index(tuple(f"x.{name}" for name in model.symbols))
        sigmas = model.equations.noise(self.p)
        if (
            self.slopes.drift_mixed(*origin)[pair] != -1.0
            or max(v_in_v, g_in_g) >= 0.0
            or sigmas[0] != 0.0
        ):
            raise StudyError("model", f"needs {_WORDS}: other coefficients", _FORM)
        self.leak, self.rate = -v_in_v, -g_in_g
        self.noise = sigmas[1] / 2.0**0.5
        self.low = model.equations.drift(*origin)[0] / self.leak
        if self.low >= self.high:
            raise StudyError("model", f"V_L = {self.low:g} >= V_E = {self.high:g}", "V_L < V_E")
        span = tuple(value_of(part, self.p) for part in model.state[0].range or ())
        if not np.allclose(span, (self.low, self.high), rtol=1e-9, atol=0.0):
            raise StudyError(
                "model", f"needs {_WORDS}: the range {span}", f"[{self.low:g}, {self.high:g}]"
            )
        if any(self.slopes.field_x(*origin)[1::2]):
            raise StudyError("model", f"needs {_WORDS}: a mean of the conductance", _FORM)
        self.scan = np.linspace(self.low, self.high, _SCANNED)
        least = min(float(np.min(self.target(self.scan, m))) for m in self._corners())
        if least <= 0.0:
            raise StudyError("model", f"G is {least:.3g} somewhere in [V_L, V_E]", "G > 0")

    def drift(self, v: Any, g: Any, m: Any = None) -> Any:
        """Return (v', g') of a neuron among others at means m, of its own where none are given."""
        means = self.model.means_at_rest((v, g), self.p) if m is None else m
        return self.model.equations.drift((v, g), means, means, self.p)

    def target(self, v: Any, m: Any = None) -> Any:
        """Return G at voltages v."""
        return self.drift(v, 0.0 * v, m)[1] / self.rate

    def jacobian(self, v: float, g: float) -> np.ndarray:
        """Return the slopes of the drift [2, 2] at given means."""
        m = self.model.means_at_rest((v, g), self.p)
        return np.reshape(self.slopes.drift_x((v, g), m, m, self.p), (2, 2))

    def conductance(self, v: Any, change: Any) -> Any:
        """Return the conductance at which the voltage v changes at a rate."""
        return (change - self.leak * (self.low - v)) / (self.high - v)

    def voltage(self, g: Any) -> Any:
        """Return the voltage at which a conductance g holds the neuron."""
        return (self.leak * self.low + g * self.high) / (self.leak + g)

    @property
    def _sent(self) -> list[tuple[int, Callable[[Any], Any], Callable[[Any, Any], Any]]]:
        """Return of each mean that enters G: its place, its function of v, its slope at (v, m)."""
        entering = structure_of(self.model).depends[1]
        found: list[Any] = []
        for k, name in enumerate(self.model.means):
            if f"m.{name}" not in entering:
                continue
            if k == 0:
                found.append((k, lambda v: v, lambda v, m: 1.0))
                continue

            def of(v: Any, k: int = k - 2) -> Any:
                return self.model.equations.field((v, 0.0 * v), self.p)[k]

            def slope(v: Any, m: Any, k: int = k - 2) -> Any:
                return self.slopes.field_x((v, 0.0 * v), m, m, self.p)[2 * k]

            found.append((k, of, slope))
        return found

    def _corners(self) -> list[tuple[float, ...]]:
        """Return the means at which what is affine in them is extreme."""
        ends = [[0.0] for _ in self.model.means]
        for k, of, _ in self._sent:
            ends[k] = sorted({float(of(self.scan).min()), float(of(self.scan).max())})
        return list(itertools.product(*ends))

    def _own(self, v: Any, m: Any) -> Any:
        """Return d_v G at (v, m)."""
        return self.slopes.drift_x((v, 0.0 * v), m, m, self.p)[2] / self.rate

    def _heard(self, k: int) -> Callable[[Any, Any], Any]:
        """Return d_h G of the mean h in a place, a function of (v, m)."""
        place = len(self.model.means) + k

        def slope(v: Any, m: Any) -> Any:
            return self.slopes.drift_m((v, 0.0 * v), m, m, self.p)[place] / self.rate

        return slope

    def steepest(self) -> tuple[float, float]:
        """Return K and K1."""
        corners = self._corners()
        others = 0.0
        for k, _, slope in self._sent:
            others += self._largest(slope, corners[:1]) * self._largest(self._heard(k), corners)
        return self._largest(self._own, corners), others

    def increasing(self) -> bool:
        """Return whether G does not fall in any voltage: copies in order then stay in order."""
        corners = self._corners()
        sent = [
            (np.ravel(slope(self.scan, corners[0])), self._heard(k)) for k, _, slope in self._sent
        ]
        return all(
            np.min(self._own(self.scan, m)) >= 0.0
            and all(np.min(np.outer(slope, heard(self.scan, m))) >= 0.0 for slope, heard in sent)
            for m in corners
        )

    def _largest(self, f: Callable[[Any, Any], Any], corners: list[tuple[float, ...]]) -> float:
        """Return the largest |f(v, m)| over v in [V_L, V_E], to rounding where it is smooth."""
        best = 0.0
        for m in corners:
            sizes = np.abs(np.broadcast_to(f(self.scan, m), self.scan.shape))
            k = int(np.argmax(sizes))
            best = max(best, float(sizes[k]))
            ends = self.scan[max(k - 1, 0)], self.scan[min(k + 1, _SCANNED - 1)]
            refined = minimize_scalar(
                lambda v, m=m: -abs(f(v, m)), bounds=ends, method="bounded", options={"xatol": 1e-9}
            )
            best = max(best, -float(refined.fun))
        return best

    def equilibria(self) -> list[tuple[float, float]]:
        """Return all (v*, g*) with g* = G(V(g*)), V(g) = (g_L V_L + g V_E)/(g_L + g); eq. (3)."""

        def balance(g: Any) -> Any:
            return self.target(self.voltage(g)) - g

        top = max(float(np.max(self.target(self.scan, m))) for m in self._corners())
        points = np.linspace(0.0, 1.01 * top, 2001)
        signs = balance(points)
        roots = [
            float(brentq(balance, points[i], points[i + 1], xtol=1e-14))
            for i in np.flatnonzero(signs[:-1] * signs[1:] <= 0.0)
        ]
        return [(self.voltage(g), g) for g in roots]

    def lyapunov_trace(self) -> tuple[float, float, float]:
        """Return (v*, g*, trace S) with J S + S J^T + diag(0, 2) = 0 at the only equilibrium.

        The stationary spread of one neuron is a^2 trace S to leading order in a.  NaN where there
        is no single equilibrium or neurons interact.
        """
        found = self.equilibria()
        if len(found) != 1 or self.steepest()[1] > 0.0:
            return np.nan, np.nan, np.nan
        ((v, g),) = found
        spread = solve_continuous_lyapunov(self.jacobian(v, g), -np.diag([0.0, 2.0]))
        return v, g, float(np.trace(spread))

    def constants(self) -> tuple[float, ...]:
        """Return the constants in the order of ``_NAMES``."""
        slope, others = self.steepest()
        at_rest = float(self.target(self.low))
        span = self.high - self.low
        return self.leak, span, self.rate, self.noise, at_rest, slope, others


def at_each_point(
    dataset: xr.Dataset, model: Model, function: Callable[[Neuron], tuple[float, ...]]
) -> list[xr.DataArray]:
    """Return numbers that follow from a neuron's parameters, over the axes of parameters.

    Parameters
    ----------
    dataset : whose coordinates and attributes say the parameters
    model : of the form that CONDUCTANCE describes
    function : of the neuron at a point
    """
    fixed = json.loads(dataset.attrs.get("params", "{}"))
    names = [param.name for param in model.params if param.name in dataset.coords]
    defaults = {param.name: param.default for param in model.params}
    columns = xr.broadcast(*(dataset[name] for name in names))
    like = xr.zeros_like(columns[0], dtype=float).drop_attrs() if names else xr.DataArray(0.0)
    rows = []
    for place in np.ndindex(*like.shape):
        own = {
            name: column.values[place].item() for name, column in zip(names, columns, strict=True)
        }
        rows.append(function(Neuron(model, defaults | fixed | own)))
    return [
        like.copy(data=np.reshape(np.array(column, dtype=float), like.shape))
        for column in zip(*rows, strict=True)
    ]


def constants(dataset: xr.Dataset, model: Model) -> dict[str, xr.DataArray]:
    """Return the constants of the theorems by name, each over the axes along which it changes.

    ``leak`` g_L, ``range`` D, ``rate`` gamma, ``noise`` a, ``rest`` G(V_L) of a
    neuron alone, ``slope`` K, ``slope_others`` K1 and ``slope_all``, their sum.

    Parameters
    ----------
    dataset, model : see ``at_each_point``
    """
    arrays = at_each_point(dataset, model, Neuron.constants)
    found = dict(zip(_NAMES, map(_without_still_axes, arrays), strict=True))
    found["slope_all"] = found["slope"] + found["slope_others"]
    return found


def _without_still_axes(array: xr.DataArray) -> xr.DataArray:
    """Return an array without the longer axes along which it does not change."""
    for dim in array.dims:
        first = array.isel({dim: 0}, drop=True)
        if array.sizes[dim] > 1 and bool((array == first).all()):
            array = first
    return array


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


def rho_of_pairs(dataset: xr.Dataset, model: Model) -> xr.DataArray:
    """Return 003's distance rho(theta_1(|dv|) + theta_2(|dg|)) of the recorded pairs, xi -> 0.

    theta_1(r) = r; theta_2 has slope m up to R* - 1, then rises to M at R*; rho(r) is the integral
    of exp(-k s^2) up to R and grows linearly beyond; constants of the corrected Theorem 2.
    """
    c = mirror_constants(constants(dataset, model), corrected=True)
    size = abs(
        dataset["sample"].sel(network_copy="first") - dataset["sample"].sel(network_copy="second")
    )
    x, y = (size.sel(variable=name, drop=True) for name in variables(dataset))
    beyond = (y - (c["R_star"] - 1.0)).clip(0.0)
    bend = (c["M"] - c["m"]) * (0.5 * beyond.clip(None, 1.0) ** 2 + (beyond - 1.0).clip(0.0))
    r = x + c["m"] * y + bend
    inside = np.minimum(r, c["R"])
    root = c["k"] ** 0.5
    curve = 0.5 * np.pi**0.5 / root * xr.apply_ufunc(erf, root * inside)
    found: xr.DataArray = (curve + (r - inside) * np.exp(-c["k"] * c["R"] ** 2)).mean("pair")
    return found
