"""Plug-ins in files of somebody's own, through Snakemake: the bits of the library, exact reruns."""

from __future__ import annotations

import re

import pytest
from tests.running import files_of, start
from tests.texts import yaml_of

from neurolim.api import run_study
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.layout import layout_of
from neurolim.study.read import load_study

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

MODEL = '''"""Four variables."""

from neurolim import GapJunctions, Model, Noise, Number, State
from rates import pull


def drift(x, p):
    return (x.v - x.v**3 - x.w, x.v - x.w, 0.1 * (x.v - x.u), -x.s)


MODEL = Model(
    summary="Four variables.",
    source="this test",
    state=(State("v", spread=0.1), State("w"), State("u"), State("s", start=1.0)),
    params=(Number("eps", 0.1, positive=True, doc="coupling"), Number("sigma", 0.1, doc="noise")),
    drift=drift,
    coupling=GapJunctions("v", pull),
    noise=Noise("v", "sigma"),
)
'''
RATES = """def pull(p):
    return 1.0 / p.eps
"""
FIGURE = """import numpy as np
import xarray as xr

from neurolim import Figure
from neurolim.figures.parts.style import figure, styled


@styled
def draw(dataset, expect):
    picture, axes = figure(1, 1, 4.0, 3.0)
    axes[0, 0].plot(dataset["time"], dataset["state_mean"].isel(eps=0, replica=0, site=0))
    axes[0, 0].set_xlabel("time")
    return picture


def example():
    return xr.Dataset({"state_mean": ("time", np.arange(5.0))}, {"time": np.arange(5)})


FIGURE = Figure(
    summary="The mean.",
    options=(),
    needs=lambda options, state: ("state_mean",),
    draw=draw,
    example=example,
)
"""
STUDY = {
    "model": "../mine/four.py",
    "solver": "particles",
    "reference": "limit",
    "options": {"n_neurons": 50, "dt": 0.01, "t_end": 0.2, "records": 2}
    | {"scheme": "euler_maruyama"},
    "grid": {"eps": [0.1, 0.05]},
    "figures": ["../mine/means.py"],
    "chunk_seconds": 1e-9,
}


def said(command):
    """Return what a command says."""
    text, _ = command.communicate(timeout=600)
    assert command.returncode == 0, text
    return text


def planned(path, results):
    """Return the rules that a run would execute now."""
    words = ["--dry-run", "--cores", "1", "--config", f"results={results}", f"studies=[{path}]"]
    text = said(start(*words, module="snakemake"))
    return set(re.findall(r"^(?:local)?rule ([a-z]+)", text, re.MULTILINE)) - {"all"}


def chunks_of(path, results):
    """Return the names of the two chunks of a study in its folder."""
    study = load_study(path)
    names = {f"chunks/{chunk.name}" for chunk in chunk_paths(study, layout_of(study, results))}
    assert len(names) == 2
    return names


def test_a_model_in_a_file_fans_out_and_reruns_only_for_what_it_does(tmp_path):
    for folder in ("mine", "config"):
        (tmp_path / folder).mkdir()
    files = {"four": MODEL, "rates": RATES, "means": FIGURE}
    for name, text in files.items():
        (tmp_path / "mine" / f"{name}.py").write_text(text)
    path, results = tmp_path / "config" / "own.yaml", tmp_path / "workflow"
    path.write_text(yaml_of(STUDY))
    said(start("run", path, "--cores", "2", "--results", results, "--no-report"))
    run_study(path, tmp_path / "library")
    made = files_of(results / "own")
    assert {*chunks_of(path, results), "figures/means.svg"} <= set(made)
    for name, content in files_of(tmp_path / "library" / "own").items():
        assert name == "costs.html" or made[name] == content, name

    rates = tmp_path / "mine" / "rates.py"
    rates.write_text("# A remark.\n" + RATES)
    assert planned(path, results) == set()
    rates.write_text(RATES.replace("1.0", "2.0"))
    assert {"simulate", "collect", "analyse"} <= planned(path, results)
    rates.write_text(RATES)
    drawing = tmp_path / "mine" / "means.py"
    drawing.write_text(FIGURE.replace("3.0)", "2.0)"))
    assert planned(path, results) == {"analyse", "verdicts"}


TEXT = {
    "state": {"v": {"start": 0.5, "spread": 0.1}, "w": None},
    "drift": {"v": "v - v^3 - w", "w": "v - w"},
    "gap_junctions": {"v": "1/eps"},
    "noise": {"v": "sigma"},
    "params": {"eps": 0.1, "sigma": 0.1},
}


def test_a_model_as_text_fans_out_and_reruns_only_for_its_equations(tmp_path):
    path, results = tmp_path / "text.yaml", tmp_path / "workflow"
    study = {key: part for key, part in STUDY.items() if key != "figures"} | {"model": TEXT}
    path.write_text(yaml_of(study))
    said(start("run", path, "--cores", "2", "--results", results, "--no-report"))
    run_study(path, tmp_path / "library")
    made = files_of(results / "text")
    assert chunks_of(path, results) <= set(made)
    for name, content in files_of(tmp_path / "library" / "text").items():
        assert name == "costs.html" or made[name] == content, name
    text = path.read_text()
    path.write_text(text.replace("v - v^3 - w", "v - v ** 3.0-w"))
    assert planned(path, results) == set()
    path.write_text(text.replace("v - v^3 - w", "v - v^3 - 2*w"))
    assert {"simulate", "collect"} <= planned(path, results)
