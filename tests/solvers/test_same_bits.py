"""One dataset, however the work was cut up; and memory that does not grow with the steps."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import xarray as xr
from tests.texts import yaml_of

from neurolim import run_study, solve
from neurolim.solvers.network import particles

STUDY = {
    "title": "Cut up",
    "model": "fitzhugh_nagumo",
    "solver": "particles",
    "params": {"recovery_noise": 0.1},
    "options": {"n_neurons": 300, "dt": 0.01, "t_end": 1.0, "records": 4},
    "grid": {"eps": {"inverse": [10, 20, 50]}, "current": [0.0, 1.0]},
    "replicas": 3,
    "seed": 11,
}


def digest(folder, workers, chunk_seconds):
    path = folder / "cut.yaml"
    path.write_text(yaml_of(STUDY | {"chunk_seconds": chunk_seconds}))
    results = folder / f"{workers}-{chunk_seconds}"
    run_study(path, results, workers=workers)
    chunks = len(list((results / "cut" / "chunks").glob("*.zip")))
    return chunks, hashlib.sha256((results / "cut" / "data.zip").read_bytes()).hexdigest()


def test_a_dataset_has_the_same_digest_for_any_workers_and_chunks(tmp_path):
    cases = [(1, 1e6), (2, 1e6), (1, 1e-3), (2, 2e-3)]
    found = [digest(tmp_path, *case) for case in cases]
    assert len({chunks for chunks, _ in found}) >= 2
    assert len({sha for _, sha in found}) == 1


@pytest.mark.parametrize("scheme", ["euler_maruyama", "exponential"])
def test_calls_of_any_length_give_the_same_bits(scheme, monkeypatch):
    options = {
        "n_neurons": 300, "dt": 0.01, "t_end": 1.0, "records": 4, "scheme": scheme,
        "trace_every": 10, "states": True,
    }  # fmt: skip

    def found():
        return solve("fitzhugh_nagumo", "particles", {"eps": 0.05}, options, replicas=2)

    whole = found()
    for steps in (1, 7, 25):
        monkeypatch.setattr(
            particles, "_step_seconds", lambda *words, steps=steps: 1.0 / (steps + 0.5)
        )
        xr.testing.assert_identical(found().drop_attrs(), whole.drop_attrs())


PROGRAM = """
import resource
from neurolim import solve
def run(steps):
    solve("fitzhugh_nagumo", "particles", {}, {"n_neurons": 64, "dt": 1e-3, "t_end": steps * 1e-3,
        "records": 1, "scheme": "%s"})
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(10)
print(run(100), run(100_000))
"""


@pytest.mark.parametrize("scheme", ["euler_maruyama", "exponential"])
def test_memory_does_not_grow_with_the_number_of_steps(scheme):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM % scheme], capture_output=True, text=True, check=True
    )
    short, long = map(int, done.stdout.split())
    # A byte per step would be 100 KiB; allocators round.
    assert long - short <= 64
