r"""Which balance points attract, over a plane of parameters, and what the network does there.

    phase    0 one point, attracting        1 one point, attracting as a spiral
             2 several points, some attracting      3 no attracting point
    settled  1 if after ``after`` the means stay within ``near`` of one attracting point, else 0
    agrees   1 if the network settles where some point attracts and does not where none does

    leading  growth rate of the slowest mode of the most attracting point, 1/time

Runs are *clear* where |leading| ``after`` is at least 10: what the start was is forgotten by then,
or a deviation of e^-10 has grown to order one.  Where the study expects a share of ``agrees``, the
share of clear runs that agree is to reach it, phase by phase; closer to a bifurcation a run says
nothing.

The table ``bifurcations`` lists, along the first grid axis, where the phase changes: saddle-nodes
where the number of points changes, Hopf points where attraction is lost as a spiral.  These it
places where ``leading``, interpolated between grid points, goes through zero.

Source: Quininao & Touboul 2025, abstract (attraction decides); docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Param, Row, Statistic, Table
from neurolim.statistics.parts.balance import on_grid
from neurolim.statistics.parts.common import AFTER, grid_points, share_reached, window

PHASES = (
    "one point, attracting",
    "one point, attracting spiral",
    "several points",
    "no attracting point",
)
_PHASES = (
    Column("phase", ""),
    Column("points", digits=9),
    Column("runs", digits=9),
    Column("settled", digits=9),
    Column("agree", digits=9),
    Column("clear", digits=9),
    Column("clear_agree", digits=9),
)
#: Powers of e by which a deviation has to have shrunk, or grown, before anything is looked at.
_CLEAR = 10.0
_CHANGES = (
    Column("axis", ""),
    Column("between"),
    Column("and"),
    Column("from", ""),
    Column("to", ""),
    Column("kind", ""),
    Column("place"),
)


def apply(dataset: xr.Dataset, *, after: float, near: float) -> xr.Dataset:
    """Return phase and leading [grid], settled and agrees [grid, replica].

    Parameters
    ----------
    dataset : state_mean over time; the reference's points, attraction, growth rates and frequencies
    after : records later than this are looked at, time
    near : distance from a point within which the means count as settled, voltage
    """
    attractive = dataset["reference_attractive"] == 1.0
    some = attractive.any("branch")
    spiral = (dataset["reference_frequency"].isel(branch=0, mode=0) != 0.0).drop_vars(
        ("branch", "mode"), errors="ignore"
    )
    single = dataset["reference_points"] == 1
    phase = xr.where(~some, 3.0, xr.where(~single, 2.0, xr.where(spiral, 1.0, 0.0)))
    phase = phase.where(dataset["reference_points"] > 0)
    leading = dataset["reference_growth"].isel(mode=0, drop=True).min("branch")
    mean = window(dataset, after)["state_mean"].isel(variable=0, drop=True)
    points = dataset["reference_balance_state"].isel(variable=0, drop=True)
    distance = abs(mean - points.where(attractive)).max(("site", "time"), skipna=False)
    ran = mean.notnull().all(("time", "site"))
    settled = (distance.min("branch") < near).astype(float).where(ran)
    agrees = (settled == some).astype(float).where(ran & phase.notnull())
    found = {"phase": phase, "leading": leading, "settled": settled, "agrees": agrees}
    units = {"leading": "1/time"}
    return on_grid(
        dataset,
        {
            name: array.assign_attrs(long_name=name, units=units.get(name, "1"))
            for name, array in found.items()
        },
    )


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``balance_phase``, agreement by phase, and ``bifurcations`` along the first axis."""
    phase, wanted = dataset["phase"], expect.get("agrees", {})
    clear = abs(dataset["leading"]) * options["after"] >= _CLEAR
    rows = []
    for code, name in enumerate(PHASES):
        runs = dataset[["settled", "agrees"]].where(phase == code)
        far = runs["agrees"].where(clear)
        values: dict[str, Any] = {
            "phase": name,
            "points": int((phase == code).sum()),
            "runs": int(runs["agrees"].count()),
            "settled": int(runs["settled"].sum()),
            "agree": int(runs["agrees"].sum()),
            "clear": int(far.count()),
            "clear_agree": int(far.sum()),
        }
        verdict = share_reached(values["clear_agree"], values["clear"], wanted)
        rows.append(Row(values, verdict if values["runs"] else None, "agrees"))
    changes = [
        Row(values, at=at)
        for at, line in grid_points(dataset[["phase", "leading"]], phase.dims[1:])
        for values in _changes(line)
    ]
    return (
        Table("balance_phase", _PHASES, tuple(rows)),
        Table("bifurcations", _CHANGES, tuple(changes)),
    )


def _changes(line: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Yield the changes of phase along the axis of a line; a single point has none."""
    codes, growth = line["phase"].values, line["leading"].values
    for axis in map(str, line["phase"].dims):
        levels = line[axis].values
        for k in np.flatnonzero(np.diff(codes)):
            kind = _kind(codes[k], codes[k + 1])
            part = growth[k] / (growth[k] - growth[k + 1]) if kind == "Hopf" else np.nan
            yield {
                "axis": axis,
                "between": levels[k].item(),
                "and": levels[k + 1].item(),
                "from": _name(codes[k]),
                "to": _name(codes[k + 1]),
                "kind": kind,
                "place": float(levels[k] + part * (levels[k + 1] - levels[k])),
            }


def _name(code: float) -> str:
    return PHASES[int(code)] if np.isfinite(code) else "not solved"


def _kind(one: float, other: float) -> str:
    """Return what happens between two phases."""
    both = {one, other}
    if both == {0.0, 1.0}:
        return "node to focus"
    if both == {1.0, 3.0}:
        return "Hopf"
    return "saddle-node" if 2.0 in both else "unresolved"


def exact() -> list[Any]:
    """Return four points in the four phases, of which the third does not do as it should."""
    time = np.linspace(0.0, 10.0, 21)
    mean = np.full((4, 1, 21, 1, 1), 0.2)
    mean[2:] += 0.5 * np.sin(time)[None, None, :, None, None]
    nan = np.nan
    dataset = xr.Dataset(
        {
            "state_mean": (("g", "replica", "time", "site", "variable"), mean),
            "status": (("g", "replica"), np.zeros((4, 1), np.int8)),
            "reference_points": ("g", np.array([1, 1, 2, 1])),
            "reference_attractive": (
                ("g", "branch"),
                np.array([[1, nan], [1, nan], [1, 0], [0, nan]]),
            ),
            "reference_frequency": (
                ("g", "branch", "mode"),
                np.array([[0, nan], [1, nan], [0, 0], [1, nan]])[:, :, None],
            ),
            "reference_growth": (
                ("g", "branch", "mode"),
                np.array([[-2, nan], [-1, nan], [-3, 1], [3, nan]])[:, :, None],
            ),
            "reference_balance_state": (
                ("g", "branch", "site", "variable"),
                np.array([[0.2, nan], [0.2, nan], [0.2, 1.0], [0.2, nan]])[:, :, None, None],
            ),
        },
        {"g": np.arange(4.0), "time": time, "site": ["P"], "variable": ["v"]},
    )
    checks: list[Any] = [("phase", {"g": float(k)}, float(k), 0.0) for k in range(4)]
    checks += [("leading", {"g": float(k)}, x, 0.0) for k, x in enumerate((-2.0, -1.0, -3.0, 3.0))]
    checks += [("settled", {"g": float(k)}, float(k < 2), 0.0) for k in range(4)]
    checks += [("agrees", {"g": float(k)}, float(k != 2), 0.0) for k in range(4)]
    return [(dataset, {"after": 5.0, "near": 0.1}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "state_mean",
        "reference_points",
        "reference_attractive",
        "reference_frequency",
        "reference_growth",
        "reference_balance_state",
    )


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("phase", "leading", "settled", "agrees")


STATISTIC = Statistic(
    summary="Attraction of balance points over a plane, and whether the network settles.",
    source="Quininao & Touboul 2025, abstract; docs/balance.md",
    options=(
        AFTER,
        Param("near", 0.1, doc="distance that counts as settled, voltage", positive=True),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("balance_phase", "bifurcations"),
)
