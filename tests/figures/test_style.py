"""The common style of figures."""

from __future__ import annotations

import numpy as np
import pytest

from neurolim.figures.parts.style import figure, label_log


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
