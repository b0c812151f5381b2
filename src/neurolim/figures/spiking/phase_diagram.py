"""A map of regimes over two parameters, with the bifurcations of the limit on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.skeleton import CURVES, legend_of_all
from neurolim.figures.parts.style import COLOURS, Picture, figure, note_failures, styled, symbol

#: Names of the statistic ``regime``, in its order, with colour and marker.
REGIMES = (
    ("uncertain", "#999999", "x"),
    ("clamped", COLOURS[5], "o"),
    ("bistable", COLOURS[2], "s"),
    ("oscillating", COLOURS[1], "^"),
    ("noise-induced oscillation", COLOURS[4], "v"),
    ("mixed-mode", COLOURS[3], "D"),
    ("rare switching", COLOURS[0], "P"),
)


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, x: str, y: str, log: str) -> Picture:
    """Return the map: cells in the colour of their regime, a marker on each simulated cell.

    Cells that were not simulated have the colour of those around them, and no marker.  A ring
    marks cells that contradict the limit.

    Parameters
    ----------
    dataset : what the statistic ``regime`` gives; reference_bifurcation_current
    expect : not used
    x, y : axes of the map; other axes at their first value
    log : which of the axes are logarithmic: none, x, y, both
    """
    from matplotlib.colors import ListedColormap

    others = [dim for dim in dataset["regime"].dims if dim not in (x, y)]
    chosen = dataset.isel(dict.fromkeys(others, 0))
    regime = chosen["regime"].transpose(y, x).values.astype(float)
    simulated = np.nan_to_num(chosen["runs"].transpose(y, x).values) > 0
    picture, axes = figure(1, 1, 6.6, 5.4)
    panel = axes[0, 0]
    columns, rows = chosen[x].values.astype(float), chosen[y].values.astype(float)
    if log in ("x", "both"):
        panel.set_xscale("log")
    if log in ("y", "both"):
        panel.set_yscale("log")
    table = ListedColormap([colour for _, colour, _ in REGIMES])
    if simulated.any():
        order_x, order_y = np.argsort(columns), np.argsort(rows)
        shown = _filled(regime, simulated)[np.ix_(order_y, order_x)]
        panel.pcolormesh(
            _edges(columns[order_x], log in ("x", "both")),
            _edges(rows[order_y], log in ("y", "both")),
            shown, cmap=table, vmin=-0.5, vmax=len(REGIMES) - 0.5, alpha=0.45, rasterized=True,
        )  # fmt: skip
    across, up = np.meshgrid(columns, rows)
    size = float(np.clip(160.0 / max(columns.size, rows.size), 1.6, 6.0))
    for number, (text, colour, marker) in enumerate(REGIMES):
        here = simulated & (regime == number)
        if here.any():
            panel.plot(
                across[here], up[here], marker, color=colour, ms=size, mec="none" if marker != "x"
                else colour, ls="none", label=f"{text} ({int(here.sum())})",
            )  # fmt: skip
    against = simulated & (chosen["agrees"].transpose(y, x).values == 0)
    if against.any():
        panel.plot(
            across[against], up[against], "o", ms=size + 2.5, mfc="none", mec="black", mew=0.6,
            ls="none", label=f"not as the limit ({int(against.sum())})",
        )  # fmt: skip
    limits = panel.get_xlim(), panel.get_ylim()
    _curves(panel, chosen, x, y)
    panel.set_xlim(limits[0])
    panel.set_ylim(limits[1])
    share = f"{int(simulated.sum())} of {simulated.size} cells simulated"
    panel.set_title(f"regimes of the network; {share}")
    for name, label in ((x, panel.set_xlabel), (y, panel.set_ylabel)):
        label(symbol(name, str(dataset[name].attrs.get("units", "1"))))
    legend_of_all(picture, [panel], 3)
    note_failures(picture, dataset)
    return picture


def _filled(regime: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    """Return the regimes with the cells that were not simulated filled in.

    A cell between two of one regime, in its row or else in its column, has that regime: that is
    why it was left out.  Cells so filled count for others in the next pass; what is left at the
    end is taken from the nearest.
    """
    filled, known = regime.copy(), simulated.copy()
    while True:
        found: list[tuple[int, int, float]] = []
        for row, column in np.argwhere(~known):
            value = _between(filled[row], known[row], column)
            if np.isnan(value):
                value = _between(filled[:, column], known[:, column], row)
            if np.isfinite(value):
                found.append((row, column, value))
        for row, column, value in found:
            filled[row, column], known[row, column] = value, True
        if not found:
            break
    places = np.argwhere(known)
    for place in np.argwhere(~known):
        nearest = np.argmin(((places - place) ** 2).sum(axis=1))
        filled[tuple(place)] = filled[tuple(places[nearest])]
    return filled


def _between(values: np.ndarray, known: np.ndarray, place: int) -> float:
    """Return what the nearest known values before and after a place agree on, NaN if nothing."""
    before, after = values[:place][known[:place]], values[place:][known[place:]]
    if before.size and after.size and before[-1] == after[0]:
        return float(after[0])
    return float("nan")


def _edges(centres: np.ndarray, log: bool) -> np.ndarray:
    """Return the borders between cells."""
    at = np.log(centres) if log else centres
    if at.size == 1:
        at = at[0] + np.array([-0.5, 0.5])
    else:
        middle = 0.5 * (at[1:] + at[:-1])
        at = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
    return np.exp(at) if log else at


def _curves(panel: Any, chosen: xr.Dataset, x: str, y: str) -> None:
    """Draw the currents of the bifurcations against the other parameter."""
    if "current" not in (x, y) or "reference_bifurcation_current" not in chosen:
        return
    other = y if x == "current" else x
    # Bifurcations depend neither on the current nor on the start: any cell of a line has them.
    every = chosen["reference_bifurcation_current"]
    curves = every.max([dim for dim in every.dims if dim not in (other, "bifurcation")])
    along = chosen[other].values.astype(float)
    order = np.argsort(along)
    for name, (text, colour, line) in CURVES.items():
        if name not in curves["bifurcation"].values:
            continue
        values = curves.sel(bifurcation=name).values[order]
        low, high = panel.get_xlim() if x == "current" else panel.get_ylim()
        if np.count_nonzero((values > low) & (values < high)) < 2:
            continue
        # Lines of a refined map without a simulated cell are left out, not a gap in the curve.
        known = curves.notnull().any("bifurcation").values[order]
        pair = (values[known], along[order][known])
        panel.plot(
            *(pair if x == "current" else pair[::-1]), line, color=colour, lw=1.3, label=text
        )


def example() -> xr.Dataset:
    """Return a small map with every regime and cells left out."""
    current, a = np.linspace(0.0, 4.0, 6), np.linspace(0.05, 0.3, 5)
    regime = (np.arange(30).reshape(5, 6) % 7).astype(np.int8)
    runs = np.ones((5, 6))
    runs[1::2, 1::2] = 0
    curves = np.stack([np.linspace(1.0, 2.0, 5), np.linspace(1.2, 2.5, 5)], axis=1)
    return xr.Dataset(
        {
            "regime": (("a", "current"), regime),
            "agrees": (("a", "current"), (regime != 4).astype(np.int8)),
            "runs": (("a", "current"), runs),
            "reference_bifurcation_current": (
                ("a", "current", "bifurcation"),
                np.repeat(curves[:, None, :], 6, axis=1),
            ),
        },
        {"current": current, "a": a, "bifurcation": ["saddle_node_low", "hopf_low"]},
    )


FIGURE = Figure(
    summary="A map of regimes over two parameters with the bifurcations of the limit.",
    options=(
        Param("x", "current", doc="axis along x", kind="text"),
        Param("y", "a", doc="axis along y", kind="text"),
        Param(
            "log",
            "none",
            doc="logarithmic axes",
            kind="choice",
            choices=("none", "x", "y", "both"),
        ),
    ),
    needs=lambda options, state: ("regime", "agrees", "runs"),
    draw=draw,
    example=example,
)
