"""The JSON schema of study files: every study we ship fits it, and what is wrong does not."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.running import ROOT, environment

from neurolim import core
from neurolim.core import Param
from neurolim.study.schema import param_schema, study_schema
from neurolim.study.spec import StudySpec
from neurolim.study.yaml import read_yaml

STUDIES = sorted((ROOT / "config" / "studies").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = study_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_fits(validator, path):
    assert [error.message for error in validator.iter_errors(read_yaml(path).content)] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "my_model.py"},
        {"x-options": {"anything": [1]}},
        {"model": "../models/mine.py:OTHER", "params": {"anything": 1}},
        {"model": {"state": {"v": {}}, "drift": {"v": "-v"}}, "params": {}},
        {"reference": {"solver": "limit", "options": {"rtol": 1e-8}}},
        {"statistics": [{"mine.py": {"since": 1}}, "mine.py:OTHER"]},
        {"statistics": [{"convergence_rate": {"over": "eps"}, "as": "by_eps"}]},
        {"grid": {"path": {"zip": {"eps": [0.1, 0.2], "b": {"linspace": [1, 2, 2]}}}}},
        {"grid": {"eps": {"values": [0.1], "noise": "common"}}},
        {"tiny": {"options": {"dt": None}, "statistics": {"concentration": {"after": None}}}},
    ],
)
def test_what_a_study_may_say_fits(validator, mapping, changes):
    assert [error.message for error in validator.iter_errors(mapping | changes)] == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"modle": "linear"}, "$"),
        ({"model": "linaer"}, "$.model"),
        ({"model": 3}, "$.model"),
        ({"solver": "particle"}, "$.solver"),
        ({"reference": "limits"}, "$.reference"),
        ({"reference": {"solver": "limit", "option": {}}}, "$.reference"),
        ({"params": {"speed": 1.0}}, "$.params"),
        ({"params": {"a": -0.1}}, "$.params.a"),
        ({"params": {"a": "fast"}}, "$.params.a"),
        ({"params": {"a": True}}, "$.params.a"),
        ({"params": {"drift": "quartic"}}, "$.params.drift"),
        ({"options": {"n_neurons": 10.5}}, "$.options.n_neurons"),
        ({"options": {"n_neurons": 0}}, "$.options.n_neurons"),
        ({"options": {"dt": 0.0}}, "$.options.dt"),
        ({"options": {"steps": 10}}, "$.options"),
        ({"grid": {"eps": []}}, "$.grid.eps"),
        ({"grid": {"two words": {"zip": {"eps": [1, 2], "a": [1, 2]}}}}, "$.grid"),
        ({"grid": {"eps": {"geomspace": [1, 2, 3]}}}, "$.grid.eps"),
        ({"grid": {"eps": {"linspace": [1, 2]}}}, "$.grid.eps"),
        ({"grid": {"eps": {"logspace": [1, 2]}}}, "$.grid.eps"),
        ({"grid": {"eps": {"values": [1], "noise": "loud"}}}, "$.grid.eps"),
        ({"replicas": 0}, "$.replicas"),
        ({"seed": "one"}, "$.seed"),
        ({"statistics": "concentration"}, "$.statistics"),
        ({"statistics": ["concentrate"]}, "$.statistics[0]"),
        ({"statistics": [{"concentration": {"since": 1}}]}, "$.statistics[0]"),
        ({"statistics": [{"concentration": {}, "as": "A b"}]}, "$.statistics[0]"),
        ({"statistics": [{"concentration": {}, "profile": {}}]}, "$.statistics[0]"),
        ({"figures": ["rate_plots"]}, "$.figures[0]"),
        ({"figures": [{"rate_plot": {}, "as": "other"}]}, "$.figures[0]"),
        ({"expect": {"voltage_mean": {"ordre": 1.0}}}, "$.expect.voltage_mean"),
        ({"failed_share": 2}, "$.failed_share"),
        ({"chunk_seconds": 0}, "$.chunk_seconds"),
        ({"tiny": {"seed": 1}}, "$.tiny"),
        ({"tiny": {"options": {"steps": 1}}}, "$.tiny.options"),
        ({"tiny": {"statistics": {"concentration": {"since": 1}}}}, "$.tiny"),
    ],
)
def test_what_is_wrong_does_not_fit(validator, mapping, changes, place):
    wrong = list(validator.iter_errors(mapping | changes))
    assert wrong
    assert all(error.json_path.startswith(place) for error in wrong)


def test_a_study_has_to_name_model_and_solver(validator, mapping):
    for key in ("model", "solver"):
        without = {name: value for name, value in mapping.items() if name != key}
        assert [error.validator for error in validator.iter_errors(without)] == ["required"]


def keys_without_description(schema: Any, place: str = "") -> list[str]:
    """Return the keys of parts of a study that say nothing of what they are."""
    found = []
    for key, part in schema.get("properties", {}).items():
        if "description" not in part and not any("$ref" in one for one in part.get("anyOf", ())):
            found.append(f"{place}.{key}")
    for name, part in schema.get("$defs", {}).items():
        found += ["$defs." + name] if "description" not in part else []
        found += keys_without_description(part, name)
    return found


def test_every_key_says_what_it_means():
    schema = study_schema()
    assert schema["properties"].keys() == StudySpec.model_fields.keys()
    assert keys_without_description(schema) == []


VALUES: list[Any] = [
    *(-1.0, 0, 0.0, 0.5, 1, 1.5, 2, 7, 1e9, True, "a", "b", "c.csv", None),
    *([], [1], [0.5, 2], [-1], ["a"], [[1, 2], [3, 4]], [[]], {}),
]


@pytest.mark.parametrize(
    "param",
    [
        Param("n", 1.0, low=0.0, high=2.0),
        Param("n", 1.0, positive=True),
        Param("n", 1.0, low=0.0, choices=("a",)),
        Param("n", 1, kind="integer", low=1),
        Param("n", True, kind="boolean"),
        Param("n", "a", kind="choice", choices=("a", "b")),
        Param("n", "a", kind="text"),
        Param("n", (1.0,), kind="vector", positive=True),
        Param("n", ((1.0,),), kind="matrix", low=0.0),
        Param("n", ("a",), kind="names"),
    ],
    ids=lambda param: param.describe(),
)
def test_a_value_fits_where_the_parameter_takes_it(param):
    validator = Draft202012Validator(param_schema(param))
    for value in VALUES:
        try:
            param.check(value)
            taken = True
        except core.StudyError:
            taken = False
        assert validator.is_valid(value) == taken, value


def test_the_command_prints_the_schema():
    words = [sys.executable, "-m", "neurolim", "schema"]
    text = subprocess.run(words, env=environment(), capture_output=True, check=True).stdout
    assert json.loads(text) == json.loads(json.dumps(study_schema()))
