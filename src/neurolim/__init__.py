"""Reproducible experiments on the limits of strongly coupled neuron networks.

``solve`` runs one model with one solver, ``load_study`` reads a study file, ``run_study`` runs it.
"""

from neurolim.core import Status, StudyError
from neurolim.stages import load_study, run_study, solve

__all__ = ["Status", "StudyError", "load_study", "run_study", "solve"]
