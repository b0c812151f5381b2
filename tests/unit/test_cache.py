"""Kernels kept on disk are the ones that were asked for, whatever else was compiled meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib, sys
from neurolim import solve
for name in sys.argv[1:]:
    found = solve(name, "particles", {}, {"n_neurons": 70, "t_end": 0.1, "records": 1, "dt": 0.01,
                                          "scheme": "euler_maruyama"}, seed=4)
    print(name, hashlib.sha256(found["mean"].values.tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.ci
def test_cached_and_fresh_kernels_of_several_models_do_not_mix(tmp_path):
    def run(*models):
        text = subprocess.run(
            [sys.executable, "-c", PROGRAM, *models],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return dict(line.split() for line in text.splitlines())

    first = run("linear")
    # Compiled in the order opposite to the cache's, so that counters of names coincide.
    second = run("fitzhugh_nagumo", "linear", "balanced")
    third = run("balanced", "fitzhugh_nagumo", "linear")
    assert any(tmp_path.rglob("*.nbi"))
    assert first["linear"] == second["linear"] == third["linear"]
    assert second == third
    assert len(set(third.values())) == 3
