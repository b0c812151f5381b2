"""What several statistics need: time windows, parameters of a dataset, small test datasets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from neurolim.core import Column, Param, Row, StudyError, Table, Verdict
from neurolim.core.verdict import CHANCE, WIDEST, at_least, between, by_scores, contains
from neurolim.numerics.regression import OrderFit

AFTER = Param("after", 0.0, "time", "use records later than this", kind="record time", low=0.0)


def window(dataset: xr.Dataset, after: float) -> xr.Dataset:
    """Return the records later than ``after``.

    Raises
    ------
    StudyError : none is left
    """
    chosen = dataset.isel(time=np.flatnonzero(dataset["time"].values > after))
    if chosen.sizes["time"] == 0:
        raise StudyError(
            "after",
            f"no record later than {after:g}",
            f"below {float(dataset['time'].values[-1]):g}",
        )
    return chosen


def parameter(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """Return a parameter or option as an array: a grid coordinate, or the fixed value.

    Raises
    ------
    StudyError : the dataset knows no such name
    """
    if name in dataset.coords:
        return dataset[name]
    for place in ("params", "options"):
        fixed = json.loads(dataset.attrs.get(place, "{}"))
        if isinstance(fixed.get(name), (int, float)):
            return xr.DataArray(float(fixed[name]))
    raise StudyError(name, "neither an axis nor a fixed parameter of this dataset", "a parameter")


def place_of(point: xr.Dataset, whole: xr.Dataset, dims: Sequence[Any]) -> dict[str, Any]:
    """Return the coordinates of a grid point by name; a zipped axis is told by its components.

    Parameters
    ----------
    point : the dataset at the point
    whole : the dataset the point was taken from
    dims : grid axes
    """
    found: dict[str, Any] = {}
    for dim in dims:
        parts = [name for name, c in whole.coords.items() if c.dims == (dim,) and name != dim]
        for name in parts or [dim]:
            found[str(name)] = point[name].values.item()
    return found


def grid_points(
    dataset: xr.Dataset, dims: Sequence[Any]
) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Yield (coordinates by name, the dataset there) for every combination of some axes."""
    for index in np.ndindex(*(dataset.sizes[dim] for dim in dims)):
        point = dataset.isel(dict(zip(dims, index, strict=True)))
        yield place_of(point, dataset, dims), point


def variables(dataset: xr.Dataset) -> list[str]:
    """Return the names of the state variables."""
    return [str(name) for name in dataset["variable"].values]


#: What ``score_row`` fills.
SCORES = (
    Column("compared", digits=9),
    Column("largest_z", "standard errors"),
    Column("rms_z", "standard errors"),
    Column("share_beyond_3"),
    Column("p_value"),
)


def score_row(
    quantity: str,
    scores: np.ndarray,
    freedom: int | np.ndarray,
    p_value: float | None = None,
    critical: float | None = None,
    share: float = 0.0,
) -> Row:
    """Return a table row: comparisons, largest and rms z, share beyond 3, p-value, verdict.

    Parameters
    ----------
    quantity : name of the row
    scores : deviations in standard errors, NaN where there is nothing to compare
    freedom : degrees of freedom of Student's t that each score has by chance, one for all or each
    p_value, critical : probability of the largest by chance, and deviation from which one would
        count, where scores have another law than Student's t
    share : the smallest standard error over the value, see ``by_scores``

    Notes
    -----
    Bonferroni's bound holds whatever the correlation between scores.
    """
    compared = np.isfinite(scores)
    values = scores[compared]
    if not values.size:
        numbers = dict.fromkeys(("largest_z", "rms_z", "share_beyond_3", "p_value"), np.nan)
        return Row({"compared": 0, **numbers}, by_scores(np.nan, np.nan), quantity)
    largest = float(np.abs(values).max())
    if p_value is None or critical is None:
        freedoms = np.broadcast_to(freedom, scores.shape)[compared]
        tails = 2.0 * special.stdtr(freedoms, -np.abs(values))
        p_value = np.minimum(1.0, values.size * float(tails.min()))
        critical = critical_score(values.size, int(freedoms.max()))
    numbers = {
        "largest_z": largest,
        "rms_z": float(np.sqrt(np.mean(values**2))),
        "share_beyond_3": float(np.mean(np.abs(values) > 3.0)),
        "p_value": p_value,
    }
    verdict = by_scores(largest, p_value, critical, share=share)
    return Row({"compared": int(values.size), **numbers}, verdict, quantity)


def critical_score(compared: int, freedom: int) -> float:
    """Return the |z| from which one of many comparisons counts, by Student's t and Bonferroni.

    Parameters
    ----------
    compared : number of comparisons
    freedom : the most degrees of freedom of one: what counts there would have been seen
    """
    return float(-special.stdtrit(freedom, CHANCE / (2.0 * compared)))


def entries_once(covariances: xr.DataArray) -> xr.DataArray:
    """Return symmetric matrices without what stands below the diagonal: NaN.

    Parameters
    ----------
    covariances : [..., variable, variable_b]; what has no ``variable_b`` is returned as it is
    """
    if "variable_b" not in covariances.dims:
        return covariances
    number = xr.DataArray(np.arange(covariances.sizes["variable"]), dims="variable")
    return covariances.where(number <= number.rename(variable="variable_b"))


def judge_order(fit: OrderFit, expect: Mapping[str, Any], expected: float | None = None) -> Verdict:
    """Return whether the interval of a fitted order contains or reaches the expected one.

    Parameters
    ----------
    fit : the order
    expect : what the study expects of the quantity, {"order", "tolerance", "relation"}; with ">="
        only an order that is too small disagrees: what is bounded may fall
    expected : the order where not the study but theory says it
    """
    order = expect.get("order") if expected is None else expected
    if order is not None and expect.get("relation") == ">=" and np.isfinite(fit.order):
        least, tolerance = float(order), expect.get("tolerance", 0.0)
        return between(fit.order, fit.low, fit.high, least, np.inf, tolerance, WIDEST)
    return contains(
        fit.order,
        fit.low,
        fit.high,
        np.nan if order is None else float(order),
        expect.get("tolerance", 0.0),
        WIDEST,
        "too few usable levels",
    )


def share_reached(count: int, of: int, expect: Mapping[str, Any]) -> Verdict | None:
    """Return whether a share is as large as a study expects; None where it expects nothing.

    Parameters
    ----------
    count, of : the share
    expect : the least share (``order``), and how much may be missing (``tolerance``)
    """
    if expect.get("order") is None:
        return None
    least = float(expect["order"]) - expect.get("tolerance", 0.0)
    return at_least(count / of if of else np.nan, least, "none to judge by")


def critical_table(
    name: str, head: str, dataset: xr.Dataset, axis: str, expect: Mapping[str, Any], widest: float
) -> Table:
    """Return the table of critical values of an axis: estimate, interval, theory and verdict.

    Parameters
    ----------
    name, head : of the table, and of the column that names the axis
    dataset : ``critical``, ``critical_low``, ``critical_high`` and ``critical_theory`` [other axes]
    axis : whose values are critical
    expect : of ``critical``: a number in the place of theory (``order``), and a share of it
        (``tolerance``) in the place of ``widest``
    widest : an interval wider than this share of the critical value decides nothing
    """
    wanted = expect.get("critical", {})
    share = wanted.get("tolerance", 0.0) or widest
    unit = unit_of(dataset, axis)
    heads = ("measured", "low", "high", "expected")
    parts = ("critical", "critical_low", "critical_high", "critical_theory")
    rows = []
    for at, point in grid_points(dataset, dataset["critical"].dims):
        measured, low, high, theory = (float(point[part]) for part in parts)
        theory = theory if wanted.get("order") is None else float(wanted["order"])
        missing = "no critical value fits"
        verdict = contains(measured, low, high, theory, 0.0, share * abs(theory), missing)
        values = dict(zip(heads, (measured, low, high, theory), strict=True))
        rows.append(Row({head: axis, **values}, verdict, "critical", at))
    return Table(name, (Column(head, ""), *(Column(part, unit) for part in heads)), tuple(rows))


def labelled(dataset: xr.Dataset, labels: Mapping[str, tuple[str, str]]) -> xr.Dataset:
    """Return a dataset some of whose variables have a unit and a description, and nothing else.

    Parameters
    ----------
    dataset : whose variables may have inherited attributes of what they were made from
    labels : (unit, description) by name of a variable or coordinate
    """
    result = dataset.copy()
    for name, (unit, long_name) in labels.items():
        result[name].attrs = {"units": unit, "long_name": long_name}
    return result


def critical_labels(dataset: xr.Dataset, axis: str) -> dict[str, tuple[str, str]]:
    """Return the labels of critical values of an axis, which ``critical_table`` reads."""
    unit = unit_of(dataset, axis)
    return {
        "critical": (unit, f"critical value of {axis}"),
        "critical_low": (unit, "lower end of the interval of the critical value"),
        "critical_high": (unit, "upper end of the interval of the critical value"),
        "critical_theory": (unit, f"critical value of {axis} in theory"),
    }


def unit_of(dataset: xr.Dataset, name: str) -> str:
    """Return the unit of an axis or variable, 1 where none is known."""
    return str(dataset[name].attrs.get("units", "1")) if name in dataset.variables else "1"


def survivors(dataset: xr.Dataset) -> xr.DataArray:
    """Return the number of replicas that did not fail [grid]."""
    fine = (dataset["status"] == 0).sum("replica")
    # What flags mean is said of the status, not of a count.
    return fine.drop_attrs().assign_attrs(long_name="replicas that did not fail", units="1")


def standard_normal_network(
    eps: list[float], replicas: int, n: int, seed: int, **deviations: float
) -> xr.Dataset:
    """Return a synthetic dataset of one Gaussian variable with known deviations from its limit.

    The limit law is N(0, eps); the network is N(shift eps, eps (1 + widening eps)), sampled
    exactly: no dynamics, so every statistic has a known answer.

    Parameters
    ----------
    eps, replicas, n, seed : levels, replicas, neurons, seed of the sampling
    **deviations : ``shift`` and ``widening``; ``bins`` of the histograms (60) over 12 widths
    """
    shift, widening = deviations.get("shift", 0.0), deviations.get("widening", 0.0)
    generator = np.random.Generator(np.random.PCG64(seed))
    bins = int(deviations.get("bins", 60))
    width = 12.0 / bins
    shape = (len(eps), replicas, 2, 1, 1)
    mean, covariance = np.empty(shape), np.empty((*shape, 1))
    histogram = np.zeros((*shape, bins), np.int64)
    for e, level in enumerate(eps):
        for r in range(replicas):
            for t in range(2):
                x = shift * level + np.sqrt(level * (1 + widening * level)) * (
                    generator.standard_normal(n)
                )
                mean[e, r, t, 0, 0], covariance[e, r, t, 0, 0, 0] = x.mean(), x.var()
                histogram[e, r, t, 0, 0], _ = np.histogram(
                    (x - x.mean()) / np.sqrt(level), bins, (-bins * width / 2, bins * width / 2)
                )
    lead = ("eps", "replica", "time", "site", "variable")
    levels = np.array(eps)
    spread = np.broadcast_to(np.sqrt(levels)[:, None, None, None], (len(eps), 2, 1, 1))
    data: dict[str, Any] = {
        "state_mean": (lead, mean),
        "covariance": ((*lead, "variable_b"), covariance),
        "histogram": ((*lead, "bin"), histogram),
        "scale": (
            ("eps", "replica", "site", "variable"),
            np.broadcast_to(
                np.sqrt(levels)[:, None, None, None], (len(eps), replicas, 1, 1)
            ).copy(),
        ),
        "status": (("eps", "replica"), np.zeros((len(eps), replicas), np.int8)),
        "reference_state_mean": (
            ("eps", "time", "site", "variable"),
            np.zeros((len(eps), 2, 1, 1)),
        ),
        "reference_spread": (("eps", "time", "site", "variable"), spread.copy()),
    }
    coords = {
        "eps": ("eps", levels, {"noise": "independent", "units": "time"}),
        "replica": np.arange(replicas),
        "time": [0.5, 1.0],
        "site": [0.0],
        "variable": ["x"],
        "variable_b": ["x"],
        "bin": (np.arange(bins) + 0.5) * width - bins * width / 2,
    }
    return xr.Dataset(data, coords, {"params": "{}", "options": json.dumps({"n_neurons": n})})
