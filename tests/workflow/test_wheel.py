"""A wheel carries the workflow: a project of one's own, from an installed wheel to an archive."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.running import ROOT, environment
from tests.texts import yaml_of

from neurolim.archive import contents

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.ci]

MODEL = '''"""A voltage, its recovery, and two passive variables."""

from neurolim import GapJunctions, Model, Noise, Number, State


def drift(x, p):
    """Return the drift of the four variables without coupling."""
    return (x.v - x.v**3 - x.w + p.current, x.v - x.w, 0.1 * (x.v - x.u), -x.s)


MODEL = Model(
    summary="Four variables.",
    source="this test",
    state=(State("v", spread=0.1), State("w"), State("u"), State("s", start=1.0)),
    params=(
        Number("eps", 0.1, "time", "inverse coupling", positive=True),
        Number("current", 0.5, doc="applied current"),
        Number("sigma", 0.1, doc="noise"),
    ),
    drift=drift,
    coupling=GapJunctions("v", rate=lambda p: 1.0 / p.eps),
    noise=Noise("v", "sigma"),
)
'''
STUDY = {
    "title": "Four variables",
    "model": "../../models/four.py",
    # Nothing to compile for long: networks of such models are in test_outside_plugins.
    "solver": "limit",
    "options": {"t_end": 1.0, "records": 4},
    "grid": {"eps": [0.1, 0.05]},
    "statistics": ["../../statistics/top.py"],
}


def documented():
    """Return the workflow that the documentation shows, in which ours is a module."""
    text = (ROOT / "docs" / "howto" / "projects.md").read_text("utf-8")
    (found,) = re.findall(r"^```snakemake\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found


def pip(*words):
    """Let pip do something, without looking anywhere but here."""
    more = ["--disable-pip-version-check", "--no-index", "--no-deps", "-qq"]
    subprocess.run([sys.executable, "-m", "pip", *words, *more], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel of this project."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """Return the folder in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed") / "site packages"
    pip("install", "--target", str(folder), str(wheel))
    return folder


@pytest.fixture(scope="module")
def said(site):
    """Return a function that runs a command of the installed wheel and returns what it says."""

    def run(folder, module, *words):
        found = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            cwd=folder,
            env=environment() | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout + found.stderr

    return run


@pytest.fixture(scope="module")
def project(said, tmp_path_factory):
    """Return the folder of a project with a model, a statistic and a study of its own, all run."""
    folder = tmp_path_factory.mktemp("a folder of mine")
    assert "go there, then: neurolim run" in said(folder, "neurolim", "new", "project", "my demo")
    home = folder / "my demo"
    said(home, "neurolim", "new", "statistic", "statistics/top")
    (home / "models" / "four.py").write_text(MODEL)
    (home / "config" / "studies" / "four.yaml").write_text(yaml_of(STUDY))
    config = home / "config" / "config.yaml"
    config.write_text(config.read_text().replace("first", "four"))
    assert "report: results/four/report.html" in said(home, "neurolim", "run", "--cores", "2")
    return home


def test_a_wheel_holds_what_an_archive_needs(wheel, site):
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    homes = {"code/src/neurolim/": "neurolim/", "code/": "neurolim/_shipped/"}
    for name, path in contents.code_files().items():
        start = next(start for start in homes if name.startswith(start))
        place = homes[start] + name.removeprefix(start)
        assert place in names, place
        assert (site / place).read_bytes() == path.read_bytes(), place
    assert not [name for name in names if "__pycache__" in name]
    assert os.access(site / "neurolim/_shipped/profiles/cluster/status.sh", os.X_OK)


def test_neurolim_run_and_snakemake_do_the_same_work(said, project):
    assert "Nothing to be done" in said(project, "snakemake", "--cores", "2")
    table = project / "results" / "four" / "tables" / "runs.csv"
    before = table.read_bytes()
    table.unlink()
    rules = re.findall(r"^(?:local)?rule (\w+):", said(project, "snakemake", "--cores", "2"), re.M)
    # It comes again as it was, so nothing follows.
    assert rules == ["collect_four", "all"]
    assert table.read_bytes() == before


def test_another_workflow_takes_ours_as_a_module(said, project, tmp_path):
    # The results of the project, which are not made again.
    shutil.copytree(project / "results" / "four", tmp_path / "results" / "four")
    workflow = documented().replace("first/tables/convergence_rate", "four/tables/runs")
    (tmp_path / "Snakefile").write_text(workflow)
    studies = [str(project / "config" / "studies" / "four.yaml")]
    (tmp_path / "own.yaml").write_text(yaml_of({"limits": {"studies": studies}}))
    words = ["--configfile", "own.yaml"]
    text = said(tmp_path, "snakemake", "--cores", "2", *words)
    assert re.findall(r"^(?:local)?rule (\w+):", text, re.M) == ["limits_verdicts", "summary"]
    assert (tmp_path / "results" / "summary.csv").read_text().startswith("item,count")
    said(tmp_path, "snakemake", *words, "--report", "report.html")
    assert "Four variables" in (tmp_path / "report.html").read_text()


def test_a_stranger_verifies_the_archive(said, wheel, project, tmp_path):
    words = ["archive", "config/studies/four.yaml", "--date", "2026-01-02"]
    path = Path(said(project, "neurolim", *words).strip())
    assert path == Path("results/archive/four.zip")
    with zipfile.ZipFile(project / path) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    assert {name for name in files if name.startswith("code/") and "/plugins/" not in name} == set(
        contents.code_files()
    )
    # What is in there is a whole neurolim.
    with zipfile.ZipFile(project / path) as opened:
        opened.extractall(tmp_path)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(tmp_path / "code"))
    with zipfile.ZipFile(tmp_path / wheel.name) as again, zipfile.ZipFile(wheel) as before:
        assert again.namelist() == before.namelist()
        assert all(again.read(name) == before.read(name) for name in before.namelist())
    assert b"The authors of my demo" in files["CITATION.cff"]
    assert b"The authors of my demo" in files["LICENSE"]
    words = ["verify", project / path, "--trust", "--here", "--recompute", "1"]
    found = said(tmp_path, "neurolim", *words)
    assert "four: chunk 0 came again, bit for bit" in found
