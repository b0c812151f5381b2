"""Initial laws other than normal ones, drawn by a network, against scipy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kstest, norm

from neurolim import core, solve
from neurolim.core import Model, Noise, Param, State, StudyError
from neurolim.core.digests import model_digest
from neurolim.laws import Mixture, Samples, Uniform

SEVERAL = (-1.0, 0.5, 0.5, 3.0)


def still(x):
    return (0.0, 0.0, 0.0)


def model_of(**laws):
    given: dict[str, Any] = {
        "flat": Uniform("low", lambda p: p.low + 2.0),
        "bumps": Mixture((1.0, -2.0, 0.3), (lambda p: 3, 1.0, 0.5)),
        "drawn": Samples(SEVERAL),
    }
    return Model(
        summary="Variables that stay where they start.",
        source="this test",
        name="starts",
        state=tuple(State(symbol, law=law) for symbol, law in (given | laws).items()),
        params=(Param("low", -0.5, doc="lowest"),),
        drift=still,
        noise=Noise("flat", 0.0),
    )


def test_every_law_is_the_one_it_says():
    options = {"scheme": "euler_maruyama", "n_neurons": 20_000, "records": 1, "t_end": 0.01}
    found = solve(model_of(), "particles", {}, options | {"states": True})
    flat, bumps, drawn = found["state"].values[0, 0, 0]
    # A p-value below 1e-4 would come by chance once in ten thousand keys; this one is fixed.
    assert kstest((flat + 0.5) / 2.0, "uniform").pvalue > 1e-4
    assert flat.min() >= -0.5
    assert flat.max() <= 1.5

    def distribution(x):
        return 0.25 * norm.cdf(x, -2.0, 0.3) + 0.75 * norm.cdf(x, 1.0, 0.5)

    assert kstest(bumps, distribution).pvalue > 1e-4
    values, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(values, np.unique(SEVERAL))
    share = np.array([1, 2, 1]) / 4
    error = np.sqrt(share * (1 - share) / drawn.size)
    assert (np.abs(counts / drawn.size - share) < 4 * error).all()


def test_a_law_is_part_of_what_a_model_is():
    plain = core.get("model", "linear")
    laws = (None, Uniform(0.0, 1.0), Uniform(0.0, 2.0), Samples((0.0, 1.0)), Samples((0.0, 2.0)))
    digests = set()
    for law in laws:
        first = replace(plain.state[0], start=0.0, spread=0.0, law=law)
        digests.add(model_digest(replace(plain, state=(first, *plain.state[1:]))))
    assert len(digests) == len(laws)
    assert None not in digests


def test_solvers_of_laws_name_what_they_do_not_take():
    solver = core.get("solver", "gaussian_closure")
    options = core.resolve(solver.options, {})
    with pytest.raises(StudyError, match="an initial law that is not normal"):
        solver.accept(model_of(), {"low": 0.0}, options)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mixture(), "a mixture of nothing; allowed: triples"),
        (
            lambda: Mixture(*[(1.0, 2.0)]),  # type: ignore[arg-type]
            "a mixture of \\(1.0, 2.0\\)",
        ),
        (lambda: Mixture((-1.0, 0.0, 1.0)), "weights -1.0; allowed: positive"),
        (lambda: Samples(()), "samples that are no numbers"),
        (lambda: Samples((1.0, float("nan"))), "no numbers; allowed: at least one"),
        (lambda: core.check_model(model_of(flat="uniform")), "starts.state.flat.law: 'uniform'"),
        (lambda: core.check_model(model_of(flat=Uniform("lo", 1.0))), "state.flat.law"),
    ],
)
def test_laws_that_are_none_are_refused_in_one_line(make, words):
    with pytest.raises(StudyError, match=words):
        make()


@pytest.mark.parametrize(
    "law", [Uniform(-0.5, 2.0), Mixture((1.0, -2.0, 0.3), (3, 1.0, 0.5)), Samples(SEVERAL)], ids=str
)
def test_moments_of_a_law_are_those_of_its_draws(law):
    # A midpoint rule over probabilities; its error is that of the tails, below 1/(2 points).
    normals = ndtri((np.arange(4000) + 0.5) / 4000)
    draws = np.array([law.draw(float(z), *law.arguments) for z in normals])
    mean, variance = law.moments(())
    assert mean == pytest.approx(draws.mean(), abs=1e-3)
    assert variance == pytest.approx(draws.var(), rel=1e-3)


def started(name, **laws):
    """Return a model of the package whose variables start with other laws."""
    plain = core.get("model", name)
    state = tuple(
        replace(var, start=0.0, spread=0.0, law=laws[var.symbol]) if var.symbol in laws else var
        for var in plain.state
    )
    return replace(plain, name=f"{name}_started", state=state)


TWO_BUMPS = Mixture((1.0, -1.0, 0.2), (2.0, 0.8, 0.4))
RUN = {"t_end": 1.0, "records": 2}
MANY = RUN | {"dt": 0.01, "n_neurons": 4000, "bins": 1}


def test_moments_of_a_linear_network_hold_for_any_start():
    model = started("linear", v=Uniform(-1.0, 2.0), w=TWO_BUMPS)
    given = {"eps": 0.5, "a": 0.7, "b": 0.4, "sigma": 0.3}
    exact = solve(model, "moments", given, RUN | {"n_neurons": MANY["n_neurons"]})
    found = solve(model, "particles", given, MANY, replicas=16)
    for name in ("state_mean", "covariance"):
        values = found[name].values
        error = values.std(axis=0, ddof=1) / 4.0
        # Five standard errors of 16 replicas, each of the 2 + 4 numbers at three times.
        assert (np.abs(values.mean(axis=0) - exact[name].values) < 5.0 * error + 1e-12).all()


@pytest.mark.parametrize("law", [TWO_BUMPS, Uniform(-0.5, 1.5), Samples(SEVERAL)], ids=str)
def test_the_limit_carries_any_law_of_what_is_not_held(law):
    eps = 0.005
    given = {"drift": "canonical", "eps": eps, "a": 0.7, "b": 0.4, "sigma": 0.5}
    model = started("fitzhugh_nagumo", w=law)
    limit = solve(model, "limit", given, RUN)
    mean, variance = law.moments(())
    assert limit["state_mean"].values[0, 0, 1] == pytest.approx(mean, rel=1e-14)
    # w - W obeys y' = -a y, V being the same for all.
    decay = np.exp(-2.0 * 0.7 * limit["time"].values)
    np.testing.assert_allclose(limit["width"].values[:, 0, 1] ** 2, variance * decay, rtol=1e-8)
    found = solve(model, "particles", given, MANY, replicas=16)
    after = (limit["state_mean"] + limit["mean_shift"]).values
    error = found["state_mean"].values.std(axis=0, ddof=1) / 4.0
    # What follows the shift is O(eps^2), with slopes of f up to 6 twice.
    assert (
        np.abs(found["state_mean"].values.mean(axis=0) - after) < 5.0 * error + 40.0 * eps**2
    ).all()
    spread = found["covariance"].values[:, :, 0, 1, 1]
    error = spread.std(axis=0, ddof=1) / 4.0
    # The width of w is that of the limit up to O(eps).
    assert (
        np.abs(spread.mean(axis=0) / (variance * decay) - 1.0) < 5 * error / variance + eps
    ).all()


def test_weights_below_zero_are_no_law():
    law = Mixture(("share", 0.0, 1.0), (1.0, 2.0, 1.0))
    draws = [
        [law.draw(z, share, 0.0, 1.0, 1.0, 2.0, 1.0) for z in (-1.0, 0.3)] for share in (-1, 1)
    ]
    assert np.isnan(draws[0]).all()
    assert np.isfinite(draws[1]).all()
