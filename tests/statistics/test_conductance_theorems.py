"""The theorems of contraction hold for a model of their form, whatever its names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tests.judging import verdict_of

from neurolim import Field, Model, Noise, Number, State, StudyError
from neurolim.api import run_study
from neurolim.core import Kind, get
from neurolim.math import tanh
from neurolim.pipeline.tables import read_table
from neurolim.statistics.contraction import arrhenius, proven_bounds
from neurolim.statistics.parts.contraction import CONDUCTANCE, Neuron, at_each_point
from neurolim.study.read import parse_study

MORRIS_LECAR = get("model", "morris_lecar")
#: Two stable equilibria.
BISTABLE = {"base": 0.2, "amplitude": 1.6, "steepness": 9.0, "rate": 0.7, "leak": 1.3}
INTERACTING = {"base": 0.8, "amplitude": -0.5, "interaction": 0.2, "joint": 0.4, "noise": 0.5}


def sent(x, p):
    return 0.5 + 0.5 * tanh(p.k * (x.potential - p.half))


def drift(x, m, p):
    own = 0.5 + 0.5 * tanh(p.k * (x.potential - p.half))
    g = p.least + p.own * own + p.heard * m.loud + p.both * own * m.loud
    leak = p.loss * p.rest - p.loss * x.potential
    return leak + x.open * p.top - x.potential * x.open, p.speed * g - p.speed * x.open


#: Morris-Lecar neurons with other names and other brackets.
STRANGER = Model(
    summary="A voltage driven by open channels.",
    source="test",
    state=(State("potential", range=("rest", "top")), State("open", floor=0.0)),
    params=tuple(
        Number(name, value, doc="test")
        for name, value in {
            "loss": 1.0, "rest": 1.0, "top": 2.0, "speed": 1.0, "least": 0.2, "own": 1.0,
            "heard": 0.0, "both": 0.0, "k": 1.0, "half": 1.5, "loudness": 0.2,
        }.items()
    ),
    drift=drift,
    noise=Noise("open", lambda p: 2.0**0.5 * p.loudness),
    fields=(Field("loud", sent),),
)  # fmt: skip
NAMES = {
    "leak": "loss", "leak_voltage": "rest", "excitatory_voltage": "top", "rate": "speed",
    "base": "least", "amplitude": "own", "interaction": "heard", "joint": "both",
    "steepness": "k", "midpoint": "half", "noise": "loudness",
}  # fmt: skip


def defaults(model: Model) -> dict[str, Any]:
    return {param.name: param.default for param in model.params}


def both(given: dict[str, float]) -> tuple[Neuron, Neuron]:
    """Return the neuron of Morris and Lecar, and the stranger's of the same numbers."""
    renamed = {NAMES[name]: value for name, value in given.items()}
    return (
        Neuron(MORRIS_LECAR, defaults(MORRIS_LECAR) | given),
        Neuron(STRANGER, defaults(STRANGER) | renamed),
    )


@pytest.mark.parametrize("given", [BISTABLE, INTERACTING, {"amplitude": 0.0}])
def test_constants_of_a_stranger_are_those_of_morris_and_lecar(given):
    known, stranger = both(given)
    assert stranger.constants() == pytest.approx(known.constants(), rel=1e-12)
    assert np.ravel(stranger.equilibria()) == pytest.approx(np.ravel(known.equilibria()), abs=1e-12)
    assert stranger.lyapunov_trace() == pytest.approx(known.lyapunov_trace(), nan_ok=True)


def test_constants_are_the_closed_forms():
    known, _ = both(BISTABLE)
    leak, span, rate, noise, rest, slope, others = known.constants()
    assert (leak, span, rate, noise) == pytest.approx((1.3, 1.0, 0.7, 0.2))
    assert rest == pytest.approx(0.2 + 0.8 * (1.0 + np.tanh(-4.5)))
    assert slope == pytest.approx(1.6 * 4.5)
    assert others == 0.0
    known, _ = both(BISTABLE | {"leak": 1.0})
    assert len(known.equilibria()) == 3
    for v, g in known.equilibria():
        assert (1.0 - v) + g * (2.0 - v) == pytest.approx(0.0, abs=1e-13)
        assert g == pytest.approx(0.2 + 0.8 * (1.0 + np.tanh(9.0 * (v - 1.5))), abs=1e-12)


def test_the_barrier_of_a_stranger_is_that_of_morris_and_lecar():
    known, stranger = both(BISTABLE | {"leak": 1.0, "rate": 1.0})
    assert arrhenius.barrier(stranger) == pytest.approx(arrhenius.barrier(known), rel=1e-6)
    assert np.isnan(arrhenius.barrier(both(INTERACTING)[1]))


def own_mean(x, m, p):
    return p.a * (1.0 - x.v) + x.g * (3.0 - x.v), 2.0 * (0.5 + 0.1 * x.v**2 + 0.2 * m.v - x.g)


def test_a_model_that_hears_the_mean_voltage_has_a_second_slope():
    model = Model(
        summary="Neurons that hear the mean voltage.", source="test",
        state=(State("v", range=(1.0, 3.0)), State("g", floor=0.0)),
        params=(Number("a", 0.5, doc="leak"),),
        drift=own_mean, noise=Noise("g", lambda p: 1.0),
    )  # fmt: skip
    neuron = Neuron(model, {"a": 0.5})
    # G = .5 + .1 v^2 + .2 mean v on [1, 3]: slopes .2 v <= .6 and .2.
    assert neuron.steepest() == pytest.approx((0.6, 0.2))
    assert (neuron.leak, neuron.low, neuron.high, neuron.rate) == pytest.approx(
        (0.5, 1.0, 3.0, 2.0)
    )
    found = proven_bounds.apply(xr.Dataset(attrs={"params": "{}"}), model=model)
    # 4 gamma D (K + K1) = 12.8 > 4 gamma g_L: nothing is proven of synchronous copies.
    assert float(found["activation_slope"]) == pytest.approx(0.6)
    assert np.isnan(float(found["lambda_sync"]))


def test_numbers_follow_the_axes_of_any_model():
    dataset = xr.Dataset(coords={"own": ("case", [0.0, 1.0]), "k": ("case", [1.0, 4.0])})
    (slope,) = at_each_point(dataset, STRANGER, lambda neuron: (neuron.steepest()[0],))
    assert slope.dims == ("case",)
    assert slope.values == pytest.approx([0.0, 2.0])
    assert slope["k"].values.tolist() == [1.0, 4.0]


def test_a_study_of_a_stranger_is_judged_like_one_of_morris_and_lecar(tmp_path):
    def judged(model: str, **names: str) -> list[Any]:
        study = {
            "model": model,
            "solver": "finite_volume",
            "options": {"evolve": False, "n_voltage": 12, "n_conductance": 12,
                        "gap_tolerance": 0.9},
            "grid": {names.get("noise", "noise"): [0.3, 0.6]},
            "statistics": ["proven_bounds", "gap_bound"],
        }  # fmt: skip
        folder = tmp_path / str(len(names))
        run_study(parse_study(study), folder)
        return [
            (row, row.values, verdict_of(row))
            for row in read_table(folder / "study" / "tables" / "gap_bound.json").rows
        ]

    theirs = judged(f"{__file__}:STRANGER", **NAMES)
    ours = judged("morris_lecar")
    assert [verdict.kind for _, _, verdict in theirs] == [Kind.AGREES, Kind.AGREES]
    for (_, own, _), (_, known, _) in zip(theirs, ours, strict=True):
        assert own == pytest.approx(known, rel=1e-6)
    assert theirs[0][0].at == {"loudness": 0.3}


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ("fitzhugh_nagumo", "couplings pull"),
        ("hindmarsh_rose", "state variables: 3"),
        ("desai_zwanzig", "state variables: 1"),
    ],
)
def test_another_form_is_refused_before_anything_runs(model, fault):
    assert CONDUCTANCE.fault(get("model", model)) == fault
    with pytest.raises(StudyError) as caught:
        parse_study({"model": model, "solver": "particles", "statistics": ["proven_bounds"]})
    text = str(caught.value)
    assert text.startswith("statistics.proven_bounds: needs a voltage driven by a conductance")
    assert fault in text
    assert "g' = gamma (G(v, means) - g)" in text
    assert "\n" not in text


def squared(x, m, p):
    v, g = drift(x, m, p)
    return v + 0.3 * x.open**2, g


def bent(x, m, p):
    v, g = drift(x, m, p)
    return v + 0.3 * tanh(x.open), g


def loud(x, p):
    return x.open * sent(x, p)


def opened(x, p):
    return sent(x, p) + 0.1 * x.open


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"drift": squared}, "a drift or a field is not affine in open"),
        ({"drift": bent}, "a drift or a field is not affine in open"),
        ({"fields": (Field("loud", loud),)}, "a drift or a field is not affine in open"),
        ({"state": (State("potential"), State("open", floor=0.0))}, "potential has no range"),
    ],
)
def test_a_form_that_bends_in_the_conductance_or_has_no_range_is_refused(changes, fault):
    assert CONDUCTANCE.fault(replace(STRANGER, **changes)) == fault


def test_a_mean_of_the_conductance_is_refused():
    model = replace(STRANGER, fields=(Field("loud", opened),))
    with pytest.raises(StudyError, match="a mean of the conductance"):
        Neuron(model, defaults(model) | {"heard": 1.0})


def negative(x, m, p):
    return p.a * (1.0 - x.v) + x.g * (3.0 - x.v), 2.0 * (-5.0 + 0.1 * x.v - x.g)


@pytest.mark.parametrize(
    ("target", "top", "fault"), [(negative, 3.0, "G > 0"), (own_mean, 2.5, "the range")]
)
def test_theorems_need_a_positive_conductance_and_voltages_between_the_potentials(
    target, top, fault
):
    model = Model(
        summary="Neurons out of bounds.", source="test",
        state=(State("v", range=(1.0, top)), State("g", floor=0.0)),
        params=(Number("a", 0.5, doc="leak"),), drift=target, noise=Noise("g", lambda p: 1.0),
    )  # fmt: skip
    with pytest.raises(StudyError, match=fault):
        Neuron(model, {"a": 0.5})


def test_copies_stay_in_order_where_the_conductance_rises_with_every_voltage():
    assert both({})[0].increasing()
    assert both({"amplitude": 0.0})[1].increasing()
    assert not both({"base": 1.2, "amplitude": -1.0})[1].increasing()
    assert both({"interaction": 0.4})[0].increasing()
    # Own activation counts for less than it takes: .2 - .4 mean activation.
    assert not both({"base": 1.0, "amplitude": 0.2, "joint": -0.4})[0].increasing()


def test_coefficients_of_another_form_are_refused():
    with pytest.raises(StudyError, match="V_L"):
        Neuron(STRANGER, defaults(STRANGER) | {"rest": 3.0})
    with pytest.raises(StudyError, match="other coefficients"):
        Neuron(STRANGER, defaults(STRANGER) | {"loss": -1.0})
