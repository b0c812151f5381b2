"""Statistics that compare with laws, bounds and gaps say agrees, disagrees, undecided as due."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from tests.judging import verdict_of

from neurolim.core import Kind, Verdict, get
from neurolim.statistics.agreement import (
    law_agreement,
    mean_field_agreement,
    reflection_bias,
)
from neurolim.statistics.contraction import contraction, proven_bounds
from neurolim.statistics.contraction.proven_bounds import proven_rate
from neurolim.statistics.laws import stationary_spread
from neurolim.statistics.spiking import spike_comparison

AGREES, DISAGREES, UNDECIDED, NOT_JUDGED = Kind
NAN = np.nan
MORRIS_LECAR = get("model", "morris_lecar")


def verdicts(table: Any) -> list[Verdict]:
    return [row.verdict for row in table.rows if row.verdict is not None]


def at_law(replicas: int, failed: int, deviation: float) -> xr.Dataset:
    """Return replicas of a mean of which some failed, this many standard errors off a law."""
    draws = np.random.Generator(np.random.PCG64(4)).standard_normal(replicas)
    draws[:failed] = np.nan
    left = draws[failed:]
    error = left.std(ddof=1) / left.size**0.5
    dims = ("replica", "network_copy", "time", "site", "variable")
    values = np.broadcast_to(draws[:, None, None, None, None], (replicas, 2, 1, 1, 1))
    still = ("time", "site", "variable")
    zero = np.zeros((1, 1, 1))
    return xr.Dataset(
        {
            "copy_mean": (dims, values),
            "copy_covariance": ((*dims, "variable_b"), values[..., None]),
            "reference_state_mean": (still, zero + left.mean() - deviation * error),
            "reference_covariance": ((*still, "variable_b"), zero[..., None] + left.mean()),
            "reference_state_mean_error": (still, zero),
            "reference_covariance_error": ((*still, "variable_b"), zero[..., None]),
        },
        {
            "time": [1.0],
            "network_copy": ["first", "second"],
            "variable": ["x"],
            "variable_b": ["x"],
        },
    )


@pytest.mark.parametrize(("failed", "kind"), [(0, DISAGREES), (60, AGREES)])
def test_failed_copies_are_no_freedom_beside_a_law(failed, kind):
    options: dict[str, Any] = {"after": 0.0, "law": "evolving"}
    found = law_agreement.apply(at_law(64, failed, 4.0), **options)
    assert int(found["law_replicas"]) == 64 - failed
    (table,) = law_agreement.judge(found, options, {})
    mean, covariance = table.rows
    # Student's t with R - 1 degrees of freedom; with 63 for four replicas it would disagree.
    expected = 2.0 * stats.t.sf(4.0, 63 - failed)
    assert mean.values["p_value"] == pytest.approx(expected)
    assert verdicts(table)[0].kind == kind
    assert covariance.verdict is not None
    assert verdict_of(covariance).kind == AGREES


def test_failed_networks_are_no_freedom_beside_the_mean_field():
    ((dataset, options, _),) = mean_field_agreement.exact()
    failed = dataset.copy(deep=True)
    failed["status"][:, 4:] = 1
    for name in ("state_mean", "covariance"):
        failed[name][:, 4:] = np.nan
    error = failed["state_mean"].std("replica", ddof=1) / 2.0
    failed["reference_state_mean"] = failed["state_mean"].mean("replica") - 5.0 * error
    found = mean_field_agreement.apply(failed, **options)
    assert found["mean_field_replicas"].values.tolist() == [4, 4]
    (table,) = mean_field_agreement.judge(found, options, {})
    # 4 comparisons of 5 standard errors: p = .06 for t with 3, where 9.5 would count; 3e-5 with 47.
    assert table.rows[0].values["p_value"] == pytest.approx(8.0 * stats.t.sf(5.0, 3))
    assert verdicts(table)[0].reason == "only 9.46 standard errors would count: more replicas"
    assert verdicts(table)[0].kind == UNDECIDED
    dataset["reference_state_mean"] = dataset["state_mean"].mean("replica") - 5.0 * (
        dataset["state_mean"].std("replica", ddof=1) / 48**0.5
    )
    (table,) = mean_field_agreement.judge(mean_field_agreement.apply(dataset, **options), {}, {})
    assert verdicts(table)[0].kind == DISAGREES


def test_an_entry_of_a_covariance_counts_once_beside_a_law():
    one = at_law(64, 0, 0.0)
    names = ["x", "y"]
    both = one.reindex(variable=names, variable_b=names, method="ffill")
    # The off-diagonal entry is 3.2 standard errors off: p = .0064 of three, .0085 of four.
    error = one["copy_mean"].isel(network_copy=0).std("replica", ddof=1).item() / 8.0
    beside = xr.DataArray([[0.0, 3.2], [3.2, 0.0]], {"variable": names, "variable_b": names},
                          ("variable", "variable_b"))  # fmt: skip
    both["reference_covariance"] = both["reference_covariance"] - beside * error
    options: dict[str, Any] = {"after": 0.0, "law": "evolving"}
    (table,) = law_agreement.judge(law_agreement.apply(both, **options), options, {})
    (_, covariance) = table.rows
    assert covariance.values["compared"] == 3
    assert covariance.values["p_value"] == pytest.approx(3 * 2 * stats.t.sf(3.2, 63))


@functools.cache
def chain() -> xr.DataArray:
    """Return the biases of the chain, which take a second."""
    ((dataset, options, _),) = reflection_bias.exact()
    return reflection_bias.apply(dataset, **options)["bias_theory"]


def biased(failed: int, deviation: float) -> xr.Dataset:
    """Return biases this many standard errors off the chain's, some replicas of which failed."""
    ((dataset, _, _),) = reflection_bias.exact()
    draws = np.random.Generator(np.random.PCG64(6)).standard_normal(64)
    draws -= draws[failed:].mean()
    draws[:failed] = np.nan
    error = np.nanstd(draws, ddof=1) / (64 - failed) ** 0.5
    noise = 1e-6 * xr.DataArray(draws, dims="replica") + 1e-6 * error * deviation
    one = dataset["copy_mean"].isel(replica=0, drop=True)
    samples = (one + chain() + noise).transpose(*dataset["copy_mean"].dims)
    return dataset.drop_dims("replica").assign(copy_mean=samples)


@pytest.mark.parametrize(("failed", "kind"), [(0, DISAGREES), (60, UNDECIDED)])
def test_failed_copies_are_no_freedom_beside_the_chain(failed, kind):
    found = reflection_bias.apply(biased(failed, 5.0), after=0.5, model=MORRIS_LECAR)
    assert (found["bias_replicas"] == 64 - failed).all()
    biases, _ = reflection_bias.judge(found, {}, {})
    # Four comparisons: p = .06 for t with 3, 2e-5 for t with 63.
    assert [row.values["z"] for row in biases.rows] == pytest.approx([5.0] * 4)
    assert {verdict.kind for verdict in verdicts(biases)} == {kind}


@pytest.mark.parametrize(("deviation", "kind"), [(0.0, AGREES), (-9.0, DISAGREES)])
def test_orders_of_the_bias_are_those_of_the_chain(deviation, kind):
    found = reflection_bias.apply(biased(0, 0.0), after=0.5, model=MORRIS_LECAR)
    found["bias"][:, 1] += deviation * found["bias_error"][:, 1]
    _, orders = reflection_bias.judge(found, {}, {})
    assert [row.at["reflection"] for row in orders.rows] == ["bridge", "projected"]
    for row in orders.rows:
        steps, chain = found["dt"].values, found["bias_theory"].sel(row.at).values
        expected = np.log(chain[0] / chain[1]) / np.log(steps[0] / steps[1])
        assert row.values["order_chain"] == pytest.approx(expected)
        assert verdict_of(row).kind == kind
        assert verdict_of(row).reason.startswith("order")


def test_a_bias_below_the_noise_has_no_order():
    found = reflection_bias.apply(biased(0, 0.0), after=0.5, model=MORRIS_LECAR)
    found["bias_error"] = 0.0 * found["bias_error"] + 1.0
    _, orders = reflection_bias.judge(found, {}, {})
    assert {(v.kind, v.reason) for v in verdicts(orders)} == {
        (UNDECIDED, "the bias is below the noise")
    }


@pytest.mark.parametrize(
    ("z", "histogram_p", "kind"),
    [
        ((0.1, -0.5, 1.0, 2.0), 0.5, AGREES),
        # One of five p below .002: two-sided 3.0902 standard errors.
        ((0.1, -3.08, 1.0, 2.0), 0.5, AGREES),
        ((0.1, -3.10, 1.0, 2.0), 0.5, DISAGREES),
        ((0.1, -0.5, 1.0, 2.0), 0.001, DISAGREES),
        ((0.1, 60.0, 1.0, 2.0), 0.5, DISAGREES),
        ((NAN,) * 4, NAN, UNDECIDED),
    ],
)
def test_levels_differ_where_one_of_five_tests_says_so(z, histogram_p, kind):
    ((dataset, options, _),) = spike_comparison.exact()
    found = spike_comparison.apply(dataset, **options)
    found["comparison_z"][:] = np.array(z)
    found["comparison_p"], found["comparison_unseen"] = ((), histogram_p), ((), 0.4)
    each = [*(2.0 * stats.norm.sf(np.abs(z))), histogram_p]
    found["comparison_least_p"] = ((), np.fmin.reduce(each))
    (table,) = spike_comparison.judge(found, options, {})
    (verdict,) = verdicts(table)
    assert verdict.kind == kind
    reason = {AGREES: "can not be told apart", DISAGREES: "differ", UNDECIDED: "too few spikes"}
    assert verdict.reason.startswith(reason[kind])


def test_levels_that_could_differ_by_half_unseen_are_undecided():
    ((dataset, options, _),) = spike_comparison.exact()
    for name in ("small_mean", "small_histogram"):
        dataset[name][:] = dataset[name].isel(current=0)
    found = spike_comparison.apply(dataset, **options)
    (table,) = spike_comparison.judge(found, options, {})
    # Three errors of .25 hide .75 of one small oscillation.
    assert verdicts(table)[0].reason == "a difference of 75% would not be seen"
    dataset["small_mean_error"][:] = 0.1
    (table,) = spike_comparison.judge(spike_comparison.apply(dataset, **options), options, {})
    assert verdicts(table)[0].kind == AGREES


def test_an_order_of_the_bias_that_errs_by_more_than_one_half_is_undecided():
    fits = {"order": (0.2, 1.5, 1.5)}
    assert reflection_bias._verdict(fits).kind == UNDECIDED
    assert reflection_bias._verdict({"order": (1.45, 0.05, 1.5)}).kind == AGREES


def test_a_spread_keeps_its_bound_where_there_is_a_proof():
    ((dataset, options, _),) = stationary_spread.exact()
    found = stationary_spread.apply(dataset, **options)
    found["spread_bound"] = ("noise", [1.0, 1e-9])
    (table,) = stationary_spread.judge(found, options, {})
    assert [verdict.kind for verdict in verdicts(table)] == [AGREES, DISAGREES]
    assert [row.at for row in table.rows] == [{"noise": 0.1}, {"noise": 0.05}]
    found["spread_bound"] = ("noise", [NAN, NAN])
    (table,) = stationary_spread.judge(found, options, {})
    assert {verdict.reason for verdict in verdicts(table)} == {"no bound proven"}


def test_bounds_that_are_proven_are_not_judged():
    dataset, options, _ = proven_bounds.exact()[0]
    (table,) = proven_bounds.judge(proven_bounds.apply(dataset, **options), options, {})
    (row,) = table.rows
    assert row.verdict is None
    assert row.values["lambda_sync"] == pytest.approx(1.0 - (0.55 - 0.4 / (1.0 + np.e)) ** 0.5)


def measured(**changes: float) -> dict[str, float]:
    """Return a row of the table of contraction: a rate of .5, interval .48 to .52, the gap .5."""
    row = {
        "rate": 0.5, "rate_low": 0.48, "rate_high": 0.52, "rate_over_gap": 1.0, "bend": 0.0,
        "pathwise_rate": 0.4, "proven_pathwise": 0.3, "log10_theorem_2": -32.0,
    }  # fmt: skip
    return row | changes


def judged(values: Any, norm: str, coupling: str, expect: Any) -> tuple[str, Verdict]:
    proven = proven_rate(values, NAN, norm, coupling)
    ratio = values["rate_over_gap"]
    gap = ratio if np.isnan(ratio) else values["rate"] / ratio
    asked = expect if coupling == "synchronous" else expect | {"order": None}
    return contraction._verdict(values, norm, coupling, proven, gap, asked)


@pytest.mark.parametrize(
    ("changes", "norm", "synchronous", "kind", "reason"),
    [
        ({"rate": NAN}, "l1", True, UNDECIDED, "window below the floor of the estimator"),
        ({"pathwise_rate": 0.2}, "l1", True, DISAGREES, "a pair is slower than proven"),
        ({"pathwise_rate": 0.2, "proven_pathwise": -0.5}, "l1", True, AGREES,
         "equals the spectral gap"),
        ({"pathwise_rate": 0.2}, "l1", False, AGREES, "not faster than the spectral gap"),
        ({"pathwise_rate": NAN}, "l1", True, AGREES, "equals the spectral gap"),
        ({}, "l1", True, AGREES, "equals the spectral gap"),
        ({"rate_over_gap": 1.2}, "l1", True, DISAGREES, "faster than the spectral gap"),
        ({"rate_over_gap": 1.2}, "l1", False, DISAGREES, "faster than the spectral gap"),
        ({"rate_over_gap": 1.2, "bend": 0.1}, "l1", True, UNDECIDED,
         "the decay still bends, run longer"),
        ({"rate_over_gap": 0.8}, "l1", True, DISAGREES, "slower than the spectral gap"),
        ({"rate_over_gap": 0.8, "bend": 0.1}, "l1", True, UNDECIDED,
         "the decay still bends, run longer"),
        ({"rate_over_gap": 0.8, "bend": 0.1}, "l1", False, AGREES,
         "slower than the spectral gap"),
        # Within the tolerance of .05 beyond the interval.
        ({"rate_over_gap": 1.08}, "l1", True, AGREES, "equals the spectral gap"),
        ({"rate_over_gap": NAN}, "l1", True, AGREES, "above 0.3"),
        ({"rate_over_gap": 1.2}, "l2", True, AGREES, "above 0.3"),
        ({"proven_pathwise": -0.5}, "l2", True, NOT_JUDGED, "no bound proven"),
        ({"proven_pathwise": NAN}, "l2", True, NOT_JUDGED, "no bound proven"),
        ({}, "rho", False, AGREES, "above 1e-32"),
        ({"log10_theorem_2": -2667.0, "rate_low": -0.1}, "rho", False, UNDECIDED,
         "the interval contains 0"),
        ({"log10_theorem_2": -0.1}, "rho", False, DISAGREES, "below 0.794328"),
        ({"log10_theorem_2": NAN}, "rho", False, NOT_JUDGED, "no bound proven"),
        # Theorem 2 is a statement of W1.
        ({}, "l2", False, NOT_JUDGED, "no bound proven"),
        ({"rate_low": 0.05, "rate_high": 5.0}, "l1", True, UNDECIDED,
         "interval wider than 0.5"),
        ({"log10_theorem_2": -0.1}, "l1", False, DISAGREES, "slower than proven"),
    ],
)  # fmt: skip
def test_a_rate_lies_between_what_is_proven_and_the_gap(changes, norm, synchronous, kind, reason):
    expect = {"order": 1.0, "tolerance": 0.05}
    coupling = "synchronous" if synchronous else "mirror"
    _, verdict = judged(measured(**changes), norm, coupling, expect)
    assert (verdict.kind, verdict.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("norm", "coupling", "expect", "expectation"),
    [
        ("l1", "synchronous", {"order": 1.0}, "1"),
        ("l1", "synchronous", {}, "<= 1"),
        ("l1", "mirror", {"order": 1.0}, "<= 1"),
        ("l2", "synchronous", {}, ">= 0.3"),
        ("rho", "mirror", {}, ">= 1e-32"),
        ("l2", "maximal", {}, ""),
    ],
)
def test_a_bound_of_a_rate_is_what_is_expected(norm, coupling, expect, expectation):
    _, verdict = judged(measured(), norm, coupling, expect)
    assert verdict.expectation == expectation


@pytest.mark.parametrize(
    ("loss", "proven"), [(NAN, 1e-5), (-6.0, 9e-6), (-5.0, NAN), (3.0, NAN), (400.0, NAN)]
)
def test_what_interaction_takes_is_not_proven_of_a_network(loss, proven):
    found = proven_rate({"log10_theorem_2": -5.0}, loss, "l1", "mirror")
    assert found == pytest.approx(proven, nan_ok=True)


def test_without_an_expectation_a_slow_synchronous_rate_is_none_of_the_gaps():
    _, verdict = judged(measured(rate_over_gap=0.8), "l1", "synchronous", {})
    assert (verdict.kind, verdict.reason) == (AGREES, "slower than the spectral gap")


@pytest.mark.parametrize(
    ("bend", "kind"), [(1e-6, DISAGREES), (0.01, DISAGREES), (0.02, UNDECIDED)]
)
def test_a_straight_decay_faster_than_the_gap_disagrees_without_a_tolerance(bend, kind):
    values = measured(rate_over_gap=2.0, bend=bend)
    assert judged(values, "l1", "mirror", {})[1].kind == kind


def separating(theorem: float) -> Verdict:
    values = measured(rate=-0.5, rate_low=-0.52, rate_high=-0.48, log10_theorem_2=theorem)
    return judged(values | {"rate_over_gap": -1.0}, "l1", "mirror", {})[1]


def test_copies_that_separate_are_no_slow_ones():
    assert (separating(-32.0).kind, separating(-32.0).reason) == (DISAGREES, "slower than proven")
    assert separating(-2667.0).kind == DISAGREES
    assert separating(NAN).kind == NOT_JUDGED


def test_a_constant_distance_has_rate_zero():
    values = measured(rate=0.0, rate_low=0.0, rate_high=0.0, rate_over_gap=0.0)
    verdict = contraction._beside_the_gap(values, NAN, 0.5, {})
    assert (verdict.low, verdict.high, verdict.kind) == (0.0, 0.0, AGREES)


def test_a_rate_equals_the_gap_only_where_copies_stay_in_order():
    dataset, options, _ = contraction.exact()[0]
    dataset.attrs["options"] = '{"coupling": "synchronous"}'
    dataset["reference_gap"] = ((), 1.4)
    found = contraction.apply(dataset, **options)
    expect = {"rate_over_gap": {"order": 1.0, "tolerance": 0.03}}
    kinds = {}
    for increasing in (0.0, 1.0):
        (table,) = contraction.judge(found.assign(increasing=increasing), options, expect)
        (l1,) = (row for row in table.rows if row.at["norm"] == "l1")
        kinds[increasing] = (verdict_of(l1).kind, verdict_of(l1).reason)
    assert kinds == {
        0.0: (AGREES, "slower than the spectral gap"),
        1.0: (DISAGREES, "slower than the spectral gap"),
    }


def test_the_coupling_is_an_axis_or_an_option_of_the_solver():
    dataset, options, _ = contraction.exact()[0]
    expect = {"rate_over_gap": {"order": 2.0, "tolerance": 0.01}}
    dataset.attrs["options"] = '{"coupling": "synchronous"}'
    dataset["reference_gap"] = ((), 1.4)
    for coupling, kind in (("synchronous", DISAGREES), ("mirror", AGREES)):
        dataset.attrs["options"] = f'{{"coupling": "{coupling}"}}'
        both = dataset, dataset.expand_dims(coupling=[coupling]).assign_attrs(options="{}")
        for case in both:
            found = contraction.apply(case, **options)
            (table,) = contraction.judge(found, options, expect)
            (l1,) = (row for row in table.rows if row.at["norm"] == "l1")
            assert l1.verdict is not None
            assert verdict_of(l1).kind == kind
            assert l1.quantity == "rate_over_gap"
