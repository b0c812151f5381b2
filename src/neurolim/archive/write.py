"""``neurolim archive``: studies and their results as one file, same bytes from same inputs."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurolim import provenance
from neurolim.archive import contents, harmless
from neurolim.archive.crate import crate, title, zenodo
from neurolim.archive.derived import arrays_of, following_from, verdict_pages
from neurolim.core import StudyError
from neurolim.launch import lock
from neurolim.pipeline.analyse import all_pages, current_pages
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.collect import damaged_chunks
from neurolim.pipeline.digests import stage_digests
from neurolim.pipeline.escapes import markdown
from neurolim.pipeline.layout import folder, layout_of, report_file
from neurolim.store import store
from neurolim.store.zipped import write_zip
from neurolim.study import packages
from neurolim.study import plan as planning
from neurolim.study.files import PLUGINS, files_of, place_of
from neurolim.study.read import load_study
from neurolim.study.study import Study
from neurolim.study.yaml import read_yaml


def archive(
    paths: Sequence[str],
    results: str | Path,
    name: str = "",
    date: str = "",
    root: Path | None = None,
    tiny: bool = False,
) -> Path:
    """Write the archive of studies that have been run; return ``<results>/archive/<name>.zip``.

    Every file that goes in is compared with its record first.  Beside the archive stands its own
    SHA-256, ``<name>.zip.sha256``.

    Parameters
    ----------
    paths : study files
    results : folder of all results
    name : of the archive; the study's, or "studies" for several
    date : of publication, YYYY-MM-DD; else SOURCE_DATE_EPOCH's, else that of the last commit
    root : the folder whose CITATION.cff and LICENSE say whose work it is (the current folder)
    tiny : the studies at test size, from ``<results>/tiny`` to ``<results>/tiny/archive``

    Raises
    ------
    StudyError : no project here, no date, a study that is being run, or one whose plug-ins run
        compiled code of an installed package
    store.StoreError : something is missing, altered or made from another study or code
    """
    root = root or Path.cwd()
    studies = _checked(paths, root, tiny)
    date = date or _date(root)
    citation = read_yaml(root / "CITATION.cff", "a citation file").content
    software = provenance.software()
    names = [study.name for study in studies]
    home = folder(results, tiny)
    target = home / "archive" / f"{name or (names[0] if len(names) == 1 else 'studies')}.zip"
    with (
        lock.locked(home, names),
        tempfile.TemporaryDirectory(prefix="neurolim-archive-") as workspace,
    ):
        files: dict[str, bytes | Path] = {}
        files.update(contents.code_files())
        files.update(packages.files_of(part for study in studies for part in _installed(study)))
        words = dict(_ABOUT)
        for study, path in zip(studies, paths, strict=True):
            files[f"studies/{study.name}.yaml"] = Path(path)
            files.update(_plugins(study))
            files.update(_results(study, Path(results), Path(workspace)))
            words.update(_described(study, files))
        files.update(verdict_pages(paths, results, tiny))
        with_packages = any(name.startswith(f"{packages.PACKAGES}/") for name in files)
        if with_packages:
            words[f"{packages.PACKAGES}/"] = "installed packages that bring plug-ins"
        report = report_file(home, [study.name for study in studies])
        if report.is_file():
            files[contents.REPORT] = report
            words[contents.REPORT] = "report: every table and figure with what it shows"
        files["README.md"] = _readme(studies, target.name, software, date, with_packages).encode()
        files["LICENSE"] = root / "LICENSE"
        files["CITATION.cff"] = root / "CITATION.cff"
        files[contents.MANIFEST] = _json(
            {
                "format": contents.FORMAT,
                "studies": {study.name: manifest_of(study) for study in studies},
                "software": software,
            }
        )
        files["zenodo.json"] = _json(zenodo(studies, citation, software["neurolim"], date))
        files[contents.METADATA] = _json(crate(studies, words, citation, software, date))
        _check(files)
        digests = {
            name: contents.sha256(content) if isinstance(content, bytes) else store.sha256(content)
            for name, content in files.items()
        }
        files[contents.CHECKSUMS] = contents.checksum_lines(digests).encode()
        with store.beside(target) as temporary, temporary.open("wb") as stream:
            write_zip(stream, files.items())
        with store.beside(target.with_name(f"{target.name}.sha256")) as temporary:
            temporary.write_text(f"{store.sha256(target)}  {target.name}\n", encoding="utf-8")
    return target


def _checked(paths: Sequence[str], root: Path, tiny: bool) -> list[Study]:
    """Return the studies of an archive.

    Raises
    ------
    StudyError : a study is refused, two have one name, or the folder is no project
    """
    missing = [part for part in ("CITATION.cff", "LICENSE") if not (root / part).is_file()]
    if missing:
        raise StudyError("", f"no {missing[0]} in {root}", "run this in the project's folder")
    studies = [load_study(path, tiny=tiny) for path in paths]
    if len({study.name for study in studies}) < len(studies):
        raise StudyError("studies", "two have one name", "distinct names")
    return studies


def _check(files: Mapping[str, bytes | Path]) -> None:
    """Refuse to write what `neurolim verify` would refuse to read.

    Raises
    ------
    StudyError : a name, a text or a picture that has no place in an archive
    """
    for name, content in files.items():
        found = [] if contents.has_place(name) else [f"{name}: has no place in an archive"]
        if not name.startswith(("data/", "statistics/")) and name != contents.REPORT:
            whole = content if isinstance(content, bytes) else content.read_bytes()
            found += harmless.problems(name, whole)
        if found:
            raise StudyError("", found[0], "plain text, numbers and pictures")


_ABOUT = {
    "README.md": "what this is and how to check it",
    **dict.fromkeys(contents.VERDICTS, "what was measured beside what is claimed, by paper"),
    "LICENSE": "licence",
    "CITATION.cff": "how to cite",
    "zenodo.json": "metadata for a Zenodo deposit",
    contents.MANIFEST: "layout, studies and versions",
    contents.CHECKSUMS: "SHA-256 of every other file",
    contents.LOCK: "every package with its hashes",
    "code/src/": "source code",
    "code/workflow/": "rules of the workflow",
}


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()


def _date(root: Path) -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch:
        return time.strftime("%Y-%m-%d", time.gmtime(int(epoch)))
    words = ["git", "-C", str(root), "log", "-1", "--format=%cs"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found = ""
    if not found:
        raise StudyError("date", "no commit here to take it from", "--date YYYY-MM-DD")
    return found


def manifest_of(study: Study) -> dict[str, Any]:
    """Return what the list of contents says of a study: title, claim, size and plan."""
    the_plan = planning.plan(study)
    size = {"tiny": True} if study.tiny else {}
    return size | {
        "title": study.spec.title,
        "claim": study.spec.claim,
        "points": the_plan.points,
        "runs": the_plan.runs,
        "chunks": [[runs.start, runs.stop] for runs in the_plan.chunks],
    }


def _plugins(study: Study) -> dict[str, bytes | Path]:
    """Return the files that a study names, and those of their folders that they import."""
    plugins = {
        place: file
        for source in study.sources.values()
        # A model as text is in the study itself.
        if not source.text
        for place, file in files_of(source.word, Path(source.path)).items()
    }
    graphs = {place_of(word): file for word, file in study.graphs.items()}
    return {f"{PLUGINS}/{study.name}/{place}": file for place, file in (plugins | graphs).items()}


def _installed(study: Study) -> list[tuple[str, str]]:
    """Return (kind, name) of the plug-ins that a study names and finds by no file."""
    named = [(choice.kind, choice.name) for choice in study.choices]
    return [(kind, name) for kind, name in named if f"{kind} {name}" not in study.sources]


def _results(study: Study, results: Path, workspace: Path) -> dict[str, bytes | Path]:
    """Return the files of one study, after checking each of them against its record."""
    layout = layout_of(study, results)
    for _, problem in damaged_chunks(study, layout):
        raise store.StoreError(problem)
    files: dict[str, bytes | Path] = {}
    for number, path in enumerate(chunk_paths(study, layout)):
        files[f"chunks/{study.name}/{number}.json"] = store.record_of(path)
    digests = stage_digests(study)
    for path, stage in ((layout.data, "collect"), (layout.statistics, "reduce")):
        if store.check(path).get("digest") != digests[stage]:
            raise store.StoreError(
                f"{path}: made from another study, code or version; delete "
                f"{store.record_of(path)} and run the study again"
            )
    pages = all_pages(study)
    current = current_pages(layout, digests, pages, check=True)
    for page in (page for page in pages if page not in current):
        raise store.StoreError(
            f"{layout.files_of(page)[0]}: missing, altered, failed, or made from another study or "
            "code; run the study again to make it"
        )
    files |= arrays_of(study, layout.data, workspace)
    return files | following_from(study, layout, workspace)


def _described(study: Study, files: Mapping[str, Any]) -> dict[str, str]:
    """Return what the files of a study are, for the crate: folders of arrays as one."""
    name = study.name
    words = {
        f"studies/{name}.yaml": f"study {name}: {study.spec.title}",
        f"data/{name}/": f"labelled data of {name}, zarr 3",
        f"statistics/{name}/": f"statistics of {name}, zarr 3",
        f"netcdf/{name}.nc": f"statistics of {name}, NetCDF 3",
        f"chunks/{name}/": f"records of the chunks of {name}: SHA-256 and what they were made from",
    }
    if any(file.startswith(f"{PLUGINS}/{name}/") for file in files):
        words[f"{PLUGINS}/{name}/"] = f"files that {name} names: plug-ins and wires"
    for file in files:
        kind, _, base = file.partition("/")
        if kind in ("tables", "figures") and base.startswith(f"{name}/"):
            words[file] = f"{kind[:-1]} {base.split('/')[1]} of {name}"
    return words


def _readme(
    studies: Sequence[Study],
    file: str,
    software: Mapping[str, str],
    date: str,
    with_packages: bool,
) -> str:
    first, size = studies[0].name, " --tiny" if studies[0].tiny else ""
    told = "\n".join(
        f"- **{study.name}**: {markdown(study.spec.title)}. {markdown(study.spec.cited_claim)}"
        for study in studies
    )
    versions = ", ".join(f"{name} {version}" for name, version in software.items())
    own = (
        "; `code/plugins/`: files that a study names"
        if any(_plugins(study) for study in studies)
        else ""
    )
    path = ""
    if with_packages:
        own += "; `code/packages/`: what installed packages bring"
        path = "    export PYTHONPATH=$PWD/code/packages\n"
    return f"""# {markdown(title(studies))}

{date}. Made{" at test size" if size else ""} with {versions}.
Begin with `verdicts.html`: what was measured beside what is claimed.

{told}

## Open the data

With xarray and zarr, without neurolim, straight from the zip:

    import xarray, zarr
    xarray.open_zarr(zarr.storage.ZipStore("{file}"), group="data/{first}", consolidated=False)

`statistics/{first}` opens in the same way; `netcdf/{first}.nc` holds the same statistics for tools
that read NetCDF. Variables carry units, long names and the meaning of flags; `status` is 0 where a
run succeeded, and other runs are NaN. Text is kept as integers whose meaning is in the attribute
`labels`.

## What is here

| | |
|---|---|
| `verdicts.html`, `.csv`, `.json` | what the studies say of their statements: begin here |
| `studies/` | study files: the experiments, word for word |
| `data/`, `statistics/` | labelled arrays (zarr 3) |
| `netcdf/` | statistics once more (NetCDF 3) |
| `tables/`, `figures/`, `report.html` | what people read |
| `chunks/` | of every piece of a simulation: SHA-256, and a digest of parameters and code |
| `code/` | source code, workflow and `requirements.lock`: every package with its hashes{own} |
| `ro-crate-metadata.json` | the same for machines: a Workflow Run RO-Crate |
| `checksums.sha256` | SHA-256 of every other file |

Times, machines and costs are left out: the same study gives the same archive.

## Check it

    unzip {file} -d archive && cd archive && sha256sum --check checksums.sha256

With neurolim installed, the same and more: layout, types and shapes, and two pieces of the
simulations repeated bit for bit in a new environment made from the lock:

    neurolim verify {file} --recompute 2

Without neurolim, from the archive itself (Python 3.11 or newer; this runs the code in it):

    python3 -m venv env && . env/bin/activate
    pip install --require-hashes -r code/requirements.lock
    pip install --no-deps --no-build-isolation ./code
{path}    neurolim simulate studies/{first}.yaml{size} --chunk 0 --output new/0.zip
    sha256sum new/0.zip        # as in chunks/{first}/0.json

All of it again, in that environment: `cd code && neurolim run ../studies/{first}.yaml{size}`.

## Licence and citation

`LICENSE`; please cite as in `CITATION.cff`, and the paper whose claim is tested.
"""
