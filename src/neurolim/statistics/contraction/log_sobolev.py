r"""Log-Sobolev constants: what is proven, and the least that the stationary law allows.

A law with constant C, Ent(phi^2) <= C int |grad phi|^2, has Poincare's inequality with C/2, and
linear functions show that C >= 2 (largest eigenvalue of the covariance).  Proven under the
condition of Theorem 1 is 2 C1^2 a^2/lambda (``log_sobolev_corrected`` of ``proven_bounds``);
``log_sobolev_margin`` is log10 of proven over least and must not be negative.

Source: Herda, Monmarche & Perthame 2024, Corollary 1, eq. (8), corrected as in docs/contraction.md;
Bakry, Gentil & Ledoux 2014, ch. 5 (Poincare from log-Sobolev).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Param, Statistic
from neurolim.statistics.parts.common import labelled

_LABELS = {
    "log_sobolev_least": ("state^2", "least log-Sobolev constant that the covariance allows"),
    "log_sobolev_margin": ("1", "log10 of the proven log-Sobolev constant over the least"),
}


def _covariance(of: str) -> str:
    return "reference_stationary_covariance" if of == "reference" else "stationary_covariance"


def apply(dataset: xr.Dataset, *, of: str) -> xr.Dataset:
    """Return ``log_sobolev_least`` and ``log_sobolev_margin`` [grid].

    Parameters
    ----------
    dataset : stationary covariance of ``fokker_planck``, and what ``proven_bounds`` gives
    of : law (``fokker_planck`` is the solver) or reference
    """
    covariance = dataset[_covariance(of)].isel(site=0, drop=True)
    covariance = covariance.transpose(..., "variable", "variable_b")
    values = covariance.values
    largest = np.full(values.shape[:-2], np.nan)
    for place in np.ndindex(*largest.shape):
        if np.isfinite(values[place]).all():
            largest[place] = np.linalg.eigvalsh(values[place])[-1]
    lead = covariance.dims[:-2]
    coords = {d: covariance[d] for d in lead if d in covariance.coords}
    least = xr.DataArray(2.0 * largest, coords, lead)
    proven = dataset["log_sobolev_corrected"]
    proven = proven.where(np.isfinite(proven) & (proven > 0))
    margin = xr.apply_ufunc(np.log10, proven / least)
    found = {"log_sobolev_least": least, "log_sobolev_margin": margin}
    return labelled(xr.Dataset(found, attrs=dict(dataset.attrs)), _LABELS)


def exact() -> list[Any]:
    """Return a normal law, for which least and best constant are the same, and ten times it."""
    dims = ("site", "variable", "variable_b")
    dataset = xr.Dataset(
        {
            "stationary_covariance": (dims, [[[0.04, 0.0], [0.0, 0.25]]]),
            "log_sobolev_corrected": ((), 5.0),
        }
    )
    checks: list[Any] = [
        ("log_sobolev_least", {}, 0.5, 1e-12),
        ("log_sobolev_margin", {}, 1.0, 1e-12),
    ]
    return [(dataset, {"of": "law"}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return (_covariance(options["of"]), "log_sobolev_corrected")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("log_sobolev_least", "log_sobolev_margin")


STATISTIC = Statistic(
    summary="Log-Sobolev constant: proven bound over the least value that the law allows.",
    source="Herda, Monmarche & Perthame 2024, Corollary 1; Bakry, Gentil & Ledoux 2014",
    options=(
        Param(
            "of",
            "law",
            doc="where the stationary law comes from",
            kind="choice",
            choices=("law", "reference"),
        ),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
