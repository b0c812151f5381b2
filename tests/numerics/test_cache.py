"""Compiled kernels: the ones that were asked for, and the same bits on every processor."""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from neurolim import files

PROGRAM = """
import hashlib, sys
from neurolim import solve
for word in sys.argv[1:]:
    name, scheme, normals = word.split(":")
    found = solve(name, "particles", {}, {"n_neurons": 700, "t_end": 0.1, "records": 2, "dt": 0.01,
                                          "scheme": scheme, "normals": normals, "states": True,
                                          }, seed=4)
    total = hashlib.sha256()
    for variable in sorted(found.data_vars):
        total.update(found[variable].values.tobytes())
    print(word, total.hexdigest())
"""


def hashes(folder, *models, **more):
    """Return a hash of the result of each model, computed in a fresh process."""
    text = subprocess.run(
        [sys.executable, "-c", PROGRAM, *models],
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder)} | more,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(line.split() for line in text.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("fitzhugh_nagumo:exponential:float32",), marks=pytest.mark.ci),
        ("morris_lecar:euler_maruyama:float32", "balanced:euler_maruyama:float64"),
        ("balanced:exponential:float32", "linear:exponential:float64"),
    ],
    ids=["sampled", "two-models", "mean-modes"],
)
def test_results_have_the_same_bits_on_baseline_and_vector_processors(words, tmp_path):
    here = hashes(tmp_path, *words)
    for processor in ("generic", "haswell", "skylake-avx512"):
        # Code for a processor the machine does not have could not run; these are subsets of it
        # only on x86, and the widest is tried only where it exists.
        if platform.machine() != "x86_64":
            pytest.skip("instruction sets are those of x86-64")
        if processor == "skylake-avx512" and "avx512f" not in Path("/proc/cpuinfo").read_text():
            continue
        there = hashes(tmp_path, *words, NUMBA_CPU_NAME=processor, NUMBA_CPU_FEATURES="")
        assert there == here, processor


@pytest.mark.slow
@pytest.mark.ci
def test_cached_and_fresh_kernels_of_several_models_do_not_mix(tmp_path):
    words = [f"{name}:euler_maruyama:float32" for name in ("linear", "fitzhugh_nagumo", "balanced")]
    first = hashes(tmp_path, words[0])
    # Compiled in the order opposite to the cache's, so that counters of names coincide.
    second = hashes(tmp_path, words[1], words[0], words[2])
    third = hashes(tmp_path, words[2], words[1], words[0])
    assert any(tmp_path.rglob("*.nbi"))
    assert first[words[0]] == second[words[0]] == third[words[0]]
    assert second == third
    assert len(set(third.values())) == 3


def test_what_is_damaged_or_of_another_version_is_compiled_anew(tmp_path, monkeypatch):
    # An index of compiled code holds types, which a later version may no longer have.
    program = (
        "from numba import njit\n"
        "from neurolim.numerics.cache import keep_compiled\n"
        "@njit\n"
        "def double(x):\n"
        "    return 2.0 * x\n"
        "keep_compiled(double, 'key')\n"
    )
    (tmp_path / "doubling.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))

    def once():
        """Return (twice three, how often code was found on disk), by a function made anew."""
        sys.modules.pop("doubling", None)
        double = importlib.import_module("doubling").double
        return double(3.0), sum(double.stats.cache_hits.values())

    compiled, found = (6.0, 0), (6.0, 1)
    assert [once(), once()] == [compiled, found]
    (index,) = (tmp_path / "cache").rglob("*.nbi")
    (code,) = (tmp_path / "cache").rglob("*.nbc")
    for file in (index, code):
        whole = file.read_bytes()
        bit = bytearray(whole)
        bit[-99] ^= 1
        gone = b"cnowhere\nGone\n."
        for damage in (b"", whole[:1], whole[:-1], bytes(bit), b"half a file", b"x" * 10**5):
            file.write_bytes(damage)
            assert [once(), once()] == [compiled, found], damage[:20]
        file.write_bytes(hashlib.sha256(gone).digest() + gone)
        assert [once(), once()] == [compiled, found]
    # What cannot be kept is compiled, that is all.
    for file in (index, code):
        file.unlink()

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files, "beside", full)
    assert [once(), once()] == [compiled, compiled]
    del sys.modules["doubling"]
