r"""Bias of the stationary mean conductance by the treatment of the wall, for constant G.

The conductance alone is then an Ornstein-Uhlenbeck process reflected at 0, whose stationary law is
a normal N(G, a^2/gamma) cut at 0:

    E g = G + s^2 p(0),   s^2 = a^2/gamma,   p(0) = phi(G/s)/(s Phi(G/s))

Projection of each step to g >= 0 leaves the reflected process with its wall moved down by
0.5826 sqrt(2) a sqrt(h), 0.5826 = -zeta(1/2)/sqrt(2 pi), hence the bias
-0.5826 sqrt(2) a sqrt(h) p(0) E g; symmetrised and bridged steps have order 1.  Fitted is

    bias = c_1/2 sqrt(h) + c_1 h   over the axis dt, replica by replica.

Source: Asmussen, Glynn & Pitman 1995 (the constant); Lepingle 1995; Bossy, Gobet & Talay 2004
(symmetrised step); derivation of the bias: docs/contraction.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm

from neurolim.core import Statistic, StudyError
from neurolim.statistics._common import AFTER, variables, window
from neurolim.statistics._contraction import constants

#: -zeta(1/2)/sqrt(2 pi).
_LEAD = 0.5825971579390106
_GIVES = (
    "bias",
    "bias_error",
    "half_order",
    "half_order_error",
    "half_order_theory",
    "first_order",
)


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return the bias [grid], its expansion in the step [grid without dt], and the theory.

    Parameters
    ----------
    dataset : ``copy_mean`` of ``pairs`` over an axis ``dt``, constant G
    after : records later than this are averaged, time

    Raises
    ------
    StudyError : G is not constant, or no axis ``dt``
    """
    c = constants(dataset)
    if float(abs(c["slope"]).max()) > 0.0 or float(abs(c["slope_others"]).max()) > 0.0:
        raise StudyError("amplitude", "the law is known for constant G only", "0")
    if "dt" not in dataset.dims:
        raise StudyError("grid", "reflection_bias needs the axis dt", "dt")
    name = variables(dataset)[1]
    width = c["noise"] / c["rate"] ** 0.5
    density = norm.pdf(c["base"] / width) / (width * norm.cdf(c["base"] / width))
    mean = c["base"] + width**2 * density
    measured = window(dataset, after)["copy_mean"].sel(copy="first", variable=name, drop=True)
    bias = measured.mean(("time", "site"), skipna=False) - mean
    count = bias.notnull().sum("replica")
    step = dataset["dt"].values
    design = np.stack([step**0.5, step], axis=1)
    fit = np.linalg.pinv(design)
    samples = bias.transpose(..., "dt")
    lead = samples.dims[:-1]
    both = samples.values @ fit.T
    coords = {d: samples[d] for d in lead if d in samples.coords}
    half = xr.DataArray(both[..., 0], coords, lead)
    first = xr.DataArray(both[..., 1], coords, lead)
    theory = xr.zeros_like(half.mean("replica"))
    if "reflection" in theory.dims:
        projected = theory["reflection"] == "projected"
        theory = theory - projected * _LEAD * 2.0**0.5 * c["noise"] * density * mean
    root = half.sizes["replica"] ** 0.5
    units = {"units": "1/time"}
    return xr.Dataset(
        {
            "bias": bias.mean("replica").assign_attrs(long_name="bias of E g", **units),
            "bias_error": bias.std("replica", ddof=1) / count**0.5,
            "half_order": half.mean("replica"),
            "half_order_error": half.std("replica", ddof=1) / root,
            "half_order_theory": theory,
            "first_order": first.mean("replica"),
        },
        attrs=dict(dataset.attrs),
    )


def tables(dataset: xr.Dataset, expect: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return ``reflection_bias``: coefficient of sqrt(h) per scheme, theory, z, local order."""
    rows = []
    dims = dataset["half_order"].dims
    for index in np.ndindex(*dataset["half_order"].shape):
        point = dataset.isel(dict(zip(dims, index, strict=True)))
        value, error = float(point["half_order"]), float(point["half_order_error"])
        theory = float(point["half_order_theory"])
        z = (value - theory) / error if error > 0 else np.nan
        usable = abs(point["bias"].values) > 3.0 * point["bias_error"].values
        order = np.nan
        if usable.sum() >= 2:
            logs = np.log(abs(point["bias"].values[usable]))
            order = float(np.polyfit(np.log(point["dt"].values[usable]), logs, 1)[0])
        rows.append(
            {str(d): point[d].values.item() for d in dims}
            | {
                "half_order": value,
                "half_order_error": error,
                "half_order_theory": theory,
                "z": z,
                "first_order": float(point["first_order"]),
                "fitted_order": order,
                "verdict": "inconclusive: one replica"
                if not np.isfinite(z)
                else f"{'agrees' if abs(z) <= 3.0 else 'disagrees'}: {abs(z):.1f} standard errors",
            }
        )
    return {"reflection_bias": pd.DataFrame(rows)}


def exact() -> list[Any]:
    """Return biases made from the theory of each scheme, G = 1/2, gamma = 1, a = 1/2."""
    import json

    width, base = 0.5, 0.5
    density = norm.pdf(1.0) / (width * norm.cdf(1.0))
    mean = base + width**2 * density
    step = np.array([0.4, 0.1, 0.025])
    constant = -_LEAD * 2.0**0.5 * 0.5 * density * mean
    curves = np.stack([0.2 * step, constant * step**0.5 - 0.1 * step]) + mean
    values = np.broadcast_to(curves[:, :, None, None, None, None, None], (2, 3, 4, 2, 2, 1, 2))
    dims = ("reflection", "dt", "replica", "copy", "time", "site", "variable")
    params = {
        "leak": 1.0, "leak_voltage": 1.0, "excitatory_voltage": 2.0, "rate": 1.0, "base": base,
        "amplitude": 0.0, "interaction": 0.0, "steepness": 1.0, "midpoint": 1.5, "noise": 0.5,
    }  # fmt: skip
    dataset = xr.Dataset(
        {"copy_mean": (dims, values)},
        {
            "reflection": ["bridge", "projected"],
            "dt": step,
            "copy": ["first", "second"],
            "time": [0.0, 1.0],
            "variable": ["voltage", "conductance"],
        },
        {"model": "morris_lecar", "params": json.dumps(params)},
    )
    bridge, projected = {"reflection": "bridge"}, {"reflection": "projected"}
    return [
        (
            dataset,
            {"after": 0.5},
            [
                ("half_order", bridge, 0.0, 1e-12),
                ("first_order", bridge, 0.2, 1e-12),
                ("half_order", projected, constant, 1e-12),
                ("half_order_theory", projected, constant, 1e-12),
                ("half_order_theory", bridge, 0.0, 1e-12),
                ("bias", {**bridge, "dt": 0.4}, 0.08, 1e-12),
            ],
        )
    ]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("copy_mean",)


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return _GIVES


STATISTIC = Statistic(
    summary="Bias of the mean conductance by the treatment of the wall, against theory.",
    source="Asmussen, Glynn & Pitman 1995; Lepingle 1995; Bossy, Gobet & Talay 2004",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    tables=tables,
    table_names=("reflection_bias",),
)
