"""The skeleton of planar networks: closed forms, continuation, return maps, each against others."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurolim import core
from neurolim.bifurcation import closure, cycles
from neurolim.bifurcation import plane as planar
from neurolim.bifurcation.collocation import ContinuationError, Cycle
from neurolim.bifurcation.plane import Plane
from neurolim.bifurcation.return_map import stable_cycles
from neurolim.core import Status, StudyError


def cubic(a, b, lam=4.0):
    return Plane((0.0, -lam, 1.0 + lam, -1.0), a, b)


def field_of(plane):
    return lambda x, current: planar.velocity(plane, current, x)


def from_hopf(plane, amplitude, intervals=80):
    point = planar.hopf_points(plane)[0]
    centre = np.array([point.v, plane.recovery(point.v)])
    field = field_of(plane)
    return field, point, cycles.from_hopf(field, centre, point.current, amplitude, intervals)


def test_currents_of_the_cubic_are_those_of_the_literature_formulas():
    lam, a, b = 4.0, 0.005, 0.05
    low, high = planar.hopf_points(cubic(a, b))
    root = np.sqrt((1 + lam) ** 2 - 3 * (lam + a))
    for point, sign in ((low, -1), (high, 1)):
        v = (1 + lam + sign * root) / 3
        current = v * (v - lam) * (v - 1) + b / a * v
        assert point.v == pytest.approx(v, abs=1e-13)
        assert point.current == pytest.approx(current, abs=1e-12)
        c2 = 3 * v - (1 + lam)
        assert 16 * point.lyapunov == pytest.approx(-6 + 4 * a * c2**2 / (b - a**2), abs=1e-12)
    assert low.current == pytest.approx(5.534516181, abs=1e-9)
    assert planar.hopf_points(cubic(0.01, 0.1))[0].current == pytest.approx(5.541450737, abs=1e-9)
    assert planar.saddle_nodes(cubic(0.3, 0.1))[0][0] == pytest.approx(1.0421644, abs=1e-7)


def test_codimension_two_points_of_the_cubic():
    lam, a = 4.0, 0.3
    s2 = lam**2 - lam + 1
    for b, _ in planar.bautin_gains(cubic(a, 0.1)):
        assert b == pytest.approx(2 * a / 3 * s2 - a**2, abs=1e-12)
        assert planar.hopf_points(cubic(a, b))[0].lyapunov == pytest.approx(0.0, abs=1e-13)
    ((current, v, b),) = planar.cusps(cubic(a, 0.1))
    q = lam + b / a
    assert q == pytest.approx((1 + lam) ** 2 / 3, abs=1e-12)
    assert current == pytest.approx(((1 + lam) / 3) ** 3, abs=1e-12)
    assert v == pytest.approx((1 + lam) / 3, abs=1e-12)
    # Bogdanov-Takens: the Hopf point meets the fold at b = a^2 and is gone below.
    assert planar.hopf_points(cubic(a, a**2 - 1e-9)) == []
    near = cubic(a, a**2 * (1 + 1e-6))
    gap = planar.hopf_points(near)[0].current - planar.saddle_nodes(near)[0][0]
    assert abs(gap) < 1e-8


def test_number_of_equilibria_changes_at_the_saddle_nodes_only():
    plane = cubic(0.3, 0.1)
    for current, _ in planar.saddle_nodes(plane):
        counts = {len(planar.equilibria(plane, current + d)) for d in (-1e-9, 1e-9)}
        assert counts == {1, 3}


def test_a_quintic_has_five_equilibria_where_its_factors_say_so():
    roots = [-2.0, -0.5, 0.3, 1.0, 2.5]
    g = -np.polynomial.polynomial.polyfromroots(roots)
    g[1] += 0.2 / 0.4
    found = planar.equilibria(Plane(tuple(g), 0.4, 0.2), 0.0)
    np.testing.assert_allclose([point.v for point in found], roots, atol=1e-12)
    assert [point.saddle for point in found] == [False, True, False, True, False]


def test_small_cycles_leave_the_hopf_point_as_its_lyapunov_coefficient_says():
    for a, b in ((0.01, 0.1), (0.03, 0.1)):
        plane = cubic(a, b)
        _, point, cycle = from_hopf(plane, 1e-3)
        low, high = cycle.extent()
        radius = 0.5 * (high - low)
        assert cycle.period == pytest.approx(2 * np.pi / point.frequency, rel=1e-4)
        growth = plane.slope(point.v, 2) * a / (2 * (b - a**2))
        wanted = -point.lyapunov * radius**2 / growth
        # The next term is of relative order r^2/d, r^2/d < 3e-5; the extremes are nodes of a mesh.
        assert cycle.parameter - point.current == pytest.approx(wanted, rel=5e-3)


def test_continuation_starts_at_the_hopf_current_to_1e_8():
    plane = cubic(0.01, 0.1)
    found = []
    for amplitude in (1e-3, 2e-3):
        _, point, cycle = from_hopf(plane, amplitude)
        low, high = cycle.extent()
        found.append((high - low, cycle.parameter))
    # The current is even in the amplitude: two cycles remove the square, the fourth power is left.
    (r1, i1), (r2, i2) = found
    extrapolated = i1 - (i2 - i1) * r1**2 / (r2**2 - r1**2)
    assert abs(i1 - point.current) > 1e-7
    assert abs(extrapolated - point.current) < 1e-8


@pytest.mark.parametrize(("a", "b", "canard"), [(0.005, 0.05, 5.53505492), (0.01, 0.1, 5.54253906)])
def test_canard_explosion_by_continuation(a, b, canard):
    field, _, start = from_hopf(cubic(a, b), 0.01, 100)
    along = cycles.along(field, start, step=0.02, until=lambda cycle: cycle.extent()[1] > 1.2)
    last = list(along)[-1]
    # On the explosion the branch is vertical: any cycle on it gives the value.
    assert abs(last.tangent[-1]) < 1e-8
    assert abs(last.parameter - canard) < 1e-6
    # The formula is short by .225 to .228 a^2 for b/a = 10.
    estimate = planar.canard_currents(cubic(a, b))[0]
    assert 0.224 < (last.parameter - estimate) / a**2 < 0.229


def test_homoclinic_current_and_its_estimate():
    plane = cubic(0.3, 0.1)
    found = planar.homoclinic_current(plane, 1.0415, 1.04216)
    assert abs(found - 1.0420118) < 1e-6
    hopf = planar.hopf_points(plane)[0].current
    # d/a^2 = .11: the next order of the estimate is that small.
    assert planar.homoclinic_estimates(plane)[0] - hopf == pytest.approx(found - hopf, rel=0.1)
    assert np.isnan(planar.homoclinic_current(plane, 1.0421, 1.04216))


@pytest.mark.slow
def test_unstable_cycles_end_in_the_homoclinic_orbit():
    plane = cubic(0.3, 0.1)
    field, _, start = from_hopf(plane, 2e-4, 60)
    branch = cycles.along(field, start, step=5e-4, longest=0.01, until=lambda c: c.period > 100)
    last = list(itertools.islice(branch, 120))[-1]
    assert cycles.divergence(field, last) > 0.0
    found = planar.homoclinic_current(plane, 1.0415, 1.04216)
    saddle = next(p for p in planar.equilibria(plane, found) if p.saddle)
    # The distance in current is of the order of exp(-(leading rates) T) of the loop's size.
    slowest = min(abs(value.real) for value in saddle.eigenvalues)
    assert abs(last.parameter - found) < 10 * np.exp(-slowest * last.period) + 1e-8


def relaxation_cycle(plane, current, guess):
    field = field_of(plane)
    found: Any = solve_ivp(
        lambda t, x: field(x, current), (0, 500), guess, "DOP853", rtol=1e-10, atol=1e-10,
        events=lambda t, x: x[0] - 1.5, dense_output=True,
    )  # fmt: skip
    rising: Any = [t for t in found.t_events[0] if field(found.sol(t), current)[0] > 0][-2:]
    times = np.linspace(rising[0], rising[1], 4000)
    return field, cycles.from_trajectory(field, times, found.sol(times).T, current, 150)


@pytest.mark.slow
@pytest.mark.ci
def test_fold_of_cycles_by_continuation_and_by_the_return_map():
    plane = cubic(0.03, 0.1)
    field, cycle = relaxation_cycle(plane, 2.45, [3.0, 0.0])
    cycle = cycle._replace(tangent=-np.sign(cycle.tangent[-1]) * cycle.tangent)
    along = cycles.along(
        field, cycle, step=0.05, longest=0.2, until=lambda c: c.tangent[-1] > -1e-9
    )
    fold = list(along)[-1].parameter
    # 2.4384048, once given, lies above cycles that are there (next line); AUTO on a fine mesh has
    # this value, too (test_auto.py).
    assert fold == pytest.approx(2.43838575, abs=1e-7)
    assert len(stable_cycles(plane, fold + 2e-6)) == 1
    assert stable_cycles(plane, fold - 2e-6) == []


def test_a_fold_is_found_between_its_neighbours():
    # Radial dynamics r' = r (p - (r^2 - 1)^2): cycles r^2 = 1 +- sqrt(p), folding at p = 0, r = 1.
    def field(x, p):
        r2 = x[0] ** 2 + x[1] ** 2
        radial = p - (r2 - 1.0) ** 2
        return np.stack([x[0] * radial - x[1], x[1] * radial + x[0]])

    angle = np.linspace(0.0, 2 * np.pi, 400)
    points = 1.1 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    start = cycles.from_trajectory(field, angle, points, 0.0441, 20)
    assert start.extent()[1] == pytest.approx(1.1, abs=1e-6)
    exact = np.exp(-2 * np.pi * 4 * 1.21 * 0.21)
    assert cycles.divergence(field, start) == pytest.approx(np.log(exact), abs=1e-8)
    np.testing.assert_allclose(cycles.multipliers(field, start), [1.0, exact], atol=1e-9)
    start = start._replace(tangent=-np.sign(start.tangent[-1]) * start.tangent)
    branch = cycles.along(field, start, step=0.05, longest=0.05, until=lambda c: c.tangent[-1] > 0)
    *_, before, after = branch
    fold = cycles.fold(field, before, after)
    assert fold.parameter == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ContinuationError, match="no fold"):
        cycles.fold(field, start, before)


def test_collocation_converges_at_its_order():
    field, start = from_hopf(cubic(0.1, 0.5), 0.3, 160)[::2]
    # A cycle of amplitude .3; the same one on coarser, equal meshes.
    errors = []
    fine = cycles.correct(field, start, adapt=False)
    for n in (10, 20):
        mesh = np.linspace(0, 1, n + 1)
        guess = Cycle(mesh, fine.points[:: 160 // n], fine.period, fine.parameter)
        found = cycles.correct(field, guess, adapt=False)
        errors.append(abs(found.period - fine.period))
    # Order 8 in the period: 256 times less; at least order 6 while the mesh is coarse.
    assert errors[1] < errors[0] / 64


def test_a_hopeless_guess_is_refused_with_the_place():
    plane = cubic(0.01, 0.1)
    mesh = np.linspace(0, 1, 11)
    rough = np.random.default_rng(1).normal(size=(41, 2)) * 50
    guess = Cycle(mesh, rough, 20.0, 5.6)
    with pytest.raises(ContinuationError, match=r"near parameter 5\.6"):
        cycles.correct(field_of(plane), guess)


def test_return_map_finds_the_relaxation_cycle_of_the_oscillating_example():
    (cycle,) = stable_cycles(cubic(0.03, 0.15), 4.0)
    assert cycle.period == pytest.approx(65.68, abs=0.005)
    _, collocated = relaxation_cycle(cubic(0.03, 0.15), 4.0, [3.0, 0.0])
    # Runge-Kutta at h = .01 with slopes up to 13: (.13)^4/120 per unit of fast time, a few of them.
    assert cycle.period == pytest.approx(collocated.period, abs=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "current", "stable", "turning"),
    [
        (0.3, 0.15, 0.0, 2, 0),
        (0.03, 0.1, 3.0, 0, 1),  # three equilibria, none stable, in spite of Delta > 0
        (0.03, 0.1, 2.44, 1, 1),  # a stable focus and a stable cycle together
        (0.01, 0.1, 5.5414, 1, 0),
        (0.01, 0.1, 5.5420, 0, 1),
        (0.01, 0.1, 5.55, 0, 1),
    ],
)
def test_attractors_are_found_by_computation_not_by_signs(a, b, current, stable, turning):
    plane = cubic(a, b)
    assert sum(point.stable for point in planar.equilibria(plane, current)) == stable
    assert len(stable_cycles(plane, current)) == turning


def van_der_pol(mu, c=0.0):
    """Return v' = mu (v - v^3/3) + I - w, w' = v + c: van der Pol's equation, without decay."""
    return Plane((0.0, mu, 0.0, -mu / 3.0), 0.0, 1.0, c)


def test_van_der_pols_cycle_is_found_without_decay():
    plane = van_der_pol(1.0)
    (cycle,) = stable_cycles(plane, 0.0)

    def upper(t, x):
        return x[0]

    def extreme(t, x):
        return plane.f[1] * x[0] + plane.f[3] * x[0] ** 3 - x[1]

    events: Any = (upper, extreme)
    events[0].direction = -1.0
    path: Any = solve_ivp(
        lambda t, x: planar.velocity(plane, 0.0, x),
        (0.0, 60.0),
        [2.0, 0.0],
        "DOP853",
        events=events,
        rtol=1e-12,
        atol=1e-12,
    )
    # Runge-Kutta at h = .01 with slopes of order one; extremes are taken at steps, h^2/8 of v''.
    assert cycle.period == pytest.approx(np.diff(path.t_events[0])[-1], abs=1e-7)
    top = np.abs(path.y_events[1][-1][0])
    assert (-cycle.low, cycle.high) == pytest.approx((top, top), abs=3e-5)
    # Harmonic at weak nonlinearity, T = 2 pi (1 + mu^2/16 - 5 mu^4/3072 ..).
    (small,) = stable_cycles(van_der_pol(0.1), 0.0)
    assert small.period == pytest.approx(2 * np.pi * (1 + 0.01 / 16 - 5e-4 / 3072), abs=1e-6)


@pytest.mark.parametrize("current", [-3.0, 2.0])
def test_without_decay_the_current_moves_the_recovery_alone(current):
    plane = van_der_pol(1.0, 0.4)
    (rest,), (moved,) = planar.equilibria(plane, 0.0), planar.equilibria(plane, current)
    assert (moved.v, moved.w) == pytest.approx((-0.4, rest.w + current))
    # f'(-.4) = .84 is the trace, the gain the determinant.
    assert moved.eigenvalues[0] == pytest.approx(0.42 + 1j * np.sqrt(1.0 - 0.42**2))
    (still,), (turning,) = stable_cycles(plane, 0.0), stable_cycles(plane, current)
    assert turning == pytest.approx(still, rel=1e-9)
    for found in (planar.hopf_points, planar.saddle_nodes, planar.canard_currents):
        assert found(plane) == []


def test_without_decay_the_cycle_is_born_where_f_turns():
    # f'(-c) changes sign at c = 1, with l1 = f3/16 < 0: supercritical.
    assert stable_cycles(van_der_pol(1.0, 1.001), 0.0) == []
    (cycle,) = stable_cycles(van_der_pol(1.0, 0.999), 0.0)
    # Amplitude A of the normal form, A^2 = 8 trace/(-f3) with trace f'(-c) = 1 - c^2, f3 = -2;
    # what follows is smaller by A^2.
    square = 4.0 * (1.0 - 0.999**2)
    assert cycle.period == pytest.approx(2 * np.pi, rel=square)
    assert 0.5 * (cycle.high - cycle.low) == pytest.approx(np.sqrt(square), rel=square)


def test_separatrix_of_the_bistable_example_divides_the_starts():
    plane = cubic(0.3, 0.15)
    saddle = next(point for point in planar.equilibria(plane, 0.0) if point.saddle)
    curve = planar.separatrix(plane, 0.0, saddle, 100.0, 8.0)
    v = np.interp(1.0, curve[:, 1], curve[:, 0])
    assert v == pytest.approx(1.280, abs=1e-3)
    ends = []
    for start in (v - 0.01, v + 0.01):
        path = solve_ivp(lambda t, x: planar.velocity(plane, 0.0, x), (0, 60), [start, 1.0])
        ends.append(path.y[0, -1])
    assert ends[0] < 0.1
    assert ends[1] > 3.7


@pytest.mark.parametrize(
    ("coupling", "current", "rounding"),
    [(100, 5.54249, 5e-6), (50, 5.5400, 5e-5), (25, 5.5246, 5e-5), (10, 5.398, 5e-4)],
)
def test_closure_moves_the_hopf_point(coupling, current, rounding):
    found = closure.hopf_currents(cubic(0.01, 0.1), closure.Network(coupling, 1.0))[0]
    assert found == pytest.approx(current, abs=rounding)


def test_closure_tends_to_the_limit_and_is_exact_for_linear_drift():
    plane = cubic(0.01, 0.1)
    limit = planar.hopf_points(plane)[0].current
    gaps = [closure.hopf_currents(plane, closure.Network(j, 1.0))[0] - limit for j in (1e4, 1e5)]
    # First order in 1/J; the next order is 1/J^2 times the square of f'' and f'.
    assert gaps[0] / gaps[1] == pytest.approx(10.0, rel=1e-2)
    linear, network = Plane((0.3, -1.0), 0.3, 0.4, -0.1), closure.Network(5.0, 1.1, 0.3)
    x, current = closure.equilibrium(linear, network, 0.7)
    np.testing.assert_allclose(closure.velocity(linear, network, current, x), 0.0, atol=1e-12)
    drift = np.array([[-1.0 - 5.0, -1.0], [0.4, -0.3]])
    covariance = np.array([[x[2], x[3]], [x[3], x[4]]])
    rest = drift @ covariance + covariance @ drift.T + np.diag([1.1**2, 0.3**2])
    np.testing.assert_allclose(rest, 0.0, atol=1e-12)


def test_gaussian_averages_are_those_of_a_quadrature():
    f = (0.3, -1.0, 0.4, 0.7, -0.2, -0.1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    wanted = weights @ np.polynomial.polynomial.polyval(0.6 + 0.5 * nodes, f) / weights.sum()
    assert closure.gaussian_average(f, 0.6, 0.25) == pytest.approx(wanted, abs=1e-13)


def skeleton(params, **options):
    model, solver = core.get("model", "fitzhugh_nagumo"), core.get("solver", "equilibria")
    p, o = core.resolve(model.params, params), core.resolve(solver.options, options)
    solver.check(model, p, o)
    found = solver.solve(model, p, o, 0, range(1))
    for var in solver.outputs(model, o):
        shape = tuple(len(solver.coords(model, p, o)[dim].values) for dim in var.dims)
        assert found.arrays[var.name].shape == (1, *shape), var.name
    return found


def test_solver_gives_everything_it_promises():
    found = skeleton(
        {"a": 0.3, "b": 0.15}, margin=0.1, curves=50, branch=5, trajectory=True, records=4
    )
    assert found.status[0] == Status.OK
    assert found.arrays["limit_class"][0] == 2
    assert found.arrays["robust"][0] == 1
    assert found.arrays["stability"][0, :4].tolist() == [1, 2, 1, -1]
    assert np.isnan(found.arrays["cycle_period"][0])
    near_fold = skeleton({"a": 0.3, "b": 0.1, "current": 1.0}, margin=0.15)
    assert near_fold.arrays["robust"][0] == 0


def test_points_without_an_equilibrium_or_a_branch_have_a_status():
    # w rises as fast as f falls: the nullclines are parallel.
    line = {"drift": "polynomial", "coefficients": [0.3, -1.0], "a": 1.0, "b": -1.0}
    nowhere = skeleton(line, branch=3, margin=0.1)
    assert nowhere.status[0] == Status.OUT_OF_DOMAIN
    assert np.isnan(nowhere.arrays["equilibrium"]).all()
    # 1e-7 from Bogdanov-Takens the small cycles are smaller than the first one tried.
    stuck = skeleton({"a": 0.3, "b": 0.0900001}, branch=3)
    assert stuck.status[0] == Status.NOT_CONVERGED
    assert np.isnan(stuck.arrays["cycle_branch"]).all()


def test_the_solver_takes_zero_decay_and_zero_noise():
    given = {"drift": "canonical", "a": 0.0, "b": 1.0, "c": 0.2, "sigma": 0.0}
    found = skeleton(given, margin=0.1, curves=20, branch=3, trajectory=True, records=4).arrays
    (rest,) = planar.equilibria(Plane((0.0, 1.0, 0.0, -1.0), 0.0, 1.0, 0.2), 0.0)
    np.testing.assert_allclose(found["equilibrium"][0, 0], [-0.2, -0.2 + 0.008], rtol=1e-13)
    assert found["eigenvalue"][0, 0, 0] == rest.eigenvalues[0].real
    assert found["turning"][0] == 1.0
    assert found["limit_class"][0] == 3
    assert found["robust"][0] == 1
    # Nothing happens at any current, and the w-nullcline is no function of v.
    assert np.isnan(found["bifurcation_current"]).all()
    assert np.isnan(found["cycle_branch"]).all()
    assert np.isnan(found["nullcline"][0, :, 2]).all()
    with pytest.raises(StudyError, match="w neither decays nor follows v"):
        skeleton({"a": 0.0, "b": 0.0})


def test_solver_refuses_networks_that_are_not_planar():
    with pytest.raises(StudyError, match="one site"):
        skeleton({"positions": [0.0, 1.0]})
    model, solver = core.get("model", "morris_lecar"), core.get("solver", "equilibria")
    with pytest.raises(StudyError, match="needs gap junctions in one variable"):
        solver.accept(model, core.resolve(model.params, {}), core.resolve(solver.options, {}))
