"""A model as text says the same as in a file, to the bit, and nothing else is ever run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.text_models import TEXTS

from neurolim import core, solve
from neurolim.core import Model
from neurolim.core.assembly import assemble_step
from neurolim.text.model import written


def as_text(name: str) -> Model:
    """Return a model of the package, read from its text."""
    model: Model = core.get("model", written(TEXTS[name]))
    return model


def as_file(name: str, **given: Any) -> tuple[Model, dict[str, Any]]:
    """Return a model of the package with parameters."""
    model = core.get("model", name)
    return model, core.resolve(model.params, given)


#: Numbers that no term is zero for, by the name they have in both.
OTHERS: dict[str, dict[str, Any]] = {
    "fitzhugh_nagumo": {"lam": 3.7, "eps": 0.03, "current": 0.2, "c": 0.3, "recovery_noise": 0.7},
    "linear": {"leak": 1.3, "eps": 0.03, "current": 0.2, "c": 0.3, "recovery_noise": 0.7},
    "morris_lecar": {"interaction": 0.3, "joint": 0.2, "voltage_spread": 0.7}
    | {"conductance_spread": 0.9},
    "balanced": {"gamma": 7.0, "weight_ei": 1.3, "b": [0.3, 0.1], "drift_cubic": [-0.1, -0.7]}
    | {"electrical": [0.3, 1.7], "voltage_spread": [0.3]},
    "balanced_dynamic": {"gamma": 7.0, "weight_ie": 1.3, "b": [0.3, 0.1], "rise": [2.0, 1.1]}
    | {"electrical": [0.3, 1.7], "decay": [0.7]},
}


@pytest.mark.parametrize("name", TEXTS)
def test_equations_as_text_give_the_numbers_of_the_file(name):
    text, (file, params) = as_text(name), as_file(name, **OTHERS[name])
    assert text.symbols == file.symbols
    assert text.means == file.means
    assert [var.name for var in text.state] == [var.name for var in file.state]
    # Of the file's parameters, those that a text can say.
    own, theirs = text.sites(core.resolve(text.params, OTHERS[name])), file.sites(params)
    assert own.labels == theirs.labels
    np.testing.assert_array_equal(own.coupling, theirs.coupling)
    generator = np.random.default_rng(5)
    d, n = len(file.state), len(file.means)
    for p, q in zip(own.params, theirs.params, strict=True):
        for _ in range(20):
            x, z = generator.normal(size=(2, d)).tolist()
            m, c = generator.uniform(0.1, 2.0, size=(2, n)).tolist()
            kicks = generator.normal(size=len(file.noises)).tolist()
            for a, b in ((text.equations, file.equations),):
                assert a.drift(x, m, c, p) == b.drift(x, m, c, q)
                assert a.relax(m, c, p) == b.relax(m, c, q)
                assert a.field(x, p) == b.field(x, q)
                assert a.initial(z, p) == b.initial(z, q)
                assert (a.profile is None) == (b.profile is None)
                assert a.profile is None or a.profile(p) == b.profile(q)
            moved = [
                assemble_step(model).kick(0.0, x, m, c, numbers, kicks, 0.1, tuple(x))
                for model, numbers in ((text, p), (file, q))
            ]
            assert moved[0] == moved[1]


def same_bits(name: str, solver: str, options: dict[str, Any], replicas: int) -> None:
    """Compare all that a solver gives of a model in both forms."""
    found, expected = (
        solve(model, solver, OTHERS[name], options, seed=3, replicas=replicas)
        for model in (TEXTS[name], name)
    )
    assert set(found) == set(expected)
    for key, array in expected.items():
        assert array.values.tobytes() == found[key].values.tobytes(), key
    assert expected["status"].values.max() == 0


NETWORK = {"n_neurons": 300, "dt": 0.002, "t_end": 0.2, "records": 2}
EULER = NETWORK | {"scheme": "euler_maruyama"}


@pytest.mark.parametrize(
    "name",
    [name if name == "linear" else pytest.param(name, marks=pytest.mark.slow) for name in TEXTS],
)
def test_a_network_as_text_has_the_bits_of_the_file(name):
    same_bits(name, "particles", EULER, 2)


@pytest.mark.slow
def test_the_exponential_scheme_has_the_same_bits_too():
    same_bits("fitzhugh_nagumo", "particles", NETWORK, 2)


def test_the_limit_of_a_text_has_the_same_bits():
    same_bits("balanced", "limit", {"t_end": 0.5, "records": 4}, 1)
