"""Two copies of a network as `kernels.pairs` moves them: their arrays, walls, and shared noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Model, Noise, Sites, StudyError
from neurolim.core.terms import arguments_of, value_of
from neurolim.kernels.delays import make_delays
from neurolim.kernels.network import Walls
from neurolim.kernels.ties import (
    INDEPENDENT,
    MAXIMAL,
    MIRROR,
    STREAM_SECOND,
    SYNCHRONOUS,
    Pairs,
    Ties,
)
from neurolim.numerics.columns import aligned
from neurolim.numerics.random import BLOCK
from neurolim.numerics.structure import structure_of
from neurolim.solvers.parts.laws import amplitudes
from neurolim.solvers.parts.steps import lags, streams_of, walls_of

#: In the order of SYNCHRONOUS, MIRROR, INDEPENDENT, MAXIMAL.
COUPLINGS = ("synchronous", "mirror", "independent", "maximal")
REFLECTIONS = ("bridge", "symmetrised", "projected")


def check_noise(model: Model, first: Sites, second: Sites, coupling: str) -> None:
    """Refuse a coupling that the noise of the copies does not allow.

    Raises
    ------
    StudyError : no noise to couple; amplitudes that differ, or, for ``maximal``, that are not
        constant
    """
    if coupling == "synchronous":
        return
    own = [_sizes(noise, first) for noise in model.noises if not noise.common]
    if not any(sizes is None or np.any(sizes) for sizes in own):
        whose = " of every neuron's own" if model.noises else ""
        raise StudyError("coupling", f"{coupling} needs noise{whose}", "synchronous, or noise > 0")
    if coupling == "independent":
        return
    for noise in model.noises:
        on = " and ".join(symbol for symbol, _ in noise.parts)
        sizes = _sizes(noise, first)
        if sizes is not None and sizes != _sizes(noise, second):
            problem = f"{coupling} copies need equal noise: that on {on} differs"
            raise StudyError("other", problem, "other names")
        if sizes is None and coupling == "maximal":
            entering = ", ".join(sorted(_entering(noise) - {"p"}))
            problem = f"maximal needs constant amplitudes: that of the noise on {on} depends on"
            raise StudyError(
                "coupling", f"{problem} {entering}", "synchronous, mirror or independent"
            )


def _entering(noise: Noise) -> set[str]:
    """Return the names of the arguments that enter the amplitudes of a noise."""
    return {name for _, amplitude in noise.parts for name in arguments_of(amplitude)}


def _sizes(noise: Noise, sites: Sites) -> list[list[float]] | None:
    """Return constant amplitudes [site][part], or None for amplitudes that are not constant."""
    if _entering(noise) - {"p"}:
        return None
    return [[value_of(amplitude, p) for _, amplitude in noise.parts] for p in sites.params]


def ties_of(model: Model, first: Sites, second: Sites, options: Mapping[str, Any]) -> Ties:
    """Return how the copies share noise.  Common noise is the same in both, whatever the coupling.

    Parameters
    ----------
    model, first, second : the model and the sites of both copies
    options : ``coupling``, ``switch_scale`` and ``brownian_refinement``
    """
    kind, count = COUPLINGS.index(options["coupling"]), len(model.noises)
    streams = streams_of(model, first._replace(params=(*first.params, *second.params)))
    common = np.array([noise.common for noise in model.noises], dtype=bool)
    tied = ~common & (streams >= 0)
    moves = np.array(
        [[k in dict(noise.parts) for k in model.symbols] for noise in model.noises], dtype=bool
    ).reshape(count, len(model.state))
    # Synchronous and maximal noise is made of B alone.
    both = tied & (kind in (MIRROR, INDEPENDENT))
    groups = _groups(moves & tied[:, None])
    return Ties(
        np.where(tied, kind, SYNCHRONOUS),
        streams,
        np.where(both, streams + STREAM_SECOND, -1),
        common,
        options["brownian_refinement"],
        moves,
        options["switch_scale"],
        groups,
        _toward(model, first, groups, kind == MAXIMAL),
    )


def _groups(moves: np.ndarray) -> np.ndarray:
    """Return the first of the noises linked by variables that both move, -1 for none [n_noises]."""
    linked = (moves.astype(int) @ moves.T.astype(int) > 0).astype(int)
    for _ in range(len(moves)):
        linked = (linked @ linked > 0).astype(int)
    groups: np.ndarray = np.where(moves.any(axis=1), linked.argmax(axis=1) if len(moves) else 0, -1)
    return groups


def _toward(model: Model, sites: Sites, groups: np.ndarray, wanted: bool) -> np.ndarray:
    """Return `Ties.toward`: pseudo-inverses of the amplitudes, group by group."""
    d, means = len(model.state), (0.0,) * len(model.means)
    inverses = np.zeros((len(sites.params), len(groups), d))
    for s, p in enumerate(sites.params if wanted else ()):
        sizes = amplitudes(model)(0.0, (0.0,) * d, means, means, p)
        for lead in set(groups.tolist()) - {-1}:
            noises = np.flatnonzero(groups == lead)
            moved = np.flatnonzero(sizes[:, noises].any(axis=1))
            inverses[s][np.ix_(noises, moved)] = np.linalg.pinv(sizes[np.ix_(moved, noises)])
    return inverses


def walls_of_both(
    model: Model, first: Sites, second: Sites, options: Mapping[str, Any]
) -> tuple[Walls, Walls]:
    """Return where the variables of each copy are kept, by the bridge only if it is asked for."""
    walls = (walls_of(model, first), walls_of(model, second))
    if options["reflection"] == "bridge":
        return walls
    own, other = (part._replace(deviation=np.zeros_like(part.deviation)) for part in walls)
    return own, other


def is_alone(model: Model, sites: Sites, options: Mapping[str, Any]) -> bool:
    """Return whether every neuron feels only itself, as it is."""
    single = options["n_neurons"] == 1 and len(sites.labels) == 1
    return single and not options["limit_copy"] and not model.delays


def pairs_of(
    model: Model,
    first: Sites,
    second: Sites,
    options: Mapping[str, Any],
    key: int,
    coupled: bool,
    streams: np.ndarray,
) -> Pairs:
    """Return pairs that have not started.

    Parameters
    ----------
    model, first, second, options : what to simulate
    key : of the noise
    coupled : whether linear couplings act
    streams : of the noises, negative for silence
    """
    d, P, nm = len(model.state), len(first.labels), len(model.means)
    n, n_pairs = options["n_neurons"], options["n_pairs"]
    padded = -(-n * n_pairs // BLOCK) * BLOCK
    shape = structure_of(model)
    enter = any(_entering(noise) & {"m", "c"} for noise in model.noises)
    corrected = enter and any(noise.stratonovich for noise in model.noises)
    felt = [corrected or any(name[:2] in ("m.", "c.") for name in names) for names in shape.depends]
    unknown = "coupling" in shape.untraceable
    heard = zip(model.noises, streams, strict=True)
    noisy = {symbol for noise, stream in heard if stream >= 0 for symbol, _ in noise.parts}
    moved = [
        symbol in noisy or (coupled and (relaxing or unknown))
        for symbol, relaxing in zip(model.symbols, shape.relaxing, strict=True)
    ]
    late = (
        make_delays(model.late, lags(model, first, options["dt"]), each=(n_pairs,)),
        make_delays(model.late, lags(model, second, options["dt"]), each=(n_pairs,)),
    )
    return Pairs(
        aligned((2, d, P, padded)),
        np.zeros((2, len(model.noises), padded)),
        aligned((2, d, padded)),
        np.array([[[float(v) for v in p] for p in sites.params] for sites in (first, second)]),
        np.array([sites.coupling for sites in (first, second)], dtype=float),
        np.zeros((2, P, nm, n_pairs)),
        np.zeros((2, P, nm, n_pairs)),
        np.zeros((2, 4, d, n_pairs if coupled else 0)),
        n,
        n_pairs,
        float(options["dt"]),
        np.uint64(key),
        0,
        coupled,
        options["mean_over"] == "others",
        options["limit_copy"],
        options["reflection"] == "projected",
        np.array([*felt, enter]) & (not is_alone(model, first, options)),
        np.array(moved),
        late,
    )
