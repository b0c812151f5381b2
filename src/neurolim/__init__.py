"""Reproducible experiments on the limits of strongly coupled neuron networks.

``solve`` runs one model with one solver, ``load_study`` reads a study file, ``run_study`` runs it.
Everything a plug-in in a file of one's own is made of can be imported from here.
"""

from neurolim.api import run_study, solve
from neurolim.core import (
    Coord,
    Cost,
    Delay,
    Field,
    Figure,
    GapJunctions,
    Model,
    Noise,
    Param,
    Sites,
    Solution,
    Solver,
    State,
    Statistic,
    Status,
    StudyError,
    Synapses,
    Var,
)
from neurolim.core import Param as Number
from neurolim.shipped import snakefile
from neurolim.study.read import load_study

__all__ = [
    "Coord",
    "Cost",
    "Delay",
    "Field",
    "Figure",
    "GapJunctions",
    "Model",
    "Noise",
    "Number",
    "Param",
    "Sites",
    "Solution",
    "Solver",
    "State",
    "Statistic",
    "Status",
    "StudyError",
    "Synapses",
    "Var",
    "load_study",
    "run_study",
    "snakefile",
    "solve",
]
