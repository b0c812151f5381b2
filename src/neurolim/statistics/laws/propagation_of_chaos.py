r"""Distance of a network's neurons to independent solutions of the limit equation (Proposition 1).

    error(t) = sqrt( E |x_t - xbar_t|^2 ),    x a neuron of the network, xbar the limit copy that
                                              shares its start and its noise

``chaos_error`` is its root mean square over the records after ``after``: of order n^(-1/2).
``chaos_growth`` compares the last third of those records with the first: about 1 where the error
stays bounded in time, as contraction makes it.

Source: Herda, Monmarche & Perthame 2024, Proposition 1 and its proof (eq. (22)).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Statistic
from neurolim.statistics.parts.common import AFTER, window


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return ``chaos_error`` and ``chaos_growth`` [grid, replica].

    Parameters
    ----------
    dataset : ``distance_squared`` of the solver ``pairs`` with ``limit_copy``
    after : records later than this are used, time
    """
    squared = window(dataset, after)["distance_squared"].mean("site")
    squared = squared.sum("variable", skipna=False)
    third = max(1, squared.sizes["time"] // 3)
    early, late = squared.isel(time=slice(0, third)), squared.isel(time=slice(-third, None))
    error = squared.mean("time", skipna=False) ** 0.5
    growth = (late.mean("time", skipna=False) / early.mean("time", skipna=False)) ** 0.5
    return xr.Dataset(
        {
            "chaos_error": error.assign_attrs(
                units="state", long_name="distance to independent limit copies"
            ),
            "chaos_growth": growth.assign_attrs(
                units="1", long_name="late over early distance to the limit copies"
            ),
        },
        attrs=dict(dataset.attrs),
    )


def exact() -> list[Any]:
    """Return a distance of 3-4-5 that does not change, and one that doubles."""
    time = np.arange(7.0)
    dims = ("replica", "time", "site", "variable")
    values = np.broadcast_to(np.array([9.0, 16.0]), (2, 7, 1, 2)).copy()
    dataset = xr.Dataset({"distance_squared": (dims, values)}, {"time": time})
    values = values.copy()
    values[:, 4:] *= 4.0
    other = xr.Dataset({"distance_squared": (dims, values)}, {"time": time})
    options = {"after": 0.5}
    return [
        (dataset, options, [("chaos_error", {}, 5.0, 1e-12), ("chaos_growth", {}, 1.0, 1e-12)]),
        (other, options, [("chaos_growth", {}, 2.0, 1e-12)]),
    ]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("distance_squared",)


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("chaos_error", "chaos_growth")


STATISTIC = Statistic(
    summary="Distance of a network's neurons to independent copies of the limit.",
    source="Herda, Monmarche & Perthame 2024, Proposition 1",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
