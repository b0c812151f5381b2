"""Refusals of models, in words of their authors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from neurolim import core
from neurolim.core import StudyError
from neurolim.numerics.columns import MAX_COLUMNS


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(StudyError, match="fitzhugh_nagumo"):
        core.get("model", "fitzhugh")


def spoilt(**changes):
    """Return the linear model with some of its parts replaced."""
    return replace(core.get("model", "linear"), **changes)


V, W = core.State("v"), core.State("w")
NOTHING: Any = ()
ONE_END: Any = (0.0,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"state": tuple(core.State(f"v{k}") for k in range(9))},
            "9 state variables; allowed: 1 to 8",
        ),
        ({"state": ()}, "0 state variables"),
        ({"state": (V, V)}, "two things named 'v'"),
        ({"noise": (core.Noise("v", 1.0),) * 17}, "linear.noise: 17 of them; allowed: at most 16"),
        (
            {"fields": tuple(core.Field(f"s{k}", 1.0) for k in range(25))},
            "25 of them; allowed: at most 24",
        ),
        ({"state": (V, core.State("lambda"))}, "'lambda' is a keyword of Python"),
        ({"fields": (core.Field("v", 1.0),)}, "two things named 'v'"),
        ({"drift": lambda x, p: (0.0,)}, r"returns \(0.0,\); allowed: a tuple of 2"),
        ({"drift": lambda x, p: [0.0, 0.0]}, "a tuple of 2 numbers, one per variable"),
        ({"drift": lambda x, p: (0.0, float("nan"))}, "not finite at the start"),
        ({"drift": lambda x, p: (p.leek, 0.0)}, "'leek'"),
        ({"drift": lambda x, p: (x.u, 0.0)}, "'u'"),
        ({"drift": lambda x, y: (x.v, 0.0)}, r"takes \(x, y\); allowed: any of t, x, m, c, p"),
        ({"noise": core.Noise("v", lambda y: y)}, r"takes .y.; allowed: any of t, x, m, c, p"),
        ({"noise": core.Noise(("v", "w"), (1.0,))}, "1 amplitudes of 2 variables"),
        ({"noise": core.Noise("v", (1.0, 2.0))}, "2 amplitudes of one variable"),
        ({"noise": core.Noise("v", lambda x: x.v / (x.v - x.v))}, "ZeroDivisionError"),
        ({"noise": core.Noise("u", 1.0)}, "Noise on 'u', no state variable.* allowed: v, w"),
        ({"noise": core.Noise("v", "sigmo")}, "no number 'sigmo' in p .did you mean 'sigma'"),
        (
            {"coupling": core.GapJunctions("v", NOTHING)},
            "got \\(\\); allowed: a finite number, a name in p",
        ),
        ({"coupling": core.GapJunctions("v", lambda x: x.v)}, "any of m, c, p"),
        ({"fields": (core.Field("s", lambda x, p: (x.v,)),)}, "returns"),
        ({"initial": lambda z, p: (1 / p.c, 0.0)}, "ZeroDivisionError"),
        ({"state": (core.State("v", range=(1.0, "eps")), W)}, "v.range: 1 to 0.01; .* lowest"),
        ({"state": (core.State("v", range=ONE_END), W)}, r"range: got .0.0,."),
        ({"state": (core.State("v", range=(0.0, "epsi")), W)}, "no number 'epsi' in p .did you"),
    ],
)
def test_a_model_that_no_kernel_could_take_is_refused_in_its_authors_words(changes, words):
    with pytest.raises(StudyError, match=words) as caught:
        core.check_model(spoilt(**changes))
    text = str(caught.value)
    assert "\n" not in text
    (part,) = changes
    assert "linear." in text
    if part in ("drift", "initial"):
        assert text.startswith(f"{__file__}:")


def test_kernels_have_room_for_every_variable_a_model_may_have():
    assert core.MAX_VARIABLES == MAX_COLUMNS
