"""Two cores against one, and the pipeline against its kernels.

    .venv/bin/python benchmarks/cores.py [--minutes 10]

A sweep of 200 cells (n = 500, 20 000 steps) is solved by the sweep engine with one thread and with
two.  Then a study of that many core-minutes goes through `neurolim run` (Snakemake, dask, compile,
zarr, statistics) and its wall time is compared with that of its kernels alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

from neurolim.pipeline.engine import Engine, Task, run_tasks
from neurolim.study import plan as planning
from neurolim.study.read import parse_study

CELLS = {
    "model": "fitzhugh_nagumo",
    "solver": "particles",
    "params": {"eps": 0.01},
    "options": {
        "n_neurons": 500, "dt": 1e-3, "t_end": 20.0, "records": 20, "scheme": "euler_maruyama",
    },
    "grid": {
        "current": {"linspace": [0.0, 4.0, 20]},
        "a": {"linspace": [0.1, 1.0, 10]},
    },
}  # fmt: skip


def sweep(workers: int) -> float:
    """Return the seconds that 200 cells take with this many threads."""
    study = parse_study(CELLS)
    tasks = [
        Task(
            study.spec.model,
            study.spec.solver,
            t["params"],
            t["options"],
            t["key"],
            t["first"],
            t["last"],
        )
        for t in planning.tasks_of(study, range(study.n_runs))
    ]
    engine = Engine(workers=workers)
    run_tasks(tasks[:2], engine)
    begin = time.perf_counter()
    run_tasks(tasks, engine)
    return time.perf_counter() - begin


def pipeline(minutes: float, cores: int) -> tuple[float, float]:
    """Return wall seconds of a study of that many core-minutes, and core-seconds of its kernels."""
    study = parse_study(CELLS)
    model, solver = study.model, study.solver

    def kernels(points: range) -> float:
        begin = time.perf_counter()
        for point in points:
            solver.solve(
                model, study.params_at(point), study.options_at(point), study.key(point), range(1)
            )
        return (time.perf_counter() - begin) / len(points)

    kernels(range(1))
    each = kernels(range(0, study.n_points, 4))
    replicas = max(2, round(minutes * 60 / (each * study.n_points)))
    text = CELLS | {"replicas": replicas, "statistics": ["concentration"]}
    text |= {"title": "Cost of the pipeline", "claim": "none", "reference": "limit"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(text))
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "neurolim", "run", str(path), "--results", folder + "/results",
             "--cores", str(cores)],
            check=True, cwd=HERE.parent, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wall = time.perf_counter() - begin
    return wall, each * study.n_points * replicas


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    sweep(1)
    pairs = [(sweep(1), sweep(2)) for _ in range(5)]
    ratio = statistics.median(one / two for one, two in pairs)
    print(f"200 cells: one thread {pairs[0][0]:.2f} s, two {pairs[0][1]:.2f} s, {ratio:.2f} times")
    cores = min(2, os.cpu_count() or 1)
    wall, kernels = pipeline(options.minutes, cores)
    print(
        f"pipeline: {wall:.1f} s on {cores} cores for {kernels:.1f} core-seconds of kernels: "
        f"overhead {100 * (wall * cores / kernels - 1):.1f} %"
    )


if __name__ == "__main__":
    main()
