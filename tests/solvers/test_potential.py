"""The Hopf-Cole potential against the exact law of a linear network, and on other grids."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import RectBivariateSpline
from scipy.special import erf

from neurolim import StudyError, core, solve
from neurolim.core import Status

TIMES = {"t_end": 1.0, "records": 2}
DATA = {
    "a": 0.8, "b": 0.5, "voltage_start": 0.5, "recovery_start": 0.2, "recovery_spread": 0.7,
    "initial": "prepared_voltage",
}  # fmt: skip


def potential(found, t, site=0):
    """Return log(mu) on the solver's grid [offset_v, offset_w] and the offsets x, y."""
    here = found.isel(time=t, site=site)
    s, r = here["frame"].values
    x = found["offset_v"].values[:, None]
    y = found["offset_w"].values[None, :] * r / float(found["frame"][0, site, 1])
    terms = here["expansion"].values
    polynomial = terms[0] + terms[1] * x + terms[2] * x**2 + terms[3] * x * y + terms[4] * y**2
    parabola = -(x**2) / (2 * s**2) - np.log(s)
    primitive = here["primitive"].values[:, None]
    return parabola + polynomial + primitive + here["psi"].values, x, y


@pytest.mark.parametrize("noise", [0.0, 1.4142135623730951])
@pytest.mark.parametrize("eps", [1e-2, 1e-4])
def test_tails_of_a_linear_network_are_those_of_its_normal_law(eps, noise):
    k, a, b, sigma = 0.7, 0.8, 0.5, 1.1
    params = DATA | {"leak": k, "sigma": sigma, "eps": eps, "recovery_noise": noise}
    params["recovery_noise_scale"] = "root_eps"
    if noise:
        params |= {"initial": "prepared", "recovery_spread": 1.0}
    options = TIMES | {"recovery_box": 2.0, "dt": 0.005}
    found = solve("linear", "hopf_cole", params, options)
    assert found["status"] == Status.OK
    d = sigma**2 / 2
    # The data times exp(n/D) are normal too: precision 1/(eps D) + k/D about its own mean.
    variance = d * eps / (1 + k * eps)
    mean = np.array([0.5 / (1 + k * eps), 0.2])
    noise2 = noise**2 * eps
    width2 = noise2 / (2 * a) if noise else 0.49

    def slope(t, z):
        v, w, s, c, e = z
        return [
            -k * v - w, b * v - a * w,
            -2 * (k + 1 / eps) * s - 2 * c + sigma**2,
            -(k + 1 / eps + a) * c - e + b * s,
            -2 * a * e + 2 * b * c + noise2,
        ]  # fmt: skip

    exact = solve_ivp(
        slope, (0, 1), [*mean, variance, 0, width2], method="LSODA", t_eval=found["time"],
        rtol=1e-12, atol=1e-15,
    ).y  # fmt: skip
    for t in range(3):
        got, x, y = potential(found, t)
        v, w, s, c, e = exact[:, t]
        x, y = (
            x + float(found["state_mean"][t, 0, 0]) - v,
            y + float(found["state_mean"][t, 0, 1]) - w,
        )
        determinant = s * e - c**2
        expected = -(e * x**2 - 2 * c * x * y + s * y**2) / (2 * determinant)
        expected = expected - np.log(2 * np.pi * np.sqrt(determinant))
        # eps log(mu), as the theorems state it: exact at the start, then O(eps^2) off at most, as
        # psi is, with a step and a mesh of first order (constants below 1).
        assert np.abs(eps * (got - expected)).max() < (1e-9 if t == 0 else eps * 0.05)


def test_tails_of_linear_sites_in_space_are_those_of_their_normal_laws():
    # Two sites of different density that see each other through a kernel that is not symmetric.
    k, a, b, eps = 0.7, 0.8, 0.5, 1e-3
    density, kernel = np.array([0.6, 1.5]), np.array([[0.4, 2.0], [-0.9, 0.3]])
    params = DATA | {
        "drift": "polynomial", "coefficients": [0.3, -k], "eps": eps, "positions": [0.2, 0.7],
        "density": density.tolist(), "kernel": kernel.tolist(), "voltage_start": 0.5,
    }  # fmt: skip
    found = solve("fitzhugh_nagumo", "hopf_cole", params, TIMES | {"recovery_box": 2.0})
    assert found["status"] == Status.OK
    coupling = kernel * density / 2
    leak, gap = k + coupling.sum(axis=1), density / eps

    def force(v, w):
        return 0.3 - leak * v + coupling @ v - w

    start = np.full(2, 0.5)
    first = (gap * start + force(start, 0.0) + leak * start) / (gap + leak)

    def slope(t, z):
        v, w, s, c, e = z.reshape(5, 2)
        return np.concatenate([
            force(v, w), b * v - a * w, -2 * (leak + gap) * s - 2 * c + 2,
            -(leak + gap + a) * c - e + b * s, -2 * a * e + 2 * b * c,
        ])  # fmt: skip

    begin = np.stack([first, np.full(2, 0.2), 1 / (gap + leak), np.zeros(2), np.full(2, 0.49)])
    exact = solve_ivp(
        slope, (0, 1), begin.ravel(), method="LSODA", t_eval=found["time"], rtol=1e-12, atol=1e-15
    ).y.reshape(5, 2, -1)
    for t in range(3):
        for site in range(2):
            got, x, y = potential(found, t, site)
            v, w, s, c, e = exact[:, site, t]
            x = x + float(found["state_mean"][t, site, 0]) - v
            y = y + float(found["state_mean"][t, site, 1]) - w
            determinant = s * e - c**2
            expected = -(e * x**2 - 2 * c * x * y + s * y**2) / (2 * determinant)
            expected = expected - np.log(2 * np.pi * np.sqrt(determinant))
            # As above: exact at the start, then a psi of order eps, here over a density of 0.6.
            off = np.abs(eps * (got - expected)).max()
            assert off < (1e-9 if t == 0 else eps * 0.05)


def test_orders_in_step_and_mesh():
    coarse = {"t_end": 0.3, "records": 1, "voltage_points": 61, "recovery_points": 21}

    def psi(**options):
        params = DATA | {"eps": 1e-2, "drift": "canonical", "sigma": 2**0.5}
        found = solve("fitzhugh_nagumo", "hopf_cole", params, coarse | options)
        return found["psi"].values[1, 0, :: (found.sizes["offset_v"] - 1) // 30]

    steps = [psi(dt=0.02 / m, growth=0.2 / m) for m in (1, 2, 4)]
    meshes = [psi(voltage_points=points) for points in (61, 121, 241)]
    for of in (steps, meshes):
        first, second = (np.abs(after - before).max() for before, after in pairwise(of))
        assert np.log2(first / second) == pytest.approx(1.0, abs=0.15)
    # psi is smooth in zeta: half the mesh changes little of it.
    fine = psi(recovery_points=41)[:, ::2]
    assert np.abs(fine - meshes[0]).max() < 1e-3 * np.abs(fine).max()


def constant(**options):
    """Return the weighted supremum of what is left of the potential over a fixed rectangle."""
    params = DATA | {"eps": 1e-3, "drift": "canonical", "sigma": 2**0.5}
    found = solve("fitzhugh_nagumo", "hopf_cole", params, TIMES | options)
    got, x, y = potential(found, 2)
    s = float(found["frame"][2, 0, 0])
    v, w = x + float(found["state_mean"][2, 0, 0]), y + float(found["state_mean"][2, 0, 1])
    left = got + x**2 / (2 * s**2) + np.log(s) + 0.5 * np.log(2 * np.pi) - (v**2 / 2 - v**4 / 4)
    at, to = np.linspace(-2, 2, 81), np.linspace(-0.9, 0.9, 73)
    smooth = RectBivariateSpline(v[:, 0], w[0], left)
    points = smooth(at + v[len(v) // 2, 0], to + w[0, w.size // 2])
    weight = 1 + (at + v[len(v) // 2, 0])[:, None] ** 2 + (to + w[0, w.size // 2]) ** 2
    return float((np.abs(points) / weight).max())


def test_constant_does_not_depend_on_box_mesh_or_step():
    plain = constant()
    for other in (
        {"voltage_box": 4.5, "voltage_points": 181},
        {"recovery_box": 5.0, "recovery_points": 121},
        {"voltage_points": 241},
        {"recovery_points": 121},
        {"dt": 0.0025},
    ):
        assert constant(**other) == pytest.approx(plain, rel=0.01), other


def test_flow_into_the_box_is_a_status_and_other_data_are_refused():
    # f' = 1 at rest beats the junctions' 1/3 within |v| < 0.8: two wells, not one parabola.
    params = DATA | {"eps": 3.0, "drift": "canonical", "voltage_start": 0.0, "recovery_start": 0.0}
    found = solve("fitzhugh_nagumo", "hopf_cole", params, TIMES | {"voltage_box": 0.5})
    assert found["status"] == Status.OUT_OF_DOMAIN
    assert np.isnan(found["psi"]).all()
    with pytest.raises(StudyError, match="width of v is not that of the limit law"):
        solve("fitzhugh_nagumo", "hopf_cole", params | {"voltage_spread": 2.0})


def test_a_box_too_small_for_the_law_says_what_is_left():
    params = DATA | {"eps": 1e-3, "drift": "canonical"}
    found = solve("fitzhugh_nagumo", "hopf_cole", params, TIMES | {"recovery_box": 0.2})
    assert found["status"] == Status.OUT_OF_DOMAIN
    assert np.isnan(found["psi"]).all()
    # w is normal of width 0.7; trapezoids of 0.1 widths cut at the box.
    assert float(found["mass"][0, 0]) == pytest.approx(erf(0.2 / 0.7 / 2**0.5), abs=0.05)
    whole = solve("fitzhugh_nagumo", "hopf_cole", params, TIMES | {"recovery_box": 5.0})
    assert float(whole["mass"][0, 0]) == pytest.approx(1.0, abs=1e-9)
    assert float(abs(whole["mass"] - 1.0).max()) < 2e-3
    assert float(abs(whole["offset"]).max()) < 1e-6


def test_local_suprema_beyond_the_box_are_refused():
    params = DATA | {"eps": 1e-3, "drift": "canonical"}
    found = solve("fitzhugh_nagumo", "hopf_cole", params, TIMES)
    found["reference_state_mean"] = found["state_mean"]
    with pytest.raises(StudyError, match="beyond the solver's box"):
        core.get("statistic", "potential").apply(found, after=0.0, radius=1.2)
