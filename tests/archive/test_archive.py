"""Archives: same bytes from same inputs, open without neurolim, no altered byte goes unnamed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import venv
import zipfile
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurolim.api import run_study
from neurolim.archive import contents
from neurolim.archive.again import REMADE
from neurolim.archive.reading import ArchiveError
from neurolim.archive.verify import verify
from neurolim.archive.write import archive
from neurolim.core import Status, StudyError
from neurolim.pipeline.analyse import analyse
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.collect import write_runs
from neurolim.pipeline.layout import layout_of
from neurolim.store import store, zipped
from neurolim.study.plan import plan
from neurolim.study.read import load_study

ROOT = Path(__file__).parents[2]
DATE = "2026-01-02"
STUDY = """
title: A linear network lands on its closed-form law
claim: mean and covariance are known
model: linear
solver: particles
reference: moments
options: {n_neurons: 50, dt: 0.1, t_end: 0.6, records: 3}
grid:
  eps: {inverse: [10, 100, 1000]}
  path: {zip: {a: [0.3, 0.4], b: [0.1, 0.2]}}
replicas: 5
seed: 2
statistics: [agreement]
figures: [agreement_scores]
chunk_seconds: 0.006
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return (results folder, study file, archive) of a small study."""
    folder = tmp_path_factory.mktemp("made")
    study = folder / "small.yaml"
    study.write_text(STUDY)
    run_study(study, folder / "results")
    path = archive([str(study)], folder / "results", date=DATE, root=ROOT)
    return folder / "results", study, path


def contents_of(path):
    """Return {name: content} of a zip."""
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def rewritten(target, files, sums=True):
    """Write an archive as its maker might, with fitting checksums; return its path."""
    if sums:
        files = {name: content for name, content in files.items() if name != contents.CHECKSUMS}
        digests = {name: contents.sha256(content) for name, content in files.items()}
        files[contents.CHECKSUMS] = contents.checksum_lines(digests).encode()
    with target.open("wb") as stream:
        zipped.write_zip(stream, files.items())
    return target


def problems(path, **options):
    """Return what is wrong with an archive."""
    with pytest.raises(ArchiveError) as found:
        verify(path, **options)
    return found.value.problems


def test_a_sound_archive_is_found_sound(made):
    _, _, path = made
    found = verify(path)
    assert "match their SHA-256" in found[0]
    assert found[1].startswith("small: data of 30 runs in")
    assert found[2:] == [REMADE]


def test_same_inputs_same_bytes_in_another_folder(made, tmp_path):
    results, study, path = made
    for copy in (tmp_path / "a", tmp_path / "b" / "c"):
        shutil.copytree(results, copy, ignore=shutil.ignore_patterns("archive"))
        again = archive([str(study)], copy, date=DATE, root=ROOT)
        assert again.read_bytes() == path.read_bytes()
    assert not [entry for entry in contents_of(path).values() if str(tmp_path).encode() in entry]


def lines_that_open(path):
    """Return the program that the README of an archive shows to a stranger."""
    text = contents_of(path)["README.md"].decode()
    shown = text.split("straight from the zip:\n\n")[1].split("\n\n")[0]
    return shown.replace("    ", "").replace("xarray.open_zarr(", "data = xarray.open_zarr(")


def opened_by(python, path):
    """Return (sum of the means, unit, conventions) as a Python finds them, without neurolim."""
    said = (
        "print(repr(float(data['state_mean'].sum())), data['state_mean'].units, data.Conventions)"
    )
    program = f"import sys\nsys.modules['neurolim'] = None\n{lines_that_open(path)}\n{said}"
    words = [python, "-c", program]
    found = subprocess.run(words, cwd=path.parent, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


def test_opens_with_xarray_alone_straight_from_the_zip(made):
    results, _, path = made
    total, unit, conventions = opened_by(sys.executable, path)
    whole = store.open_checked(results / "small" / "data.zip")
    assert float(total) == float(whole["state_mean"].sum())
    assert unit == whole["state_mean"].units
    assert conventions.startswith("CF-")


@pytest.mark.slow
def test_opens_where_there_is_nothing_but_xarray_and_zarr(made, tmp_path):
    path = made[2]
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    known = [f"{name}=={version(name)}" for name in ("xarray", "zarr", "numpy")]
    subprocess.run([python, "-m", "pip", "install", "-qq", *known], check=True)
    assert opened_by(python, path) == opened_by(sys.executable, path)


def test_netcdf_twin_holds_the_same_statistics(made, tmp_path):
    results, _, path = made
    (tmp_path / "twin.nc").write_bytes(contents_of(path)["netcdf/small.nc"])
    twin = xr.open_dataset(tmp_path / "twin.nc", engine="scipy")
    statistics = store.open_checked(results / "small" / "statistics.zip")
    assert set(twin.data_vars) == set(statistics.data_vars)
    for name, variable in statistics.data_vars.items():
        if variable.dtype.kind == "f":
            np.testing.assert_array_equal(twin[name].values, variable.values)
            assert twin[name].attrs == variable.attrs


def test_everything_a_stranger_needs_is_inside(made):
    files = contents_of(made[2])
    for name in (
        *("README.md", "LICENSE", "CITATION.cff", "zenodo.json", "ro-crate-metadata.json"),
        *("checksums.sha256", "studies/small.yaml", "code/requirements.lock", "code/Snakefile"),
        *("tables/small/agreement.csv", "figures/small/agreement_scores.svg"),
        "code/src/neurolim/core/model.py",
    ):
        assert files[name], name
    deposit = json.loads(files["zenodo.json"])["metadata"]
    assert deposit["upload_type"] == "dataset"
    assert deposit["creators"]
    crate = json.loads(files["ro-crate-metadata.json"])["@graph"]
    names = {part["@id"] for part in crate}
    for part in crate:
        if part["@type"] in ("File", "Dataset") and part["@id"] != "./":
            assert any(file.startswith(part["@id"]) for file in files), part["@id"]
    for part in next(part for part in crate if part["@id"] == "./")["hasPart"]:
        assert part["@id"] in names
    assert b"/tmp" not in b"".join(
        content for name, content in files.items() if not name.startswith(("code/", "data/"))
    )


def test_an_archive_begins_with_the_verdicts_and_their_links_lead_to_its_files(made):
    files = contents_of(made[2])
    page = files["verdicts.html"].decode()
    assert "mean covariance" in page
    assert "cost" not in page
    links = re.findall(r'href="([^"]+)"', page)
    assert "figures/small/agreement_scores.svg" in links
    assert all(link in files for link in links)
    stored = json.loads(files["verdicts.json"])
    assert sum(stored["counts"].values()) == len(stored["studies"][0]["verdicts"]) == 3
    assert files["README.md"].decode().index("verdicts.html") < 300


def test_altered_results_are_not_archived(made, tmp_path):
    results, study, _ = made
    first = chunk_paths(load_study(study), layout_of(load_study(study), results))[0]
    for name in ("data.zip", f"chunks/{first.name}", "statistics.zip"):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(results, copy)
        path = copy / "small" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 4
        path.write_bytes(content)
        with pytest.raises(store.StoreError, match=str(path)):
            archive([str(study)], copy, date=DATE, root=ROOT)
    (results / "small" / "tables" / "agreement.tex").rename(tmp_path / "agreement.tex")
    with pytest.raises(store.StoreError, match=r"agreement\.html: missing, altered"):
        archive([str(study)], results, date=DATE, root=ROOT)
    (tmp_path / "agreement.tex").rename(results / "small" / "tables" / "agreement.tex")
    with pytest.raises(StudyError, match="run this in the project's folder"):
        archive([str(study)], results, date=DATE, root=tmp_path)


def test_tampering_with_any_byte_is_found_and_named(made, tmp_path):
    """Bytes at random, and one byte in every header, content and part of the directory."""
    path = made[2]
    content = path.read_bytes()
    rng = random.Random(1)
    entries = zipped.entries_of(path)
    places = [rng.randrange(len(content)) for _ in range(25)]
    places += [entry.offset + 20 for entry in entries[::9]]
    places += [entry.start for entry in entries[::9] if entry.size]
    places += [entries[-1].stop + k for k in (0, 10, 30, 44)] + [
        len(content) - k for k in (1, 5, 20)
    ]
    copy = tmp_path / "tampered.zip"
    for place in places:
        altered = bytearray(content)
        altered[place] ^= 1 << rng.randrange(8)
        copy.write_bytes(altered)
        told = " ".join(problems(copy)).replace(str(copy), "")
        owner = next((e.name for e in entries if e.start <= place < e.stop), None)
        if owner is not None and owner != contents.CHECKSUMS:
            assert owner in told, (place, told)
        else:
            # Of the zip itself: the entry, the directory or the list of checksums is named.
            # Of an entry's head, what it says is wrong: its name, its size, how it is packed.
            words = ("header", "directory", "zip", contents.CHECKSUMS, "archive", "file", "name")
            assert any(word in told for word in (*words, "compressed")), (place, told)


@pytest.mark.parametrize("change", ["cut", "longer", "before", "sidecar"])
def test_a_longer_shorter_or_replaced_archive_is_found(made, tmp_path, change):
    content = made[2].read_bytes()
    copy = tmp_path / "small.zip"
    changed = {"cut": content[:-100], "longer": content + b"x", "before": b"#!/bin/sh\n" + content}
    copy.write_bytes(changed.get(change, content))
    if change == "sidecar":
        copy.with_name("small.zip.sha256").write_text("0" * 64 + "  small.zip\n")
    assert str(copy) in problems(copy)[0]


def raw_zip(target, name, content=b"x", **changes):
    """Write a zip with one entry of somebody else's making."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = changes.pop("mode", 0o100644) << 16
    info.create_system = 3
    info.compress_type = changes.pop("compress", zipfile.ZIP_STORED)
    with zipfile.ZipFile(target, "w") as opened:
        opened.writestr(info, content)
    return target


@pytest.mark.parametrize(
    ("name", "changes", "word"),
    [
        ("../outside", {}, "leads out"),
        ("/etc/passwd", {}, "leads out"),
        ("a/../../b", {}, "leads out"),
        ("a\\..\\b", {}, "leads out"),
        ("C:/b", {}, "leads out"),
        ("folder/", {}, "leads out"),
        ("link", {"mode": 0o120777}, "a link"),
        ("device", {"mode": 0o060644}, "not a plain file"),
        ("-rf", {}, "no plain name"),
        (".bashrc", {}, "no plain name"),
        ("code/NUL.py", {}, "no plain name"),
        ("code/a./b.py", {}, "no plain name"),
        ("script", {"mode": 0o100755}, "executable"),
        ("bomb", {"content": bytes(10**7), "compress": zipfile.ZIP_DEFLATED}, "compressed"),
        ("bomb", {"content": bytes(10**6), "compress": zipfile.ZIP_BZIP2}, "compressed"),
    ],
)
def test_zips_made_to_harm_are_refused(tmp_path, name, changes, word):
    path = raw_zip(tmp_path / "hostile.zip", name, **changes)
    assert word in problems(path)[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hostile.zip"]


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["a", "a"], "twice"),
        (["A.md", "a.md"], "stands in the way of A.md"),
        (["A/b", "a/c"], "stands in the way of A/"),
        (["a", "a/b"], "stands in the way of a"),
        (["A/b/c", "a/B"], "stands in the way of A"),
    ],
)
def test_names_that_collide_on_some_disk_are_refused(tmp_path, names, word):
    path = tmp_path / "a.zip"
    with path.open("wb") as stream:
        zipped.write_zip(stream, [(name, b"x") for name in names])
    assert word in problems(path)[0]


def test_overlapping_entries_and_false_sizes_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with path.open("wb") as stream:
        zipped.write_zip(stream, [("a", b"1" * 50), ("b", b"2" * 50)])
    content = path.read_bytes()
    entries = zipped.entries_of(path)
    # Both entries at one place: how a small zip becomes an endless one.
    fake = [entries[0], zipped.Entry("b", entries[0].checksum, 50, 0)]
    path.write_bytes(content[: entries[-1].stop] + zipped._directory(fake, entries[-1].stop))
    assert "b: its header" in problems(path)[0]
    fake = [entries[0]._replace(size=10**12)]
    path.write_bytes(content[: entries[0].stop] + zipped._directory(fake, entries[0].stop))
    assert str(path) in problems(path)[0]
    path.write_bytes(b"PK nothing")
    assert "no zip" in problems(path)[0]
    assert "missing" in problems(tmp_path / "none.zip")[0]


def test_large_files_have_large_headers(tmp_path):
    """Beyond 4 GiB sizes and offsets move to extra fields; a zip library agrees."""
    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(2**32 + 5)
    entry = zipped.Entry("big", 0, 2**32 + 5, 0)
    after = zipped.Entry("later", zlib.crc32(b"x"), 1, entry.stop)
    assert len(zipped._local(entry)) == 30 + 3 + 20
    path = tmp_path / "a.zip"
    with path.open("wb") as stream:
        stream.write(zipped._local(entry))
        stream.seek(entry.stop)
        stream.write(zipped._local(after) + b"x")
        stream.write(zipped._directory([entry, after], after.stop))
    assert [e.size for e in zipped.entries_of(path)] == [2**32 + 5, 1]
    with zipfile.ZipFile(path) as opened:
        assert opened.read("later") == b"x"
        assert opened.getinfo("later").header_offset == entry.stop


def replaced(files, name, old, new):
    assert old in files[name], name
    return files | {name: files[name].replace(old, new)}


def without(files, start):
    return {name: content for name, content in files.items() if not name.startswith(start)}


def bomb(size):
    """Return the head of a zstd frame that says it expands to so many bytes."""
    return b"\x28\xb5\x2f\xfd\xa0" + size.to_bytes(4, "little") + b"\x03\0\0\0"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f: f | {"data/small/evil.pkl": b"cos\nsystem\n"}, "evil.pkl"),
        (
            lambda f: f | {"tables/small/run.py": b"print(1)"},
            "tables/small/run.py: nothing of this name",
        ),
        (lambda f: f | {"notes.exe": b"MZ"}, "notes.exe: nothing of this name"),
        (
            lambda f: replaced(f, "data/small/state_mean/zarr.json", b'"zstd"', b'"pickle"'),
            "codecs.1.name: Input should be 'zstd'",
        ),
        (
            lambda f: replaced(f, "data/small/state_mean/zarr.json", b'"float64"', b'"object"'),
            "data_type: Input should be 'bool'",
        ),
        (
            lambda f: replaced(f, "studies/small.yaml", b"seed: 2", b"seed: !!python/name:os.x"),
            "studies/small.yaml",
        ),
        (
            lambda f: replaced(
                f, "figures/small/agreement_scores.svg", b"</svg>", b"<script>x</script></svg>"
            ),
            "agreement_scores.svg: made again from the data, it is another",
        ),
        (
            lambda f: replaced(f, "tables/small/runs.html", b"<table ", b"<table onload = x() "),
            "runs.html: made again from the data, it is another",
        ),
        (
            lambda f: f | {contents.LOCK: b"--index-url https://evil\n" + f[contents.LOCK]},
            "line 1 is neither a pin",
        ),
        (lambda f: f | {contents.LOCK: b"evil @ file:///evil \\\n"}, "neither a pin"),
        (lambda f: f | {contents.LOCK: b"evil==1.0 \\\n"}, "without hash"),
        (lambda f: f | {contents.METADATA: b"[" * 100_000}, "not JSON"),
        (lambda f: f | {contents.MANIFEST: b'{"format": 99}'}, "format 99"),
        (
            lambda f: f | {"studies/small.yaml": f["studies/small.yaml"] + b"#" * 2**20},
            "studies/small.yaml: is longer than any study",
        ),
        (
            lambda f: replaced(f, "studies/small.yaml", b"replicas: 5", b"replicas: 6"),
            "archive.json: is about other studies",
        ),
        (
            lambda f: f | {"chunks/small/1.json": f["chunks/small/0.json"]},
            "chunks/small/1.json: other runs than the study's",
        ),
        (
            lambda f: replaced(f, "data/small/state_mean/zarr.json", b'"units": "', b'"units": "m'),
            "data/small/state_mean: unit",
        ),
        (
            lambda f: {k: v for k, v in f.items() if "data/small/state_mean/" not in k},
            "state_mean: missing",
        ),
        (
            lambda f: {k: v for k, v in f.items() if k != "chunks/small/0.json"},
            "chunks/small/0.json",
        ),
        # Code that Python would find before its own.
        (lambda f: f | {"code/src/sitecustomize.py": b""}, "sitecustomize.py: nothing of this"),
        (lambda f: f | {"code/src/numpy/__init__.py": b""}, "numpy/__init__.py: nothing of this"),
        (lambda f: f | {"code/__init__.py": b""}, "code/__init__.py: nothing of this"),
        (lambda f: f | {"code/src/neurolim/core.pyc": b""}, "core.pyc: nothing of this"),
        (lambda f: f | {"index.html": b"x"}, "index.html: nothing of this"),
        # Arrays that grow when they are read, or have holes.
        (lambda f: f | {"data/small/state_mean/c/9/0": b""}, "c/9/0: belongs to no array"),
        (
            lambda f: without(f, "data/small/state_mean/c/"),
            "data/small/state_mean/c/0/0/0/0/0/0: not in the",
        ),
        (
            lambda f: replaced(f, "data/small/status/zarr.json", b'"shape": [', b'"shape": [9999'),
            "data/small/status/c/",
        ),
        (
            lambda f: replaced(f, "data/small/eps/zarr.json", b"3\n", b"9999999999999999\n"),
            "data/small/eps/zarr.json: ",
        ),
        (
            lambda f: f | {"data/small/status/c/0/0/0": bomb(10**9)},
            "status/c/0/0/0: does not expand to the 30 bytes",
        ),
        (lambda f: f | {"data/small/status/c/0/0/0": b"x" * 30}, "does not expand"),
        (
            lambda f: replaced(
                f, "data/small/zarr.json", b'"zarr_f', b'"consolidated_metadata": {}, "zarr_f'
            ),
            "data/small/zarr.json: describes no zarr 3 group",
        ),
        # Programs in pictures, tables and texts, in whatever letters, are not what is made again.
        (
            lambda f: f | {"figures/small/agreement_scores.png": b"<html>"},
            "agreement_scores.png: is not what",
        ),
        (lambda f: f | {"netcdf/small.nc": b"\x89HDF\r\n\x1a\n"}, "small.nc: is not what"),
        (lambda f: f | {"tables/small/runs.csv": b"a,=cmd|x!A1\n"}, "runs.csv: made again"),
        (lambda f: f | {"tables/small/runs.tex": b"\\immediate\\write18{x}"}, "runs.tex: made"),
        (
            lambda f: replaced(
                f, "figures/small/agreement_scores.pdf", b"endobj", b"/AA <<>>\nendobj"
            ),
            "agreement_scores.pdf: made again",
        ),
        # What does not follow from the data.
        (lambda f: replaced(f, "tables/small/agreement.json", b"agrees", b"disagrees"), "made"),
        (lambda f: replaced(f, "verdicts.csv", b"small", b"great"), "verdicts.csv: made again"),
        (lambda f: f | {"netcdf/small.nc": f["netcdf/small.nc"] + b"\0"}, "small.nc: made again"),
        (lambda f: f | {"tables/small/more.csv": b"x\n"}, "more.csv: follows from no data"),
        (lambda f: without(f, "tables/small/runs.tex"), "runs.tex: follows from the data, not in"),
        (
            lambda f: replaced(f, "statistics/small/zarr.json", b"closed-form", b"closed+form"),
            "statistics/small/zarr.json: made again from the data, it is another",
        ),
    ],
)
def test_well_made_archives_with_bad_contents_are_refused(made, tmp_path, change, word):
    path = rewritten(tmp_path / "small.zip", change(contents_of(made[2])))
    assert word in " ".join(problems(path))


def test_checksums_must_list_exactly_what_is_there(made, tmp_path):
    files = contents_of(made[2])
    path = rewritten(tmp_path / "a.zip", files | {"more.md": b"x"}, sums=False)
    assert problems(path) == (f"more.md: not listed in {contents.CHECKSUMS}",)
    fewer = {name: content for name, content in files.items() if name != "LICENSE"}
    path = rewritten(tmp_path / "b.zip", fewer, sums=False)
    assert problems(path) == (f"LICENSE: listed in {contents.CHECKSUMS}, not in the archive",)


def test_an_expectation_that_was_edited_after_the_run_is_found(mapping, tmp_path):
    study = tmp_path / "small.yaml"
    study.write_text(json.dumps(mapping))
    run_study(study, tmp_path / "results")
    path = archive([str(study)], tmp_path / "results", date=DATE, root=ROOT)
    edited = replaced(contents_of(path), "studies/small.yaml", b'"order": 1.0', b'"order": 2.0')
    differing = problems(rewritten(tmp_path / "edited.zip", edited))
    assert "verdicts.csv: made again from the data, it is another" in differing


def test_what_other_software_made_is_said_not_to_be_made_again(made, tmp_path):
    files = contents_of(made[2])
    manifest = json.loads(files["archive.json"])
    version = manifest["software"]["numpy"]
    manifest["software"]["numpy"] = "1.0"
    name = "code/src/neurolim/__main__.py"
    for change, reason in (
        ({"archive.json": json.dumps(manifest).encode()}, f"numpy 1.0 ({version} here)"),
        ({name: files[name] + b"#\n"}, "the archive's neurolim is another"),
    ):
        path = rewritten(tmp_path / "other.zip", files | change)
        (line,) = problems(path)
        assert line.startswith("statistics, tables, figures, verdicts: not made again, for ")
        assert reason in line
        last = verify(path, partly=True)[-1]
        assert reason in last
        assert "may run programs: do not open them" in last


def test_another_patch_of_python_makes_the_same_bytes(made, tmp_path):
    files = contents_of(made[2])
    manifest = json.loads(files["archive.json"])
    manifest["software"]["python"] = manifest["software"]["python"].rpartition(".")[0] + ".99"
    path = rewritten(tmp_path / "a.zip", files | {"archive.json": json.dumps(manifest).encode()})
    assert verify(path)[-1] == REMADE


def forged(made, tmp_path, change):
    """Return an archive in which all fits altered data: checksums, tables, figures, verdicts."""
    results, study, _ = made
    copy = tmp_path / "results"
    shutil.copytree(results, copy, ignore=shutil.ignore_patterns("archive"))
    path = copy / "small" / "data.zip"
    data, record = store.open_checked(path).load(), store.read_record(path)
    data = change(data)
    del record["sha256"]
    store.write_signed(path, data, record)
    write_runs(load_study(study), layout_of(load_study(study), copy))
    analyse(load_study(study), copy)
    return archive([str(study)], copy, date=DATE, root=ROOT)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda data: data.assign_coords(eps=data["eps"] ** 2),
            "data/small/eps: other values than the study's",
        ),
        (
            lambda data: data.assign_attrs(seed=77),
            "data/small/zarr.json: says something else than the study",
        ),
        (
            lambda data: data.assign(z_mean=data["state_mean"].mean("replica")),
            "data/small/z_mean: the study gives no such variable",
        ),
        (
            lambda data: data.assign(
                state_mean=data["state_mean"].assign_attrs(long_name="certified")
            ),
            "data/small/state_mean: its description is another",
        ),
    ],
    ids=["levels", "seed", "variable", "description"],
)
def test_data_that_say_something_else_than_the_study_are_refused(made, tmp_path, change, problem):
    assert problem in problems(forged(made, tmp_path, change))


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("studies/small.yaml", (b"seed: 2", b"seed: 3"), "made from another study or other code"),
        ("chunks/small/0.json", (b'"digest": "', b'"digest": "0'), "made from another study"),
        ("chunks/small/0.json", (b'"digest": "', b'"digest": "../../'), "made from another study"),
        ("chunks/small/0.json", (b'"failed": 0', b'"failed": "x"'), "the records say otherwise"),
        ("chunks/small/0.json", (b'"failed": 0', b'"failed": [1]'), "the records say otherwise"),
        ("data/small/eps/zarr.json", (b'"units"', b'"scale_factor": 2.0, "units"'), "changed as"),
    ],
)
def test_what_was_edited_after_the_run_is_refused(made, tmp_path, name, change, problem):
    files = replaced(contents_of(made[2]), name, *change)
    assert problem in " ".join(problems(rewritten(tmp_path / "a.zip", files)))


def test_an_archive_without_a_study_is_refused(made, tmp_path):
    files = without(contents_of(made[2]), "studies/")
    assert problems(rewritten(tmp_path / "a.zip", files)) == ("studies/: no study",)


def test_other_files_beside_the_code_are_named(made, tmp_path):
    name = "code/pyproject.toml"
    files = contents_of(made[2])
    path = rewritten(tmp_path / "a.zip", files | {name: files[name] + b"#\n"})
    lines = [line for line in verify(path) if line.startswith(name)]
    assert len(lines) == 1
    assert "read it before you install" in lines[0]


def test_bytes_do_not_depend_on_how_python_hashes(made, tmp_path):
    """Sets have another order in every process, unless it is told otherwise."""
    results, study, path = made
    program = (
        "import sys; from pathlib import Path; from neurolim.archive.write import archive\n"
        f"archive([sys.argv[1]], sys.argv[2], date={DATE!r}, root=Path(sys.argv[3]))"
    )
    for seed in ("1", "2"):
        copy = tmp_path / seed
        shutil.copytree(results, copy, ignore=shutil.ignore_patterns("archive"))
        subprocess.run(
            [sys.executable, "-c", program, str(study), str(copy), str(ROOT)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
        )
        assert (copy / "archive" / path.name).read_bytes() == path.read_bytes()


def test_a_lying_frame_is_not_expanded(made, tmp_path):
    """A frame that says less than it holds is stopped by the decoder, one without a size by us."""
    files = contents_of(made[2])
    name = "data/small/status/c/0/0/0"
    # One block of a byte repeated 2^17 times in a frame that says 30 bytes; then says nothing.
    block = (1 | 1 << 1 | 2**17 << 3).to_bytes(3, "little") + b"\0"
    for start, word in (
        (b"\x20\x1e", "data/small: not readable"),
        (b"\x00\x38", "does not expand"),
    ):
        frame = b"\x28\xb5\x2f\xfd" + start + block
        path = rewritten(tmp_path / "small.zip", files | {name: frame})
        assert word in " ".join(problems(path))


def mutants(value, rng):
    """Yield copies of a JSON value with one part replaced by something else."""
    odd: list[Any] = [
        None,
        True,
        -1,
        10**400,
        1e308,
        "",
        "x" * 10**5,
        [],
        {},
        [[]],
        {"a": {}},
        "../..",
        "NaN",
    ]
    yield rng.choice(odd)
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            for mutant in mutants(value[key], rng):
                copy = value.copy()
                copy[key] = mutant
                yield copy


def test_odd_metadata_are_refused_or_harmless_but_never_crash(made, tmp_path):
    """Every part of every kind of JSON file replaced by something of another type or size."""
    files = contents_of(made[2])
    rng = random.Random(3)
    tried = accepted = 0
    names = ("archive.json", "chunks/small/1.json", "data/small/zarr.json")
    for name in (*names, "data/small/state_mean/zarr.json", "data/small/status/zarr.json"):
        for mutant in rng.sample(list(mutants(json.loads(files[name]), rng)), 8):
            content = json.dumps(mutant).encode()
            path = rewritten(tmp_path / "small.zip", files | {name: content})
            with contextlib.suppress(ArchiveError):
                verify(path)
                accepted += 1
            tried += 1
    # What is no more than words may change.
    assert accepted < tried


@pytest.mark.slow
def test_some_chunks_are_made_again_bit_for_bit(made):
    found = verify(made[2], recompute=2, here=True, seed=3)
    assert sum("bit for bit" in line for line in found) == 2


@pytest.mark.slow
@pytest.mark.ci
def test_a_forged_number_is_found_by_making_it_again(made, tmp_path):
    """All checksums fit, and all that follows from the number: only the simulation can tell."""

    def change(data):
        data["state_mean"][...] += 1e-12
        return data

    path = forged(made, tmp_path, change)
    data = contents_of(path)
    mixed = contents_of(made[2]) | {n: c for n, c in data.items() if n.startswith("data/")}
    assert "it is another" in " ".join(problems(rewritten(tmp_path / "mixed.zip", mixed)))
    assert verify(path)[-1] == REMADE
    assert "data/small/state_mean: runs" in problems(path, recompute=1, here=True)[0]


@pytest.mark.slow
@pytest.mark.ci
def test_foreign_code_runs_only_if_trusted(made, tmp_path):
    files = contents_of(made[2])
    touched = tmp_path / "touched"
    name = "code/src/neurolim/__main__.py"
    evil = f"open({str(touched)!r}, 'w').close()\n".encode()
    path = rewritten(tmp_path / "small.zip", files | {name: evil + files[name]})
    assert verify(path, partly=True)
    told = problems(path, recompute=1, here=True)
    assert "code/src/neurolim/__main__.py: differs" in told[0]
    assert "--trust" in told[0]
    assert not touched.exists()
    verify(path, recompute=1, here=True, trust=True, seed=0, partly=True)
    assert touched.exists()


@pytest.mark.slow
def test_a_refined_map_comes_again_with_what_it_rests_on(tmp_path):
    study = ROOT / "config" / "studies" / "map-current-a.yaml"
    words = study.read_text().replace("t_end: 300.0", "t_end: 30.0").replace("100.0", "10.0")
    path = tmp_path / "map.yaml"
    path.write_text(words)
    data = run_study(path, tmp_path / "results", tiny=True)
    assert (data["status"] == Status.SKIPPED).any()
    made = archive([str(path)], tmp_path / "results", date=DATE, root=ROOT, tiny=True)
    assert made == tmp_path / "results" / "tiny" / "archive" / "map.zip"
    chunks = len(plan(load_study(path, tiny=True)).chunks)
    assert chunks > 1
    found = verify(made, recompute=chunks, here=True)
    assert sum("bit for bit" in line for line in found) == chunks


@pytest.mark.slow
def test_an_archive_carries_the_wires_that_its_study_names(tmp_path):
    study = tmp_path / "here" / "graph.yaml"
    study.parent.mkdir()
    study.write_text(
        "title: Two neurons\nmodel: {state: {v: {spread: 1}}, drift: {v: -v + sum(v)}}\n"
        "solver: graph\n"
        "options: {wires: given, graph: ../wires.csv, n_neurons: 2,\n"
        "          dt: 0.1, t_end: 0.2, records: 1}\n"
    )
    (tmp_path / "wires.csv").write_text("to,from,weight\n0,1,-0.5\n")
    run_study(study, tmp_path / "results")
    made = archive([str(study)], tmp_path / "results", date=DATE, root=ROOT)
    files = contents_of(made)
    place = "code/plugins/graph/_up/wires.csv"
    assert files[place] == b"to,from,weight\n0,1,-0.5\n"
    # The archive's own wires are read, wherever the study was.
    (tmp_path / "wires.csv").unlink()
    assert verify(made, recompute=1, here=True)[-1].endswith("bit for bit")
    other = rewritten(tmp_path / "other.zip", files | {place: files[place].replace(b"5", b"6")})
    assert "made from another study or other code" in problems(other)[0]
    without = {name: content for name, content in files.items() if name != place}
    words = problems(rewritten(tmp_path / "without.zip", without))
    assert "names '../wires.csv', which is not in the archive" in words[0]


def validator():
    """Return the RO-Crate validator and the folder of its environment, or skip."""
    for folder in (os.environ.get("ROCRATE_VALIDATOR", ""), ROOT / ".venv-rocrate"):
        if folder and (Path(folder) / "bin" / "rocrate-validator").exists():
            return Path(folder)
    pytest.skip("no RO-Crate validator: make .venv-rocrate")


@pytest.mark.slow
@pytest.mark.ci
def test_the_crate_passes_its_validator(made, tmp_path):
    folder = validator()
    for name, content in contents_of(made[2]).items():
        target = tmp_path / "crate" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    program = ROOT / "tests" / "archive" / "validate_crate.py"
    found = subprocess.run(
        [folder / "bin" / "python", program, tmp_path / "crate"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
def test_chunks_come_again_in_a_fresh_environment_from_the_lock(made):
    said: list[str] = []
    found = verify(made[2], recompute=2, seed=5, say=said.append)
    assert any("environment from the archive's lock" in line for line in said)
    assert sum("bit for bit" in line for line in found) == 2
