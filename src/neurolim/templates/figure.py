"""The mean of every variable against time.

Draw your own picture here.  Then

    neurolim check {name}.py        what is wrong, or what the example shows

and in a study beside this file:  figures: [{name}.py]
"""

import numpy as np
import xarray as xr

from neurolim import Figure
from neurolim.figures.parts.style import figure, styled


# Takes the dataset with all statistics, and what the study expects; options follow as keywords.
@styled
def draw(dataset, expect):
    """Return one panel with a line for each variable, averaged over all runs and sites."""
    picture, axes = figure(1, 1, 4.0, 3.0)
    mean = dataset["state_mean"]
    mean = mean.mean([dim for dim in mean.dims if dim not in ("time", "variable")])
    for variable in mean["variable"].values:
        axes[0, 0].plot(mean["time"], mean.sel(variable=variable), label=str(variable))
    axes[0, 0].set_xlabel("time")
    axes[0, 0].set_ylabel("mean")
    axes[0, 0].legend()
    return picture


def example():
    """Return a sine and a cosine."""
    time = np.linspace(0.0, 6.0, 50)
    mean = np.stack([np.sin(time), np.cos(time)], axis=1)
    return xr.Dataset(
        {"state_mean": (("time", "variable"), mean)}, {"time": time, "variable": ["sine", "cosine"]}
    )


FIGURE = Figure(
    summary="The means against time.",
    options=(),
    needs=lambda options, state: ("state_mean",),
    draw=draw,
    example=example,
)
