"""Studies that are unusual but right run to the end; those that cannot work are refused early."""

from __future__ import annotations

import pytest

from neurolim import StudyError
from neurolim.api import run_study
from neurolim.study.read import parse_study

EPS = [0.1, 0.05, 0.02]
SMALL = {"n_neurons": 64, "t_end": 1.0, "records": 4, "dt": 0.05}
EULER = {"n_neurons": 64, "t_end": 50.0, "records": 4, "scheme": "euler_maruyama"}


def study(**changes):
    base = {
        "model": "fitzhugh_nagumo",
        "solver": "particles",
        "reference": "limit",
        "options": SMALL,
        "grid": {"eps": EPS},
        "replicas": 3,
        "statistics": [
            "concentration",
            "profile",
            {"convergence_rate": {"of": ["voltage_mean", "voltage_profile"]}},
        ],
        "figures": ["profile_collapse", "rate_plot", "trajectories"],
    }
    return {k: v for k, v in (base | changes).items() if v is not None}


def rate(**options):
    return ["concentration", {"convergence_rate": {"of": ["voltage_mean"], **options}}]


RIGHT = {
    "one replica": study(replicas=1, statistics=rate(), figures=["rate_plot", "trajectories"]),
    "one level": study(grid={"eps": [0.1]}),
    "more axes": study(
        grid={"eps": EPS, "sigma": [1.0, 2.0], "drift": ["cubic", "canonical"]}
    ),
    "option as axis": study(
        options={"t_end": 1.0, "records": 4, "dt": 0.05},
        grid={"n_neurons": [10, 100], "eps": EPS},
    ),
    "all runs fail": study(
        options=EULER | {"dt": 0.01}, params={"voltage_spread": 1e3}, failed_share=1.0
    ),
    "some runs fail": study(
        options=EULER | {"dt": 0.01}, params={"voltage_spread": 20.0},
        grid={"eps": [0.2, 0.02, 0.01]}, failed_share=1.0,
    ),
    "sites": study(
        params={"positions": [0, 0.5, 1], "density": [1, 2, 3], "kernel": [[0.1, 0.2, 0.3]] * 3}
    ),
    "common noise": study(grid={"eps": {"values": EPS, "noise": "common"}}),
    "deterministic": {"model": "balanced", "solver": "limit", "grid": {"gamma": [1.0, 10.0]}},
    "one replica against a closed form": {
        "model": "linear", "solver": "particles", "reference": "moments", "options": SMALL,
        "statistics": ["agreement"], "figures": ["agreement_scores"],
    },
}  # fmt: skip

WRONG = {
    "no reference": (study(reference=None), "needs reference_state_mean"),
    "no record left": (
        study(statistics=[{"concentration": {"after": 5.0}}], figures=[]), "concentration.after",
    ),
    "over a zipped axis": (
        study(grid={"p": {"zip": {"eps": EPS, "sigma": [1, 2, 3]}}}, statistics=rate(over="p"),
              figures=[]), "not a positive numeric axis",
    ),
    "over words": (
        study(grid={"drift": ["cubic", "canonical"]}, statistics=rate(over="drift"), figures=[]),
        "not a positive numeric axis",
    ),
    "no axis": (study(grid={}), "no axis 'eps'"),
    "nothing to fit": (
        study(statistics=["concentration", "convergence_rate"], figures=[]),
        "convergence_rate.of: missing",
    ),
    "a part of another key": (
        {"model": "balanced", "solver": "moving_grid", "params": {"sigma": [0.0]}},
        r"params\.sigma: no noise",
    ),
    "another model": (
        {"model": "morris_lecar", "solver": "gaussian_closure"},
        "model: gaussian_closure needs variables",
    ),
    "double limit of one axis": (
        study(statistics=["double_limit"], figures=[]), "double_limit: axis n_neurons",
    ),
    "more cells than any memory holds": (
        {"model": "balanced", "solver": "finite_volume", "options": {"n_voltage": 10**300}},
        r"options\.n_voltage: out of range: 1e",
    ),
    "more nodes than any memory holds": (
        {"model": "fitzhugh_nagumo", "solver": "hopf_cole_populations",
         "options": {"nodes": 10**300}}, r"options\.nodes: out of range: 1e",
    ),
    "small parameter unknown": (
        study(statistics=[{"profile": {"eps": "drift"}}], figures=[]), "no numeric parameter",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_unusual_studies_run_to_the_end(name, tmp_path):
    found = run_study(parse_study(RIGHT[name]), tmp_path)
    assert "status" in found
    for figure in RIGHT[name].get("figures", ()):
        assert (tmp_path / "study" / "figures" / f"{figure}.png").stat().st_size > 1000


@pytest.mark.parametrize("name", WRONG)
def test_studies_that_cannot_work_are_refused_before_they_run(name):
    mapping, part = WRONG[name]
    with pytest.raises(StudyError, match=part) as caught:
        parse_study(mapping)
    assert "\n" not in str(caught.value)
