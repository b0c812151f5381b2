"""Where the neurons of each site start, on average.

Write your own level of description here.  Then

    neurolim check {name}.py        what is wrong, or what it gives for a model

and in a study beside this file:  solver: {name}.py
"""

import numpy as np

from neurolim import Coord, Cost, Solution, Solver, Status, Var


# Names, units and dimensions of what `solve` returns.
def outputs(model, options):
    """Return the mean initial state."""
    return (Var("start", "state", "mean initial state", ("site", "variable")),)


# The values along these dimensions, known before anything is solved.
def coords(model, params, options):
    """Return site and variable."""
    variables = tuple(var.name for var in model.state)
    return {
        "site": Coord(model.sites(params).labels, "1", "site"),
        "variable": Coord(variables, "1", "state variable"),
    }


# Seconds and bytes of one run, as measured: chunks and time limits rest on it.
def cost(model, params, options):
    """Return next to nothing."""
    return Cost(seconds=1e-5, memory=1e3)


# Refuse with a StudyError what `solve` cannot do, before anything runs.
def check(model, params, options):
    """Accept every combination."""


# Arrays [replica, ...] and a status for each replica; a point that fails is NaN with a status,
# never an exception.  Noise comes from `key` and the replica's number, as in
# neurolim.numerics.random, not from a generator with a state.
def solve(model, params, options, key, replicas):
    """Return the initial state at zero noise."""
    origin = (0.0,) * len(model.state)
    start = np.array([model.equations.initial(origin, p) for p in model.sites(params).params])
    status = Status.OK if np.isfinite(start).all() else Status.DIVERGED
    return Solution({"start": start[None]}, np.array([status], np.int8))


SOLVER = Solver(
    summary="Mean initial state, by evaluating the model at zero noise.",
    source="exact where the initial law is symmetric",
    options=(),
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
)
