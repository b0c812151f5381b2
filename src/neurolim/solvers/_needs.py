"""What solvers need of a model's equations, refused by name where it is missing."""

from __future__ import annotations

from neurolim.core import Model, StudyError
from neurolim.numerics.structure import structure_of


def need_derivatives(model: Model, *places: str) -> None:
    """Refuse a model of which these functions cannot be differentiated.

    Parameters
    ----------
    model : the model
    *places : "drift", "coupling", "fields", "initial"

    Raises
    ------
    StudyError
    """
    reasons = structure_of(model).untraceable
    for place in places:
        if place in reasons:
            problem = f"needs its derivatives, but it {reasons[place]}"
            raise StudyError(f"model.{place}", problem, "a formula that can be differentiated")
