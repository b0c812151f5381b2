"""Speed of the particle engine beside a hand-written C++ loop and beside peers, in one run.

    make bench          everything that is installed
    make bench-env      first, to have Brian2 and JAX

Implementations take turns in slices of some milliseconds, so that all of them see the same
machine; what is written is the median of each and the median of the ratios of neighbouring
slices.  Writes benchmarks/latest.json and, with --docs, the table in docs/performance.md.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

import numpy as np

from neurolim import core
from neurolim.kernels.records import Records
from neurolim.solvers.parts.steps import Engine

N, STEPS, ROUNDS, STEP = 5000, 100, 41, 1e-3
START = {"voltage_start": 3.9, "recovery_start": 1.3}
TWO = {"recovery_noise": 0.14142135623730953}


def reference(folder: str) -> Callable[[int, bool], float]:
    """Compile the C++ loop and return the function (steps, two noises) -> ns per neuron-step."""
    library = Path(folder) / "reference.so"
    source = HERE / "reference" / "euler_maruyama.cpp"
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.run(["g++", *flags, str(source), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).euler_maruyama
    function.restype = ctypes.c_double
    mean, variance = ctypes.c_double(), ctypes.c_double()
    return lambda steps, two: function(
        N, steps, int(two), ctypes.byref(mean), ctypes.byref(variance)
    )


def engine(
    model_name: str,
    scheme: str,
    given: dict[str, float],
    n: int = N,
    wide: bool = False,
    record: bool = False,
) -> Callable[[int], float]:
    """Return the function steps -> ns per neuron-step of the generic engine on one model."""
    model = core.get("model", model_name)
    sites = model.sites(core.resolve(model.params, given))
    engine = Engine(model, sites, scheme, n, STEP, wide)
    P, d = len(sites.labels), len(model.state)
    # The start is a record of its own: one after every 50 steps, or none until the very end.
    stride = 50 if record else 2**40
    times = 2 + (ROUNDS * STEPS) // 50 if record else 1
    records = Records(
        np.empty((times, P, d)),
        np.empty((times, P, d, d)),
        np.empty((times, P, d, 4)),
        np.empty((times, P, d, 5)),
        np.empty((times, P, d, 60), np.int32),
        np.empty((0, P, d, 0)),
        np.full((P, d), 0.1),
        -6.0,
        0.2,
        np.array([0.1, 0.25, 0.5, 0.75, 0.9]),
        np.empty((0, P, d)),
        0,
    )
    done = [0]

    def advance(steps: int) -> float:
        begin = time.perf_counter()
        engine.follow(1, 0, records, stride, done[0], done[0] + steps)
        done[0] += steps
        return (time.perf_counter() - begin) / (P * n * steps) * 1e9

    advance(2)
    return advance


def side_by_side(
    functions: dict[str, Callable[[int], float]], steps: int = STEPS
) -> dict[str, list[float]]:
    """Return the times of ROUNDS slices of each function, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            times[name].append(function(steps))
    return times


def peer(script: str, *words: object) -> float | None:
    """Return what a peer's script prints, or None where the peer is not installed."""
    python = HERE / ".venv" / "bin" / "python"
    program = [str(python) if python.exists() else sys.executable, str(HERE / "peers" / script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [*program, *map(str, words)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        print(f"{script}: not measured ({done.stderr.strip().splitlines()[-1]})")
        return None
    return float(done.stdout.split()[-1])


def measure() -> list[dict[str, object]]:
    """Run every comparison and return the rows of the table."""
    rows: list[dict[str, object]] = []

    def add(workload: str, implementation: str, ns: float | None, ratio: float | None) -> None:
        if ns is not None:
            rows.append(
                {"workload": workload, "implementation": implementation, "ns": round(ns, 4)}
                | ({} if ratio is None else {"ratio": round(ratio, 3)})
            )
            shown = "" if ratio is None else f"{ratio:8.2f} x"
            print(f"{workload:34s} {implementation:16s} {ns:8.3f} ns {shown}")

    def compare(workload: str, base: str, functions: dict[str, Callable[[int], float]]) -> None:
        times = side_by_side(functions)
        for name, values in times.items():
            ratios = [value / other for value, other in zip(values, times[base], strict=True)]
            add(workload, name, statistics.median(values), statistics.median(ratios))

    with tempfile.TemporaryDirectory() as folder:
        loop = reference(folder)
        euler = engine("fitzhugh_nagumo", "euler_maruyama", START)
        compare(
            "fhn-euler-maruyama",
            "reference-c++",
            {"reference-c++": lambda steps: loop(steps, False), "neurolim": euler},
        )
        for name, script, words in (
            ("numpy", "numpy_euler.py", ()),
            ("jax", "jax_euler.py", (64,)),
            ("jax-float32", "jax_euler.py", (32,)),
            ("brian2", "brian2_euler.py", (folder + "/brian2",)),
        ):
            # A slice of neurolim before and after, so that the ratio is one of neighbours.
            near = [euler(STEPS)]
            ns = peer(script, N, 1000, 5, *words)
            near.append(euler(STEPS))
            add("fhn-euler-maruyama", name, ns, None if ns is None else ns / statistics.mean(near))
        compare(
            "fhn-euler-maruyama-two-noises",
            "reference-c++",
            {
                "reference-c++": lambda steps: loop(steps, True),
                "neurolim": engine("fitzhugh_nagumo", "euler_maruyama", START | TWO),
            },
        )
    for label, more in (("fhn-exponential", {}), ("fhn-exponential-two-noises", TWO)):
        compare(
            label,
            "euler-maruyama",
            {
                "euler-maruyama": engine("fitzhugh_nagumo", "euler_maruyama", START | more),
                "neurolim": engine("fitzhugh_nagumo", "exponential", START | more),
            },
        )
    compare(
        "fhn-recording",
        "no-records",
        {
            "no-records": euler,
            "record-every-50": engine("fitzhugh_nagumo", "euler_maruyama", START, record=True),
        },
    )
    compare(
        "fhn-normals",
        "float32",
        {
            "float32": euler,
            "float64": engine("fitzhugh_nagumo", "euler_maruyama", START, wide=True),
        },
    )
    for model in core.names("model"):
        compare(
            f"{model}-schemes",
            "euler_maruyama",
            {
                scheme: engine(model, scheme, {}, n=1000)
                for scheme in ("euler_maruyama", "exponential")
            },
        )
    return rows


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| workload | implementation | ns per neuron-step | ratio |", "|---|---|---|---|"]
    lines += [
        f"| {row['workload']} | {row['implementation']} | {row['ns']:.3g} | "
        + (f"{row['ratio']:.3g} |" if "ratio" in row else " |")
        for row in rows
    ]
    return "\n".join(lines)


def processor() -> str:
    """Return the processor's name."""
    try:
        found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor()


def main() -> None:
    """Measure, print, and write latest.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="write the table in the docs, too")
    options = parser.parse_args()
    rows = measure()
    latest = {"processor": processor(), "python": platform.python_version(), "rows": rows}
    (HERE / "latest.json").write_text(json.dumps(latest, indent=1) + "\n")
    print(f"written to {HERE / 'latest.json'}")
    if options.docs:
        page = HERE.parent / "docs" / "performance.md"
        text = page.read_text()
        marks = "<!-- bench -->", "<!-- /bench -->"
        head, tail = text.split(marks[0])[0], text.split(marks[1])[1]
        middle = f"Processor: {latest['processor']}.\n\n{table(rows)}\n"
        page.write_text(head + marks[0] + "\n" + middle + marks[1] + tail)


if __name__ == "__main__":
    main()
