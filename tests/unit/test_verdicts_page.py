"""The page of all statements: every verdict once, in its colour."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from neurolim import StudyError, cli
from neurolim.statements import colour, statements


@pytest.fixture
def place(tmp_path, mapping):
    """Return a study file with hand-made tables, and one that was never run."""
    mapping["expect"] = {"voltage_mean": {"order": 1.0, "claim": "Theorem 0"}}
    for name in ("done", "waiting"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(mapping), "utf-8")
    tables = tmp_path / "results" / "done" / "tables"
    tables.mkdir(parents=True)
    rows = {
        "quantity": [
            "voltage_mean [sigma=1]", "voltage_variance [sigma=1]", "voltage_mean [sigma=2]",
        ],
        "order": [1.01, float("nan"), 0.4],
        "order_low": [0.9, float("nan"), 0.3],
        "order_high": [1.1, float("nan"), 0.5],
        "expected": [1.0, float("nan"), 1.0],
        "constant": [2.0, float("nan"), 1.0],
        "verdict": ["contains", "inconclusive: too few", "excludes: below the expected order"],
    }  # fmt: skip
    pd.DataFrame(rows).to_csv(tables / "convergence_rate.csv", index=False)
    return tmp_path


def test_every_verdict_is_a_row_in_its_colour(place):
    files = [place / "done.yaml", place / "waiting.yaml"]
    frame = statements(files, place / "results")
    assert frame["colour"].tolist() == ["green", "amber", "red", "amber"]
    assert frame["statement"].tolist()[0] == "Theorem 0"
    assert frame["at"].tolist()[:3] == ["sigma=1", "sigma=1", "sigma=2"]
    assert frame["measured"].tolist()[0] == 1.01
    assert frame["verdict"].tolist()[-1] == "not run"


def test_the_command_writes_a_page_and_says_where(place, capsys):
    words = ["statements", str(place / "done.yaml"), "--results", str(place / "results")]
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 0
    page = place / "results" / "statements.html"
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text("utf-8")
    assert "1 green, 1 amber, 1 red" in text
    assert 'class="excludes"' in text


def test_unknown_files_are_refused(place):
    with pytest.raises(StudyError, match=r"nowhere\.yaml"):
        statements([place / "nowhere.yaml"], place / "results")


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [("contains (within tolerance 0.03)", "green"), ("agrees: within 3", "green"),
     ("disagrees: 9", "red"), ("excludes: above", "red"), ("inconclusive: wide", "amber")],
)  # fmt: skip
def test_colours(verdict, expected):
    assert colour(verdict) == expected
