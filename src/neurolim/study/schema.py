"""The JSON schema of study files, for editors: keys with their meaning, names, options with bounds.

It is what ``neurolim`` says of itself and of installed plug-ins: the keys of ``StudySpec``, and the
parameters and options of every model, solver, statistic and figure.  What hangs on more than one
key (do the axes fit the model?) is left to ``neurolim check``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from neurolim import core
from neurolim.core import Param
from neurolim.core.stored import MOST_LETTERS, WORD
from neurolim.study.spec import ALIAS, StudySpec

Schema = dict[str, Any]
#: Files of plug-ins: file.py, file.py:NAME.
_FILE = r"\.py(:\w+)?$"
_NUMBER, _WORD, _NOTHING = {"type": "number"}, {"type": "string"}, {"type": "null"}


def study_schema() -> Schema:
    """Return the JSON schema (2020-12) of study files."""
    schema = StudySpec.model_json_schema()
    keys, tiny = schema["properties"], schema["$defs"]["Tiny"]["properties"]
    _restate(keys["model"], _named("model"), {"type": "object"})
    _restate(keys["solver"], _named("solver"))
    whole = {"solver": _named("solver"), "options": {"type": "object"}}
    _restate(keys["reference"], _named("solver"), _mapping(whole, ["solver"]))
    for grid in (keys["grid"], tiny["grid"]):
        grid["additionalProperties"] = _axis()
        grid["propertyNames"] = {"pattern": f"^{WORD}$", "maxLength": MOST_LETTERS}
    for key, kind in (("statistics", "statistic"), ("figures", "figure")):
        options = {name: _options(core.get(kind, name).options) for name in core.names(kind)}
        either = {name: _either(option, _NOTHING) for name, option in options.items()}
        keys[key]["items"] = _either(_named(kind), *_entries(kind, either))
        changed = {name: _options(core.get(kind, name).options, True) for name in options}
        # Others are files, or aliases.
        tiny[key] |= _mapping(changed) | {"additionalProperties": {"type": "object"}}
    del schema["$defs"]["Entry"]
    about = "One experiment of neurolim: a study file, as `neurolim check` reads it."
    schema |= {"title": "neurolim study", "description": about}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        # For anchors.
        "patternProperties": {"^x-": {}},
        "allOf": [*_by_name("model", "params"), *_by_name("solver", "options")],
    }


def _restate(key: Schema, *alternatives: Schema) -> None:
    """Put alternatives in the place of what a key is said to be; its description stays."""
    kept = {name: key[name] for name in ("description", "default") if name in key}
    key.clear()
    key |= kept | _either(*alternatives)


def _either(*alternatives: Schema) -> Schema:
    return {"anyOf": list(alternatives)} if len(alternatives) > 1 else alternatives[0]


def _named(kind: str) -> Schema:
    """Return the names of a kind, or a file."""
    return _either({"enum": list(core.names(kind))}, {"type": "string", "pattern": _FILE})


def _mapping(keys: Schema, required: Iterable[str] = (), files: bool = False) -> Schema:
    """Return a mapping of these keys and no others, or of files, too."""
    found: Schema = {"type": "object", "properties": keys, "additionalProperties": False}
    if required:
        found["required"] = list(required)
    if files:
        found["patternProperties"] = {_FILE: {"type": ["object", "null"]}}
    return found


def _entries(kind: str, options: Schema) -> Iterator[Schema]:
    """Yield what an entry of a list may be that has options: with an alias, if it may have one."""
    yield _mapping(options, files=True) | {"minProperties": 1, "maxProperties": 1}
    if kind == "statistic":
        about = "stands before the names of all results, where a statistic is listed twice"
        alias = {"as": {"type": "string", "pattern": f"^{ALIAS}$", "description": about}}
        both = _mapping(options | alias, ["as"], files=True)
        yield both | {"minProperties": 2, "maxProperties": 2}


def _axis() -> Schema:
    """Return what an axis of the grid may be."""
    values = {"type": "array", "minItems": 1}
    numbers = values | {"items": _NUMBER}
    three = numbers | {"minItems": 3, "maxItems": 3}
    forms = {
        "values": values | {"description": "the values"},
        "inverse": numbers | {"description": "1/x of each"},
        "linspace": three | {"description": "first, last, how many"},
        "logspace": three | {"description": "first, last (values), how many"},
    }
    several = {"type": "object", "minProperties": 2, "description": "parameters that move together"}
    several["additionalProperties"] = _either(values, _mapping(forms))
    words = {"enum": ["independent", "common"], "description": "whether points share their noise"}
    return _either(values, _mapping(forms | {"zip": several, "noise": words}))


def _by_name(key: str, section: str) -> Iterator[Schema]:
    """Yield, for each model or solver, what its parameters or options may be."""
    for name in core.names(key):
        plugin = core.get(key, name)
        params = plugin.params if key == "model" else plugin.options
        changed = {"properties": {section: _options(params, True)}}
        yield {
            "if": {"properties": {key: {"const": name}}, "required": [key]},
            "then": {"properties": {section: _options(params), "tiny": changed}},
        }


def _options(params: Iterable[Param], changed: bool = False) -> Schema:
    """Return what options may be; at test size one may be null, for its default."""
    options = {param.name: param_schema(param) for param in params}
    if changed:
        options = {name: _either(option, _NOTHING) for name, option in options.items()}
    return _mapping(options)


def param_schema(param: Param) -> Schema:
    """Return what the values of a parameter or option may be."""
    number = _bounded(param)
    numbers: Schema = {"type": "array", "items": number, "minItems": 1}
    by_kind: dict[str, Schema] = {
        "number": number,
        "integer": number | {"type": "integer"},
        "record time": number,
        "boolean": {"type": "boolean"},
        "choice": {"enum": list(param.choices)},
        "vector": numbers,
        "matrix": numbers | {"items": numbers},
        "names": _either(_WORD, {"type": "array", "items": _WORD, "minItems": 1}),
        "graph": _either({"type": "array"}, {"type": "string", "pattern": r"\.csv$"}),
    }
    found = by_kind.get(param.kind, _WORD)
    if param.kind == "number" and param.choices:
        found = _either(number, {"enum": list(param.choices)})
    unit = f" [{param.unit}]" if param.unit not in ("", "1") else ""
    about: Schema = {"description": f"{param.doc}{unit}: {param.describe()}"}
    if param.default is not None and _is_json(param.default):
        about["default"] = param.default
    return {**found, **about}


def _bounded(param: Param) -> Schema:
    """Return the numbers between the bounds of a parameter."""
    number: Schema = dict(_NUMBER)
    if param.positive and param.low <= 0.0:
        number["exclusiveMinimum"] = 0.0
    elif math.isfinite(param.low):
        number["minimum"] = param.low
    if math.isfinite(param.high):
        number["maximum"] = param.high
    return number


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
