"""Folders of results that disks and people damaged: what is wrong is named, or heals by itself."""

from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import random
import shutil

import pytest

from neurolim import run_study
from neurolim.archive.write import archive
from neurolim.cli import main
from neurolim.core import StudyError
from neurolim.store import store
from neurolim.study.read import load_study

STUDY = """
model: linear
solver: particles
reference: moments
options: {n_neurons: 20, dt: 0.1, t_end: 1.0, records: 2}
grid: {eps: {inverse: [10, 20, 40, 80]}}
replicas: 2
statistics: [agreement]
figures: [agreement_scores]
chunk_seconds: 1.0e-9
paper: A paper
statement: A statement
"""
#: Only these bring numbers that are looked at from outside.
RESULTS = ("data.zip", "statistics.zip", "analysis.json", "collection.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return (study file, folder of whole results)."""
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "small.yaml"
    path.write_text(STUDY)
    run_study(path, folder / "results")
    verb("verdicts", path, "--results", folder / "results")
    return path, folder / "results"


def verb(*words):
    """Return (exit code, what was said) of a verb in this process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(list(map(str, words)))
        except SystemExit as ended:
            return int(ended.code or 0), said.getvalue()
    return 0, said.getvalue()


def files(folder):
    """Return the bytes of the results that must come again, by name."""
    home = folder / "small"
    paths = [home / name for name in RESULTS]
    paths += [*home.glob("tables/*.csv"), *home.glob("figures/*.svg"), *home.glob("chunks/*.zip")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


JUNK = [
    b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\x00" * 100, b"\xff\xfe", b'{"failed": "x"}', b"7"
]  # fmt: skip
KINDS = ["flip", "cut", "junk", "remove", "swap", "grow", "value", "folder"]
VERBS = ["status", "status --check", "plan", "verdicts", "clean"]
WRONG = ["x", -1, None, [], {}, 1e400, True, "0" * 64]


def damage(path, random_numbers):
    """Damage a file in one of many ways, and return which."""
    content = path.read_bytes()
    kind = random_numbers.choice(
        ["flip", "cut", "junk", "remove", "swap", "grow", "value", "folder"]
    )
    if kind == "flip" and content:
        place = random_numbers.randrange(len(content))
        flipped = content[place] ^ 1 << random_numbers.randrange(8)
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
    elif kind == "cut":
        path.write_bytes(content[: random_numbers.randrange(len(content) + 1)])
    elif kind == "remove":
        path.unlink()
    elif kind == "swap":
        others = [other for other in path.parent.glob("*") if other.is_file()]
        path.write_bytes(random_numbers.choice(others).read_bytes())
    elif kind == "grow":
        path.write_bytes(content + b"x" * random_numbers.choice([1, 1000]))
    elif kind == "value" and path.suffix == ".json":
        with contextlib.suppress(ValueError):
            record = json.loads(content)
            key = random_numbers.choice([*record, "new"]) if isinstance(record, dict) else None
            if key is not None:
                record[key] = random_numbers.choice(WRONG)
                path.write_text(json.dumps(record))
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        kind = "junk"
        path.write_bytes(random_numbers.choice(JUNK))
    return kind


def said_well(code, said):
    """Return whether a verb ended well, or with lines for people."""
    return code in (0, 1, 2) and "Traceback" not in said


def heal(path, results):
    """Run the study; where a line says what to delete, delete it and run again."""
    for _ in range(20):
        try:
            run_study(path, results)
            return
        except (StudyError, store.StoreError) as error:
            for word in str(error).replace(";", " ").split():
                named = type(path)(word.rstrip(":,."))
                if named.is_relative_to(results) and named != results and named.exists():
                    shutil.rmtree(named) if named.is_dir() else named.unlink()
    raise AssertionError("no remedy helps")


def attack(whole, tmp_path, count, seed):
    """Return how often what was done, and what went wrong."""
    random_numbers = random.Random(seed)
    path, template = whole
    expected = files(template)
    done: collections.Counter[str] = collections.Counter()
    faults = []
    for number in range(count):
        results = tmp_path / str(number)
        shutil.copytree(template, results)
        victims = sorted(each for each in results.rglob("*") if each.is_file())
        kinds = []
        for _ in range(random_numbers.randint(1, 3)):
            victim = random_numbers.choice([each for each in victims if each.is_file()])
            kinds.append(f"{damage(victim, random_numbers)} {victim.relative_to(results)}")
        done.update(kind.split()[0] for kind in kinds)
        try:
            for words in VERBS:
                name, *options = words.split()
                code, said = verb(name, path, *options, "--results", results)
                assert said_well(code, said), said
            code, said = verb("find", "eps=0.1", "--results", results)
            assert said_well(code, said), said
            with contextlib.suppress(StudyError, store.StoreError):
                archive([str(path)], str(results), date="2026-01-01")
            heal(path, results)
            assert files(results) == expected
        except Exception as error:  # all but one line of refusal is a fault
            faults.append(f"{kinds}: {type(error).__name__}: {str(error)[-300:]}")
        shutil.rmtree(results)
    print(f"{count} damaged folders: {dict(done)}, {len(faults)} faults")
    return done, faults


@pytest.mark.parametrize(("count", "seed"), [(12, 1), pytest.param(300, 2, marks=pytest.mark.slow)])
def test_damage_is_named_or_heals(whole, tmp_path, count, seed):
    done, faults = attack(whole, tmp_path, count, seed)
    assert not faults, "\n".join(faults[:10])
    assert sum(done.values()) >= count
    assert load_study(whole[0]).n_runs == 8
    assert os.listdir(tmp_path) == []
