r"""Bias of the stationary mean conductance by the treatment of the wall, for constant G.

The conductance alone is then an Ornstein-Uhlenbeck process reflected at 0, whose stationary law is
a normal N(G, s^2), s^2 = a^2/gamma, cut at 0:

    E g = G + s^2 p(0),   p(0) = phi(G/s)/(s Phi(G/s))

The steps of the solver ``pairs``, half drift - noise - half drift, are a Markov chain on the half
line whose stationary mean is found to rounding on Gauss-Legendre nodes: the bias that theory gives
at every step.  A symmetrised noise step has the law of the bridged one, |x + noise| (reflection
principle), so both have the same bias; the splitting makes it of order 3/2.  Projection to g >= 0
leaves the reflected process with its wall moved down by 0.5826 sqrt(2) a sqrt(h),
0.5826 = -zeta(1/2)/sqrt(2 pi), hence to leading order the bias

    -0.5826 sqrt(2) a sqrt(h) p(0) E g.

Measured orders are weighted fits of log |bias| over the steps whose bias exceeds three standard
errors, and the measured constant is the coefficient of sqrt(h) in a weighted fit of sqrt(h), h and
h^(3/2); the same fits of the chain's bias say what they should find.

Source: Asmussen, Glynn & Pitman 1995 (the constant); Lepingle 1995 (bridge); derivations:
docs/contraction.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import norm
from scipy.stats import t as student

from neurolim.core import Column, Model, Row, Statistic, StudyError, Table, get
from neurolim.core.verdict import WIDEST, Verdict, by_scores, contains
from neurolim.statistics.parts.common import (
    AFTER,
    critical_score,
    grid_points,
    labelled,
    variables,
    window,
)
from neurolim.statistics.parts.contraction import CONDUCTANCE, constants

#: -zeta(1/2)/sqrt(2 pi).
LEAD = 0.5825971579390106
_SEEN = 3.0
_NODES = 400
_BIASES = ("bias", "bias_error", "bias_theory", "bias_leading")
_LABELS = {
    "bias": ("1/time", "bias of E g"),
    "bias_error": ("1/time", "standard error of the bias"),
    "bias_theory": ("1/time", "bias of the chain of the scheme"),
    "bias_leading": ("1/time", "leading order of the bias"),
    "bias_replicas": ("1", "replicas that did not fail"),
    "bias_unit": ("1/time^1.5", "bias over sqrt(h) of a projection whose constant is 1"),
}


def stationary_mean(target: float, spread: float) -> tuple[float, float]:
    """Return E g and p(0) of the reflected Ornstein-Uhlenbeck process with constant target G.

    Parameters
    ----------
    target, spread : G and s = a/sqrt(gamma)
    """
    density = norm.pdf(target / spread) / (spread * norm.cdf(target / spread))
    return float(target + spread**2 * density), float(density)


def chain_mean(scheme: str, step: float, target: float, noise: float, rate: float) -> float:
    """Return the stationary mean of the splitting scheme, recorded between two steps.

    Parameters
    ----------
    scheme : bridge, symmetrised or projected
    step : h, time
    target, noise, rate : G, a and gamma
    """
    sigma = noise * np.sqrt(2.0 * step)
    top = target + 9.0 * noise / np.sqrt(rate) + 3.0 * sigma
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    x, weights = 0.5 * top * (nodes + 1.0), 0.5 * top * weights
    # The projected chain has an atom at the wall beside its density.
    places = np.concatenate([[0.0], x]) if scheme == "projected" else x
    after = target + (places - target) * np.exp(-rate * step)
    moved = norm.pdf((x[None] - after[:, None]) / sigma) / sigma * weights
    if scheme == "projected":
        transition = np.concatenate([norm.cdf(-after / sigma)[:, None], moved], axis=1)
    else:
        transition = moved + norm.pdf((x[None] + after[:, None]) / sigma) / sigma * weights
    balance = transition.T - np.eye(len(places))
    balance[-1] = 1.0
    right = np.zeros(len(places))
    right[-1] = 1.0
    law = np.linalg.solve(balance, right)
    return float(law @ (target + (places - target) * np.exp(-0.5 * rate * step)))


def apply(dataset: xr.Dataset, *, after: float, model: Model) -> xr.Dataset:
    """Return the bias [grid], its standard error, its theory, and the leading order of that.

    ``bias_replicas`` [grid] counts the replicas that did not fail, ``bias_unit`` is the bias over
    sqrt(h) of a projection whose constant is 1.

    Parameters
    ----------
    dataset : ``copy_mean`` of ``pairs`` over axes ``reflection`` and ``dt``, constant G; both
        copies are averaged
    after : records later than this are averaged, time
    model : of the neurons

    Raises
    ------
    StudyError : G is not constant, or the copies differ
    """
    c = constants(dataset, model)
    other = json.loads(dataset.attrs.get("options", "{}")).get("other", ["none"])
    if tuple(other) != ("none",):
        raise StudyError("other", "reflection_bias averages both copies", "none")
    if float(abs(c["slope"]).max()) > 0.0 or float(abs(c["slope_others"]).max()) > 0.0:
        raise StudyError("statistics", "the law is known for constant G only", "a constant G")
    target, noise, rate = (float(c[name]) for name in ("rest", "noise", "rate"))
    mean, density = stationary_mean(target, noise / rate**0.5)
    name = variables(dataset)[1]
    measured = window(dataset, after)["copy_mean"].sel(variable=name, drop=True)
    bias = measured.mean(("time", "site", "network_copy"), skipna=False) - mean
    count = bias.notnull().sum("replica")
    steps, schemes = dataset["dt"], dataset["reflection"]
    theory = np.array(
        [
            [chain_mean(str(s), float(h), target, noise, rate) - mean for h in steps.values]
            for s in schemes.values
        ]
    )
    leading = -LEAD * (2.0 * steps) ** 0.5 * noise * density * mean * (schemes == "projected")
    result = xr.Dataset(
        {
            "bias": bias.mean("replica"),
            "bias_error": bias.std("replica", ddof=1) / count**0.5,
            "bias_theory": xr.DataArray(
                theory, {"reflection": schemes, "dt": steps}, ("reflection", "dt")
            ),
            "bias_leading": leading,
            "bias_replicas": count,
            "bias_unit": ((), 2.0**0.5 * noise * density * mean),
        },
        attrs=dict(dataset.attrs),
    )
    return labelled(result, _LABELS)


def _line(design: np.ndarray, values: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Return the last coefficient of a weighted least-squares fit and its standard error."""
    covariance = np.linalg.inv(design.T @ (design / error[:, None] ** 2))
    found = covariance @ design.T @ (values / error**2)
    return float(found[-1]), float(covariance[-1, -1] ** 0.5)


def _fits(chosen: xr.Dataset, seen: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """Return a scheme's order and, for projection, constant: value, standard error, the chain's.

    Parameters
    ----------
    chosen : biases of the scheme [dt]
    seen : steps whose bias exceeds the noise
    """
    steps, unit = chosen["dt"].values, float(chosen["bias_unit"])
    bias, error, theory = (chosen[name].values for name in _BIASES[:3])
    fits = {}
    if seen.sum() >= 2:
        design = np.stack([np.ones(seen.sum()), np.log(steps[seen])], axis=1)
        relative = error[seen] / np.abs(bias[seen])
        measured = _line(design, np.log(np.abs(bias[seen])), relative)
        fits["order"] = (*measured, _line(design, np.log(np.abs(theory[seen])), relative)[0])
    if chosen["reflection"] == "projected" and len(steps) >= 3:
        design = np.stack([steps**1.5, steps, steps**0.5], axis=1)
        value, spread = _line(design, bias, error)
        fits["constant"] = (value / unit, spread / unit, _line(design, theory, error)[0] / unit)
    return fits


def _verdict(fits: Mapping[str, tuple[float, float, float]]) -> Verdict:
    """Return whether both fits agree with the chain's, said of the one that is farther off."""
    name, (value, spread, expected) = max(
        fits.items(),
        key=lambda fit: abs(fit[1][0] - fit[1][2]) / fit[1][1],
        default=("", (np.nan,) * 3),
    )
    reach = _SEEN * spread
    missing = "the bias is below the noise"
    verdict = contains(
        value, value - reach, value + reach, expected, widest=WIDEST, missing=missing
    )
    return replace(verdict, reason=f"{name} {verdict.reason}".strip())


def judge(
    dataset: xr.Dataset, options: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return ``reflection_bias``, per scheme and step, and ``reflection_orders``, per scheme."""
    biases = dataset[list(_LABELS)].sortby("dt", ascending=False)
    rows = []
    # The order that theory gives between a step and the longer one before it.
    theory, step = biases["bias_theory"], biases["dt"]
    biases["order_theory"] = np.log(theory / theory.shift(dt=1)) / np.log(step / step.shift(dt=1))
    for at, point in grid_points(biases, ("reflection", "dt")):
        values = {name: float(point[name]) for name in (*_BIASES, "order_theory")}
        error = values["bias_error"]
        z = (values["bias"] - values["bias_theory"]) / error if error > 0 else np.nan
        compared, freedom = dataset["bias"].size, max(1, int(point["bias_replicas"]) - 1)
        p_value = min(1.0, compared * 2.0 * float(student.sf(abs(z), freedom)))
        critical = critical_score(compared, freedom)
        verdict = by_scores(abs(z), p_value, critical, "no standard error")
        rows.append(Row(values | {"z": z}, verdict, "bias", at))
    orders = []
    for at, chosen in grid_points(dataset[list(_LABELS)], ("reflection",)):
        seen = (abs(chosen["bias"]) > _SEEN * chosen["bias_error"]).values
        fits = _fits(chosen, seen)
        values = {}
        for name in ("order", "constant"):
            numbers = fits.get(name, (np.nan,) * 3)
            values |= dict(zip((name, f"{name}_error", f"{name}_chain"), numbers, strict=True))
        values["constant_theory"] = -LEAD if at["reflection"] == "projected" else np.nan
        orders.append(Row(values | {"steps_used": int(seen.sum())}, _verdict(fits), "bias", at))
    return (
        Table("reflection_bias", _STEPS, tuple(rows)),
        Table("reflection_orders", _ORDERS, tuple(orders)),
    )


_STEPS = (
    Column("bias", "1/time", error="bias_error"),
    Column("bias_error", "1/time", 2),
    Column("bias_theory", "1/time"),
    Column("bias_leading", "1/time"),
    Column("order_theory"),
    Column("z", "standard errors", 3),
)
_ORDERS = (
    Column("order", error="order_error"),
    Column("order_error", digits=2),
    Column("order_chain"),
    Column("constant", error="constant_error"),
    Column("constant_error", digits=2),
    Column("constant_chain"),
    Column("constant_theory"),
    Column("steps_used"),
)


def exact() -> list[Any]:
    """Return the cut normal law as data: no bias, beside a theory with known leading order."""
    base, width = 0.5, 0.5
    mean, density = stationary_mean(base, width)
    step = np.array([0.01, 0.0025])
    dims = ("reflection", "dt", "replica", "network_copy", "time", "site", "variable")
    params = {
        "leak": 1.0, "leak_voltage": 1.0, "excitatory_voltage": 2.0, "rate": 1.0, "base": base,
        "amplitude": 0.0, "interaction": 0.0, "joint": 0.0, "steepness": 1.0, "midpoint": 1.5,
        "noise": 0.5,
    }  # fmt: skip
    dataset = xr.Dataset(
        {"copy_mean": (dims, np.full((2, 2, 4, 2, 2, 1, 2), mean))},
        {
            "reflection": ["bridge", "projected"],
            "dt": step,
            "network_copy": ["first", "second"],
            "time": [0.0, 1.0],
            "variable": ["voltage", "conductance"],
        },
        {"params": json.dumps(params)},
    )
    leading = -LEAD * 2.0**0.5 * 0.5 * 0.05 * density * mean
    bridge, projected = ({"reflection": s, "dt": 0.0025} for s in ("bridge", "projected"))
    return [
        (
            dataset,
            {"after": 0.5, "model": get("model", "morris_lecar")},
            [
                ("bias", bridge, 0.0, 1e-12),
                ("bias_leading", bridge, 0.0, 1e-12),
                ("bias_leading", projected, leading, 1e-12),
                # What is left is of the next order, h.
                ("bias_theory", projected, leading, 0.0025),
                ("bias_theory", bridge, 0.0, 0.0025),
            ],
        )
    ]


def check(sizes: Mapping[str, int], options: Mapping[str, Any]) -> None:
    """Refuse studies without axes of schemes and steps, or of one replica."""
    for axis in ("dt", "reflection"):
        if axis not in sizes:
            raise StudyError("grid", f"reflection_bias needs the axis {axis}", "reflection and dt")
    if sizes["replica"] < 2:
        raise StudyError("replicas", "one replica has no standard error", "at least 2")


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("copy_mean",)


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return tuple(_LABELS)


STATISTIC = Statistic(
    summary="Bias of the mean conductance by the treatment of the wall, against theory.",
    source="Asmussen, Glynn & Pitman 1995; Lepingle 1995",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
    check=check,
    judge=judge,
    model_needs=lambda options: (CONDUCTANCE,),
    tables=("reflection_bias", "reflection_orders"),
)
