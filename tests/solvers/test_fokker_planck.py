"""Fokker-Planck equation: exact gaps and laws, mass, signs, orders, and an independent method."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import spsolve
from scipy.stats import t as t_distribution

from neurolim import core
from neurolim.core import Status, StudyError
from neurolim.solvers.law.finite_volume import REFINEMENTS, extrapolate, spectral_gap, stationary
from neurolim.solvers.parts.cells import Grid
from neurolim.statistics.agreement.reflection_bias import stationary_mean

MODEL = core.get("model", "morris_lecar")
SOLVER = core.get("solver", "finite_volume")


def grids(given, n=24):
    params = core.resolve(MODEL.params, given)
    return [Grid(MODEL, params, (round(n * r),) * 2, 6.0) for r in REFINEMENTS]


def run(given, **options):
    params = core.resolve(MODEL.params, given)
    chosen = core.resolve(
        SOLVER.options,
        {"n_voltage": 16, "n_conductance": 16, "gap_tolerance": 0.5, "records": 4, "t_end": 2.0}
        | options,
    )
    SOLVER.check(MODEL, params, chosen)
    return SOLVER.solve(MODEL, params, chosen, 0, range(1))


def collocation(points):
    """Return (x, D): Chebyshev points on [0, 1] and their differentiation matrix."""
    x = np.cos(np.pi * np.arange(points + 1) / points)
    c = np.concatenate([[2.0], np.ones(points - 1), [2.0]]) * (-1.0) ** np.arange(points + 1)
    apart = x[:, None] - x[None, :] + np.eye(points + 1)
    d = np.outer(c, 1.0 / c) / apart
    d -= np.diag(d.sum(axis=1))
    return 0.5 * (x + 1.0), 2.0 * d


def backward_gap(noise, n_v=14, n_g=26):
    """Return the gap of the backward generator by collocation, Neumann at both ends in g."""
    x, d = collocation(n_v)
    y, e = collocation(n_g)
    top = 1.2 + 6.0 * noise
    v, g, e = 1.0 + x, top * y, e / top
    inner, ends = np.arange(1, n_g), [0, n_g]
    lift = np.zeros((n_g + 1, n_g - 1))
    lift[inner] = np.eye(n_g - 1)
    lift[ends] = -np.linalg.solve(e[np.ix_(ends, ends)], e[np.ix_(ends, inner)])
    first, second = (e @ lift)[inner], (e @ e @ lift)[inner]
    vv, gg = np.meshgrid(v, g[inner], indexing="ij")
    drift_v = ((1.0 - vv) + gg * (2.0 - vv)).ravel()
    drift_g = (0.2 + 0.5 * (1.0 + np.tanh(vv - 1.5)) - gg).ravel()
    generator = (
        drift_v[:, None] * np.kron(d, np.eye(n_g - 1))
        + drift_g[:, None] * np.kron(np.eye(n_v + 1), first)
        + noise**2 * np.kron(np.eye(n_v + 1), second)
    )
    return float(-np.sort(np.linalg.eigvals(generator).real)[-2])


def test_gap_of_a_conductance_reflected_at_its_mean_is_twice_its_rate():
    # Hermite polynomials of even degree satisfy the wall's condition; voltage is faster.
    given = {"leak": 4.0, "rate": 0.5, "base": 1e-9, "amplitude": 0.0, "noise": 0.3}
    gap, error = extrapolate(np.array([spectral_gap(g) for g in grids(given)]), (2, 3))
    assert error < 1e-3
    assert abs(gap - 1.0) < 1e-4


def test_gap_agrees_with_collocation_of_the_backward_equation():
    gap, error = extrapolate(np.array([spectral_gap(g) for g in grids({}, 32)]), (2, 3))
    assert abs(gap - backward_gap(0.2)) < 3.0 * error
    assert error < 1e-3


def test_stationary_law_of_the_conductance_is_a_cut_normal_at_second_order():
    given = {"base": 0.3, "amplitude": 0.0, "noise": 0.5}
    exact, _ = stationary_mean(0.3, 0.5)
    errors = [abs(g.moments(stationary(g))[0][1] - exact) for g in grids(given)]
    order = np.log(errors[0] / errors[2]) / np.log(REFINEMENTS[2])
    assert abs(order - 2.0) < 0.2
    voltage = np.array([g.moments(stationary(g))[0][0] for g in grids(given)])
    better = np.array([g.moments(stationary(g, third_order=True))[0][0] for g in grids(given)])
    upwind, change = extrapolate(voltage, (1, 2))
    assert abs(upwind - extrapolate(better, (2, 3))[0]) < 2.0 * change


def excess(grid, third_order):
    """Return the L1 error of the density with the sources of a density that is known.

    f = p(v) h(g) k(g): p vanishes twice at both reversal potentials, h is the Gibbs factor of the
    conductance for constant G, and k has no slope at the ends, so that no mass leaves.
    """
    low, high, target, noise, top = 1.0, 2.0, 0.6, 0.4, grid.g_faces[-1]

    def p(v):
        return 30.0 * (v - low) ** 2 * (high - v) ** 2

    def h(g):
        return np.exp(-0.5 * ((g - target) / noise) ** 2)

    def k(g):
        return 1.0 + 0.5 * np.cos(np.pi * g / top)

    # Fluxes through faces, integrated along them with Gauss's rule: exact to rounding.
    nodes, weights = np.polynomial.legendre.leggauss(8)

    def averages(function, faces):
        middle, half = 0.5 * (faces[1:] + faces[:-1]), 0.5 * np.diff(faces)
        return function(middle[:, None] + half[:, None] * nodes) @ weights * half[:, None].ravel()

    v, g = grid.v_faces, grid.g_faces
    along = averages(lambda x: h(x) * k(x), g)
    speed_0, speed_1 = (low - v) * p(v), (high - v) * p(v)
    flux_v = np.outer(speed_0, along) + np.outer(speed_1, averages(lambda x: x * h(x) * k(x), g))
    slope_k = -0.5 * np.pi / top * np.sin(np.pi * g / top)
    flux_g = np.outer(averages(p, v), -(noise**2) * h(g) * slope_k)
    source = np.diff(flux_v, axis=0) + np.diff(flux_g, axis=1)
    exact = np.outer(averages(p, v), along)
    means = np.zeros(len(MODEL.means))
    generator = grid.generator(means, third_order).tolil()
    # Mass is given, in place of one balance that follows from the others.
    generator[0] = 1.0
    right = -source.ravel()
    right[0] = exact.sum()
    return np.abs(spsolve(generator.tocsc(), right) - exact.ravel()).sum() / exact.sum()


@pytest.mark.parametrize(("third_order", "least", "most"), [(False, 0.9, 1.1), (True, 2.0, 3.0)])
def test_known_density_is_found_at_the_order_of_the_fluxes(third_order, least, most):
    # Upwind in v is first order; third order in v and second in g give something in between.
    given = {"base": 0.6, "amplitude": 0.0, "noise": 0.4}
    errors = [excess(g, third_order) for g in grids(given, 32)]
    found = np.log(errors[0] / errors[2]) / np.log(REFINEMENTS[2])
    assert least < found < most, errors


@pytest.mark.parametrize("interaction", [0.0, 0.4])
def test_mass_and_signs_are_kept_at_any_step(interaction):
    given = {"amplitude": 0.6, "interaction": interaction, "voltage_start": 1.1}
    found = run(given, dt=0.5, gap=False)
    assert found.status[0] == Status.OK
    assert np.abs(found.arrays["mass"] - 1.0).max() < 1e-12
    assert found.arrays["lowest"].min() > -1e-14


def test_law_in_time_reaches_the_stationary_law():
    arrays = run({"interaction": 0.4, "amplitude": 0.6}, t_end=40.0, records=2, dt=1.0).arrays
    np.testing.assert_allclose(
        arrays["state_mean"][0, -1], arrays["stationary_mean"][0], rtol=0, atol=1e-7
    )
    density, v, g = (arrays[name][0] for name in ("density", "v_centre", "g_centre"))
    assert abs(density.sum() * (v[1] - v[0]) * (g[1] - g[0]) - 1.0) < 1e-12


def test_mean_in_time_is_the_drift_of_a_linear_conductance():
    # Far from the wall and with constant G the mean conductance relaxes exponentially.
    given = {"base": 3.0, "amplitude": 0.0, "noise": 0.2, "conductance_start": 2.5}
    arrays = run(given, t_end=1.0, dt=0.025, n_conductance=24, n_voltage=8).arrays
    time = np.linspace(0.0, 1.0, 5)
    error = np.abs(arrays["state_mean"][0, :, 0, 1] - (3.0 - 0.5 * np.exp(-time)))
    assert (error <= 2.0 * arrays["state_mean_error"][0, :, 0, 1] + 2e-3).all()


def test_the_response_to_the_means_is_the_derivative_of_the_generator():
    grid = grids({"amplitude": 0.6, "interaction": 0.4, "joint": 0.3, "noise": 0.1}, 12)[0]
    masses = stationary(grid, third_order=True)
    means = grid.means(masses)
    step = 1e-3 * np.eye(means.size)
    for third_order in (False, True):
        below, above = (
            np.array([grid.generator(means + s, third_order) @ masses for s in sign * step])
            for sign in (-1.0, 1.0)
        )
        differences = (above - below).T / 2e-3
        found = grid.response(means, masses, third_order)
        assert np.abs(differences).max() > 1e-4
        # Central differences of second order: the Bernoulli function bends by (dg/noise^2)^3/180.
        np.testing.assert_allclose(found, differences, atol=1e-5 * np.abs(differences).max())


def test_linearised_gap_is_the_gap_where_neurons_do_not_interact_and_differs_where_they_do():
    plain, weak, strong = (
        spectral_gap(grids({"amplitude": 0.6, "interaction": i})[0]) for i in (0.0, 1e-6, 0.4)
    )
    assert abs(plain - weak) < 1e-4
    assert strong < plain - 0.05


def test_what_is_not_converged_says_so_and_what_cannot_be_solved_is_refused():
    found = run({"amplitude": 1.6, "steepness": 9.0}, gap_tolerance=1e-9, evolve=False)
    assert found.status[0] == Status.NOT_CONVERGED
    assert np.isnan(found.arrays["gap"]).all()
    with pytest.raises(StudyError, match="without noise"):
        run({"noise": 0.0})
    with pytest.raises(StudyError, match="does not divide"):
        run({}, dt=0.3)
    other = core.get("model", "linear")
    with pytest.raises(StudyError, match="needs a first variable that stays in a range"):
        SOLVER.accept(other, core.resolve(other.params, {}), core.resolve(SOLVER.options, {}))


@pytest.mark.slow
def test_stationary_law_is_that_of_a_hundred_million_particle_steps():
    given = {"amplitude": 1.6, "steepness": 4.0, "noise": 0.3, "conductance_start": 0.7}
    pairs = core.get("solver", "pairs")
    size = {"n_pairs": 2000, "samples": 2000, "t_end": 160.0, "records": 160, "dt": 0.05}
    options = core.resolve(pairs.options, {"coupling": "independent", **size})
    params = core.resolve(MODEL.params, given)
    arrays = pairs.solve(MODEL, params, options, 1, range(8)).arrays
    # 2 copies x 2000 x 8 replicas x 3200 steps; records after ten relaxation times.
    chains = arrays["sample"][:, :, 40:, 0].reshape(16, -1, 2, 2000)
    levels = grids(given, 32)
    faces = levels[0].v_faces[::2], levels[0].g_faces[::2]
    counts = np.array(
        [np.histogram2d(x[:, 0].ravel(), x[:, 1].ravel(), faces)[0].ravel() for x in chains]
    )
    share = counts / chains[0, :, 0].size
    # The same boxes on all three grids.
    boxes = [
        stationary(g).reshape(16, g.shape[0] // 16, 16, -1).sum(axis=(1, 3)).ravel() for g in levels
    ]
    law, change = extrapolate(np.array(boxes), (1, 2))
    seen = law > 1e-4
    assert law[seen].sum() > 0.99
    error = np.hypot(share.std(axis=0, ddof=1) / 4.0, change)[seen]
    z = np.abs(share.mean(axis=0) - law)[seen] / error
    assert z.max() < t_distribution.isf(0.005 / seen.sum(), 15), (seen.sum(), z.max())
    for name in ("mean", "covariance"):
        samples = arrays[f"copy_{name}"][:, :, 40:].mean(axis=2)
        samples = samples.reshape(16, *samples.shape[3:])
        moments = np.stack([g.moments(stationary(g))[name == "covariance"] for g in levels])
        value, change = extrapolate(moments, (1, 2))
        error = np.hypot(samples.std(axis=0, ddof=1) / 4.0, change)
        # A covariance about the mean of 2000 pairs is too small by its 2000th part.
        bias = np.abs(value) / 2000.0
        assert (np.abs(samples.mean(axis=0) - value) < 4.0 * error + bias).all(), name
