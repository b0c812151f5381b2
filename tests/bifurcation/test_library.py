"""The toolbox of bifurcations as its guide uses it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_guide_finds_the_unstable_branch():
    text = (ROOT / "docs" / "phase-diagrams.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    hopf, branch = names["hopf"], np.array(names["branch"])
    # Trace f'(v) - a and determinant b - a f'(v) of the equilibrium.
    slope = np.polyval(np.polyder([-1.0, 5.0, -4.0, 0.0]), hopf.v)
    assert slope == pytest.approx(0.3)
    assert hopf.frequency == pytest.approx((1.0 - 0.3**2) ** 0.5)
    assert hopf.lyapunov > 0.0
    currents, periods, largest = branch.T
    assert (np.diff(currents) < 0.0).all()
    assert periods[0] == pytest.approx(2.0 * np.pi / hopf.frequency, rel=0.02)
    assert (largest > 1.0).all()
    assert (np.diff(largest) > 0.0).all()


def test_a_cycle_of_the_branch_closes_under_another_integrator():
    from neurolim.bifurcation import Plane, along, from_hopf, hopf_points, velocity

    plane = Plane(f=(0.0, -4.0, 5.0, -1.0), a=0.3, b=1.0, c=0.0)
    hopf = hopf_points(plane)[0]

    def field(x, current):
        return velocity(plane, current, x)

    small = from_hopf(field, np.array([hopf.v, plane.recovery(hopf.v)]), hopf.current, 0.05)
    cycle = list(along(field, small, until=lambda cycle: cycle.period > 7.0))[-1]

    def slope(t, x):
        v, w = x
        return [v * (4.0 - v) * (v - 1.0) + cycle.parameter - w, v - 0.3 * w]

    start = cycle.points[0]
    end = solve_ivp(slope, (0.0, cycle.period), start, rtol=1e-11, atol=1e-12).y[:, -1]
    # An unstable cycle: what it errs by at the start has grown by its multiplier, 1.3.
    np.testing.assert_allclose(end, start, atol=1e-6)
