r"""Agreement of simulated copies with the Fokker-Planck equation, moment by moment.

Copies are compared with the law at every record (``evolving``; the first copy, where the equation
starts), or both copies, on average over time, with the stationary law.

    z = (average over replicas - law) / sqrt( standard error^2 + grid error^2 )

for mean and covariance; the grid error is the solver's own estimate.  The verdict
is that of ``agreement``: Student's t and Bonferroni's bound, at 1 per cent for each quantity, with
a degree of freedom less than replicas that did not fail; an entry of the covariance counts once.

Source: Herda, Monmarche & Perthame 2024, eqs (1), (21); docs/contraction.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Param, Statistic, StudyError, Table
from neurolim.statistics.parts.common import AFTER, SCORES, entries_once, score_row, window

_QUANTITIES = ("mean", "covariance")
#: The variables that have the quantities of a law.
_LAWS = {
    "evolving": ("reference_state_mean", "reference_covariance"),
    "stationary": ("reference_stationary_mean", "reference_stationary_covariance"),
}


def _samples(chosen: xr.Dataset, law: str) -> dict[str, xr.DataArray]:
    """Return mean and covariance of the copies [grid, replica, (time), site, variable(s)]."""
    mean, covariance = chosen["copy_mean"], chosen["copy_covariance"]
    if law == "evolving":
        first = {"network_copy": "first"}
        return {"mean": mean.sel(first, drop=True), "covariance": covariance.sel(first, drop=True)}
    # About one mean for all: a replica's own mean would take some of the spread away.
    apart = mean - mean.mean(("time", "network_copy", "replica"))
    outer = apart * apart.rename(variable="variable_b")
    return {
        "mean": mean.mean(("time", "network_copy"), skipna=False),
        "covariance": (covariance + outer).mean(("time", "network_copy"), skipna=False),
    }


def apply(dataset: xr.Dataset, *, after: float, law: str) -> xr.Dataset:
    """Return ``law_z_mean`` and ``law_z_covariance`` [grid, (time), site, variable(s)].

    ``law_replicas`` [grid] counts the replicas that did not fail.

    Parameters
    ----------
    dataset : ``copy_mean``, ``copy_covariance`` of ``pairs`` and the reference ``fokker_planck``
    after : records later than this are compared, time
    law : evolving or stationary
    """
    chosen = window(dataset, after)
    found = {}
    for (name, samples), of_law in zip(_samples(chosen, law).items(), _LAWS[law], strict=True):
        count = samples.notnull().sum("replica")
        squared = samples.var("replica", ddof=1) / count
        error = (squared + chosen[f"{of_law}_error"] ** 2) ** 0.5
        z = (samples.mean("replica") - chosen[of_law]) / error.where(error > 0)
        found[f"law_z_{name}"] = z.assign_attrs(
            units="standard errors", long_name=f"deviation of the {name} from the law"
        )
    solver = [
        d for d in chosen["copy_mean"].dims if d in ("network_copy", "time", "site", "variable")
    ]
    finished = chosen["copy_mean"].notnull().all(solver).sum("replica")
    found["law_replicas"] = finished.assign_attrs(units="1", long_name="replicas that did not fail")
    return xr.Dataset(found, attrs=dict(dataset.attrs))


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``law_agreement``: comparisons, largest z, probability by chance, verdict."""
    rows = []
    for name in _QUANTITIES:
        z = entries_once(dataset[f"law_z_{name}"])
        z, replicas = xr.broadcast(z, dataset["law_replicas"])
        rows.append(score_row(name, z.values, replicas.values - 1))
    return (Table("law_agreement", SCORES, tuple(rows)),)


def exact() -> list[Any]:
    """Return samples with a known standard error and a known deviation from the law."""
    draws = np.array([-1.0, 1.0, -1.0, 1.0])
    dims = ("replica", "network_copy", "time", "site", "variable")
    values = np.broadcast_to(draws[:, None, None, None, None], (4, 2, 2, 1, 1))
    square = (*dims, "variable_b")
    still = ("time", "site", "variable")
    error = (4.0 / 3.0 / 4.0) ** 0.5
    dataset = xr.Dataset(
        {
            "copy_mean": (dims, values),
            "copy_covariance": (square, values[..., None] + 5.0),
            "reference_state_mean": (still, np.full((2, 1, 1), -2.0)),
            "reference_covariance": ((*still, "variable_b"), np.full((2, 1, 1, 1), 5.0)),
            "reference_state_mean_error": (still, np.zeros((2, 1, 1))),
            "reference_covariance_error": (
                (*still, "variable_b"),
                np.full((2, 1, 1, 1), 1.0),
            ),
        },
        {
            "time": [0.0, 1.0],
            "network_copy": ["first", "second"],
            "site": [0.0],
            "variable": ["x"],
            "variable_b": ["x"],
        },
    )
    # Two copies one apart: about the mean of both the variance grows by a quarter, and the draws'
    # own by 1; their mean is .5 above the first's.
    both = dataset.assign(
        copy_mean=dataset["copy_mean"] + xr.DataArray([0.0, 1.0], dims="network_copy"),
        reference_stationary_mean=(("site", "variable"), [[0.5 - error]]),
        reference_stationary_mean_error=(("site", "variable"), [[0.0]]),
        reference_stationary_covariance=(("site", "variable", "variable_b"), [[[6.25]]]),
        reference_stationary_covariance_error=(("site", "variable", "variable_b"), [[[1.0]]]),
    )
    still_at = {"site": 0.0, "variable": "x"}
    return [
        (
            both,
            {"after": -1.0, "law": "stationary"},
            [
                ("law_z_mean", still_at, 1.0, 1e-12),
                ("law_z_covariance", still_at | {"variable_b": "x"}, 0.0, 1e-12),
            ],
        ),
        (
            dataset,
            {"after": 0.0, "law": "evolving"},
            [
                ("law_z_mean", {"site": 0.0, "variable": "x"}, 2.0 / error, 1e-12),
                (
                    "law_z_covariance",
                    {"site": 0.0, "variable": "x", "variable_b": "x"},
                    0.0,
                    1e-12,
                ),
            ],
        ),
    ]


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse one replica: it has no standard error."""
    if sizes["replica"] < 2:
        raise StudyError("replicas", "one replica has no standard error", "at least 2")


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    laws = [name for law in _LAWS[options["law"]] for name in (law, f"{law}_error")]
    return (*(f"copy_{quantity}" for quantity in _QUANTITIES), *laws)


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return (*(f"law_z_{name}" for name in _QUANTITIES), "law_replicas")


STATISTIC = Statistic(
    summary="Deviation of simulated copies from the Fokker-Planck equation in standard errors.",
    source="docs/contraction.md",
    options=(
        AFTER,
        Param(
            "law",
            "evolving",
            doc="what is compared: the law at every record, or the stationary one",
            kind="choice",
            choices=("evolving", "stationary"),
        ),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    check=check,
    judge=judge,
    tables=("law_agreement",),
)
