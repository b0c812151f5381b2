"""Every figure draws its example, labels its axes, and has the same bytes twice."""

from __future__ import annotations

import pytest

from neurolim import core
from neurolim.figures._style import save


@pytest.mark.parametrize("name", core.names("figure"))
def test_example_draws_labelled_axes_and_stable_bytes(name, tmp_path):
    plugin = core.get("figure", name)
    options = core.resolve(plugin.options, {})
    dataset = plugin.example()
    state = tuple(str(name) for name in dataset["variable"].values) if "variable" in dataset else ()
    assert set(plugin.needs(options, state)) <= set(dataset.variables)
    written = []
    for folder in ("one", "two"):
        picture = plugin.draw(dataset, {}, **options)
        written.append(save(picture, tmp_path / folder / name))
    for first, second in zip(*written, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.suffix
    visible = [axes for axes in picture.axes if axes.get_visible()]
    assert visible
    for axes in visible:
        assert axes.get_title(loc="left")
    assert any(axes.get_xlabel() for axes in visible)
    assert any(axes.get_ylabel() for axes in visible)
