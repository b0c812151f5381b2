r"""The network of n neurons against the mean-field law, in standard errors and in n.

    z = (average over replicas - mean-field value) / standard error over replicas

for every mean, every entry of the covariance (divisor n - 1), and every bin of the voltage's
histogram about the site mean in which at least ten neurons are expected; and, per replica,

    x_square = average over time and sites of (network's mean of x - mean-field mean)^2  ~  C/n.

The verdict is that of ``agreement``: Student's t with R - 1 degrees of freedom for each z, R being
the replicas that did not fail, and Bonferroni's bound over all of them.  The systematic difference
of network and mean field is O(1/n).

Source: docs/mean-field.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtr

from neurolim.core import Statistic, Table
from neurolim.numerics import hermite
from neurolim.statistics.parts.common import (
    AFTER,
    SCORES,
    entries_once,
    parameter,
    score_row,
    standard_normal_network,
    survivors,
    variables,
    window,
)

_SCORES = ("z_mean", "z_covariance", "z_histogram")
_FEWEST = 10.0


def _score(samples: xr.DataArray, exact_value: xr.DataArray) -> xr.DataArray:
    """Return (average - exact value)/standard error over replicas; NaN where nothing varies."""
    error = samples.std("replica", ddof=1) / np.sqrt(samples.notnull().sum("replica"))
    return (samples.mean("replica") - exact_value) / error.where(error > 0)


def _probabilities(dataset: xr.Dataset) -> xr.DataArray:
    """Return the mean-field probability of every bin of the voltage [.., bin].

    The law of u is phi sum c_k h_k: its distribution function is Phi - phi sum c_k h_{k-1}/sqrt(k).
    """
    scale = dataset["scale"].isel(variable=0, drop=True)
    if "replica" in scale.dims:
        scale = scale.max("replica")
    frame = dataset["reference_frame"].isel(variable=0, drop=True)
    centres = dataset["bin"].values
    half = 0.5 * (centres[1] - centres[0])
    edges = xr.DataArray(np.append(centres - half, centres[-1] + half), dims="edge")
    marginal = dataset["reference_coefficients"].isel(recovery_mode=0, drop=True)
    marginal = marginal.drop_vars("voltage_mode", errors="ignore")
    count = marginal.sizes["voltage_mode"]
    u = edges * scale / frame
    below = xr.apply_ufunc(ndtr, u)
    lower = xr.apply_ufunc(
        lambda x: hermite.functions(x, count - 1) / np.sqrt(np.arange(1, count)),
        u,
        output_core_dims=[["voltage_mode"]],
    )
    below = below - (lower * marginal.isel(voltage_mode=slice(1, None))).sum("voltage_mode")
    inside = below.diff("edge")
    return inside.rename(edge="bin").assign_coords(bin=centres)


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return the scores [grid, time, site, ..] and squares [grid, replica].

    ``mean_field_replicas`` [grid] counts the replicas that did not fail.

    Parameters
    ----------
    dataset : of the solver ``particles`` with reference ``kinetic``
    after : records later than this are compared, time
    """
    chosen = window(dataset, after)
    n = parameter(dataset, "n_neurons")
    covariance = chosen["covariance"] * (n / (n - 1.0))
    found = {
        "z_mean": _score(chosen["state_mean"], chosen["reference_state_mean"]),
        "z_covariance": _score(covariance, chosen["reference_covariance"]),
    }
    expected = _probabilities(chosen)
    counts = chosen["histogram"].isel(variable=0, drop=True).where(chosen["status"] == 0)
    found["z_histogram"] = _score(counts / n, expected).where(expected * n >= _FEWEST)
    for name in variables(dataset):
        here = chosen.sel(variable=name)
        square = (here["state_mean"] - here["reference_state_mean"]) ** 2
        found[f"{name}_square"] = square.mean(("time", "site"), skipna=False).assign_attrs(
            long_name=f"mean square deviation of {name} from the mean field", units="1"
        )
    for name in _SCORES:
        found[name] = found[name].assign_attrs(
            units="standard errors", long_name=f"{name[2:]} less that of the mean field"
        )
    found["mean_field_replicas"] = survivors(dataset)
    lead = list(dataset["status"].dims)
    order = [*lead, "time", "site", "variable", "variable_b", "bin"]
    return xr.Dataset(
        {
            name: array.transpose(*[d for d in order if d in array.dims]).drop_vars(
                [c for c in array.coords if c not in array.dims]
            )
            for name, array in found.items()
        },
        attrs=dict(dataset.attrs),
    )


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``mean_field_agreement``: comparisons, largest z and verdict."""
    rows = []
    for name in _SCORES:
        z, replicas = xr.broadcast(entries_once(dataset[name]), dataset["mean_field_replicas"])
        rows.append(score_row(name[2:], z.values, replicas.values - 1))
    return (Table("mean_field_agreement", SCORES, tuple(rows)),)


def exact() -> list[Any]:
    """Return a network sampled from the mean-field law itself."""
    n, replicas, eps = 4000, 48, [0.1, 0.4]
    dataset = standard_normal_network(eps, replicas, n, 5)
    shape = (2, 2, 1)
    law = np.zeros((*shape, 6, 4))
    law[..., 0, 0] = 1.0
    dims = ("eps", "time", "site")
    frame = np.broadcast_to(np.sqrt(np.array(eps))[:, None, None, None], (*shape, 1)).copy()
    dataset["reference_frame"] = ((*dims, "variable"), frame)
    dataset["reference_coefficients"] = ((*dims, "voltage_mode", "recovery_mode"), law)
    dataset["reference_covariance"] = (
        (*dims, "variable", "variable_b"),
        np.broadcast_to(np.array(eps)[:, None, None, None, None], (*shape, 1, 1)).copy(),
    )
    at = {"eps": 0.1, "site": 0.0, "variable": "x"}
    middle = {"eps": 0.1, "site": 0.0, "bin": dataset["bin"].values[30]}
    # Scores averaged over two records, and eps/n with the error of 96 squares.
    checks = [
        ("z_mean", at, 0.0, 4.0 / 2**0.5),
        ("z_covariance", at | {"variable_b": "x"}, 0.0, 4.0 / 2**0.5),
        ("z_histogram", middle, 0.0, 4.0 / 2**0.5),
        ("x_square", {"eps": 0.1}, 0.1 / n, 4.0 * (2.0 / (2 * replicas)) ** 0.5 * 0.1 / n),
    ]
    return [(dataset, {"after": 0.0}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (
        "state_mean",
        "covariance",
        "histogram",
        "scale",
        "status",
        *(f"reference_{name}" for name in ("state_mean", "covariance", "frame", "coefficients")),
    )


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return (*_SCORES, *(f"{name}_square" for name in state), "mean_field_replicas")


STATISTIC = Statistic(
    summary="The network against the mean-field law: scores, and mean squares for the order in n.",
    source="docs/mean-field.md",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("mean_field_agreement",),
)
