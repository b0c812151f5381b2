"""Reproducible experiments on the limits of strongly coupled neuron networks.

``solve`` runs one model with one solver, ``load_study`` reads a study file, ``run_study`` runs it,
``open`` opens the results of a study, from their folder or from an archive.
Everything a plug-in in a file of one's own is made of can be imported from here.
"""

from neurolim import terminal

if terminal.is_command():
    # All that follows takes seconds, in which Ctrl-C would show where in it we are.
    terminal.interrupt_silently()

# Before anything loads numpy.
from neurolim import processor  # noqa: F401

# isort: split
from neurolim import provenance
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
from neurolim.opening import StudyResults
from neurolim.opening import open as open  # not in __all__: a builtin has this name
from neurolim.shipped import snakefile
from neurolim.study.read import load_study

__version__ = provenance.package_version()

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
    "StudyResults",
    "Synapses",
    "Var",
    "__version__",
    "load_study",
    "run_study",
    "snakefile",
    "solve",
]
