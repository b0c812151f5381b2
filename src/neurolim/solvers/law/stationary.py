r"""The stationary mean field of P populations in one dimension, by self-consistent quadrature.

For given means m the law of population p is known,

    f_p(v) = Z^{-1} exp( (2/sigma_p^2) int^v B_p ),
    B_p = drift + pull (target - v) + gap (<v> - v),

and its means must be m again: P (1 + n_fields) equations, solved by Newton's method.  Laws are
integrated on nodes v = centre + theta u, theta^2 = sigma^2/(2 (pull + gap)), where they are close
to the standard normal for every strength; the trapezoidal rule on them converges faster than any
power.

The Hopf-Cole potential phi = (1/gamma) log f is given on a window of fixed width, from the force
and not from the density, so it is exact where the density underflows.

Source: Quininao & Touboul 2025, abstract (method M1: n -> infinity, then gamma -> infinity);
docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.solvers.parts.balance import layer_end
from neurolim.solvers.parts.mean_field import (
    MeanField,
    Synapses,
    balance_index,
    check_one_dimension,
    split_currents,
)
from neurolim.solvers.parts.needs import derivatives
from neurolim.solvers.parts.synapses import BALANCING, check_synapses

OPTIONS = (
    Param("nodes", 601, doc="quadrature nodes per population", kind="integer", low=51, high=10**5),
    Param("reach", 12.0, doc="nodes cover +- this many widths theta", low=6.0, high=100.0),
    Param("window", 1.0, doc="half width of the window of the Hopf-Cole potential", positive=True),
    Param("window_nodes", 81, doc="nodes of that window", kind="integer", low=3, high=10**5),
)
#: Density at the ends of the grid, relative to its maximum, above which the grid is too short.
_EDGE = 1e-14
_NEWTON = 40


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return moments, currents, density and Hopf-Cole potential."""
    return (
        Var("state_mean", "state", "mean of the site", ("site", "variable")),
        Var("covariance", "state^2", "covariance of the site", ("site", "variable", "variable_b")),
        Var("excitation", "1/time", "mean depolarising synaptic current", ("site",)),
        Var("inhibition", "1/time", "mean hyperpolarising synaptic current", ("site",)),
        Var("neuron_index", "1", "mean over neurons of |E+I|/(|E|+|I|)", ("site",)),
        Var("voltage_nodes", "1", "voltage of the nodes", ("site", "node")),
        Var("density", "1", "density of v at the nodes", ("site", "node")),
        Var("window_voltage", "1", "voltages of the window", ("site", "window_node")),
        Var("log_density", "1", "log density of v on the window", ("site", "window_node")),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return site, variable, node and window coordinates."""
    variables = tuple(var.name for var in model.state)
    scaled = np.linspace(-options["reach"], options["reach"], options["nodes"])
    window = np.linspace(-options["window"], options["window"], options["window_nodes"])
    return {
        "site": Coord(model.sites(params).labels, "1", "site"),
        "variable": Coord(variables, "1", "state variable"),
        "variable_b": Coord(variables, "1", "state variable (second index)"),
        "node": Coord(tuple(map(float, scaled)), "theta", "(v - centre)/theta"),
        "window_node": Coord(tuple(map(float, window)), "1", "voltage minus that of the centre"),
    }


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return some hundred quadratures per population."""
    count = len(model.sites(params).labels)
    return Cost(0.05 + 1e-5 * count**2 * options["nodes"], 1e6 + 1e3 * options["nodes"])


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse networks without synapses to balance, in more dimensions, or without noise.

    Raises
    ------
    StudyError : see ``check_synapses`` and ``check_one_dimension``
    """
    check_synapses(model, params)
    check_one_dimension(model, params)


class _Law:
    """The law of every population in given mean fields."""

    def __init__(self, field: MeanField, options: Mapping[str, Any]) -> None:
        self.field = field
        self.scaled = np.linspace(-options["reach"], options["reach"], options["nodes"])
        self.centre = np.zeros(field.count)

    def __call__(self, means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return nodes, densities [P, N] and log densities up to Z [P, N]."""
        field = self.field
        nodes = np.empty((field.count, self.scaled.size))
        logs = np.empty_like(nodes)
        for s, synapses in enumerate(field.synapses(means)):
            theta = field.noise[s] / np.sqrt(2.0 * (synapses.pull + synapses.gap))
            self.centre[s] = self._mode(s, means, synapses)
            nodes[s] = self.centre[s] + theta * self.scaled
            logs[s] = field.log_law(s, nodes[s], means, synapses)
            logs[s] -= logs[s].max()
        density = np.exp(logs)
        density /= _integral(density, nodes)[:, None]
        return nodes, density, logs

    def _mode(self, s: int, means: np.ndarray, synapses: Synapses) -> float:
        """Return the zero of the force nearest to the last one; the target where there is none."""
        field, v = self.field, self.centre[s]
        for _ in range(_NEWTON):
            places = np.array([v - 1e-4, v, v + 1e-4])
            drift, _ = field.local(s, places, means)
            force = (
                drift
                + synapses.pull * (synapses.target - places)
                + synapses.gap * (means[s, 0] - places)
            )
            slope = (force[2] - force[0]) / 2e-4
            if slope >= 0.0:
                return synapses.target
            v -= force[1] / slope
            if abs(force[1] / slope) < 1e-12:
                break
        return float(v)

    def moments(self, means: np.ndarray) -> np.ndarray:
        """Return the mean voltages and fields [P, 1 + n_fields] of the laws in these means."""
        nodes, density, _ = self(means)
        values = np.empty((self.field.count, 1 + self.field.network.n_fields))
        for s in range(self.field.count):
            _, sent = self.field.local(s, nodes[s], means)
            values[s, 0] = _integral(density[s] * nodes[s], nodes[s])
            values[s, 1:] = [_integral(density[s] * column, nodes[s]) for column in sent.T]
        return values


def _integral(values: np.ndarray, nodes: np.ndarray) -> Any:
    """Return the trapezoidal integral along the last dimension, on equidistant nodes."""
    inner = values.sum(axis=-1) - 0.5 * (values[..., 0] + values[..., -1])
    return inner * (nodes[..., 1] - nodes[..., 0])


def self_consistent(field: MeanField, options: Mapping[str, Any]) -> tuple[_Law, np.ndarray | None]:
    """Return the laws and the means [P, d + n_fields] they reproduce, None where there are none.

    Parameters
    ----------
    field : the network in the limit of many neurons
    options : of this solver

    Notes
    -----
    Starts at the balance point that the initial state falls onto in the layer.
    """
    law = _Law(field, options)
    start = layer_end(field.network, field.start)
    law.centre[:] = start[:, 0]
    unknown = np.column_stack([start[:, 0], field.network.fields(start)])

    def miss(values: np.ndarray) -> np.ndarray:
        values = values.reshape(unknown.shape)
        return (law.moments(field.means(values[:, 0], values[:, 1:])) - values).ravel()

    x = unknown.ravel().copy()
    size = np.inf
    for _ in range(_NEWTON):
        now = miss(x)
        slope = np.empty((x.size, x.size))
        for j in range(x.size):
            moved = x.copy()
            moved[j] += 1e-6
            slope[:, j] = (miss(moved) - now) / 1e-6
        try:
            change = np.linalg.solve(slope, now)
        except np.linalg.LinAlgError:
            return law, None
        x -= change
        last, size = size, float(np.abs(change).max())
        if not np.isfinite(size):
            return law, None
        if size < 1e-12 or (size < 1e-10 and size > 0.5 * last):
            values = x.reshape(unknown.shape)
            return law, field.means(values[:, 0], values[:, 1:])
    return law, None


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Return the stationary mean field.

    Returns
    -------
    arrays [1, ...] as in ``outputs``.  Status NOT_CONVERGED where Newton's method does not end,
    OUT_OF_DOMAIN where a law does not fit the nodes.
    """
    field = MeanField(model, params)
    sizes = {name: len(coord.values) for name, coord in coords(model, params, options).items()}
    arrays = {
        var.name: np.full((1, *(sizes[dim] for dim in var.dims)), np.nan)
        for var in outputs(model, options)
    }
    with np.errstate(all="ignore"):
        law, means = self_consistent(field, options)
        if means is None:
            return Solution(arrays, np.array([Status.NOT_CONVERGED], np.int8))
        nodes, density, logs = law(means)
    if np.exp(logs[:, [0, -1]].max()) > _EDGE:
        return Solution(arrays, np.array([Status.OUT_OF_DOMAIN], np.int8))
    arrays["state_mean"][0] = means[:, : field.d]
    arrays["covariance"][0] = 0.0
    synapses = field.synapses(means)
    window = np.linspace(-options["window"], options["window"], options["window_nodes"])
    for s in range(field.count):
        mean = means[s, 0]
        spread = _integral(density[s] * (nodes[s] - mean) ** 2, nodes[s])
        arrays["covariance"][0, s, 0, 0] = spread
        excitation, inhibition = split_currents(field.contributions(s, means[s, :1], means))
        arrays["excitation"][0, s], arrays["inhibition"][0, s] = excitation[0], inhibition[0]
        index = balance_index(field.contributions(s, nodes[s], means))
        arrays["neuron_index"][0, s] = _integral(density[s] * index, nodes[s])
        # The window is integrated on its own fine grid and tied to the density at the centre.
        voltage = law.centre[s] + window
        fine = np.sort(np.concatenate([voltage, nodes[s]]))
        potential = field.log_law(s, fine, means, synapses[s])
        middle = nodes.shape[1] // 2
        at_middle = potential[np.searchsorted(fine, nodes[s, middle])]
        arrays["window_voltage"][0, s] = voltage
        arrays["log_density"][0, s] = (
            potential[np.searchsorted(fine, voltage)] - at_middle + np.log(density[s, middle])
        )
    arrays["voltage_nodes"][0], arrays["density"][0] = nodes, density
    return Solution(arrays, np.array([Status.OK], np.int8))


SOLVER = Solver(
    summary="Stationary mean field of P populations in one dimension, self-consistent quadrature.",
    source="Quininao & Touboul 2025, abstract (method M1); docs/balance.md",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    needs=(derivatives("initial"), *BALANCING),
)
