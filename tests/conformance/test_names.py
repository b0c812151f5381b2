"""Two things never share a name, and names of the release before lead to those of today."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from tests.running import environment

from neurolim import core, solve
from neurolim.core import registry
from neurolim.pipeline.digests import simulation_digest
from neurolim.study.read import parse_study

STUDY = {
    "title": "A linear network",
    "model": "linear",
    "solver": "graph",
    "reference": "moments",
    "options": {"n_neurons": 10, "dt": 0.01, "t_end": 0.02, "records": 1},
    "replicas": 2,
    "statistics": ["agreement"],
    "figures": ["agreement_scores"],
    "tiny": {"replicas": 3},
}
OLD = STUDY | {"solver": "wired", "figures": [{"agreement": {}}]}


def test_no_name_is_used_twice():
    uses = Counter(name for kind in core.KINDS for name in core.names(kind))
    assert [name for name, count in uses.items() if count > 1] == []


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [(kind, *pair) for kind, pairs in registry._RENAMED.items() for pair in pairs.items()],
)
def test_an_old_name_leads_to_the_plug_in_of_today_with_a_notice(kind, old, new):
    notice = f"the {kind} '{old}' is called '{new}'; its old name ends with the next release"
    with pytest.warns(core.RenamedWarning) as noticed:
        plug_in = core.get(kind, old)
    assert [str(warning.message) for warning in noticed] == [notice]
    assert plug_in is core.get(kind, new)
    assert plug_in.name == new
    assert old not in core.names(kind)


@pytest.mark.parametrize("tiny", [False, True])
def test_a_study_of_old_names_is_the_study_of_new_ones(tiny):
    study = parse_study(STUDY, tiny=tiny)
    with pytest.warns(core.RenamedWarning) as noticed:
        old = parse_study(OLD, tiny=tiny)
    assert {str(warning.message).split(";")[0] for warning in noticed} == {
        "the solver 'wired' is called 'graph'",
        "the figure 'agreement' is called 'agreement_scores'",
    }
    assert (old.spec.solver, study.spec.solver) == ("graph", "graph")
    assert simulation_digest(old, range(2)) == simulation_digest(study, range(2))
    assert [figure.name for figure in old.figures] == ["agreement_scores"]
    # Statistics keep their names.
    assert [statistic.name for statistic in old.statistics] == ["agreement"]


def test_old_names_of_references_are_known():
    mapping = STUDY | {"statistics": [], "figures": []}
    for reference in ("closure", {"solver": "closure", "options": {}}):
        with pytest.warns(core.RenamedWarning, match="'gaussian_closure'"):
            old = parse_study(mapping | {"reference": reference})
        assert old.reference_name == "gaussian_closure"


def test_a_program_gets_results_under_the_new_name():
    options = {"t_end": 0.1, "records": 1}
    with pytest.warns(core.RenamedWarning, match="'closure' is called 'gaussian_closure'"):
        found = solve("linear", "closure", options=options)
    assert found.attrs["solver"] == "gaussian_closure"
    assert found.identical(solve("linear", "gaussian_closure", options=options))


def test_the_command_says_it_in_one_line(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text(
        "title: A linear network\nmodel: linear\nsolver: closure\n"
        "options: {t_end: 0.1, records: 1}\n"
    )
    words = [sys.executable, "-m", "neurolim", "plan", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment())
    notice = "the solver 'closure' is called 'gaussian_closure'; its old name ends with"
    assert done.stderr == f"{notice} the next release\n"
