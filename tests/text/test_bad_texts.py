"""Whatever stands in a model as text: it is a model, or refused in one line; never a traceback."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.study.test_bad_studies import JUNK, places

from neurolim import Model, StudyError, core
from neurolim.numerics.derivation import derive
from neurolim.text.model import written

MODEL: dict[str, Any] = {
    "params": {"eps": {"default": 0.1, "unit": "s", "positive": True}, "k": [1.0, 2.0]},
    "terms": {"s": "eps*tanh(v)", "half": "eps/2"},
    "sites": ["E", "I"],
    "weights": [["eps", 0], [1, 2]],
    "state": {"v": {"start": 0.5, "spread": "half", "floor": 0}, "w": None},
    "fields": {"sent": "s*k"},
    "drift": {"v": "v - v^3 - w + field(sent)", "w": "where(v < mean(w), v, -w)"},
    "gap_junctions": {"v": "1/eps"},
    "synapses": {"v": {"conductance": "sum(sent)", "current": "sum(sent)*k"}},
    "noise": [{"moves": {"v": "eps*v", "w": 1}, "stratonovich": True, "common": False}],
}
WORDS = (
    *("v", "w", "u", "eps", "s", "t", "pi", "x", "p", "_", "sent", "term_s", "import", "lambda"),
    *("mean", "field", "sum", "normal", "exp", "tanh", "sqrt", "where", "log", "sigmoid", "print"),
    *("0", "1", "2", "-1", ".5", "1e3", "1e400", "16", "9" * 400, "0x1", "1_0", "1j", "007"),
    *("+", "-", "*", "/", "^", "**", "//", "%", "@", "(", ")", ",", "<", ">=", "==", "=", ":="),
    *(".", "[", "]", "{", "}", "'", '"', ":", ";", "\\", "\n", "#", "\x00", "µ", " ", "...", "!"),
)
#: Equations that are nearly right, and words in any order.
TREES = st.recursive(
    st.sampled_from(["v", "w", "eps", "t", "2", "0.5", "mean(v)", "field(sent)", "sum(w)", "s"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(inner, st.integers(-3, 4)).map(lambda p: f"({p[0]})^{p[1]}"),
        st.tuples(st.sampled_from(["exp", "tanh", "sqrt", "log", "sigmoid", "-"]), inner).map(
            lambda p: f"{p[0]}({p[1]})"
        ),
        st.tuples(inner, inner, inner).map(lambda p: f"where({p[0]} < {p[1]}, {p[2]}, {p[0]})"),
    ),
    max_leaves=8,
)
TEXTS = st.one_of(TREES, st.lists(st.sampled_from(WORDS), max_size=9).map("".join), st.text())


def read_or_refused(mapping):
    """Return the model, or nothing if it is refused in one line."""
    try:
        model = core.get("model", written(mapping))
    except StudyError as error:
        text = str(error)
        assert text.strip()
        assert "\n" not in text
        return None
    assert isinstance(model, Model)
    return model


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=TEXTS, place=st.sampled_from(["drift", "gap_junctions", "terms", "fields"]))
def test_any_equation(text, place):
    mapping = copy.deepcopy(MODEL)
    mapping[place] = {**mapping[place], {"terms": "s", "fields": "sent"}.get(place, "v"): text}
    read_or_refused(mapping)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(first=TREES, second=TREES)
def test_what_is_accepted_can_be_differentiated(first, second):
    model = read_or_refused(MODEL | {"drift": {"v": first, "w": second}})
    if model is not None:
        assert not derive(model).untraceable


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_mutated_values_and_keys(data):
    mutated = copy.deepcopy(MODEL)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(sorted(places(mutated), key=str)))
        node = mutated
        for part in path[:-1]:
            node = node[part]
        action = data.draw(st.sampled_from(["replace", "delete", "rename", "add"]))
        if action == "replace" or isinstance(node, list):
            node[path[-1]] = data.draw(st.one_of(JUNK, TEXTS))
        elif action == "delete":
            del node[path[-1]]
        elif action == "rename":
            node[data.draw(st.one_of(st.sampled_from(WORDS), st.integers()))] = node.pop(path[-1])
        else:
            node[data.draw(st.sampled_from(WORDS))] = data.draw(JUNK)
        if not list(places(mutated)):
            break
    read_or_refused(mutated)
