"""Every model is documented, pure, bounded, and runs through the same particle solver."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurolim import core
from neurolim.core import Status, StudyError
from neurolim.numerics.columns import MAX_COLUMNS

MODELS = core.names("model")
SCHEMES = ("euler_maruyama", "exponential")


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
def test_parameters_are_documented_and_defaults_pass_their_checks(name):
    model, params = defaults(name)
    assert model.summary
    assert model.source
    for param in model.params:
        assert param.doc
        assert param.check(param.default) == params[param.name]
        with pytest.raises(StudyError):
            param.check(object())
    assert 1 <= len(model.state) <= core.MAX_VARIABLES


@pytest.mark.parametrize("name", MODELS)
def test_kernels_are_pure_functions_returning_tuples_of_floats(name):
    model, params = defaults(name)
    sites = model.sites(params)
    d = len(model.state)
    assert sites.coupling.shape == (len(sites.labels),) * 2
    for p in sites.params:
        x = tuple(0.3 + 0.1 * k for k in range(d))
        m = (*x, *model.equations.field(x, p))
        c = tuple(0.5 for _ in m)
        calls: list[tuple[Any, int]] = [
            (lambda p=p, x=x, m=m, c=c: (model.equations.drift(x, m, c, p),), 1),
            (lambda p=p, m=m, c=c: model.equations.relax(m, c, p), 3),
            (lambda p=p: (model.equations.initial((0.1,) * d, p),), 1),
        ]
        if model.plain_noise:
            calls.append((lambda p=p: (model.equations.noise(p),), 1))
        for make, parts in calls:
            first, second = make(), make()
            assert first == second
            assert len(first) == parts
            for part in first:
                assert len(part) == d
                assert np.isfinite(part).all()
        pull, _, gap = model.equations.relax(m, c, p)
        assert min(pull) >= 0
        assert min(gap) >= 0
        assert all(isinstance(value, float) for value in p)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", MODELS)
def test_same_key_same_bits_and_replicas_do_not_depend_on_company(name, scheme):
    skip_refused(name, scheme=scheme)
    whole = run(name, replicas=range(4), n_neurons=100, scheme=scheme)
    again = run(name, replicas=range(4), n_neurons=100, scheme=scheme)
    part = run(name, replicas=range(2, 4), n_neurons=100, scheme=scheme)
    other = run(name, replicas=range(4), n_neurons=100, scheme=scheme, key=6)
    assert (whole.status == Status.OK).all()
    for array in whole.arrays:
        np.testing.assert_array_equal(whole.arrays[array], again.arrays[array])
        np.testing.assert_array_equal(whole.arrays[array][2:], part.arrays[array])
    assert not np.array_equal(whole.arrays["mean"], other.arrays["mean"])


@pytest.mark.parametrize("name", MODELS)
def test_both_schemes_describe_the_same_network(name):
    skip_refused(name, scheme="exponential", dt=0.02)
    replicas = range(24)
    coarse = run(name, replicas=replicas, n_neurons=200, scheme="exponential", dt=0.02)
    fine = run(name, replicas=replicas, n_neurons=200, scheme="euler_maruyama", dt=1e-4, key=9)
    for array in ("mean", "covariance"):
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
    np.testing.assert_allclose(particles.arrays["mean"][0], reference.arrays["mean"][0], atol=2e-3)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(StudyError, match="fitzhugh_nagumo"):
        core.get("model", "fitzhugh")


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
    means = found.arrays["mean"][:, -1, :, 0]
    assert abs(np.corrcoef(means.T)[0, 1]) < 4 / np.sqrt(64)
    variance = found.arrays["covariance"][:, -1, :, 0, 0].mean(axis=0)
    # Limit law eps/rho0, up to the O(eps) correction f' eps/rho0 with f'(0) = -4.
    np.testing.assert_allclose(variance * [1.0, 4.0] / 0.01, [1 / 1.04, 1 / 1.01], rtol=0.04)


def spoilt(**changes):
    """Return the linear model with some of its parts replaced."""
    return replace(core.get("model", "linear"), **changes)


V, W = core.State("v"), core.State("w")
NOTHING: Any = ()
ONE_END: Any = (0.0,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"state": tuple(core.State(f"v{k}") for k in range(9))},
            "9 state variables; allowed: 1 to 8",
        ),
        ({"state": ()}, "0 state variables"),
        ({"state": (V, V)}, "two things named 'v'"),
        ({"noise": (core.Noise("v", 1.0),) * 17}, "linear.noise: 17 of them; allowed: at most 16"),
        (
            {"fields": tuple(core.Field(f"s{k}", 1.0) for k in range(25))},
            "25 of them; allowed: at most 24",
        ),
        ({"state": (V, core.State("lambda"))}, "'lambda' is no name"),
        ({"fields": (core.Field("v", 1.0),)}, "two things named 'v'"),
        ({"drift": lambda x, p: (0.0,)}, r"returns \(0.0,\); allowed: a tuple of 2"),
        ({"drift": lambda x, p: [0.0, 0.0]}, "a tuple of 2 numbers, one per variable"),
        ({"drift": lambda x, p: (0.0, float("nan"))}, "not finite at the start"),
        ({"drift": lambda x, p: (p.leek, 0.0)}, "'leek'"),
        ({"drift": lambda x, p: (x.u, 0.0)}, "'u'"),
        ({"drift": lambda x, y: (x.v, 0.0)}, r"takes \(x, y\); allowed: any of t, x, m, c, p"),
        ({"noise": core.Noise("v", lambda y: y)}, r"takes .y.; allowed: any of t, x, m, c, p"),
        ({"noise": core.Noise(("v", "w"), (1.0,))}, "1 amplitudes of 2 variables"),
        ({"noise": core.Noise("v", (1.0, 2.0))}, "2 amplitudes of one variable"),
        ({"noise": core.Noise("v", lambda x: x.v / (x.v - x.v))}, "ZeroDivisionError"),
        ({"noise": core.Noise("u", 1.0)}, "Noise on 'u', no state variable.* allowed: v, w"),
        ({"noise": core.Noise("v", "sigmo")}, "no number 'sigmo' in p .did you mean 'sigma'"),
        (
            {"coupling": core.GapJunctions("v", NOTHING)},
            "got \\(\\); allowed: a number, a name in p",
        ),
        ({"coupling": core.GapJunctions("v", lambda x: x.v)}, "any of m, c, p"),
        ({"fields": (core.Field("s", lambda x, p: (x.v,)),)}, "returns"),
        ({"initial": lambda z, p: (1 / p.c, 0.0)}, "ZeroDivisionError"),
        ({"state": (core.State("v", range=(1.0, "eps")), W)}, "v.range: 1 to 0.01; .* lowest"),
        ({"state": (core.State("v", range=ONE_END), W)}, r"range: got .0.0,."),
        ({"state": (core.State("v", range=(0.0, "epsi")), W)}, "no number 'epsi' in p .did you"),
    ],
)
def test_a_model_that_no_kernel_could_take_is_refused_in_its_authors_words(changes, words):
    with pytest.raises(StudyError, match=words) as caught:
        core.check_model(spoilt(**changes))
    text = str(caught.value)
    assert "\n" not in text
    (part,) = changes
    assert "linear." in text
    if part in ("drift", "initial"):
        assert text.startswith(f"{__file__}:")


def test_kernels_have_room_for_every_variable_a_model_may_have():
    assert core.MAX_VARIABLES == MAX_COLUMNS
