"""Libraries that choose instructions by processor are told to use what all processors have."""

import json
import os
import subprocess
import sys

import pytest

from neurolim import processor

PROGRAM = """
import ctypes, glob, json, os, sys
{first}
import neurolim
from neurolim import processor, provenance
import numpy, scipy.linalg
cores = []
for package in (numpy, scipy):
    folder = os.path.join(os.path.dirname(package.__file__), "..", package.__name__ + ".libs")
    for path in glob.glob(os.path.join(folder, "libscipy_openblas*")):
        library = ctypes.CDLL(path)
        for name in ("scipy_openblas_get_corename64_", "scipy_openblas_get_corename"):
            if hasattr(library, name):
                function = getattr(library, name)
                function.restype = ctypes.c_char_p
                cores.append(function().decode())
features = numpy._core._multiarray_umath.__cpu_features__
print(json.dumps([cores, bool(features.get("X86_V3")), processor.IS_COMMON,
                  provenance.software().get("instructions", "")]))
"""

pytestmark = pytest.mark.skipif(not processor.VARIABLES, reason="not an x86-64 processor")


def told(first="", **variables):
    """Return (BLAS cores, has wide numpy, common, what the record says) of a new process."""
    clean = {name: value for name, value in os.environ.items() if name not in processor.VARIABLES}
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", PROGRAM.format(first=first)],
        env=clean | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_process_that_begins_with_neurolim_uses_common_instructions():
    cores, wide, common, said = told()
    assert cores
    assert set(cores) == {"Nehalem"}
    assert not wide
    assert common
    assert said == ""


def test_a_process_that_loaded_numpy_before_says_that_its_bits_may_be_its_own():
    _, _, common, said = told(first="import numpy")
    assert not common
    assert said == "this processor's own"


def test_what_somebody_chose_is_left_and_said():
    cores, _, common, said = told(OPENBLAS_CORETYPE="Prescott")
    assert "Nehalem" not in cores
    assert not common
    assert said


def test_tests_compute_as_jobs_do():
    assert processor.IS_COMMON
    assert "OPENBLAS_CORETYPE='Nehalem'" in processor.told()
