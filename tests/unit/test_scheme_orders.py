"""Weak and strong orders of the schemes in the step, on refined Brownian paths."""

from __future__ import annotations

import numpy as np
import pytest

from neurolim import solve

#: Mild coupling: every scheme is in its asymptotic range.
PARAMS = {"eps": 0.5, "voltage_start": 1.0, "recovery_start": 0.2, "recovery_noise": 0.5}
FINE, T_END = 1 / 1024, 1.0
COARSE = (1 / 16, 1 / 32, 1 / 64)


def run(model, scheme, dt, **options):
    # Coarse noise is the sum of the fine one: all runs follow the same Brownian paths.
    return solve(
        model,
        "particles",
        PARAMS,
        {"t_end": T_END, "records": 1, "dt": dt, "scheme": scheme, "n_neurons": 2000,
         "brownian_refinement": round(dt / FINE), "normals": "float64", **options},
        replicas=12,
        seed=7,
    ).isel(time=-1)  # fmt: skip


def fitted(errors):
    return np.polyfit(np.log(COARSE), np.log(errors), 1)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "order"), [("euler_maruyama", 1.0), ("exponential", 2.0)])
@pytest.mark.parametrize("model", ["linear", pytest.param("fitzhugh_nagumo", marks=pytest.mark.ci)])
def test_weak_order_of_mean_and_variance(model, scheme, order):
    # Against a reference of order 2 at the finest step, whose own error is 1/256 of the finest
    # one here.  Shared paths leave a statistical error that is measured over replicas.
    reference = run(model, "exponential", FINE)
    for name, place in (
        ("mean", {"variable": 0}),
        ("covariance", {"variable": 0, "variable_b": 0}),
    ):
        errors, noise = [], []
        for dt in COARSE:
            change = (run(model, scheme, dt)[name] - reference[name]).isel(site=0, **place)
            errors.append(abs(float(change.mean())))
            noise.append(float(change.std(ddof=1)) / np.sqrt(change.size))
        if model == "linear" and scheme == "exponential":
            # Exact in law: nothing but the statistical error is left.
            assert (np.array(errors) < 4 * np.array(noise)).all()
            continue
        # Standard error of the slope from those of the levels, and the next order in the step.
        x = np.log(COARSE) - np.mean(np.log(COARSE))
        error = np.sqrt(np.sum((x * np.array(noise) / errors) ** 2)) / np.sum(x**2)
        assert abs(fitted(errors) - order) < 3 * error + 0.2, (name, errors, noise)


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
    assert abs(fitted(errors) - 1.0) < 0.1, errors
