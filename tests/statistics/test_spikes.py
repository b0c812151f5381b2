"""Spikes, small oscillations, regimes: synthetic signals and the mean equation."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurolim.core import StudyError
from neurolim.numerics.events import find_events
from neurolim.statistics.parts.intervals import geometric_tail, unbiased_mean
from neurolim.statistics.parts.mmo_tables import judge
from neurolim.statistics.parts.signal import synthetic
from neurolim.statistics.spiking import mmo, regime
from neurolim.study.read import parse_study

OPTIONS: dict[str, Any] = {"of": "trace", "after": 0.0, "high": "auto", "low": "auto", "most": 40}
RULES: dict[str, Any] = {
    "of": "trace",
    "after": 0.0,
    "high": "auto",
    "low": "auto",
    "mixed": 0.1,
    "starts": "none",
}


@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_small_oscillations_is_read_back(seed):
    turns = np.random.default_rng(seed).geometric(0.4, 50) - 1
    trace = synthetic(turns.tolist())["trace"].values[0, :, 0]
    for high, low, step in ((2.4, -0.24, 1), (3.0, -0.5, 1), (1.0, -0.1, 1), (2.4, -0.24, 4)):
        found = find_events(trace[::step, 0], trace[::step, 1], high, low, (0.0, 0.0), 1.0)
        assert found.turns.tolist() == turns[1:].tolist()
        assert found.spikes.size == 50
        # n turns take 40 n + 20 samples in this signal, the way to the threshold a few more.
        wanted = np.where(found.turns > 0, 40 * found.turns + 20, 0)
        np.testing.assert_allclose(found.turning * step, wanted, atol=6)


def test_hysteresis_counts_a_spike_with_a_ragged_edge_once():
    v = np.concatenate(
        [np.full(20, -1.0), [2.6, 2.2, 2.7, 2.3], np.full(20, 4.0), np.full(9, -1.0)]
    )
    found = find_events(v, np.zeros_like(v), 2.4, 0.0, (0.0, 1.0), 1.0)
    assert found.spikes == pytest.approx([19 + 3.4 / 3.6])
    assert found.falls == pytest.approx([43 + 4.0 / 5.0])


def test_a_signal_that_starts_up_has_not_spiked():
    v = np.concatenate([np.full(20, 4.0), np.full(20, -1.0)])
    assert find_events(v, 0 * v, 2.4, 0.0, (0.0, 0.0), 1.0).spikes.size == 0


def test_geometric_tail_finds_the_parameter_and_where_it_starts():
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        n = generator.geometric(0.3, 400) - 1
        fit = geometric_tail(n, largest=0)
        covered += fit["tail_low"] <= 0.7 <= fit["tail_high"]
    # 95 % intervals: 190 of 200, standard deviation 3.
    assert covered >= 190 - 4 * 3.1
    n = generator.geometric(0.3, 6000) - 1
    bent = np.concatenate([n + 2, np.zeros(9000, int), np.ones(300, int)])
    fit = geometric_tail(bent)
    assert fit["tail_from"] == 2
    assert fit["tail_low"] < 0.7 < fit["tail_high"]
    assert fit["tail_p"] > 0.05


def test_p_values_of_geometric_samples_are_uniform():
    generator = np.random.default_rng(5)
    p = np.array(
        [geometric_tail(generator.geometric(0.4, 500) - 1, 0)["tail_p"] for _ in range(300)]
    )
    # Kolmogorov-Smirnov at 1e-3; one parameter is fitted, its degree of freedom is taken off.
    assert np.abs(np.sort(p) - np.arange(0.5, 300) / 300).max() < 1.95 / np.sqrt(300)


def test_intervals_cut_off_by_the_end_of_short_runs_do_not_bias_means():
    # Runs of 8 mean intervals: their complete intervals are short ones (Gamma law of mean 1).
    generator = np.random.default_rng(9)
    shape, runs, t_end = 2.0, 4000, 8.0
    kept = []
    for _ in range(runs):
        ends = np.cumsum(generator.gamma(shape, 1.0 / shape, 60))
        kept.append(np.diff(ends[ends < t_end], prepend=0.0))
    intervals = np.concatenate(kept)
    for power, exact in ((1, 1.0), (2, 1.0 + 1.0 / shape)):
        values = intervals**power
        error = values.std() / np.sqrt(values.size)
        # First order of the bias: variance over run length, 6 %; what is left is its square.
        assert values.mean() < exact - 10 * error
        assert abs(unbiased_mean(values, intervals, runs) - exact) < 3 * error + exact / t_end**2


def test_few_spikes_say_how_long_to_run():
    found = mmo.apply(synthetic([1] * 12), **OPTIONS)
    assert int(found["verdict"]) == 1
    assert np.isnan(float(found["small_mean"]))
    # 12 spikes, 4 periods of 20 each; 30 intervals take 31 spikes.
    assert float(found["needed_time"]) == pytest.approx(31 * 80, rel=0.01)
    (row,) = judge(found, OPTIONS, {})[0].rows
    assert "run for 2.48e+03 or longer" in row.values["remark"]
    assert np.isnan(row.values["mean_N"])
    # Without any spike the rate is below 3 per run at 95 %: ten times the run at least.
    still = synthetic([1] * 12) * 0.0
    dataset = synthetic([1] * 12).assign(trace=still["trace"])
    found = mmo.apply(dataset, **OPTIONS)
    time = float(dataset["trace_time"][-1] - dataset["trace_time"][1])
    assert float(found["needed_time"]) == pytest.approx(31 * time / 3)


def test_thresholds_among_the_small_oscillations_are_noticed():
    dataset = synthetic([0, 3] * 30)
    found = mmo.apply(dataset, **OPTIONS | {"high": 0.15, "low": -0.15})
    assert int(found["verdict"]) == 2
    (row,) = judge(found, OPTIONS, {})[0].rows
    assert "set high elsewhere" in row.values["remark"]
    with pytest.raises(StudyError, match="not below high"):
        mmo.apply(dataset, **OPTIONS | {"low": 3.0})


def test_tables_of_small_oscillations_hold_numbers():
    dataset = synthetic([0, 3] * 30)
    found = mmo.apply(dataset.expand_dims(current=[5.5]), **OPTIONS)
    table, signatures, sensitivity = judge(found, OPTIONS, {})
    (row,) = table.rows
    assert row.at == {"current": 5.5}
    assert row.values["spikes"] == 60
    assert row.values["ISI_error"] == float(found["interval_mean_error"][0])
    (block,) = signatures.rows
    assert dict(block.values) == {"signature": "2^3", "count": 29, "share": 1.0}
    assert [row.at["variant"] for row in sensitivity.rows] == found["variant"].values.tolist()
    assert sensitivity.rows[0].values["spikes"] == 60
    # The first of 60 spikes ends no interval, 29 of the others come without a small oscillation.
    assert sensitivity.rows[0].values["P_N_0"] == pytest.approx(29 / 59)


def test_signatures_beyond_the_last_are_marked():
    found = mmo.apply(synthetic([0, 3] * 30), **OPTIONS | {"most": 2})
    (block,) = judge(found, OPTIONS, {})[1].rows
    assert block.values["signature"] == "2^2+"


def test_failed_replicas_are_left_out_and_a_point_without_any_is_nan():
    dataset = synthetic([1] * 40, replicas=2)
    dataset["trace"][0] = np.nan
    assert float(mmo.apply(dataset, **OPTIONS)["spikes"]) == 40
    dataset["trace"][1] = np.nan
    assert np.isnan(float(mmo.apply(dataset, **OPTIONS)["spikes"]))
    dataset["reference_limit_class"] = 1
    assert int(regime.apply(dataset, **RULES)["regime"]) == regime.REGIMES.index("uncertain")


def test_a_record_mean_is_as_good_a_signal_as_a_trace():
    dataset = synthetic([1, 2, 3] * 20)
    renamed = dataset.rename(trace="state_mean", trace_time="time")
    xr.testing.assert_identical(
        mmo.apply(dataset, **OPTIONS), mmo.apply(renamed, **OPTIONS | {"of": "state_mean"})
    )


def test_regime_from_two_starts():
    still = 0.0 * synthetic([0] * 4)["trace"]
    up = still + xr.DataArray([4.0, 1.0], dims="variable")
    dataset = synthetic([0] * 4).drop_vars("trace")
    dataset["trace"] = xr.concat([still, up], xr.DataArray([0.0, 3.5], dims="voltage_start"))
    dataset["reference_limit_class"] = ("voltage_start", [2, 2])
    found = regime.apply(dataset, **RULES | {"starts": "voltage_start"})
    assert regime.REGIMES[int(found["regime"])] == "bistable"
    assert int(found["agrees"]) == 1
    alone = regime.apply(dataset, **RULES)
    cells, summary = regime.judge(alone, RULES, {})
    assert [row.at for row in cells.rows] == [{"voltage_start": 0.0}, {"voltage_start": 3.5}]
    # The limit has two stable states, of which one start shows one.
    assert [row.values["regime"] for row in cells.rows] == ["clamped", "clamped"]
    assert [row.values["agrees"] for row in cells.rows] == ["no", "no"]
    counts = {row.values["item"]: row.values for row in summary.rows}
    assert [counts["clamped"][name] for name in ("count", "of", "share")] == [2, 2, 1.0]
    assert counts["cells that agree with the limit"]["share"] == 0.0
    alone["runs"][1] = 0.0
    cells, summary = regime.judge(alone, RULES, {})
    assert len(cells.rows) == 1
    assert [summary.rows[0].values[name] for name in ("count", "of", "share")] == [1, 2, 0.5]
    with pytest.raises(StudyError, match="no axis"):
        regime.apply(dataset, **RULES | {"starts": "a"})


def test_a_moving_voltage_without_spikes_is_uncertain():
    dataset = synthetic([0] * 4)
    time = dataset["trace_time"]
    slow = xr.DataArray([1.0, 0.0], dims="variable") * 0.5 * np.sin(0.1 * time)
    dataset["trace"] = 0.0 * dataset["trace"] + slow
    dataset["reference_limit_class"] = 1
    assert int(regime.apply(dataset, **RULES)["regime"]) == 0


def mean_equation(n, sigma, current, t_end, replicas=8, variance="limit", **more):
    """Return the statistics of Figure 7.4's network by the reduced equation."""
    study = parse_study(
        {
            "model": "fitzhugh_nagumo",
            "solver": "reduced",
            "reference": "equilibria",
            "params": {
                "a": 0.005, "b": 0.05, "lam": 4.0, "eps": 1 / 220, "sigma": sigma,
                "current": current, "voltage_start": 0.45, "recovery_start": 4.65,
            },
            "options": {
                "n_neurons": n, "dt": 0.02, "t_end": t_end, "records": 1, "trace_every": 10,
                "variance": variance,
            },
            "seed": 5,
        }
    )  # fmt: skip
    model, solver = study.model, study.solver
    params, options = study.params_at(0), study.options_at(0)
    found = solver.solve(model, params, options, study.key(0), range(replicas))
    skeleton = study.reference
    assert skeleton is not None
    reference = skeleton.solve(model, params, study.reference_options_at(0), 0, range(1))
    coords = solver.coords(model, params, options)
    names = skeleton.coords(model, params, study.reference_options_at(0))
    data: dict[str, Any] = {
        "trace": (("replica", "trace_time", "site", "variable"), found.arrays["trace"])
    }
    for var in skeleton.outputs(model, study.reference_options_at(0)):
        data[f"reference_{var.name}"] = (var.dims, reference.arrays[var.name][0])
    dataset = xr.Dataset(
        data,
        {
            dim: list((coords | names)[dim].values)
            for dim in ("trace_time", "bifurcation", "variable")
        },
    )
    dataset = dataset.assign_coords(
        a=0.005, b=0.05, current=current, sigma=sigma, n_neurons=float(n)
    )
    dataset.attrs = {"params": "{}", "options": "{}"}
    return mmo.apply(dataset, **OPTIONS | {"after": 500.0} | more)


def near(found, name, expected, rounding, more=0.0):
    """Return whether a statistic is an expected one within 3 standard errors of both."""
    error = float(found[f"{name}_error"])
    return abs(float(found[name]) - expected) < 3 * np.sqrt(2) * error + rounding + more


#: s_v, P(N=0), 1/E[N + 1], CV, mean interval of the mean equation at I = 5.534, seen independently.
TABLE = [
    (0.0007, 0.407, 0.019, 2.48, 1772.0, 1.5e5),
    (0.001, 0.464, 0.059, 1.78, 719.0, 6e4),
    (0.002, 0.502, 0.173, 0.83, 386.0, 4e4),
    (0.004, 0.558, 0.355, 0.35, 296.0, 4e4),
    (0.00707, 0.629, 0.549, 0.17, 264.0, 4e4),
]


@pytest.mark.slow
@pytest.mark.parametrize("row", TABLE)
def test_mean_equation_has_the_known_statistics(row):
    noise, none, inverse, cv, interval, t_end = row
    found = mean_equation(5000, noise * 5000**0.5, 5.534, t_end)
    assert near(found, "small_none", none, 5e-4)
    # 1/E[N + 1] to three digits: its standard error follows from that of N.
    mean, error = float(found["small_mean"]), float(found["small_mean_error"])
    assert abs(1 / (1 + mean) - inverse) < 3 * np.sqrt(2) * error / (1 + mean) ** 2 + 5e-4
    assert near(found, "interval_cv", cv, 5e-3)
    assert near(found, "interval_mean", interval, 0.5)


#: Current, neurons, mean N of the mean equation, seen independently (standard error 10 %).
SERIES = [
    *((5.534, n, mean) for n, mean in ((2000, 0.35), (5000, 0.71), (20000, 2.06), (100000, 6.4))),
    *((current, 5000, mean) for current, mean in ((5.5, 1.98), (5.525, 0.94), (5.54, 0.61))),
    (5.56, 5000, 0.32),
]


@pytest.mark.slow
@pytest.mark.parametrize(("current", "n", "mean"), SERIES)
def test_mean_number_of_small_oscillations_over_current_and_size(current, n, mean):
    found = mean_equation(n, 0.5, current, 4e4, variance="closure")
    error = np.hypot(float(found["small_mean_error"]), 0.1 * mean)
    assert abs(float(found["small_mean"]) - mean) < 3 * error


@pytest.mark.slow
@pytest.mark.ci
def test_tail_of_small_oscillations_is_geometric_over_thousands_of_spikes():
    found = mean_equation(5000, 0.5, 5.534, 2.2e5, variance="closure")
    assert float(found["spikes"]) > 5000
    assert float(found["tail_p"]) > 0.01
    assert float(found["tail_from"]) <= 2
    # The law of N as a whole is not geometric: the first count is more frequent.
    assert float(found["small_hazard"][0]) > float(found["small_hazard"][1]) + 0.05
