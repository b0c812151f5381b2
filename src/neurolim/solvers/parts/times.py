"""Time options shared by every time-dependent solver, and the record times they define."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Coord, Model, Param, Sites, StudyError
from neurolim.numerics.structure import derivatives_of, structure_of

TIME_OPTIONS = (
    Param("t_end", 10.0, "time", "end of the run", positive=True),
    Param("records", 50, doc="recording intervals", kind="integer", low=1, high=1_000_000),
)

#: For solvers that can resolve an initial layer: records may start early and grow.
LAYER_OPTIONS = (
    *TIME_OPTIONS,
    Param(
        "first_record",
        0.0,
        "time",
        "first record after 0; later ones grow geometrically (0: equal intervals)",
        low=0.0,
    ),
)


def record_times(options: Mapping[str, Any]) -> list[float]:
    """Return the record times [records + 1], 0 and t_end among them.

    They are t_end k / records, or, with a positive option ``first_record`` f, zero and then f
    growing geometrically to t_end.

    Raises
    ------
    StudyError : first_record is not before t_end, or leaves no room to grow
    """
    t_end, records = options["t_end"], options["records"]
    first = options.get("first_record", 0.0)
    if first > 0.0:
        if first >= t_end or records < 2:
            raise StudyError("first_record", f"{first:g} with {records} records", "below t_end")
        growth = (t_end / first) ** (1.0 / (records - 1))
        return [0.0, *(first * growth**k for k in range(records - 1)), t_end]
    return [t_end * k / records for k in range(records + 1)]


def steps_per_record(options: Mapping[str, Any], most: int = 2**32) -> int:
    """Return the steps of length ``dt`` between two records at equal intervals.

    Parameters
    ----------
    options : of the solver
    most : steps that its counter can name in all, a power of 2

    Raises
    ------
    StudyError : not a whole number, or too many steps
    """
    interval = options["t_end"] / options["records"]
    if options["t_end"] / options["dt"] >= most:
        problem = f"more than 2^{most.bit_length() - 1} steps"
        raise StudyError("dt", problem, "a longer step or a shorter run")
    steps = round(interval / options["dt"])
    if steps < 1 or abs(steps * options["dt"] / interval - 1.0) > 1e-9:
        raise StudyError(
            "dt",
            f"{options['dt']:g} does not divide the recording interval {interval:g}",
            "t_end/records divided by an integer",
        )
    return int(steps)


def largest_rate(
    model: Model,
    params: Mapping[str, Any],
    slopes: bool = False,
    gain: float = 1.0,
    inward: float = 1.0,
) -> float:
    """Return the largest pull + gap (1/time) of the network at the centre of its initial law.

    Parameters
    ----------
    model, params : the network
    slopes : the drift's own decay counts, too: pull + gap - d drift_k/d x_k.  A drift that cannot
        be differentiated adds nothing: the rate is there to warn of steps that are too long
    gain : inputs are so many times those of all-to-all wires
    inward : gap junctions are so many times as strong
    """
    slopes = slopes and "drift" not in structure_of(model).untraceable
    d = len(model.state)
    largest = 0.0
    for x, m, c, p in at_start(model, model.sites(params), gain):
        pull, _, gap = model.equations.relax(m, c, p)
        own = derivatives_of(model).drift_x(x, m, c, p) if slopes else (0.0,) * d**2
        for k in range(d):
            rate = pull[k] + inward * gap[k]
            rate -= own[k * (d + 1)]
            largest = max(largest, rate)
    return float(largest)


def at_start(model: Model, sites: Sites, gain: float = 1.0) -> list[tuple[Any, Any, Any, Any]]:
    """Return (x, m, c, p) of every site at the centre of the initial law; ``gain`` as above."""
    rest = (0.0,) * len(model.state)
    states = [tuple(float(v) for v in model.equations.initial(rest, p)) for p in sites.params]
    means = [model.means_at_rest(x, p) for x, p in zip(states, sites.params, strict=True)]
    inputs = gain * (sites.coupling @ np.array(means))
    return [*zip(states, means, map(tuple, inputs), sites.params, strict=True)]


def state_coords(
    model: Model, params: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Coord]:
    """Return the coordinates time, site, variable and variable_b of state-like outputs."""
    variables = tuple(var.name for var in model.state)
    return {
        "time": Coord(tuple(record_times(options)), "time", "time"),
        "site": Coord(model.sites(params).labels, "1", "site"),
        "variable": Coord(variables, "1", "state variable"),
        "variable_b": Coord(variables, "1", "state variable (second index)"),
    }
