"""The page that says which solver takes which model is what the solvers say."""

from __future__ import annotations

from neurolim import core
from neurolim.matrix import document


def test_the_page_about_solvers_is_what_they_say(root):
    page = (root / "docs" / "solvers.md").read_text(encoding="utf-8")
    again = "run: python -m neurolim.matrix > docs/solvers.md"
    assert page == document(), again


def test_every_refusal_is_one_line_in_words_of_the_model():
    for solver in (core.get("solver", name) for name in core.names("solver")):
        for need in solver.needs:
            assert need.words
            for model in (core.get("model", name) for name in core.names("model")):
                fault = need.fault(model)
                assert "\n" not in fault
                assert len(fault) < 120
