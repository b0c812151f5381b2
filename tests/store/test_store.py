"""Result files: same bytes from the same numbers, whole or absent, damage is found."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from neurolim.store import store


def dataset():
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "x": (("eps", "name"), rng.random((3, 2)), {"units": "1"}),
            "n": ("eps", np.zeros(3, np.int8)),
            "why": ("eps", ["", "noise", "failed runs"]),
        },
        {"eps": [0.1, 0.2, 0.3], "name": ["voltage", "recovery"]},
        {"title": "a title", "number": 3},
    )


def test_roundtrip_keeps_values_text_types_and_attributes(tmp_path):
    store.write_dataset(tmp_path / "a.zip", dataset())
    xr.testing.assert_identical(store.open_dataset(tmp_path / "a.zip").load(), dataset())


def test_same_numbers_give_the_same_bytes_in_another_process(tmp_path):
    here = store.write_dataset(tmp_path / "a.zip", dataset())
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_store import dataset\nfrom neurolim.store import store\n"
        "print(store.write_dataset(sys.argv[1], dataset()))"
    )
    there = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "b.zip"), str(__file__).rsplit("/", 1)[0]],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert here == there == store.sha256(tmp_path / "b.zip")


def test_opens_with_xarray_alone(tmp_path):
    store.write_dataset(tmp_path / "a.zip", dataset())
    plain = xr.open_zarr(f"zip::{tmp_path / 'a.zip'}", consolidated=False)
    np.testing.assert_array_equal(plain["x"], dataset()["x"])
    assert plain["name"].attrs["labels"] == ["recovery", "voltage"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "replace", "remove"])
def test_damage_is_found_and_the_file_is_named(tmp_path, damage):
    path = tmp_path / "a.zip"
    store.write_record(path, {"sha256": store.write_dataset(path, dataset())})
    store.open_checked(path)
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "replace":
        path.write_bytes(b"nothing")
    else:
        path.unlink()
    with pytest.raises(store.StoreError, match=r"a\.zip"):
        store.open_checked(path)


def test_a_full_disk_leaves_the_old_file_no_litter_and_one_clear_message(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    store.write_dataset(path, dataset())
    before = path.read_bytes()

    def full(stream, contents):
        stream.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "write_zip", full)
    with pytest.raises(store.StoreError, match=r"a\.zip: the disk is full; free some space"):
        store.write_dataset(path, dataset().isel(eps=slice(2)))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_what_killed_jobs_left_half_written_is_tidied_away(tmp_path):
    store.write_dataset(tmp_path / "study" / "a.zip", dataset())
    with contextlib.suppress(KeyboardInterrupt), store.beside(tmp_path / "study" / "b.zip"):
        left = next((tmp_path / "study").glob(".*"))
        (tmp_path / "study" / f"{left.name}{left.suffix}").touch()
        raise KeyboardInterrupt
    store.tidy(tmp_path)
    assert [p.name for p in (tmp_path / "study").iterdir()] == ["a.zip"]
