r"""Whether the law of a site concentrates at a point as its strong couplings grow.

A variable with gap junctions or synapses is held: its law has a width of the order of the root of
their inverse rate.  Any other keeps a width where it has noise, starts with a spread, or follows
one that has a width.  The means of a site then close in the limit if drifts and fields are affine
in what has a width, jointly: the mean of what is affine is known, that of anything else is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from neurolim.core import Model, Sites, StudyError
from neurolim.core.terms import arguments_of
from neurolim.numerics.structure import structure_of
from neurolim.solvers.parts.laws import amplitudes, start_moments


class Widths(NamedTuple):
    """What holds the variables of every site together, and what does not.

    held : by gap junctions or synapses [site, d]
    wide : keeps a width in the limit [site, d]
    reasons : why, of the first site where it does, by variable
    """

    held: np.ndarray
    wide: np.ndarray
    reasons: dict[str, str]


def widths(model: Model, sites: Sites) -> Widths:
    """Return which variables of which sites keep a width in the limit."""
    d, structure = len(model.state), structure_of(model)
    starts = [start_moments(model, p) for p in sites.params]
    states = [tuple(mean.tolist()) for mean, _ in starts]
    means = [(*x, *model.equations.field(x, p)) for x, p in zip(states, sites.params, strict=True)]
    inputs = sites.coupling @ np.array(means, dtype=float)
    # Rates that move may be zero at the start and open later.
    late = np.array(structure.relaxing) & structure.rates_move
    moving = [
        symbol
        for noise in model.noises
        for symbol, amplitude in noise.parts
        if set(arguments_of(amplitude)) - {"p"}
    ]
    held, wide = np.zeros((2, len(sites.params), d), bool)
    reasons: dict[str, str] = {}
    for s, (p, x, m, c) in enumerate(zip(sites.params, states, means, inputs, strict=True)):
        pull, _, gap = model.equations.relax(m, tuple(c.tolist()), p)
        held[s] = (np.array(pull) + np.array(gap) > 0.0) | late
        noisy = np.abs(amplitudes(model)(0.0, x, m, tuple(c.tolist()), p)).sum(axis=1) > 0.0
        for k, symbol in enumerate(model.symbols):
            if not held[s, k] and (noisy[k] or symbol in moving):
                reasons.setdefault(symbol, "has noise")
                wide[s, k] = True
            elif not held[s, k] and starts[s][1][k, k] > 0.0:
                alone = not structure.depends[k] and model.equations.drift(x, m, c, p)[k] == 0.0
                reason = "differs from neuron to neuron" if alone else "starts with a spread"
                reasons.setdefault(symbol, reason)
                wide[s, k] = True
        _follow(model, held[s], wide[s], reasons)
    return Widths(held, wide, reasons)


def _follow(model: Model, held: np.ndarray, wide: np.ndarray, reasons: dict[str, str]) -> None:
    """Mark as wide what follows something wide and is not held."""
    depends, symbols = structure_of(model).depends, model.symbols
    for _ in symbols:
        for k in np.flatnonzero(~held & ~wide):
            led = [symbols[j] for j in np.flatnonzero(wide) if f"x.{symbols[j]}" in depends[k]]
            if led:
                reasons.setdefault(symbols[k], f"follows {led[0]}")
                wide[k] = True


def check_concentrates(model: Model, spread: Widths) -> None:
    """Refuse a network whose law does not concentrate, and say why it does not.

    Parameters
    ----------
    model : the model
    spread : its ``widths``

    Raises
    ------
    StudyError : nothing is strong; something keeps a width and enters nonlinearly, or is reflected
    """
    if not spread.held.any() and spread.wide.any():
        rates = "their rates are 0" if any(structure_of(model).relaxing) else "no couplings"
        raise _spread(f"nothing is strong ({rates})", "GapJunctions or Synapses of a rate > 0")
    for symbol in _bending(model, spread):
        reason = spread.reasons[symbol]
        allowed = "no noise and no spread in it, drifts affine in it, or a coupling that holds it"
        if reason.startswith("differs"):
            allowed = "equal parameters: a spread of 0, or drifts affine in it"
        problem = f"{symbol} {reason}, nothing strong holds it, and it enters nonlinearly"
        raise _spread(problem, allowed)
    for k, var in enumerate(model.state):
        if spread.wide[:, k].any() and not (var.floor is None and var.ceiling is None):
            problem = f"{var.symbol} {spread.reasons[var.symbol]} and is reflected at a wall"
            raise _spread(problem, "walls of variables that keep no width")


def _bending(model: Model, spread: Widths) -> Iterator[str]:
    """Yield the variables that keep a width and enter otherwise than affinely, with one such."""
    names = [f"x.{symbol}" for symbol in model.symbols]
    for pair in structure_of(model).mixes:
        i, j = (names.index(name) for name in pair)
        if (spread.wide[:, i] & spread.wide[:, j]).any():
            yield model.symbols[i]


def _spread(problem: str, allowed: str) -> StudyError:
    return StudyError("model", f"the law does not concentrate: {problem}", allowed)


def carried_pairs(model: Model, spread: Widths) -> tuple[tuple[int, int], ...]:
    """Return the pairs of variables whose covariance enters the leading orders.

    Parameters
    ----------
    model : the model
    spread : its ``widths``

    Returns
    -------
    (i, j), i < j: both wide and feeding each other or on one noise; one held, one wide, or both
    held, whose product enters
    """
    structure, symbols = structure_of(model), model.symbols
    products = {tuple(symbols.index(name[2:]) for name in pair) for pair in structure.products}
    wide, held = (np.atleast_1d(part.any(axis=0)) for part in (spread.wide, spread.held))
    independent = model.initial is None or structure.normal
    joint = any(len(noise.parts) > 1 for noise in model.noises) or not independent
    among = [k for k in range(len(symbols)) if wide[k]]
    feeding = joint or any(
        f"x.{symbols[j]}" in structure.depends[k] for k in among for j in among if j != k
    )
    pairs = []
    for i in range(len(symbols)):
        for j in range(i + 1, len(symbols)):
            both_wide = wide[i] and wide[j] and feeding
            product = (i, j) in products and ((held[i] and wide[j]) or (wide[i] and held[j]))
            if both_wide or product or ((i, j) in products and held[i] and held[j] and joint):
                pairs.append((i, j))
    return tuple(pairs)
