"""A lock is a file of its own, and everybody who may look can ask whose it is."""

from __future__ import annotations

import os
import threading

import pytest

from neurolim.core import StudyError
from neurolim.launch import lock


@pytest.mark.parametrize("kind", ["symbolic", "dangling", "hard", "pipe", "folder"])
def test_a_lock_changes_nothing_that_is_not_its_own(tmp_path, kind):
    target = tmp_path / "target"
    target.write_text("somebody's")
    path = lock.lock_path(tmp_path, "s")
    path.parent.mkdir()
    match kind:
        case "symbolic":
            path.symlink_to(target)
        case "dangling":
            path.symlink_to(tmp_path / "nothing")
        case "hard":
            path.hardlink_to(target)
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    with pytest.raises(StudyError, match=f"cannot lock s: {path}: "), lock.locked(tmp_path, ["s"]):
        pass
    assert target.read_text() == "somebody's"
    assert not (tmp_path / "nothing").exists()
    # Who asks is told that it cannot be known.
    assert kind == "folder" or str(path) in lock.is_locked(tmp_path, "s")


def test_asking_never_stops_a_run_from_beginning(tmp_path):
    over = threading.Event()

    def ask():
        while not over.is_set():
            lock.is_locked(tmp_path, "s")

    with lock.locked(tmp_path, ["s"]):
        pass
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(200):
            with lock.locked(tmp_path, ["s"]):
                assert lock.is_locked(tmp_path, "s")
    finally:
        over.set()
        asking.join()


def test_a_lock_of_another_user_can_be_asked_and_not_taken(tmp_path):
    if os.geteuid():
        pytest.skip("no right to become another user")
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.owner() == "root" and folder.name.startswith("pytest"):
            folder.chmod(0o755)
    with lock.locked(tmp_path, ["s"]):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            # Another user, with no group in common.
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                try:
                    with lock.locked(tmp_path, ["s"]):
                        said = "taken"
                except StudyError as error:
                    said = str(error)
                said += f"; run by {lock.is_locked(tmp_path, 's')}"
                os.write(writer, said.encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read()
    assert f"cannot lock s: {lock.lock_path(tmp_path, 's')}: Permission denied" in said
    assert f"run by {lock.user_name()} (process {os.getpid()}" in said
