r"""The law of v against the Gaussian about the balance voltage, and its Hopf-Cole potential.

    l1_gaussian     = int | f - N(v*, sigma^2/(2 gamma A)) | dv                 expected order 1/2
    l1_centred      = the same with the Gaussian about the law's own mean       expected order 1
    hopf_cole_error = sup over the window of | (1/gamma) log(f/peak) + A (v - v*)^2 / sigma^2 |,

the last of order 1: (1/gamma) log f tends to its limit uniformly on windows of fixed width, where f
itself is as small as e^{-gamma}.  ``peak`` is the largest density of the limit law.  Windows and
potentials are those of the solver ``stationary``; the rate gamma A is the reference's ``pull``.

Source: Quininao & Touboul 2025, abstract (Hopf-Cole approach to the separable one-dimensional
model); orders: docs/balance.md (reconstruction).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Statistic
from neurolim.statistics.parts.balance import (
    POINT,
    at_balance,
    balance_voltage,
    gaussian_balance,
    on_grid,
)
from neurolim.statistics.parts.common import parameter


def apply(dataset: xr.Dataset) -> xr.Dataset:
    """Return the distances [grid, site] and both potentials [grid, site, window_node].

    Parameters
    ----------
    dataset : density, voltage_nodes, state_mean, log_density, window_voltage; the
        reference's points
    """
    centre = balance_voltage(dataset)
    variance = at_balance(dataset, "predicted_variance")
    gamma = parameter(dataset, "gamma")
    nodes, density = dataset["voltage_nodes"], dataset["density"]
    width = (nodes.isel(node=-1) - nodes.isel(node=0)) / (nodes.sizes["node"] - 1)

    def distance(mean: xr.DataArray) -> xr.DataArray:
        limit = np.exp(-0.5 * (nodes - mean) ** 2 / variance) / np.sqrt(2.0 * np.pi * variance)
        return abs(density - limit).sum("node", skipna=False) * width

    own = dataset["state_mean"].isel(variable=0, drop=True)
    if "time" in own.dims:  # of a solver that gives the law at the end
        own = own.isel(time=-1, drop=True)
    voltage = dataset["window_voltage"]
    peak = -0.5 * np.log(2.0 * np.pi * variance)
    potential = (dataset["log_density"] - peak) / gamma
    limit = -0.5 * (voltage - centre) ** 2 / variance / gamma
    found = {
        "l1_gaussian": distance(centre),
        "l1_centred": distance(own),
        "hopf_cole_error": abs(potential - limit).max("window_node", skipna=False),
        "hopf_cole": potential,
        "hopf_cole_limit": limit,
    }
    return on_grid(
        dataset,
        {
            name: array.assign_attrs(long_name=name.replace("_", " "), units="1")
            for name, array in found.items()
        },
    )


def exact() -> list[Any]:
    """Return Gaussian laws displaced by d standard deviations: L1 = 2 erf(d/(2 sqrt 2))."""
    from scipy.special import erf

    dataset = gaussian_balance([100.0, 10000.0])
    checks = []
    for gamma in (100.0, 10000.0):
        at = {"gamma": gamma, "site": "P"}
        shift, variance = 0.35 / gamma, 0.25 / gamma
        # The trapezoidal rule on |.| with a corner errs by about the square of the spacing.
        checks += [
            ("l1_gaussian", at, 2 * float(erf(shift / variance**0.5 / 8**0.5)), 2e-5),
            ("l1_centred", at, 0.0, 1e-12),
            # sup over +-1 of |(v-v*)^2 - (v-mean)^2| / (2 variance gamma)
            ("hopf_cole_error", at, (2 * shift + shift**2) / (2 * variance * gamma), 1e-9),
        ]
    return [(dataset, {}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "state_mean",
        "density",
        "voltage_nodes",
        "log_density",
        "window_voltage",
        *POINT,
        "reference_predicted_variance",
    )


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("l1_gaussian", "l1_centred", "hopf_cole_error", "hopf_cole", "hopf_cole_limit")


STATISTIC = Statistic(
    summary="Distance of the law to the Gaussian about the balance voltage; Hopf-Cole potential.",
    source="Quininao & Touboul 2025, abstract; docs/balance.md",
    options=(),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
