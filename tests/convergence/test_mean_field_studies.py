"""The mean-field studies at test size: every verdict that decides something agrees."""

from __future__ import annotations

import numpy as np
import pytest

from neurolim import run_study
from neurolim.core import Kind
from neurolim.pipeline.verdicts import outcome_of
from neurolim.study.read import load_study

QUICK = ("001-theorem-1-5", "002-theorem-2-7", "particles-against-kinetic")
OTHERS = (
    "000-section-6",
    "002-theorem-3-3",
    "002-proposition-3-6",
    "002-theorem-4-1",
    "002-theorem-4-2",
    "spatial",
    "spatial-2d",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.ci) for name in QUICK), *OTHERS]
)
def test_tiny_study_contradicts_no_theorem(name, root, tmp_path):
    study = load_study(root / "config" / "studies" / f"{name}.yaml", tiny=True)
    run_study(study, tmp_path)
    outcome = outcome_of(study, tmp_path)
    assert Kind.AGREES in outcome.kinds
    contradicted = [
        (table.name, row.label)
        for table, row, verdict in outcome.judged
        if verdict.kind is Kind.DISAGREES
    ]
    assert not contradicted


@pytest.mark.slow
def test_entropy_of_ill_prepared_data_is_what_its_layer_holds(root, tmp_path):
    # docs/mean-field.md, section 3; at test size the integral ends at t = 0.5.
    path = root / "config" / "studies" / "002-proposition-3-6.yaml"
    text = path.read_text("utf-8")
    text = text.replace("records: 12", "records: 60")
    text = text.replace("[1.0e-5, 1.0e-3, 3]", "[1.0e-5, 4.0e-5, 3]")
    study = tmp_path / "layer.yaml"
    study.write_text(text, "utf-8")
    found = run_study(study, tmp_path / "results", tiny=True)

    def entropy(d):
        return 0.5 * (d - np.log1p(d))

    first = 0.8**2 - 1.0
    x = np.geomspace(1e-9, 1e9, 200_001)
    inside = entropy(first / (1 + x)) - np.where(x < 1, entropy(first), 0.0)
    c = float(np.trapezoid(inside, np.log(x)))
    eps = found["eps"].values
    expected = 0.5 * (entropy(first) * np.abs(np.log(eps)) + c)
    local = 0.5 * 0.49 * (1 - np.exp(-2 * 0.8 * 0.5)) / (2 * 0.8)
    measured = found["entropy"].isel(drift=0).values / eps
    # Trapezoids on records that grow by a quarter: half a percent; next order sqrt(eps).
    np.testing.assert_allclose(measured, expected + local, rtol=0.02)
