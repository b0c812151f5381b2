"""The Hopf-Cole potential against the exact law of a linear network, and on other grids."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import RectBivariateSpline

from neurolim import StudyError, solve
from neurolim.core import Status

TIMES = {"t_end": 1.0, "records": 2}
DATA = {
    "a": 0.8, "b": 0.5, "voltage_start": 0.5, "recovery_start": 0.2, "recovery_spread": 0.7,
    "initial": "prepared_voltage",
}  # fmt: skip


def potential(found, t):
    """Return log(mu) on the solver's grid [offset_v, offset_w] and the offsets x, y."""
    here = found.isel(time=t, site=0)
    s, r = here["frame"].values
    x = found["offset_v"].values[:, None]
    y = found["offset_w"].values[None, :] * r / float(found["frame"][0, 0, 1])
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
        x, y = x + float(found["mean"][t, 0, 0]) - v, y + float(found["mean"][t, 0, 1]) - w
        determinant = s * e - c**2
        expected = -(e * x**2 - 2 * c * x * y + s * y**2) / (2 * determinant)
        expected = expected - np.log(2 * np.pi * np.sqrt(determinant))
        # eps log(mu), as the theorems state it: exact at the start, then O(eps^2) off at most, as
        # psi is, with a step and a mesh of first order (constants below 1).
        assert np.abs(eps * (got - expected)).max() < (1e-9 if t == 0 else eps * 0.05)


def constant(**options):
    """Return the weighted supremum of what is left of the potential over a fixed rectangle."""
    params = DATA | {"eps": 1e-3, "drift": "canonical", "sigma": 2**0.5}
    found = solve("fitzhugh_nagumo", "hopf_cole", params, TIMES | options)
    got, x, y = potential(found, 2)
    s = float(found["frame"][2, 0, 0])
    v, w = x + float(found["mean"][2, 0, 0]), y + float(found["mean"][2, 0, 1])
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
    with pytest.raises(StudyError, match="voltage_spread"):
        solve("fitzhugh_nagumo", "hopf_cole", params | {"voltage_spread": 2.0})
