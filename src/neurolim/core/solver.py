"""A level of description: what a solver is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from neurolim.core.errors import Status, StudyError
from neurolim.core.model import Model
from neurolim.core.parameters import Param, Var


class Cost(NamedTuple):
    """Predicted cost of one run: core-seconds and bytes held in memory while it runs."""

    seconds: float
    memory: float


class Coord(NamedTuple):
    """Coordinate of an output dimension: values, unit and description."""

    values: tuple[float | str, ...]
    unit: str = "1"
    long_name: str = ""


class Solution(NamedTuple):
    """What a solver returns: arrays [replica, ...] by output name and a Status per replica."""

    arrays: dict[str, np.ndarray]
    status: np.ndarray


class Need(NamedTuple):
    """What a solver needs of a model's equations, whatever the parameters.

    words : what is needed, after "needs"
    fault : model -> what is missing, in words of its author, or ""
    allowed : what to write instead
    """

    words: str
    fault: Callable[[Model], str]
    allowed: str = ""


@dataclass(frozen=True)
class Solver:
    """One level of description: network of particles, kinetic equation, limit equation.

    Parameters
    ----------
    summary, source : one line; paper and equation
    options : documented options with defaults
    outputs : (model, options) -> Vars, all of them with their dims
    coords : (model, params, options) -> Coord of every dim in ``outputs``
    cost : (model, params, options) -> Cost of one replica
    solve : (model, params, options, key, replicas) -> Solution; pure: same arguments, same
        bits.  ``replicas`` is a range of replica numbers; deterministic solvers get range(1)
    check : (model, params, options) -> None, raises StudyError for combinations refused early
    stochastic : False for solvers that ignore ``key`` (their datasets have no replica dim)
    takes : features of models (``Model.features``) that it knows what to do with
    needs : what it needs of a model's equations; ``check`` has what depends on parameters
    name : the file's name, filled in by ``get``
    """

    summary: str
    source: str
    options: tuple[Param, ...]
    outputs: Callable[[Model, Mapping[str, Any]], tuple[Var, ...]]
    coords: Callable[[Model, Mapping[str, Any], Mapping[str, Any]], dict[str, Coord]]
    cost: Callable[[Model, Mapping[str, Any], Mapping[str, Any]], Cost]
    solve: Callable[[Model, Mapping[str, Any], Mapping[str, Any], int, range], Solution]
    check: Callable[[Model, Mapping[str, Any], Mapping[str, Any]], None]
    stochastic: bool
    takes: frozenset[str] = frozenset()
    needs: tuple[Need, ...] = ()
    name: str = ""

    def accept(self, model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Refuse early what ``solve`` cannot do.

        Raises
        ------
        StudyError : a feature of the model that the solver does not take; something that it needs
            and the model does not have; what ``check`` refuses
        """
        strange = sorted(model.features - self.takes)
        if strange:
            raise StudyError(
                "solver",
                f"{self.name} does not take {strange[0]}, which {model.name} has",
                "particles with scheme: euler_maruyama, which takes every model",
            )
        for need in self.needs:
            missing = need.fault(model)
            if missing:
                raise StudyError(
                    "model", f"{self.name} needs {need.words}: {missing}", need.allowed
                )
        # Numbers of a study may be huge: what comes of them is judged, not warned of.
        with np.errstate(all="ignore"):
            self.check(model, params, options)

    def run(
        self,
        model: Model,
        params: Mapping[str, Any],
        options: Mapping[str, Any],
        key: int,
        replicas: range,
        say: Callable[[str], None] = lambda line: None,
    ) -> Solution:
        """Solve, and hold the solver to its contract: a run that fails is NaN and a status.

        A number that is not finite where the status is OK makes the run DIVERGED.  A run that
        raises is NOT_CONVERGED with all its replicas; what it raises is told.

        Parameters
        ----------
        model, params, options, key, replicas : of ``solve``
        say : called with a line of text where ``solve`` raises

        Raises
        ------
        StudyError : what ``solve`` refuses
        """
        try:
            found = self.solve(model, params, options, key, replicas)
        except (StudyError, MemoryError):
            raise
        except Exception as error:  # whatever some numbers make of the libraries
            say(f"{self.name} raised {type(error).__name__}: {error}; the run has failed")
            return self._nothing(model, params, options, len(replicas))
        arrays, status = dict(found.arrays), np.array(found.status)
        outputs = [var for var in self.outputs(model, options) if var.name in arrays]
        floats = [var for var in outputs if arrays[var.name].dtype.kind == "f"]
        for var in floats:
            array = arrays[var.name].reshape(len(status), -1)
            wrong = np.isinf(array) if var.gaps else ~np.isfinite(array)
            status[wrong.any(axis=1) & (status == Status.OK)] = Status.DIVERGED
        failed = status != Status.OK
        for var in floats if failed.any() else ():
            if not var.residual:
                arrays[var.name] = arrays[var.name].copy()
                arrays[var.name][failed] = np.nan
        return Solution(arrays, status)

    def _nothing(
        self, model: Model, params: Mapping[str, Any], options: Mapping[str, Any], count: int
    ) -> Solution:
        """Return the solution of runs that gave nothing."""
        coords = self.coords(model, params, options)
        arrays = {}
        for var in self.outputs(model, options):
            shape = (count, *(len(coords[dim].values) for dim in var.dims))
            empty = np.nan if np.dtype(var.dtype).kind == "f" else 0
            arrays[var.name] = np.full(shape, empty, var.dtype)
        return Solution(arrays, np.full(count, int(Status.NOT_CONVERGED), np.int8))
