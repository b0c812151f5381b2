"""One thread, one picture backend and repeatable examples, before any test module is imported."""

import os

for variable in (
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
):
    os.environ[variable] = "1"
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import settings  # noqa: E402 (numpy may be loaded only now)

# No clock and no memory of earlier runs: the same examples pass or fail everywhere.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
