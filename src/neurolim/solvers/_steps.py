"""The network of any model, moved by the kernels of ``kernels.euler`` and ``kernels.exponential``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, Sites
from neurolim.core.model import MAX_NOISES, value_of
from neurolim.kernels import euler, exponential
from neurolim.kernels.model_code import exponential_code, step_code


class Records(NamedTuple):
    """What is recorded of one network; times come first in every array.

    mean, covariance, central_moment, quantile, histogram : as ``numerics.summary`` fills them
    state : every neuron [time, site, variable, neuron], or no times for none
    """

    mean: Any
    covariance: Any
    central_moment: Any
    quantile: Any
    histogram: Any
    state: Any


class Steps(NamedTuple):
    """What moves the network of a model: one scheme, compiled and ready.

    kernels : the module of the scheme
    code : the model
    noises, walls : what the kernels read beside the parameters
    n_means : length of a row of means
    n_work : rows of the work buffer [row, site, neuron]; 0 for none
    """

    kernels: Any
    code: Any
    noises: Any
    walls: euler.Walls
    n_means: int
    n_work: int

    def start(self, X: Any, rows: Any, key: Any, replica: int, n: int, means: Any) -> None:
        """Draw the initial states and their means; see ``kernels.euler.start``."""
        euler.start(self.code, X, rows, key, replica, self.noises.wide, n, means)

    def advance(
        self, X: Any, work: Any, rows: Any, coupling: Any, means: Any, trace: Any, every: int,
        n: int, h: float, refinement: int, key: Any, replica: int, first: int, last: int,
    ) -> None:  # fmt: skip
        """Do the steps first .. last - 1; see ``advance`` of the scheme."""
        noises = self.noises._replace(refinement=refinement)
        self.kernels.advance(
            self.code, X, *self._room(work), rows, coupling, means, trace, every, n, h, key,
            replica, first, last, noises, self.walls,
        )  # fmt: skip

    def follow(
        self, X: Any, work: Any, rows: Any, coupling: Any, means: Any, trace: Any, every: int,
        n: int, h: float, refinement: int, key: Any, replica: int, *rest: Any,
    ) -> bool:  # fmt: skip
        """Do some steps and record them; see ``follow`` of the scheme."""
        noises = self.noises._replace(refinement=refinement)
        return self.kernels.follow(
            self.code, X, *self._room(work), rows, coupling, means, trace, every, n, h, key,
            replica, *rest, noises, self.walls,
        )  # fmt: skip

    def _room(self, work: Any) -> list[Any]:
        return [work] if self.kernels is exponential else []


def steps_of(model: Model, sites: Sites, scheme: str, wide: bool) -> Steps:
    """Return what moves the network of a model.

    Parameters
    ----------
    model, sites : the network
    scheme : euler_maruyama or exponential
    wide : normals of float64 resolution
    """
    if scheme == "euler_maruyama":
        return euler_steps(model, sites, wide)
    return exponential_steps(model, sites, wide)


def euler_steps(model: Model, sites: Sites, wide: bool) -> Steps:
    """Return what moves the network of a model by Euler-Maruyama steps."""
    common = np.array([noise.common for noise in model.noises], dtype=bool)
    noises = euler.Noises(_streams(model, sites), common, 1, _resolution(wide))
    return Steps(euler, step_code(model), noises, _walls(model, sites), len(model.means), 0)


def exponential_steps(model: Model, sites: Sites, wide: bool) -> Steps:
    """Return what moves the network of a model by exponential steps."""
    loose = [noise for noise in model.noises if not noise.exact]
    code, walls = exponential_code(model), _walls(model, sites)
    # Streams that neither the exact noise nor the bridges of walls take.
    free = np.array([*range(31, 23, -1), *range(15, 7, -1)])
    noises = exponential.ExactNoises(
        _brings(exact_noise(model, sites), wide),
        free[: len(loose)],
        np.array([noise.common for noise in loose], dtype=bool),
        1,
        _resolution(wide),
    )
    n_work = len(code.type.curved) + (len(model.state) if walls.deviation.any() else 0)
    return Steps(exponential, code, noises, walls, len(model.means), n_work)


def exact_noise(model: Model, sites: Sites) -> tuple[bool, ...]:
    """Return which variables have noise, at some site, that an exponential step takes exactly [d]."""
    found = dict.fromkeys(model.symbols, False)
    for noise in model.noises:
        if noise.exact:
            for symbol, amplitude in noise.parts:
                found[symbol] |= any(value_of(amplitude, p) != 0.0 for p in sites.params)
    return tuple(found.values())


def _brings(noisy: tuple[bool, ...], wide: bool) -> np.ndarray:
    """Return, by variable, whose number its normal brings; see `noise.draw_variables`.

    The exponential step spreads noise to every variable.  A variable without noise of its own
    takes the four-point variable that comes with the normals of one that has.  Only variables after
    the noisy ones do: the triangular factor gives them what is left when those have theirs.
    """
    d, own = len(noisy), [k for k, has in enumerate(noisy) if has]
    if not own:
        return np.full(d, -2)
    after = [] if wide else range(max(own) + 1, d)
    fed = dict(zip(own, after, strict=False))
    return np.array([-2 if k in fed.values() else fed.get(k, -1) for k in range(d)])


def _resolution(wide: bool) -> Any:
    return np.float64(0.0) if wide else np.float32(0.0)


def _walls(model: Model, sites: Sites) -> euler.Walls:
    d = len(model.state)
    none = np.zeros((len(sites.labels), d))
    deviation = (
        np.array([model.equations.noise(p) for p in sites.params]) if model.plain_noise else none
    )
    floor = np.array([-np.inf if var.floor is None else var.floor for var in model.state])
    ceiling = np.array([np.inf if var.ceiling is None else var.ceiling for var in model.state])
    period = np.array([var.period or 0.0 for var in model.state])
    # The bridge knows one wall and noise of constant size; elsewhere a step is folded back.
    bridged = (floor > -np.inf) & (ceiling == np.inf)
    return euler.Walls(floor, ceiling, period, np.where(bridged, deviation, 0.0))


def _streams(model: Model, sites: Sites) -> np.ndarray:
    """Return the stream of every noise: that of its variable, while it is free; -1 for silence."""
    streams: list[int] = []
    for noise in model.noises:
        own = model.symbols.index(noise.parts[0][0])
        free = (stream for stream in reversed(range(MAX_NOISES)) if stream not in streams)
        streams.append(own if own not in streams else next(free))
    found = np.array(streams, dtype=np.int64)
    if model.plain_noise:
        silent = ~np.any([model.equations.noise(p) for p in sites.params], axis=0)
        variables = [model.symbols.index(noise.parts[0][0]) for noise in model.noises]
        found[silent[variables]] = -1
    return found
