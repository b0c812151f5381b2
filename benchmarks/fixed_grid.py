r"""Work against precision: the moving Hermite frame and a plain fixed grid, same equation.

The fixed grid is the textbook solver: Scharfetter-Gummel fluxes in v (implicit, positive, mass
kept), central implicit fluxes in w, Lie splitting, step proportional to the cell.  Its cells are
fixed, so they stop resolving the law once they are wider than sqrt(eps).

    python benchmarks/fixed_grid.py FOLDER     writes fixed_grid.csv and fixed_grid.png there
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import solve_banded

from neurolim import solve
from neurolim.figures.parts.style import COLOURS, figure, styled

A, B, START, SPREAD = 0.8, 0.5, (0.5, 0.2), 0.5
PARAMS = {
    "drift": "canonical",
    "a": A,
    "b": B,
    "voltage_start": START[0],
    "recovery_start": START[1],
    "initial": "prepared_voltage",
    "recovery_spread": SPREAD,
}
LEVELS = (1e-1, 1e-2, 1e-3, 1e-4)


def bernoulli(x: np.ndarray) -> np.ndarray:
    """Return x/(e^x - 1)."""
    small = np.abs(x) < 1e-8
    safe = np.where(small, 1.0, np.clip(x, -700.0, 700.0))
    return np.where(small, 1.0 - 0.5 * x, safe / np.expm1(safe))


def implicit(density: np.ndarray, left: np.ndarray, right: np.ndarray, dt: float) -> np.ndarray:
    """Solve one implicit Euler step along axis 0 with fluxes left f_i + right f_{i+1} at faces."""
    n, columns = density.shape
    lower, upper, diagonal = np.zeros((3, n, columns))
    diagonal[:] = 1.0
    diagonal[:-1] += dt * left
    upper[:-1] = dt * right
    diagonal[1:] -= dt * right
    lower[1:] = -dt * left
    bands = np.zeros((3, n * columns))
    bands[0, 1:] = upper.T.ravel()[:-1]
    bands[1] = diagonal.T.ravel()
    bands[2, :-1] = lower.T.ravel()[1:]
    return solve_banded((1, 1), bands, density.T.ravel()).reshape(columns, n).T


def fixed_grid(eps: float, cells: int, t_end: float = 1.0) -> tuple[float, float]:
    """Return (mean of v, Var(v)/eps) at t_end."""
    dv, dw, rows = 5.0 / cells, 5.0 / 60, 60
    v, w = -2.5 + dv * (np.arange(cells) + 0.5), -2.5 + dw * (np.arange(rows) + 0.5)
    steps = max(20, cells // 2)
    dt = t_end / steps
    f = np.exp(-((v - START[0]) ** 2) / (2 * eps))[:, None]
    f = f * np.exp(-((w - START[1]) ** 2) / (2 * SPREAD**2))
    f /= f.sum()
    face = 0.5 * (v[1:] + v[:-1])[:, None]
    between = 0.5 * (w[1:] + w[:-1])[:, None]
    for _ in range(steps):
        # The junctions pull to the mean at the end of the step: at the old one it could not move.
        marginal = f.sum(axis=1)
        mean = marginal @ v + dt * (marginal @ (v - v**3) - f.sum(axis=0) @ w)
        drift = face - face**3 - w + (mean - face) / eps
        peclet = drift * dv
        f = implicit(f, bernoulli(-peclet) / dv**2, -bernoulli(peclet) / dv**2, dt)
        speed = 0.5 * (B * v - A * between) / dw
        f = implicit(f.T, speed, speed, dt).T
    marginal = f.sum(axis=1)
    mean = marginal @ v
    return float(mean), float(marginal @ (v - mean) ** 2 / eps)


def compare() -> pd.DataFrame:
    """Return errors and seconds of both solvers at several accuracies and couplings."""
    rows = []
    for eps in LEVELS:
        params = PARAMS | {"eps": eps}
        options = {"t_end": 1.0, "records": 1, "tolerance": 1e-12, "law_tolerance": 1e-8}
        fine = solve("fitzhugh_nagumo", "kinetic", params, options)
        exact = float(fine["state_mean"][-1, 0, 0]), float(fine["covariance"][-1, 0, 0, 0]) / eps
        for tolerance in (1e-4, 1e-6, 1e-8, 1e-10):
            options = {"t_end": 1.0, "records": 1, "tolerance": tolerance}
            options["law_tolerance"] = min(1e-3, 1e3 * tolerance)
            began = time.process_time()
            found = solve("fitzhugh_nagumo", "kinetic", params, options)
            seconds = time.process_time() - began
            variance = float(found["covariance"][-1, 0, 0, 0])
            here = float(found["state_mean"][-1, 0, 0]), variance / eps
            rows.append(
                ("moving frame", eps, tolerance, seconds, *np.abs(np.subtract(here, exact)))
            )
        for cells in (50, 100, 200, 400, 800):
            began = time.process_time()
            here = fixed_grid(eps, cells)
            seconds = time.process_time() - began
            rows.append(
                ("fixed grid", eps, 5.0 / cells, seconds, *np.abs(np.subtract(here, exact)))
            )
    columns = ["solver", "eps", "tolerance_or_cell", "seconds", "mean_error", "variance_error"]
    return pd.DataFrame(rows, columns=columns)


@styled
def picture(frame: pd.DataFrame) -> object:
    """Return errors against seconds, one colour per coupling."""
    page, axes = figure(1, 2, 7.6, 3.2)
    titles = (("mean_error", "error of the mean of v"), ("variance_error", "error of Var(v)/eps"))
    for panel, (column, title) in zip(axes[0], titles, strict=True):
        for colour, eps in zip(COLOURS, LEVELS, strict=False):
            for solver, style in (("moving frame", "o-"), ("fixed grid", "s--")):
                here = frame[(frame["eps"] == eps) & (frame["solver"] == solver)]
                label = f"{solver}, eps = {eps:g}" if column == "mean_error" else None
                panel.loglog(
                    here["seconds"], here[column].clip(lower=1e-13), style, ms=3.5, lw=1,
                    color=colour, mfc=colour if style[0] == "o" else "white", label=label,
                )  # fmt: skip
        panel.set_title(title)
        panel.set_xlabel("CPU seconds")
    page.legend(loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    return page


def main(folder: str) -> None:
    """Write table and picture."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    solve("fitzhugh_nagumo", "kinetic", PARAMS, {"t_end": 0.1, "records": 1})  # compile
    frame = compare()
    frame.to_csv(place / "fixed_grid.csv", index=False)
    picture(frame).savefig(place / "fixed_grid.png", dpi=110)  # type: ignore[attr-defined]
    print(frame.to_string(float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    main(sys.argv[1])
