"""A plug-in that a study names, and the options in force for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from neurolim import core
from neurolim.core import Param, StudyError


@dataclass(frozen=True)
class Choice:
    """A plug-in that a study names, with its options.

    Parameters
    ----------
    kind, name : of the plug-in; its name in results
    source : what ``core.get`` finds it by: its name, a file, or itself
    key : where in the study it is named
    given : the options that the study gives
    alias : by which a statistic goes in this study; it stands before the names of its results
    """

    kind: str
    name: str
    source: Any
    key: str
    given: Mapping[str, Any] = field(default_factory=dict)
    alias: str = ""

    @property
    def label(self) -> str:
        """Return the name of a statistic or figure in this study."""
        return self.alias or self.name

    @property
    def prefix(self) -> str:
        """Return what stands before the names of variables, tables and quantities."""
        return f"{self.alias}_" if self.alias else ""

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of the tables of a statistic in this study."""
        return tuple(self.prefix + name for name in self.plugin.tables)

    @cached_property
    def plugin(self) -> Any:
        """Return the plug-in.

        Raises
        ------
        StudyError : unknown name, or a plug-in that cannot be used
        """
        try:
            return core.get(self.kind, self.source)
        except StudyError as error:
            if self.key == self.kind:
                raise
            key = "reference.solver" if self.kind == "solver" else self.key
            raise StudyError(key, error.problem, error.allowed) from None

    @cached_property
    def module(self) -> str:
        """Return the module behind the plug-in."""
        return core.module_of(self.kind, self.source)

    @cached_property
    def options(self) -> dict[str, Any]:
        """Return all options of a statistic or figure, the given ones checked.

        Raises
        ------
        StudyError : unknown, missing, or not allowed
        """
        return resolved(self.key, self.plugin.options, self.given)


def resolved(key: str, params: tuple[Param, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters or options of a section of a study.

    Raises
    ------
    StudyError : unknown, missing, or not allowed
    """
    try:
        return core.resolve(params, given)
    except StudyError as error:
        raise error.within(key) from None
