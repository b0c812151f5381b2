r"""Where the mean of an infinite network rests, and the rates at which it comes back or leaves.

At rest neurons, means and what comes late are all at x*, F(x*) = 0.  A small deviation y of the
mean obeys, whatever comes late by tau_k,

    y'(t) = A y(t) + sum_k A_k y(t - tau_k),    det( lambda - A - sum_k A_k e^(-lambda tau_k) ) = 0,

and moves as e^(lambda t) with the rightmost root lambda = growth + i frequency: the mean leaves
where growth > 0.  Noise is left out: it moves x* and lambda by terms of the order of the
variance of the neurons.

Source: Hale & Verduyn Lunel 1993, ch. 7; Breda, Maset & Vermiglio 2005; docs/phase-diagrams.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import root

from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.core.model import CORRELATED, DELAY, LAW, MULTIPLICATIVE
from neurolim.numerics.characteristic import rightmost_roots
from neurolim.solvers.parts.laws import start_moments
from neurolim.solvers.parts.linear_flow import LinearFlow
from neurolim.solvers.parts.needs import NO_WALLS, derivatives, one_site

OPTIONS = (
    Param("roots", 4, doc="roots of the characteristic equation", kind="integer", low=1, high=32),
)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the state of rest, growth and frequency."""
    missing = "; none where the equation has fewer roots"
    return (
        Var("equilibrium", "state", "state of rest nearest to the start", ("site", "variable")),
        Var(
            "growth", "1/time", f"real part of a root, largest first{missing}", ("root",), gaps=True
        ),
        Var("frequency", "1/time", f"its imaginary part >= 0{missing}", ("root",), gaps=True),
    )


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return site, variable, and numbers of roots."""
    return {
        "site": Coord(model.sites(params).labels, "1", "site"),
        "variable": Coord(tuple(var.name for var in model.state), "1", "state variable"),
        "root": Coord(tuple(float(k) for k in range(options["roots"])), "1", "number of the root"),
    }


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return some hundredths of a second: eigenvalues of a matrix of some hundred rows."""
    return Cost(0.05, 1e7)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse more than one site, and delays that are no times.

    Raises
    ------
    StudyError
    """
    sites = model.sites(params)
    one_site(sites)
    for delay in model.delays:
        model.delay_time(delay, sites.params[0])


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Find the state of rest nearby and the roots there.

    Returns
    -------
    equilibrium [1, 1, variable], growth and frequency [1, root].  Status NOT_CONVERGED, with NaN
    throughout, where Newton's method comes to no state of rest, or to no root.
    """
    flow, count = LinearFlow(model, params), options["roots"]
    state = np.full(flow.d, np.nan)
    roots = np.full(count, complex(np.nan, np.nan))
    # What model functions raise where numbers are no longer finite; LinAlgError is a ValueError.
    with np.errstate(all="ignore"), contextlib.suppress(ArithmeticError, ValueError):
        state = _rest(flow)
        roots = rightmost_roots(*_delayed(flow, state), count)
    status = Status.OK
    if not np.isfinite(roots[0]):
        status = Status.NOT_CONVERGED
        state, roots = np.full(flow.d, np.nan), np.full(count, complex(np.nan, np.nan))
    arrays = {
        "equilibrium": state[None, None],
        "growth": roots.real[None],
        "frequency": np.abs(roots.imag)[None],
    }
    return Solution(arrays, np.array([status], np.int8))


def _rest(flow: LinearFlow) -> np.ndarray:
    """Return the state of rest that Newton's method with a trust region finds from the start."""

    def motion(x: np.ndarray) -> np.ndarray:
        return flow.at(0.0, tuple(x.tolist())).motion

    def slope(x: np.ndarray) -> np.ndarray:
        return np.sum(_delayed(flow, x)[0], axis=0)

    solution = root(motion, start_moments(flow.model, flow.p)[0], jac=slope, tol=1e-13)
    state: np.ndarray = solution.x
    size = np.abs(slope(state)) @ (1.0 + np.abs(state))
    if not (np.abs(motion(state)) <= 1e-9 * size).all():
        raise ArithmeticError("no state of rest")
    return state


def _delayed(flow: LinearFlow, x: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """Return the matrices A and A_k of the mean about x, and their delays."""
    slopes, model = flow.at(0.0, tuple(x.tolist())), flow.model
    now = len(slopes.carried)
    matrices, delays = [slopes.own + slopes.felt[:, :now] @ slopes.carried], [0.0]
    for k, (of, delay) in enumerate(zip(model.late, model.delays, strict=True)):
        matrices.append(np.outer(slopes.felt[:, now + k], slopes.carried[of]))
        delays.append(model.delay_time(delay, flow.p))
    return matrices, delays


SOLVER = Solver(
    summary="State of rest of the mean and rightmost characteristic roots, delays included.",
    source="Breda, Maset & Vermiglio 2005; docs/phase-diagrams.md",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    takes=frozenset({MULTIPLICATIVE, CORRELATED, LAW, DELAY}),
    needs=(derivatives(), NO_WALLS),
)
