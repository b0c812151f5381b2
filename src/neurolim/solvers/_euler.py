"""The network of any model, by the Euler-Maruyama kernels of ``kernels.euler``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, Sites
from neurolim.core.model import MAX_NOISES
from neurolim.kernels import euler
from neurolim.kernels.model_code import step_code


class Steps(NamedTuple):
    """What moves a network: as ``_schemes.Kernels``, for one network.

    code : the model
    noises, walls : what the kernels read beside the parameters
    n_means, n_work : length of a row of means, rows of the work buffer
    """

    code: Any
    noises: euler.Noises
    walls: euler.Walls
    n_means: int
    n_work: int = 0

    def start(self, X: Any, rows: Any, key: Any, replica: int, n: int, means: Any) -> None:
        """Draw the initial states and their means; see ``kernels.euler.start``."""
        euler.start(self.code, X, rows, key, replica, self.noises.wide, n, means)

    def advance(
        self, X: Any, work: Any, rows: Any, coupling: Any, means: Any, trace: Any, every: int,
        n: int, h: float, refinement: int, key: Any, replica: int, first: int, last: int,
    ) -> None:  # fmt: skip
        """Do the steps first .. last - 1; see ``kernels.euler.advance``."""
        noises = self.noises._replace(refinement=refinement)
        euler.advance(
            self.code, X, rows, coupling, means, trace, every, n, h, key, replica, first, last,
            noises, self.walls,
        )  # fmt: skip

    def follow(
        self, X: Any, work: Any, rows: Any, coupling: Any, means: Any, trace: Any, every: int,
        n: int, h: float, refinement: int, key: Any, replica: int, *rest: Any,
    ) -> bool:  # fmt: skip
        """Do some steps and record them; see ``kernels.euler.follow``."""
        noises = self.noises._replace(refinement=refinement)
        return euler.follow(
            self.code, X, rows, coupling, means, trace, every, n, h, key, replica, *rest,
            noises, self.walls,
        )  # fmt: skip


def euler_steps(model: Model, sites: Sites, wide: bool) -> Steps:
    """Return what moves the network of a model.

    Parameters
    ----------
    model, sites : the network
    wide : normals of float64 resolution
    """
    d = len(model.state)
    none = np.zeros((len(sites.labels), d))
    deviation = (
        np.array([model.equations.noise(p) for p in sites.params]) if model.plain_noise else none
    )
    floor = np.array([-np.inf if var.floor is None else var.floor for var in model.state])
    ceiling = np.array([np.inf if var.ceiling is None else var.ceiling for var in model.state])
    # The bridge knows one wall and noise of constant size; elsewhere a step is folded back.
    bridged = (floor > -np.inf) & (ceiling == np.inf)
    return Steps(
        step_code(model),
        euler.Noises(
            _streams(model, sites),
            np.array([noise.common for noise in model.noises], dtype=bool),
            1,
            np.float64(0.0) if wide else np.float32(0.0),
        ),
        euler.Walls(
            floor,
            ceiling,
            np.array([var.period or 0.0 for var in model.state]),
            np.where(bridged, deviation, 0.0),
        ),
        len(model.means),
    )


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
