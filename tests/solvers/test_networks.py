"""Networks of the registered models: both schemes, their limit, and sites among themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurolim import core
from neurolim.core import Status, StudyError

MODELS = core.names("model")


def defaults(name):
    model = core.get("model", name)
    return model, core.resolve(model.params, {})


def options(**given):
    solver = core.get("solver", "particles")
    return core.resolve(solver.options, {"t_end": 0.2, "records": 2, "dt": 0.001, **given})


def run(name, given=None, replicas=range(2), key=5, **opts):
    model = core.get("model", name)
    params = core.resolve(model.params, given or {})
    return core.get("solver", "particles").solve(model, params, options(**opts), key, replicas)


def skip_refused(name, solver="particles", **opts):
    """Skip what a solver refuses by the name of a feature."""
    model, params = defaults(name)
    chosen = core.get("solver", solver)
    given = options(**opts) if solver == "particles" else core.resolve(chosen.options, opts)
    try:
        chosen.accept(model, params, given)
    except StudyError as refusal:
        pytest.skip(str(refusal))


@pytest.mark.parametrize("name", MODELS)
def test_both_schemes_describe_the_same_network(name):
    skip_refused(name, scheme="exponential", dt=0.02)
    replicas = range(24)
    coarse = run(name, replicas=replicas, n_neurons=200, scheme="exponential", dt=0.02)
    fine = run(name, replicas=replicas, n_neurons=200, scheme="euler_maruyama", dt=1e-4, key=9)
    for array in ("state_mean", "covariance"):
        a, b = coarse.arrays[array][:, -1], fine.arrays[array][:, -1]
        error = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / len(replicas))
        # Steps of Euler-Maruyama relative to the fastest rate of the default models: 1 %.
        bias = 0.02 * np.abs(b.mean(axis=0)) if array == "covariance" else 0.0
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) <= 4.5 * error + bias + 1e-12).all()


@pytest.mark.parametrize("name", MODELS)
def test_large_networks_follow_the_limit_where_noise_is_small(name):
    skip_refused(name, scheme="exponential")
    skip_refused(name, "limit")
    few: dict[str, dict[str, Any]] = {
        "morris_lecar": {"noise": 1e-3},
        "balanced": {"sigma": [1e-3, 1e-3]},
        "balanced_dynamic": {"sigma": [1e-3, 1e-3]},
        "desai_zwanzig": {"sigma": 1e-3, "spread": 0.0},
    }
    quiet = few.get(name, {"sigma": 1e-3, "eps": 0.001, "voltage_start": 0.7})
    particles = run(name, quiet, replicas=range(1), n_neurons=500, t_end=1.0, records=2)
    model = core.get("model", name)
    limit = core.get("solver", "limit")
    reference = limit.solve(
        model,
        core.resolve(model.params, quiet),
        core.resolve(limit.options, {"t_end": 1.0, "records": 2}),
        0,
        range(1),
    )
    assert reference.status[0] == Status.OK
    np.testing.assert_allclose(
        particles.arrays["state_mean"][0], reference.arrays["state_mean"][0], atol=2e-3
    )


def test_two_sites_with_the_same_parameters_have_independent_noise_and_equal_laws():
    found = run(
        "fitzhugh_nagumo",
        {"positions": [0.0, 1.0], "density": [1.0, 4.0], "eps": 0.01},
        replicas=range(64),
        n_neurons=1000,
        t_end=0.5,
        records=5,
        dt=0.01,
    )
    means = found.arrays["state_mean"][:, -1, :, 0]
    assert abs(np.corrcoef(means.T)[0, 1]) < 4 / np.sqrt(64)
    variance = found.arrays["covariance"][:, -1, :, 0, 0].mean(axis=0)
    # Limit law eps/rho0, up to the O(eps) correction f' eps/rho0 with f'(0) = -4.
    np.testing.assert_allclose(variance * [1.0, 4.0] / 0.01, [1 / 1.04, 1 / 1.01], rtol=0.04)
