r"""The deterministic skeleton of a network: equilibria, cycles and bifurcations of its limit.

    v' = f(v) + I - w,        w' = b v - a w + c

Equilibria, their eigenvalues and the currents of saddle-node, Hopf, canard and (near
Bogdanov-Takens) homoclinic bifurcations come from closed forms; stable cycles from the return map;
Hopf points at finite coupling from the Gaussian closure; and, if asked for, the branch of cycles
through the lowest Hopf point by collocation, the separatrix of the lowest saddle, and whether the
class of the limit is the same all around within a margin.  Nothing here depends on the initial
state; everything is exact or converged to at least 1e-6.

Source: docs/phase-diagrams.md; Quininao & Touboul 2020, sec. 6.3, with corrections.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyval
from scipy.integrate import solve_ivp

from neurolim.bifurcation import closure, cycles
from neurolim.bifurcation import plane as planar
from neurolim.bifurcation.collocation import ContinuationError, Cycle
from neurolim.bifurcation.flow import Flow
from neurolim.bifurcation.plane import Equilibrium, Plane
from neurolim.bifurcation.return_map import Attractor, follow, stable_cycles
from neurolim.core import Coord, Cost, Model, Param, Solution, Solver, Status, Var
from neurolim.numerics.cache import keep_compiled
from neurolim.provenance import code_digest
from neurolim.solvers.parts.plane import PLANE, plane_of
from neurolim.solvers.parts.times import TIME_OPTIONS, record_times

keep_compiled(follow, code_digest(follow.__module__))

MAX_EQUILIBRIA = 7
BIFURCATIONS = (
    "saddle_node_low",
    "saddle_node_high",
    "hopf_low",
    "hopf_high",
    "canard_low",
    "canard_high",
    "homoclinic_low",
    "closure_hopf_low",
    "closure_hopf_high",
)
#: What the limit does, by number: which attractors it has.
LIMIT_CLASSES = ("none", "rest", "two_states", "cycle", "rest_and_cycle", "two_states_and_cycle")
_BRANCH = ("current", "low", "high", "period", "stable")
_RESTART = 1e-3

OPTIONS = (
    Param(
        "margin",
        0.0,
        doc="say whether the class is the same when current and a change by this share; 0: do not",
        low=0.0,
        high=0.5,
    ),
    Param(
        "branch", 0, doc="points of the branch of cycles; 0: none", kind="integer", low=0, high=400
    ),
    Param(
        "curves",
        0,
        doc="points of nullclines and of the separatrix of the lowest saddle; 0: none",
        kind="integer",
        low=0,
        high=10_000,
    ),
    Param("trajectory", False, doc="solve the limit from the start, too", kind="boolean"),
    *TIME_OPTIONS,
)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return equilibria, attractors and bifurcation currents, and what the options ask for."""
    quantities = [
        Var(
            "equilibrium",
            "state",
            "equilibria, lowest voltage first",
            ("equilibria", "variable"),
            gaps=True,
        ),
        Var(
            "stability",
            "1",
            "-1 no equilibrium, 0 unstable, 1 stable, 2 saddle",
            ("equilibria",),
            "int8",
        ),
        Var("eigenvalue", "1/time", "leading eigenvalue", ("equilibria", "part"), gaps=True),
        Var("centre", "state", "equilibrium that small oscillations turn about", ("variable",)),
        Var("turning", "1/time", "their frequency sqrt(b - a^2)", gaps=True),
        Var("knee", "1", "voltages of the lowest and highest fold of f", ("side",), gaps=True),
        Var("curvature", "1", "f''/2 at these folds", ("side",), gaps=True),
        Var(
            "limit_class",
            "1",
            "; ".join(f"{k} {w}" for k, w in enumerate(LIMIT_CLASSES)),
            (),
            "int8",
        ),
        Var("cycle_period", "time", "period of the largest stable cycle", gaps=True),
        Var("cycle_extent", "1", "lowest and highest voltage of that cycle", ("side",), gaps=True),
        Var(
            "bifurcation_current",
            "1/time",
            "current I, the constant part of the drift of v, of each bifurcation",
            ("bifurcation",),
            gaps=True,
        ),
    ]
    if options["margin"] > 0.0:
        quantities.append(
            Var("robust", "1", "1 if the class is the same within the margin", (), "int8")
        )
    if options["branch"] > 0:
        quantities.append(
            Var(
                "cycle_branch",
                "1",
                "cycles through a Hopf point",
                ("branch_point", "branch_value"),
                gaps=True,
            )
        )
    if options["curves"] > 0:
        quantities += [
            Var(
                "separatrix",
                "state",
                "border between basins",
                ("curve_point", "variable"),
                gaps=True,
            ),
            Var("nullcline", "state", "v, f(v) + I, (b v + c)/a", ("curve_point", "curve_value")),
        ]
    if options["trajectory"]:
        quantities.append(
            Var("state_mean", "state", "trajectory of the limit", ("time", "site", "variable"))
        )
    return tuple(quantities)


def _numbered(count: int, long_name: str) -> Coord:
    """Return the coordinate of things that have numbers, from 0."""
    return Coord(tuple(float(k) for k in range(count)), "1", long_name)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return the coordinates of the outputs."""
    axes = {
        "variable": Coord(tuple(var.name for var in model.state), "1", "state variable"),
        "equilibria": _numbered(MAX_EQUILIBRIA, "equilibrium"),
        "part": Coord(("real", "imaginary"), "1", "part of a complex number"),
        "side": Coord(("low", "high"), "1", "which of two ends"),
        "bifurcation": Coord(BIFURCATIONS, "1", "bifurcation"),
    }
    if options["branch"] > 0:
        axes["branch_point"] = _numbered(options["branch"], "cycle along its branch")
        axes["branch_value"] = Coord(_BRANCH, "1", "what is said of a cycle")
    if options["curves"] > 0:
        axes["curve_point"] = _numbered(options["curves"], "point along the nullclines")
        axes["curve_value"] = Coord(("voltage", "v_nullcline", "w_nullcline"), "1", "coordinate")
    if options["trajectory"]:
        axes["time"] = Coord(tuple(record_times(options)), "time", "time")
        axes["site"] = Coord(model.sites(params).labels, "1", "site")
    return axes


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return the measured time of a return map, of its neighbours and of collocation."""
    seconds = 0.1 * (9 if options["margin"] > 0.0 else 1) + 0.02 * options["branch"]
    return Cost(seconds, 1e7)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse coefficients of another form than f(v) + I - w, b v - a w + c, and several sites.

    Raises
    ------
    StudyError
    """
    plane_of(model, params)


def limit_class(plane: Plane, current: float) -> tuple[int, list[Equilibrium], list[Attractor]]:
    """Return the class of the limit (index to LIMIT_CLASSES), its equilibria and stable cycles.

    Parameters
    ----------
    plane, current : the system
    """
    rest = planar.equilibria(plane, current)
    turning = stable_cycles(plane, current)
    states = min(sum(point.stable for point in rest), 2)
    kind = states if not turning else 3 + states
    return kind, rest, turning


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Compute the skeleton at one point.

    Returns
    -------
    arrays [1, ...] as in ``outputs``, NaN where something does not exist; OUT_OF_DOMAIN without
    an equilibrium, NOT_CONVERGED if the branch of cycles could not be continued at all.
    """
    planar_network = plane_of(model, params)
    plane, current, network, p, scale = planar_network
    kind, rest, turning = limit_class(plane, current)
    equilibrium = np.full((MAX_EQUILIBRIA, 2), np.nan)
    stability = np.full(MAX_EQUILIBRIA, -1, np.int8)
    eigenvalue = np.full((MAX_EQUILIBRIA, 2), np.nan)
    for k, point in enumerate(rest[:MAX_EQUILIBRIA]):
        equilibrium[k] = point.v, point.w / scale
        stability[k] = 2 if point.saddle else int(point.stable)
        leading = point.eigenvalues[0]
        eigenvalue[k] = leading.real, leading.imag
    knees = planar.knees(plane)
    arrays: dict[str, Any] = {
        "equilibrium": equilibrium,
        "stability": stability,
        "eigenvalue": eigenvalue,
        "centre": equilibrium[0].copy(),
        "turning": np.sqrt(plane.b - plane.a**2) if plane.b > plane.a**2 else np.nan,
        "knee": np.array([knees[0], knees[-1]] if knees else [np.nan, np.nan]),
        "curvature": np.array(
            [0.5 * plane.slope(v, 2) for v in (knees[0], knees[-1])] if knees else [np.nan, np.nan]
        ),
        "limit_class": np.int8(kind),
        "cycle_period": turning[-1].period if turning else np.nan,
        "cycle_extent": np.array(turning[-1][1:] if turning else [np.nan, np.nan]),
        "bifurcation_current": _bifurcations(plane, network),
    }
    status = Status.OK if rest else Status.OUT_OF_DOMAIN
    if options["margin"] > 0.0:
        arrays["robust"] = np.int8(_robust(plane, current, kind, options["margin"]))
    if options["branch"] > 0:
        arrays["cycle_branch"] = cycle_branch(plane, options["branch"])
        if np.isnan(arrays["cycle_branch"]).all() and planar.hopf_points(plane):
            status = Status.NOT_CONVERGED
    if options["curves"] > 0:
        border = _border(plane, current, rest, options["curves"])
        arrays["separatrix"] = border * planar_network.units
        v = np.linspace(-3.0, 6.0, options["curves"])
        straight = np.full_like(v, np.nan)  # vertical without decay, so no function of v
        if plane.a > 0.0:
            straight = (plane.b * v + plane.c) / plane.a
        curved = polyval(v, plane.f) + current
        arrays["nullcline"] = np.stack([v, curved / scale, straight / scale], axis=1)
    if options["trajectory"]:
        flow = Flow(model, p, float(model.sites(params).coupling[0, 0]))
        path = solve_ivp(
            lambda t, x: flow(x),
            (0.0, options["t_end"]),
            np.array(model.equations.initial((0.0, 0.0), p)),
            "DOP853",
            t_eval=record_times(options),
            rtol=1e-9,
            atol=1e-10,
        )
        arrays["state_mean"] = path.y.T[:, None, :]
    results = {name: np.asarray(array)[None] for name, array in arrays.items()}
    if status != Status.OK:
        for array in results.values():
            array[...] = np.nan if array.dtype.kind == "f" else -1
    return Solution(results, np.array([status], np.int8))


def _bifurcations(plane: Plane, network: closure.Network) -> np.ndarray:
    """Return the currents in the order of BIFURCATIONS, NaN where there is none."""

    def ends(values: list[float]) -> list[float]:
        return [values[0], values[-1]] if values else [np.nan, np.nan]

    return np.array(
        [
            *ends([current for current, _ in planar.saddle_nodes(plane)]),
            *ends([point.current for point in planar.hopf_points(plane)]),
            *ends(planar.canard_currents(plane)),
            ends(planar.homoclinic_estimates(plane))[0],
            *ends(closure.hopf_currents(plane, network)),
        ]
    )


def _robust(plane: Plane, current: float, kind: int, margin: float) -> bool:
    """Return whether the class is the same in eight directions, at half the margin and at all."""
    for radius in (margin, 0.5 * margin):
        for turn in range(8):
            angle = np.pi / 4.0 * turn
            there = plane._replace(a=plane.a * (1.0 + radius * np.sin(angle)))
            moved = current * (1.0 + radius * np.cos(angle))
            if limit_class(there, moved)[0] != kind:
                return False
    return True


@lru_cache(maxsize=64)
def cycle_branch(plane: Plane, count: int) -> np.ndarray:
    """Return the branch of cycles that starts at the Hopf point of lowest voltage.

    Parameters
    ----------
    plane : the system; the current is the parameter of the branch
    count : most points

    Returns
    -------
    current, lowest and highest voltage, period, 1 if stable [count, 5]; NaN where the branch has
    ended: in a homoclinic orbit (period beyond 1000), another Hopf point, or for want of points.
    """
    rows = np.full((count, len(_BRANCH)), np.nan)
    points = planar.hopf_points(plane)
    if not points:
        return rows
    first = points[0]

    def field(x: np.ndarray, current: complex) -> np.ndarray:
        return planar.velocity(plane, current, x)

    centre = np.array([first.v, plane.recovery(first.v)])

    def until(cycle: Cycle) -> bool:
        low, high = cycle.extent()
        return cycle.period > 1000.0 or high - low < _RESTART

    try:
        start = cycles.from_hopf(field, centre, first.current, 2.0 * _RESTART, intervals=80)
        branch = itertools.islice(
            cycles.along(field, start, step=0.01, longest=0.25, until=until), count
        )
        for k, cycle in enumerate(branch):
            attracts = cycles.divergence(field, cycle) < 0.0
            rows[k] = cycle.parameter, *cycle.extent(), cycle.period, attracts
    except ContinuationError:
        pass  # what was found before the branch became too steep to follow stays
    return rows


def _border(plane: Plane, current: float, rest: list[Equilibrium], count: int) -> np.ndarray:
    """Return the separatrix of the lowest saddle at equal arclengths [count, 2]."""
    saddles = [point for point in rest if point.saddle]
    if not saddles:
        return np.full((count, 2), np.nan)
    curve = planar.separatrix(plane, current, saddles[0], 200.0, 8.0)
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1)))
    at = np.linspace(0.0, length[-1], count)
    return np.stack([np.interp(at, length, curve[:, k]) for k in range(2)], axis=1)


SOLVER = Solver(
    summary="Equilibria, stable cycles and bifurcations of the limit of a planar network.",
    source="docs/phase-diagrams.md; Quininao & Touboul 2020, sec. 6.3",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=False,
    needs=PLANE,
)
