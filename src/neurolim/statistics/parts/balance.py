"""What the statistics of balanced networks share: the balance point attained, late averages."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurolim.core import StudyError
from neurolim.statistics.parts.common import parameter, window

POINT = ("reference_balance_state", "reference_attained")


def at_balance(dataset: xr.Dataset, name: str, branch: int = -1) -> xr.DataArray:
    """Return an output of the reference ``balance_points`` at one balance point per grid point.

    Parameters
    ----------
    dataset : with the reference's outputs
    name : without "reference_"
    branch : number of the point; -1 for the one the initial state falls onto

    Returns
    -------
    the output without its dimension ``branch``; NaN where there is no such point
    """
    array = dataset[f"reference_{name}"]
    if branch >= 0:
        if branch >= array.sizes["branch"]:
            raise StudyError("branch", f"{branch} of {array.sizes['branch']}", "a reported branch")
        return array.isel(branch=branch, drop=True)
    place = dataset["reference_attained"]
    return (
        array.isel(branch=place.clip(min=0)).where(place >= 0).drop_vars("branch", errors="ignore")
    )


def balance_voltage(dataset: xr.Dataset, branch: int = -1) -> xr.DataArray:
    """Return the balance voltage v* [grid, site]."""
    return at_balance(dataset, "balance_state", branch).isel(variable=0, drop=True)


def voltage_moments(dataset: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Return mean and variance of the voltage, unbiased for finite n [grid, replica, time, site].

    The sample variance about the network's own mean misses the fluctuation of that mean: the
    factor n/(n - 1) puts it back where neurons are independent.
    """
    mean = dataset["state_mean"].isel(variable=0, drop=True)
    variance = dataset["covariance"].isel(variable=0, variable_b=0, drop=True)
    if "histogram" in dataset:
        n = parameter(dataset, "n_neurons")
        variance = variance * (n / (n - 1.0))
    return mean, variance


def late(dataset: xr.Dataset, after: float) -> xr.Dataset:
    """Return the records later than ``after``; a stationary dataset as it is."""
    return window(dataset, after) if "time" in dataset.dims else dataset


def average(array: xr.DataArray) -> xr.DataArray:
    """Return the average over time, or the array itself if it has no time; a NaN stays NaN."""
    return array.mean("time", skipna=False) if "time" in array.dims else array


def layer_clock(dataset: xr.Dataset) -> xr.DataArray:
    """Return the layer's units of time (1/gamma) per unit of the dataset's time.

    That is gamma, or 1 where the model's clock is already that of the layer.
    """
    if '"clock": "layer"' in str(dataset.attrs.get("params", "")):
        return xr.DataArray(1.0)
    return parameter(dataset, "gamma")


def on_grid(dataset: xr.Dataset, found: dict[str, xr.DataArray]) -> xr.Dataset:
    """Return arrays as a dataset, grid axes first, then replica, then the rest."""
    lead = [str(dim) for dim in dataset["status"].dims] if "status" in dataset else []
    ordered = {}
    for name, array in found.items():
        rest = [dim for dim in array.dims if dim not in lead]
        ordered[name] = array.transpose(*[dim for dim in lead if dim in array.dims], *rest)
    return xr.Dataset(ordered)


def gaussian_balance(gammas: list[float], correction: float = 0.0) -> xr.Dataset:
    """Return a made-up stationary dataset whose deviations from the first-order law are known.

    One population with v* = 0.3, gain A = 2, sigma = 1, f(v*) = 0.7: mean v* + (0.35/gamma)(1 + k),
    variance (1 + k)/(4 gamma), current -0.7 (1 + k), k = correction/gamma, Gaussian density.

    Parameters
    ----------
    gammas : levels of gamma
    correction : size of the next order
    """
    gamma = np.array(gammas)
    k = 1.0 + correction / gamma
    mean, variance = 0.3 + 0.35 / gamma * k, k / (4.0 * gamma)
    u = np.linspace(-8.0, 8.0, 801)
    nodes = mean[:, None] + np.sqrt(variance)[:, None] * u
    density = np.exp(-0.5 * u**2) / np.sqrt(2.0 * np.pi * variance)[:, None]
    window_nodes = np.linspace(-1.0, 1.0, 41)
    voltage = mean[:, None] + window_nodes
    log_density = -0.5 * window_nodes**2 / variance[:, None] - 0.5 * np.log(
        2.0 * np.pi * variance[:, None]
    )
    one, point = ("gamma", "site"), ("gamma", "branch", "site")
    full = np.ones((gamma.size, 1))
    return xr.Dataset(
        {
            "state_mean": ((*one, "variable"), mean[:, None, None]),
            "covariance": ((*one, "variable", "variable_b"), variance[:, None, None, None]),
            "excitation": (one, 3.0 * gamma[:, None]),
            "inhibition": (one, (-3.0 * gamma - 0.7 * k)[:, None]),
            "neuron_index": (one, full / np.sqrt(gamma)[:, None]),
            "voltage_nodes": ((*one, "node"), nodes[:, None]),
            "density": ((*one, "node"), density[:, None]),
            "window_voltage": ((*one, "window_node"), voltage[:, None]),
            "log_density": ((*one, "window_node"), log_density[:, None]),
            "status": ("gamma", np.zeros(gamma.size, np.int8)),
            "reference_attained": ("gamma", np.zeros(gamma.size, np.int32)),
            "reference_balance_state": ((*point, "variable"), 0.3 * full[:, None, None]),
            "reference_pull": (point, 2.0 * gamma[:, None, None]),
            "reference_predicted_shift": (point, 0.35 / gamma[:, None, None]),
            "reference_predicted_variance": (point, 0.25 / gamma[:, None, None]),
            "reference_predicted_residual": (point, -0.7 * full[:, None]),
        },
        {
            "gamma": gamma,
            "site": ["P"],
            "variable": ["voltage"],
            "variable_b": ["voltage"],
        },
        {"params": '{"clock": "time"}', "options": "{}"},
    )
