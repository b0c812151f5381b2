"""One style for all figures: colour-blind-safe, legible in a column and on a page, byte-stable."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from neurolim import files

# A study loads its figures to check them; matplotlib is for those who draw, for it takes long.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    Picture: TypeAlias = Figure
else:
    Picture = Any

#: Okabe & Ito's palette, for categories.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Colour of what theory says.
THEORY = "#000000"

_SETTINGS: Any = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "lines.linewidth": 1.3,
    # Whatever a person's own settings say, words of a study do not reach TeX.
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "neurolim",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
}
_NO_DATE: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "ModDate": None},
    "png": {"Software": None},
}


def styled(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    """Return the drawing function with our style in force while it runs."""

    @wraps(draw)
    def inside(*args: Any, **options: Any) -> Picture:
        from matplotlib import rc_context

        with rc_context(_SETTINGS):
            return draw(*args, **options)

    return inside


def figure(rows: int, columns: int, width: float, height: float) -> tuple[Picture, np.ndarray]:
    """Return a figure in our style and its axes [rows, columns].

    Parameters
    ----------
    rows, columns : of panels
    width, height : of the figure, inches
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(width, height))
    FigureCanvasAgg(picture)
    return picture, picture.subplots(rows, columns, squeeze=False)


def ordered_colours(count: int) -> list[Any]:
    """Return colours for ordered levels, dark to light, all visible on white."""
    from matplotlib import colormaps

    table = colormaps["viridis"]
    return [table(value) for value in np.linspace(0.0, 0.88, max(count, 1))]


def symbol(name: str, units: str) -> str:
    """Return an axis label: name and unit; a dimensionless quantity is just its name."""
    return name if units in ("1", "", "state") else f"{name} ({units})"


def label_log(axis: Axis, levels: np.ndarray) -> None:
    """Label a logarithmic axis at powers of ten; at its levels where there are no two powers.

    Parameters
    ----------
    axis : already logarithmic
    levels : the values shown along it
    """
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullFormatter, NullLocator

    low, high = np.log10([levels.min(), levels.max()])
    if np.floor(high + 1e-9) - np.ceil(low - 1e-9) >= 1:
        # Labels between the powers would overlap.
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(FixedLocator(sorted(levels.tolist())[:: -(-levels.size // 5)]))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_locator(NullLocator())


def label_levels(axes: Axes, labels: Sequence[tuple[str, Any]]) -> None:
    """Write one coloured label per curve in a column at the right of the panel, from the top.

    Parameters
    ----------
    axes : the panel
    labels : (text, colour), first on top
    """
    for place, (text, colour) in enumerate(labels):
        axes.annotate(
            text,
            (1.02, 0.97 - 0.085 * place),
            xycoords="axes fraction",
            color=colour,
            fontsize=7.5,
            va="top",
            annotation_clip=False,
        )


def at_first_of_others(dataset: Any, over: str) -> tuple[Any, str]:
    """Return the dataset at the first value of every grid axis but ``over``, and a note of it."""
    if "status" not in dataset:
        return dataset, ""
    others = [dim for dim in dataset["status"].dims if dim not in (over, "replica")]
    values = [f"{dim} = {dataset[dim].values[0]}" for dim in others if dataset.sizes[dim] > 1]
    chosen = dataset.isel(dict.fromkeys(others, 0))
    return chosen, f"shown at {', '.join(values)}" if values else ""


def note_failures(picture: Picture, dataset: Any, note: str = "") -> None:
    """Write under the figure a note, and how many runs failed, if any did."""
    notes = [note] if note else []
    if "status" in dataset:
        status = dataset["status"].values
        # 4 is SKIPPED: left out of a refined map on purpose.
        failed = int(np.count_nonzero((status != 0) & (status != 4)))
        if failed:
            notes.append(f"{failed} of {status.size} runs failed and are left out")
    if notes:
        picture.supxlabel("; ".join(notes), fontsize=8, color=COLOURS[1])


def nothing_to_show(dataset: Any) -> Picture:
    """Return a figure that says that no run succeeded."""
    picture, axes = figure(1, 1, 5.0, 1.5)
    axes[0, 0].set_axis_off()
    axes[0, 0].set_title("nothing to show: no run succeeded")
    note_failures(picture, dataset)
    return picture


@styled
def placeholder(text: str) -> Picture:
    """Return a picture that says why there is none."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(6.0, 2.0))
    words = textwrap.fill(text, 80)
    picture.text(0.5, 0.5, words, ha="center", va="center", color="0.35", parse_math=False)
    return picture


def save(picture: Picture, stem: Path) -> list[Path]:
    """Write a figure as ``.svg``, ``.pdf`` and ``.png``; same figure, same bytes.

    Parameters
    ----------
    picture : the figure
    stem : path without ending
    """
    from matplotlib import rc_context

    paths = []
    for kind, metadata in _NO_DATE.items():
        path = stem.parent / f"{stem.name}.{kind}"
        with files.beside(path) as temporary, rc_context(_SETTINGS):
            picture.savefig(temporary, format=kind, metadata=metadata)
        paths.append(path)
    return paths
