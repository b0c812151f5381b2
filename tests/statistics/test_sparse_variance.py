"""Sparse random graphs: the exact variance, and the study whose verdict rests on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov
from tests.judging import verdict_of

from neurolim import core, load_study, run_study
from neurolim.solvers.parts.graphs import lay_wires

STUDIES = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("gain", [-2.0, 0.8])
@pytest.mark.parametrize("wires", ["binomial", "fixed"])
def test_the_variance_is_that_of_lyapunovs_equation_on_drawn_graphs(gain, wires):
    # A X + X A^T + 1 = 0 on graphs of the solver: independent of spectra and of simulation.
    n, degree, graphs = 500, 8, 8
    options = {"wires": wires, "in_degree": degree, "junctions": "mean", "graph": ()}
    found = []
    for replica in range(graphs):
        laid = lay_wires(1, n, options, 11, replica)
        heard = np.diff(laid.starts[0, 0])
        A = -np.eye(n)
        np.add.at(A, (np.repeat(np.arange(n), heard), laid.source), gain * laid.weight[0])
        found.append(np.trace(solve_continuous_lyapunov(A, -np.eye(n))) / n)
    error = np.std(found, ddof=1) / np.sqrt(graphs)
    expected = 0.5 / np.sqrt(1.0 - gain**2 / degree)
    # The mean's own variance and wires to oneself are of order 1/n.
    assert np.mean(found) == pytest.approx(expected, abs=4.0 * error + 4.0 * abs(gain) / n)
    assert error < 0.01 * expected


def test_the_study_agrees_and_wrong_expectations_do_not(tmp_path):
    study = load_study(STUDIES / "studies" / "sparse-graph.yaml", tiny=True)
    found = run_study(study, tmp_path)
    statistic = study.statistic("sparse_variance").plugin
    options = study.statistic("sparse_variance").options

    def verdict(dataset):
        table, _ = statistic.judge(statistic.apply(dataset, **options), options, {})
        return verdict_of(table.rows[0]).kind

    assert verdict(found) == "agrees"
    # The closed form of half as many wires more, and the mean field's, do not fit.
    assert verdict(found.assign_coords(in_degree=1.5 * found["in_degree"])) == "disagrees"
    assert verdict(found.assign_coords(in_degree=1e6 * found["in_degree"])) == "disagrees"
    rate = core.get("statistic", "convergence_rate")
    data = found.merge(statistic.apply(found, **options), compat="override")
    options = study.statistic("convergence_rate").options
    orders = rate.apply(data, **options)
    for order, kind in ((-1.0, "agrees"), (-2.0, "disagrees")):
        table, _ = rate.judge(orders, options, {"instability": {"order": order}})
        assert verdict_of(table.rows[0]).kind == kind
