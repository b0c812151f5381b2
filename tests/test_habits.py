"""Habits that no type checker sees: imports, docstrings, what is tracked, what the guides say."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from importlinter.cli import lint_imports
from numpydoc.validate import validate
from tests.running import environment
from tests.texts import said_by

import neurolim
from neurolim import core
from neurolim.new import new
from neurolim.study.read import parse_study
from neurolim.testing import checks

ROOT = Path(__file__).parents[1]
MAX_BYTES = 1_000_000

#: Registries whose addresses depend on where somebody works; spelt so that this file has none.
HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("python" + "hosted", "org"),
        ("conda", "anaconda", "org"),
        ("registry", "npmjs"),
        ("deb", "debian", "org"),
    )
)
#: Absolute paths into somebody's machine.
PATHS = re.compile(r"""(?:^|[\s"'`=:(\[,])/(?:home|root|Users|mnt|opt|tmp|work)/""", re.MULTILINE)

#: numpydoc checks: a docstring with a one-line summary that is a sentence, sections in order and
#: well underlined, no parameter missing or unknown where parameters are listed at all.
CHECKS = {"GL06", "GL07", "GL08", "PR01", "PR02", "PR03", "SS01", "SS02", "SS03", "SS06"}


def tracked() -> list[Path]:
    """Return the files that are, or are about to be, in the repository."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("not a git repository")
    paths = (ROOT / name for name in found.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def public_objects() -> Iterator[str]:
    """Yield the dotted name of every public class, method and function of neurolim."""
    for found in pkgutil.walk_packages(neurolim.__path__, "neurolim."):
        if any(part.startswith("_") for part in found.name.split(".")):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", "") != found.name:
                continue
            if inspect.isclass(value):
                yield f"{found.name}.{name}"
                for part, member in vars(value).items():
                    written = inspect.isfunction(member) and member.__name__ == part
                    if written and not part.startswith("_"):
                        yield f"{found.name}.{name}.{part}"
            elif callable(value) and hasattr(value, "__name__"):
                yield f"{found.name}.{name}"


def docstring_errors(name: str) -> list[str]:
    """Return what is wrong with the docstring of an object."""
    verdict = validate(name)
    lists_parameters = bool(re.search(r"^\s*Parameters\n\s*-+$", verdict["docstring"], re.M))
    return [
        f"{code} {text}"
        for code, text in verdict["errors"]
        if code in CHECKS and (lists_parameters or code != "PR01")
    ]


def examples(guide: str) -> list[tuple[str, str]]:
    """Return the (language, code) blocks of a markdown file that are marked as python or yaml."""
    text = (ROOT / guide).read_text("utf-8")
    return re.findall(r"^```(python|yaml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_imports_go_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT)  # restored afterwards: the linter edits sys.path
    assert lint_imports(no_cache=True, no_logo=True) == 0


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_docstring(name: str) -> None:
    assert docstring_errors(name) == []


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in core.KINDS for n in core.names(k)])
def test_plugin_says_what_it_is_and_where_it_comes_from(kind: str, name: str) -> None:
    plugin = core.get(kind, name)
    assert plugin.summary.endswith(".")
    assert "\n" not in plugin.summary
    if kind != "figure":
        assert plugin.source
    for param in plugin.params if kind == "model" else plugin.options:
        assert param.doc or param.unit != "1", f"{param.name} is neither described nor has a unit"


def test_no_tracked_file_names_a_registry_or_this_machine() -> None:
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.name}: {host}" for host in HOSTS if host in text]
        found += [f"{path.name}: {match[0].strip()}" for match in PATHS.finditer(text)]
    assert found == []


def test_tracked_files_are_small() -> None:
    assert [path.name for path in tracked() if path.stat().st_size >= MAX_BYTES] == []


@pytest.mark.parametrize("folder", ["home", "tmp", "root", "Users"])
@pytest.mark.parametrize("before", ["", "see ", "path=", '"', "\n"])
def test_a_path_of_a_machine_is_recognised(folder: str, before: str) -> None:
    assert PATHS.search(f"{before}/{folder}/x")


@pytest.mark.parametrize("text", ["results/tmp/x", "/etc/hosts", "$HOME/home/x", "a/opt/b"])
def test_other_paths_are_left_alone(text: str) -> None:
    assert not PATHS.search(text)


def built(root: Path, version: str) -> str:
    """Return the changelog with the fragments of a folder in a section of its own."""
    words = ["-m", "towncrier", "build", "--yes", "--version", version, "--date", "2026-01-02"]
    done = subprocess.run(
        [sys.executable, *words], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (root / "CHANGELOG.md").read_text("utf-8")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Return a folder, under git, with our settings of the changelog and no fragment."""
    for name in ("pyproject.toml", "CHANGELOG.md", "changes/template.jinja", "changes/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def test_every_fragment_gets_into_the_changelog(history: Path) -> None:
    fragments = [path for path in (ROOT / "changes").glob("*.md") if path.name != "README.md"]
    for path in fragments:
        (history / "changes" / path.name).write_text(path.read_text("utf-8"), "utf-8")
    changelog = built(history, "9.9.9")
    for path in fragments:
        assert f"- {' '.join(path.read_text('utf-8').split())}\n" in changelog, path.name
    assert not [path for path in (history / "changes").glob("*.md") if path.name != "README.md"]


def test_the_newest_release_comes_first(history: Path) -> None:
    before = (history / "CHANGELOG.md").read_text("utf-8")
    (history / "changes" / "zip.added.md").write_text("Axes can be\nzipped.\n", "utf-8")
    built(history, "9.9.8")
    (history / "changes" / "nan.fixed.md").write_text("NaN is refused.\n", "utf-8")
    (history / "changes" / "eps.added.md").write_text("Refinement in eps.\n", "utf-8")
    mark = "<!-- releases -->\n"
    head, rest = before.split(mark)
    assert built(history, "9.9.9") == (
        f"{head}{mark}"
        "\n## 9.9.9 (2026-01-02)\n"
        "\n### Added\n\n- Refinement in eps.\n"
        "\n### Fixed\n\n- NaN is refused.\n"
        f"\n## 9.9.8 (2026-01-02)\n\n### Added\n\n- Axes can be zipped.\n{rest}"
    )


def test_a_fragment_of_no_kind_is_refused(history: Path) -> None:
    (history / "changes" / "x.md").write_text("A change.\n", "utf-8")
    with pytest.raises(AssertionError, match=r"x\.md"):
        built(history, "9.9.9")


@pytest.mark.parametrize(
    ("version", "fragment", "reason"),
    [
        ("", "zip.added.md", "VERSION= is no version"),
        ("1.2", "zip.added.md", "VERSION=1.2 is no version"),
        ("1.2.3", "README.md", "no fragments in changes/"),
    ],
)
def test_make_changelog_refuses(history: Path, version: str, fragment: str, reason: str) -> None:
    (history / "Makefile").write_text((ROOT / "Makefile").read_text("utf-8"), "utf-8")
    (history / "changes" / fragment).write_text("Axes can be zipped.\n", "utf-8")
    before = (history / "CHANGELOG.md").read_text("utf-8")
    words = ["make", "--old-file=env", "changelog", f"VERSION={version}"]
    done = subprocess.run(words, cwd=history, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert reason in done.stdout
    assert (history / "CHANGELOG.md").read_text("utf-8") == before
    assert (history / "changes" / fragment).is_file()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the files of the plug-ins in CONTRIBUTING by kind, in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    files = {}
    for language, code in examples("CONTRIBUTING.md"):
        if language == "python":
            (word,) = re.findall(r"^(MODEL|SOLVER|STATISTIC|FIGURE) = ", code, re.MULTILINE)
            files[word.lower()] = f"own_{word.lower()}.py"
            Path(files[word.lower()]).write_text(code)
    assert set(files) == set(core.KINDS)
    return files


def test_contributing_examples_keep_what_plug_ins_promise(own: dict[str, str]) -> None:
    for kind, file in own.items():
        for check in checks(kind, file):
            if kind != "model" or not check.minutes:
                check()


@pytest.mark.slow
def test_the_model_of_contributing_is_solved_or_refused(own: dict[str, str]) -> None:
    for check in checks("model", own["model"]):
        check()


def test_contributing_examples_work_as_files_of_ones_own(own: dict[str, str]) -> None:
    for language, code in examples("CONTRIBUTING.md"):
        if language == "yaml":
            parse_study(said_by(code), "example")
    start = neurolim.solve(own["model"], own["solver"])
    assert start["start"].values.tolist() == [[-1.0, 0.0, 2.0]]
    short = {"t_end": 0.1, "records": 1}
    limit = neurolim.solve(own["model"], "limit", options=short)
    steps = {"scheme": "euler_maruyama", "dt": 0.001, "n_neurons": 4000}
    network = neurolim.solve(own["model"], "particles", options=short | steps, seed=1)
    assert limit["status"].item() == network["status"].item() == core.Status.OK
    # 0.1 of noise over a tenth of time in the mean of 4000, and order eps of the coupling.
    np.testing.assert_allclose(network["state_mean"][0, -1], limit["state_mean"][-1], atol=0.02)


def test_the_examples_of_the_guide_to_testing_are_test_suites(tmp_path: Path) -> None:
    new("model", str(tmp_path / "models" / "mine"), Path())
    new("solver", str(tmp_path / "mine"), Path())
    for k, (_, code) in enumerate(examples("docs/howto/testing.md")):
        (tmp_path / f"test_{k}.py").write_text(code)
    words = ["-q", "--no-header", "--disable-plugin-autoload"]
    words += ["-k", "not network and not solved_or_refused"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "5 passed, 2 deselected" in done.stdout, done.stdout


def test_no_function_is_longer_than_a_screen():
    lengths = {
        f"{path.relative_to(ROOT)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > 80} == {}
