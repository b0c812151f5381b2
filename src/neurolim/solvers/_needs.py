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
            problem = f"needs derivatives of {place}, but it {reasons[place]}"
            raise StudyError("model", problem, "a formula that can be differentiated")


def noise_key(model: Model, symbol: str) -> str:
    """Return the parameter that is the noise of a variable, "model" where there is none such."""
    own = {param.name for param in model.params}
    for noise in model.noises:
        for moved, amplitude in noise.parts:
            if moved == symbol and isinstance(amplitude, str) and amplitude in own:
                return amplitude
    return "model"
