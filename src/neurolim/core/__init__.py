"""The vocabulary: Model, Solver, Statistic, Figure, and the few words they are made of.

A plug-in is one file: ``models/<name>.py`` defines ``MODEL``, ``solvers/<name>.py`` defines
``SOLVER``, ``statistics/<name>.py`` defines ``STATISTIC``, ``figures/<name>.py`` defines
``FIGURE``.  The file name is the name used in a study; there is no list to edit.  Files outside
the package are named by their path.

Nothing here knows xarray, zarr, dask, pydantic or matplotlib.
"""

from neurolim.core.errors import Status, StudyError, hint
from neurolim.core.model import FEATURES, MAX_VARIABLES, Equations, Model, Sites
from neurolim.core.model_check import check_model
from neurolim.core.outside import Source
from neurolim.core.parameters import Param, Var, resolve
from neurolim.core.registry import KINDS, RenamedWarning, current, get, module_of, names
from neurolim.core.solver import Coord, Cost, Need, Solution, Solver
from neurolim.core.statistic import Figure, Statistic
from neurolim.core.table import Column, Row, Table
from neurolim.core.terms import Delay, Field, GapJunctions, Noise, State, Synapses
from neurolim.core.verdict import Kind, Verdict

__all__ = [
    "FEATURES",
    "KINDS",
    "MAX_VARIABLES",
    "Column",
    "Coord",
    "Cost",
    "Delay",
    "Equations",
    "Field",
    "Figure",
    "GapJunctions",
    "Kind",
    "Model",
    "Need",
    "Noise",
    "Param",
    "RenamedWarning",
    "Row",
    "Sites",
    "Solution",
    "Solver",
    "Source",
    "State",
    "Statistic",
    "Status",
    "StudyError",
    "Synapses",
    "Table",
    "Var",
    "Verdict",
    "check_model",
    "current",
    "get",
    "hint",
    "module_of",
    "names",
    "resolve",
]
