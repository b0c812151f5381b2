"""The sizes a kernel is compiled for: what a model looks like to the loops over its neurons."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model


class Layout(NamedTuple):
    """Sizes and bounds of a model, the same for every value of its parameters.

    d, n_fields : number of state variables and of fields
    n_means : length of a row of means: state variables, then fields
    parameters_class, n_parameters : of a site's parameters, a NamedTuple of numbers
    floors : bounds at which the state variables are reflected, -inf where they are not [d]
    """

    d: int
    n_fields: int
    n_means: int
    parameters_class: Any
    n_parameters: int
    floors: np.ndarray


@lru_cache(maxsize=64)
def layout(model: Model) -> Layout:
    """Return the layout of a model."""
    d, n_fields = len(model.state), len(model.fields)
    floors = np.array([-np.inf if v.floor is None else v.floor for v in model.state])
    return Layout(d, n_fields, d + n_fields, model.numbers, len(model.numbers._fields), floors)
