"""Adaptive maps: levels, corners, the same bits as the full grid, and what is left out."""

import shutil

import numpy as np
import pytest
import xarray as xr

from neurolim import core, provenance
from neurolim.api import run_study
from neurolim.core import Status, StudyError
from neurolim.pipeline.chunks import chunk_paths, forecast
from neurolim.pipeline.digests import simulation_digest
from neurolim.pipeline.layout import layout_of
from neurolim.pipeline.simulate import simulate
from neurolim.store import store
from neurolim.study import plan as chunks
from neurolim.study.read import parse_study
from neurolim.study.refine import corners, levels_of, wanted


def study(name, analysis=True, **more):
    mapping = {
        "model": "fitzhugh_nagumo",
        "solver": "reduced",
        "reference": "equilibria",
        "params": {"b": 0.1, "sigma": 1.0, "eps": 0.01},
        "options": {
            "n_neurons": 500, "dt": 0.05, "t_end": 240.0, "records": 1, "trace_every": 10
        },
        "grid": {
            "current": {"linspace": [0.0, 4.0, 5]},
            "a": {"linspace": [0.02, 0.3, 5]},
            "voltage_start": [0.0, 3.5],
        },
        "seed": 4,
        "statistics": [{"regime": {"after": 100.0, "starts": "voltage_start"}}],
        **more,
    }  # fmt: skip
    return parse_study(mapping, name, analysis=analysis)


REFINE = {"axes": ["current", "a"], "by": "regime", "levels": 2}


def test_levels_make_nested_lattices_that_hold_the_ends():
    level = levels_of((9, 6), 2)
    assert (level == 0).sum() == 3 * 3
    assert level[8, 5] == level[4, 4] == 0
    assert level[2, 4] == 1
    assert level[1, 0] == level[8, 3] == 2


def test_corners_are_coarser_and_surround_the_cell():
    shape = (9, 6)
    level = levels_of(shape, 2)
    for cell in map(tuple, np.argwhere(level > 0)):
        around = corners(cell, shape, level[cell], 2)
        assert (level[tuple(around.T)] < level[cell]).all()
        assert (around.min(axis=0) <= cell).all()
        assert (around.max(axis=0) >= cell).all()


def test_a_straight_border_is_found_at_full_resolution_in_few_cells():
    n, levels = 65, 4
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    truth = (3 * x + 2 * y > 150).astype(int)
    classes, known = np.zeros((n, n), int), np.zeros((n, n), bool)
    for level in range(levels + 1):
        picked = wanted(classes, known, level, levels)
        assert not (picked & known).any()
        known |= picked
        classes[picked] = truth[picked]
    assert known.mean() < 0.25
    # Every cell next to one of the other class was simulated or is enclosed by equal corners.
    border = np.zeros_like(known)
    border[1:] |= truth[1:] != truth[:-1]
    border[:-1] |= truth[1:] != truth[:-1]
    assert known[border].mean() > 0.9


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    home = tmp_path_factory.mktemp("maps")
    found = {}
    for one in (study("full"), study("refined", refine=REFINE, chunk_seconds=5.0)):
        found[one.name] = run_study(one, home)
    return home, found


def test_refined_cells_have_the_bits_of_the_full_grid(results):
    _, found = results
    full, refined = found["full"], found["refined"]
    done = refined["status"] == int(Status.OK)
    assert 0.3 < float(done.mean()) < 0.9
    assert (full["status"] == int(Status.OK)).all()
    for name in ("trace", "state_mean", "reference_equilibrium"):
        kept = done if "replica" in refined[name].dims else done.isel(replica=0)
        xr.testing.assert_equal(refined[name].where(kept), full[name].where(kept))
    skipped = refined["trace"].where(~done)
    assert skipped.isnull().all()


def test_map_says_what_was_simulated_and_loses_no_regime(results):
    home, found = results
    full, refined = found["full"], found["refined"]
    runs = refined["runs"].fillna(0) > 0
    assert (refined["regime"].where(runs) == full["regime"].where(runs)).where(runs, True).all()
    assert bool((runs == (refined["status"] == 0).any(["replica", "voltage_start"])).all())
    table = (home / "refined" / "tables" / "runs.csv").read_text()
    assert "SKIPPED" in table
    assert "failures,0" in table


def test_levels_are_further_chunks_and_depend_on_what_is_coarser(results):
    home, _ = results
    one = study("refined", refine=REFINE, chunk_seconds=5.0)
    plan = chunks.plan(one).chunks
    levels = [chunks.level_of(one, runs) for runs in plan]
    assert levels == sorted(levels)
    assert set(levels) == {0, 1, 2}
    assert sum(len(runs) for runs in plan) == one.n_runs
    assert chunks.earlier(one, plan[0]) == []
    assert chunks.earlier(one, plan[-1]) == [k for k, level in enumerate(levels) if level < 2]
    last = len(plan) - 1
    path = chunk_paths(one, layout_of(one, home))[last]
    before = store.sha256(path)
    simulate(one, plan[last], path)
    assert store.sha256(path) == before
    other = study("refined", refine=REFINE, chunk_seconds=5.0, statistics=[
        {"regime": {"after": 120.0, "starts": "voltage_start"}}])  # fmt: skip
    digests = [
        [simulation_digest(which, runs) for runs in (plan[0], plan[-1])] for which in (one, other)
    ]
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] != digests[1][1]


@pytest.mark.parametrize(
    ("module", "again"),
    [
        ("neurolim.pipeline.selection", True),
        ("neurolim.store.assemble", True),
        ("neurolim.study.refine", True),
        ("neurolim.statistics.spiking.regime", True),
        ("neurolim.store.store", False),
        ("neurolim.study.study", False),
    ],
)
def test_how_points_are_selected_is_in_the_digests_of_finer_levels(monkeypatch, module, again):
    one = study("refined", refine=REFINE, chunk_seconds=5.0)
    coarse, *_, fine = chunks.plan(one).chunks
    before = [simulation_digest(one, runs) for runs in (coarse, fine)]
    parsed = provenance._parsed

    def edited(name):
        digest, imported = parsed(name)
        return (digest + "edited" if name == module else digest), imported

    monkeypatch.setattr(provenance, "_parsed", edited)
    assert simulation_digest(one, coarse) == before[0]
    assert (simulation_digest(one, fine) != before[1]) == again


def test_a_level_with_nothing_to_refine_is_an_empty_chunk(tmp_path):
    # Far above the last bifurcation every network rests: corners agree, level 1 has no cell.
    high = {"current": [20.0, 21.0, 22.0], "a": [0.2, 0.25, 0.3]}
    found = run_study(
        study("still", grid=high, refine=REFINE | {"levels": 1}, statistics=["regime"]), tmp_path
    )
    status = found["status"].values
    assert (status == int(Status.SKIPPED)).sum() == 5
    assert (status == int(Status.OK)).sum() == 4


def test_curves_of_a_refined_map_have_no_gaps(results):
    _, found = results
    plugin = core.get("figure", "phase_diagram")
    picture = plugin.draw(found["refined"], {}, **core.resolve(plugin.options, {}))
    lines = {line.get_label(): line for line in picture.axes[0].lines}
    drawn = np.array(lines["Hopf"].get_data())
    known = (found["refined"]["status"] == 0).any(["replica", "voltage_start", "current"])
    assert drawn.shape == (2, int(known.sum()))
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"axes": ["sigma"]}, "no axis"),
        ({"axes": ["a", "a"]}, "twice"),
        ({"by": "mmo"}, "not a statistic"),
        ({"levels": 0}, "greater than"),
        ({"level": 2}, "unknown key"),
    ],
)
def test_refusals(change, word):
    with pytest.raises(StudyError, match=word):
        study("bad", refine=REFINE | change)
    # A job that simulates needs the class that refines its map.
    with pytest.raises(StudyError, match=word):
        study("bad", refine=REFINE | change, analysis=False)


def test_the_full_grid_takes_what_a_map_simulated_and_not_what_it_skipped(results, tmp_path):
    home, found = results
    shutil.copytree(home / "refined", tmp_path / "refined")
    full = study("refined", chunk_seconds=5.0)
    done = int((found["refined"]["status"] == int(Status.OK)).sum())
    assert 0 < done < full.n_runs
    assert forecast(full, layout_of(full, tmp_path)).kept == done
    data = run_study(full, tmp_path)
    assert data["trace"].identical(found["full"]["trace"])
    assert (data["reference_status"] == int(Status.OK)).all()
    costs = [path.with_suffix(".cost") for path in chunk_paths(full, layout_of(full, tmp_path))]
    assert sum(store.read_note(cost)["copied_runs"] for cost in costs) == done
