"""From what a study file says to the study: read, checked key by key, and as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from neurolim.core import StudyError, hint
from neurolim.core.arguments import path_named, truth
from neurolim.core.errors import show
from neurolim.study.checks import check
from neurolim.study.files import with_sources, words_of
from neurolim.study.spec import Expectation, Refine, StudySpec, Tiny, TinyReference
from neurolim.study.study import Study
from neurolim.study.tiny import at_test_size
from neurolim.study.yaml import Document, Lines, read_yaml

_KEYS = tuple(sorted(StudySpec.model_fields))
#: Of the parts of a study that have keys of their own, by where they are.
_PARTS: dict[tuple[str, ...], type[BaseModel]] = {
    ("expect",): Expectation,
    ("refine",): Refine,
    ("tiny",): Tiny,
    ("tiny", "reference"): TinyReference,
}


def load_study(path: str | Path, analysis: bool = True, tiny: bool = False) -> Study:
    """Return the study in a YAML file; its name is the file's stem.

    Parameters
    ----------
    path : of the file
    analysis : check statistics and figures, too; a job that simulates has no need of them
    tiny : at test size, as its section ``tiny`` says

    Raises
    ------
    StudyError : unreadable file, bad YAML, or anything that does not fit, with its line
    """
    path = path_named("path", path)
    analysis, tiny = truth("analysis", analysis), truth("tiny", tiny)
    document = read_study(path)
    return _study(document.content, path.stem, document.lines, analysis, tiny)


def parse_study(
    mapping: Mapping[str, Any],
    name: str = "study",
    file: str = "",
    analysis: bool = True,
    tiny: bool = False,
) -> Study:
    """Return the study a mapping describes.

    Parameters
    ----------
    mapping : keys of a study file
    name : name of the study (the stem of its file)
    file : named in refusals
    analysis : check statistics and figures, too
    tiny : at test size, as its section ``tiny`` says

    Raises
    ------
    StudyError : anything that does not fit, one line, before anything runs
    """
    if not isinstance(name, str):
        raise StudyError("name", f"got {show(name)}", "the name of a study")
    analysis, tiny = truth("analysis", analysis), truth("tiny", tiny)
    return _study(mapping, name, Lines(file), analysis, tiny)


def read_study(path: str | Path) -> Document:
    """Return what a study file says, before anything of it is checked but that it has keys.

    Raises
    ------
    StudyError : unreadable file, bad YAML (with line), or nothing in it
    """
    document = read_yaml(path)
    if document.content is None:
        raise StudyError("", "empty file", _KEYS, str(path))
    if not isinstance(document.content, Mapping):
        raise document.lines.placed(StudyError("", "not a mapping of keys", _KEYS))
    return document


def _study(mapping: Any, name: str, lines: Lines, analysis: bool, tiny: bool) -> Study:
    """Return the study that a mapping describes, at one size, checked as a whole."""
    section = ""
    if isinstance(mapping, Mapping):
        mapping = {key: said for key, said in mapping.items() if not _is_aside(key)}
    try:
        # At test size, too, what the study itself says is of the right types.
        spec, sources = _spec(mapping, lines.file)
        if tiny:
            mapping, section = at_test_size(mapping, spec), "tiny"
            spec, sources = _spec(mapping, lines.file)
        lines = lines.renamed(_names(mapping, spec))
        study = Study(spec, name, tiny, sources, lines)
        check(study, analysis)
    except StudyError as error:
        raise lines.placed(error, section) from None
    return study


def _is_aside(key: Any) -> bool:
    """Return whether what a study says by a key is for its other keys only, by anchors."""
    return isinstance(key, str) and key.startswith("x-")


def _spec(mapping: Any, file: str) -> tuple[StudySpec, dict[str, Any]]:
    """Return what a study says, of the right types, and where its plug-ins in files come from."""
    if not isinstance(mapping, Mapping):
        raise StudyError("", "not a mapping of keys", _KEYS)
    for key in mapping:
        if key not in _KEYS:
            word = key if isinstance(key, str) else show(key)
            raise StudyError(word, f"unknown key{hint(key, _KEYS)}", _KEYS)
    named, sources = with_sources(mapping, file)
    try:
        return StudySpec(**named), sources
    except ValidationError as error:
        raise _refusal(error) from None


def _names(mapping: Mapping[str, Any], spec: StudySpec) -> dict[str, str]:
    """Return where refusals say that a statistic or figure is, by where the file has it."""
    entries = {"statistics": iter(spec.statistics), "figures": iter(spec.figures)}
    names = {}
    for _, key, word in words_of(mapping):
        if key in entries:
            name = next(entries[key]).name
            for section in (key, f"tiny.{key}"):
                names[f"{section}.{word}"] = f"{section}.{name}"
    return {old: new for old, new in names.items() if old != new}


def _refusal(error: ValidationError) -> StudyError:
    """Return the first of pydantic's complaints in our words."""
    first = error.errors(include_url=False)[0]
    place = tuple(str(part) for part in first["loc"])
    key, kind = ".".join(place), first["type"]
    if kind == "missing":
        return StudyError(key, "missing", "a value")
    if kind == "extra_forbidden":
        outer = place[: 2 if place[:2] in _PARTS else 1]
        return StudyError(key, "unknown key", list(_PARTS[outer].model_fields))
    message = first["msg"].removeprefix("Value error, ")
    return StudyError(key, f"got {show(first.get('input'))}", message)
