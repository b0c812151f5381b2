"""Solvers of laws take a model for what its equations are: each against an independent answer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm, solve_banded, solve_continuous_lyapunov

from neurolim import core
from neurolim.core import (
    Field,
    GapJunctions,
    Model,
    Noise,
    Param,
    State,
    Status,
    StudyError,
    Synapses,
)
from neurolim.math import cos, exp, sqrt, tanh
from neurolim.solvers.law.gaussian_closure import Closure, Moments

TIMES = {"t_end": 1.0, "records": 2}
TIGHT = {"rtol": 1e-12, "atol": 1e-14}


def run(model: Any, solver: str, params: Any = None, options: Any = None, n: int = 1) -> Any:
    """Return the arrays of a solver that accepts the model."""
    found = core.get("solver", solver)
    values = core.resolve(model.params, params or {})
    chosen = core.resolve(found.options, options or {})
    found.accept(model, values, chosen)
    solution = found.solve(model, values, chosen, 5, range(n))
    assert (solution.status == Status.OK).all()
    return solution.arrays


def of(drift: Any, *states: State, **parts: Any) -> Model:
    """Return a network of this test with the numbers eps and k."""
    given: dict[str, Any] = {
        "summary": "a network of this test",
        "source": "this test",
        "name": "network",
        "params": (Param("eps", 0.05), Param("k", 0.0)),
        "coupling": GapJunctions(states[0].symbol, lambda p: 1.0 / p.eps),
    }
    return Model(drift=drift, state=states, **(given | parts))


# -- linear networks, whose laws are known ---------------------------------------------------

SLOPES = np.array([[-0.7, -1.0, 0.5], [0.6, -0.4, -2.0], [-0.3, 2.0, -0.2]])
CONSTANT, START = np.array([0.3, 0.0, 0.1]), np.array([0.5, 0.2, -0.1])


def three(spread: Any = (0.3, 0.5, 0.2), sizes: Any = (1.0, 0.3, 0.1), **parts: Any) -> Model:
    """Return a linear network in which two variables beside the coupled one turn about."""
    states = (
        State(symbol, start=float(mean), spread=width)
        for symbol, mean, width in zip("vyz", START, spread, strict=True)
    )
    noises = tuple(Noise(s, size) for s, size in zip("vyz", sizes, strict=True) if size)
    return of(
        lambda x: (
            0.3 - 0.7 * x.v - x.y + 0.5 * x.z,
            0.6 * x.v - 0.4 * x.y - 2.0 * x.z,
            -0.3 * x.v + 2.0 * x.y - 0.2 * x.z + 0.1,
        ),
        *states,
        **({"noise": noises} | parts),
    )


def covariance(
    slopes: np.ndarray, intensity: np.ndarray, start: np.ndarray, t: float
) -> np.ndarray:
    """Return S(t) of S' = L S + S L^T + Q by its rest and the matrix exponential."""
    rest = solve_continuous_lyapunov(slopes, -intensity)
    carried = expm(slopes * t)
    found: np.ndarray = rest + carried @ (start - rest) @ carried.T
    return found


def mean_at(t: float) -> np.ndarray:
    """Return the exact mean."""
    rest = -np.linalg.solve(SLOPES, CONSTANT)
    found: np.ndarray = rest + expm(SLOPES * t) @ (START - rest)
    return found


@pytest.mark.parametrize(
    ("eps", "spread", "noise"),
    [
        (0.05, (0.3, 0.5, 0.2), (1.0, 0.3, 0.1)),
        (1e-6, (0.3, 0.5, 0.2), (1.0, 0.3, 0.1)),
        # Laws that start sharp, or have no noise of their own.
        (0.05, (0.0, 0.0, 0.2), (1.0, 0.3, 0.0)),
    ],
    ids=["weak", "stiff", "sharp"],
)
def test_three_linear_variables_have_the_law_of_linear_algebra(eps, spread, noise):
    model = three(spread, noise)
    stiff = SLOPES - np.diag([1.0 / eps, 0.0, 0.0])
    exact = covariance(stiff, np.diag(np.square(noise)), np.diag(np.square(spread)), 1.0)
    for solver, options, tolerance in (
        ("moments", {"n_neurons": 2**30}, 2e-9),
        ("gaussian_closure", {}, 1e-7),
        ("hermite", {"voltage_modes": 8, "recovery_modes": 8}, 1e-7),
    ):
        found = run(model, solver, {"eps": eps}, TIMES | options)
        np.testing.assert_allclose(
            found["state_mean"][0, -1, 0], mean_at(1.0), atol=2e-9, err_msg=solver
        )
        got = found["covariance"][0, -1, 0]
        np.testing.assert_allclose(got, exact, atol=tolerance, err_msg=solver)


def test_the_mean_of_few_neurons_moves_as_linear_algebra_says():
    model, replicas = three(), 400
    for n in (1, 5):
        options = {"t_end": 1.0, "records": 1, "n_neurons": n}
        exact = run(model, "moments", {}, options)
        # About the mean of the site there is less of the spread, and of one neuron none.
        assert exact["covariance"][0, -1, 0, 0, 0] == pytest.approx(
            (1 - 1 / n)
            * run(model, "moments", {}, options | {"n_neurons": 2**30})["covariance"][
                0, -1, 0, 0, 0
            ]
        )
        spread = np.diag(np.square([0.3, 0.5, 0.2])) / n
        wanted = covariance(SLOPES, np.diag([1.0, 0.09, 0.01]) / n, spread, 1.0)
        np.testing.assert_allclose(exact["mean_covariance"][0, -1, 0], wanted, rtol=1e-10)
        sample = run(model, "reduced", {}, options | {"dt": 0.02}, replicas)["state_mean"][:, -1, 0]
        error = np.sqrt(np.diag(wanted) / replicas)
        assert (np.abs(sample.mean(axis=0) - mean_at(1.0)) < 4.0 * error).all()
        sizes = np.diag(wanted)
        of_covariance = np.sqrt((np.outer(sizes, sizes) + wanted**2) / replicas)
        # Weak order 2: (h |slopes|)^2/12 = .02 % of the variance.
        off = np.abs(np.cov(sample.T) - wanted)
        assert (off < 4.0 * of_covariance + 1e-3 * wanted.max()).all()


def test_exact_moments_take_correlated_and_common_noise_synapses_and_mixed_starts():
    model = three(
        noise=(
            Noise(("v", "y"), (0.8, -0.5)),
            Noise("z", 0.3),
            Noise(("y", "z"), (0.4, 0.2), common=True),
        ),
        coupling=(
            GapJunctions("v", lambda p: 1.0 / p.eps),
            Synapses("v", 2.0, lambda m: 0.6 - 0.5 * m.y),
        ),
        initial=lambda z: (0.5 + 0.3 * z.v, 0.2 + 0.2 * z.v + 0.5 * z.y, -0.1 + 0.2 * z.z),
    )
    n = 10
    found = run(model, "moments", {}, TIMES | {"n_neurons": n})
    own = np.array([[0.8, -0.5, 0.0], [0.0, 0.0, 0.3]])
    shared = np.array([0.0, 0.4, 0.2])
    first = np.array([[0.3, 0.0, 0.0], [0.2, 0.5, 0.0], [0.0, 0.0, 0.2]])
    each = SLOPES - np.diag([22.0, 0.0, 0.0])
    whole = SLOPES - np.array([[2.0, 0.5, 0.0], [0.0] * 3, [0.0] * 3])
    exact = 0.9 * covariance(each, own.T @ own, first @ first.T, 1.0)
    np.testing.assert_allclose(found["covariance"][0, -1, 0], exact, atol=1e-12)
    intensity = own.T @ own / n + np.outer(shared, shared)
    exact = covariance(whole, intensity, first @ first.T / n, 1.0)
    np.testing.assert_allclose(found["mean_covariance"][0, -1, 0], exact, atol=1e-12)
    rest = -np.linalg.solve(whole, CONSTANT + np.array([0.6, 0.0, 0.0]))
    exact = rest + expm(whole) @ (START - rest)
    np.testing.assert_allclose(found["state_mean"][0, -1, 0], exact, atol=1e-12)


# -- Hindmarsh-Rose: what is not coupled enters linearly, and is driven by a square -----------


def hindmarsh_rose(x, p):
    """Return the drift of Hindmarsh & Rose 1984, with an adaptation that is not too slow."""
    return (
        x.y - x.x**3 + 3.0 * x.x**2 + 3.2 - x.z,
        1.0 - 5.0 * x.x**2 - x.y,
        0.5 * (4.0 * (x.x + 1.6) - x.z),
    )


BURSTING = of(
    hindmarsh_rose,
    State("x", start=-1.0, spread=0.1),
    State("y", start=-3.0, spread=0.1),
    State("z", start=2.0, spread=0.2),
    noise=(Noise("x", 0.3), Noise("y", 0.2)),
)


def simulated(eps: float, t_end: float, n: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of n neurons, by Euler-Maruyama at two steps, extrapolated."""
    generator = np.random.default_rng(12)
    steps = round(t_end / 0.01)
    h = t_end / steps
    start = generator.normal(size=(3, n))
    start -= start.mean(axis=1, keepdims=True)
    start = np.array([[-1.0], [-3.0], [2.0]]) + np.array([[0.1], [0.1], [0.2]]) * start
    states = [start.copy(), start.copy()]
    for _ in range(steps):
        halves = np.sqrt(h / 2) * np.array([[[0.3]], [[0.2]]]) * generator.normal(size=(2, 2, n))
        for x, kicks, size in (
            (states[0], [halves.sum(axis=1)], h),
            (states[1], [halves[:, 0], halves[:, 1]], h / 2),
        ):
            for kick in kicks:
                v, y, z = x
                drift = np.stack(
                    [
                        y - v**3 + 3 * v**2 + 3.2 - z + (v.mean() - v) / eps,
                        1 - 5 * v**2 - y,
                        0.5 * (4 * (v + 1.6) - z),
                    ]
                )
                x += size * drift
                x[:2] += kick
    means, covariances = zip(*((x.mean(axis=1), np.cov(x)) for x in states), strict=True)
    return 2 * means[1] - means[0], 2 * covariances[1] - covariances[0]


@pytest.fixture(scope="module")
def of_many():
    """Return time, mean and covariance of a simulated network that is far from its limit."""
    return 0.5, *simulated(0.1, 0.5)


@pytest.mark.parametrize("solver", ["hermite", "gaussian_closure"])
def test_bursting_neurons_have_the_law_of_a_large_network(of_many, solver):
    t_end, mean, spread = of_many
    found = run(BURSTING, solver, {"eps": 0.1}, {"t_end": t_end, "records": 1})
    sizes = np.diag(spread)
    # The closure leaves out third cumulants: O(eps^2) of the means, O(eps) of the covariances.
    bias = 0.02 if solver == "gaussian_closure" else 0.0
    error = np.sqrt(sizes / 200_000)
    off = np.abs(found["state_mean"][0, -1, 0] - mean)
    assert (off < 4.0 * error + bias * sizes).all(), off / error
    of_covariance = np.sqrt((np.outer(sizes, sizes) + spread**2) / 200_000)
    off = np.abs(found["covariance"][0, -1, 0] - spread)
    assert (off < 4.0 * of_covariance + bias * np.sqrt(np.outer(sizes, sizes))).all(), off


@lru_cache(maxsize=1)
def limit_of_bursting() -> Any:
    return run(BURSTING, "limit", {"eps": 1e-3}, TIMES | TIGHT | {"atol": 1e-13})


def test_the_limit_of_bursting_neurons_is_their_own_ordinary_equation():
    found = limit_of_bursting()
    exact = solve_ivp(
        lambda t, x: [
            x[1] - x[0] ** 3 + 3 * x[0] ** 2 + 3.2 - x[2],
            1 - 5 * x[0] ** 2 - x[1],
            0.5 * (4 * (x[0] + 1.6) - x[2]),
        ],
        (0, 1), [-1.0, -3.0, 2.0], t_eval=[0.5, 1.0], rtol=1e-12, atol=1e-13,
    ).y.T  # fmt: skip
    np.testing.assert_allclose(found["state_mean"][0, 1:, 0], exact, atol=1e-9)
    # Widths by hand: two Ornstein-Uhlenbeck processes, and a spread that decays.
    widths = found["width"][0, -1, 0] ** 2
    assert widths[0] == pytest.approx(0.09 * 1e-3 / 2, rel=1e-8)
    assert widths[1] == pytest.approx(0.02 + (0.01 - 0.02) * np.exp(-2.0), rel=1e-8)
    assert widths[2] == pytest.approx(0.04 * np.exp(-1.0), rel=1e-8)


def test_the_first_order_of_bursting_neurons_is_that_of_their_closure():
    limit = limit_of_bursting()
    found = run(BURSTING, "gaussian_closure", {"eps": 1e-3}, TIMES | TIGHT)
    moved = found["state_mean"][0, -1, 0] - limit["state_mean"][0, -1, 0]
    # What is left is of second order: eps relative, times slopes of about ten.
    np.testing.assert_allclose(moved, limit["mean_shift"][0, -1, 0], rtol=0.02)
    widened = found["covariance"][0, -1, 0, 0, 0] / limit["width"][0, -1, 0, 0] ** 2 - 1.0
    assert widened == pytest.approx(limit["widening"][0, -1, 0, 0], rel=0.02)


# -- what holds a law together ----------------------------------------------------------------


def both(drift: Any, **parts: Any) -> Model:
    given: dict[str, Any] = {"noise": (Noise("v", 0.8), Noise("w", 0.3))}
    return of(drift, State("v", start=0.5, spread=0.2), State("w", spread=0.4), **(given | parts))


def test_the_product_of_something_held_and_something_wide_moves_the_mean_at_first_order():
    model = of(
        lambda x: (-x.v + x.v * x.w + x.u, -0.5 * x.w - x.u, x.w - x.u + x.v**2),
        State("v", start=0.5, spread=0.2),
        State("w", spread=0.4),
        State("u", start=0.1),
        noise=(Noise("v", 0.8), Noise(("w", "u"), (0.3, 0.2))),
    )
    for eps, accuracy in ((1e-3, 0.02), (1e-4, 0.002)):
        limit = run(model, "limit", {"eps": eps}, TIMES | TIGHT | {"atol": 1e-13})
        found = run(model, "gaussian_closure", {"eps": eps}, TIMES | TIGHT)
        moved = found["state_mean"][0, -1, 0] - limit["state_mean"][0, -1, 0]
        np.testing.assert_allclose(moved, limit["mean_shift"][0, -1, 0], rtol=accuracy)
        # The widths of what nothing holds follow their joint linear equation.
        free = np.array([[-0.5, -1.0], [1.0, -1.0]])
        exact = covariance(free, np.outer([0.3, 0.2], [0.3, 0.2]), np.diag([0.16, 0.0]), 1.0)
        np.testing.assert_allclose(limit["width"][0, -1, 0, 1:] ** 2, np.diag(exact), rtol=1e-8)


def test_noise_that_moves_with_state_and_time_is_that_of_the_point():
    model = both(
        lambda x, t: (cos(t) - x.v, x.v - x.w),
        noise=(Noise("v", lambda x, t: 0.5 * x.v + t), Noise("w", lambda x: 0.3 * x.v)),
    )
    found = run(model, "limit", {}, TIMES | TIGHT | {"atol": 1e-13})

    def slope(t, x):
        v, w, held, free = x
        noise = 0.5 * v + t, 0.3 * v
        return [
            np.cos(t) - v, v - w, noise[0] ** 2 - 40.0 * held, noise[1] ** 2 - 2.0 * free,
        ]  # fmt: skip

    exact = solve_ivp(slope, (0, 1), [0.5, 0.0, 0.04, 0.16], rtol=1e-11, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(found["state_mean"][0, -1, 0], exact[:2], rtol=1e-8)
    np.testing.assert_allclose(found["width"][0, -1, 0] ** 2, exact[2:], rtol=1e-8)


def test_the_shift_of_strong_synapses_is_exact_at_first_order():
    model, left = core.get("model", "balanced"), []
    for gamma in (40.0, 80.0):
        params = {"gamma": gamma, "drift_cubic": [-1.0, -1.0], "drift_linear": [1.0, 1.0]}
        exact = run(model, "stationary_law", params)["state_mean"][0, :, 0]
        found = run(model, "limit", params, {"t_end": 60.0, "records": 1})
        moved = exact - found["state_mean"][0, -1, :, 0]
        shift = found["mean_shift"][0, -1, :, 0]
        left.append(np.abs(moved - shift).max())
        assert left[-1] < 0.01 * np.abs(moved).max()
    assert left[1] < 0.3 * left[0]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"coupling": ()}, r"nothing is strong \(no couplings\)"),
        ({"coupling": GapJunctions("v", "k")}, r"nothing is strong \(their rates are 0\)"),
        (
            {"drift": lambda x: (-x.v, -(x.w**3))},
            "w has noise, nothing strong holds it, and it ent",
        ),
        (
            {"drift": lambda x: (tanh(x.w) - x.v, 0.0), "noise": Noise("v", 1.0)},
            "w differs from neuron to neuron, .* allowed: equal parameters",
        ),
        (
            {"drift": lambda x: (x.w**2 - x.v, -x.w), "noise": Noise("v", 1.0)},
            "w starts with a spread",
        ),
        ({"noise": Noise("v", 1.0, common=True)}, "does not take common noise"),
        (
            {"noise": Noise("v", lambda x: x.v, stratonovich=True)},
            "needs Ito's integral .*: that of v is Stratonovich's",
        ),
        (
            {"state": (State("v"), State("w", floor=0.0, spread=0.1))},
            "w has noise and is reflected at a wall",
        ),
    ],
    ids=range(8),
)
def test_a_law_that_does_not_concentrate_is_refused_with_what_is_missing(parts, words):
    given: dict[str, Any] = {"drift": lambda x: (-x.v - x.w, x.v - x.w)}
    model = both(**(given | {k: v for k, v in parts.items() if k != "state"}))
    if "state" in parts:
        model = of(given["drift"], *parts["state"], noise=model.noise)
    with pytest.raises(StudyError, match=words):
        run(model, "limit")


def test_what_follows_something_wide_is_wide_and_what_nothing_moves_is_not():
    def follower(x):
        return (x.u**2 - x.v, -x.w, x.w - x.u)

    states = (State("v", spread=0.1), State("w"), State("u", start=0.4))
    with pytest.raises(StudyError, match="u follows w, nothing strong holds it"):
        run(of(follower, *states, noise=Noise("w", 0.1)), "limit")
    quiet = run(of(follower, *states, noise=Noise("v", 0.1)), "limit", {}, TIMES)
    # v' = u^2 - v, u = .4 e^-t
    exact = 0.16 * (np.exp(-1.0) - np.exp(-2.0))
    assert quiet["state_mean"][0, -1, 0, 0] == pytest.approx(exact, rel=1e-8)


def test_a_path_that_leaves_its_walls_is_out_of_domain():
    model = of(lambda x: (-1.0 - x.v, -x.w), State("v", floor=0.0, spread=0.1), State("w"))
    solver = core.get("solver", "limit")
    params, options = core.resolve(model.params, {}), core.resolve(solver.options, TIMES)
    solver.accept(model, params, options)
    found = solver.solve(model, params, options, 0, range(1))
    assert found.status[0] == Status.OUT_OF_DOMAIN
    assert np.isnan(found.arrays["state_mean"]).all()


# -- one variable, several nonlinear ones, any order ------------------------------------------


def by_finite_volumes(cells: int, eps: float, noise: float) -> tuple[float, float]:
    """Return mean and variance at t = 1 of dx = [f(x) + (m - x)/eps] dt + noise dW, f = x - x^3.

    Central fluxes between cells, Crank-Nicolson steps, the mean at the middle of a step from its
    own equation m' = <f>: second order in everything.
    """
    faces = np.linspace(-1.5, 2.5, cells + 1)
    x, dx, h = 0.5 * (faces[1:] + faces[:-1]), 4.0 / cells, 0.2 / cells
    p = np.exp(-0.5 * ((x - 0.5) / 0.3) ** 2)
    inner = faces[1:-1]
    for _ in range(5 * cells):
        p /= p.sum()
        middle = p @ x + 0.5 * h * (p @ (x - x**3))
        speed = (inner - inner**3 + (middle - inner) / eps) / (2.0 * dx)
        spreading = 0.5 * noise**2 / dx**2
        # Mass per time through a face: from the cell on its left, and from that on its right.
        right, left = spreading + speed, spreading - speed
        bands = np.zeros((3, cells))
        bands[0, 1:], bands[2, :-1] = left, right
        bands[1, :-1] -= right
        bands[1, 1:] -= left
        moved = bands[1] * p
        moved[:-1] += left * p[1:]
        moved[1:] += right * p[:-1]
        p = solve_banded(
            (1, 1), np.array([[0.0], [1.0], [0.0]]) - 0.5 * h * bands, p + 0.5 * h * moved
        )
    mean = p @ x / p.sum()
    return float(mean), float(p @ (x - mean) ** 2 / p.sum())


def test_one_variable_has_the_law_that_finite_volumes_give():
    model = of(lambda x: (x.v - x.v**3,), State("v", start=0.5, spread=0.3), noise=Noise("v", 0.6))
    found = run(model, "hermite", {"eps": 0.2}, {"t_end": 1.0, "records": 2})
    coarse, fine = (np.array(by_finite_volumes(cells, 0.2, 0.6)) for cells in (200, 400))
    exact = (4.0 * fine - coarse) / 3.0
    got = found["state_mean"][0, -1, 0, 0], found["covariance"][0, -1, 0, 0, 0]
    # Of what the two grids differ by, extrapolation leaves a small part.
    assert np.abs(got - exact).max() < 0.1 * np.abs(fine - coarse).max() < 1e-5
    assert found["coefficients"].shape == (1, 3, 1, 24)


def test_averages_over_two_variables_are_those_of_a_normal_law():
    # Isserlis: <x y> = m n + C, <x y (x - m)> = n A + m C, <x^2> = m^2 + A, <x^2 (y - n)> = 2 m C.
    model = of(
        lambda x: (x.x * x.y - x.x, x.x**2 - x.y),
        State("x", start=0.3, spread=0.4),
        State("y", start=-0.2, spread=0.5),
        noise=(Noise("x", 0.7), Noise("y", 0.2)),
    )
    closure = Closure(model, core.resolve(model.params, {}))
    a, b, c, m, n = 0.16, 0.25, -0.1, 0.3, -0.2
    law = Moments(np.array([[m, n]]), np.array([[[a, c], [c, b]]]))
    mean, change = closure.unpack(closure.slope(0.0, closure.pack(law)))
    np.testing.assert_allclose(mean[0], [m * n + c - m, m * m + a - n], rtol=1e-13)
    gap = 20.0
    xx = 2.0 * (n * a + m * c - a - gap * a) + 0.49
    xy = (n * c + m * b - c - gap * c) + (2.0 * m * a - c)
    yy = 2.0 * (2.0 * m * c - b) + 0.04
    np.testing.assert_allclose(change[0], [[xx, xy], [xy, yy]], rtol=1e-13)


@pytest.mark.slow
def test_the_mean_of_a_planar_network_is_the_same_with_an_idle_variable_beside_it():
    # Planar networks have formulas of their own; noise is that of a variable's number.
    params = (Param("eps", 0.02), Param("k", 0.3))

    def plane(x, p):
        return -x.v * (x.v - 4.0) * (x.v - 1.0) + 0.3 - x.w, 0.2 * x.v - p.k * x.w

    def beside(x, p):
        return -x.v * (x.v - 4.0) * (x.v - 1.0) + 0.3 - x.w, 0.2 * x.v - p.k * x.w, -x.u

    states = (State("v", spread=0.07), State("w", spread=0.5))
    noise = (Noise("v", 0.7), Noise("w", 0.4))
    options = {"t_end": 5.0, "records": 5, "n_neurons": 100, "dt": 0.02, "trace_every": 25}
    found = run(of(plane, *states, noise=noise, params=params), "reduced", {}, options, 3)
    other = run(
        of(beside, *states, State("u"), noise=noise, params=params), "reduced", {}, options, 3
    )
    # The variance is iterated once more: (eps slope)^3 of its share in the drift.
    for name in ("state_mean", "trace"):
        np.testing.assert_allclose(other[name][..., :2], found[name], atol=1e-8, err_msg=name)
    assert np.ptp(found["state_mean"][:, -1, 0, 0]) > 0.01


def test_limit_reduced_mean_and_closure_agree_to_their_orders():
    # Synapses, gap junctions, a field, time and a bent drift of what nothing holds, all at once.
    model = of(
        lambda x, m, t: (0.3 * x.v - x.v**3 - x.w + 0.3 * m.f + 0.2 * cos(t), x.v**2 - x.w),
        State("v", start=0.5, spread=lambda p: 0.2 * sqrt(p.eps)),
        State("w", start=0.1),
        noise=Noise("v", 0.3),
        fields=(Field("f", lambda x: tanh(2.0 * x.v)),),
        coupling=(
            Synapses("v", lambda p: 0.6 / p.eps, lambda m, p: (0.3 + 0.2 * m.f) / p.eps),
            GapJunctions("v", lambda p: 0.5 / p.eps),
        ),
    )
    times, left = {"t_end": 2.0, "records": 2}, []
    for eps in (0.02, 0.01):
        given, many = {"eps": eps}, {"n_neurons": 2**60, "dt": 0.002}
        closure = run(model, "gaussian_closure", given, times | TIGHT)["state_mean"][0, -1, 0]
        limit = run(model, "limit", given, times)
        point = limit["state_mean"][0, -1, 0]
        reduced = run(model, "reduced", given, times | many)["state_mean"][0, -1, 0]
        others = point, point + limit["mean_shift"][0, -1, 0], reduced
        left.append([np.abs(other - closure).max() for other in others])
    first, second, third = np.log2(np.array(left[0]) / np.array(left[1]))
    assert 0.7 < first < 1.3
    assert second > 1.7
    assert third > 1.7


def planar(first: str, second: str) -> Model:
    states = {
        "v": State("v", start=0.3, spread=0.1**0.5 / 2.0),
        "w": State("w", start=-0.2, spread=0.5),
    }

    def drift(x):
        return x.v - x.v**3 - x.w, 0.4 * x.v + 0.1

    def swapped(x):
        return 0.4 * x.v + 0.1, x.v - x.v**3 - x.w

    return of(
        drift if first == "v" else swapped,
        states[first],
        states[second],
        coupling=GapJunctions("v", 20.0),
        noise=(Noise("v", 1.0), Noise("w", 0.3)),
    )


@pytest.mark.parametrize("solver", ["limit", "gaussian_closure", "hermite", "hopf_cole"])
def test_variables_may_stand_in_any_order_and_need_not_decay(solver):
    options: dict[str, Any] = {"t_end": 0.5, "records": 2}
    if solver == "hopf_cole":
        options |= {"largest_loss": 0.2}
    found, other = (run(planar(*names), solver, {}, options) for names in ("vw", "wv"))
    for name in ("state_mean", "covariance", "frame", "width", "mean_shift"):
        if name in found:
            turned = other[name][:, :, :, ::-1]
            turned = turned[..., ::-1] if name == "covariance" else turned
            np.testing.assert_allclose(found[name], turned, rtol=1e-7, atol=1e-9, err_msg=name)


# -- nothing random ---------------------------------------------------------------------------


def test_without_noise_and_spread_a_law_is_a_point_that_follows_the_drift():
    def drift(x, t):
        return x.v - x.v**3 - x.w + cos(t), 0.5 * x.v * x.w + exp(-x.v)

    still = of(drift, State("v", start=0.3), State("w", start=0.1))
    exact = solve_ivp(
        lambda t, x: [
            x[0] - x[0] ** 3 - x[1] + np.cos(t), 0.5 * x[0] * x[1] + np.exp(-x[0]),
        ],
        (0, 1), [0.3, 0.1], rtol=1e-11, atol=1e-13,
    ).y[:, -1]  # fmt: skip
    for solver in ("limit", "gaussian_closure"):
        found = run(still, solver, {}, TIMES)
        np.testing.assert_allclose(found["state_mean"][0, -1, 0], exact, atol=1e-8, err_msg=solver)
        if solver == "gaussian_closure":
            assert np.abs(found["covariance"]).max() == 0.0
    with pytest.raises(StudyError, match="no noise in v: its law has no density"):
        run(of(lambda x: (-(x.v**3), x.v), State("v"), State("w")), "hermite")
    with pytest.raises(StudyError, match="law of w has no width, and no noise gives it one"):
        run(
            of(lambda x: (-(x.v**3), x.v), State("v"), State("w"), noise=Noise("v", 1.0)), "hermite"
        )


@pytest.mark.parametrize(
    ("solver", "parts", "words"),
    [
        (
            "moments",
            {"drift": lambda x: (-(x.v**2), -x.w)},
            r"a linear model: x\.v enters the drift",
        ),
        ("moments", {"drift": lambda x, t: (t - x.v, -x.w)}, "a drift that depends on time"),
        ("moments", {"noise": Noise("v", lambda x: x.v)}, "noise that depends on state"),
        ("reduced", {"initial": lambda z: (z.v**2, z.w)}, r"Gaussian: z\.v enters otherwise"),
        (
            "moments",
            {"coupling": Synapses("v", lambda m: m.v**2, 0.0)},
            r"couplings move with m\.v",
        ),
        (
            "gaussian_closure",
            {"initial": lambda z: (z.v, tanh(z.w))},
            r"Gaussian: z\.w enters otherwise",
        ),
        ("gaussian_closure", {"noise": Noise("v", 1.0, common=True)}, "does not take common noise"),
        ("reduced", {"drift": lambda x: (-x.v, -(x.w**3))}, "the law does not concentrate: w has"),
    ],
    ids=range(8),
)
def test_what_a_solver_needs_is_named(solver, parts, words):
    model = both(**({"drift": lambda x: (-x.v - x.w, x.v - x.w)} | parts))
    with pytest.raises(StudyError, match=words):
        run(model, solver)


def test_moments_take_a_start_that_bends():
    # v starts as a square of a normal: mean 1, variance 2; w as v plus a normal.
    model = both(
        drift=lambda x: (-x.v, -x.w),
        initial=lambda z: (z.v**2, z.v**2 + z.w),
        coupling=(),
        noise=(),
    )
    found = run(model, "moments", options={"t_end": 1.0, "records": 1, "n_neurons": 1000})
    decay = np.exp([0.0, -1.0])
    np.testing.assert_allclose(found["state_mean"][0, :, 0].T, [decay, decay], rtol=1e-12)
    start = np.array([[2.0, 2.0], [2.0, 3.0]]) * (1.0 - 1e-3)
    expected = start * decay[:, None, None] ** 2
    np.testing.assert_allclose(found["covariance"][0, :, 0], expected, rtol=1e-12)


def test_what_is_too_much_is_named():
    five = [State(symbol, spread=0.1) for symbol in "abcde"]
    cubes = of(
        lambda x: (-(x.a**3), -(x.b**3), -(x.c**3), -(x.d**3), -(x.e**3)),
        *five,
        noise=Noise("a", 1.0),
    )
    with pytest.raises(
        StudyError, match=r"at most 3 variables that enter nonlinearly: they are x\.a"
    ):
        run(cubes, "gaussian_closure")
    with pytest.raises(StudyError, match="hermite needs 1 to 3 variables: there are 5"):
        run(cubes, "hermite")
    walled = of(lambda x: (-x.v,), State("v", floor=0.0, spread=0.1), noise=Noise("v", 1.0))
    for solver in (
        "gaussian_closure",
        "hermite",
        "moments",
        "reduced",
        "moving_grid",
        "stationary_law",
    ):
        with pytest.raises(StudyError, match="variables without walls: v is reflected"):
            run(walled, solver)
