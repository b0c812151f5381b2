"""What is done with a dataset: statistics and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from neurolim.core.parameters import Param
from neurolim.core.solver import Need
from neurolim.core.table import Table


@dataclass(frozen=True)
class Statistic:
    """A pure function from a labelled dataset to a labelled dataset.

    Parameters
    ----------
    summary, source : one line; paper and equation, or method reference
    options : documented options with defaults
    needs : options -> names of dataset variables it reads
    gives : (options, state variable names) -> names of the variables it returns
    apply : (dataset, **options) -> xarray.Dataset
    exact : () -> list of (dataset, options, checks); each check is (variable name, selection,
        expected value, absolute tolerance): a known answer the conformance suite verifies
    judge : (applied dataset, options, expect) -> tables with verdicts, where ``expect`` maps
        quantities to {"order", "tolerance", "claim"}
    tables : the names of the tables that ``judge`` returns, known before anything runs
    check : (lengths of the dataset's dims, options) -> None, raises StudyError for datasets it
        cannot use
    model_needs : options -> what it needs of a model's equations, which it calls: ``apply`` gets
        the study's model as ``model``, and so do the options of ``exact``; None where it does not
    name : the file's name, filled in by ``get``
    """

    summary: str
    source: str
    options: tuple[Param, ...]
    needs: Callable[[Mapping[str, Any]], tuple[str, ...]]
    gives: Callable[[Mapping[str, Any], tuple[str, ...]], tuple[str, ...]]
    apply: Callable[..., Any]
    exact: Callable[[], list[Any]]
    judge: Callable[[Any, Mapping[str, Any], Mapping[str, Any]], tuple[Table, ...]] = field(
        default=lambda dataset, options, expect: ()
    )
    tables: tuple[str, ...] = ()
    check: Callable[[Mapping[str, int], Mapping[str, Any]], None] = lambda sizes, options: None
    model_needs: Callable[[Mapping[str, Any]], tuple[Need, ...]] | None = None
    name: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture of a dataset (solver outputs and statistics together).

    Parameters
    ----------
    summary : one line
    options : documented options with defaults
    needs : (options, state variable names) -> names of dataset variables it reads
    draw : (dataset, expect, **options) -> matplotlib Figure; ``expect`` as in Statistic.judge
    example : () -> dataset small enough for the conformance suite to draw
    name : the file's name, filled in by ``get``
    """

    summary: str
    options: tuple[Param, ...]
    needs: Callable[[Mapping[str, Any], tuple[str, ...]], tuple[str, ...]]
    draw: Callable[..., Any]
    example: Callable[[], Any]
    name: str = ""
