"""What the equation of the potential stands on: the network, its data and its means over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model
from neurolim.numerics.structure import derivatives_of
from neurolim.solvers.law.closure import Closure, Moments
from neurolim.solvers.parts.gap_network import read_network


class Network(NamedTuple):
    """The numbers of the module equation [site], in the order v, w whatever the model's.

    drift : (v [site, n], mean [site, 2]) -> f(v) + e W and b v + q W + c [2, site, n]
    order : positions of v and w among the model's variables
    gap, sigma, sigma_w, e, b, q : as in the module equation
    mean, width : mean and standard deviation of the initial law [site, 2]
    """

    drift: Callable[..., np.ndarray]
    order: tuple[int, ...]
    gap: np.ndarray
    sigma: np.ndarray
    sigma_w: np.ndarray
    e: np.ndarray
    b: np.ndarray
    q: np.ndarray
    mean: np.ndarray
    width: np.ndarray


def planar_network(model: Model, params: Mapping[str, Any]) -> Network:
    """Return the numbers of the module equation of a network."""
    network, zero = read_network(model, params), (0.0, 0.0)
    v, w = network.order
    rows, slopes = model.sites(params).params, derivatives_of(model).drift_x
    # Constant: the same at the origin as anywhere.
    b = np.array([slopes(zero, zero, zero, row)[2 * w + v] for row in rows], dtype=float)
    return Network(
        drift=network.drift,
        order=network.order,
        gap=network.gap,
        sigma=network.sigma,
        sigma_w=network.sigma_y[:, 0],
        e=network.e[:, 0],
        b=b,
        q=network.q[:, 0, 0],
        mean=network.mean,
        width=network.width,
    )


class Background(NamedTuple):
    """What the equation for psi reads from the closure at one time, [site] each."""

    mean: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    field_change: np.ndarray
    error: np.ndarray
    r: np.ndarray


def antiderivative(network: Network, mean: np.ndarray, upto: np.ndarray) -> np.ndarray:
    """Return int_0^v f dv [site, n] at v [site, n] by a Gauss rule exact for polynomials."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    points = 0.5 * upto[..., None] * (nodes + 1.0)
    f = network.drift(points.reshape(len(upto), -1), mean)[0] - (network.e * mean[:, 1])[:, None]
    return 0.5 * upto * (f.reshape(points.shape) @ weights)


class Means:
    """Means, their rates and the width r as functions of time, from the Gaussian closure."""

    def __init__(self, network: Network, closure: Closure, start: Moments, t_end: float) -> None:
        from scipy.integrate import solve_ivp

        self.network, self.closure = network, closure
        self.slope = closure.slope
        path: Any = solve_ivp(
            self.slope, (0.0, t_end), closure.pack(start), method="LSODA", rtol=1e-10, atol=1e-13,
            dense_output=True,
        )  # fmt: skip
        self.success, self.path = bool(path.success), path.sol

    def __call__(self, t: float) -> Background:
        """Return the background at a time [T] of the path."""
        flat = self.path(t)
        rate = self.slope(t, flat)
        mean, velocity = self.means(flat), self.means(rate)
        # V'' and d_t B by a short step along the solution.
        step = 1e-5
        later = self.means(self.slope(t, flat + step * rate))
        moved = mean + step * velocity
        drift = self.network.drift(mean[:, :1], mean)[0][:, 0]
        there = (
            self.network.drift(mean[:, :1], moved)[0][:, 0] - self.network.e * (moved - mean)[:, 1]
        )
        variance = self.network.width[:, 1] ** 2
        q, noise = self.network.q, self.network.sigma_w**2
        grown = np.exp(2.0 * q * t)
        lasting = np.where(q == 0.0, t, (grown - 1.0) / np.where(q == 0.0, 1.0, 2.0 * q))
        r2 = variance * grown + noise * lasting
        return Background(
            mean,
            velocity,
            (later - velocity)[:, 0] / step,
            (there - drift) / step,
            velocity[:, 0] - drift,
            np.sqrt(r2),
        )

    def means(self, flat: np.ndarray) -> np.ndarray:
        """Return the means of v and w [site, 2] of a flat state of the closure."""
        return self.closure.unpack(flat).mean[:, self.network.order]


def data(network: Network) -> tuple[Moments, np.ndarray, np.ndarray]:
    """Return the closure's start for the paper's data, log of its constant, and V - V_0.

    The data are exp(-gap (v - V_0)^2/(2D) + n(v)/D + k) /(2 pi s r) exp(-y^2/(2 r^2)); the constant
    returned is k - gap (V - V_0)^2/(2D).
    """
    diffusion, s = network.sigma**2 / 2.0, network.sigma / np.sqrt(2.0 * network.gap)
    u, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / np.sqrt(2.0 * np.pi)
    points = network.mean[:, :1] + s[:, None] * u
    height = antiderivative(network, network.mean, points) / diffusion[:, None]
    top = height.max(axis=1)
    mass = weights * np.exp(height - top[:, None])
    total = mass.sum(axis=1)
    shift = s * (mass @ u) / total
    variance = s**2 * (mass @ u**2) / total - shift**2
    mean = network.mean + np.stack([shift, np.zeros_like(shift)], axis=1)
    constant = -np.log(total) - top - network.gap * shift**2 / (2.0 * diffusion)
    covariance = np.zeros((len(shift), 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = variance, network.width[:, 1] ** 2
    order = np.argsort(network.order)
    start = Moments(mean[:, order], covariance[:, order][:, :, order])
    return start, constant, shift
