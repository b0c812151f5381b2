"""The distance to the limit profile is free of sampling noise, and noise alone has no order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from neurolim.core import Kind, StudyError
from neurolim.numerics.regression import fit_order, measure_levels
from neurolim.statistics.laws import profile
from neurolim.statistics.parts.common import judge_order, standard_normal_network
from neurolim.study.read import parse_study

OPTIONS: dict[str, Any] = {"after": 0.0, "eps": "eps", "within": 2.0}
DISTANCES = ("x_profile", "x_shape")


def test_noise_alone_has_no_order():
    eps = [0.1, 0.05, 0.025, 0.0125, 0.00625]
    for seed in (100, 101):
        dataset = standard_normal_network(eps, 32, 400, seed, bins=600)
        found = profile.apply(dataset, **OPTIONS)
        for name in DISTANCES:
            samples = list(found[name].values)
            # A level of noise is taken for more than noise once in some hundred times.
            assert measure_levels(samples).reason.count("noise") >= 4
            fit = fit_order(np.array(eps), samples, resamples=100)
            assert judge_order(fit, {"order": 2.0}).kind == Kind.UNDECIDED


def test_mean_square_is_unbiased_where_noise_is_as_large():
    eps, networks = 0.05, 60
    edges = np.linspace(-2.0, 2.0, 21)
    ratio = np.diff(ndtr(edges / np.sqrt(1.0 + eps))) / np.diff(ndtr(edges))
    square = eps**2 * np.mean(np.log(ratio) ** 2)
    found: dict[str, list[float]] = {name: [] for name in DISTANCES}
    for seed in range(networks):
        dataset = standard_normal_network([eps, 2 * eps], 8, 600, seed, widening=1.0)
        result = profile.apply(dataset, **OPTIONS)
        for name in DISTANCES:
            distance = float(result[name].sel(eps=eps).mean("replica"))
            found[name].append(np.sign(distance) * distance**2 / square)
    for name in DISTANCES:
        error = np.std(found[name], ddof=1) / networks**0.5
        assert abs(np.mean(found[name]) - 1.0) < 4.0 * error, name
        # The test has power: the noise of a plain mean square is 2.5 times the true one here.
        assert error < 0.3


def test_wandering_of_the_mean_is_no_width():
    """Replicas that lie apart are not a broader law."""
    replicas = 256
    dataset = standard_normal_network([0.2, 0.1], replicas, 1000, 5)
    wander = np.random.Generator(np.random.PCG64(1)).normal(0.0, 1.0, (2, replicas))
    moved = dataset.copy()
    spread = 0.5 * np.sqrt(dataset["eps"].values)[:, None]
    moved["state_mean"] = dataset["state_mean"] + (spread * wander)[:, :, None, None, None]
    found = moved["eps"] ** -1.0 * profile.apply(moved, **OPTIONS)["x_profile"].mean("replica")
    # A variance of 1 + 1/4 would show as a distance of .12. What is left is the mean of the
    # shifts: its square, (1/4)/256 u^2 with 4/3 for u^2, has that as its standard error, times
    # sqrt(2), about zero.
    error = 2.0**0.5 * 0.25 / replicas * 4.0 / 3.0
    assert (abs(found) < (4.0 * error) ** 0.5).all()


def test_failed_replicas_count_for_nothing():
    dataset = standard_normal_network([0.2, 0.1], 12, 2000, 3, widening=1.0)
    broken = dataset.copy(deep=True)
    for name in ("state_mean", "covariance", "scale"):
        broken[name][:, 5] = np.nan
    broken["histogram"][:, 5] = 0
    broken["status"][:, 5] = 1
    kept = profile.apply(dataset.isel(replica=[r for r in range(12) if r != 5]), **OPTIONS)
    found = profile.apply(broken, **OPTIONS)
    assert np.isnan(found["x_shape"].isel(replica=5)).all()
    for name in DISTANCES:
        np.testing.assert_allclose(found[name].mean("replica"), kept[name].mean("replica"))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"replicas": 1}, "replicas: 1, too few"),
        ({"replicas": 2}, "replicas: 2, too few"),
        ({"options": {"bins": 1}}, "bins: 1, too few"),
    ],
)
def test_what_has_no_profile_is_refused_early(changes, part):
    study = {
        "model": "fitzhugh_nagumo", "solver": "particles", "reference": "limit", "replicas": 3,
        "grid": {"eps": [0.1, 0.05]}, "statistics": ["profile"],
    }  # fmt: skip
    parse_study(study)
    with pytest.raises(StudyError, match=part):
        parse_study(study | changes)
