"""A study at test size: what its section ``tiny`` says, laid over the study.

The section names only what differs: some of ``params``, of ``options``, of ``refine``, of the
options of the reference, a statistic or a figure, some axes of ``grid``, and the numbers
``replicas``, ``failed_share`` and ``chunk_seconds``.  A value, a list or an axis takes the place of
the study's; ``null`` takes an option away, so that its default holds.  What is claimed and
expected, model, solver and seed are the study's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurolim import core
from neurolim.core import StudyError, hint
from neurolim.study.spec import Options, Tiny


def at_test_size(study: Mapping[str, Any], tiny: Tiny) -> dict[str, Any]:
    """Return what a study says at test size.

    Parameters
    ----------
    study : keys of a study file, of the right types
    tiny : its section ``tiny``

    Raises
    ------
    StudyError : an axis, statistic or figure that the study does not have
    """
    result = {key: value for key, value in study.items() if key != "tiny"}
    for key in ("params", "options", "refine"):
        if key in tiny.model_fields_set:
            result[key] = _merged(f"tiny.{key}", study.get(key) or {}, getattr(tiny, key))
    for key in ("replicas", "failed_share", "chunk_seconds"):
        if key in tiny.model_fields_set:
            result[key] = getattr(tiny, key)
    if tiny.reference is not None:
        result["reference"] = _reference(study.get("reference"), tiny.reference.options)
    for name in tiny.grid:
        _check_known("tiny.grid", name, study.get("grid") or {})
    if tiny.grid:
        result["grid"] = {**study["grid"], **tiny.grid}
    for key in ("statistics", "figures"):
        if key in tiny.model_fields_set:
            result[key] = _entries(key, study.get(key) or (), getattr(tiny, key))
    return result


def _merged(key: str, whole: Mapping[str, Any], changes: Options) -> Options:
    """Return options with some of them changed, and those changed to nothing taken away."""
    taken = {name for name, value in changes.items() if value is None}
    for name in taken:
        _check_known(key, name, whole)
    return {name: value for name, value in {**whole, **changes}.items() if name not in taken}


def _reference(reference: Any, changes: Options) -> Options:
    """Return the reference with some of its options changed."""
    if reference is None:
        raise StudyError("tiny.reference", "the study has no reference", "a study with one")
    whole = reference if isinstance(reference, Mapping) else {"solver": reference}
    options = _merged("tiny.reference.options", whole.get("options") or {}, changes)
    return {**whole, "options": options}


def _entries(key: str, entries: Any, changes: Mapping[str, Options]) -> list[Any]:
    """Return statistics or figures with the options of some of them changed."""
    kind, section = key.removesuffix("s"), f"tiny.{key}"
    whole = [dict(entry) if isinstance(entry, Mapping) else {entry: {}} for entry in entries]
    words = [next(word for word in entry if word != "as") for entry in whole]
    # A study may use a name of the release before, and its section the one of today.
    labels = [
        entry.get("as") or core.current(kind, word)
        for entry, word in zip(whole, words, strict=True)
    ]
    today = {core.current(kind, label): options for label, options in changes.items()}
    for label in today:
        _check_known(section, label, dict.fromkeys(labels))
    for entry, word, label in zip(whole, words, labels, strict=True):
        entry[word] = _merged(f"{section}.{label}", entry[word] or {}, today.get(label, {}))
    return whole


def _check_known(key: str, name: str, known: Mapping[Any, Any]) -> None:
    """Refuse to change what the study does not have."""
    if name not in known:
        names = [word for word in known if isinstance(word, str)]
        problem = f"not in the study{hint(name, names)}"
        raise StudyError(f"{key}.{name}", problem, names or "nothing")
