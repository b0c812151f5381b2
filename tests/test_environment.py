"""pyproject.toml, environment.yml and requirements.lock say the same thing."""

import re
import runpy
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from tests.texts import said_by

ROOT = Path(__file__).parents[1]

environment = runpy.run_path(str(ROOT / ".ci" / "environment.py"))["environment"]

#: Every environment the lock promises: the locked markers must pick exactly one pin in each.
PYTHONS = ("3.11", "3.12", "3.13")


class Texts(NamedTuple):
    """The three files."""

    pyproject: str
    environment: str
    lock: str


class Pin(NamedTuple):
    """One entry of the lock."""

    name: str
    version: str
    marker: str
    hashes: int


def read_lock(text: str) -> list[Pin]:
    """Return the pins of a lock; refuse a line that is neither a pin nor a hash."""
    pins: list[Pin] = []
    for line in text.splitlines():
        if match := re.fullmatch(r"([a-z0-9-]+)==(\S+)(?: ; (.+?))? \\", line):
            pins.append(Pin(match[1], match[2], match[3] or "", 0))
        elif pins and re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line):
            pins[-1] = pins[-1]._replace(hashes=pins[-1].hashes + 1)
        else:
            raise AssertionError(f"requirements.lock: neither pin nor hash: {line!r}")
    return pins


def pinned(pins: list[Pin], python: str) -> dict[str, list[str]]:
    """Return the versions by name that the lock installs on a version of Python here."""
    place = {"python_version": python, "python_full_version": f"{python}.0"}
    found: dict[str, list[str]] = {}
    for pin in pins:
        if not pin.marker or Marker(pin.marker).evaluate(place):
            found.setdefault(pin.name, []).append(pin.version)
    return found


def asked_for(pyproject: str) -> dict[str, SpecifierSet]:
    """Return what pyproject asks for by name: neurolim's needs, dev and the build backend."""
    content = tomllib.loads(pyproject)
    project = content["project"]
    texts = [
        *content["build-system"]["requires"],
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
    ]
    wanted = [Requirement(text) for text in texts]
    return {canonicalize_name(item.name): item.specifier for item in wanted}


def needed(roots: dict[str, SpecifierSet]) -> dict[str, SpecifierSet]:
    """Return everything the roots need here, directly or not, as the installed packages say.

    A package that is not installed says nothing; that it is not locked is noticed all the same.
    """
    found = dict(roots)
    waiting = [(name, frozenset[str]()) for name in roots]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            texts = requires(name) or ()
        except PackageNotFoundError:
            continue
        for text in texts:
            item = Requirement(text)
            marker = item.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
                continue
            key = canonicalize_name(item.name)
            found[key] = found.get(key, SpecifierSet()) & item.specifier
            step = (key, frozenset(item.extras))
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return found


def disagreements(texts: Texts) -> list[str]:
    """Return every way in which the three files contradict each other."""
    problems: list[str] = []
    wanted = asked_for(texts.pyproject)
    if texts.environment != environment(texts.pyproject):
        problems.append("environment.yml: is not that of pyproject.toml; make conda")

    pins = read_lock(texts.lock)
    problems += [f"requirements.lock: {pin.name} has no hash" for pin in pins if not pin.hashes]
    for python in PYTHONS:
        locked = pinned(pins, python)
        for name, versions in locked.items():
            if len(versions) > 1:
                problems.append(f"requirements.lock: {name} has {versions} on {python}")
        for name, specifier in wanted.items():
            if not any(specifier.contains(found) for found in locked.get(name, ())):
                problems.append(f"{name}{specifier}: locked as {locked.get(name)} on {python}")

    return problems + _against_the_closure(wanted, pins)


def _against_the_closure(wanted: dict[str, SpecifierSet], pins: list[Pin]) -> list[str]:
    """Return what the lock has too much, lacks, or has in a version that nobody wants."""
    # Packages built by conda may need others than the wheels in the lock.
    if (Path(sys.prefix) / "conda-meta").exists():
        return []
    problems = []
    here = pinned(pins, default_environment()["python_version"])
    closure = needed(wanted)
    for name in sorted(closure.keys() | here.keys()):
        versions = here.get(name, [])
        if name not in closure:
            problems.append(f"requirements.lock: nothing needs {name}")
        elif not any(closure[name].contains(found) for found in versions):
            problems.append(f"{name}{closure[name]} is needed, locked as {versions}")
    return problems


@pytest.fixture(scope="module")
def texts() -> Texts:
    files = ("pyproject.toml", "environment.yml", "requirements.lock")
    return Texts(*((ROOT / file).read_text("utf-8") for file in files))


def test_the_three_files_agree(texts: Texts) -> None:
    assert disagreements(texts) == []


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("pyproject", '"numpy>=2.4"', '"numpy>=2.3"'),
        ("pyproject", '"numpy>=2.4",', ""),
        ("pyproject", '"numpy>=2.4"', '"numpy>=2.4", "jax>=0.4"'),
        ("pyproject", '"hatchling>=1.27"', '"setuptools>=80"'),
        ("pyproject", 'requires-python = ">=3.11"', 'requires-python = ">=3.12"'),
        ("environment", "- numpy >=2.4", "- numpy >=2.5"),
        ("environment", "- numpy >=2.4", "- numpy"),
        ("environment", "  - numpy >=2.4\n", ""),
        ("environment", "- numpy >=2.4", "- numpy >=2.4\n  - jax >=0.4"),
        ("environment", "- -e .", "- -e .[dev]"),
        ("lock", "numba==0.68", "numba==0.60"),
        ("lock", "scipy==", "scipy-renamed=="),
        ("lock", "llvmlite==", "llvmlite-renamed=="),
        ("lock", "llvmlite==0.50", "llvmlite==0.40"),
    ],
)
def test_an_edit_of_one_file_alone_is_noticed(
    texts: Texts, file: str, before: str, after: str
) -> None:
    text = getattr(texts, file)
    assert before in text
    assert disagreements(texts._replace(**{file: text.replace(before, after)}))


def test_lock_names_no_host(texts: Texts) -> None:
    assert "://" not in texts.lock
    assert "@" not in texts.lock


def test_lock_refuses_a_pin_without_hash(texts: Texts) -> None:
    first = texts.lock.index("    --hash")
    second = texts.lock.index("\n", texts.lock.index("==", first)) + 1
    start = texts.lock.rindex("\n", 0, second - 1) + 1
    bare = texts.lock[:start] + "bare==1.0 \\\n" + texts.lock[start:]
    assert "requirements.lock: bare has no hash" in disagreements(texts._replace(lock=bare))


def test_installed_versions_are_within_pyprojects_bounds(texts: Texts) -> None:
    for name, bound in asked_for(texts.pyproject).items():
        assert bound.contains(version(name)), name


def test_citation_names_the_version_of_the_package(texts: Texts) -> None:
    citation = said_by((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads(texts.pyproject)["project"]
    assert (citation["title"], citation["version"]) == (project["name"], project["version"])
    assert citation["license"] == project["license"]
