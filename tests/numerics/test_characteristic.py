"""Characteristic roots with delays, and the study of the critical delay that rests on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import lambertw

import neurolim
from neurolim import StudyError, core, load_study, run_study
from neurolim.numerics.characteristic import rightmost_roots

STUDIES = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("feedback", [0.2, 1.0, 3.0, -0.7])
@pytest.mark.parametrize("delay", [0.3, 1.0, 8.0])
def test_roots_of_one_delay_are_branches_of_lamberts_function(feedback, delay):
    # y' = -k y(t - tau): lambda tau e^(lambda tau) = -k tau.
    found = rightmost_roots([np.array([[-feedback]])], [delay], 4)
    branches = np.array([lambertw(-feedback * delay, k) for k in range(-8, 9)]) / delay
    branches = branches[branches.imag > -1e-9]
    expected = branches[np.argsort(-branches.real, kind="stable")][:4]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_roots_without_delay_are_eigenvalues():
    A = np.array([[0.1, -2.0], [0.5, -0.3]])
    found = rightmost_roots([A, np.zeros((2, 2))], [0.0, 0.0], 3)
    expected = np.linalg.eigvals(A)
    assert found[0] == pytest.approx(expected[expected.imag > 0][0])
    assert np.isnan(found[1:]).all()


def test_roots_of_several_delays_solve_their_equation():
    rng = np.random.default_rng(4)
    matrices, delays = rng.normal(size=(4, 3, 3)), [0.0, 0.7, 1.9, 5.0]
    found = rightmost_roots(list(matrices), delays, 6)
    assert np.isfinite(found).all()
    assert (np.diff(found.real) <= 1e-9).all()
    for root in found:
        matrix = root * np.eye(3) - sum(
            A * np.exp(-root * delay) for A, delay in zip(matrices, delays, strict=True)
        )
        values = np.linalg.svd(matrix, compute_uv=False)
        assert values[-1] < 1e-10 * values[0]


def closed_form(feedback, a, eps):
    """Return tau_c and omega of the neurons of the study."""
    c = a * a - 1.0
    s = np.sqrt(c * (2.0 * feedback - c))
    omega = 0.5 * (s + np.sqrt(s * s + 4.0 * eps))
    return np.arccos(1.0 - c / feedback) / omega, omega


@pytest.mark.parametrize(("feedback", "a", "eps"), [(0.6, 1.2, 0.08), (1.5, 1.05, 0.01)])
def test_rest_is_lost_at_the_delay_of_the_closed_form(feedback, a, eps):
    model = load_study(STUDIES / "studies" / "delay.yaml").model
    critical, omega = closed_form(feedback, a, eps)
    given = {"feedback": feedback, "a": a, "eps": eps}
    found = neurolim.solve(model, "characteristic", given | {"tau": float(critical)})
    assert float(found["growth"][0]) == pytest.approx(0.0, abs=1e-10)
    assert float(found["frequency"][0]) == pytest.approx(omega, rel=1e-10)
    np.testing.assert_allclose(found["equilibrium"][0], [-a, a**3 / 3.0 - a], rtol=1e-10)
    for factor, sign in ((0.99, -1.0), (1.01, 1.0)):
        other = neurolim.solve(model, "characteristic", given | {"tau": float(factor * critical)})
        assert np.sign(other["growth"][0]) == sign


def test_fields_synapses_and_weights_enter_the_roots():
    # x' = -x + g s(x)(t - 2) + (1 - x): s' = 1/4 at x = 0 where 1 + g/2 = 0.
    model = {
        "state": {"x": {"start": 0.3}},
        "params": {"gain": -2.0},
        "fields": {"sent": "sigmoid(x)"},
        "delays": {"late": {"of": "sent", "time": 2}},
        "drift": {"x": "-x + gain*sum(late)"},
        "synapses": {"x": {"conductance": 1, "current": 1}},
    }
    found = neurolim.solve(model, "characteristic")
    # lambda = -2 + (g/4) e^(-2 lambda):  2 (lambda + 2) = W(g/2 e^4).
    expected = lambertw(-np.exp(4.0)) / 2.0 - 2.0
    assert float(found["equilibrium"][0, 0]) == pytest.approx(0.0, abs=1e-9)
    assert float(found["growth"][0]) == pytest.approx(expected.real, rel=1e-9)
    assert float(found["frequency"][0]) == pytest.approx(abs(expected.imag), rel=1e-9)


def test_no_rest_is_a_status():
    model = {"state": {"x": {"start": 0.3}}, "drift": {"x": "1 + x^2"}}
    found = neurolim.solve(model, "characteristic")
    assert int(found["status"]) == core.Status.NOT_CONVERGED
    assert np.isnan(found["growth"]).all()
    with pytest.raises(StudyError, match="one site"):
        neurolim.solve({**model, "sites": ["A", "B"]}, "characteristic")


def test_the_study_agrees_and_wrong_expectations_do_not(tmp_path):
    study = load_study(STUDIES / "studies" / "delay.yaml", tiny=True)
    found = run_study(study, tmp_path)
    statistic = study.statistic("characteristic_growth").plugin
    options = study.statistic("characteristic_growth").options

    def verdicts(dataset, expect):
        tables = statistic.judge(statistic.apply(dataset, **options), options, expect)
        return [row.verdict.kind for table in tables for row in table.verdicts if row.verdict]

    right = study.expectations()
    assert verdicts(found, right) == ["agrees", "agrees", "agrees"]
    # A critical delay 3 % longer, and the roots of delays that are as much longer.
    wrong = {"critical": {"order": 1.03 * right["critical"]["order"], "tolerance": 0.05}}
    assert verdicts(found, wrong) == ["agrees", "agrees", "disagrees"]
    roots = [
        neurolim.solve(study.model, "characteristic", {"tau": 1.03 * float(tau)})
        for tau in found["tau"]
    ]
    late = {
        f"reference_{name}": (("tau", "root"), np.array([root[name].values for root in roots]))
        for name in ("growth", "frequency")
    }
    assert verdicts(found.assign(late), {}) == ["disagrees", "disagrees", "disagrees"]
