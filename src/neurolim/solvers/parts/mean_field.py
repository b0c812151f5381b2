r"""One-dimensional mean fields of P populations: forces, synaptic currents, and laws on a grid.

In the limit n -> infinity a neuron of population p moves in the force

    B_p(v) = drift_p(v) + pull_p (target_p - v) + gap_p (<v>_p - v),

pull and target being functions of the means of all populations.  Other state variables have to be
at rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, StudyError
from neurolim.numerics.derivation import entering
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.balance import Network
from neurolim.solvers.parts.needs import noise_key

_GAUSS, _WEIGHTS = np.polynomial.legendre.leggauss(3)
#: A sharp start gets this share of the width it relaxes to.
_SHARP = 1e-2


class Synapses(NamedTuple):
    """Strong part of the force on one population: pull (1/time), target (voltage), gap (1/time)."""

    pull: float
    target: float
    gap: float


def check_one_dimension(model: Model, params: Mapping[str, Any]) -> None:
    """Refuse networks whose variables but the first move, or whose first has no noise.

    Raises
    ------
    StudyError
    """
    d, pulled = len(model.state), structure_of(model).pulled
    sites, (first, *others) = model.sites(params), model.symbols
    starts = [model.equations.initial((0.0,) * d, p) for p in sites.params]
    sent = [(*x, *model.equations.field(x, p)) for x, p in zip(starts, sites.params, strict=True)]
    inputs = sites.coupling @ np.array(sent, dtype=float)
    for label, p, x, m, c in zip(sites.labels, sites.params, starts, sent, inputs, strict=True):
        at, noise = (x, m, tuple(c), p), model.equations.noise(p)
        where = f" on site {label}" if len(sites.labels) > 1 else ""
        for k, symbol in enumerate(others, start=1):
            moved = model.equations.drift(*at)[k] != 0.0
            if moved or noise[k] or pulled[k] or _follows(model, k, at):
                raise StudyError(
                    "model",
                    f"{symbol} moves{where}: the law of {first} alone does not close",
                    f"variables beside {first} that start at rest, whatever {first} does",
                )
        if noise[0] == 0.0:
            problem = f"no noise in {first}{where}"
            raise StudyError(noise_key(model, first), problem, "a number > 0")


def _follows(model: Model, k: int, at: Any) -> bool:
    """Return whether the drift of variable k changes with voltages or with what they send.

    Where they enter affinely, slopes at one point tell; where not, algebra does.
    """
    d, n_means, structure = len(model.state), len(model.means), structure_of(model)
    moving = (model.symbols[0], *(sent.name for sent in model.fields))
    names = {f"x.{moving[0]}"} | {f"{kind}.{name}" for kind in "mc" for name in moving}
    if not names & set(structure.depends[k]):
        return False
    slopes = derivatives_of(model)
    places = [k * n_means + model.means.index(name) for name in moving]
    felt = [part(*at)[i] for part in (slopes.drift_m, slopes.drift_c) for i in places]
    if slopes.drift_x(*at)[k * d] != 0.0 or any(felt):
        return True
    return bool(names & set(structure.bends[k])) and bool(names & set(entering(model, at[3], k)))


class MeanField:
    """Forces on neurons in given mean fields, of one network.

    Parameters
    ----------
    model, params : the network
    """

    def __init__(self, model: Model, params: Mapping[str, Any]) -> None:
        self.model = model
        self.sites = model.sites(params)
        self.network = Network(model, self.sites)
        self.count, self.d = self.network.count, self.network.d
        origin = tuple(0.0 for _ in model.state)
        self.start = np.array([model.equations.initial(origin, p) for p in self.sites.params])
        zero, slope = (0.0,) * len(model.means), derivatives_of(model).initial_z
        #: Standard deviation of the initial voltages [P]
        self.start_width = np.abs([slope(origin, zero, zero, p)[0] for p in self.sites.params])
        self.noise = self.network.noise

    def means(self, voltage: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Return the mean fields [P, d + n_fields] from mean voltages [P] and fields [P, ..]."""
        values = np.empty((self.count, self.d + self.network.n_fields))
        values[:, : self.d] = self.start
        values[:, 0] = voltage
        values[:, self.d :] = fields
        return values

    def synapses(self, means: np.ndarray) -> list[Synapses]:
        """Return the strong part of the force on every population."""
        inputs = self.network.coupling @ means
        synapses = []
        for s, p in enumerate(self.sites.params):
            pull, target, gap = self.model.equations.relax(tuple(means[s]), tuple(inputs[s]), p)
            synapses.append(Synapses(pull[0], target[0], gap[0]))
        return synapses

    def log_start_square(self) -> np.ndarray:
        """Return log theta^2 of the initial laws [P].

        A sharp one is given 1 % of the width it relaxes to (at rate 1, where nothing pulls).
        """
        synapses = self.synapses(self.means(self.start[:, 0], self.network.fields(self.start)))
        rates = np.array([part.pull + part.gap for part in synapses])
        sharp = _SHARP * self.noise / np.sqrt(2.0 * np.where(rates > 0.0, rates, 1.0))
        return 2.0 * np.log(np.maximum(self.start_width, sharp))

    def local(self, s: int, v: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return local drift [N] and fields [N, n_fields] of neurons of population s at v [N]."""
        inputs = self.network.coupling[s] @ means
        return self.network.along(s, v, self.start[s, 1:], means[s], inputs)

    def log_law(self, s: int, v: np.ndarray, means: np.ndarray, synapses: Synapses) -> np.ndarray:
        """Return (2/sigma^2) int B dv at increasing voltages v [N], zero at the first.

        Gauss's rule with 3 points per cell: exact for drifts up to the fifth degree.
        """
        half = 0.5 * np.diff(v)
        places = v[:-1, None] + half[:, None] * (1.0 + _GAUSS)
        drift, _ = self.local(s, places.ravel(), means)
        force = (
            drift.reshape(places.shape)
            + synapses.pull * (synapses.target - places)
            + synapses.gap * (means[s, 0] - places)
        )
        steps = (2.0 / self.noise[s] ** 2) * half * (force @ _WEIGHTS)
        return np.concatenate([[0.0], np.cumsum(steps)])

    def contributions(self, s: int, v: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Return the synaptic current [P, N] from every population to neurons of s at v [N]."""
        pulls = np.empty((self.count, v.size))
        p = self.sites.params[s]
        for r in range(self.count):
            inputs = tuple(self.network.coupling[s, r] * means[r])
            pull, target, _ = self.model.equations.relax(tuple(means[s]), inputs, p)
            pulls[r] = pull[0] * (target[0] - v)
        return pulls


def split_currents(contributions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positive and the negative part of currents [P, ...] summed over their origin."""
    return np.maximum(contributions, 0.0).sum(axis=0), np.minimum(contributions, 0.0).sum(axis=0)


def balance_index(contributions: np.ndarray) -> np.ndarray:
    """Return |E + I| / (|E| + |I|) of currents [P, ...], 0 where nothing flows."""
    excitation, inhibition = split_currents(contributions)
    total = excitation - inhibition
    return np.abs(excitation + inhibition) / np.where(total > 0.0, total, 1.0)
