r"""Finite volumes for the law of voltage and conductance.

Cells cover [V_L, V_E] x [0, g_max].  In g the exponentially fitted flux of Scharfetter and Gummel,
second order; in v the upwind flux, first order, or the third-order flux biased upstream (second
order at the walls).  With the upwind flux the generator has non-negative rates between cells and
zero column sums.

Source: Scharfetter & Gummel 1969 (g); LeVeque 2002, sec. 4.8 and 10.3 (v).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple
from scipy import sparse
from scipy.special import ndtri

from neurolim.core import Model
from neurolim.kernels.model_code import compiled_equations, kernel_key
from neurolim.numerics.cache import keep_compiled, named
from neurolim.solvers._layout import layout


class Kernels(NamedTuple):
    """Compiled evaluation of a model on a grid.

    n_means : state variables and fields
    drift : (v, g, row, means, inputs, component, out [n_v, n_g])
    observe : (v, g, row, out [n_means, n_v, n_g]), what enters the means
    """

    n_means: int
    drift: Callable[..., None]
    observe: Callable[..., None]


_compiling = Lock()


def kernels(model: Model) -> Kernels:
    """Return the compiled evaluation of a model's drift and fields on grids, built once.

    Parameters
    ----------
    model : with two state variables
    """
    with _compiling:
        return _build(model)


@lru_cache(maxsize=16)
def _build(model: Model) -> Kernels:
    _, _, n_means, parameters_class, n_parameters, _ = layout(model)
    key, known = kernel_key(model, __name__)
    tag = f"{key}_law"

    def inline(function: Any) -> Any:
        return njit(error_model="numpy", forceinline=True)(named(function, tag))

    def compiled(function: Any) -> Any:
        return njit(error_model="numpy", nogil=True)(named(function, tag))

    slope, _, _, field, _, _ = compiled_equations(model, tag)

    @compiled
    def drift(v, g, row, means, inputs, component, out):
        p = parameters_class(*to_fixed_tuple(row, n_parameters))
        m, c = to_fixed_tuple(means, n_means), to_fixed_tuple(inputs, n_means)
        for i in range(v.size):
            for j in range(g.size):
                both = slope((v[i], g[j]), m, c, p)
                out[i, j] = both[0] if component == 0 else both[1]

    @compiled
    def observe(v, g, row, out):
        p = parameters_class(*to_fixed_tuple(row, n_parameters))
        for i in range(v.size):
            for j in range(g.size):
                found = (v[i], g[j]) + field((v[i], g[j]), p)  # noqa: RUF005
                for k in range(n_means):
                    out[k, i, j] = found[k]

    return Kernels(n_means, keep_compiled(drift, tag, known), keep_compiled(observe, tag, known))


def _bernoulli(x: np.ndarray) -> np.ndarray:
    """Return x/(e^x - 1), 1 at 0, for any x."""
    x = np.clip(x, -700.0, 700.0)
    near = np.abs(x) < 1e-8
    return np.where(near, 1.0 - 0.5 * x, x / np.expm1(np.where(near, 1.0, x)))


class Grid:
    """Cells of one grid and the generator of the law on it.

    Parameters
    ----------
    model, params : the equation
    shape : numbers of cells (voltage, conductance)
    reach : of the grid in g, see OPTIONS
    """

    def __init__(
        self, model: Model, params: Mapping[str, Any], shape: tuple[int, int], reach: float
    ) -> None:
        sites = model.sites(params)
        self.kernels = kernels(model)
        self.row = np.array([float(value) for value in sites.params[0]])
        self.coupling = float(sites.coupling[0, 0])
        self.shape = shape
        self.diffusion = 0.5 * model.equations.noise(sites.params[0])[1] ** 2
        low, high = params["leak_voltage"], params["excitatory_voltage"]
        self.v_faces = np.linspace(low, high, shape[0] + 1)
        self.g_faces = np.linspace(0.0, self._top(low, high, reach), shape[1] + 1)
        self.v = 0.5 * (self.v_faces[1:] + self.v_faces[:-1])
        self.g = 0.5 * (self.g_faces[1:] + self.g_faces[:-1])
        observed = np.empty((self.kernels.n_means, *shape))
        self.kernels.observe(self.v, self.g, self.row, observed)
        self.observed = observed.reshape(self.kernels.n_means, -1)

    def _top(self, low: float, high: float, reach: float) -> float:
        """Return g_max: the conductance's drift is affine in g with the slope -gamma."""
        v = np.linspace(low, high, 65)
        largest, rate = 0.0, 1.0
        observed = np.empty((self.kernels.n_means, v.size, 1))
        self.kernels.observe(v, np.zeros(1), self.row, observed)
        for extreme in (observed.min(axis=(1, 2)), observed.max(axis=(1, 2))):
            both = np.empty((v.size, 2))
            inputs = self.coupling * extreme
            self.kernels.drift(v, np.array([0.0, 1.0]), self.row, extreme, inputs, 1, both)
            rate = float((both[:, 0] - both[:, 1]).min())
            largest = max(largest, float(both[:, 0].max()) / rate)
        return float(largest + reach * np.sqrt(self.diffusion / rate))

    def drift(self, means: np.ndarray, component: int, v: np.ndarray, g: np.ndarray) -> np.ndarray:
        """Return one component of the drift [v, g] given the means of the law.

        Parameters
        ----------
        means : of state variables and fields [n_means]
        component : 0 for the voltage, 1 for the conductance
        v, g : where
        """
        out = np.empty((v.size, g.size))
        self.kernels.drift(v, g, self.row, means, self.coupling * means, component, out)
        return out

    def generator(self, means: np.ndarray, third_order: bool = False) -> sparse.csc_matrix:
        """Return A of dp/dt = A p, p the masses of cells; columns sum to zero.

        Parameters
        ----------
        means : of the law [n_means]
        third_order : reconstruct the voltage flux (signs are then not kept)
        """
        nv, ng = self.shape
        dv, dg = self.v_faces[1] - self.v_faces[0], self.g_faces[1] - self.g_faces[0]
        cell = np.arange(nv * ng).reshape(nv, ng)
        rows, columns, values = [], [], []

        def flux(source: np.ndarray, left: np.ndarray, right: np.ndarray, rate: Any) -> None:
            """Move mass of the source cells from left to right at a rate."""
            for place, sign in ((left, -1.0), (right, 1.0)):
                rows.append(place.ravel())
                columns.append(source.ravel())
                values.append(sign * np.broadcast_to(rate, source.shape).ravel())

        speed = self.drift(means, 0, self.v_faces[1:-1], self.g) / dv
        up, down = np.maximum(speed, 0.0), np.maximum(-speed, 0.0)
        left, right = cell[:-1], cell[1:]
        flux(left, left, right, up)
        flux(right, right, left, down)
        if third_order:
            # Face value (2 f_{i+1} + 5 f_i - f_{i-1})/6, i upstream; at the walls upwind.
            for source, weight in ((right[1:], 2.0), (left[1:], -1.0), (left[:-1], -1.0)):
                flux(source, left[1:], right[1:], weight / 6.0 * up[1:])
            for source, weight in ((left[:-1], 2.0), (right[:-1], -1.0), (right[1:], -1.0)):
                flux(source, right[:-1], left[:-1], weight / 6.0 * down[:-1])
        peclet = self.drift(means, 1, self.v, self.g_faces[1:-1]) * dg / self.diffusion
        scale = self.diffusion / dg**2
        left, right = cell[:, :-1], cell[:, 1:]
        flux(left, left, right, scale * _bernoulli(-peclet))
        flux(right, right, left, scale * _bernoulli(peclet))
        return sparse.csc_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
            shape=(nv * ng, nv * ng),
        )

    def means(self, masses: np.ndarray) -> np.ndarray:
        """Return the means of state variables and fields under cell masses [n_means]."""
        found: np.ndarray = self.observed @ masses / masses.sum()
        return found

    def moments(self, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean [2] and covariance [2, 2] of the law with the given cell masses."""
        masses = masses / masses.sum()
        x = self.observed[:2]
        mean = x @ masses
        centred = x - mean[:, None]
        return mean, (centred * masses) @ centred.T

    def nonlinear(self) -> bool:
        """Return whether the drift depends on the means of the law."""
        a, b = np.zeros(self.kernels.n_means), np.ones(self.kernels.n_means)
        g = self.g[:2]
        return any(
            (self.drift(a, k, self.v, g) != self.drift(b, k, self.v, g)).any() for k in (0, 1)
        )

    def start(self, model: Model, params: Mapping[str, Any], points: int = 64) -> np.ndarray:
        """Return cell masses of the model's initial law, from normal quantiles.

        Every quantile point is shared among its four nearest cells so that its mean is kept
        where those cells exist.
        """
        (p,) = model.sites(params).params
        z = ndtri((np.arange(points) + 0.5) / points)
        states = np.array([model.equations.initial((a, b), p) for a in z for b in z])
        masses = np.zeros(self.shape)
        place = []
        for k, centres in enumerate((self.v, self.g)):
            x = (states[:, k] - centres[0]) / (centres[1] - centres[0])
            x = np.clip(x, 0.0, len(centres) - 1.0)
            i = np.minimum(x.astype(int), len(centres) - 2)
            place.append((i, x - i))
        (i, s), (j, t) = place
        for di, wi in ((0, 1 - s), (1, s)):
            for dj, wj in ((0, 1 - t), (1, t)):
                np.add.at(masses, (i + di, j + dj), wi * wj)
        return masses.ravel() / masses.sum()
