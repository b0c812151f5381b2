r"""What is proven about contraction: every constant of the theorems at the study's parameters.

Theorem 1 (synchronous): rate lam(A) in |v|^2 + A |g|^2, best at A = D/(gamma K).  Theorem 2
(mirror): lambda, which carries exp(-k R^2) and is given as log10, as printed and as corrected.
Theorem 3 (networks): lambda - eta, eta given as log10 too.  Corollary 1: log-Sobolev constant
as printed, 2 C/lambda, and as its proof gives it, 2 C^2 a^2/lambda.

Source: Herda, Monmarche & Perthame 2024, Theorems 1-3, Corollary 1, eqs (14), (15); corrections:
docs/contraction.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Column, Model, Row, Statistic, Table, get
from neurolim.statistics.parts.common import grid_points
from neurolim.statistics.parts.contraction import (
    CONDUCTANCE,
    at_each_point,
    best_weight,
    constants,
    mirror_constants,
    synchronous_rate,
    weight,
    weighted_rate,
)

#: Unit and description of what is given.
_GIVES = {
    "activation_slope": ("1/time", "K = max |G'|"),
    "lambda_sync": ("1/time", "Theorem 1, best weight"),
    "lambda_weighted": ("1/time", "Theorem 1, the recorded norm"),
    "log10_theorem_2_printed": ("1", "Theorem 2, constants as printed"),
    "log10_theorem_2_corrected": ("1", "Theorem 2, corrected constants"),
    "log10_theorem_3_eta": ("1", "Theorem 3, what is subtracted, corrected constants"),
    "log_sobolev_printed": ("time", "Corollary 1 as printed"),
    "log_sobolev_corrected": ("state^2", "Corollary 1 as proved"),
    "increasing": ("1", "1 where G falls in no voltage: copies in order stay so"),
}


def apply(dataset: xr.Dataset, *, model: Model) -> xr.Dataset:
    """Return the proven rates [grid]; NaN where a theorem does not apply.

    Parameters
    ----------
    dataset : only its parameters are read
    model : whose constants those are
    """
    c = constants(dataset, model)
    sync = synchronous_rate(c)
    best = best_weight(c).fillna(np.inf)
    given = weight(dataset)
    weighted = sync if given is None else weighted_rate(c, given)
    printed, corrected = (mirror_constants(c, flag) for flag in (False, True))
    eta = np.log10(
        corrected["M"] * c["rate"] * c["slope_others"].where(c["slope_others"] > 0)
    ) + corrected["k"] * corrected["R"] ** 2 / np.log(10.0)
    # |x|^2 <= max(1, 1/A) (v^2 + A g^2) <= max(A, 1/A) |x|^2.
    squared = np.maximum(best, 1.0 / best)
    values = {
        "activation_slope": c["slope"],
        "lambda_sync": sync,
        "lambda_weighted": weighted,
        "log10_theorem_2_printed": printed["log10"],
        "log10_theorem_2_corrected": corrected["log10"],
        "log10_theorem_3_eta": eta,
        "log_sobolev_printed": 2.0 * squared**0.5 / sync,
        "log_sobolev_corrected": 2.0 * squared * c["noise"] ** 2 / sync,
    }
    (values["increasing"],) = at_each_point(dataset, model, lambda n: (float(n.increasing()),))
    return xr.Dataset(
        {
            name: values[name].drop_attrs().assign_attrs(units=unit, long_name=text)
            for name, (unit, text) in _GIVES.items()
        },
        attrs=dict(dataset.attrs),
    )


def proven_rate(values: Mapping[str, float], loss: float, norm: str, coupling: str) -> float:
    """Return the rate that a theorem proves of a coupling in a norm; NaN if none does.

    Theorem 1 of synchronous copies, of every pair and so in every norm, where the drift contracts.
    Theorems 2 and 3 of mirrored ones in rho, which is equivalent to l1: they say nothing of l2.
    Their rate may be too small for a float: then it is 0.

    Parameters
    ----------
    values : of a row of the table ``contraction``: proven_pathwise, log10_theorem_2
    loss : log10 of what interaction takes of the rate, NaN without
    norm : in which the copies approach each other
    coupling : of the copies' noises
    """
    if coupling == "synchronous":
        proven = values.get("proven_pathwise", np.nan)
        return proven if proven > 0.0 else np.nan
    alone = values.get("log10_theorem_2", np.nan)
    if coupling != "mirror" or norm not in ("l1", "rho") or loss >= alone:
        return np.nan
    return float(10.0**alone - (10.0**loss if np.isfinite(loss) else 0.0))


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``proven_bounds``: a row per grid point, which nothing measured is compared with."""
    # What is still on disk would be indexed wrongly after broadcasting: it is read first.
    arrays = xr.broadcast(*(dataset[name].load() for name in _GIVES))
    bounds = dataset[list(_GIVES)].assign(dict(zip(_GIVES, arrays, strict=True)))
    rows = [
        Row({name: float(point[name]) for name in _GIVES}, at=at)
        for at, point in grid_points(bounds, arrays[0].dims)
    ]
    columns = tuple(Column(name, unit) for name, (unit, _) in _GIVES.items())
    return (Table("proven_bounds", columns, tuple(rows)),)


def exact() -> list[Any]:
    """Return three sets of parameters whose constants were worked out by hand."""
    common = {
        "leak": 1.0,
        "leak_voltage": 1.0,
        "excitatory_voltage": 2.0,
        "rate": 1.0,
        "base": 0.2,
        "interaction": 0.0,
        "joint": 0.0,
        "steepness": 1.0,
        "midpoint": 1.5,
        "noise": 0.5,
    }

    def dataset(**changed: float) -> xr.Dataset:
        import json

        params = common | {"amplitude": 1.0} | changed
        return xr.Dataset(attrs={"params": json.dumps(params)})

    options = {"model": get("model", "morris_lecar")}
    # On [1, 2] s lies between s0 = 1/(1 + e) and 1 - s0: K = .25 - .2 s0, K1 = .3 - .2 s0.
    joint = dataset(base=0.8, amplitude=-0.5, interaction=0.2, joint=0.4)
    weak = dataset(rate=2.0, excitatory_voltage=2.5, midpoint=1.7, amplitude=0.6)
    return [
        (joint, options, [("lambda_sync", {}, 1.0 - (0.55 - 0.4 / (1.0 + np.e)) ** 0.5, 1e-12)]),
        (
            # (3 - sqrt(1 + 4 * 2 * 1.5 * .3))/2
            weak,
            options,
            [("lambda_sync", {}, 0.5 * (3.0 - 4.6**0.5), 1e-12)],
        ),
        (
            # m = 1, M = 4, R* = 2, k = 2.75 (printed) or 3.5, R = 4.5; prefactor 1/10.
            dataset(),
            options,
            [
                ("lambda_sync", {}, 0.5 * (2.0 - 2.0**0.5), 1e-12),
                ("log10_theorem_2_printed", {}, -1.0 - 2.75 * 4.0 / np.log(10.0), 1e-9),
                ("log10_theorem_2_corrected", {}, -1.0 - 3.5 * 4.5**2 / np.log(10.0), 1e-9),
            ],
        ),
        (
            # K = 2.7: Theorem 1 does not apply; m = 1/5.4, R* = 5.4.
            dataset(amplitude=5.4),
            options,
            [
                (
                    "log10_theorem_2_printed",
                    {},
                    -1.0
                    - (1.0 + (5.0 - 1.0 / 5.4) * 5.4 + 0.5)
                    / (2.0 / 5.4**2)
                    * 5.4**2
                    / np.log(10.0),
                    1e-6,
                )
            ],
        ),
    ]


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return tuple(_GIVES)


STATISTIC = Statistic(
    summary="Proven contraction rates and constants at the study's parameters.",
    source="Herda, Monmarche & Perthame 2024, Theorems 1-3 and Corollary 1, corrected",
    options=(),
    needs=lambda options: (),
    model_needs=lambda options: (CONDUCTANCE,),
    gives=gives,
    apply=apply,
    exact=exact,
    judge=judge,
    tables=("proven_bounds",),
)
