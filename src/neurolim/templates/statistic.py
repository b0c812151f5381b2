"""The farthest that the mean of a variable gets from zero, over time.

Write your own statistic here.  Then

    neurolim check {name}.py        what is wrong, or whether the known answers come out

and in a study beside this file:  statistics: [{name}.py]
"""

import numpy as np
import xarray as xr

from neurolim import Statistic


# A pure function of the labelled dataset (docs/architecture.md names its dimensions).  Keep the
# dimensions you do not reduce; a run that failed is NaN and stays NaN.  Options follow as
# keywords.
def apply(dataset):
    """Return the largest |mean| over time."""
    excursion = abs(dataset["state_mean"]).max("time", skipna=False)
    return xr.Dataset({"excursion": excursion.assign_attrs(long_name="largest |mean|", units="1")})


# Datasets whose answer is known: (dataset, options, [(variable, where, answer, tolerance)]).  A
# tolerance follows from theory or from a standard error.
def exact():
    """Return a parabola with its vertex at 2."""
    time = np.linspace(0.0, 2.0, 5)
    dataset = xr.Dataset({"state_mean": ("time", 2.0 - (time - 1.0) ** 2)}, {"time": time})
    return [(dataset, {}, [("excursion", {}, 2.0, 0.0)])]


STATISTIC = Statistic(
    summary="Largest distance of the mean from zero.",
    source="definition",
    # Numbers and words that a study may set: Number("after", 0.0, "time", "records later than").
    options=(),
    # What it reads of the dataset, and what it gives.
    needs=lambda options: ("state_mean",),
    gives=lambda options, state: ("excursion",),
    apply=apply,
    exact=exact,
)
