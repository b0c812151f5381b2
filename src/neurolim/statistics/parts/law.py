r"""The law of the mean-field solver on a grid, beside the limit law it should approach.

In the frame u = (v - V)/s, y = (w - W)/r of the solver ``kinetic`` the law is phi(u) phi(y) g(u, y)
with g = sum C_kl h_k(u) h_l(y); the limit of Blaustein 2022, eq. (1.13), is a product of two normal
laws with means and widths from the solver ``limit``, shifted and scaled to the same frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from typing import Any

import numpy as np
import xarray as xr

from neurolim.numerics import hermite

NEEDS = ("state_mean", "frame", "coefficients", "reference_state_mean", "reference_width")
#: Grid of u and y: sums over it are spectrally accurate for smooth laws of width about 1.
GRID = np.linspace(-8.0, 8.0, 161)
CELL = float(GRID[1] - GRID[0])
_INSIDE = ("variable", "voltage_mode", "recovery_mode")


class Law:
    """One law and its limit at one time and site.

    Parameters
    ----------
    mean, frame : (V, W) and (s, r)
    coefficients : C [voltage_mode, recovery_mode]
    limit_mean, limit_width : of the limit law
    """

    def __init__(
        self,
        mean: np.ndarray,
        frame: np.ndarray,
        coefficients: np.ndarray,
        limit_mean: np.ndarray,
        limit_width: np.ndarray,
    ) -> None:
        self.mean, self.frame, self.coefficients = mean, frame, coefficients
        self.limit_mean, self.limit_width = limit_mean, limit_width

    @cached_property
    def normal(self) -> np.ndarray:
        """Return phi on the grid."""
        return normal(GRID)

    @cached_property
    def factor(self) -> np.ndarray:
        """Return g on the grid [u, y]."""
        return (
            _values(self.coefficients.shape[0])
            @ self.coefficients
            @ _values(self.coefficients.shape[1]).T
        )

    @cached_property
    def density(self) -> np.ndarray:
        """Return the density in u and y [u, y]."""
        return self.normal[:, None] * self.normal * self.factor

    def limit(self, place: int, centred: bool = False) -> np.ndarray:
        """Return the limit's marginal of v (place 0) or w (1) on the grid, density in u or y.

        Parameters
        ----------
        place : 0 or 1
        centred : move its mean to that of the law
        """
        scale = self.frame[place]
        offset = 0.0 if centred else (self.limit_mean[place] - self.mean[place]) / scale
        # The profile of v has the width theta of the frame, whatever the data's width was.
        width = 1.0 if place == 0 else self.limit_width[1] / scale
        return normal((GRID - offset) / width) / width

    def marginal(self, place: int) -> np.ndarray:
        """Return the marginal of v (0) or w (1) on the grid, density in u or y."""
        own = self.coefficients[:, 0] if place == 0 else self.coefficients[0]
        return self.normal * (_values(len(own)) @ own)


def normal(x: np.ndarray) -> np.ndarray:
    """Return the standard normal density."""
    return np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi)


@cache
def _values(count: int) -> np.ndarray:
    return hermite.values(GRID, count)


def measure(
    dataset: xr.Dataset, names: Iterable[str], function: Callable[[Law], Mapping[str, float]]
) -> dict[str, xr.DataArray]:
    """Return the named numbers of every law, with dims [grid.., time, site].

    Parameters
    ----------
    dataset : the variables of ``NEEDS``; laws that hold NaN give NaN
    names : what ``function`` returns
    function : from a law to numbers by name
    """
    dims = [str(d) for d in dataset["coefficients"].dims if d not in _INSIDE]
    shape = tuple(dataset.sizes[d] for d in dims)
    arrays = {}
    for name in NEEDS:
        part = dataset[name].drop_vars(set(dataset[name].coords))
        inner = [d for d in part.dims if d in _INSIDE]
        missing = {d: dataset.sizes[d] for d in dims if d not in part.dims}
        arrays[name] = part.expand_dims(missing).transpose(*dims, *inner).values
    found = {name: np.full(shape, np.nan) for name in names}
    for place in np.ndindex(shape):
        mean, frame, law, limit_mean, limit_width = (arrays[name][place] for name in NEEDS)
        if all(np.isfinite(arrays[name][place]).all() for name in NEEDS):
            for name, value in function(Law(mean, frame, law, limit_mean, limit_width)).items():
                found[name][place] = value
    coords = {d: dataset[d] for d in dims if d in dataset.coords}
    return {name: xr.DataArray(array, coords, dims) for name, array in found.items()}


def largest(array: xr.DataArray) -> xr.DataArray:
    """Return the largest value over time and sites; NaN if any is missing."""
    return array.max(("time", "site"), skipna=False)


def integral(array: xr.DataArray) -> xr.DataArray:
    """Return the integral over time (trapezoids) of the largest value over sites."""
    return array.max("site", skipna=False).integrate("time")


def synthetic(
    eps: list[float], coefficients: Callable[[float], np.ndarray], shift: float = 0.0
) -> xr.Dataset:
    """Return laws with known coefficients, s = sqrt(eps), r = 1/2, displaced from their limit.

    Parameters
    ----------
    eps : levels
    coefficients : from a level to C [voltage_mode, recovery_mode]
    shift : V - V_limit over eps
    """
    levels, times = np.array(eps), np.array([0.0, 0.5, 1.0])
    law = np.stack([coefficients(level) for level in levels])
    shape = (len(levels), len(times), 1)
    frame = np.stack([np.sqrt(levels), np.full(len(levels), 0.5)], axis=-1)
    mean = np.stack([shift * levels, 0.0 * levels], axis=-1)
    dims = ("eps", "time", "site")
    data: dict[str, Any] = {
        "state_mean": (
            (*dims, "variable"),
            np.broadcast_to(mean[:, None, None], (*shape, 2)).copy(),
        ),
        "frame": ((*dims, "variable"), np.broadcast_to(frame[:, None, None], (*shape, 2)).copy()),
        "coefficients": (
            (*dims, "voltage_mode", "recovery_mode"),
            np.broadcast_to(law[:, None, None], (*shape, *law.shape[1:])).copy(),
        ),
        "drift_error": (dims, np.broadcast_to(levels[:, None, None], shape).copy()),
        "reference_state_mean": ((*dims, "variable"), np.zeros((*shape, 2))),
        "reference_width": (
            (*dims, "variable"),
            np.broadcast_to(frame[:, None, None], (*shape, 2)).copy(),
        ),
        "reference_mean_shift": (
            (*dims, "variable"),
            np.broadcast_to((levels[:, None] * [1.0, 0.5])[:, None, None], (*shape, 2)).copy(),
        ),
        "reference_widening": (
            (*dims, "variable"),
            np.broadcast_to((levels[:, None] * [-2.0, np.nan])[:, None, None], (*shape, 2)).copy(),
        ),
        "status": (("eps",), np.zeros(len(levels), np.int8)),
    }
    coords = {"eps": levels, "time": times, "site": [0.0], "variable": ["voltage", "recovery"]}
    return xr.Dataset(data, coords, {"params": "{}", "options": "{}"})
