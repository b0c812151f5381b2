"""Scale: a million points are planned in a minute, and 50 GiB are opened without being read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from tests.running import ROOT, environment
from zarr.storage import MemoryStore

from neurolim.api import run_study
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.collect import open_lazily
from neurolim.pipeline.digests import simulation_digest
from neurolim.pipeline.layout import layout_of
from neurolim.store import store
from neurolim.store.assemble import chunk_dataset
from neurolim.store.zipped import write_zip
from neurolim.study.plan import dims_of, output_bytes, plan, variables_of
from neurolim.study.read import load_study

MILLION = """
model: fitzhugh_nagumo
solver: particles
options: {n_neurons: 1000, dt: 0.01, t_end: 100.0, records: 5}
grid:
  eps: {logspace: [1.0e-4, 1.0e-1, 1000]}
  current: {linspace: [0.0, 1.0, 1000]}
seed: 1
# As many jobs as there may be, nearly.
chunk_seconds: 46
"""
WIDE = """
model: linear
solver: moments
options: {t_end: 1.0, records: 1000}
grid:
  eps: {logspace: [1.0e-3, 1.0e-1, 1000]}
  current: {linspace: [0.0, 1.0, 700]}
chunk_seconds: 600
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
    assert 900 <= len(the_plan.chunks) <= 1000
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
    """Return (study file, results) of 50 GiB of zeros, which take no space, but for a mark.

    The mark is the number of the chunk, in the mean of its last point.
    """
    path = tmp_path / "wide.yaml"
    path.write_text(WIDE)
    study = load_study(path)
    outputs, _ = variables_of(study)
    lengths = {name: len(coord.values) for name, coord in dims_of(study).items()}
    paths = chunk_paths(study, layout_of(study, tmp_path / "results"))
    for number, (target, runs) in enumerate(zip(paths, plan(study).chunks, strict=True)):
        arrays = {
            var.name: np.broadcast_to(
                np.zeros((), var.dtype), (len(runs), *(lengths[dim] for dim in var.dims))
            )
            for var in outputs
        }
        arrays["status"] = np.broadcast_to(np.int8(0), (len(runs),))
        _write_sparse(target, chunk_dataset(arrays, {}, runs, {}, {}), number)
        digest = simulation_digest(study, runs)
        store.write_record(target, {"sha256": store.sha256(target), "digest": digest})
    return path, tmp_path / "results"


def _write_sparse(path, dataset, mark):
    """Write a chunk file as the pipeline would, leaving out everything that is zero."""
    entries: dict[str, Any] = {}
    group = zarr.open_group(MemoryStore(entries), mode="w", zarr_format=3)
    for name, variable in dataset.variables.items():
        array = group.create_array(
            str(name),
            shape=variable.shape,
            chunks=store._chunks(variable),
            dtype=variable.dtype,
            dimension_names=[str(dim) for dim in variable.dims],
        )
        if name == "state_mean":
            array[-1] = mark
    group.attrs.update(dataset.attrs)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        write_zip(stream, ((name, entry.to_bytes()) for name, entry in entries.items()))


def check_marks(study, dataset):
    """Check size and, in the last point of every chunk and the one after, the mean."""
    assert dataset.nbytes > 50 * 2**30
    assert dataset["state_mean"].dims[:2] == ("eps", "current")
    chunks = plan(study).chunks
    for number in range(0, len(chunks), 7):
        for run, value in ((chunks[number].stop - 1, number), (chunks[number].start, 0)):
            eps, current = np.unravel_index(run, study.shape)
            found = dataset["state_mean"].isel(
                eps=eps, current=current, time=slice(None, None, 500)
            )
            assert (found == value).all()


def test_fifty_gib_are_opened_and_looked_into_without_being_read(wide):
    path, results = wide
    study = load_study(path)
    assert study.n_runs * output_bytes(study)[0] > 50 * 2**30
    check_marks(study, open_lazily(study, results))


@pytest.mark.slow
def test_fifty_gib_are_collected_in_less_memory_than_the_job_asks_for(wide):
    path, results = wide
    output = results / "wide" / "data.zip"
    words = [sys.executable, "-m", "neurolim", "collect", str(path), "--results", str(results)]
    process = subprocess.Popen(words, cwd=ROOT, env=environment())
    _, process.returncode, usage = os.wait4(process.pid, 0)
    assert process.returncode == 0
    print(f"{usage.ru_utime + usage.ru_stime:.0f} s, {usage.ru_maxrss / 1024:.0f} MiB")
    rule = (ROOT / "workflow" / "rules" / "analyse.smk").read_text().split("collect_")[1]
    asked = re.search(r"mem_mb=(\d+)", rule)
    assert asked
    assert usage.ru_maxrss < int(asked[1]) * 2**10
    with store.open_checked(output) as dataset:
        check_marks(load_study(path), dataset)


def test_lazily_opened_data_are_the_collected_ones(mapping, tmp_path):
    from neurolim.study.read import parse_study

    words = {"chunk_seconds": 1e-6, "figures": [], "statistics": [], "expect": {}}
    study = parse_study(mapping | words, "small")
    collected = run_study(study, tmp_path)
    lazy = open_lazily(study, tmp_path)
    xr.testing.assert_identical(lazy.load(), collected.load())
    lazy = open_lazily(study, tmp_path)
    for key in ({"eps": 1}, {"sigma": 0, "replica": [2, 0]}, {"time": slice(1, 3), "eps": [2, 0]}):
        xr.testing.assert_identical(lazy["state_mean"].isel(key), collected["state_mean"].isel(key))
