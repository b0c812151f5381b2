"""Stages: what a record vouches for, stale inputs, failures in sight, refusals before any job."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.texts import yaml_of

from neurolim import StudyError, core, provenance
from neurolim.api import run_study
from neurolim.core import Kind, Row, Status, Table, Verdict
from neurolim.core.verdict import contains
from neurolim.launch.overview import progress_line
from neurolim.launch.status import status_of
from neurolim.pipeline import analyse as analysis
from neurolim.pipeline import engine, results
from neurolim.pipeline.analyse import analyse
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.collect import collect
from neurolim.pipeline.digests import simulation_code, simulation_digest, stage_digests
from neurolim.pipeline.layout import layout_of
from neurolim.pipeline.outline import (
    _sentences,
    captions,
    current_pages,
    outline,
    outlines,
    study_files,
)
from neurolim.pipeline.simulate import simulate
from neurolim.store import store
from neurolim.study import plan as planning
from neurolim.study.read import parse_study
from neurolim.study.study import Study

SMALL = {"n_neurons": 64, "t_end": 1.0, "records": 4, "dt": 0.05}


BASE = {
    "model": "linear",
    "solver": "particles",
    "reference": "moments",
    "options": SMALL,
    "grid": {"eps": [0.1, 0.05, 0.02]},
    "replicas": 3,
    "statistics": ["agreement"],
}


def study(**changes: Any) -> Study:
    return parse_study({k: v for k, v in (BASE | changes).items() if v is not None})


def rows(folder: Path, table: str = "runs") -> dict[str, int]:
    frame = pd.read_csv(folder / "study" / "tables" / f"{table}.csv")
    return dict(zip(frame["item"], frame["count"], strict=True))


def test_code_edited_while_a_chunk_runs_does_not_sign_it(tmp_path, monkeypatch):
    one = study()
    (runs,) = planning.plan(one).chunks
    before = simulation_digest(one, runs)
    solve = engine.run_tasks

    def edited_meanwhile(*arguments: Any) -> Any:
        found = solve(*arguments)
        monkeypatch.setattr(provenance, "code_digest", lambda *modules, **options: "edited")
        return found

    monkeypatch.setattr(engine, "run_tasks", edited_meanwhile)
    target = chunk_paths(one, layout_of(one, tmp_path))[0]
    simulate(one, runs, target)
    assert simulation_digest(one, runs) != before
    assert store.read_record(target)["digest"] == before


def failing_reference(monkeypatch: pytest.MonkeyPatch, points: int) -> None:
    """Let the reference fail at the first points."""
    get = core.get

    def broken(kind: str, name: str) -> Any:
        plugin = get(kind, name)
        if (kind, name) != ("solver", "moments"):
            return plugin
        levels = [0.1, 0.05, 0.02][:points]

        def solve(model: Any, params: Any, *more: Any) -> core.Solution:
            found = plugin.solve(model, params, *more)
            if params["eps"] not in levels:
                return found
            lost = {key: np.full_like(value, np.nan) for key, value in found.arrays.items()}
            return core.Solution(lost, np.array([Status.NOT_CONVERGED], np.int8))

        return replace(plugin, solve=solve)

    monkeypatch.setattr(core, "get", broken)


def test_failed_reference_runs_are_counted(tmp_path, monkeypatch):
    failing_reference(monkeypatch, 1)
    with pytest.raises(StudyError, match=r"33.3% of the runs failed, or their reference did"):
        run_study(study(), tmp_path)
    run_study(study(failed_share=0.5), tmp_path)
    found = rows(tmp_path)
    assert found["runs"] == found["OK"] == 9
    assert found["reference runs"] == 3
    assert found["reference OK"] == 2
    assert found["reference NOT_CONVERGED"] == 1
    assert found["points with failures"] == found["failed at eps=0.1"] == 1
    path = tmp_path / "study.yaml"
    path.write_text(yaml_of(BASE | {"failed_share": 0.5}))
    (caption,) = captions([str(path)], str(tmp_path)).values()
    assert "1 of 3 reference runs failed" in caption["verdicts"][0]["sentence"]


def test_failures_on_an_axis_of_words_are_named(tmp_path):
    one = study(
        model="fitzhugh_nagumo",
        reference=None,
        options=SMALL | {"scheme": "euler_maruyama"},
        # The explicit cubic overflows from so far out, a linear drift does not.
        params={"voltage_spread": 1e3, "coefficients": [0.0, -1.0]},
        grid={"eps": [0.1], "drift": ["cubic", "polynomial"]},
        statistics=None,
    )
    run_study(one, tmp_path)
    found = rows(tmp_path)
    assert found["DIVERGED"] == 3
    assert found["failed at eps=0.1 drift=cubic"] == 1


def test_failures_are_counted_where_there_are_too_many_for_statistics(tmp_path, monkeypatch):
    failing_reference(monkeypatch, 2)
    with pytest.raises(StudyError):
        run_study(study(), tmp_path)
    assert rows(tmp_path)["reference NOT_CONVERGED"] == 2
    assert not (tmp_path / "study" / "statistics.json").exists()


def test_a_study_without_statistics_has_its_table_and_figures(tmp_path):
    run_study(study(statistics=None, figures=["trajectories"]), tmp_path)
    assert rows(tmp_path)["runs"] == 9
    assert (tmp_path / "study" / "figures" / "trajectories.svg").is_file()


NAMED = {"p": {"zip": {"eps": [0.1, 0.05], "leak": [1.0, 2.0]}}}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"grid": NAMED}, {"grid": {"q": NAMED["p"]}}),
        (
            {"grid": {"eps": [0.1], "leak": [1.0]}, "statistics": None},
            {"grid": {"leak": [1.0], "eps": [0.1]}, "statistics": None},
        ),
    ],
)
def test_another_layout_of_the_grid_makes_the_dataset_again(tmp_path, first, second):
    one, other = study(**first), study(**second)
    assert stage_digests(one)["collect"] != stage_digests(other)["collect"]
    run_study(one, tmp_path)
    assert run_study(other, tmp_path)["status"].dims[:-1] == tuple(second["grid"])


def test_stale_inputs_are_refused(tmp_path):
    one, other = study(seed=1), study(seed=2)
    run_study(one, tmp_path)
    home = tmp_path / "study"
    old = (home / "data.zip").read_bytes(), (home / "data.json").read_bytes()
    record = store.read_record(home / "statistics.zip")
    assert record["data"] == store.sha256(home / "data.zip")
    for stage in (
        lambda: collect(other, tmp_path),
        lambda: analyse(other, tmp_path),
    ):
        with pytest.raises(
            store.StoreError,
            match=r"(\.json: missing; run the study|data\.zip: made from another study)",
        ):
            stage()
    run_study(other, tmp_path)
    assert store.read_record(home / "data.zip")["digest"] != json.loads(old[1])["digest"]
    # Statistics of other data than lie beside them are made again.
    new = (home / "tables" / "agreement.csv").read_bytes()
    (home / "data.zip").write_bytes(old[0])
    (home / "data.json").write_bytes(old[1])
    analyse(one, tmp_path)
    assert store.read_record(home / "statistics.zip")["data"] == record["data"]
    assert (home / "tables" / "agreement.csv").read_bytes() != new


def test_editing_what_makes_tables_and_figures_of_statistics_is_noticed(monkeypatch):
    one = study(figures=["agreement_scores"])
    before = stage_digests(one)
    parsed = provenance._parsed

    def edited(module: str) -> Any:
        digest, imported = parsed(module)
        return (digest + "edited" if module == "neurolim.pipeline.results" else digest), imported

    monkeypatch.setattr(provenance, "_parsed", edited)
    after = stage_digests(one)
    assert {stage for stage in before if before[stage] != after[stage]} == {
        "reduce",
        "tables/runs",
        "tables/agreement",
        "figures/agreement_scores",
    }


@pytest.mark.parametrize(
    ("share", "chunks"), [(2.0, 1), (0.4, 3), (0.21, 8), (0.12, 12), (1e-9, 18)]
)
def test_many_chunks_come_in_fours_or_one_per_run(share, chunks):
    total = planning.plan(study(replicas=6)).core_seconds
    found = planning.plan(study(replicas=6, chunk_seconds=share * total))
    assert len(found.chunks) == chunks
    assert [run for chunk in found.chunks for run in chunk] == list(range(found.runs))


def test_records_say_which_software_simulated(tmp_path, monkeypatch):
    one = study(chunk_seconds=1e-9)
    assert len(planning.plan(one).chunks) == 9
    run_study(one, tmp_path)
    home = tmp_path / "study"
    numbers, first = (home / "data.zip").read_bytes(), chunk_paths(one, layout_of(one, tmp_path))[0]
    assert store.read_record(first)["software"] == provenance.software()
    assert store.read_record(home / "data.zip")["software"] == provenance.software()
    # One chunk comes from a machine with another numpy: the same numbers are the same bytes.
    monkeypatch.setattr(provenance, "software", lambda: {"numpy": "0.1"})
    first.unlink()
    data = run_study(one, tmp_path)
    assert store.read_record(home / "data.zip")["software"]["numpy"] == f"0.1, {np.__version__}"
    assert (home / "data.zip").read_bytes() == numbers
    assert data.attrs["code"] == simulation_code(one)


def test_core_seconds_are_those_of_the_chunk(tmp_path):
    deadline = time.process_time() + 1.0
    while time.process_time() < deadline:
        sum(range(10000))
    (runs,) = planning.plan(study()).chunks
    simulate(study(), runs, chunk_paths(study(), layout_of(study(), tmp_path))[0])
    before = time.process_time()
    simulate(study(), runs, chunk_paths(study(), layout_of(study(), tmp_path))[0])
    took = time.process_time() - before
    cost = json.loads(
        chunk_paths(study(), layout_of(study(), tmp_path))[0].with_suffix(".cost").read_text()
    )
    assert 0.0 <= cost["core_seconds"] <= took + 0.001


def test_an_outdated_record_is_no_chunk_done(tmp_path):
    path = tmp_path / "study.yaml"
    text = "model: linear\nsolver: particles\noptions: {n_neurons: 64, t_end: 1.0, records: 4}\n"
    path.write_text(text)
    run_study(path, tmp_path)
    now = {"study": outline(str(path), tmp_path)}
    assert "study 1/1 chunks" in progress_line(now, 1.0, 0.0)
    path.write_text(text + "seed: 5\n")
    now = {"study": outline(str(path), tmp_path)}
    assert "study 0/1 chunks" in progress_line(now, 1.0, 0.0)


def test_pages_of_another_study_are_not_current(tmp_path):
    path = tmp_path / "study.yaml"
    text = "model: linear\nsolver: particles\nreference: moments\nstatistics: [agreement]\n"
    path.write_text(text + "replicas: 16\nfigures: [agreement_scores]\n")
    run_study(path, tmp_path)
    home = tmp_path / "study"
    current = current_pages(outlines([str(path)], tmp_path))
    assert {Path(page).relative_to(home).as_posix() for page in current} == {
        "tables/runs.html",
        "tables/agreement.html",
        "figures/agreement_scores.svg",
    }
    path.write_text(text + "replicas: 16\nfigures: [agreement_scores]\nfailed_share: 0.2\n")
    assert current_pages(outlines([str(path)], tmp_path)) == []


def zipped(name: str) -> dict[str, Any]:
    return {name: {"zip": {"eps": [0.1, 0.05], "leak": [1.0, 2.0]}}}


@pytest.mark.parametrize(
    "name",
    [
        "state_mean",
        "reference_state_mean",
        "reference_status",
        "z_mean",
        "quantity",
        "level",
        "sample",
    ],
)
def test_an_axis_has_not_the_name_of_a_result(name):
    with pytest.raises(StudyError, match="is the name of a result") as caught:
        study(grid=zipped(name))
    assert caught.value.key == f"grid.{name}"


FITZHUGH = {"model": "fitzhugh_nagumo", "reference": "limit"}


def fitted(*names: str) -> list[Any]:
    return ["concentration", "profile", {"convergence_rate": {"of": list(names)}}]


@pytest.mark.parametrize(
    ("of", "expect", "part"),
    [
        (["voltage_mean"], {"voltage_shape": {"order": 2.0}}, "expect.voltage_shape: no table"),
        (["voltage_mean"], {"order": {"order": 2.0}}, "expect.order: no table"),
        (["status"], {}, "status: a flag or a count"),
        (["histogram"], {}, "histogram: a flag or a count"),
        (["voltage_mean", "voltage_mean"], {}, "listed twice: voltage_mean"),
    ],
)
def test_expectations_nobody_reads_and_quantities_without_an_order(of, expect, part):
    with pytest.raises(StudyError, match=part):
        study(**FITZHUGH, statistics=fitted(*of), expect=expect)
    study(**FITZHUGH, statistics=fitted("voltage_mean"), expect={"voltage_mean": {"order": 1.0}})


def test_a_dataset_larger_than_memory_is_refused(tmp_path, monkeypatch):
    one = study(replicas=20_000, chunk_seconds=0.01)
    the_plan = planning.plan(one)
    assert the_plan.memory < the_plan.dataset
    monkeypatch.setattr("neurolim.allocation.memory", lambda: the_plan.dataset - 1)
    with pytest.raises(StudyError, match="its statistics need"):
        planning.check_fit(one, tmp_path)
    monkeypatch.setattr("neurolim.allocation.memory", lambda: the_plan.dataset)
    planning.check_fit(one, tmp_path)


@pytest.mark.parametrize("named", [None, [], "linear.yaml", [3]])
def test_a_configuration_without_studies_is_refused(named):
    with pytest.raises(StudyError, match="studies: got"):
        study_files({"studies": named})


def test_the_report_says_the_verdict_of_any_table():
    one = study()
    rows = (
        Row({}, contains(0.5, 0.4, 0.6, 0.45), at={"scheme": "bridge", "eps": 0.1}),
        Row({}, Verdict(Kind.UNDECIDED, reason="no replicas"), "barrier"),
        Row({}),
    )
    assert _sentences(one, Table("bias", (), rows)) == [
        "scheme=bridge, eps=0.1: measured 0.5 [0.4, 0.6], expected 0.45: agrees (contains 0.45)",
        "barrier: undecided (no replicas)",
    ]


def test_a_figure_that_cannot_be_drawn_names_its_error_and_is_tried_again(tmp_path, monkeypatch):
    one = study(figures=["agreement_scores", "trajectories"])
    layout = layout_of(one, tmp_path)
    drawn: list[str] = []
    broken = [True]
    figure_of = results.figure_of

    def figure(study: Study, name: str, *more: Any) -> Any:
        drawn.append(name)
        if name == "agreement_scores" and broken[0]:
            raise ValueError("no room for $x_$")
        return figure_of(study, name, *more)

    monkeypatch.setattr(analysis, "figure_of", figure)
    with pytest.raises(StudyError, match=r"figures/agreement_scores: ValueError.*no room"):
        run_study(one, tmp_path)
    assert "no room" in (layout.home / "figures" / "agreement_scores.svg").read_text()
    assert "figures/agreement_scores.svg failed: ValueError" in status_of(one, tmp_path)
    whole = (layout.home / "figures" / "trajectories.svg").read_bytes()

    broken[0] = False
    drawn.clear()
    analyse(one, tmp_path)
    assert drawn == ["agreement_scores"]
    assert "failed" not in status_of(one, tmp_path)
    # What was altered or lost is made again, and nothing else.
    (layout.home / "figures" / "trajectories.svg").write_text("<svg/>")
    assert "trajectories.svg stale" in status_of(one, tmp_path, check=True)
    (layout.home / "tables" / "agreement.tex").unlink()
    drawn.clear()
    analyse(one, tmp_path)
    assert drawn == ["trajectories"]
    assert (layout.home / "figures" / "trajectories.svg").read_bytes() == whole
    assert (layout.home / "tables" / "agreement.tex").is_file()


def test_statistics_and_pages_of_other_data_are_not_current(tmp_path):
    one, other = study(seed=1, figures=["trajectories"]), study(seed=2, figures=["trajectories"])
    run_study(one, tmp_path)
    layout = layout_of(one, tmp_path)
    (runs,) = planning.plan(other).chunks
    simulate(other, runs, chunk_paths(other, layout)[0])
    collect(other, tmp_path)
    # Nothing but the dataset is of the second seed.
    digests = stage_digests(other)
    assert not analysis.is_analysed(layout, digests)
    pages = analysis.all_pages(other)
    assert [page.key for page in analysis.current_pages(layout, digests, pages)] == ["tables/runs"]
    assert "statistics stale" in status_of(other, tmp_path)
    drawn = (layout.home / "figures" / "trajectories.svg").read_bytes()
    analyse(other, tmp_path)
    assert analysis.current_pages(layout, digests, pages, check=True) == list(pages)
    assert (layout.home / "figures" / "trajectories.svg").read_bytes() != drawn


def test_a_figure_of_the_data_follows_them_where_no_statistic_does(tmp_path):
    def drawn(eps: float) -> bytes:
        one = study(grid={"eps": [eps]}, statistics=None, figures=["trajectories"])
        run_study(one, tmp_path)
        return (layout_of(one, tmp_path).home / "figures" / "trajectories.svg").read_bytes()

    assert drawn(0.1) != drawn(0.4)


def test_an_altered_table_of_failures_is_noticed_and_made_again(tmp_path):
    one = study()
    run_study(one, tmp_path)
    path = layout_of(one, tmp_path).home / "tables" / "runs.csv"
    whole = path.read_bytes()
    path.write_text("item,count\nruns,999\n")
    assert "tables/runs.csv stale" in status_of(one, tmp_path, check=True)
    collect(one, tmp_path)
    assert path.read_bytes() == whole


def test_rules_of_verdicts_are_in_no_digest_of_a_simulation(monkeypatch):
    one = study(figures=["agreement_scores"])
    (runs,) = planning.plan(one).chunks
    before, simulated = stage_digests(one), simulation_digest(one, runs)
    parsed = provenance._parsed

    def edited(module: str) -> Any:
        digest, imported = parsed(module)
        return (digest + "edited" if module == "neurolim.core.verdict" else digest), imported

    monkeypatch.setattr(provenance, "_parsed", edited)
    assert simulation_digest(one, runs) == simulated
    after = stage_digests(one)
    assert after["collect"] == before["collect"]
    assert after["tables/agreement"] != before["tables/agreement"]


FIGURE = """
from neurolim.core import Figure

FIGURE = Figure("Nothing.", (), lambda options, variables: (), lambda *_: None, lambda: None)
"""


def test_editing_how_figures_are_saved_makes_those_of_files_again(tmp_path, monkeypatch):
    (tmp_path / "plain.py").write_text(FIGURE)
    one = study(figures=[str(tmp_path / "plain.py")])
    before = stage_digests(one)
    parsed = provenance._parsed

    def edited(module: str) -> Any:
        digest, imported = parsed(module)
        return (digest + "edited" if module == "neurolim.figures.parts.style" else digest), imported

    monkeypatch.setattr(provenance, "_parsed", edited)
    after = stage_digests(one)
    assert {stage for stage in before if before[stage] != after[stage]} == {"figures/plain"}


def test_a_dataset_that_is_current_is_not_written_again(tmp_path):
    run_study(study(), tmp_path)
    path = layout_of(study(), tmp_path).data
    before = path.stat()
    collect(study(), tmp_path)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
