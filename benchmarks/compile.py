"""CPU seconds to compile a kernel for the first time, and to find it on disk the second.

    python benchmarks/compile.py [MODEL ...]

Every kernel is compiled in a process of its own with an empty cache, then loaded by another one.
What is printed is CPU time of the process less that of a process that only imports: what every
new model, and every machine, pays once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

PROGRAM = """
import sys, time
from neurolim import solve
name, scheme = sys.argv[1:]
begin = time.process_time()
solve(name, "particles", {}, {"scheme": scheme, "t_end": 0.01, "records": 1, "dt": 1e-3,
                              "n_neurons": 100})
print(time.process_time() - begin)
"""
#: The budget of the architecture, CPU seconds on an idle machine.
BUDGET = {"euler_maruyama": 8.0, "exponential": 15.0}


def seconds(name: str, scheme: str, folder: str) -> float:
    """Return the CPU seconds of a first solve in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, scheme],
        env=os.environ | {"NUMBA_CACHE_DIR": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    names = sys.argv[1:] or ["linear", "fitzhugh_nagumo", "morris_lecar", "balanced"]
    print(f"{'model':20}{'scheme':18}{'cold':>8}{'warm':>8}{'budget':>8}")
    for name in names:
        for scheme, budget in BUDGET.items():
            with tempfile.TemporaryDirectory() as folder:
                cold = seconds(name, scheme, folder)
                warm = seconds(name, scheme, folder)
            print(f"{name:20}{scheme:18}{cold:8.1f}{warm:8.2f}{budget:8.0f}")


if __name__ == "__main__":
    main()
