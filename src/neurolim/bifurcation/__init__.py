"""Equilibria, cycles and bifurcations of the limit of a network: the deterministic skeleton.

A ``Plane`` is v' = f(v) + I - w, w' = b v - a w + c with a polynomial f: its equilibria and their
bifurcations have closed forms, its stable cycles are found by a return map.  A ``Flow`` is the
equation of the mean of any model on one site; ``from_hopf`` and ``from_trajectory`` find a cycle of
it, ``along`` continues it in the current, past folds, and ``multipliers`` says whether it attracts.
"""

from neurolim.bifurcation.collocation import ContinuationError, Cycle
from neurolim.bifurcation.cycles import (
    along,
    correct,
    divergence,
    fold,
    from_hopf,
    from_trajectory,
    multipliers,
)
from neurolim.bifurcation.flow import Flow
from neurolim.bifurcation.plane import (
    Equilibrium,
    Hopf,
    Plane,
    bautin_gains,
    canard_currents,
    cusps,
    equilibria,
    homoclinic_current,
    homoclinic_estimates,
    hopf_points,
    knees,
    saddle_nodes,
    separatrix,
    velocity,
)
from neurolim.bifurcation.return_map import Attractor, stable_cycles

__all__ = [
    "Attractor",
    "ContinuationError",
    "Cycle",
    "Equilibrium",
    "Flow",
    "Hopf",
    "Plane",
    "along",
    "bautin_gains",
    "canard_currents",
    "correct",
    "cusps",
    "divergence",
    "equilibria",
    "fold",
    "from_hopf",
    "from_trajectory",
    "homoclinic_current",
    "homoclinic_estimates",
    "hopf_points",
    "knees",
    "multipliers",
    "saddle_nodes",
    "separatrix",
    "stable_cycles",
    "velocity",
]
