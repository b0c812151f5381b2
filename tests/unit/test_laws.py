"""Initial laws other than normal ones, drawn by a network, against scipy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
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
    solver = core.get("solver", "moments")
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


def test_weights_below_zero_are_no_law():
    law = Mixture(("share", 0.0, 1.0), (1.0, 2.0, 1.0))
    draws = [
        [law.draw(z, share, 0.0, 1.0, 1.0, 2.0, 1.0) for z in (-1.0, 0.3)] for share in (-1, 1)
    ]
    assert np.isnan(draws[0]).all()
    assert np.isfinite(draws[1]).all()
