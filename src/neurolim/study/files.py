"""Which words of a study are files, and where those are; which are equations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from neurolim import core, sources
from neurolim.core import Source, StudyError
from neurolim.core.outside import TYPES, is_file, locate, origin, split
from neurolim.core.wires import is_wires_file
from neurolim.text.model import written

#: Beside ``studies/`` in an archive: where the files of its studies are.
PLUGINS = "code/plugins"


def place_of(word: str) -> str:
    """Return where in an archive the file is that a study names by this word.

    ``../models/hr.py`` is in ``_up/models/hr.py``, ``/data/hr.py`` in ``_root/data/hr.py``.
    """
    parts = PurePosixPath(_path(word)).parts
    return "/".join({"..": "_up", "/": "_root"}.get(part, part) for part in parts)


def path_of(word: str, study: str) -> Path:
    """Return the file that a study names by this word: relative to the study's file.

    The study of an archive finds its files in the archive, wherever they once were.
    """
    folder = Path(study).absolute().parent
    archived = folder.parent / PLUGINS / Path(study).stem
    if folder.name == "studies" and archived.is_dir():
        return archived / place_of(word)
    # pathlib raises where there is no such person; then it is the name of a file.
    return Path(study).parent / os.path.expanduser(_path(word))


def _path(word: str) -> str:
    """Return the path in a word that names a plug-in in a file, or a file of wires."""
    return split(word)[0] if is_file(word) else word


def graphs_in(options: Any) -> dict[str, str]:
    """Return the files of wires that options name: {option: word}."""
    given = options.items() if isinstance(options, Mapping) else ()
    return {name: word for name, word in given if is_wires_file(word)}


def graphs_of(mapping: Mapping[str, Any], tiny: bool = False) -> Iterator[str]:
    """Yield the files of wires that a study names at one size, whether they fit or not."""
    changes = _section(mapping, "tiny") if tiny else {}
    for whole, changed in (
        (mapping, changes),
        (_section(mapping, "reference"), _section(changes, "reference")),
    ):
        options = {**_section(whole, "options"), **_section(changed, "options")}
        yield from graphs_in(options).values()


def _section(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return what a mapping has by a key if that is a mapping."""
    section = mapping.get(key)
    return section if isinstance(section, Mapping) else {}


def files_of(word: str, path: Path) -> dict[str, Path]:
    """Return the files behind a word of a study by their places in an archive.

    Parameters
    ----------
    word : by which the study names a file
    path : of the file
    """
    home = PurePosixPath(place_of(word)).parent
    return {(home / file.name).as_posix(): file for file in sources.files_behind(path)}


def words_of(mapping: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield (kind, key, word) of every plug-in that a study names, whether it fits or not."""
    yield "model", "model", mapping.get("model")
    yield "solver", "solver", mapping.get("solver")
    reference = mapping.get("reference")
    if isinstance(reference, Mapping):
        reference = reference.get("solver")
    yield "solver", "reference", reference
    for key in ("statistics", "figures"):
        entries = mapping.get(key)
        for entry in entries if isinstance(entries, (list, tuple)) else ():
            named = [key for key in entry if key != "as"] if isinstance(entry, Mapping) else [entry]
            for word in named[:1]:
                yield key[:-1], key, word


def with_sources(
    mapping: Mapping[str, Any], study: str = ""
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a study with labels in the place of files and objects, and these by kind and label.

    Old names give way to those of today, which enter results and digests.

    Parameters
    ----------
    mapping : keys of a study file
    study : the file

    Raises
    ------
    StudyError : a file that cannot be read, is no Python, or has the name of another plug-in
    """
    found: dict[str, Any] = {}
    plain: set[str] = set()
    labels: dict[tuple[str, Any], Any] = {}
    for kind, key, word in words_of(mapping):
        source: Any = None
        try:
            if is_file(word):
                source = locate(kind, word, path_of(word, study))
            elif kind == "model" and isinstance(word, Mapping):
                source = written(word)
            elif isinstance(word, TYPES[kind]):
                source = origin(kind, word) or word
        except StudyError as error:
            if isinstance(word, Mapping):
                raise error.within(key) from None
            raise StudyError(key, error.problem, error.allowed) from None
        if source is None:
            name = core.current(kind, word)
            _check_no_file(kind, key, name, study)
            labels[kind, _known(word)] = name
            if isinstance(name, str):
                plain.add(f"{kind} {name}")
            continue
        label = source.label if isinstance(source, Source) else source.name or kind
        labels[kind, _known(word)] = label
        before = found.setdefault(f"{kind} {label}", source)
        same = before[2:4] == source[2:4] if isinstance(source, Source) else before is source
        if not same:
            raise StudyError(key, f"two things are the {kind} {label}", "distinct names")
    for name in sorted(plain & set(found)):
        raise StudyError(name.split()[0], f"{name} is both a name and a file", "distinct names")
    return _renamed(mapping, labels), found


def _check_no_file(kind: str, key: str, word: Any, study: str) -> None:
    """Refuse an unknown name that is a file but for its ending, and say so."""
    if isinstance(word, str) and word and word not in core.names(kind):
        file = f"{word}.py"
        # os.path answers no for names that no file can have; pathlib raises.
        if os.path.isfile(path_of(file, study)):
            problem = f"unknown {kind} {word!r} (did you mean {file!r}?)"
            raise StudyError(key, problem, core.names(kind))


def _known(word: Any) -> Any:
    """Return what a word, or an object in its place, is recognised by."""
    return word if isinstance(word, str) else id(word)


def _renamed(mapping: Mapping[str, Any], labels: Mapping[tuple[str, Any], Any]) -> dict[str, Any]:
    """Return a study with labels in the place of files and objects."""

    def label(kind: str, word: Any) -> Any:
        return labels.get((kind, _known(word)), word)

    study = dict(mapping)
    for key in ("model", "solver"):
        if key in study:
            study[key] = label(key, study[key])
    reference = study.get("reference")
    if isinstance(reference, Mapping) and "solver" in reference:
        study["reference"] = {**reference, "solver": label("solver", reference["solver"])}
    elif reference is not None:
        study["reference"] = label("solver", reference)
    for key in ("statistics", "figures"):
        entries = study.get(key)
        if isinstance(entries, (list, tuple)):
            study[key] = [
                {label(key[:-1], word): options for word, options in entry.items()}
                if isinstance(entry, Mapping)
                else label(key[:-1], entry)
                for entry in entries
            ]
    refine = study.get("refine")
    if isinstance(refine, Mapping) and "by" in refine:
        study["refine"] = {**refine, "by": label("statistic", refine["by"])}
    return study
