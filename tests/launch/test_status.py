"""``neurolim status`` and the page of costs say how it stands, and why."""

from __future__ import annotations

import json
import os
import time

import pytest

from neurolim.api import run_study
from neurolim.launch import lock
from neurolim.launch.overview import progress_line
from neurolim.launch.progress import note_path, reporting
from neurolim.launch.status import status_of
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.layout import Layout, Page, layout_of
from neurolim.pipeline.outline import Outline
from neurolim.store import store
from neurolim.study.read import load_study

STUDY = """
model: linear
solver: moments
options: {t_end: 1.0, records: 2}
grid:
  eps: [0.1, 0.01, 0.001, 0.0001]
chunk_seconds: 1.0e-9
"""


@pytest.fixture
def done(tmp_path):
    """Return (study, results folder) of a study that is done."""
    path = tmp_path / "small.yaml"
    path.write_text(STUDY)
    study = load_study(path)
    assert status_of(study, tmp_path).startswith("small: 4 to do; nobody runs it")
    run_study(study, tmp_path)
    return study, tmp_path


def test_done_is_done(done):
    study, results = done
    assert status_of(study, results, check=True) == "small: 4 done; nobody runs it"
    with lock.locked(results, ["small"]):
        assert f"run by {lock.user_name()} (process {os.getpid()} on" in status_of(study, results)


def test_every_other_state_is_told_with_its_reason(done):
    study, results = done
    home = results / "small"
    chunks = chunk_paths(study, layout_of(study, results))
    content = bytearray(chunks[0].read_bytes())
    content[99] ^= 1
    chunks[0].write_bytes(content)
    record = store.record_of(chunks[1])
    record.write_text(record.read_text().replace('"digest": "', '"digest": "x'))
    assert "chunk 1 stale: made from another study, code or version" in status_of(study, results)
    store.record_of(chunks[2]).unlink()
    (home / "logs").mkdir(exist_ok=True)
    (home / "logs" / f"simulate-{chunks[2].stem}.log").write_text(
        "working\nMemoryError: too much\n\n"
    )
    note = {"done": 1, "total": 5, "process": 7, "machine": "node", "time": time.time()}
    note_path(chunks[3]).write_text(json.dumps(note))
    text = status_of(study, results)
    assert text.startswith("small: 1 done, 1 running, 1 failed, 1 stale;")
    assert "chunk 2 failed: MemoryError: too much" in text
    assert "chunk 3 running: 1 of 5 runs, process 7 on node" in text
    assert "data stale: what it is made from is not done" in text
    note_path(chunks[3]).write_text(json.dumps(note | {"time": time.time() - 100}))
    whole = store.record_of(chunks[3]).read_text()
    store.record_of(chunks[3]).unlink()
    assert "chunk 3 failed: process 7 on node was killed or hangs" in status_of(study, results)
    # A note left over beside a file that is whole says nothing any more.
    store.record_of(chunks[3]).write_text(whole)
    assert "chunk 3" not in status_of(study, results)
    checked = status_of(study, results, check=True)
    assert f"chunk 0 damaged: {chunks[0]}: checksum differs from its record; delete" in checked


def test_costs_are_told_beside_the_prediction(done):
    study, results = done
    page = (results / "small" / "costs.html").read_text()
    assert "predicted [core s]" in page
    assert page.count("<tr") == 1 + 1 + 4
    cost = json.loads(
        chunk_paths(study, layout_of(study, results))[0].with_suffix(".cost").read_text()
    )
    assert {"wall_seconds", "core_seconds", "peak_memory_mib", "machines"} <= set(cost)
    assert cost["compile_seconds"] >= 0.0
    assert cost["peak_memory_mib"] > 10


def test_progress_shows_chunks_rate_and_time_left(tmp_path):
    digests = {"collect": "c", "reduce": "r", "figures/a": "f"}
    pages = (Page("tables", "runs"), Page("figures", "a"))
    one = Outline(
        arguments="s.yaml", name="s", layout=Layout(tmp_path, "s"), chunks=tuple("0123"),
        digests=digests, collected="c", analysed="a", pages=pages, memory_mb=1, minutes=1,
        dataset_mb=1, earlier={}, said="",
    )  # fmt: skip
    for name in "01":
        path = tmp_path / "s" / "chunks" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"digest": "' + name + '"}')
    with reporting(tmp_path / "s" / "chunks" / "2.zip") as progress:
        progress(1, 2)
        line = progress_line({"s": one}, 60.0, 0.0)
    # 2.5 of 4 chunks in a minute: 1.5 left, 36 seconds.
    assert line == ("[1:00] s 2/4 chunks; 2.5 chunks per minute; simulations done in about 0:36")
    for name in "23":
        (tmp_path / "s" / "chunks" / f"{name}.json").write_text('{"digest": "' + name + '"}')
    line = progress_line({"s": one}, 60.0, 0.0)
    assert line == "[1:00] s 4/4 chunks; statistics, 0 of 2 tables and figures"
