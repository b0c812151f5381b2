"""The same bits on every processor: libraries are told to use what all of them have.

numpy and its BLAS choose other instructions on other processors, and round otherwise with them.
Both read what they are told when they are loaded, so it has to be said before.  Kernels of
neurolim's own need none of this.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version

_X86 = ("x86_64", "AMD64")


def _told() -> dict[str, str]:
    """Return the variables that numpy and OpenBLAS read, by name; none where nothing is known."""
    if platform.machine() not in _X86:
        return {}
    names = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"
    if tuple(map(int, version("numpy").split(".")[:2])) < (2, 4):
        names = "AVX2 FMA3 AVX512F AVX512_SKX AVX512_ICL AVX512_SPR"
    # Both are what numpy itself asks of a processor: x86-64-v2.
    return {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": names}


#: What is to be in the environment of a process before it loads numpy.
VARIABLES = _told()


def _is_common() -> bool:
    """Tell numpy and BLAS, if they are not loaded yet; return whether they know."""
    if "numpy" not in sys.modules:
        for name, value in VARIABLES.items():
            os.environ.setdefault(name, value)
    return all(os.environ.get(name) == value for name, value in VARIABLES.items())


#: Whether this process computes with what all processors of its kind have.
IS_COMMON = _is_common()


def told() -> str:
    """Return how to start a process that computes as one of neurolim's own does."""
    return " ".join(f"{name}={value!r}" for name, value in VARIABLES.items())
