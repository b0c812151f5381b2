"""Studies with plug-ins of installed packages: archives carry these packages' source."""

from __future__ import annotations

import contextlib
import importlib
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES

import pytest
from tests.running import ROOT
from tests.texts import yaml_of

from neurolim import StudyError, load_study, run_study
from neurolim.archive import contents
from neurolim.archive.reading import ArchiveError
from neurolim.archive.verify import verify
from neurolim.archive.write import archive
from neurolim.core import registry
from neurolim.store import zipped

MODEL = '''"""Two variables."""

from neurolim import GapJunctions, Model, Noise, Number, State
from theirs.parts.rates import pull


def drift(x, p):
    return (x.v - x.v**3 - x.w, x.v - x.w)


MODEL = Model(
    summary="Two variables.",
    source="this test",
    state=(State("v", spread=0.1), State("w", start=0.5)),
    params=(Number("eps", 0.1, positive=True, doc="coupling"), Number("sigma", 0.1, doc="noise")),
    drift=drift,
    coupling=GapJunctions("v", pull),
    noise=Noise("v", "sigma"),
)
'''
STATISTIC = """import xarray as xr

from neurolim import Statistic
from . import words

STATISTIC = Statistic(
    summary=words.SUMMARY,
    source="definition",
    options=(),
    needs=lambda options: ("state_mean",),
    gives=lambda options, state: ("top",),
    apply=lambda dataset: xr.Dataset({"top": dataset["state_mean"].max("time")}),
    exact=lambda: [],
)
"""
PACKAGE = {
    "theirs/__init__.py": "from theirs.constants import ONE\n",
    "theirs/constants.py": "ONE = 1.0\n",
    "theirs/models.py": MODEL,
    "theirs/top.py": STATISTIC,
    "theirs/words.py": "SUMMARY = 'Largest mean.'\n",
    "theirs/parts/__init__.py": "",
    "theirs/parts/rates.py": "from .. import ONE\n\n\ndef pull(p):\n    return ONE / p.eps\n",
    "theirs/private.py": "SECRET = 1\n",
    "their_plugins-1.2.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: their-plugins\nVersion: 1.2\nAuthor-email: me@example.org\n"
    ),
    "their_plugins-1.2.dist-info/entry_points.txt": (
        "[neurolim.models]\ntheir_model = theirs.models\nother = theirs.private\n"
        "[neurolim.statistics]\ntheir_top = theirs.top:STATISTIC\n"
    ),
}
STUDY = {
    "model": "their_model",
    "solver": "limit",
    "options": {"t_end": 0.5, "records": 2},
    "grid": {"eps": [0.1, 0.05]},
    "statistics": ["their_top"],
}
#: What of the package the plug-ins run; the rest stays with its owner.
CARRIED = {
    "theirs/__init__.py",
    "theirs/constants.py",
    "theirs/models.py",
    "theirs/top.py",
    "theirs/words.py",
    "theirs/parts/__init__.py",
    "theirs/parts/rates.py",
    "their_plugins-1.2.dist-info/METADATA",
    "their_plugins-1.2.dist-info/entry_points.txt",
}


@contextlib.contextmanager
def installed(folder):
    """Install the package for a while."""
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    registry.forget()
    try:
        yield folder
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] == "theirs"]:
            del sys.modules[name]
        registry.forget()


def run(folder):
    """Run the study of the package's plug-ins; return its file."""
    path = folder / "theirs.yaml"
    path.write_text(yaml_of(STUDY))
    run_study(path, folder / "results")
    return path


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """Return the archive of a study of the package's plug-ins, after the package is gone."""
    folder = tmp_path_factory.mktemp("archived")
    with installed(folder / "site"):
        study = run(folder)
        path = archive([str(study)], folder / "results", date="2026-01-02", root=ROOT)
    with pytest.raises(StudyError, match="unknown model 'their_model'"):
        load_study(study)
    return path


def test_an_archive_carries_what_the_plug_ins_run_and_nothing_else(archived):
    with zipfile.ZipFile(archived) as opened:
        home = "code/packages/"
        names = {name.removeprefix(home) for name in opened.namelist() if name.startswith(home)}
        assert names == CARRIED
        for name in sorted(names):
            if name.endswith(".py"):
                assert opened.read(home + name).decode() == PACKAGE[name]
        about = opened.read(f"{home}their_plugins-1.2.dist-info/METADATA").decode()
        assert "Name: their-plugins\nVersion: 1.2\n" in about
        assert "example.org" not in about
        points = opened.read(f"{home}their_plugins-1.2.dist-info/entry_points.txt").decode()
        assert points == (
            "[neurolim.models]\ntheir_model = theirs.models\n"
            "[neurolim.statistics]\ntheir_top = theirs.top:STATISTIC\n"
        )
        assert "export PYTHONPATH=" in opened.read("README.md").decode()


def test_without_the_package_it_is_verified_and_recomputed_if_trusted(archived):
    before = set(sys.modules)
    found = verify(archived, partly=True)
    assert "theirs" not in {name.split(".")[0] for name in set(sys.modules) - before}
    assert "was not run" in found[1]
    with pytest.raises(ArchiveError) as caught:
        verify(archived, recompute=1, here=True)
    assert caught.value.problems[0].startswith("code/packages/theirs/__init__.py: is no part of")
    found = verify(archived, recompute=1, here=True, trust=True)
    assert "theirs: data of 2 runs in 1 chunks fit the study" in found
    assert found[-1] == "theirs: chunk 0 came again, bit for bit"
    # Nothing of it stays behind in the process of the reader.
    assert "their_model" not in registry.names("model")
    assert "theirs" not in sys.modules


def test_a_reader_with_another_version_gets_the_archives(archived, tmp_path):
    with installed(tmp_path / "site") as folder:
        models = folder / "theirs" / "models.py"
        models.write_text(MODEL.replace('State("w", start=0.5)', 'State("w"), State("u")'))
        for _ in range(2):
            with pytest.raises(StudyError, match=r"site/theirs/models\.py:\d+: their_model"):
                registry.get("model", "their_model")
            assert "fit the study" in verify(archived, trust=True)[1]


def test_compiled_code_of_a_package_is_refused(tmp_path):
    with installed(tmp_path / "site") as folder:
        # An empty file cannot be imported, which this package puts up with.
        maybe = "try:\n    from theirs import _fast\nexcept ImportError:\n    pass\n"
        rates = "theirs/parts/rates.py"
        (folder / rates).write_text(maybe + PACKAGE[rates])
        (folder / "theirs" / f"_fast{EXTENSION_SUFFIXES[0]}").touch()
        told = r"theirs\.parts\.rates imports theirs\._fast, which is compiled; allowed: Python"
        study = run(tmp_path)
        with pytest.raises(StudyError, match=told):
            archive([str(study)], tmp_path / "results", date="2026-01-02", root=ROOT)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[neurolim.models\n", "unknown model 'their_model'"),
        ("[neurolim.models]\nno value\n", "code/packages: no entry points"),
    ],
)
def test_strange_entry_points_are_refused(archived, tmp_path, text, told):
    with zipfile.ZipFile(archived) as opened:
        files = {n: opened.read(n) for n in opened.namelist() if n != contents.CHECKSUMS}
    files["code/packages/their_plugins-1.2.dist-info/entry_points.txt"] = text.encode()
    sums = {n: contents.sha256(content) for n, content in files.items()}
    files[contents.CHECKSUMS] = contents.checksum_lines(sums).encode()
    with (tmp_path / "altered.zip").open("wb") as stream:
        zipped.write_zip(stream, files.items())
    with pytest.raises(ArchiveError, match=told):
        verify(tmp_path / "altered.zip")
