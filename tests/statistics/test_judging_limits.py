"""Statistics judge: every kind of verdict where it belongs, and failed replicas tell nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from tests.judging import verdict_of

from neurolim.core import Kind, Row, StudyError
from neurolim.numerics.regression import OrderFit
from neurolim.statistics.agreement import phase_transition
from neurolim.statistics.balance import collapse_time, first_order_constants, linear_flow
from neurolim.statistics.contraction import arrhenius
from neurolim.statistics.orders import double_limit, joint_limits
from neurolim.statistics.parts.common import judge_order, score_row
from neurolim.statistics.spiking import onset, synchrony

NAN = np.nan


def rows(statistic: Any, dataset: xr.Dataset, options: Any, expect: Any = None) -> tuple[Row, ...]:
    return statistic.judge(dataset, options, expect or {})[0].rows


def kinds(*given: Any) -> list[Kind]:
    return [verdict_of(row).kind for row in rows(*given) if row.verdict]


@pytest.mark.parametrize(
    ("fitted", "change", "theory", "kind"),
    [
        (0.072, 0.001, 0.07, Kind.AGREES),
        (0.075, 0.001, 0.07, Kind.DISAGREES),
        (0.072, 0.004, 0.07, Kind.UNDECIDED),
        (0.072, 0.001, NAN, Kind.NOT_JUDGED),
        (NAN, NAN, 0.07, Kind.UNDECIDED),
    ],
)
def test_a_barrier_is_that_of_theory_within_five_per_cent(fitted, change, theory, kind):
    values = {"barrier": fitted, "barrier_change": change, "barrier_theory": theory}
    dataset = xr.Dataset(
        {name: ("rate", [value]) for name, value in values.items()}, {"rate": [2.0]}
    )
    (row,) = rows(arrhenius, dataset, {})
    assert (row.label, verdict_of(row).kind) == ("barrier [rate=2]", kind)
    if kind == Kind.AGREES:
        strict = {"barrier": {"tolerance": 0.02}}
        assert kinds(arrhenius, dataset, {}, strict) == [Kind.DISAGREES]


@pytest.mark.parametrize(
    ("excess", "kind"),
    [
        # One replica of a random run has no error.
        ([0.01], Kind.UNDECIDED),
        ([0.03, 0.05, 0.01], Kind.AGREES),
        ([0.03, 0.031, 0.029], Kind.DISAGREES),
        ([NAN, NAN, 0.01], Kind.UNDECIDED),
        ([NAN, NAN, NAN], Kind.UNDECIDED),
        # The noise is more than half of the rate: no rate at all would agree.
        ([0.3, -0.5, 0.2], Kind.UNDECIDED),
        ([1.95, 1.85, 1.9], Kind.DISAGREES),
        # 26 standard errors, one degree of freedom: |t| is as large by chance in 2 of 100.
        ([0.1, 0.108], Kind.AGREES),
    ],
)
def test_a_growth_rate_is_the_predicted_one_within_its_noise(excess, kind):
    names = ("flow_growth", "flow_frequency", "growth_excess")
    data = dict.fromkeys(names, (("gamma", "replica"), [excess, excess]))
    dataset = xr.Dataset(data, {"gamma": [10.0, 1000.0]})
    options = {"allowed": 0.02, "above": 100.0}
    measured = bool(np.isfinite(excess).any())
    below = Kind.NOT_JUDGED if measured else Kind.UNDECIDED
    assert kinds(linear_flow, dataset, options) == [below, kind]
    (_, row) = rows(linear_flow, dataset, options)
    assert row.values["compared"] == np.isfinite(excess).sum()


@pytest.mark.parametrize(("excess", "kind"), [(0.01, Kind.AGREES), (0.03, Kind.DISAGREES)])
def test_a_growth_rate_without_noise_is_exact(excess, kind):
    names = ("flow_growth", "flow_frequency", "growth_excess")
    dataset = xr.Dataset(dict.fromkeys(names, ("gamma", [excess])), {"gamma": [1000.0]})
    assert kinds(linear_flow, dataset, {"allowed": 0.02, "above": 100.0}) == [kind]


def collapse(mean_slope: float, variance_slope: float) -> xr.Dataset:
    gamma = np.array([10.0, 1e3, 1e4, 1e5])
    logs = np.log(gamma) + 5.0 * (gamma < 100.0)
    return xr.Dataset(
        {
            "mean_collapse": ("gamma", 2.0 + mean_slope * logs),
            "variance_collapse": (("gamma", "site"), 2.0 + variance_slope * logs[:, None]),
            "variance_slope": (("gamma", "site"), np.full((4, 1), 0.25)),
        },
        {"gamma": gamma, "site": ["P"]},
    )


def test_times_of_collapse_are_judged_by_their_slopes_in_ln_gamma():
    options = {"above": 100.0, "allowed": 0.02}
    exact = collapse(0.0, 0.25)
    assert kinds(collapse_time, exact, options) == [Kind.AGREES, Kind.AGREES]
    mean, variance = rows(collapse_time, exact, options)
    assert (mean.label, variance.label) == ("mean_collapse", "variance_collapse [site=P]")
    assert variance.values["slope_in_ln_gamma"] == pytest.approx(0.25)
    assert kinds(collapse_time, collapse(0.1, 0.35), options) == [Kind.DISAGREES] * 2
    assert kinds(collapse_time, exact, options | {"above": 2e3}) == [Kind.UNDECIDED] * 2
    assert rows(collapse_time, exact.isel(gamma=1), options) == ()


def test_three_times_of_collapse_leave_a_slope_one_degree_of_freedom():
    dataset, logs = collapse(0.02, 0.25), np.log([10.0, 1e3, 1e4, 1e5])
    # Slope .02 +- .005: four standard errors, as many as chance makes in 16 of 100.
    dataset["mean_collapse"] = ("gamma", 2.0 + 0.02 * logs + [0.0, 0.00665, -0.0133, 0.00665])
    options = {"above": 100.0, "allowed": 0.0}
    mean, _ = rows(collapse_time, dataset, options)
    assert mean.values["largest_z"] == pytest.approx(4.0, abs=0.05)
    assert stats.t.sf(4.0, 1) * 2.0 > 0.1
    assert verdict_of(mean).kind == Kind.UNDECIDED


@pytest.mark.parametrize(
    ("ratios", "gammas", "kind", "gamma"),
    [
        # Where it tells most: the noise of the largest gamma hides what it would allow.
        ([[1.03, 0.99, 1.0], [1.6, 0.2, 1.1]], [100.0, 1000.0], Kind.AGREES, 100.0),
        ([[1.9, 1.91, 1.89], [1.5, -1.5, 2.0]], [1e3, 1e6], Kind.UNDECIDED, 1e3),
        ([[1.0005, NAN, NAN], [1.5, 1.6, 1.4]], [100.0, 1000.0], Kind.DISAGREES, 1000.0),
        ([[NAN] * 3, [NAN] * 3], [100.0, 1000.0], Kind.UNDECIDED, 100.0),
    ],
)
def test_first_order_constants_are_judged_where_they_tell_most(ratios, gammas, kind, gamma):
    names = ("shift_ratio", "variance_ratio", "residual_ratio")
    values = ("gamma", "replica", "site"), np.array(ratios)[..., None]
    dataset = xr.Dataset(dict.fromkeys(names, values), {"gamma": gammas, "site": ["P"]})
    row = rows(first_order_constants, dataset, {"allowed": 1e-3})[0]
    assert (row.label, verdict_of(row).kind) == ("shift_ratio [site=P]", kind)
    assert row.values["gamma"] == gamma


def test_first_order_constants_on_a_zipped_axis_are_judged_point_by_point():
    names = ("shift_ratio", "variance_ratio", "residual_ratio")
    values = ("path", "site"), [[1.0005], [1.005]]
    gamma = ("path", [100.0, 1000.0])
    dataset = xr.Dataset(dict.fromkeys(names, values), {"gamma": gamma, "site": ["P"]})
    judged = rows(first_order_constants, dataset, {"allowed": 1e-3})
    assert [verdict_of(row).kind for row in judged] == [Kind.AGREES, Kind.DISAGREES] * 3
    assert [row.values["gamma"] for row in judged] == [100.0, 1000.0] * 3


def test_joint_limits_tell_their_path_and_the_sum_formula_counts_survivors():
    n = np.array([16.0, 64.0, 256.0] * 2)
    gamma = np.array([4.0, 8.0, 16.0, 1e8, 1e8, 1e8])
    noise = np.array([0.99, 1.0, 1.01, NAN])
    beta = np.repeat([0.5, 0.0], 3)
    sizes = {"mean_bias": n**-0.5, "mean_fluctuation": n ** (-0.5 * (1 + beta))}
    dataset = xr.Dataset(
        {
            name: (("path", "replica"), size[:, None] * noise)
            for name, size in (sizes | {"error_ratio": np.ones(6)}).items()
        },
        {"path": range(6), "n_neurons": ("path", n), "gamma": ("path", gamma)},
    )
    orders, formula = joint_limits.judge(dataset, {"tolerance": 0.05}, {})
    assert [row.label for row in orders.rows] == [
        "mean_fluctuation [beta=0.5]", "mean_bias [beta=0.5]", "mean_fluctuation [gamma=1e+08]",
    ]  # fmt: skip
    assert [row.values["expected"] for row in orders.rows] == [-0.75, -0.5, -0.5]
    assert all(verdict_of(row).kind == Kind.AGREES for row in orders.verdicts)
    first = formula.rows[0]
    assert first.at == {"n_neurons": 16.0, "gamma": 4.0}
    ratio = np.mean(noise[:3] ** 2) ** 0.5
    assert first.values["error_over_formula"] == pytest.approx(ratio)
    assert first.values["standard_error"] == pytest.approx(stats.sem(noise[:3] ** 2) / 2 / ratio)
    dataset["mean_fluctuation"] = dataset["mean_fluctuation"] * dataset["n_neurons"] ** 0.2
    fluctuations = [rows(joint_limits, dataset, {"tolerance": 0.05})[k] for k in (0, 2)]
    assert [verdict_of(row).kind for row in fluctuations] == [Kind.DISAGREES] * 2


@pytest.mark.parametrize(
    ("expected", "kind"),
    [({"order": 1.05}, Kind.AGREES), ({"order": 2.0}, Kind.DISAGREES), ({}, Kind.NOT_JUDGED)],
)
def test_the_displacement_of_a_double_limit_has_the_expected_order(expected, kind):
    dataset = xr.Dataset(
        {
            "displacement": ("estimate", [2.0, 3.0, 1.0, 0.9, 1.1]),
            "path_rate": ("beta", [-0.3]),
            "path_fit": ("beta", [-0.25]),
        },
        {"beta": [0.25]},
    )
    (row,) = rows(double_limit, dataset, {}, {"displacement": expected})
    assert (verdict_of(row).kind, verdict_of(row).low, verdict_of(row).high) == (kind, 0.9, 1.1)
    assert (row.values["noise_constant"], row.values["constant"]) == (2.0, 3.0)


def test_onsets_are_judged_by_their_intervals():
    dataset, options, _ = onset.exact()[0]
    applied = onset.apply(dataset, **options)
    expect = {"onset_order": {"tolerance": 1e-6}}
    judged = {row.label: verdict_of(row).kind for row in rows(onset, applied, options, expect)}
    assert judged == {
        "onset [kind=root]": Kind.AGREES,
        "offset [kind=root]": Kind.UNDECIDED,
        "onset_order [kind=root]": Kind.AGREES,
        "onset [kind=jump]": Kind.AGREES,
        "offset [kind=jump]": Kind.AGREES,
        "onset_order [kind=jump]": Kind.AGREES,
    }
    wrong = options | {"onsets": (2.15, 0.0), "orders": (0.4, -1.0)}
    applied = onset.apply(dataset, **wrong)
    assert kinds(onset, applied, wrong)[::2] == [
        Kind.DISAGREES, Kind.DISAGREES, Kind.AGREES,
    ]  # fmt: skip
    assert kinds(onset, applied, wrong)[3] == Kind.NOT_JUDGED
    assert kinds(onset, applied, wrong | {"allowed": 0.06})[0] == Kind.AGREES


@pytest.mark.parametrize(
    ("rates", "theory", "kind"),
    [
        ([0.9, 1.0, 1.1, NAN], 1.2, Kind.AGREES),
        ([0.99, 1.0, 1.01, NAN], 1.2, Kind.DISAGREES),
        ([0.99, 1.0, 1.01, NAN], NAN, Kind.NOT_JUDGED),
        ([1.0, NAN, NAN, NAN], 1.0, Kind.UNDECIDED),
        ([0.99, 1.0, 1.01, NAN], None, Kind.AGREES),
        ([-0.99, -1.0, -1.01, NAN], None, Kind.DISAGREES),
        ([-0.9, 1.0, 1.1, NAN], None, Kind.UNDECIDED),
        ([1.0, 1.0, 1.0, 1.0], None, Kind.UNDECIDED),
        # Two replicas leave an interval of [-28, 29]: a rate of 0 would be none the worse.
        ([0.3, 1.2, NAN, NAN], 2.0, Kind.UNDECIDED),
    ],
)
def test_decay_rates_are_compared_in_the_noise_of_the_replicas_that_survived(rates, theory, kind):
    dataset = xr.Dataset({"decay_rate": (("gap", "replica"), [rates])}, {"gap": [2.0]})
    if theory is not None:
        dataset["decay_rate_theory"] = ("gap", [theory])
    options = {"theory": "none" if theory is None else "reference"}
    (row,) = rows(synchrony, dataset, options)
    assert verdict_of(row).kind == kind
    survived = np.array(rates)[np.isfinite(rates)]
    if survived.std() > 0:
        interval = stats.t.interval(0.99, survived.size - 1, survived.mean(), stats.sem(survived))
        assert (verdict_of(row).low, verdict_of(row).high) == pytest.approx(interval)


def test_a_point_of_a_phase_transition_without_replicas_hides_no_other():
    dataset = xr.Dataset(
        dict.fromkeys(phase_transition._POINTS, ("coupling", [0.1, 0.2, 0.7]))
        | dict.fromkeys(phase_transition._CRITICAL, ((), 1.0)),
        {"coupling": ("coupling", [0.5, 1.5, 2.0], {"units": "1/time"})},
    )
    dataset["control_ratio"] = ("coupling", dataset["coupling"].values)
    dataset["order_z"] = ("coupling", [1.0, NAN, 8.0])
    dataset["order_error"] = 0.1 * dataset["order"]
    dataset["order_replicas"] = ("coupling", [24, 1, 24])
    disordered, ordered = rows(phase_transition, dataset, {"of": "circle"})
    assert [verdict_of(row).kind for row in (disordered, ordered)] == [Kind.AGREES, Kind.DISAGREES]
    assert ordered.values["p_value"] == pytest.approx(2.0 * stats.t.sf(8.0, 23))
    critical = phase_transition.judge(dataset, {"of": "circle"}, {})[1]
    assert critical.columns[1].unit == "1/time"


def test_an_order_parameter_that_could_vanish_unseen_is_undecided():
    dataset, options, _ = phase_transition.exact()[0]
    few = phase_transition.apply(dataset.isel(replica=slice(24)), **options)
    seen = [verdict_of(row) for row in rows(phase_transition, few, options)]
    # Of 24 squares of phases without order, an exponential law, the mean errs by 20 per cent.
    assert [verdict.kind for verdict in seen] == [Kind.AGREES, Kind.AGREES]
    few["order_error"] = few["order_error"].where(few["control_ratio"] >= 1.0, few["order"])
    disordered, ordered = (verdict_of(row) for row in rows(phase_transition, few, options))
    assert (disordered.kind, ordered.kind) == (Kind.UNDECIDED, Kind.AGREES)
    assert disordered.reason.startswith("nothing at all")
    four = phase_transition.apply(dataset.isel(replica=slice(4)), **options)
    assert kinds(phase_transition, four, options)[1] == Kind.UNDECIDED


def test_replicas_of_a_phase_transition_that_failed_are_as_if_they_were_not_there():
    dataset, options, _ = phase_transition.exact()[0]
    failed = dataset.copy(deep=True)
    failed["status"][:, 5:] = 1
    few = phase_transition.apply(dataset.isel(replica=slice(5)), **options)
    rest = phase_transition.apply(failed, **options)
    for name in ("order_z", "critical", "critical_low", "critical_high"):
        np.testing.assert_allclose(rest[name], few[name], rtol=1e-9)
    # Five replicas tell a critical value less well than Student's t with 399 degrees of freedom.
    tables = [phase_transition.judge(data, options, {}) for data in (rest, few)]
    assert [[verdict_of(row).kind for row in table.verdicts] for table in tables[0]] == [
        [verdict_of(row).kind for row in table.verdicts] for table in tables[1]
    ]


def test_a_barrier_needs_a_noise_more_than_its_fit_has_unknowns():
    dataset, options, _ = arrhenius.exact()[0]
    # A term that the fit does not know bends log gap, and only a fourth noise can show that.
    dataset["gap"] = dataset["gap"] * np.exp(5.0 * dataset["noise"] ** 4)
    assert float(arrhenius.apply(dataset, **options)["barrier_change"]) > 1e-4
    few = dataset.isel(noise=slice(1, None))
    assert np.isnan(float(arrhenius.apply(few, **options)["barrier"]))
    with pytest.raises(StudyError, match="four values or more"):
        arrhenius.check({"noise": 3}, options)


def test_points_with_few_replicas_hide_nothing_of_those_with_many():
    freedom = np.array([127] * 19 + [3])
    row = score_row("mean", np.ones(20), freedom)
    assert verdict_of(row).kind == Kind.AGREES
    assert verdict_of(score_row("mean", np.ones(20), np.full(20, 3))).kind == Kind.UNDECIDED


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        # n Var falls with eps like eps^.015: bounded, though not of order 0.
        (0.008, 0.022, Kind.AGREES),
        (-0.01, 0.01, Kind.AGREES),
        (-0.03, -0.01, Kind.DISAGREES),
        (-0.4, 0.3, Kind.UNDECIDED),
        (NAN, NAN, Kind.UNDECIDED),
    ],
)
def test_a_bound_that_is_uniform_is_a_one_sided_statement(low, high, kind):
    fit = OrderFit(0.5 * (low + high), low, high, 1.0)
    verdict = judge_order(fit, {"order": 0.0, "relation": ">=", "tolerance": 0.0})
    assert verdict.kind == kind
    if kind is Kind.DISAGREES:
        assert verdict.expectation == ">= 0"
    if low > 0.0:
        assert judge_order(fit, {"order": 0.0}).kind == Kind.DISAGREES
