"""Work-precision diagram of the particle schemes over eps = 1e-1 .. 1e-5.

    .venv/bin/python benchmarks/work_precision.py

writes docs/images/work-precision.{png,svg} and benchmarks/work-precision.json, and prints how many
fewer steps the exponential scheme needs at eps = 1e-4.  About five minutes on one core.

Errors are those of the step alone.  The mean: two neurons without noise obey the limit equation,
whose solution at t = 1 is known to 1e-12.  The variance: n = 4000 neurons at the upper rest state;
the network without local drift, whose variance is known, runs on the same noise and takes nearly
all of the statistical error away; the truth is the mean-field variance of the kinetic solver.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

from neurolim import solve
from neurolim.figures.parts.style import COLOURS

EPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
A, B = 0.3, 0.1
REST = (5 + np.sqrt(25 - 4 * (4 + B / A))) / 2
NEURONS = 4000
MARKERS = "osD^v"
#: Steps as multiples of eps for Euler-Maruyama, in time for the exponential scheme.
STEPS = {
    "euler_maruyama": lambda eps: [eps * x for x in (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)],
    "exponential": lambda eps: [0.04, 0.02, 0.01, 0.005, 0.002, 0.001],
}


def mean_error(scheme: str, eps: float, dt: float) -> float:
    """Return the error of the mean voltage at t = 1."""
    params = {"eps": eps, "a": A, "b": B, "sigma": 1e-12, "voltage_start": 2.0}
    params |= {"recovery_start": 0.5}
    steps = round(1.0 / dt)
    times = {"t_end": 1.0, "records": 1}
    exact = solve("fitzhugh_nagumo", "limit", params, times | {"rtol": 1e-13})
    found = solve(
        "fitzhugh_nagumo", "particles", params,
        times | {"dt": 1.0 / steps, "n_neurons": 2, "scheme": scheme},
    )  # fmt: skip
    return abs(float((found["state_mean"] - exact["state_mean"])[0, -1, 0, 0]))


def variance_error(scheme: str, eps: float, dt: float) -> tuple[float, float]:
    """Return the relative error of Var(v) at rest, and its standard error."""
    span = max(60 * dt, 30 * eps)
    records = 30
    options = {"n_neurons": NEURONS, "scheme": scheme, "records": records}
    dt = span / (records * max(1, round(span / records / dt)))
    options |= {"dt": dt, "t_end": span}
    common = {"eps": eps, "a": A, "b": B, "drift": "polynomial", "voltage_start": REST}
    common |= {"recovery_start": B / A * REST, "initial": "absolute"}
    # About the stationary law: w is driven by the fluctuations of v alone.
    common |= {"voltage_spread": float(np.sqrt(eps)), "recovery_spread": float(B * eps / A**0.5)}
    cubic = {"coefficients": [0.0, -4.0, 5.0, -1.0]}
    still = {"coefficients": [0.0, -1e-12], "voltage_start": 0.0, "recovery_start": 0.0, "b": 0.0}
    late = slice(records // 2, None)

    def variance(more: dict[str, object]) -> np.ndarray:
        found = solve("fitzhugh_nagumo", "particles", common | more, options, seed=5, replicas=4)
        return found["covariance"].values[:, late, 0, 0, 0] * NEURONS / (NEURONS - 1)

    # What Euler-Maruyama itself makes of the network without drift is known exactly.
    law = eps / (1 - dt / (2 * eps)) if scheme == "euler_maruyama" else eps
    found = variance(cubic) - variance(still) + law
    exact = solve(
        "fitzhugh_nagumo", "kinetic", common | cubic, {"t_end": span, "records": records}
    )["covariance"].values[late, 0, 0, 0]
    errors = (found / exact - 1).mean(axis=1)
    return float(errors.mean()), float(errors.std(ddof=1) / np.sqrt(errors.size))


def main() -> None:
    """Measure, draw, print."""
    rows = []
    for scheme, steps in STEPS.items():
        for eps in EPS:
            for dt in steps(eps):
                mean = mean_error(scheme, eps, dt)
                variance, noise = variance_error(scheme, eps, dt)
                rows.append(
                    {"scheme": scheme, "eps": eps, "dt": dt, "mean": mean, "variance": variance,
                     "noise": noise}
                )  # fmt: skip
                print(
                    f"{scheme:15s} eps {eps:7.0e} dt {dt:8.1e} mean {mean:.1e} "
                    f"variance {variance:+.1e} +- {noise:.0e}"
                )
    (HERE / "work-precision.json").write_text(json.dumps(rows, indent=1) + "\n")
    picture, panels = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
    for panel, name, label in (
        (panels[0], "mean", "error of the mean of v at t = 1"),
        (panels[1], "variance", "relative error of Var(v) at rest"),
    ):
        for k, eps in enumerate(EPS):
            for scheme, style in (("euler_maruyama", "--"), ("exponential", "-")):
                chosen = [r for r in rows if r["scheme"] == scheme and r["eps"] == eps]
                panel.loglog(
                    [1 / r["dt"] for r in chosen],
                    [max(abs(r[name]), 1e-16) for r in chosen],
                    style, marker=MARKERS[k], ms=4, lw=1.2,
                    color=COLOURS[k % len(COLOURS)],
                    label=f"eps = {eps:.0e}" if scheme == "exponential" else None,
                )  # fmt: skip
        panel.set_xlabel("steps per unit of time")
        if name == "variance":
            panel.text(
                0.02, 0.02, "level lines: statistical error of the measurement",
                transform=panel.transAxes, fontsize=8,
            )  # fmt: skip
        panel.set_title(label)
    panels[0].plot([], [], "k-", label="exponential")
    panels[0].plot([], [], "k--", label="Euler-Maruyama")
    panels[0].legend(fontsize=8, frameon=False)
    folder = HERE.parent / "docs" / "images"
    folder.mkdir(exist_ok=True)
    picture.savefig(folder / "work-precision.png", dpi=150)

    # The claim: Euler-Maruyama at dt = eps/50 against the exponential step that is as good.
    eps, dt = 1e-4, 2e-6
    mean, (variance, noise) = (
        mean_error("euler_maruyama", eps, dt),
        variance_error("euler_maruyama", eps, dt),
    )
    print(
        f"euler_maruyama, eps 1e-4, dt 2e-6: mean {mean:.2e} variance {variance:+.2e}+-{noise:.0e}"
    )
    for step in (4e-3, 2e-3, 1e-3, 5e-4):
        m, (v, s) = mean_error("exponential", eps, step), variance_error("exponential", eps, step)
        verdict = "as good" if m <= mean and abs(v) <= abs(variance) else "not as good"
        print(
            f"exponential dt {step:g}: mean {m:.2e} variance {v:+.2e}+-{s:.0e}: {verdict}, "
            f"{step / dt:.0f} times fewer steps"
        )


if __name__ == "__main__":
    main()
