"""Networks in space: kernels and densities, and all levels of description on the same sites."""

from __future__ import annotations

import numpy as np
import pytest

from neurolim import StudyError, core, solve
from neurolim.core import Status

TIMES = {"t_end": 0.5, "records": 2}
MODES = {"voltage_modes": 12, "recovery_modes": 8}
SPACE = {
    "drift": "canonical", "a": 0.8, "b": 0.3, "initial": "prepared_voltage",
    "recovery_spread": 0.4, "voltage_start": -0.5, "start_pulse": 1.5, "sites": 4,
    "density_wave": 0.5, "kernel_strength": 6.0, "kernel_skew": 0.4,
}  # fmt: skip
SHAPES = ("exponential", "power_law", "difference")


def sites(**given):
    model = core.get("model", "fitzhugh_nagumo")
    return model.sites(core.resolve(model.params, SPACE | given))


def test_power_law_integrates_exactly_over_its_own_cell():
    n, p = 50, 0.5
    found = sites(sites=n, kernel_shape="power_law", kernel_power=p, kernel_skew=0.0,
                  density_wave=0.0, kernel_strength=1.0)  # fmt: skip
    x = np.array(found.labels)
    exact = (x ** (1 - p) + (1 - x) ** (1 - p)) / (1 - p)
    # Midpoint rule beside the singular cell: an error of the order of h^(1-p)/24.
    np.testing.assert_allclose(found.coupling.sum(axis=1), exact, atol=(1 / n) ** (1 - p) / 6)


def test_kernels_are_what_they_are_called():
    plain = sites(kernel_skew=0.0, kernel_shape="exponential").coupling
    density = 1 + 0.5 * np.cos(2 * np.pi * (np.arange(4) + 0.5) / 4)
    np.testing.assert_allclose((plain / density).T, plain / density)
    skewed = sites(kernel_shape="exponential").coupling / density
    assert not np.allclose(skewed, skewed.T)
    mixed = sites(kernel_shape="difference", kernel_length=0.1).coupling
    assert mixed.min() < 0 < mixed.max()
    square = sites(dimension=2, kernel_shape="power_law", kernel_power=1.5)
    assert square.coupling.shape == (16, 16)
    assert np.isfinite(square.coupling).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_means_in_space_have_their_exact_first_order_term(shape):
    params = SPACE | {"eps": 1e-4, "kernel_shape": shape}
    kinetic = solve("fitzhugh_nagumo", "hermite", params, TIMES | MODES)
    assert kinetic["status"] == Status.OK
    tight = {"rtol": 1e-12, "atol": 1e-13}
    limit = solve("fitzhugh_nagumo", "limit", params, TIMES | tight)
    rest = kinetic["state_mean"] - limit["state_mean"] - limit["mean_shift"]
    # The second order is eps times constants of order ten, over density down to 1/2.
    assert float(abs(rest).max()) < 3e-3 * float(abs(limit["mean_shift"]).max())


def test_one_site_alone_is_the_network_without_space():
    alone = SPACE | {
        "kernel_shape": "exponential",
        "eps": 0.01,
        "sites": 1,
        "kernel_strength": 0.0,
        "start_pulse": 0.0,
    }
    plain = alone | {"kernel_shape": "matrix", "sites": 0, "density": [0.5]}
    one = solve("fitzhugh_nagumo", "hermite", alone, TIMES | MODES)
    other = solve("fitzhugh_nagumo", "hermite", plain, TIMES | MODES)
    np.testing.assert_allclose(one["state_mean"], other["state_mean"], atol=1e-9)


def test_what_is_no_network_in_space_is_refused():
    with pytest.raises(StudyError, match="not integrable"):
        sites(kernel_shape="power_law", kernel_power=1.0)
    with pytest.raises(StudyError, match="density"):
        sites(density=[1.0, 2.0])
    with pytest.raises(StudyError, match="density"):
        sites(density=[-1.0])
    with pytest.raises(StudyError, match="10000 sites"):
        sites(sites=100, dimension=2)
    with pytest.raises(StudyError, match="positions as well"):
        sites(positions=[0.1, 0.9])


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", ["exponential", "power_law", pytest.param("difference", marks=pytest.mark.ci)]
)
def test_particles_in_space_agree_with_the_kinetic_equation(shape):
    params = SPACE | {"eps": 0.01, "kernel_shape": shape}
    kinetic = solve("fitzhugh_nagumo", "hermite", params, TIMES | MODES)
    n, replicas = 1000, 40
    options = TIMES | {"n_neurons": n, "dt": 0.01}
    particles = solve("fitzhugh_nagumo", "particles", params, options, seed=9, replicas=replicas)
    for name, factor in (("state_mean", 1.0), ("covariance", n / (n - 1))):
        samples = particles[name].values[:, 1:] * factor
        error = samples.std(axis=0, ddof=1) / np.sqrt(replicas)
        score = (samples.mean(axis=0) - kinetic[name].values[1:]) / error
        # Largest of 16 or 32 scores with 39 degrees of freedom: beyond 4.5 once in 500.
        assert np.abs(score).max() < 4.5, name
