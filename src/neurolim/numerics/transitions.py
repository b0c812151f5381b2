r"""Two phase transitions in closed form: noisy Kuramoto oscillators and Desai-Zwanzig units.

Both networks are mean fields of one order parameter, Z = mean exp(i phi) or m = mean x.  Given it
a neuron has the law of exp(h . u) times its law without mean, u = (cos phi, sin phi) or x, with
h = 2 a |Z|, a = K/sigma^2 or theta/sigma^2.  In the limit, the order parameter solves

    r = F(2 a r),        F(h) = mean of u along h,        critical at  2 a F'(0) = 1.

Identical oscillators and Desai-Zwanzig units are reversible, with the law exp(n a |Z|^2) times a
product.  Writing exp(n a |Z|^2) as the mean of exp(n h . Z) over h ~ N(0, 2 a/n) makes neurons
independent given h, so that for every n, through the transition,

    E |Z|^2 = < F(h)^2 + V(h)/n >,     h ~ exp(-n h^2/(4 a)) w(h)^n dh,

w, F = (log w)' and V the normalisation, mean and variance of u at h.

Source: Dawson 1983; Sakaguchi 1988; docs/science.md, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import i0e, i1e, wofz

#: Nodes of one unit's law, of the law of normal frequencies.
_NODES, _FREQUENCIES = 1001, 128
#: Standard deviations of h kept beyond the largest order, and nodes per standard deviation: more
#: on a circle, where the integrand has a corner at 0.
_REACH, _PER_WIDTH, _PER_WIDTH_CIRCLE = 10.0, 8.0, 100.0
#: The disordered network's fluctuations are those of a linear response where n (1 - q)^2 exceeds
#: this: for identical oscillators, whose law is known, within 2 per cent.
_LINEAR = 60.0


@dataclass(frozen=True)
class Oscillators:
    """Noisy Kuramoto oscillators.

    Parameters
    ----------
    coupling, sigma : K and the noise
    width : of the natural frequencies' law, half width (Lorentzian) or standard deviation
    normal : that law is normal, not Lorentzian
    """

    coupling: float
    sigma: float
    width: float = 0.0
    normal: bool = False

    @cached_property
    def critical(self) -> float:
        """Return K_c = 2/G(0), G(0) = <1/(sigma^2/2 + i omega)>."""
        return 2.0 / self._response(0.0).real

    @property
    def ratio(self) -> float:
        """Return K/K_c."""
        return self.coupling / self.critical

    @cached_property
    def order(self) -> float:
        """Return the largest solution of R = F(2 K R/sigma^2)."""
        if self.ratio <= 1.0:
            return 0.0
        gain = 2.0 * self.coupling / self.sigma**2
        return float(brentq(lambda r: self._mean(gain * r) - r, 1e-9, 1.0, xtol=1e-14))

    def square(self, n: int) -> float:
        """Return E |Z|^2: exact for identical oscillators, else to leading order in 1/n.

        With random frequencies it is R^2 in the ordered phase and the linear response in the
        disordered one, NaN too near to the transition for either.
        """
        if self.width == 0.0:
            return self._reversible(n)
        if n * (1.0 - self.ratio) ** 2 < _LINEAR:
            return np.nan
        return self.order**2 if self.ratio > 1.0 else self._fluctuation() / n

    def _response(self, nu: float) -> complex:
        """Return G(nu) = <1/(sigma^2/2 + i (nu - omega))>."""
        decay = 0.5 * self.sigma**2
        if self.normal and self.width > 0.0:
            scale = np.sqrt(2.0) * self.width
            return complex(np.sqrt(np.pi) / scale * wofz(1j * (decay + 1j * nu) / scale))
        return 1.0 / (decay + self.width + 1j * nu)

    def _mean(self, h: float) -> float:
        """Return F(h) = <I_(1 + d)(h)/I_d(h)>, d = 2 i omega/sigma^2.

        The ratio is analytic in the lower half plane of omega: a Lorentzian mean is its value at
        d = 2 width/sigma^2.
        """
        if not self.normal or self.width == 0.0:
            return float(_ratio(h, np.array([2.0 * self.width / self.sigma**2 + 0j])).real[0])
        nodes, weights = np.polynomial.hermite_e.hermegauss(_FREQUENCIES)
        d = 2j * self.width * nodes / self.sigma**2
        return float(_ratio(h, d).real @ weights / weights.sum())

    def _fluctuation(self) -> float:
        """Return n E |Z|^2 = int Re G/|1 - K G/2|^2 dnu/pi of the disordered network."""
        if not self.normal or self.width == 0.0:
            return 1.0 / (1.0 - self.ratio)

        def density(nu: float) -> float:
            response = self._response(nu)
            return float(response.real / abs(1.0 - 0.5 * self.coupling * response) ** 2)

        return float(2.0 / np.pi * quad(density, 0.0, np.inf, limit=200)[0])

    def _reversible(self, n: int) -> float:
        a = self.coupling / self.sigma**2
        if a == 0.0:
            return 1.0 / n
        h = _fields(a, n, 1.0, _PER_WIDTH_CIRCLE)[1:]
        mean = i1e(h) / i0e(h)
        logs = n * (np.log(i0e(h)) + h - h**2 / (4.0 * a)) + np.log(h)
        return _average(mean**2 + (1.0 - mean**2) / n, logs)


def _ratio(h: float, d: np.ndarray) -> np.ndarray:
    """Return I_(1 + d)(h)/I_d(h), the continued fraction 1/(2 (1 + d)/h + 1/(2 (2 + d)/h + ..."""
    found = np.zeros_like(d)
    for k in range(int(40 + 2.0 * h), 0, -1):
        found = h / (2.0 * (k + d) + h * found)
    return found


def _fields(a: float, n: int, largest: float, per_width: float) -> np.ndarray:
    """Return a uniform grid of h from 0, for order parameters up to the largest."""
    width = np.sqrt(2.0 * a / n)
    top = 2.0 * a * largest + _REACH * width
    return np.linspace(0.0, top, int(per_width * top / width) + 2)


def _average(values: np.ndarray, logs: np.ndarray) -> float:
    """Return the average of values with weights exp(logs) on a uniform grid."""
    weights = np.exp(logs - logs.max())
    return float(values @ weights / weights.sum())


@dataclass(frozen=True)
class BistableUnits:
    """Desai-Zwanzig units dx = [x - x^3 + theta (m - x)] dt + sigma dW.

    Parameters
    ----------
    theta, sigma : strength of the coupling, noise
    """

    theta: float
    sigma: float

    @cached_property
    def critical(self) -> float:
        """Return the noise at which 2 theta <x^2> = sigma^2, <x^2> without mean."""
        upper = 2.0
        while BistableUnits(self.theta, upper).ratio > 1.0:
            upper *= 2.0
        found = brentq(lambda s: BistableUnits(self.theta, s).ratio - 1.0, 0.05, upper, xtol=1e-13)
        return float(found)

    @cached_property
    def ratio(self) -> float:
        """Return 2 theta <x^2>/sigma^2, <x^2> without mean."""
        return 2.0 * self.theta * float(self._moments(np.zeros(1))[2][0]) / self.sigma**2

    @cached_property
    def order(self) -> float:
        """Return the positive solution of m = F(2 theta m/sigma^2)."""
        if self.ratio <= 1.0:
            return 0.0
        gain = 2.0 * self.theta / self.sigma**2

        def miss(m: float) -> float:
            return float(self._moments(np.array([gain * m]))[1][0]) - m

        return float(brentq(miss, 1e-6, 2.0, xtol=1e-14))

    def square(self, n: int) -> float:
        """Return E m^2 of n units, exactly."""
        a = self.theta / self.sigma**2
        # Means beyond 2 would need all units far outside of both wells.
        h = _fields(a, n, 2.0, _PER_WIDTH)
        log_w, mean, variance = self._moments(h)
        # Half of an even law: the point 0 counts half.
        logs = n * (log_w - h**2 / (4.0 * a)) - np.log(2.0) * (h == 0.0)
        return _average(mean**2 + variance / n, logs)

    def _moments(self, h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return log w, mean and variance of exp(h x - (x^4/2 + (theta - 1) x^2)/sigma^2)."""
        edge = 3.0 + (100.0 * self.sigma**2) ** 0.25
        x = np.linspace(-edge, edge, _NODES)
        base = -(x**4 / 2.0 + (self.theta - 1.0) * x**2) / self.sigma**2
        found = np.empty((3, h.size))
        for k, field in enumerate(h):
            logs = base + field * x
            top = logs.max()
            weights = np.exp(logs - top)
            total = weights.sum()
            mean = weights @ x / total
            found[:, k] = top + np.log(total), mean, weights @ (x - mean) ** 2 / total
        return found[0], found[1], found[2]
