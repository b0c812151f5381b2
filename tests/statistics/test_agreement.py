"""Agreement: tails that hold, and no agreement where nothing could have disagreed."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurolim.core import Kind, Verdict
from neurolim.statistics.agreement import agreement
from neurolim.statistics.parts.common import standard_normal_network


def network(replicas: int, seed: int = 3) -> xr.Dataset:
    n = 400
    dataset = standard_normal_network([0.1, 0.2], replicas, n, seed)
    square = xr.zeros_like(dataset["covariance"].isel(replica=0, drop=True))
    dataset["reference_covariance"] = square + (1 - 1 / n) * dataset["eps"]
    dataset["reference_mean_covariance"] = square + dataset["eps"] / n
    return dataset


def verdicts(dataset: xr.Dataset) -> list[Verdict]:
    (table,) = agreement.judge(agreement.apply(dataset, after=0.0), {}, {})
    return [row.verdict for row in table.rows if row.verdict]


def test_few_replicas_cannot_agree():
    # Student's t with 3 degrees of freedom has far tails; the chi-square's are nearer.
    for verdict in verdicts(network(4))[:2]:
        assert verdict.kind == Kind.UNDECIDED
        assert verdict.reason.startswith("only")
    assert all(verdict.kind == Kind.AGREES for verdict in verdicts(network(64)))


def test_what_replicas_share_to_rounding_is_not_compared():
    dataset = network(64)
    # Nothing varies but the last bits, and the closed form is another number.
    bits = np.random.Generator(np.random.PCG64(1)).integers(0, 4, dataset["state_mean"].shape)
    dataset["state_mean"] = 0.3 + 1e-16 * (dataset["state_mean"] * 0.0 + bits)
    dataset["covariance"] = dataset["covariance"] * 1e-33
    found = agreement.apply(dataset, after=0.0)
    assert np.isnan(found["z_mean"]).all()
    assert np.isnan(found["z_covariance"]).all()


def test_few_replicas_can_disagree():
    dataset = network(4)
    dataset["reference_state_mean"] = dataset["reference_state_mean"] + 1.0
    assert verdicts(dataset)[0].kind == Kind.DISAGREES


def test_failed_replicas_are_no_freedom():
    dataset = network(64)
    dataset["status"][0, 4:] = 1
    for name in ("state_mean", "covariance"):
        dataset[name][0, 4:] = np.nan
    found = agreement.apply(dataset, after=0.0)["agreement_replicas"]
    assert found.values.tolist() == [4, 64]
    assert verdicts(dataset)[0].kind == Kind.UNDECIDED


@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.9, 1.0])
def test_tails_of_the_mean_covariance_hold(correlation):
    """Sample covariances of Gaussian pairs reach the stated tails at most as often as stated."""
    generator = np.random.Generator(np.random.PCG64(8))
    replicas, trials = 16, 40000
    first, second = generator.standard_normal((2, trials, replicas))
    second = correlation * first + (1.0 - correlation**2) ** 0.5 * second
    product = (first - first.mean(1, keepdims=True)) * (second - second.mean(1, keepdims=True))
    freedom = replicas - 1
    z = (product.sum(1) / freedom - correlation) / ((1.0 + correlation**2) / freedom) ** 0.5
    tails = agreement._tail(
        z, np.full(trials, freedom), "mean_covariance", np.full(trials, correlation == 1.0)
    )
    for level in (0.05, 0.01, 0.002):
        share = np.mean(tails < level)
        assert share < level + 4.0 * (level / trials) ** 0.5
        if correlation == 1.0:
            assert share > level - 4.0 * (level / trials) ** 0.5
