"""Balance index over the number of neurons and the strength of their coupling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure
from neurolim.figures.parts.style import Picture, figure, note_failures, nothing_to_show, styled


@styled
def draw(dataset: xr.Dataset, expect: Mapping[str, Any]) -> Picture:
    """Return one map per population and index, the mean's above and the neurons' below.

    Parameters
    ----------
    dataset : balance_index and neuron_balance [n_neurons, gamma, replica, site]
    expect : not used
    """
    from matplotlib.colors import LogNorm

    names = {"balance_index": "of the mean", "neuron_balance": "of a neuron"}
    sites = list(dataset["site"].values)
    arrays = {}
    for name in names:
        array = dataset[name]
        if "replica" in array.dims:
            array = array.mean("replica")
        rest = {str(d): 0 for d in array.dims if d not in ("n_neurons", "gamma", "site")}
        arrays[name] = array.isel(rest).transpose("site", "n_neurons", "gamma")
    finite = np.concatenate([a.values[np.isfinite(a.values)] for a in arrays.values()])
    finite = finite[finite > 0]
    if not finite.size:
        return nothing_to_show(dataset)
    picture, axes = figure(2, len(sites), 3.2 * len(sites) + 0.8, 5.0)
    for row, (name, words) in enumerate(names.items()):
        values = arrays[name].values
        norm = LogNorm(np.nanmin(values[values > 0]), np.nanmax(values))
        for column, site in enumerate(sites):
            panel = axes[row, column]
            mesh = panel.pcolormesh(
                _edges(dataset["gamma"].values),
                _edges(dataset["n_neurons"].values),
                values[column],
                norm=norm,
                cmap="viridis",
            )
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_title(f"balance index {words}, {site}")
            panel.set_xlabel("gamma (1/time)")
            panel.set_ylabel("neurons n")
        bar = picture.colorbar(mesh, ax=list(axes[row]), label="|E + I| / (|E| + |I|)")
        bar.ax.set_title("index", loc="left")
    note_failures(picture, dataset)
    return picture


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the edges of cells about positive values, even in logarithms."""
    logs = np.log(values.astype(float))
    if logs.size == 1:
        return values[0] * np.array([0.7, 1.4])
    middle = 0.5 * (logs[1:] + logs[:-1])
    ends = (2 * logs[0] - middle[0], 2 * logs[-1] - middle[-1])
    return np.exp(np.concatenate([ends[:1], middle, ends[1:]]))


def example() -> xr.Dataset:
    """Return the two power laws."""
    n, gamma = np.array([10, 100, 1000]), np.array([1.0, 10.0, 100.0, 1000.0])
    mean = 0.3 / gamma + 0.1 / np.sqrt(n[:, None] * gamma)
    neuron = np.broadcast_to(0.4 / np.sqrt(gamma), mean.shape)
    dims = ("n_neurons", "gamma", "site")
    return xr.Dataset(
        {
            "balance_index": (dims, mean[:, :, None]),
            "neuron_balance": (dims, neuron[:, :, None]),
        },
        {"n_neurons": n, "gamma": gamma, "site": ["P"]},
    )


def needs(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("balance_index", "neuron_balance")


FIGURE = Figure(
    summary="Balance index over the number of neurons and the coupling strength.",
    options=(),
    needs=needs,
    draw=draw,
    example=example,
)
