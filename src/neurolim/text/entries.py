"""The entries of a model as text: each is looked at before anything is made of it."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

from neurolim.core import Param, StudyError, hint
from neurolim.core.errors import show
from neurolim.text.equations import Names, Part, read
from neurolim.text.tokens import RESERVED

#: Entries of a mapping, and sites.
MAX_ENTRIES = 100
#: Numbers an initial law may be made of.
MAX_SAMPLES = 10_000
#: Characters of names and of lines of words.
MAX_NAME = 40
MAX_WORDS = 1000
#: What ends the line on which a variable lives.
ENDS = ("floor", "ceiling", "period")
_PARAM = ("default", "unit", "doc", "low", "high", "positive")

#: How results, sites and models may be called, and what has a name in equations.
LABEL = re.compile(r"[A-Za-z0-9]\w*(-\w+)*", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


def line_of(given: Mapping[str, Any], key: str, default: str = "") -> str:
    """Return a line of words of a mapping."""
    value = given.get(key, default)
    if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_WORDS:
        raise StudyError(key, f"got {show(value)}", f"a line of up to {MAX_WORDS} characters")
    return value


def mapping(value: Any, key: str, allowed: str) -> Mapping[str, Any]:
    """Return a mapping by names; nothing is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise StudyError(key, f"got {show(value)}", allowed)
    if len(value) > MAX_ENTRIES:
        raise StudyError(key, f"{len(value)} entries", f"at most {MAX_ENTRIES}")
    for name in value:
        if not isinstance(name, str):
            raise StudyError(key, f"{show(name)} is no name", "letters, digits and _")
    return value


def check_keys(given: Mapping[str, Any], key: str, allowed: Collection[str]) -> None:
    """Refuse keys that are not known."""
    for name in given:
        if name not in allowed:
            path = ".".join(filter(None, (key, name[:MAX_NAME])))
            raise StudyError(path, f"unknown key{hint(name, allowed)}", list(allowed))


def number(value: Any, key: str) -> float:
    """Return a number: as such, or as an equation without names."""
    constant = equation(value, key, Names((), (), ()), ()).constant
    if constant is None:
        raise StudyError(key, f"got {show(value)}", "a number, such as 1.5 or 2*pi")
    return constant


def flag(given: Mapping[str, Any], word: str, key: str) -> bool:
    """Return whether something is said to hold."""
    value = given.get(word, False)
    if not isinstance(value, bool):
        raise StudyError(f"{key}.{word}", f"got {show(value)}", "true, false")
    return value


def equation(value: Any, key: str, names: Names, arguments: Collection[str]) -> Part:
    """Return a checked equation, or the number that stands in its place."""
    try:
        if isinstance(value, Real) and not isinstance(value, bool):
            value = float(value)
            if not math.isfinite(value):
                raise StudyError("", f"got {value}", "a finite number")
            value = repr(value)
        if not isinstance(value, str):
            raise StudyError("", f"got {show(value)}", "an equation or a number")
        return read(value, names, arguments)
    except OverflowError:
        raise StudyError(key, "a number that is too large", "an equation or a number") from None
    except StudyError as error:
        raise error.within(key) from None


def check_names(sections: Mapping[str, Collection[str]]) -> None:
    """Refuse names that cannot be written in equations, or that two things have.

    Parameters
    ----------
    sections : names by the section in which they stand
    """
    seen: dict[str, str] = {}
    for key, names in sections.items():
        for name in names:
            if _NAME.fullmatch(name) is None or keyword.iskeyword(name) or len(name) > MAX_NAME:
                allowed = f"up to {MAX_NAME} letters, digits and _"
                raise StudyError(key, f"{show(name)} is no name", allowed)
            if name in RESERVED:
                raise StudyError(f"{key}.{name}", "has a meaning in equations", "another name")
            if name in seen:
                raise StudyError(f"{key}.{name}", f"also in {seen[name]}", "distinct names")
            seen[name] = key


def check_walls(given: Mapping[str, Any], key: str) -> None:
    """Refuse walls and circles on which no variable can live."""
    ends = {word: number(given[word], f"{key}.{word}") for word in ENDS if word in given}
    if ends.get("floor", -math.inf) >= ends.get("ceiling", math.inf):
        raise StudyError(f"{key}.floor", f"{ends['floor']:g}", f"below {ends['ceiling']:g}")
    if "period" in ends and (len(ends) > 1 or ends["period"] <= 0.0):
        raise StudyError(f"{key}.period", f"got {show(given['period'])}", "> 0, without walls")


def law_of(given: Any, key: str) -> tuple[str, list[Any]]:
    """Return the kind of an initial law and its numbers.

    Parameters
    ----------
    given : {uniform: [low, high]}, {mixture: [[weight, mean, deviation], ...]}, {samples: [...]}
    key : where it stands
    """
    shapes = "{uniform: [low, high]}, {mixture: [[weight, mean, deviation], ...]}, {samples: [...]}"
    law = mapping(given, key, shapes)
    check_keys(law, key, ("uniform", "mixture", "samples"))
    if len(law) != 1:
        raise StudyError(key, f"{len(law)} laws", shapes)
    ((kind, values),) = law.items()
    lengths = {"uniform": (2, 2), "mixture": (1, MAX_ENTRIES), "samples": (1, MAX_SAMPLES)}
    least, most = lengths[kind]
    if not isinstance(values, (list, tuple)) or not least <= len(values) <= most:
        raise StudyError(f"{key}.{kind}", f"got {show(values)[:60]}", shapes)
    parts = values if kind == "mixture" else ()
    if any(not isinstance(part, (list, tuple)) or len(part) != 3 for part in parts):
        raise StudyError(f"{key}.{kind}", f"got {show(values)[:60]}", shapes)
    return kind, list(values)


def sites_of(model: Mapping[str, Any]) -> tuple[str | float, ...]:
    """Return the labels of the sites, if a model has any."""
    given = model.get("sites")
    if given is None:
        if "weights" in model:
            raise StudyError("weights", "weights without `sites`", "sites: [E, I]")
        return ()
    if not isinstance(given, (list, tuple)) or not 1 <= len(given) <= MAX_ENTRIES:
        raise StudyError("sites", f"got {show(given)}", "a list of names or of positions")
    named = all(isinstance(s, str) and LABEL.fullmatch(s) and len(s) < MAX_NAME for s in given)
    labels = tuple(given) if named else tuple(number(site, "sites") for site in given)
    if len(set(labels)) < len(labels):
        raise StudyError("sites", "two with one label", "distinct names or positions")
    return labels


def params_of(given: Mapping[str, Any], several: bool) -> dict[str, Param]:
    """Return the parameters by name.

    Parameters
    ----------
    given : what the model says of each
    several : the model has sites, so that a parameter may be a list of one number each
    """
    params = {}
    for name, value in given.items():
        key = f"params.{name[:MAX_NAME]}"
        said = value if isinstance(value, Mapping) else {"default": value}
        said = mapping(said, key, "a number or a mapping")
        check_keys(said, key, _PARAM)
        default = said.get("default")
        listed = isinstance(default, (list, tuple))
        if listed and not several:
            raise StudyError(key, "a list, one number per site", "a number, or `sites`")
        param = Param(
            name,
            default,
            line_of(said, "unit", "1"),
            line_of(said, "doc"),
            "vector" if listed else "number",
            number(said["low"], f"{key}.low") if "low" in said else -math.inf,
            number(said["high"], f"{key}.high") if "high" in said else math.inf,
            flag(said, "positive", key),
        )
        try:
            params[name] = replace(param, default=param.check(default))
        except StudyError as error:
            raise StudyError(key, error.problem, error.allowed) from None
    return params
