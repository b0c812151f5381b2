"""YAML 1.2 as studies are written in it, with the line of every key.

A plain word is a number where it is decimal (``1e-3``, ``.5``, ``-2``; ``010`` is ten), a truth
value (``true``, ``false``; ``yes`` is a word), nothing (``null``), or text.  What else YAML takes
for a number (``1_000``, ``0o7``, ``0x1f``), keys that are no words or appear twice, tags and tabs
are refused.  So are integers of more than a thousand digits, halves of characters, and what is
nested a hundred deep.

``&name`` before a value lets ``*name`` stand for the same value further down, and ``<<: *name``
puts the keys of a mapping into another one, whose own keys come first.  What is repeated in this
way is spelled out, so there may be no more of it than some thousand values, and nothing may stand
for what it is in.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from neurolim.core import StudyError
from neurolim.sources import read_file
from neurolim.study.yaml_faults import in_words

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_DIGITS = 1000
_DEEPEST = 100
_TOO_DEEP = f"nested more than {_DEEPEST} deep"
#: Values, and hundreds of letters, that aliases may repeat.
_MOST_REPEATED = 20_000
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
            at_or_below = _within(self.numbers, old)
            numbers |= {new + at[len(old) :]: self.numbers[at] for at in at_or_below}
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
        text = read_file(path)
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
        problem, allowed = in_words(str(error.problem or error.context))
        raise StudyError("", problem, allowed, file, mark.line + 1 if mark else 0) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"character U+{ord(text[error.position]):04X}"
        raise StudyError("", problem, "characters that can be seen", file, line) from None
    except (YAMLError, ValueError):
        raise StudyError("", *in_words(""), file) from None


def _parsed(text: str, file: str) -> Document:
    """Return what a YAML text says, or raise what is wrong with it."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    with warnings.catch_warnings():
        # Of anchors with one name, of which the last one above an alias counts.
        warnings.simplefilter("ignore")
        node = yaml.compose(text)
    numbers: dict[str, int] = {}
    content = None if node is None else _Reader().content(node, "", numbers)
    return Document(content, Lines(file, numbers))


class _Composer(Composer):
    """Marks nodes with a tag as such, for ruamel forgets whether a tag is written or its own."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node, its ``comment`` its tag.

        Raises
        ------
        StudyError : nested too deeply
        """
        event = self.parser.peek_event()
        if self.depth >= _DEEPEST:
            raise StudyError("", _TOO_DEEP, "less", line=event.start_mark.line + 1)
        node = super().compose_node(parent, index)
        if not isinstance(event, AliasEvent):
            node.comment = getattr(event, "ctag", None)
        return node


def _within(places: Mapping[str, int], outer: str) -> list[str]:
    """Return the places at or below one."""
    return [place for place in places if place == outer or place.startswith(f"{outer}.")]


#: {name: (value, lines of the places in it)}
_Pairs = dict[str, tuple[Any, dict[str, int]]]


class _Reader:
    """Reads what nodes say; what aliases repeat is bounded."""

    def __init__(self) -> None:
        self._around: list[Node] = []
        self._seen: set[int] = set()
        self._repeated = 0

    def content(self, node: Node, key: str, numbers: dict[str, int]) -> Any:
        """Return what a node says; note the lines of the keys within.

        Parameters
        ----------
        node : of the document
        key : its place
        numbers : lines by place, to which those within are added
        """
        numbers.setdefault(key, node.start_mark.line + 1)
        with self._entered(node, key):
            if isinstance(node, ScalarNode):
                return _scalar(node, key, node.start_mark.line + 1)
            if isinstance(node, SequenceNode):
                return [self._entry(entry, key, numbers) for entry in node.value]
            pairs = self._pairs(node, key)
        for _, places in pairs.values():
            numbers |= places
        return {name: value for name, (value, _) in pairs.items()}

    @contextmanager
    def _entered(self, node: Node, key: str) -> Iterator[None]:
        """Refuse tags, and what aliases make endless, too deep or too long."""
        line = node.start_mark.line + 1
        if node.comment is not None:
            raise StudyError(key, f"tag {node.comment}", "the value without a tag", line=line)
        if any(node is outer for outer in self._around):
            problem = f"alias *{node.anchor} stands within what it stands for"
            raise StudyError(key, problem, "a value that ends", line=line)
        if len(self._around) > _DEEPEST:
            raise StudyError(key, _TOO_DEEP, "less", line=line)
        if id(node) in self._seen:
            self._repeated += 1 + (len(node.value) // 100 if isinstance(node.value, str) else 0)
        self._seen.add(id(node))
        if self._repeated > _MOST_REPEATED:
            problem = f"aliases repeat more than {_MOST_REPEATED} values"
            raise StudyError(key, problem, "fewer aliases", line=line)
        self._around.append(node)
        yield
        self._around.pop()

    def _pairs(self, node: Node, key: str) -> _Pairs:
        """Return {name: (value, lines of the places in it)}: what is merged, then its own."""
        own: _Pairs = {}
        merges: list[_Pairs] = []
        for name_node, value in node.value:
            at = name_node.start_mark.line + 1
            merge = name_node.tag == f"{_TAG}merge"
            name = "<<" if merge else self._name(name_node, key, at)
            if name in own or (merge and merges):
                raise StudyError(key, f"key {name!r} appears twice", "every key once", line=at)
            if merge:
                merges.append(self._merged(value, key, at))
                continue
            within = f"{key}.{name}" if key else name
            places = {within: at}
            own[name] = self.content(value, within, places), places
        return {**merges[0], **own} if merges else own

    def _name(self, node: Node, key: str, line: int) -> str:
        """Return a key of a mapping."""
        name = self.content(node, key, {}) if isinstance(node, ScalarNode) else None
        if not isinstance(name, str):
            shown = f"key {name!r} is" if isinstance(node, ScalarNode) else "a key that is"
            raise StudyError(key, f"{shown} not a word", "words as keys", line=line)
        return name

    def _merged(self, node: Node, key: str, line: int) -> _Pairs:
        """Return what ``<<`` puts into a mapping; of two sources the first one counts."""
        merged: _Pairs = {}
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(source, MappingNode):
                raise StudyError(key, "<< of what is no mapping", "<<: *name", line=line)
            with self._entered(source, key):
                pairs = self._pairs(source, key)
            merged |= {name: pair for name, pair in pairs.items() if name not in merged}
        return merged

    def _entry(self, node: Node, key: str, numbers: dict[str, int]) -> Any:
        """Return what an entry of a list says; its place is its word, its one key, or its alias."""
        places: dict[str, int] = {}
        content = self.content(node, key, places)
        line = places.pop(key)
        if isinstance(content, str):
            places[f"{key}.{content}"] = line
        alias = content.get("as") if isinstance(content, dict) else None
        names = [name for name in content if name != "as"] if isinstance(alias, str) else []
        for own in (f"{key}.{name}" for name in names):
            for place in _within(places, own):
                numbers[f"{key}.{alias}{place[len(own) :]}"] = places.pop(place)
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
