"""What the particle kernels leave out of a model is found by probing; a bend is not overlooked."""

from __future__ import annotations

import dataclasses

import pytest

from neurolim.core import get
from neurolim.solvers._schemes import _structure


def structure(**functions):
    model = dataclasses.replace(get("model", "linear"), **functions)
    parameters = model.sites({param.name: param.default for param in model.params}).params[0]
    return _structure(model, type(parameters), n_means=2)


def test_the_registered_models_are_what_they_look_like():
    assert structure().curved == (False, False)
    for name, curved, moves in (
        ("fitzhugh_nagumo", (True, False), False),
        ("morris_lecar", (True, True), False),
        ("balanced", (True, False), True),
    ):
        model = get("model", name)
        parameters = model.sites({param.name: param.default for param in model.params}).params[0]
        fields = len(model.field((0.5, 0.5), parameters))
        found = _structure(model, type(parameters), n_means=2 + fields)
        assert (found.curved, found.rates_move) == (curved, moves), name


@pytest.mark.parametrize(
    "drift",
    [
        lambda x, m, c, p: (-x[0] if x[0] > 0 else -5.0 * x[0], -x[1]),
        lambda x, m, c, p: (min(x[0], 20.0), -x[1]),
        lambda x, m, c, p: (max(x[0], -20.0) - c[0] * 0.0, -x[1]),
        lambda x, m, c, p: (-x[0] + max(m[0] - 2.0, 0.0), -x[1]),
        lambda x, m, c, p: (-x[0] + 1e-3 * x[0] * x[1], -x[1]),
    ],
    ids=["kink", "ceiling", "floor", "moves-with-the-mean", "product"],
)
def test_a_bend_anywhere_is_found(drift):
    assert structure(drift=drift).curved == (True, False)


def test_a_pull_that_is_often_zero_is_found():
    def relax(m, c, p):
        return (max(m[0] - 2.0, 0.0), 0.0), (0.0, 0.0), (0.0, 0.0)

    found = structure(relax=relax)
    assert found.relaxing == (True, False)
    assert found.rates_move
