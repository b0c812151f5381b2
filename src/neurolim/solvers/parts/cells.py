r"""Finite volumes for the law of voltage and conductance.

The voltage is the first variable, which its model keeps in a range [V_L, V_E]; the conductance is
the second, reflected at its floor (0 in formulas) and noisy.  Cells cover [V_L, V_E] x [0, g_max].
In g the exponentially fitted flux of Scharfetter and Gummel, second order; in v the upwind flux,
first order, or the third-order flux biased upstream (second order at the walls).  With the upwind
flux the generator has non-negative rates between cells and zero column sums.

Source: Scharfetter & Gummel 1969 (g); LeVeque 2002, sec. 4.8 and 10.3 (v).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import ndtri

from neurolim.core import Model, Need, Sites, StudyError
from neurolim.core.terms import value_of
from neurolim.kernels import grid
from neurolim.kernels.model_code import exponential_code
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.needs import derivatives, variables


def _no_range(model: Model) -> str:
    return f"{model.symbols[0]} has none" if model.state[0].range is None else ""


def _no_floor(model: Model) -> str:
    if len(model.state) < 2:
        return "there is no second"
    return f"{model.symbols[1]} has none" if model.state[1].floor is None else ""


def _is_coupled(model: Model) -> str:
    strong = zip(model.symbols, structure_of(model).relaxing, strict=True)
    return next((f"{symbol} is coupled" for symbol, there in strong if there), "")


#: What the equation of the law is made of.
VOLTAGE_AND_CONDUCTANCE = (
    variables(2, 2),
    derivatives("drift", "coupling", "fields"),
    Need("a first variable that stays in a range", _no_range, "State(range=(low, high))"),
    Need("a second variable reflected at a floor", _no_floor, "State(floor=...)"),
    Need("neurons that talk through their drift alone", _is_coupled, "no coupling"),
)


def _bernoulli(x: np.ndarray) -> np.ndarray:
    """Return x/(e^x - 1), 1 at 0, for any x."""
    x = np.clip(x, -700.0, 700.0)
    near = np.abs(x) < 1e-8
    return np.where(near, 1.0 - 0.5 * x, x / np.expm1(np.where(near, 1.0, x)))


def _bernoulli_slope(x: np.ndarray) -> np.ndarray:
    """Return the derivative of x/(e^x - 1), -1/2 at 0, for any x."""
    x = np.clip(x, -700.0, 700.0)
    near = np.abs(x) < 0.05
    series = -0.5 + x / 6.0 - x**3 / 180.0 + x**5 / 5040.0
    far = np.where(near, 1.0, x)
    value = far / np.expm1(far)
    return np.where(near, series, value * (1.0 - value) / far - value)


def feels_means(model: Model, known: Callable[[], bool]) -> bool:
    """Return whether the drift depends on the means of the law.

    Parameters
    ----------
    model : the model
    known : says whether a slope with respect to a mean is not zero anywhere; asked only where the
        drift is affine in the means, so that slopes at one value of them tell
    """
    structure = structure_of(model)
    if not any(name.startswith(("m.", "c.")) for names in structure.depends for name in names):
        return False
    return bool(structure.means_bend) or known()


def top_of(model: Model, sites: Sites, reach: float) -> float:
    """Return g_max, ``reach`` standard deviations above the largest target of the conductance.

    Parameters
    ----------
    model, sites : the equation
    reach : see OPTIONS

    Raises
    ------
    StudyError : the drift of the conductance does not fall with it
    """
    (p,) = sites.params
    weight, floor = float(sites.coupling[0, 0]), float(model.state[1].floor or 0.0)
    states = [(float(v), floor) for v in np.linspace(*interval(model, p), 65)]
    observed = np.array([(*x, *model.equations.field(x, p)) for x in states])
    slopes = derivatives_of(model)
    largest, slowest = 0.0, math.inf
    for extreme in (observed.min(axis=0), observed.max(axis=0)):
        m, c = tuple(extreme), tuple(weight * extreme)
        rate = min(-float(slopes.drift_x(x, m, c, p)[3]) for x in states)
        if not rate > 0.0:
            problem = f"the drift of {model.state[1].symbol} does not fall with it"
            raise StudyError("model", problem, "a slope below 0")
        fastest = max(float(model.equations.drift(x, m, c, p)[1]) for x in states)
        largest, slowest = max(largest, fastest / rate), min(slowest, rate)
    deviation = math.sqrt(0.5 / slowest) * model.equations.noise(p)[1]
    return float(floor + largest + reach * deviation)


def interval(model: Model, p: Any) -> tuple[float, float]:
    """Return the range of the voltage."""
    low, high = model.state[0].range or (math.nan, math.nan)
    return value_of(low, p), value_of(high, p)


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
        self.model, self.code = model, exponential_code(model)
        self.row = np.array([[float(value) for value in sites.params[0]]])
        self.coupling = float(sites.coupling[0, 0])
        self.shape = shape
        self.diffusion = 0.5 * model.equations.noise(sites.params[0])[1] ** 2
        self.v_faces = np.linspace(*interval(model, sites.params[0]), shape[0] + 1)
        floor = float(model.state[1].floor or 0.0)
        self.g_faces = np.linspace(floor, top_of(model, sites, reach), shape[1] + 1)
        self.v = 0.5 * (self.v_faces[1:] + self.v_faces[:-1])
        self.g = 0.5 * (self.g_faces[1:] + self.g_faces[:-1])
        observed = np.empty((len(model.means), *shape))
        grid.fill_observed(self.code, self.v, self.g, self.row, observed)
        self.observed = observed.reshape(len(model.means), -1)

    @cached_property
    def nonlinear(self) -> bool:
        """Whether the drift depends on the means of the law."""
        means = self.observed.mean(axis=1)
        return feels_means(self.model, lambda: bool(self.felt(means, self.v, self.g).any()))

    def drift(self, means: np.ndarray, component: int, v: np.ndarray, g: np.ndarray) -> np.ndarray:
        """Return one component of the drift [v, g] given the means of the law.

        Parameters
        ----------
        means : of state variables and fields [n_means]
        component : 0 for the voltage, 1 for the conductance
        v, g : where
        """
        out = np.empty((v.size, g.size))
        m, c = means[None], self.coupling * means[None]
        grid.fill_drift(self.code, v, g, self.row, m, c, component, out)
        return out

    def felt(self, means: np.ndarray, v: np.ndarray, g: np.ndarray) -> np.ndarray:
        """Return the slopes [2, n_means, v, g] of both drifts with respect to the means.

        Parameters
        ----------
        means : of state variables and fields [n_means]
        v, g : where
        """
        out = np.empty((2 * means.size, v.size, g.size))
        m, c = means[None], self.coupling * means[None]
        grid.fill_felt(self.code, v, g, self.row, m, c, self.coupling, out)
        return out.reshape(2, -1, v.size, g.size)

    def generator(self, means: np.ndarray, third_order: bool = False) -> sparse.csc_matrix:
        """Return A of dp/dt = A p, p the masses of cells; columns sum to zero.

        Parameters
        ----------
        means : of the law [n_means]
        third_order : reconstruct the voltage flux (signs are then not kept)
        """
        speed, peclet, scale = self._speeds(means)
        return self._assembled(
            np.maximum(speed, 0.0),
            np.maximum(-speed, 0.0),
            scale * _bernoulli(-peclet),
            scale * _bernoulli(peclet),
            third_order,
        )

    def response(
        self, means: np.ndarray, masses: np.ndarray, third_order: bool = False
    ) -> np.ndarray:
        """Return d(A masses)/d means [cells, n_means], by the slopes of the drift.

        Parameters
        ----------
        means : of the law [n_means]
        masses : of the cells
        third_order : see ``generator``
        """
        speed, peclet, scale = self._speeds(means)
        dv, dg = self.v_faces[1] - self.v_faces[0], self.g_faces[1] - self.g_faces[0]
        faster = self.felt(means, self.v_faces[1:-1], self.g)[0] / dv
        steeper = self.felt(means, self.v, self.g_faces[1:-1])[1] * (dg / self.diffusion)
        columns = [
            self._assembled(
                np.where(speed > 0.0, along, 0.0),
                np.where(speed < 0.0, -along, 0.0),
                -scale * _bernoulli_slope(-peclet) * across,
                scale * _bernoulli_slope(peclet) * across,
                third_order,
            )
            @ masses
            for along, across in zip(faster, steeper, strict=True)
        ]
        return np.stack(columns, axis=1)

    def _speeds(self, means: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Return cells per time in v at its faces, Peclet numbers and diffusion rate in g."""
        dv, dg = self.v_faces[1] - self.v_faces[0], self.g_faces[1] - self.g_faces[0]
        speed = self.drift(means, 0, self.v_faces[1:-1], self.g) / dv
        peclet = self.drift(means, 1, self.v, self.g_faces[1:-1]) * dg / self.diffusion
        return speed, peclet, float(self.diffusion / dg**2)

    def _assembled(
        self,
        up: np.ndarray,
        down: np.ndarray,
        above: np.ndarray,
        below: np.ndarray,
        third_order: bool,
    ) -> sparse.csc_matrix:
        """Return the matrix of rates between cells: up and down in v, above and below in g."""
        nv, ng = self.shape
        cell = np.arange(nv * ng).reshape(nv, ng)
        rows, columns, values = [], [], []

        def flux(source: np.ndarray, left: np.ndarray, right: np.ndarray, rate: Any) -> None:
            """Move mass of the source cells from left to right at a rate."""
            for cells, sign in ((left, -1.0), (right, 1.0)):
                rows.append(cells.ravel())
                columns.append(source.ravel())
                values.append(sign * np.broadcast_to(rate, source.shape).ravel())

        left, right = cell[:-1], cell[1:]
        flux(left, left, right, up)
        flux(right, right, left, down)
        if third_order:
            # Face value (2 f_{i+1} + 5 f_i - f_{i-1})/6, i upstream; at the walls upwind.
            for source, weight in ((right[1:], 2.0), (left[1:], -1.0), (left[:-1], -1.0)):
                flux(source, left[1:], right[1:], weight / 6.0 * up[1:])
            for source, weight in ((left[:-1], 2.0), (right[:-1], -1.0), (right[1:], -1.0)):
                flux(source, right[:-1], left[:-1], weight / 6.0 * down[:-1])
        left, right = cell[:, :-1], cell[:, 1:]
        flux(left, left, right, above)
        flux(right, right, left, below)
        return sparse.csc_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
            shape=(nv * ng, nv * ng),
        )

    def means(self, masses: np.ndarray) -> np.ndarray:
        """Return the means of state variables and fields under cell masses [n_means]."""
        averages: np.ndarray = self.observed @ masses / masses.sum()
        return averages

    def moments(self, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean [2] and covariance [2, 2] of the law with the given cell masses."""
        masses = masses / masses.sum()
        x = self.observed[:2]
        mean = x @ masses
        centred = x - mean[:, None]
        return mean, (centred * masses) @ centred.T

    def start(self, model: Model, params: Mapping[str, Any], points: int = 64) -> np.ndarray:
        """Return cell masses of the model's initial law, from normal quantiles.

        Every quantile point is shared among its four nearest cells so that its mean is kept
        where those cells exist.
        """
        (p,) = model.sites(params).params
        z = ndtri((np.arange(points) + 0.5) / points)
        states = np.array([model.equations.initial((a, b), p) for a in z for b in z])
        masses = np.zeros(self.shape)
        corners = []
        for k, centres in enumerate((self.v, self.g)):
            x = (states[:, k] - centres[0]) / (centres[1] - centres[0])
            x = np.clip(x, 0.0, len(centres) - 1.0)
            i = np.minimum(x.astype(int), len(centres) - 2)
            corners.append((i, x - i))
        (i, s), (j, t) = corners
        for di, wi in ((0, 1 - s), (1, s)):
            for dj, wj in ((0, 1 - t), (1, t)):
                np.add.at(masses, (i + di, j + dj), wi * wj)
        return masses.ravel() / masses.sum()
