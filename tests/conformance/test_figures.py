"""Every figure draws its example, labels its axes, and has the same bytes twice."""

from __future__ import annotations

import numpy as np
import pytest

from neurolim import core
from neurolim.figures._style import figure, label_log, save


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


@pytest.mark.parametrize(
    ("levels", "labels"),
    [
        ([500.0, 2000.0, 8000.0], ["500", "2000", "8000"]),
        ([0.01, 0.02, 0.05, 0.1], ["$\\mathdefault{10^{-2}}$", "$\\mathdefault{10^{-1}}$"]),
    ],
)
def test_log_axes_are_labelled_at_two_powers_of_ten_or_at_their_levels(levels, labels):
    picture, axes = figure(1, 1, 3.0, 2.0)
    panel = axes[0, 0]
    panel.loglog(levels, levels)
    panel.set_xlim(levels[0] / 1.2, levels[-1] * 1.2)
    label_log(panel.xaxis, np.array(levels))
    picture.canvas.draw()
    ticks = [*panel.xaxis.get_major_ticks(), *panel.xaxis.get_minor_ticks()]
    low, high = panel.get_xlim()
    shown = [t.label1.get_text() for t in ticks if low <= t.get_loc() <= high]
    assert [text for text in shown if text] == labels
