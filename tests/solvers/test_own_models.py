"""Solvers take a model for its equations: its names are its author's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurolim.core import (
    Field,
    GapJunctions,
    Model,
    Noise,
    Param,
    Sites,
    State,
    StudyError,
    Synapses,
    get,
    resolve,
)
from neurolim.math import sin, tanh, where
from neurolim.solvers.limit.limit import _Points
from neurolim.solvers.network.pairs import _coupled
from neurolim.solvers.parts.cells import Grid
from neurolim.solvers.parts.mean_field import check_one_dimension

TIMES = {"t_end": 1.0, "records": 4}


def run(model: Any, solver: str, params: Any = None, options: Any = None) -> Any:
    """Return the solution of a model that is in no registry."""
    found, model = get("solver", solver), get("model", model) if isinstance(model, str) else model
    values = resolve(model.params, params or {})
    chosen = resolve(found.options, options or {})
    found.accept(model, values, chosen)
    solution = found.solve(model, values, chosen, 1, range(1))
    assert solution.status[0] == 0
    return solution.arrays


def two_variables(**parts: Any) -> Model:
    """Return a network of (u, y) with gap junctions in u, changed as told."""
    given: dict[str, Any] = {
        "summary": "a network of this test",
        "source": "this test",
        "state": (State("u", start=0.3, spread=0.4), State("y", start=-0.2, spread=0.5)),
        "params": (Param("k", 0.7), Param("strength", 20.0)),
        "drift": lambda x, p: (p.k - x.u - x.y, 0.5 * x.u - 0.3 * x.y),
        "coupling": GapJunctions("u", "strength"),
        "noise": (Noise("u", 0.8), Noise("y", 0.3)),
    }
    return Model(**(given | parts))


def test_moments_are_exact_with_fields_and_long_range_coupling():
    # With v = (u, y) and the field s = 2 u - y, c = 1.5 m: an equation for the mean of the site.
    network = two_variables(
        fields=(Field("s", lambda x: 2.0 * x.u - x.y),),
        prepare=lambda params: Sites((0.0,), np.array([[1.5]]), ({},)),
        drift=lambda x, m, c: (0.3 - x.u + 0.2 * m.s - 0.1 * c.s, x.u - x.y + 0.1 * c.u),
    )
    found = run(network, "moments", {}, TIMES | {"records": 1, "n_neurons": 10})
    slope = np.array([[-1.0 + 0.4 - 0.3, -0.2 + 0.15], [1.0 + 0.15, -1.0]])
    values, vectors = np.linalg.eig(slope)
    rest = -np.linalg.solve(slope, [0.3, 0.0])
    growth = ((vectors * np.exp(values)) @ np.linalg.inv(vectors)).real
    exact = rest + growth @ (np.array([0.3, -0.2]) - rest)
    np.testing.assert_allclose(found["state_mean"][0, -1, 0], exact, rtol=1e-12)


#: FitzHugh-Nagumo by other names, and its numbers by those of the registered model.
RENAMED = two_variables(
    state=(
        State("u", "potential", start="from_u", spread=0.4, profile=lambda p: p.shake * p.root),
        State("y", "gate", start="from_y", spread=0.5, profile="slack"),
    ),
    params=(
        Param("top", 4.0),
        Param("tightness", 25.0),
        Param("push", 0.3),
        Param("loss", 0.3),
        Param("gain", 0.2),
        Param("offset", 0.1),
        Param("shake", 0.7),
        Param("tremble", 0.4),
        Param("from_u", 0.3),
        Param("from_y", -0.2),
    ),
    derive=lambda params: {
        "root": (2.0 * params["tightness"]) ** -0.5,
        "slack": params["tremble"] * (2.0 * params["loss"]) ** -0.5,
    },
    drift=lambda x, p: (
        -x.u * (x.u - p.top) * (x.u - 1.0) + p.push - x.y,
        p.gain * x.u - p.loss * x.y + p.offset,
    ),
    coupling=GapJunctions("u", "tightness"),
    noise=(Noise("u", "shake"), Noise("y", "tremble")),
)
REGISTERED = {
    "lam": 4.0, "eps": 0.04, "current": 0.3, "a": 0.3, "b": 0.2, "c": 0.1, "sigma": 0.7,
    "recovery_noise": 0.4, "voltage_start": 0.3, "recovery_start": -0.2, "initial": "absolute",
    "voltage_spread": 0.4, "recovery_spread": 0.5,
}  # fmt: skip


def compare(solver: str, options: Any = None, **tolerance: Any) -> None:
    """Compare what a solver says of FitzHugh-Nagumo by both names."""
    own = run(RENAMED, solver, {}, options)
    expected = run("fitzhugh_nagumo", solver, REGISTERED, options)
    assert own.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(own[name], array, **tolerance, err_msg=name)


def test_the_limit_does_not_depend_on_names():
    compare("limit", TIMES, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["fitzhugh_nagumo", "balanced", "balanced_dynamic"])
def test_the_shift_moves_with_the_slope_of_the_motion(name):
    model = get("model", name)
    given: dict[str, Any] = {"b": [0.3, 0.1], "gamma": 3.0} if name != "fitzhugh_nagumo" else {}
    if not given:
        given = {"positions": [0.0, 1.0], "kernel": [[0.5, -1.0], [2.0, 0.3]], "density": [1, 3]}
    points = _Points(model, resolve(model.params, given))
    generator = np.random.default_rng(3)
    d = len(model.state)
    x, shift = generator.normal(size=(2, 2, d))

    def motion(at: np.ndarray) -> np.ndarray:
        return points.slope(0.0, np.concatenate([at, 0.0 * at, 0.0 * at]).ravel())[: 2 * d]

    def along(step: float) -> np.ndarray:
        return (motion(x + step * shift) - motion(x - step * shift)) / (2.0 * step)

    exact = points.slope(0.0, np.concatenate([x, 0.0 * x, shift]).ravel())[4 * d :]
    np.testing.assert_allclose(exact, (4.0 * along(1e-3) - along(2e-3)) / 3.0, rtol=1e-8, atol=1e-8)


def test_a_drift_that_cannot_be_differentiated_is_refused_with_what_to_write():
    bent = two_variables(drift=lambda x: (-x.u if x.u > 0 else x.u, -x.y))
    with pytest.raises(StudyError, match=r"needs derivatives: drift asks .* neurolim\.math\.where"):
        run(bent, "limit")


def test_an_initial_law_may_be_any_map_of_normals():
    curved = two_variables(initial=lambda z: (0.3 + 0.4 * sin(z.u), 0.5 * z.y - 0.2))
    # E sin z = 0, E sin(z)^2 = (1 - e^-2)/2.
    spread = 0.4 * (0.5 * (1.0 - np.exp(-2.0))) ** 0.5
    same = two_variables(state=(State("u", start=0.3, spread=spread), two_variables().state[1]))
    own, plain = (run(model, "limit", {}, TIMES) for model in (curved, same))
    for name in ("state_mean", "width"):
        np.testing.assert_allclose(own[name], plain[name], rtol=1e-8)


def test_pairs_are_coupled_where_a_rate_can_ever_act():
    late = Synapses("u", lambda m: where(m.u > 2.0, m.u - 2.0, 0.0), 0.0)
    shut = Synapses("u", lambda c, p: p.k * c.u * c.u, 0.0)
    steady = Synapses("u", lambda c, p: p.k * c.u + p.k, 0.0)
    for coupling, given, n_neurons, coupled in (
        ((), {}, 2, False),
        (GapJunctions("u", "strength"), {}, 2, True),
        (GapJunctions("u", "strength"), {}, 1, False),
        (GapJunctions("u", "strength"), {"strength": 0.0}, 2, False),
        (late, {}, 1, True),
        (steady, {}, 1, True),
        (steady, {"k": 0.0}, 1, False),
        # Of what bends in the means nothing can be said from one point.
        (shut, {"k": 0.0}, 1, True),
    ):
        model = two_variables(coupling=coupling)
        sites = model.sites(resolve(model.params, given))
        options = {"n_neurons": n_neurons, "limit_copy": False}
        assert _coupled(model, sites, options) is coupled


def wall(**parts: Any) -> Model:
    """Return a voltage in a range beside a noisy rate above its floor, changed as told."""
    given: dict[str, Any] = {
        "state": (
            State("h", "height", start=1.4, range=(1.0, lambda p: p.top)),
            State("r", "rate", start=0.7, floor=0.0),
        ),
        "params": (Param("top", 2.0), Param("others", 0.0)),
        "drift": lambda x, m, p: (
            (1.0 - x.h) + x.r * (p.top - x.h),
            0.2 + 0.5 * (1.0 + tanh(x.h - 1.5)) + p.others * m.said - x.r,
        ),
        "coupling": (),
        "noise": Noise("r", 0.2 * 2.0**0.5),
        "fields": (Field("said", lambda x: 0.5 * (1.0 + tanh(x.h - 1.5))),),
    }
    return two_variables(**(given | parts))


CELLS = {"n_voltage": 16, "n_conductance": 16, "gap_tolerance": 0.5, "t_end": 0.5, "records": 2}


@pytest.mark.parametrize("others", [0.0, 0.3])
def test_the_law_of_a_voltage_in_a_range_does_not_depend_on_names(others):
    own = run(wall(), "finite_volume", {"others": others}, CELLS)
    given = {"interaction": others, "voltage_start": 1.4}
    expected = run("morris_lecar", "finite_volume", given, CELLS)
    for name, array in expected.items():
        np.testing.assert_allclose(own[name], array, rtol=1e-8, atol=1e-11, err_msg=name)


def test_the_law_is_non_linear_where_a_mean_can_ever_matter():
    for drift, others, nonlinear in (
        (lambda x, m, p: (1.5 - x.h, 0.5 - x.r), 1.0, False),
        (lambda x, m, p: (1.5 - x.h, p.others * x.h * m.said - x.r), 0.0, False),
        (lambda x, m, p: (1.5 - x.h, p.others * x.h * m.said - x.r), 1.0, True),
        (lambda x, m, p: (1.5 - x.h, where(m.said > 9.0, m.said, 0.2) - x.r), 1.0, True),
    ):
        model = wall(drift=drift)
        grid = Grid(model, resolve(model.params, {"others": others}), (8, 8), 6.0)
        assert grid.nonlinear is nonlinear


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"state": (State("h"), State("r", floor=0.0))}, "stays in a range: h has none"),
        ({"state": (State("h", range=(-1.0, 1.0)), State("r"))}, "at a floor: r has none"),
        ({"coupling": GapJunctions("h", 1.0)}, "through their drift alone: h is coupled"),
        ({"noise": (Noise("h", 0.5), Noise("r", 0.5))}, "h has noise 0.5"),
        ({"noise": ()}, "without noise in r"),
        ({"drift": lambda x: (1.0 - x.h, x.r)}, "the drift of r does not fall with it"),
    ],
)
def test_other_equations_than_that_of_the_law_are_refused_with_what_is_missing(parts, words):
    with pytest.raises(StudyError, match=words):
        run(wall(**parts), "finite_volume", {}, CELLS)


@pytest.mark.parametrize(
    ("drift", "rests"),
    [
        (lambda x, p: (-x.u - x.y, p.off * x.u - x.y), True),
        (lambda x, p: (-x.u - x.y, p.off * tanh(x.u) - x.y), True),
        (lambda x, p: (-x.u - x.y, -x.y * x.y * p.k), True),
        # At its start all of these rest, and have slopes of zero there.
        (lambda x, p: (-x.u - x.y, p.k * x.u**3 - x.y), False),
        (lambda x, p, m: (-x.u - x.y, p.k * m.u * m.u - x.y), False),
        (lambda x, p, c: (-x.u - x.y, p.k * c.u * c.u * c.u - x.y), False),
        (lambda x, p: (-x.u - x.y, p.k * x.u - x.y), False),
        (lambda x, p: (-x.u - x.y, 0.1 - x.y), False),
    ],
    ids=["off", "off-bent", "by-itself", "cube", "mean", "input", "straight", "start"],
)
def test_a_mean_field_of_one_dimension_needs_the_rest_to_rest(drift, rests):
    still = two_variables(
        state=(State("u"), State("y")),
        params=(Param("k", 0.7), Param("off", 0.0), Param("strength", 20.0)),
        drift=drift,
        noise=Noise("u", 0.8),
    )
    params = resolve(still.params, {})
    if rests:
        check_one_dimension(still, params)
    else:
        with pytest.raises(StudyError, match="y moves: the law of u alone does not close"):
            check_one_dimension(still, params)


@pytest.mark.parametrize(
    ("solver", "options"),
    [
        ("gaussian_closure", TIMES),
        ("hermite", TIMES | {"t_end": 0.2}),
        ("equilibria", TIMES | {"trajectory": True, "curves": 5, "margin": 0.1}),
        ("reduced", {"t_end": 1.0, "records": 5, "n_neurons": 100}),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_solvers_of_gap_networks_do_not_depend_on_names(solver, options):
    compare(solver, options, rtol=1e-8, atol=1e-10)


def test_a_linear_network_has_its_equilibrium_and_no_cycle():
    found = run("linear", "equilibria", {"leak": 2.0, "current": 0.5, "a": 0.3, "b": 0.2}, TIMES)
    v = 0.5 / (2.0 + 0.2 / 0.3)
    np.testing.assert_allclose(found["equilibrium"][0, 0], [v, 0.2 / 0.3 * v])
    assert np.isnan(found["cycle_period"][0])
    assert found["stability"][0, :2].tolist() == [1, -1]


def test_a_site_coupled_to_itself_is_held_more_strongly_and_moves_as_without():
    plain = {"drift": "canonical", "a": 0.5, "b": 1.2, "sigma": 0.3}
    # rho0/eps + kernel = 10 + 2.5
    own, harder, plainer = (
        run("fitzhugh_nagumo", "equilibria", plain | given, TIMES)
        for given in ({"eps": 0.1, "kernel": [[2.5]]}, {"eps": 0.08}, {"eps": 0.1})
    )
    for name, array in own.items():
        np.testing.assert_allclose(array, harder[name], rtol=1e-9, err_msg=name)
    np.testing.assert_array_equal(own["equilibrium"], plainer["equilibrium"])
    assert (own["bifurcation_current"] != plainer["bifurcation_current"]).any()


@pytest.mark.parametrize(
    ("solver", "parts", "words"),
    [
        ("hermite", {"coupling": ()}, "gap junctions in one variable: no couplings"),
        ("hermite", {"coupling": Synapses("u", 1.0, 0.0)}, "one variable: u has synapses"),
        ("hermite", {"coupling": GapJunctions("u", lambda m: m.u**2)}, r"depends on m\.u"),
        (
            "hermite",
            {"coupling": GapJunctions("u", lambda p: p.k - 0.7)},
            "gap junctions in u of rate 0",
        ),
        ("hermite", {"drift": lambda x: (x.u * x.y, x.u)}, r"drift of u is not affine in x\.y"),
        ("hopf_cole", {"drift": lambda x: (-x.y, x.u**2)}, r"drift of y is not affine in x\.u"),
        ("hermite", {"noise": Noise("y", 0.3)}, "no noise in u"),
        ("hermite", {"initial": lambda z: (z.u + z.y, z.y)}, "product of normal ones"),
        ("equilibria", {"drift": lambda x: (sin(x.u) - x.y, -x.y)}, "polynomial .*: that of u is"),
        ("equilibria", {"drift": lambda x: (-x.u, x.u - x.y)}, "y does not enter that of u"),
        ("equilibria", {"drift": lambda x: (-x.u - x.y, x.u + x.y)}, "y grows by itself"),
        ("equilibria", {"drift": lambda x: (x.u - x.y, -x.y)}, "degree 1, leading coefficient 1"),
        ("equilibria", {"drift": lambda x: (x.u**2 - x.y, -x.y)}, "degree 2"),
        ("equilibria", {"drift": lambda x, m: (-x.u - x.y, m.u - x.y)}, "the mean of u enters"),
        ("equilibria", {"coupling": GapJunctions("y", 1.0)}, "first variable: u has none"),
    ],
    ids=range(15),
)
def test_gap_networks_of_another_form_are_refused_with_what_is_missing(solver, parts, words):
    with pytest.raises(StudyError, match=words) as caught:
        run(two_variables(**parts), solver)
    assert "fitzhugh" not in str(caught.value)
