"""The network of any model, moved by ``kernels.euler`` or ``kernels.exponential``."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurolim.core import Model, Sites, StudyError
from neurolim.core.model import MAX_NOISES
from neurolim.core.terms import value_of
from neurolim.kernels import euler, exponential
from neurolim.kernels.delays import make_delays
from neurolim.kernels.mean_mode import make_modes
from neurolim.kernels.model_code import exponential_code, step_code
from neurolim.kernels.network import Network, Noises, Walls
from neurolim.kernels.noise import ALONE, NONE
from neurolim.kernels.records import Records
from neurolim.numerics.columns import aligned
from neurolim.numerics.random import BLOCK
from neurolim.numerics.structure import structure_of
from neurolim.solvers.parts.needs import CORRECTION, no_correction

#: Numbers that a network with delays may remember.
_MOST_REMEMBERED = 1e8


class Engine:
    """A network on its way: its state, its buffers and the kernels of one scheme.

    Parameters
    ----------
    model, sites : the network
    scheme : euler_maruyama or exponential
    n : neurons per site
    h : step
    wide : normals of float64 resolution
    refinement : a step's noise is the sum of that of so many finer ones
    """

    def __init__(
        self,
        model: Model,
        sites: Sites,
        scheme: str,
        n: int,
        h: float,
        wide: bool = False,
        refinement: int = 1,
    ) -> None:
        d, P, nm = len(model.state), len(sites.labels), len(model.means)
        exact = scheme == "exponential"
        self.kernels: Any = exponential if exact else euler
        self.walls = walls_of(model, sites)
        noises = noises_of(model, sites, exact, wide)._replace(refinement=refinement)
        live = noises.streams >= 0
        self.noises = noises._replace(streams=noises.streams[live], common=noises.common[live])
        if exact:
            self.code = exponential_code(model, bool(np.any(sites.coupling)))
        else:
            self.code = step_code(model, tuple(bool(drawn) for drawn in live))
        self.modes = make_modes(self.code, np.array(sites.coupling)) if exact else None
        n_work = len(self.code.type.curved) + (d if self.walls.deviation.any() else 0)
        padded = -(-n // BLOCK) * BLOCK
        self.network = Network(
            aligned((d, P, padded)),
            aligned((n_work, P, padded)),
            np.array([[float(value) for value in p] for p in sites.params]).reshape(P, -1),
            np.array(sites.coupling, dtype=float, order="C"),
            np.empty((P, nm)),
            np.empty((P, nm)),
            n,
            float(h),
            np.uint64(0),
            0,
            make_delays(model.late, lags(model, sites, h)),
        )
        self.kernels.prepare(self.code, self.network, *self._more())

    def follow(
        self, key: int, replica: int, records: Records, stride: int, begin: int, end: int
    ) -> bool:
        """Do the steps begin .. end - 1 (0: starts the network) and record every ``stride`` steps.

        Parameters
        ----------
        key, replica : of the noise
        records : what is filled
        stride, begin, end : numbers of steps

        Returns
        -------
        whether what was recorded is finite
        """
        network = self.network._replace(key=np.uint64(key), replica=replica)
        more = (*self._more(), records, stride, begin, end)
        return bool(self.kernels.follow(self.code, network, *more))

    def _more(self) -> list[Any]:
        more = [self.noises, self.walls]
        return more if self.modes is None else [self.modes, *more]


def lags(model: Model, sites: Sites, h: float) -> np.ndarray:
    """Return by how many steps h the means come late, at every site [P, n_late].

    Raises
    ------
    StudyError : a delay that is no time
    """
    lag = np.empty((len(sites.labels), len(model.delays)))
    for q, delay in enumerate(model.delays):
        for s, p in enumerate(sites.params):
            lag[s, q] = model.delay_time(delay, p) / h
    # A whole number of steps, but for rounding, is one.
    whole = np.rint(lag)
    return np.where(np.abs(lag - whole) < 1e-9 * np.maximum(1.0, whole), whole, lag)


def remembered(lag: np.ndarray, each: int = 1) -> float:
    """Return how many numbers a network remembers whose means come late by so many steps.

    Parameters
    ----------
    lag : as `lags` returns it
    each : numbers per mean
    """
    return float((2.0 + lag.max(initial=0.0)) * lag.size * each)


def check_lags(
    model: Model, sites: Sites, h: float, least: float = 0.0, each: int = 1, instead: str = ""
) -> None:
    """Refuse delays that are too long, or that a step does not fit into.

    Parameters
    ----------
    model, sites, h : the network and its step
    least : steps that a delay has at least
    each : numbers that are remembered for each mean that comes late
    instead : what else to write where a step does not fit

    Raises
    ------
    StudyError
    """
    lag = lags(model, sites, h)
    numbers = remembered(lag, each)
    if model.delays and numbers > _MOST_REMEMBERED:
        longest = model.delays[int(lag.max(axis=0).argmax())]
        problem = f"{numbers:.3g} numbers to remember"
        allowed = f"at most {_MOST_REMEMBERED:g}: a shorter delay or a longer dt"
        raise StudyError(f"{model.name}.delay.{longest.name}", problem, allowed)
    for delay, row in zip(model.delays, lag.T, strict=True):
        if row.min() < least:
            problem = f"{h:g} is longer than the delay {row.min() * h:g} of {delay.name}"
            raise StudyError("dt", problem, f"dt <= the delay{instead}")


def check_traced(model: Model, scheme: str) -> None:
    """Refuse a model whose equations do not say what the scheme has to know.

    Raises
    ------
    StudyError : no slope of the drift for the exponential scheme, no correction for Stratonovich's
        noise, or one that the means of a common noise would have to enter
    """
    if scheme == "euler_maruyama" and not any(noise.stratonovich for noise in model.noises):
        return
    reasons = structure_of(model).untraceable
    needed = ("noise",) if scheme == "euler_maruyama" else ("drift", "coupling", "fields", "noise")
    for part in needed:
        if part in reasons:
            raise StudyError("model", f"{model.name}.{part} {reasons[part]}", "euler_maruyama, Ito")
    problem = no_correction(model)
    if problem:
        raise StudyError("model", f"{model.name}: {problem}", CORRECTION.allowed)


def exact_noise(model: Model, sites: Sites) -> tuple[bool, ...]:
    """Return which variables have noise at some site that an exponential step takes exactly [d]."""
    noisy = dict.fromkeys(model.symbols, False)
    for noise in model.noises:
        if noise.exact:
            for symbol, amplitude in noise.parts:
                noisy[symbol] |= any(value_of(amplitude, p) != 0.0 for p in sites.params)
    return tuple(noisy.values())


def _brings(noisy: tuple[bool, ...], wide: bool) -> np.ndarray:
    """Return, by variable, whose number its normal brings; see `noise.draw_variables`.

    The exponential step spreads noise to every variable.  A variable without noise of its own
    takes the four-point variable that comes with the normals of one that has.  Only variables after
    the noisy ones do: the triangular factor gives them what is left when those have theirs.
    """
    d, own = len(noisy), [k for k, has in enumerate(noisy) if has]
    if not own:
        return np.full(d, NONE, dtype=np.int64)
    after = [] if wide else range(max(own) + 1, d)
    fed = dict(zip(own, after, strict=False))
    return np.array(
        [NONE if k in fed.values() else fed.get(k, ALONE) for k in range(d)], dtype=np.int64
    )


def noises_of(model: Model, sites: Sites, exact: bool = False, wide: bool = False) -> Noises:
    """Return which random numbers the noises of a network take."""
    d, resolution = len(model.state), np.float64(0.0) if wide else np.float32(0.0)
    if not exact:
        common = np.array([noise.common for noise in model.noises], dtype=bool)
        return Noises(
            np.full(d, NONE, dtype=np.int64), streams_of(model, sites), common, 1, resolution
        )
    loose = [noise for noise in model.noises if not noise.exact]
    # Streams that neither the exact noise nor the bridges of walls take.
    free = np.array([*range(31, 23, -1), *range(15, 7, -1)], dtype=np.int64)
    common = np.array([noise.common for noise in loose], dtype=bool)
    brings = _brings(exact_noise(model, sites), wide)
    return Noises(brings, free[: len(loose)], common, 1, resolution)


def walls_of(model: Model, sites: Sites) -> Walls:
    """Return where the variables of a network are kept."""
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
    return Walls(floor, ceiling, period, np.where(bridged, deviation, 0.0))


def streams_of(model: Model, sites: Sites) -> np.ndarray:
    """Return the stream of every noise: that of its variable, while it is free; -1 for silence."""
    streams: list[int] = []
    for noise in model.noises:
        own = model.symbols.index(noise.parts[0][0])
        free = (stream for stream in reversed(range(MAX_NOISES)) if stream not in streams)
        streams.append(own if own not in streams else next(free))
    numbers = np.array(streams, dtype=np.int64)
    if model.plain_noise:
        silent = ~np.any([model.equations.noise(p) for p in sites.params], axis=0)
        variables = [model.symbols.index(noise.parts[0][0]) for noise in model.noises]
        numbers[silent[variables]] = -1
    return numbers
