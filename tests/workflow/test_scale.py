"""Scale: a million points are planned in a minute, and 50 GiB are opened without being read."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tests.running import ROOT, environment

from neurolim.stages import chunk_path, load_study, open_lazily, run_study
from neurolim.sweep import store
from neurolim.sweep.assemble import chunk_dataset
from neurolim.sweep.chunks import dims_of, output_bytes, plan, variables_of

MILLION = """
model: fitzhugh_nagumo
solver: particles
options: {n_neurons: 1000, dt: 0.01, t_end: 100.0, records: 5}
grid:
  eps: {logspace: [1.0e-4, 1.0e-1, 1000]}
  current: {linspace: [0.0, 1.0, 1000]}
seed: 1
"""
WIDE = """
model: linear
solver: moments
options: {t_end: 1.0, records: 1000}
grid:
  eps: {logspace: [1.0e-3, 1.0e-1, 1000]}
  current: {linspace: [0.0, 1.0, 700]}
chunk_seconds: 1.0e+6
"""


@pytest.mark.workflow
@pytest.mark.slow
@pytest.mark.ci
def test_plan_and_graph_of_a_million_points_take_a_minute_and_two_gib(tmp_path):
    study = tmp_path / "million.yaml"
    study.write_text(MILLION)
    loaded = load_study(study)
    the_plan = plan(loaded)
    assert the_plan.points == 1_000_000
    assert len(the_plan.chunks) == 1000
    config = ["--config", f"results={tmp_path}/results", f"studies=[{study}]"]
    words = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--quiet", *config]
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words, cwd=ROOT, env=environment(), stdout=stream, stderr=subprocess.STDOUT
        )
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = code
    text = log.read_text()
    assert code == 0, text
    print(f"{usage.ru_utime + usage.ru_stime:.1f} s, {usage.ru_maxrss / 1024:.0f} MiB")
    # Processor time: what others do on the machine does not count.
    assert usage.ru_utime + usage.ru_stime < 60.0
    assert usage.ru_maxrss < 2 * 2**20


@pytest.fixture
def wide(tmp_path):
    """Return a study of 50 GiB whose chunk files hold only zeros, which take no space."""
    study = tmp_path / "wide.yaml"
    study.write_text(WIDE)
    loaded = load_study(study)
    outputs, _ = variables_of(loaded)
    lengths = {name: len(coord.values) for name, coord in dims_of(loaded).items()}
    for number, runs in enumerate(plan(loaded).chunks):
        arrays = {
            var.name: np.broadcast_to(
                np.zeros((), var.dtype), (len(runs), *(lengths[dim] for dim in var.dims))
            )
            for var in outputs
        }
        arrays["status"] = np.broadcast_to(np.int8(0), (len(runs),))
        template = chunk_dataset(arrays, {}, runs)
        _write_sparse(chunk_path(loaded, tmp_path / "results", number), template)
    return loaded, tmp_path / "results"


def _write_sparse(path, dataset):
    """Write a chunk file as the pipeline would, leaving out everything that is zero."""
    import zarr
    from zarr.storage import MemoryStore

    from neurolim.sweep.zipped import write_zip

    entries: dict[str, Any] = {}
    group = zarr.open_group(MemoryStore(entries), mode="w", zarr_format=3)
    for name, variable in dataset.variables.items():
        group.create_array(
            str(name),
            shape=variable.shape,
            chunks=store._chunks(dataset[name]),
            dtype=variable.dtype,
            dimension_names=[str(dim) for dim in variable.dims],
        )
    group.attrs.update(dataset.attrs)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        write_zip(stream, ((name, entry.to_bytes()) for name, entry in entries.items()))


def test_fifty_gib_are_opened_and_looked_into_without_being_read(wide):
    study, results = wide
    assert study.n_runs * output_bytes(study)[0] > 50 * 2**30
    dataset = open_lazily(study, results)
    assert dataset.nbytes > 50 * 2**30
    assert dataset["mean"].dims[:2] == ("eps", "current")
    some = dataset["mean"].isel(eps=[0, 999], current=slice(0, 700, 350), time=-1)
    assert some.shape[:2] == (2, 2)
    assert float(abs(some).sum()) == 0.0


def test_lazily_opened_data_are_the_collected_ones(mapping, tmp_path):
    from neurolim.sweep.study import parse_study

    words = {"chunk_seconds": 1e-6, "figures": [], "statistics": [], "expect": {}}
    study = parse_study(mapping | words, "small")
    collected = run_study(study, tmp_path)
    lazy = open_lazily(study, tmp_path)
    xr.testing.assert_identical(lazy.load(), collected.load())
    lazy = open_lazily(study, tmp_path)
    for key in ({"eps": 1}, {"sigma": 0, "replica": [2, 0]}, {"time": slice(1, 3), "eps": [2, 0]}):
        xr.testing.assert_identical(lazy["mean"].isel(key), collected["mean"].isel(key))
