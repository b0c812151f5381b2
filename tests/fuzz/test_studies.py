"""Studies that nobody should write: each is accepted or refused in one line, and soon."""

from __future__ import annotations

import collections
import copy
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.texts import said_by, yaml_of

from neurolim.core import StudyError
from neurolim.study import plan as planning
from neurolim.study.read import load_study

STUDIES = sorted((Path(__file__).parents[2] / "config" / "studies").glob("*.yaml"))
#: Seconds after which a study counts as one that hangs.
PATIENCE = 60
VALUES: list[Any] = [
    None, "", " ", "x" * 5000, "eps", "1e-3", "nan", ".inf", "a b", "a/b", "../../x", "\x1b[31m",
    "<script>", "$\\foo$", "=1+1", "{", "@", "é", True, False, 0, -1, 1, 2**63, 10**400, -0.0,
    1e-320, 1e308, -1e308, float("nan"), float("inf"), [], [[]], [None], [1, "a"], {}, {"a": {}},
    {1: 2}, {"values": []}, {"linspace": [0, 1, 10**9]}, {"inverse": [0]}, {"zip": {}},
    {"logspace": [-1, 1, 3]}, {"linspace": [0.0, 1.0]}, [0.1] * 3, list(range(2000)),
    {"noise": "loud", "values": [1, 2]}, [{"convergence_rate": None}], "model.py:X", b"bytes",
]  # fmt: skip
PIECES = [
    "\t", "\n", "- ", ": ", "&a ", "*a", "<<: *a\n", "!!python/object:os.system ", "!!bool ",
    "!!map ", "!!timestamp ", "%YAML 1.1\n", "---\n", "...\n", "{", "}", "[", "]", "'", '"', "#",
    "\ufeff", "\x00", "\x1b", "|", ">", "? ", "~", "\u2028", "\r", "0o7", "1_000", "yes",
]  # fmt: skip


def places(part, at=()):
    """Yield the path of every value in nested mappings and lists."""
    items = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in items:
        yield (*at, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*at, key))


def changed(mapping, random_numbers):
    """Return the mapping with one to three changes."""
    mapping = copy.deepcopy(mapping)
    for _ in range(random_numbers.randint(1, 3)):
        paths = list(places(mapping))
        if not paths:
            break
        *way, last = random_numbers.choice(paths)
        parent = mapping
        for key in way:
            parent = parent[key]
        kind = random_numbers.choice(
            ["value", "value", "value", "delete", "rename", "wrap", "move"]
        )
        if kind == "delete":
            del parent[last]
        elif kind == "rename" and isinstance(parent, dict):
            parent[random_numbers.choice(["x", "", "eps ", "Eps", 3, "a.b"])] = parent.pop(last)
        elif kind == "wrap":
            parent[last] = random_numbers.choice([[parent[last]], {"a": parent[last]}])
        elif kind == "move":
            mapping[str(last)] = parent[last]
        else:
            parent[last] = random_numbers.choice(VALUES)
    return mapping


def garbled(text, random_numbers):
    """Return the text with pieces put in, cut out or doubled."""
    for _ in range(random_numbers.randint(1, 4)):
        at = random_numbers.randrange(len(text) + 1)
        length = random_numbers.randint(1, 30)
        piece = random_numbers.choice([random_numbers.choice(PIECES), text[at : at + length]])
        text = text[:at] + piece + text[at + random_numbers.choice([0, 0, length]) :]
    return text


def verdict(path):
    """Return "accepted" or "refused", after looking at what was said."""
    try:
        study = load_study(path)
        planning.plan(study)
    except StudyError as error:
        said = str(error)
        assert said.isprintable(), repr(said)
        assert str(path) in said
        return "refused"
    return "accepted"


def attack(folder, count, seed):
    """Return how many mutants were accepted, refused, or what else happened to them."""
    random_numbers = random.Random(seed)
    texts = [path.read_text(encoding="utf-8") for path in STUDIES]
    ends: collections.Counter[str] = collections.Counter()
    others = []

    def give_up(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        for number in range(count):
            text = random_numbers.choice(texts)
            if random_numbers.random() < 0.6:
                text = yaml_of(changed(said_by(text), random_numbers))
            else:
                text = garbled(text, random_numbers)
            path = folder / "mutant.yaml"
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
            signal.alarm(PATIENCE)
            try:
                ends[verdict(path)] += 1
            except Exception as error:  # all that is not a refusal is a fault
                kept = folder / f"fault-{number}.yaml"
                kept.write_text(text, encoding="utf-8", errors="surrogatepass")
                others.append(f"{kept}: {type(error).__name__}: {str(error)[:200]}")
            finally:
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, before)
    print(f"{count} mutated studies: {dict(ends)}, {len(others)} faults")
    return ends, others


@pytest.mark.parametrize(
    ("count", "seed"), [(150, 1), pytest.param(5000, 2, marks=pytest.mark.slow)]
)
def test_every_mutant_is_accepted_or_refused_in_one_line(tmp_path, count, seed):
    ends, others = attack(tmp_path, count, seed)
    assert not others, "\n".join(others[:10])
    assert min(ends["accepted"], ends["refused"]) > count / 20
