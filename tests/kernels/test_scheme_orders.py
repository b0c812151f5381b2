"""Weak and strong orders of the schemes in the step, on refined Brownian paths."""

from __future__ import annotations

import numpy as np
import pytest

from neurolim import solve

#: Mild coupling: every scheme is in its asymptotic range.
PARAMS = {"eps": 0.5, "voltage_start": 1.0, "recovery_start": 0.2}
#: Normals for both variables, or normals and four-point variables.
TWO_NOISES = {"recovery_noise": 0.5}, {"normals": "float64"}
ONE_NOISE = {"recovery_noise": 0.0}, {"normals": "float32"}
FINE, T_END = 1 / 1024, 1.0
COARSE = (1 / 16, 1 / 32, 1 / 64)
#: The next order is larger in the covariance: it takes finer steps to be where 2 rules.
LEVELS = {"state_mean": COARSE, "covariance": (1 / 32, 1 / 64, 1 / 128)}


def run(model, scheme, dt, noise=TWO_NOISES, **options):
    # Coarse noise is the sum of the fine one: all runs follow the same Brownian paths.
    return solve(
        model,
        "particles",
        PARAMS | noise[0],
        {"t_end": T_END, "records": 1, "dt": dt, "scheme": scheme, "n_neurons": 2000,
         "brownian_refinement": round(dt / FINE), **noise[1], **options},
        replicas=600,
        seed=7,
    ).isel(time=-1)  # fmt: skip


def fitted(levels, errors):
    return np.polyfit(np.log(levels), np.log(errors), 1)[0]


#: Schemes with their weak orders.
ORDERS = (("euler_maruyama", 1.0), ("exponential", 2.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "noise", "scheme", "order"),
    [
        *(
            pytest.param(model, noise, scheme, order, id=f"{name}-{scheme}-{order}")
            for name, model, noise in (
                ("linear", "linear", TWO_NOISES),
                ("fitzhugh_nagumo", "fitzhugh_nagumo", TWO_NOISES),
            )
            for scheme, order in ORDERS
        ),
        pytest.param("fitzhugh_nagumo", ONE_NOISE, *ORDERS[0], id="one-noise-euler_maruyama"),
        pytest.param(
            "fitzhugh_nagumo", ONE_NOISE, *ORDERS[1], marks=pytest.mark.ci, id="one-noise"
        ),
    ],
)
def test_weak_order_of_mean_and_variance(model, noise, scheme, order):
    # Against a reference of order 2 at the finest step, whose own error is 1/256 of the finest
    # one here.  Shared paths leave a statistical error that is measured over replicas.
    reference = run(model, "exponential", FINE, noise)
    for name, place in (
        ("state_mean", {"variable": 0}),
        ("covariance", {"variable": 0, "variable_b": 0}),
    ):
        errors, spread = [], []
        levels = LEVELS[name]
        for dt in levels:
            change = (run(model, scheme, dt, noise)[name] - reference[name]).isel(site=0, **place)
            errors.append(abs(float(change.mean())))
            spread.append(float(change.std(ddof=1)) / np.sqrt(change.size))
        if model == "linear" and scheme == "exponential":
            # Exact in law: nothing but the statistical error is left.
            assert (np.array(errors) < 4 * np.array(spread)).all()
            continue
        # Standard error of the slope from those of the levels, and the next order in the step.
        x = np.log(levels) - np.mean(np.log(levels))
        error = np.sqrt(np.sum((x * np.array(spread) / errors) ** 2)) / np.sum(x**2)
        # Noise leaves no doubt about the neighbouring orders.
        assert 3 * error + 0.2 < 0.6, (name, errors, spread)
        assert abs(fitted(levels, errors) - order) < 3 * error + 0.2, (name, errors, spread)


@pytest.mark.parametrize("scheme", ["euler_maruyama", "exponential"])
def test_strong_order_one_on_refined_paths(scheme):
    # Additive noise: Euler-Maruyama converges pathwise with order 1, and so does the exponential
    # step when its convolution is driven by the increments of the same path.
    few = {"n_neurons": 300, "states": True}
    fine = run("fitzhugh_nagumo", scheme, FINE, **few)["state"].values
    errors = [
        np.sqrt(np.mean((run("fitzhugh_nagumo", scheme, dt, **few)["state"].values - fine) ** 2))
        for dt in COARSE
    ]
    # The reference's own error is 1/16 of the finest level's: it bends the slope by 0.05.
    assert abs(fitted(COARSE, errors) - 1.0) < 0.1, errors
