"""Plug-ins from outside the package: found, cached, digested and refused like the package's own."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.running import ROOT, environment
from tests.texts import yaml_of

from neurolim import GapJunctions, StudyError, core, load_study, run_study, solve, sources
from neurolim.archive import contents
from neurolim.archive.again import REMADE
from neurolim.archive.reading import ArchiveError
from neurolim.archive.verify import verify
from neurolim.archive.write import archive
from neurolim.check import check
from neurolim.core.digests import model_digest
from neurolim.kernels.model_code import kernel_key
from neurolim.new import new
from neurolim.numerics.structure import structure_of
from neurolim.pipeline import engine
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.digests import simulation_code, stage_digests
from neurolim.pipeline.layout import layout_of
from neurolim.store import store, zipped
from neurolim.study.read import parse_study

#: A neuron of four variables, in two files.
MODEL = '''"""Four variables, the last one a passive one."""

from neurolim import GapJunctions, Model, Noise, Number, State
from rates import pull


def drift(x, p):
    return (x.v - x.v**3 - x.w + p.current, x.v - x.w, 0.1 * (x.v - x.u), -x.s)


MODEL = Model(
    summary="Four variables.",
    source="this test",
    state=(State("v", spread=0.1), State("w"), State("u"), State("s", start=1.0)),
    params=(
        Number("eps", 0.1, "time", "inverse coupling", positive=True),
        Number("current", 0.5, doc="applied"),
        Number("sigma", 0.1, doc="noise"),
    ),
    drift=drift,
    coupling=GapJunctions("v", pull),
    noise=Noise("v", "sigma"),
)
'''
RATES = '''"""How strong the coupling is."""


def pull(p):
    return 1.0 / p.eps
'''
STATISTIC = '''"""The largest mean."""

import numpy as np
import xarray as xr

from neurolim import Statistic


def apply(dataset):
    return xr.Dataset({"top": dataset["state_mean"].max("time")})


def exact():
    dataset = xr.Dataset({"state_mean": ("time", np.arange(5.0))}, {"time": np.arange(5)})
    return [(dataset, {}, [("top", {}, 4.0, 0.0)])]


STATISTIC = Statistic(
    summary="Largest mean.",
    source="definition",
    options=(),
    needs=lambda options: ("state_mean",),
    gives=lambda options, state: ("top",),
    apply=apply,
    exact=exact,
)
'''
STUDY = {
    "model": "../mine/four.py",
    "solver": "limit",
    "options": {"t_end": 0.5, "records": 2},
    "grid": {"eps": [0.1, 0.05]},
    "statistics": ["../mine/top.py"],
}


@pytest.fixture
def study(tmp_path):
    """Return the file of a study whose model and statistic are files in another folder."""
    for folder in ("mine", "config"):
        (tmp_path / folder).mkdir()
    for name, text in (("four", MODEL), ("rates", RATES), ("top", STATISTIC)):
        (tmp_path / "mine" / f"{name}.py").write_text(text)
    path = tmp_path / "config" / "four-variables.yaml"
    path.write_text(yaml_of(STUDY))
    return path


def edit(study, old, new, name="four"):
    """Change a file beside the model's."""
    path = study.parent.parent / "mine" / f"{name}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def digests(study):
    """Return the digests of the simulation and of the stages after it."""
    loaded = load_study(study)
    return simulation_code(loaded), stage_digests(loaded)


def test_a_study_finds_model_and_statistic_in_files(study, tmp_path):
    found = run_study(study, tmp_path / "results")
    assert found.attrs["model"] == "four"
    assert found["top"].sel(variable="s").values == pytest.approx([1.0, 1.0])
    assert list(found["variable"].values) == ["v", "w", "u", "s"]
    assert str(tmp_path) not in json.dumps(found.attrs)
    # Relative to the study, not to the folder in which somebody works.
    words = [sys.executable, "-m", "neurolim", "plan", "../config/four-variables.yaml"]
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(words, cwd=other, env=environment(), check=True, capture_output=True)


def test_a_comment_makes_nothing_again_and_an_equation_does(study, tmp_path):
    run_study(study, tmp_path / "results")
    chunk = chunk_paths(load_study(study), layout_of(load_study(study), tmp_path / "results"))[0]
    before, record = digests(study), store.read_record(chunk)
    edit(study, "def drift", "# A remark.\ndef drift")
    edit(study, '"""How strong', '"""Now in other words: how strong', "rates")
    assert digests(study) == before
    edit(study, "1.0 / p.eps", "2.0 / p.eps", "rates")
    assert digests(study)[0] != before[0]
    edit(study, "2.0 / p.eps", "1.0 / p.eps", "rates")
    edit(study, "x.v - x.w,", "x.v - 2.0 * x.w,")
    changed = digests(study)
    assert changed[0] != before[0]
    run_study(study, tmp_path / "results")
    other = chunk_paths(load_study(study), layout_of(load_study(study), tmp_path / "results"))[0]
    assert other != chunk
    assert store.read_record(other)["sha256"] != record["sha256"]
    # What the equation gave before is there, should it come back.
    assert store.read_record(chunk) == record
    edit(study, ".max(", ".min(", "top")
    after = digests(study)
    assert after[0] == changed[0]
    assert after[1]["reduce"] != changed[1]["reduce"]
    assert after[1]["collect"] == changed[1]["collect"]


def test_the_place_of_the_files_does_not_matter(study, tmp_path):
    before = digests(study)
    (tmp_path / "mine").rename(tmp_path / "theirs")
    study.write_text(study.read_text().replace("mine", "theirs"))
    assert digests(study) == before


def test_what_is_derived_from_a_file_is_kept_on_disk(study, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    edit(study, "-x.s)", "-3.0 * x.s)")
    model = core.get("model", str(study.parent.parent / "mine" / "four.py"))
    assert model_digest(model) is not None
    assert kernel_key(model)[1]
    structure_of(model)
    assert [*(tmp_path / "cache").glob(f"structure-{model_digest(model)}-*.json")]
    # Importing names from neurolim itself does not pull in all of it.
    imported = sources.digest_and_imports(model.drift.__module__)[1]
    assert imported == (model.coupling.rate.__module__,)


def test_another_process_finds_the_files_by_the_tasks_alone(study):
    loaded = load_study(study)
    source = loaded.model_choice.source
    one = engine.Task(source, "limit", loaded.params_at(0), loaded.options_at(0), 0, 0, 1)
    program = (
        "import pickle, sys; from neurolim.pipeline import engine;"
        "(solved,) = engine.run_batch(*pickle.loads(sys.stdin.buffer.read()));"
        "sys.stdout.buffer.write(pickle.dumps(solved.solution.arrays['state_mean']))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        # With the digest of the code, which the other process compares with its own.
        input=pickle.dumps(([one], engine.code_of([one]), True)),
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr.decode()
    ours = engine.run_task(one).solution.arrays["state_mean"]
    assert pickle.loads(said.stdout).tobytes() == ours.tobytes()


def test_a_file_edited_after_the_study_was_read_is_not_taken_for_it(study):
    program = f"""
from neurolim import core, load_study
from neurolim.core import Source
from pathlib import Path
path = Path({str(study.parent.parent / "mine" / "four.py")!r})
source = core.outside.locate("model", "four.py", path)
print(source._replace(module="_neurolim_four_0"))
core.get("model", source._replace(module="_neurolim_four_0"))
"""
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "four.py: edited after the study was read" in said.stderr


BAD = {
    "syntax": ("import numpy\nx = (1,\n", "2: '(' was never closed"),
    "import": ("import numpy\n\nimport numpyy\n", "3: ModuleNotFoundError: No module named"),
    "error": ("x = 1\ny = x / 0\n", "2: ZeroDivisionError: division by zero"),
    "exit": ("import sys\nsys.exit(1)\n", "2: SystemExit: 1"),
    "missing": (MODEL.replace("MODEL =", "MODLE ="), "1: defines no MODEL (did you mean 'MODLE'"),
    "type": (MODEL + "\nMODEL = 3\n", "25: MODEL is 3"),
    "word": (MODEL.replace("noise=", "nose="), "11: Model has no 'nose' (did you mean 'noise'?)"),
    "feature": (MODEL.replace("noise=", "reset="), "11: Model does not take thresholds with reset"),
    "argument": (MODEL.replace("drift(x, p)", "drift(x, q)"), "7: bad.drift: takes (x, q)"),
    "name": (MODEL.replace('Noise("v"', 'Noise("vv"'), "11: bad.noise: Noise on 'vv'"),
    "value": (MODEL.replace("0.1 * (x.v - x.u)", "1 / x.w"), "8: bad.drift: cannot be called"),
    "part": (MODEL.replace("params=(", "params=3,\n    fields=("), "no parts of a model"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_line_with_file_and_line(study, kind, capsys):
    text, told = BAD[kind]
    (study.parent.parent / "mine" / "bad.py").write_text(text)
    study.write_text(study.read_text().replace("four.py", "bad.py"))
    with pytest.raises(StudyError) as caught:
        load_study(study)
    refusal, line = str(caught.value), caught.value.line
    assert "\n" not in refusal
    assert refusal.startswith(f"{study}:{line}: model: ")
    assert study.read_text().splitlines()[line - 1].startswith("model:")
    assert "bad.py:" in refusal
    assert told in refusal


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "../mine/none.py"}, "model: "),
        ({"model": "../mine/four.py:drift"}, "drift is <function"),
        ({"model": "../mine/top.py"}, "defines no MODEL"),
        ({"statistics": ["../mine/top.py", "../mine/top.py"]}, "listed twice"),
        ({"statistics": ["../mine/top.py:STATISTICS"]}, "did you mean 'STATISTIC'?"),
        ({"reference": "../mine/limit.py"}, "both a name and a file"),
        ({"figures": [{"../mine/top.py": {}}]}, "defines no FIGURE"),
        ({"model": "four"}, "unknown model 'four'; allowed: "),
        ({"model": "../mine/four"}, "(did you mean '../mine/four.py'?)"),
        ({"statistics": ["agrement"]}, "(did you mean 'agreement'?)"),
        ({"model": "../mine/a b.py"}, "cannot be the name of a result"),
    ],
)
def test_words_that_are_no_plug_ins_are_refused(study, changes, told):
    (study.parent.parent / "mine" / "limit.py").write_text("SOLVER = 1\n")
    study.write_text(yaml_of(STUDY | changes))
    with pytest.raises(StudyError) as caught:
        load_study(study)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{study}:{caught.value.line}: ")
    assert caught.value.line


PACKAGE = {
    "theirs/__init__.py": "",
    "theirs/four.py": MODEL.replace("from rates", "from theirs.rates"),
    "theirs/rates.py": RATES,
    "theirs-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n",
    "theirs-1.0.dist-info/entry_points.txt": (
        "[neurolim.models]\ntheir_four = theirs.four:MODEL\nlinear = theirs.four:MODEL\n"
        "broken = theirs.nothing\n"
    ),
}


def test_an_installed_package_brings_plug_ins(tmp_path):
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    program = """
from neurolim import GapJunctions, StudyError, core, provenance, solve
from neurolim.core.digests import model_digest
assert {"their_four", "broken", "linear"} <= set(core.names("model"))
found = solve("their_four", "limit", options={"t_end": 0.1, "records": 1})
assert found.attrs["model"] == "their_four"
assert core.get("model", "linear").drift.__module__ == "neurolim.models.linear"
try:
    core.get("model", "broken")
except StudyError as error:
    assert "entry point 'theirs.nothing': ModuleNotFoundError" in str(error)
print(provenance.code_digest(core.module_of("model", "their_four")))
print(model_digest(core.get("model", "their_four")))
"""

    def said():
        env = environment()
        env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
        words = [sys.executable, "-c", program]
        found = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        return found.stdout.split()

    first = said()
    assert "None" not in first
    (tmp_path / "theirs" / "rates.py").write_text(RATES.replace("def", "# A remark.\ndef"))
    assert said() == first
    (tmp_path / "theirs" / "rates.py").write_text(RATES.replace("1.0", "2.0"))
    code, equations = said()
    assert code != first[0]
    assert equations != first[1]


def test_objects_are_solved_where_they_are(study, tmp_path):
    model = core.get("model", str(study.parent.parent / "mine" / "four.py"))
    options = {"t_end": 0.1, "records": 1}
    by_name = solve(str(study.parent.parent / "mine" / "four.py"), "limit", options=options)
    stiffer = dataclasses.replace(model, name="", coupling=GapJunctions("v", lambda p: 2.0 / p.eps))
    found = solve(stiffer, core.get("solver", "limit"), options=options)
    assert (found.attrs["model"], found.attrs["solver"]) == ("model", "limit")
    assert found["state_mean"].shape == by_name["state_mean"].shape
    assert solve(model, "limit", options=options)["state_mean"].identical(by_name["state_mean"])
    one = parse_study({"model": stiffer, "solver": "limit", "options": options})
    with pytest.raises(StudyError, match="an object without a file of its own can be solved, not"):
        run_study(one, tmp_path / "results")
    spoilt = dataclasses.replace(model, drift=lambda x, q: (0.0,) * 4)
    with pytest.raises(StudyError, match=r"test_plugins\.py:\d+: four\.drift: takes \(x, q\)"):
        solve(spoilt, "limit")


def test_an_object_of_an_imported_file_is_the_file(study, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(study.parent.parent / "mine")
    four = importlib.import_module("four")
    by_object = run_study(
        parse_study(STUDY | {"model": four.MODEL, "statistics": []}), tmp_path / "results"
    )
    del sys.modules["four"], sys.modules["rates"]
    study.write_text(yaml_of(STUDY | {"statistics": []}))
    by_name = run_study(study, tmp_path / "results")
    assert by_object.attrs["code"] == by_name.attrs["code"]
    assert by_object["state_mean"].identical(by_name["state_mean"])


def test_a_program_that_solves_its_own_model_runs_once(tmp_path):
    (tmp_path / "program.py").write_text(
        MODEL.replace("from rates import pull", "def pull(p):\n    return 1.0 / p.eps")
        + """
import multiprocessing
import neurolim

found = neurolim.solve(MODEL, "limit", options={"t_end": 0.1, "records": 1})
print(__name__, found.attrs["model"])
"""
    )
    words = [sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["__main__", "model"]


def test_a_new_model_works_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert new("model", "mine", Path()).name == "mine.py"
    first, *facts = check("mine.py")
    assert first.endswith("ok")
    assert "  gap junctions on x" in facts
    several = "characteristic, gaussian_closure, graph, limit, linear_noise, particles, reduced"
    assert f"  solvers: {several}" in facts
    found = solve("mine.py", "limit", options={"t_end": 1.0, "records": 2})
    assert found["status"].item() == 0
    with pytest.raises(StudyError, match="is there already"):
        new("model", "mine", Path())
    with pytest.raises(StudyError, match="is no name"):
        new("model", "my model", Path())


@pytest.fixture
def archived(study, tmp_path):
    """Return the archive of the study, after its folders are gone."""
    run_study(study, tmp_path / "results")
    path = archive([str(study)], tmp_path / "results", date="2026-01-02", root=ROOT)
    shutil.rmtree(study.parent)
    shutil.rmtree(tmp_path / "mine")
    return path


def test_an_archive_holds_the_files_and_does_not_run_them_unless_trusted(archived):
    name = "four-variables"
    with zipfile.ZipFile(archived) as opened:
        names = [n for n in opened.namelist() if n.startswith("code/plugins/")]
        assert sorted(names) == [
            f"code/plugins/{name}/_up/mine/{file}.py" for file in ("four", "rates", "top")
        ]
        assert "code/plugins/" in opened.read("README.md").decode()
    before = set(sys.modules)
    found = verify(archived, partly=True)
    assert not {n for n in set(sys.modules) - before if n.startswith(sources.PREFIX)}
    assert "was not run, so that they fit the study is not checked (--trust)" in found[1]
    with pytest.raises(ArchiveError) as caught:
        verify(archived, recompute=1, here=True)
    (line,) = caught.value.problems
    assert line.startswith(f"code/plugins/{name}/_up/mine/four.py: is no part of neurolim")
    assert "--trust" in line
    found = verify(archived, recompute=1, here=True, trust=True)
    assert "fit the study" in found[1]
    assert found[2:] == [REMADE, f"{name}: chunk 0 came again, bit for bit"]


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("studies/four-variables.yaml", b"../mine/four.py", b"../../four.py", "not in the archive"),
        ("archive.json", b'"runs": 2', b'"runs": 3', "has no plan of it"),
        ("chunks/four-variables/0.json", b'"failed": 0', b'"failed": 1', "say otherwise"),
        ("archive.json", b'"title": ""', b'"title": "t"', "other studies than studies/"),
    ],
)
def test_a_study_that_is_not_run_is_compared_with_its_records(
    archived, tmp_path, name, old, new, told
):
    with zipfile.ZipFile(archived) as opened:
        files = {n: opened.read(n) for n in opened.namelist() if n != contents.CHECKSUMS}
    assert old in files[name]
    files[name] = files[name].replace(old, new)
    sums = {n: contents.sha256(content) for n, content in files.items()}
    files[contents.CHECKSUMS] = contents.checksum_lines(sums).encode()
    with (tmp_path / "altered.zip").open("wb") as stream:
        zipped.write_zip(stream, files.items())
    with pytest.raises(ArchiveError) as caught:
        verify(tmp_path / "altered.zip")
    assert told in str(caught.value)
