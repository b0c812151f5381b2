"""Time options shared by every time-dependent solver, and the record times they define."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurolim.core import Coord, Model, Param

TIME_OPTIONS = (
    Param("t_end", 10.0, "time", "end of the run", positive=True),
    Param("records", 50, doc="recording intervals", kind="integer", low=1, high=1_000_000),
)


def record_times(options: Mapping[str, Any]) -> list[float]:
    """Return the times t_end k / records, k = 0 .. records [records + 1]."""
    t_end, records = options["t_end"], options["records"]
    return [t_end * k / records for k in range(records + 1)]


def state_coords(
    model: Model, params: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Coord]:
    """Return the coordinates time, site, variable and variable_b of state-like outputs."""
    variables = tuple(var.name for var in model.state)
    return {
        "time": Coord(tuple(record_times(options)), "time", "time"),
        "site": Coord(model.prepare(params).labels, "1", "site"),
        "variable": Coord(variables, "1", "state variable"),
        "variable_b": Coord(variables, "1", "state variable (second index)"),
    }
