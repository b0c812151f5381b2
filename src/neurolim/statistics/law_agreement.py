r"""Agreement of simulated copies with the Fokker-Planck equation, moment by moment.

    z = (average over replicas - law) / sqrt( standard error^2 + grid error^2 )

for mean and covariance of the first copy; the grid error is the solver's own estimate.  The verdict
is that of ``agreement``: Student's t and Bonferroni's bound, at 1 per cent for each quantity.

Source: Herda, Monmarche & Perthame 2024, eqs (1), (21); docs/contraction.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from neurolim.core import Statistic
from neurolim.statistics._common import AFTER, window

_QUANTITIES = ("mean", "covariance")
_LEVEL = 0.01


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return ``law_z_mean`` and ``law_z_covariance`` [grid, time, site, variable(s)].

    Parameters
    ----------
    dataset : ``copy_mean``, ``copy_covariance`` of ``pairs`` and the reference ``fokker_planck``
    after : records later than this are compared, time
    """
    chosen = window(dataset, after)
    found = {}
    for name in _QUANTITIES:
        samples = chosen[f"copy_{name}"].sel(copy="first", drop=True)
        count = samples.notnull().sum("replica")
        squared = samples.var("replica", ddof=1) / count
        error = (squared + chosen[f"reference_{name}_error"] ** 2) ** 0.5
        z = (samples.mean("replica") - chosen[f"reference_{name}"]) / error.where(error > 0)
        found[f"law_z_{name}"] = z.assign_attrs(
            units="standard errors", long_name=f"deviation of the {name} from the law"
        )
    return xr.Dataset(found, attrs={**dataset.attrs, "replicas": dataset.sizes["replica"]})


def tables(dataset: xr.Dataset, expect: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return ``law_agreement``: comparisons, largest z, probability by chance, verdict."""
    freedom = max(1, int(dataset.attrs["replicas"]) - 1)
    rows = []
    for name in _QUANTITIES:
        values = dataset[f"law_z_{name}"].values.ravel()
        values = values[np.isfinite(values)]
        largest = float(np.abs(values).max()) if values.size else np.nan
        p_value = min(1.0, values.size * 2.0 * float(stats.t.sf(largest, freedom)))
        word = "agrees" if p_value >= _LEVEL else "disagrees"
        rows.append(
            {
                "quantity": name,
                "compared": int(values.size),
                "largest_z": largest,
                "p_value": p_value,
                "verdict": f"{word}: largest z {largest:.1f}"
                if values.size
                else "inconclusive: nothing to compare",
            }
        )
    return {"law_agreement": pd.DataFrame(rows)}


def exact() -> list[Any]:
    """Return samples with a known standard error and a known deviation from the law."""
    draws = np.array([-1.0, 1.0, -1.0, 1.0])
    dims = ("replica", "copy", "time", "site", "variable")
    values = np.broadcast_to(draws[:, None, None, None, None], (4, 2, 2, 1, 1))
    square = (*dims, "variable_b")
    still = ("time", "site", "variable")
    error = (4.0 / 3.0 / 4.0) ** 0.5
    dataset = xr.Dataset(
        {
            "copy_mean": (dims, values),
            "copy_covariance": (square, values[..., None] + 5.0),
            "reference_mean": (still, np.full((2, 1, 1), -2.0)),
            "reference_covariance": ((*still, "variable_b"), np.full((2, 1, 1, 1), 5.0)),
            "reference_mean_error": (still, np.zeros((2, 1, 1))),
            "reference_covariance_error": (
                (*still, "variable_b"),
                np.full((2, 1, 1, 1), 1.0),
            ),
        },
        {
            "time": [0.0, 1.0],
            "copy": ["first", "second"],
            "site": [0.0],
            "variable": ["x"],
            "variable_b": ["x"],
        },
    )
    return [
        (
            dataset,
            {"after": 0.0},
            [
                ("law_z_mean", {"site": 0.0, "variable": "x"}, 2.0 / error, 1e-12),
                (
                    "law_z_covariance",
                    {"site": 0.0, "variable": "x", "variable_b": "x"},
                    0.0,
                    1e-12,
                ),
            ],
        )
    ]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return tuple(
        name
        for q in _QUANTITIES
        for name in (f"copy_{q}", f"reference_{q}", f"reference_{q}_error")
    )


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return tuple(f"law_z_{name}" for name in _QUANTITIES)


STATISTIC = Statistic(
    summary="Deviation of simulated copies from the Fokker-Planck equation in standard errors.",
    source="docs/contraction.md",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    tables=tables,
    table_names=("law_agreement",),
)
