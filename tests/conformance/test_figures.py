"""Every figure keeps what figures promise (``neurolim.testing``), and the style of this package."""

from __future__ import annotations

import pytest

from neurolim import core
from neurolim.testing import figure_checks


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{check}")
        for name in core.names("figure")
        for check in figure_checks(name)
    ],
)
def test_a_figure_keeps_its_promises(check):
    check()


@pytest.mark.parametrize("name", core.names("figure"))
def test_every_panel_of_a_figure_has_a_title_and_some_an_upright_label(name):
    figure = core.get("figure", name)
    picture = figure.draw(figure.example(), {}, **core.resolve(figure.options, {}))
    visible = [axes for axes in picture.axes if axes.get_visible()]
    for axes in visible:
        assert axes.get_title(loc="left")
    assert any(axes.get_ylabel() for axes in visible)
