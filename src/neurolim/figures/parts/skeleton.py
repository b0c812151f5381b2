"""What figures of regimes and spikes share: levels of an axis, bifurcation currents, names."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from neurolim.figures.parts.style import COLOURS, THEORY

#: Bifurcations that are drawn, with name, colour and line.
CURVES = {
    "saddle_node_low": ("saddle-node", COLOURS[2], "-"),
    "saddle_node_high": ("saddle-node", COLOURS[2], "-"),
    "hopf_low": ("Hopf", THEORY, "-"),
    "hopf_high": ("Hopf", THEORY, "-"),
    "canard_low": ("canard", COLOURS[3], "--"),
    "canard_high": ("canard", COLOURS[3], "--"),
    "homoclinic_low": ("homoclinic", COLOURS[4], "-."),
    "closure_hopf_low": ("Hopf of the closure", COLOURS[1], ":"),
    "closure_hopf_high": ("Hopf of the closure", COLOURS[1], ":"),
}


def fixed(dataset: xr.Dataset, name: str) -> float | None:
    """Return a fixed parameter or option of the dataset, None if it is unknown or on an axis."""
    for place in ("params", "options"):
        value = json.loads(dataset.attrs.get(place, "{}")).get(name)
        if isinstance(value, (int, float)):
            return float(value)
    return None


def axis_dims(array: xr.DataArray) -> list[str]:
    """Return the grid axes of a reduced quantity."""
    return [str(dim) for dim in array.dims]


def current_marks(panel: Any, here: xr.Dataset) -> None:
    """Draw Hopf and canard currents of one point as vertical lines, if they are in sight."""
    if "reference_bifurcation_current" not in here:
        return
    low, high = panel.get_xlim()
    for name in ("hopf_low", "canard_low", "closure_hopf_low"):
        value = np.ravel(here["reference_bifurcation_current"].sel(bifurcation=name).values)[0]
        if np.isfinite(value) and low < value < high:
            text, colour, line = CURVES[name]
            panel.axvline(float(value), color=colour, ls=line, lw=0.9, label=text)


def legend_of_all(picture: Any, panels: Any, columns: int = 4) -> None:
    """Write one legend of everything labelled in the panels below the figure."""
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        picture.legend(
            found.values(),
            found.keys(),
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            fontsize=7.5,
        )
