"""A map that refines itself, through Snakemake: levels in order, the bits of the full grid."""

from __future__ import annotations

import os

import pytest
import xarray as xr
from tests.running import files_of, start
from tests.texts import yaml_of

from neurolim.api import run_study
from neurolim.core import Status
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.layout import layout_of
from neurolim.store import store
from neurolim.study import plan as chunks
from neurolim.study.read import load_study

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

MAP = {
    "model": "fitzhugh_nagumo",
    "solver": "reduced",
    "reference": "equilibria",
    "params": {"b": 0.1, "sigma": 1.0, "eps": 0.01},
    "options": {"n_neurons": 500, "dt": 0.05, "t_end": 240.0, "records": 1, "trace_every": 10},
    "grid": {
        "current": {"linspace": [0.0, 4.0, 5]},
        "a": {"linspace": [0.02, 0.3, 5]},
        "start": {"zip": {"voltage_start": [0.0, 3.5], "recovery_start": [3.0, 0.0]}},
    },
    "seed": 4,
    "statistics": [{"regime": {"after": 100.0, "starts": "start"}}],
    "figures": ["phase_diagram"],
}
REFINE = {"axes": ["current", "a"], "by": "regime", "levels": 2}


def run(path, results):
    """Run a study with the command and return what it said."""
    command = start("run", path, "--cores", "2", "--results", results, "--no-report")
    said, _ = command.communicate(timeout=600)
    assert command.returncode == 0, said
    return said


def test_snakemake_refines_a_map_level_by_level_with_the_bits_of_the_full_grid(tmp_path):
    path = tmp_path / "refined.yaml"
    path.write_text(yaml_of(MAP | {"refine": REFINE}))
    (tmp_path / "full.yaml").write_text(yaml_of(MAP))
    run(path, tmp_path / "workflow")
    study = load_study(path)
    levels = [chunks.level_of(study, runs) for runs in chunks.plan(study).chunks]
    assert levels == [0, 1, 2]

    # The same bytes without Snakemake, and, where simulated, the numbers of the full grid.
    refined = run_study(study, tmp_path / "library")
    assert (
        files_of(tmp_path / "workflow" / "refined")["data.zip"]
        == (tmp_path / "library" / "refined" / "data.zip").read_bytes()
    )
    full = run_study(tmp_path / "full.yaml", tmp_path / "library")
    done = refined["status"] == int(Status.OK)
    assert 0.3 < float(done.mean()) < 0.9
    xr.testing.assert_equal(refined["trace"].where(done), full["trace"].where(done))
    skipped = refined["status"].where(~done, int(Status.SKIPPED))
    assert (skipped == int(Status.SKIPPED)).all()

    # A finer chunk that was lost is made again, alone, with the same bytes.
    files = chunk_paths(study, layout_of(study, tmp_path / "workflow"))
    before = [(store.sha256(file), os.stat(file).st_mtime_ns) for file in files]
    files[2].unlink()
    run(path, tmp_path / "workflow")
    after = [(store.sha256(file), os.stat(file).st_mtime_ns) for file in files]
    assert after[:2] == before[:2]
    assert after[2][0] == before[2][0]
    assert after[2][1] > before[2][1]
