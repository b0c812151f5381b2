"""Functions that numba cannot compile are refused before a kernel is built of them."""

from __future__ import annotations

from typing import Any

import pytest

from neurolim import core
from neurolim.core import GapJunctions, Model, Noise, Param, State, StudyError, resolve
from neurolim.kernels import model_code
from neurolim.math import where
from neurolim.numerics.structure import structure_of
from neurolim.solvers.parts import compiled as _compiled

TABLE = {"slope": 2.0}


def steep(v):
    """Return what no kernel knows."""
    return TABLE["slope"] * v


def by_text(x):
    return (float(str(x.v)), 0.0)


def by_table(x):
    return (TABLE["slope"] * x.v, 0.0)


def by_helper(x):
    slope = 1.0
    return (slope * steep(x.v), -x.w)


def by_import(x):
    import math

    return (math.sin(x.v), 0.0)


def network(**parts):
    """Return a model of this file with some parts replaced."""
    given: dict[str, Any] = {
        "summary": "a network of this test",
        "source": "this test",
        "state": (State("v"), State("w")),
        "params": (Param("eps", 0.1),),
        "drift": lambda x: (where(x.v > 0.0, -x.v, x.v), -x.w),
        "coupling": GapJunctions("v", lambda p: 1.0 / p.eps),
        "noise": Noise("v", 0.1),
    }
    return Model(**(given | parts))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"drift": by_text}, r"drift \(.*test_compiled.py:24\): .*could not convert string"),
        ({"drift": by_table}, r"drift \(.*test_compiled.py:29\): Untyped global name 'TABLE'"),
        ({"drift": by_helper}, r"drift \(.*test_compiled.py:21\): Untyped global name 'TABLE'"),
        ({"drift": by_import}, "drift .*: .*IMPORT_NAME"),
        ({"noise": Noise("v", lambda x: by_table(x)[0])}, r"noise\.v\.amplitude .*'TABLE'"),
        ({"coupling": GapJunctions("v", lambda p: TABLE["slope"])}, r"coupling\.v\.rate .*'TABLE'"),
    ],
)
def test_a_function_that_cannot_be_compiled_is_one_refusal_with_its_line(parts, words):
    model = network(**parts)
    core.check_model(model)
    solver = core.get("solver", "particles")
    options = resolve(solver.options, {"scheme": "euler_maruyama", "dt": 0.001})
    with pytest.raises(StudyError, match=f"needs functions that numba can compile: {words}") as e:
        solver.accept(model, resolve(model.params, {}), options)
    assert "\n" not in str(e.value)


def test_solvers_that_compile_nothing_take_such_a_function():
    model = network(drift=lambda x: (-float(TABLE["slope"]) * x.v, -x.w))
    assert structure_of(model).linear
    params = resolve(model.params, {})
    for name in ("limit", "moments", "gaussian_closure", "linear_noise"):
        solver = core.get("solver", name)
        solver.accept(model, params, resolve(solver.options, {}))
    assert _compiled.uncompiled(model) is not None


def test_that_all_can_be_compiled_is_remembered_for_models_that_are_known(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    asked = []

    def compiler(tag):
        asked.append(tag)
        return model_code.compiler(tag)

    monkeypatch.setattr(_compiled, "compiler", compiler)
    for model in (core.get("model", "linear"), network()):
        for _ in range(2):
            _compiled.uncompiled.cache_clear()
            assert _compiled.uncompiled(model) is None
    # The source of this test is nobody's to cover.
    assert len(asked) == 3
    assert len([*tmp_path.glob("compiles-*")]) == 1
