r"""How tightly strong coupling holds a network, and how far it is from its limit over time.

    limit_error = root of the mean square over time and sites of  <v> - limit,
    mean_range  = largest minus smallest <v> over time, of the site where that is largest,
    width_ratio = standard deviation of v over sigma/sqrt(2 (pull + gap)), mean over time and sites.

Chemical synapses hold the mean (at the balance voltage) and the width; gap junctions hold the width
only, and the mean is free to follow the drift.

Source: Quininao & Touboul 2025, abstract (electrical and chemical synapses); docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Statistic
from neurolim.statistics.parts.balance import on_grid, voltage_moments
from neurolim.statistics.parts.common import AFTER, window

_NAMES = ("limit_error", "mean_range", "width_ratio")


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return the three measures [grid, replica].

    Parameters
    ----------
    dataset : state_mean, covariance, scale of ``wired``; reference_state_mean over time
    after : records later than this are used, time
    """
    chosen = window(dataset, after)
    mean, variance = voltage_moments(chosen)
    limit = chosen["reference_state_mean"].isel(variable=0, drop=True)
    both = ("time", "site")
    found = (
        ((mean - limit) ** 2).mean(both, skipna=False) ** 0.5,
        (mean.max("time", skipna=False) - mean.min("time", skipna=False)).max("site", skipna=False),
        (variance**0.5 / chosen["scale"]).mean(both, skipna=False),
    )
    return on_grid(
        dataset,
        {
            name: array.assign_attrs(long_name=name.replace("_", " "), units="1")
            for name, array in zip(_NAMES, found, strict=True)
        },
    )


def exact() -> list[Any]:
    """Return a mean that runs 0.1 above a ramp, with the width of theory doubled."""
    time = np.linspace(0.0, 1.0, 11)
    dataset = xr.Dataset(
        {
            "state_mean": (("time", "site", "variable"), (time + 0.1)[:, None, None]),
            "covariance": (
                ("time", "site", "variable", "variable_b"),
                np.full((11, 1, 1, 1), 0.04),
            ),
            "scale": (("time", "site"), np.full((11, 1), 0.1)),
            "status": ((), np.int8(0)),
            "reference_state_mean": (("time", "site", "variable"), time[:, None, None]),
        },
        {"time": time, "site": ["P"], "variable": ["v"], "variable_b": ["v"]},
    )
    checks: list[Any] = [
        ("limit_error", {}, 0.1, 1e-12),
        ("mean_range", {}, 0.5, 1e-12),
        ("width_ratio", {}, 2.0, 1e-12),
    ]
    return [(dataset, {"after": 0.45}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("state_mean", "covariance", "scale", "reference_state_mean")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return _NAMES


STATISTIC = Statistic(
    summary="Distance of a network from its limit over time, range of its mean, width of its law.",
    source="Quininao & Touboul 2025, abstract; docs/balance.md",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
