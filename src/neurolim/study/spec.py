"""What a study file says, key by key: types, bounds and what they mean; names are still names.

The JSON schema for editors is made of these classes (``neurolim schema``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

#: What an alias of a statistic may be.
ALIAS = "[a-z][a-z0-9_]*"
Options = dict[str, Any]
_REFERENCE = "not a solver name or {solver: name, options: {...}}"
_ENTRIES = "not a list of names or {name: {options}}"
_ALIAS = re.compile(ALIAS)


#: Controls, halves of characters, what turns the direction of reading, and byte order marks.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)


def _seen(text: str) -> str:
    """Return a text in which every character can be seen."""
    if _UNSEEN.search(text):
        raise ValueError("characters that can be seen")
    return text


#: What people read of a study.
Words = Annotated[str, AfterValidator(_seen)]


class _Spec(BaseModel):
    """What all parts of a study have in common: no other keys, no conversions, no infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Entry(_Spec):
    """A statistic, figure or reference solver with the options that differ from its defaults.

    Parameters
    ----------
    name : of the plug-in
    options : given in the study
    alias : by which a statistic goes in this study; it stands before the names of its results
    """

    name: str
    options: Options = {}
    alias: str = ""


class Expectation(_Spec):
    """What theory says of one quantity."""

    order: float | None = Field(None, description="order of convergence, or the critical value")
    tolerance: float = Field(0.0, ge=0.0, description="extra tolerance, beside the interval")
    relation: Literal["=", ">="] = Field("=", description="of an order of convergence to `order`")
    claim: Words = Field("", description="what the paper claims of it")


class Refine(_Spec):
    """How a map is refined: only cells between neighbours that differ are simulated."""

    axes: list[str] = Field(min_length=1, max_length=3, description="axes of the map")
    by: str = Field(description="statistic whose classes are compared; the study's first")
    levels: int = Field(3, ge=1, le=8, description="number of refinements")


class TinyReference(_Spec):
    """What differs in the reference solver at test size."""

    options: Options = Field(description="options of the reference that differ")


class Tiny(_Spec):
    """What differs at test size; an option that is null has its default."""

    params: Options = Field({}, description="parameters that differ")
    options: Options = Field({}, description="options of the solver that differ")
    reference: TinyReference | None = None
    grid: dict[str, Any] = Field({}, description="axes that differ, each whole")
    refine: Options = Field({}, description="what differs in the refinement of a map")
    replicas: int | None = Field(None, ge=1, lt=2**32, description="repetitions of every point")
    statistics: dict[str, Options] = Field(
        {}, description="options of statistics, by name or alias"
    )
    figures: dict[str, Options] = Field({}, description="options of figures that differ")
    failed_share: float | None = Field(None, ge=0.0, le=1.0, description="runs that may fail")
    chunk_seconds: float | None = Field(None, gt=0.0, description="core-seconds of a job")


class StudySpec(_Spec):
    """One experiment: a model, a solver, a grid, and what to make of it."""

    title: Words = Field("", description="what is tested, in a line")
    # The verdicts page is sorted by paper and statement.
    paper: Words = Field("", description="who claims it, e.g. Blaustein 2022")
    statement: Words = Field("", description="where in the paper, e.g. Theorem 2.7")
    claim: Words = Field("", description="what is claimed")
    no_verdict: Words = Field("", description="why no table can judge; empty where one does")
    model: str = Field(description="name of a model, or a Python file, file.py or file.py:NAME")
    solver: str = Field(description="name of a solver, or a Python file")
    params: Options = Field({}, description="parameters of the model that differ from its defaults")
    options: Options = Field({}, description="options of the solver that differ from its defaults")
    reference: Entry | None = Field(
        None, description="deterministic solver run at every point for comparison"
    )
    grid: dict[str, Any] = Field({}, description="axes; without any there is one point")
    refine: Refine | None = None
    replicas: int = Field(1, ge=1, lt=2**32, description="independent repetitions of every point")
    seed: int = Field(0, ge=0, lt=2**63, description="of the noise")
    statistics: tuple[Entry, ...] = Field((), description="applied in this order")
    figures: tuple[Entry, ...] = Field((), description="drawn of the statistics")
    expect: dict[str, Expectation] = Field({}, description="what theory says of each quantity")
    failed_share: float = Field(
        0.1, ge=0.0, le=1.0, description="share of runs that may fail before statistics refuse"
    )
    chunk_seconds: float = Field(120.0, gt=0.0, description="core-seconds aimed at per job")
    tiny: Tiny | None = None

    @property
    def cited_claim(self) -> str:
        """Return the claim with paper and statement before it."""
        citation = ", ".join(filter(None, (self.paper, self.statement)))
        return ": ".join(filter(None, (citation, self.claim)))

    @field_validator("reference", mode="before")
    @classmethod
    def _reference(cls, value: Any) -> Any:
        if isinstance(value, str):
            return Entry(name=value)
        if isinstance(value, Mapping) and set(value) <= {"solver", "options"} and "solver" in value:
            return {"name": value["solver"], "options": value.get("options", {})}
        raise ValueError(_REFERENCE)

    @field_validator("statistics", "figures", mode="before")
    @classmethod
    def _entries(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, (list, tuple)):
            raise ValueError(_ENTRIES)
        entries = tuple(_entry(item) for item in value)
        if info.field_name == "figures" and any(entry.alias for entry in entries):
            raise ValueError("a statistic may have an alias, a figure may not")
        return entries


def _entry(item: Any) -> Entry:
    """Return what a name, {name: {options}} or {name: {options}, as: alias} in a list says."""
    if isinstance(item, str):
        return Entry(name=item)
    parts = dict(item) if isinstance(item, Mapping) else {}
    alias = parts.pop("as", "") if len(parts) == 2 else ""
    if not isinstance(alias, str) or (alias and not _ALIAS.fullmatch(alias)):
        raise ValueError("as: a name of a-z, 0-9 and _ that begins with a letter")
    if len(parts) == 1:
        ((name, options),) = parts.items()
        if name != "as" and isinstance(name, str) and isinstance(options or {}, Mapping):
            return Entry(name=name, options=dict(options or {}), alias=alias)
    raise ValueError(_ENTRIES)
