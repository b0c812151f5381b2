"""Stationary density of voltage and conductance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.style import COLOURS, Picture, figure, note_failures, styled

_PANELS = 4


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any], *, of: str) -> Picture:
    """Return the density at up to four grid points on common axes, each on its own colour scale.

    Parameters
    ----------
    dataset : what ``finite_volume`` gives
    expect : not used
    of : density, or reference_density where the equation is the study's reference
    """
    from matplotlib import colormaps

    prefix = of.removesuffix("density")
    grid = [str(d) for d in dataset[of].dims if d not in ("v_cell", "g_cell")]
    points = list(np.ndindex(*(dataset.sizes[d] for d in grid)))
    # Evenly chosen, the first and the last always among them.
    chosen = sorted({round(i) for i in np.linspace(0, len(points) - 1, _PANELS)})
    picture, axes = figure(1, len(chosen), 2.5 * len(chosen) + 0.6, 2.7)
    highest = 0.0
    for panel, number in zip(axes[0], chosen, strict=True):
        here = dataset.isel(dict(zip(grid, points[number], strict=True)))
        density = here[of].transpose("v_cell", "g_cell").values
        v, g = here[f"{prefix}v_centre"].values, here[f"{prefix}g_centre"].values
        if np.isfinite(density).all():
            drawn = panel.pcolormesh(v, g, density.T, cmap="viridis", rasterized=True)
            bar = picture.colorbar(drawn, ax=panel)
            bar.ax.set_title("f", loc="left", fontsize=7.5)
            # Where nearly all of the mass is.
            column = np.cumsum(density.sum(axis=0)) / density.sum()
            highest = max(highest, g[min(len(g) - 1, int(np.searchsorted(column, 0.999)))])
            mean = here[f"{prefix}stationary_mean"].values.ravel()
            panel.plot(*mean, "+", color=COLOURS[1], ms=8)
        texts = [
            f"{name} = {here[name].values:.3g}" for name in grid if here[name].dtype.kind in "fi"
        ]
        panel.set_title(", ".join(texts) or "stationary density", fontsize=8.5)
        panel.set_xlabel("voltage v")
    for panel in axes[0]:
        # What is beyond a panel's own grid has no mass: the colour of zero.
        panel.set_facecolor(colormaps["viridis"](0.0))
        panel.set_ylim(0.0, highest or 1.0)
    axes[0, 0].set_ylabel("conductance g (1/time)")
    note_failures(picture, dataset, "f: probability density (time); cross: mean")
    return picture


def example() -> xr.Dataset:
    """Return a Gaussian bump."""
    v, g = np.linspace(1.0, 2.0, 20), np.linspace(0.0, 2.0, 30)
    bump = np.exp(-0.5 * ((v[:, None] - 1.4) / 0.1) ** 2 - 0.5 * ((g[None] - 0.8) / 0.3) ** 2)
    return xr.Dataset(
        {
            "density": (("v_cell", "g_cell"), bump),
            "v_centre": ("v_cell", v),
            "g_centre": ("g_cell", g),
            "stationary_mean": (("site", "variable"), [[1.4, 0.8]]),
        }
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    of = options["of"]
    prefix = of.removesuffix("density")
    return (of, *(f"{prefix}{name}" for name in ("v_centre", "g_centre", "stationary_mean")))


FIGURE = Figure(
    summary="Stationary density of voltage and conductance.",
    options=(
        Param(
            "of",
            "density",
            doc="which density",
            kind="choice",
            choices=("density", "reference_density"),
        ),
    ),
    needs=needs,
    draw=draw,
    example=example,
)
