"""What a figure promises: a picture of its example, labelled, of the same bytes twice."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from neurolim import core
from neurolim.core import Figure, hint
from neurolim.figures.parts.style import save
from neurolim.testing._checks import Check, checks_of, is_documented, refusal


def figure_checks(figure: Any) -> list[Check]:
    """Return the checks of a figure, each a function without arguments that raises StudyError.

    Parameters
    ----------
    figure : a registered name, ``file.py``, ``file.py:NAME``, or the Figure itself
    """
    return checks_of("figure", figure, [is_documented, draws_its_example])


def draws_its_example(figure: Figure) -> list[str]:
    """Draw the example twice.

    Raises
    ------
    StudyError : an example without what the figure needs, or that it changes; no picture, an empty
        one, or one without a label; other bytes at the second time
    """
    dataset, options = figure.example(), core.resolve(figure.options, {})
    state = tuple(str(v) for v in dataset["variable"].values) if "variable" in dataset else ()
    variables = [str(variable) for variable in dataset.variables]
    for needed in figure.needs(options, state):
        if needed not in variables:
            problem = f"{figure.name}: needs {needed!r}, which example() does not have"
            raise refusal(figure.example, problem + hint(needed, variables), ", ".join(variables))
    before = dataset.copy(deep=True)
    with tempfile.TemporaryDirectory() as folder:
        pictures = [figure.draw(dataset, {}, **options) for _ in range(2)]
        _check_picture(figure, pictures[0])
        if not dataset.identical(before):
            problem = f"{figure.name}: changes the dataset it is given"
            raise refusal(figure.draw, problem, "a copy of it")
        files = [save(picture, Path(folder) / str(k)) for k, picture in enumerate(pictures)]
        for first, second in zip(*files, strict=True):
            if first.read_bytes() != second.read_bytes():
                problem = f"{figure.name}: another {first.suffix} at the second time"
                raise refusal(figure.draw, problem, "the same bytes")
    panels = len(pictures[0].axes)
    return [f"draws its example: {panels} {'axes' if panels > 1 else 'panel'}"]


def _check_picture(figure: Figure, picture: Any) -> None:
    """Refuse what is no picture, or an empty one, or one without a label."""
    if not hasattr(picture, "savefig"):
        problem = f"{figure.name}: returns {type(picture).__name__}"
        raise refusal(figure.draw, problem, "a matplotlib Figure")
    axes = [panel for panel in picture.axes if panel.get_visible()]
    if not any(panel.has_data() or panel.texts or panel.tables for panel in axes):
        raise refusal(figure.draw, f"{figure.name}: draws nothing", "lines, points, an image")
    if not any(panel.get_xlabel() for panel in axes):
        raise refusal(figure.draw, f"{figure.name}: no axis has a label", "axes.set_xlabel(...)")
