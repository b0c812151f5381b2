"""What solvers know of a model is derived from its equations: never probed, never declared."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from neurolim import Noise, core
from neurolim.core.assembly import assemble_step
from neurolim.core.digests import model_digest
from neurolim.math import exp, where
from neurolim.numerics import structure
from neurolim.numerics.derivation import derive, entering
from neurolim.numerics.structure import derivatives_of, structure_of

MODELS = core.names("model")


def changed(**parts):
    return dataclasses.replace(core.get("model", "linear"), **parts)


def test_the_registered_models_are_what_they_look_like():
    for name, curved, relaxing, moves, linear in (
        ("linear", (False, False), (True, False), False, True),
        ("fitzhugh_nagumo", (True, False), (True, False), False, False),
        ("morris_lecar", (True, True), (False, False), False, False),
        ("balanced", (True, False), (True, False), True, False),
        ("balanced_dynamic", (True, False, True), (True, False, False), True, False),
    ):
        found = structure_of(core.get("model", name))
        assert not found.untraceable
        assert found.traced
        assert (found.curved, found.relaxing) == (curved, relaxing), name
        assert (found.rates_move, found.linear) == (moves, linear), name
    cubic = structure_of(core.get("model", "fitzhugh_nagumo"))
    assert cubic.degree == (7, 1)
    assert cubic.depends == (("x.v", "x.w", "c.v"), ("x.v", "x.w"))
    assert cubic.bends == (("x.v",), ())
    assert structure_of(core.get("model", "morris_lecar")).depends[1] == (
        "x.v", "x.g", "m.activation",
    )  # fmt: skip
    assert not structure_of(core.get("model", "morris_lecar")).normal
    assert cubic.normal


@pytest.mark.parametrize(
    "drift",
    [
        lambda x: (where(x.v > 0, -x.v, -5.0 * x.v), -x.w),
        lambda x: (where(x.v < 20.0, x.v, 20.0), -x.w),
        lambda x, c: (-x.v + exp(-c.v), -x.w),
        lambda x, m: (-x.v + where(m.v > 2.0, m.v - 2.0, 0.0), -x.w),
        lambda x: (-x.v + 1e-3 * x.v * x.w, -x.w),
        lambda x, t: (-x.v + t, -x.w),
    ],
    ids=["kink", "ceiling", "input", "moves-with-the-mean", "product", "time"],
)
def test_a_bend_anywhere_is_found(drift):
    found = derive(changed(drift=drift))
    assert found.curved == (True, False)
    assert not found.linear


def test_what_cancels_is_seen_to_cancel():
    found = derive(changed(drift=lambda x: ((x.v + 1.0) ** 2 - x.v**2, 0.0 * x.v - x.w)))
    assert found.bends == ((), ())
    assert found.depends == (("x.v",), ("x.w",))
    assert found.linear


def test_a_pull_that_is_often_zero_is_found():
    synapses = core.Synapses("v", lambda m: where(m.v > 2.0, m.v - 2.0, 0.0), 0.0)
    found = derive(changed(coupling=synapses))
    assert found.pulled == (True, False)
    assert found.gapped == (False, False)
    assert found.rates_move


def test_a_function_that_asks_for_the_sign_of_a_state_says_what_to_write():
    found = derive(changed(drift=lambda x: (-x.v if x.v > 0 else x.v, -x.w)))
    assert not found.traced
    assert "neurolim.math.where" in found.untraceable["drift"]


def slopes(function, point, size):
    """Return the slopes of a function of a tuple, by central differences of fourth order."""
    columns = []
    for j in range(len(point)):
        step = 1e-3 * max(1.0, abs(point[j]))
        values = []
        for shift in (-2, -1, 1, 2):
            moved = list(point)
            moved[j] += shift * step
            values.append(np.array(function(tuple(moved)), dtype=float))
        low, lower, higher, high = values
        columns.append((low - high + 8.0 * (higher - lower)) / (12.0 * step))
    return np.array(columns).reshape(len(point), size).T.ravel()


def compare_derivatives(model, p, x, m, c):
    """Compare all derivatives of a model at one point with finite differences."""
    equations, found = model.equations, derivatives_of(model)
    drift, field, initial = equations.drift, equations.field, equations.initial
    d, sent = len(model.state), len(model.fields)
    first = {
        "drift_x": (lambda y: drift(y, m, c, p), x, d),
        "drift_m": (lambda y: drift(x, y, c, p), m, d),
        "drift_c": (lambda y: drift(x, m, y, p), c, d),
        "field_x": (lambda y: field(y, p), x, sent),
    }
    parts: dict[str, Any] = {
        "pull": lambda m, c: equations.relax(m, c, p)[0],
        "gap": lambda m, c: equations.relax(m, c, p)[2],
        "current": lambda m, c: tuple(np.prod(equations.relax(m, c, p)[:2], axis=0)),
    }
    for name, part in parts.items():
        first[f"{name}_m"] = (partial(part, c=c), m, d)
        first[f"{name}_c"] = (partial(part, m), c, d)
    kick, count = assemble_step(model).kick, len(model.noises)

    def amplitudes(x, m, c):
        units = np.eye(count).tolist()
        return sum((kick(0.0, x, m, c, p, unit, 1.0, (0.0,) * d) for unit in units), ())

    if "noise_x" in structure_of(model).texts:
        first["noise_x"] = (lambda y: amplitudes(y, m, c), x, count * d)
        first["noise_m"] = (lambda y: amplitudes(x, y, c), m, count * d)
        first["noise_c"] = (lambda y: amplitudes(x, m, y), c, count * d)
    # A law folded at a wall has a kink, which differences straddle.
    if structure_of(model).normal:
        first["initial_z"] = (lambda y: initial(y, p), x, d)
    for name, (function, at, size) in first.items():
        got = np.array(getattr(found, name)(x, m, c, p), dtype=float)
        np.testing.assert_allclose(got, slopes(function, at, size), rtol=1e-6, atol=1e-7)
    second = {"drift_xx": ("drift_x", d), "field_xx": ("field_x", sent)}
    for name, (slope, size) in second.items():
        got = np.array(getattr(found, name)(x, m, c, p)).reshape(size, d)
        once = getattr(found, slope)
        # The diagonal of the second derivatives: d/dx_j of d f_k/dx_j.
        all_of = slopes(lambda y, once=once: once(y, m, c, p), x, size * d).reshape(size, d, d)
        expected = np.einsum("kjj->kj", all_of)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)
        names = [f"x.{symbol}" for symbol in model.symbols]
        pairs = [(names.index(a), names.index(b)) for a, b in structure_of(model).products]
        kind = name.split("_")[0]
        mixed = np.array(getattr(found, f"{kind}_mixed")(x, m, c, p)).reshape(size, len(pairs))
        for (i, j), column in zip(pairs, mixed.T, strict=True):
            np.testing.assert_allclose(column, all_of[:, i, j], rtol=1e-6, atol=1e-7)
        # What is in no pair is zero.
        told = np.zeros((d, d), bool)
        for a, b in structure_of(model).mixes:
            told[names.index(a), names.index(b)] = told[names.index(b), names.index(a)] = True
        assert np.abs(all_of[:, ~told]).max(initial=0.0) < 1e-7


def test_the_coefficients_of_a_drift_are_those_of_its_powers():
    model = changed(
        drift=lambda x, m, p: ((x.v - x.w) ** 3 + p.a * m.v, exp(x.w) - 2.0 * x.v * x.w)
    )
    found = derive(model)
    assert found.powers == (3, None)
    assert found.degree == (3, None)
    (p,) = model.sites(core.resolve(model.params, {})).params
    got = derivatives_of(model).drift_coefficients((7.0, 2.0), (3.0, 0.0), (0.0, 0.0), p)
    # The place of v itself does not matter, and e^w has none.
    assert got == pytest.approx((-8.0 + 3.0 * p.a, 12.0, -6.0, 1.0))


def test_amplitudes_that_bend_are_told_from_those_that_are_affine_in_the_state():
    noises = (
        Noise("v", 0.3),
        Noise("v", lambda x, m, p: p.a * m.v * (1.0 - x.v)),
        Noise(("v", "w"), (0.1, lambda x: x.v * x.w)),
        Noise("w", lambda x, t: t * x.w),
    )
    assert derive(changed(noise=noises)).noises_bend == (False, False, True, False)
    hidden = Noise("w", lambda x: 1.0 if x.w > 0.0 else 0.0)
    assert derive(changed(noise=hidden)).noises_bend == (True,)
    assert derive(changed()).noises_bend == (False, False)


def test_what_bends_in_the_means_and_rates_is_told_from_what_is_affine_in_them():
    drifts: tuple[tuple[Any, tuple[str, ...]], ...] = (
        (lambda x, m: (x.v**2 * m.v + m.w, -x.w), ()),
        (lambda x, m, c: (m.v * c.v, where(m.w > 0.0, m.w, 0.0)), ("m.v", "m.w", "c.v")),
    )
    for drift, names in drifts:
        assert derive(changed(drift=drift)).means_bend == names
    currents: tuple[tuple[Any, tuple[str, ...]], ...] = (
        (lambda c: 2.0 * c.v, ()),
        (lambda c, m: c.v * m.v, ("m.v", "c.v")),
    )
    for current, names in currents:
        synapses = core.Synapses("v", lambda c: 3.0 * c.w + 1.0, current)
        assert derive(changed(coupling=synapses)).rates_bend == names


def test_what_enters_with_given_numbers_is_found_by_algebra():
    model = changed(drift=lambda x, p: (-x.v, p.c * x.v**3 - x.w))
    for c, names in ((0.0, ("x.w",)), (1e-3, ("x.v", "x.w"))):
        (p,) = model.sites(core.resolve(model.params, {"c": c})).params
        assert entering(model, p, 1) == names


def test_a_kink_has_slopes_that_can_be_called():
    found = derivatives_of(changed(drift=lambda x: (-abs(x.v), -x.w)))
    for v, slope in ((2.0, -1.0), (-2.0, 1.0)):
        at = ((v, 0.0), (0.0, 0.0), (0.0, 0.0), None)
        assert found.drift_x(*at)[0] == slope
        assert found.drift_xx(*at)[0] == 0.0


@pytest.mark.parametrize("name", MODELS)
def test_derivatives_agree_with_finite_differences_at_random_points(name):
    model = core.get("model", name)
    d, n = len(model.state), len(model.means)
    generator = np.random.default_rng(1)
    for p in model.sites(core.resolve(model.params, {})).params:
        for _ in range(20):
            x, m, c = (tuple(generator.normal(size=size).tolist()) for size in (d, n, n))
            # Well between two walls, where amplitudes are not defined beyond them.
            x = tuple(
                y if v.ceiling is None or v.floor is None
                else v.floor + (v.ceiling - v.floor) * (0.2 + 0.6 * (y % 1.0))
                for y, v in zip(x, model.state, strict=True)
            )  # fmt: skip
            compare_derivatives(model, p, x, m, c)


def test_a_job_that_finds_the_structure_on_disk_imports_no_sympy(tmp_path, monkeypatch):
    program = """
import sys
from neurolim import core
from neurolim.numerics.structure import derivatives_of, structure_of
model = core.get("model", "fitzhugh_nagumo")
structure_of(model)
p = model.sites(core.resolve(model.params, {})).params[0]
derivatives_of(model).drift_x((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), p)
print("sympy" in sys.modules)
"""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    said = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["True", "False"]
    (kept,) = tmp_path.glob("structure-*.json")
    # A spoilt file is no harm: the structure is derived again, and kept.
    kept.write_text("{")
    again = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert again.stdout.strip() == "True"
    assert json.loads(kept.read_text())["degree"] == [7, 1]


def test_the_digest_of_a_model_covers_what_its_numbers_depend_on():
    model = core.get("model", "linear")
    assert model_digest(model) == model_digest(dataclasses.replace(model, summary="other words"))
    stiffer = dataclasses.replace(model, coupling=core.GapJunctions("v", "sigma"))
    assert model_digest(stiffer) not in (None, model_digest(model))
    # The source of this test is nobody's to cover: what is compiled for it stays in this process.
    assert model_digest(changed(drift=lambda x: (-x.v, -x.w))) is None
    assert structure.structure_of(changed(drift=lambda x: (-x.v, -x.w))).linear


def test_denominators_and_functions_stay_closed_and_polynomials_cancel():
    def drift(x, p):
        # Multiplied out, twelve denominators within each other have more terms than fit anywhere.
        deep = x.w
        for _ in range(12):
            deep = 1.0 / (1.0 + x.w + deep)
        nothing = (x.v + x.w) ** 2 - x.v**2 - 2.0 * x.v * x.w - x.w**2
        rate = exp(x.w) / (1.0 + exp(x.w) + p.leak)
        return (nothing * deep + rate * (p.b - x.v), deep * deep + nothing)

    found = derive(changed(drift=drift))
    assert not found.untraceable
    assert found.depends == (("x.v", "x.w"), ("x.w",))
    assert found.bends == (("x.v", "x.w"), ("x.w",))
    assert found.powers[0] == 1
