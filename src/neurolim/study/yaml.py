"""YAML 1.2 as studies are written in it, with the line of every key.

A plain word is a number where it is decimal (``1e-3``, ``.5``, ``-2``; ``010`` is ten), a truth
value (``true``, ``false``; ``yes`` is a word), nothing (``null``), or text.  What else YAML takes
for a number (``1_000``, ``0o7``, ``0x1f``), keys that are no words or appear twice, anchors, merge
keys, tags and tabs are refused: a study says what it says where it is read.  So are integers of
more than a thousand digits, halves of characters, and what is nested a hundred deep.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from neurolim.core import StudyError

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_DIGITS = 1000
_DEEPEST = 100
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)


@dataclass(frozen=True)
class Lines:
    """Where in a file its keys are.

    Parameters
    ----------
    file : as refusals name it; empty for what no file says
    numbers : line of every key, by its dotted place in the file; entries of lists by their words
    """

    file: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict)

    def of(self, *keys: str) -> int:
        """Return the line of one of these places, or of what is least around one; 0 for none."""
        around = [
            (len(key) - len(place), line)
            for key in map(_below, keys)
            for place, line in ((_below(place), line) for place, line in self.numbers.items())
            if f"{key}.".startswith(f"{place}.")
        ]
        return min(around, key=lambda pair: pair[0])[1] if around else 0

    def renamed(self, names: Mapping[str, str]) -> Lines:
        """Return these lines by other names of places.

        Parameters
        ----------
        names : {place in the file: place as refusals name it}; what is in a place moves with it
        """
        numbers = dict(self.numbers)
        for old, new in names.items():
            within = [at for at in self.numbers if at == old or at.startswith(f"{old}.")]
            numbers |= {new + at[len(old) :]: self.numbers[at] for at in within}
        return Lines(self.file, numbers)

    def placed(self, error: StudyError, section: str = "") -> StudyError:
        """Return a refusal with file and line.

        Parameters
        ----------
        error : the refusal
        section : whose keys are looked for first, as ``tiny``
        """
        keys = [f"{section}.{error.key}", error.key] if section else [error.key]
        return error.within(file=self.file, line=self.of(*keys))


def _below(place: str) -> str:
    """Return a place with a dot before each of its parts; nothing for the whole document."""
    return f".{place}" if place else ""


@dataclass(frozen=True)
class Document:
    """What a YAML file says.

    Parameters
    ----------
    content : mappings, lists, words, numbers, truth values, None
    lines : where its keys are
    """

    content: Any
    lines: Lines


def read_yaml(path: str | Path, kind: str = "a YAML study file") -> Document:
    """Return what a YAML file says.

    Raises
    ------
    StudyError : cannot be read, no UTF-8, or not YAML as it is described above, with the line
    """
    file = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise StudyError("", "not UTF-8 text", kind, file) from None
    except (OSError, ValueError) as error:
        problem = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise StudyError("", problem, kind, file) from None
    return parse_yaml(text, file)


def parse_yaml(text: str, file: str = "") -> Document:
    """Return what a YAML text says.

    Raises
    ------
    StudyError : not YAML as it is described above, with the line
    """
    try:
        return _parsed(text, file)
    except StudyError as error:
        raise error.within(file=file) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context)
        raise StudyError("", problem, "valid YAML", file, mark.line + 1 if mark else 0) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"character U+{ord(text[error.position]):04X}"
        raise StudyError("", problem, "characters that can be seen", file, line) from None
    except (YAMLError, ValueError) as error:
        problem = f"not YAML: {type(error).__name__} {str(error)[:100]}"
        raise StudyError("", problem, "valid YAML", file) from None


def _parsed(text: str, file: str) -> Document:
    """Return what a YAML text says, or raise what is wrong with it."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    with warnings.catch_warnings():
        # Of anchors, which are refused anyway.
        warnings.simplefilter("ignore")
        node = yaml.compose(text)
    numbers: dict[str, int] = {}
    content = None if node is None else _content(node, "", numbers)
    return Document(content, Lines(file, numbers))


class _Composer(Composer):
    """Marks nodes with a tag as such, for ruamel forgets whether a tag is written or its own."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node, its ``comment`` its tag.

        Raises
        ------
        ComposerError : nested too deeply
        """
        event = self.parser.peek_event()
        if self.depth >= _DEEPEST:
            problem = f"nested more than {_DEEPEST} deep"
            raise ComposerError(None, None, problem, event.start_mark)
        node = super().compose_node(parent, index)
        node.comment = getattr(event, "ctag", None)
        return node


def _content(node: Node, key: str, numbers: dict[str, int]) -> Any:
    """Return what a node says; note the lines of the keys within."""
    line = node.start_mark.line + 1
    numbers.setdefault(key, line)
    if node.anchor is not None:
        raise StudyError(key, f"anchor &{node.anchor}", "the value itself", line=line)
    if node.comment is not None:
        raise StudyError(key, f"tag {node.comment}", "the value without a tag", line=line)
    if isinstance(node, ScalarNode):
        return _scalar(node, key, line)
    if isinstance(node, SequenceNode):
        return [_entry(entry, key, numbers) for entry in node.value]
    content: dict[str, Any] = {}
    for name_node, value in node.value:
        at = name_node.start_mark.line + 1
        if not isinstance(name_node, ScalarNode) or name_node.tag == f"{_TAG}merge":
            raise StudyError(key, "a key that is not a word", "words as keys", line=at)
        name = _content(name_node, key, {})
        if not isinstance(name, str):
            raise StudyError(key, f"key {name!r} is not a word", "words as keys", line=at)
        if name in content:
            raise StudyError(key, f"key {name!r} appears twice", "every key once", line=at)
        within = f"{key}.{name}" if key else name
        numbers[within] = at
        content[name] = _content(value, within, numbers)
    return content


def _entry(node: Node, key: str, numbers: dict[str, int]) -> Any:
    """Return what an entry of a list says; its place is its word, its one key, or its alias."""
    places: dict[str, int] = {}
    content = _content(node, key, places)
    line = places.pop(key)
    if isinstance(content, str):
        places[f"{key}.{content}"] = line
    alias = content.get("as") if isinstance(content, dict) else None
    names = [name for name in content if name != "as"] if isinstance(alias, str) else []
    for own in (f"{key}.{name}" for name in names):
        within = [place for place in places if place == own or place.startswith(f"{own}.")]
        numbers |= {f"{key}.{alias}{place[len(own) :]}": places.pop(place) for place in within}
    numbers |= places
    return content


def _scalar(node: ScalarNode, key: str, line: int) -> Any:
    """Return a word, number or truth value, or None."""
    kind, text = str(node.tag).removeprefix(_TAG), str(node.value)
    if kind == "null":
        return None
    if kind == "bool":
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise StudyError(key, f"truth value {text}", "true, false, or a word in quotes", line=line)
    # YAML would have .5e3 a word.
    if kind in ("int", "float") or (node.style is None and _DECIMAL.fullmatch(text)):
        return _number(text, key, line)
    if _SURROGATE.search(text):
        raise StudyError(key, f"half of a character in {text!r}", "whole characters", line=line)
    return text


def _number(text: str, key: str, line: int) -> float:
    """Return a number."""
    if _INTEGER.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            problem = f"an integer of {len(text)} digits"
            raise StudyError(key, problem, f"at most {_MOST_DIGITS}", line=line)
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    raise StudyError(key, f"number {text[:60]}", "decimal digits, as 1000 or 1e-3", line=line)
