"""Whatever is done to a study file: it is accepted, or refused in one line; never a traceback."""

from __future__ import annotations

import copy
import math
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.texts import yaml_of

from neurolim import StudyError, core, load_study
from neurolim.study.plan import check_fit
from neurolim.study.read import parse_study
from neurolim.study.study import Study

LONG = 10**5000
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", " ", "yes", "1e-3", "eps", "x" * 500, "\u0000", "µ"]),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-3, 3), max_size=3),
    st.lists(st.sampled_from([0.1, 0.1, math.nan, math.inf, "a", None, [1], {"a": 1}]), max_size=3),
    st.dictionaries(
        st.sampled_from(["values", "zip", "linspace", "noise", "name", "order"]),
        st.sampled_from([1, "common", [1, 2], [1, 2, 3], None, {"a": [1, 2]}]),
        max_size=2,
    ),
)


def places(node, path=()):
    """Yield the path of every entry of nested mappings and lists."""
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def accepted_or_refused(load):
    try:
        study = load()
    except StudyError as error:
        text = str(error)
        assert text.strip()
        assert "\n" not in text
        return
    assert isinstance(study, Study)
    assert study.n_points >= 1


def studies_of_every_solver():
    """Yield (solver, model that it takes) of every solver that takes one as it comes."""
    for solver in core.names("solver"):
        for model in core.names("model"):
            try:
                parse_study({"model": model, "solver": solver})
            except StudyError:
                continue
            yield solver, model
            break


@pytest.mark.parametrize("value", [5e-324, 1e300, 10**18, 0, [1e300], {}])
def test_whatever_number_an_option_has_it_is_planned_or_refused(tmp_path, value):
    tried = 0
    for solver, model in studies_of_every_solver():
        for param in core.get("solver", solver).options:
            study = {"model": model, "solver": solver, "options": {param.name: value}}
            # Any other exception is a traceback before somebody who mistyped.
            with suppress(StudyError):
                check_fit(parse_study(study), tmp_path)
            tried += 1
    assert tried > 100


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "~nobody_of_this_name"},
        {"model": "~nobody_of_this_name/a.py"},
        {"figures": ["~rate_plot"]},
        {"options": {"graph": "~nobody_of_this_name/wires.csv"}, "solver": "graph"},
    ],
)
def test_a_home_that_nobody_has_is_a_file_that_is_not_there(mapping, changes):
    with pytest.raises(StudyError):
        parse_study(mapping | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": LONG},
        {"model": LONG},
        {"reference": {"solver": LONG}},
        {"statistics": [LONG]},
        {"statistics": [{"concentration": {"after": LONG}}]},
        {"params": {"a": LONG}},
        {"grid": {"eps": LONG}},
        {"grid": {"eps": [LONG]}},
        {"grid": {"eps": {"inverse": [LONG]}}},
        {"grid": {"eps": {"linspace": [1, 2, LONG]}}},
        {LONG: 1},
    ],
    ids=range(11),
)
def test_integers_longer_than_python_writes_are_refused_in_one_line(mapping, changes):
    with pytest.raises(StudyError) as refused:
        parse_study(mapping | changes)
    assert "\n" not in str(refused.value)


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_mutated_values_and_keys(mapping, data):
    mutated = copy.deepcopy(mapping)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(sorted(places(mutated), key=str)))
        node = mutated
        for part in path[:-1]:
            node = node[part]
        action = data.draw(st.sampled_from(["replace", "delete", "rename", "add"]))
        if action == "replace" or isinstance(node, list):
            node[path[-1]] = data.draw(JUNK)
        elif action == "delete":
            del node[path[-1]]
        elif action == "rename":
            node[data.draw(st.one_of(st.text(max_size=6), st.integers()))] = node.pop(path[-1])
        else:
            node[data.draw(st.text(max_size=6))] = data.draw(JUNK)
        if not list(places(mutated)):
            break
    accepted_or_refused(lambda: parse_study(mutated))


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_mutated_text(mapping, tmp_path, data):
    text = yaml_of(mapping)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.one_of(
                st.sampled_from(
                    [
                        "\t",
                        "\n",
                        ": ",
                        "- ",
                        "{",
                        "]",
                        "&a ",
                        "*a",
                        "!!python/name:os",
                        "<<: ",
                        "|",
                        "'",
                        "%",
                        "? ",
                        "---\n",
                        "\x00",
                        "1e999",
                        "0x1F",
                    ]
                ),
                st.text(max_size=4),
            )
        )
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 3)) :]
    file = tmp_path / "study.yaml"
    file.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    accepted_or_refused(lambda: load_study(file))
