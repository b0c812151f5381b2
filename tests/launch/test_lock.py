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
        if folder.owner() == "root" and "pytest" in str(folder):
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


def test_no_run_begins_beside_jobs_whose_own_was_killed(tmp_path):
    with lock.at_work(tmp_path / "s"), lock.at_work(tmp_path / "s"):
        assert "jobs whose own run was killed" in lock.is_locked(tmp_path, "s")
        with pytest.raises(StudyError, match="by jobs whose own"), lock.locked(tmp_path, ["s"]):
            pass
        with lock.locked(tmp_path, ["another"]):
            pass
    assert lock.is_locked(tmp_path, "s") == ""
    with lock.locked(tmp_path, ["s"]):
        # Jobs of a run that lives begin and end as they like.
        with lock.at_work(tmp_path / "s"):
            assert f"process {os.getpid()}" in lock.is_locked(tmp_path, "s")
        (tmp_path / "s" / ".jobs").unlink()


def test_a_run_waits_for_jobs_that_are_about_to_end(tmp_path):
    over = threading.Event()

    begun = threading.Event()

    def work():
        with lock.at_work(tmp_path / "s"):
            begun.set()
            over.wait(1.0)

    working = threading.Thread(target=work)
    working.start()
    assert begun.wait(60.0)
    with lock.locked(tmp_path, ["s"]):
        working.join()


def test_jobs_work_where_it_cannot_be_said(tmp_path):
    (tmp_path / "s").write_text("a file where a folder should be")
    with lock.at_work(tmp_path / "s"):
        pass
