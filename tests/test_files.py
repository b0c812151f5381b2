"""Files appear whole, as folder and umask say, and whatever else lies there stays as it is."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys

import pytest
from tests.running import environment

from neurolim import files
from neurolim.api import run_study
from neurolim.kept import keep_text
from neurolim.launch import lock
from neurolim.launch.progress import note_path, reporting
from neurolim.store import store


@pytest.fixture(params=[0o002, 0o022, 0o077])
def umask(request):
    """Return the umask, while the test runs."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def writers():
    """Return, by name, every way in which a file of a given name is written."""
    from matplotlib.figure import Figure

    from neurolim.figures.parts.style import save

    def draw(path):
        save(Figure(), path.with_suffix(""))

    def sign_of_life(path):
        with reporting(path):
            assert note_path(path).exists()
            note_path(path).rename(path)

    return {
        "record": lambda path: store.write_record(path, {"a": 1}),
        "note": lambda path: store.write_note(path, {"a": 1}),
        "kept": lambda path: keep_text(path, "text"),
        "figure": draw,
        "progress": sign_of_life,
    }


NAMES = {
    "record": "a.json",
    "note": "a.cost",
    "kept": "a.json",
    "figure": "a.pdf",
    "progress": "a.zip",
}


@pytest.mark.parametrize("writer", NAMES)
def test_every_file_is_as_folder_and_umask_say(tmp_path, umask, writer):
    tmp_path.chmod(0o2775)
    group = os.getgid() if os.geteuid() else 4242
    os.chown(tmp_path, -1, group)
    tmp_path.chmod(0o2775)
    path = tmp_path / "home" / NAMES[writer]
    writers()[writer](path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert path.stat().st_gid == group
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o2777 & ~umask
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("writer", ["record", "note", "kept", "figure"])
def test_a_link_is_replaced_and_its_target_left_alone(tmp_path, writer):
    target, path = tmp_path / "target", tmp_path / NAMES[writer]
    target.write_text("somebody's")
    path.symlink_to(target)
    writers()[writer](path)
    assert target.read_text() == "somebody's"
    assert not path.is_symlink()


def test_what_a_killed_writer_leaves_is_removed(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path; from neurolim import files\n"
        "with files.beside(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "figures" / "a.pdf"
    path.parent.mkdir()
    path.write_text("whole")
    words = [sys.executable, "-c", program, str(path)]
    assert subprocess.run(words, env=environment(), check=False).returncode < 0
    assert path.read_text() == "whole"
    for name in (".a1b2_c3d.unfinished", ".agreement.pdf.k3_x9zab"):
        (path.parent / name).touch()
    assert len(list(path.parent.iterdir())) == 4
    store.tidy(tmp_path)
    assert list(path.parent.iterdir()) == [path]


def test_what_fails_leaves_nothing(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ZeroDivisionError), files.beside(path) as temporary:
        temporary.write_text(str(1 / 0))
    assert not list(tmp_path.iterdir())


def test_a_lock_is_as_the_umask_says(tmp_path, umask):
    with lock.locked(tmp_path, ["s"]):
        found = lock.lock_path(tmp_path, "s").stat()
    assert stat.S_IMODE(found.st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_what_the_machine_refuses_is_one_line_with_the_name(tmp_path, monkeypatch, number):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.json"
    monkeypatch.setattr("neurolim.files.secrets.token_hex", refuse)
    with pytest.raises(store.StoreError, match=f"^{path}: [^\n]*(full|only|denied)[^\n]*$"):
        store.write_record(path, {})
    keep_text(path, "what is no loss")
    assert not list(tmp_path.iterdir())


def test_all_results_are_as_folder_and_umask_say(tmp_path, umask):
    results = tmp_path / "results"
    run_study(
        {
            "model": "linear",
            "solver": "particles",
            "reference": "moments",
            "options": {"n_neurons": 10, "dt": 0.1, "t_end": 1.0, "records": 2},
            "replicas": 2,
            "statistics": ["agreement"],
            "figures": ["agreement_scores"],
        },
        results,
    )
    every = list(results.rglob("*"))
    assert {path.suffix for path in every} >= {".zip", ".json", ".cost", ".csv", ".pdf", ".svg"}
    for path in every:
        wanted = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == wanted & ~umask, path
