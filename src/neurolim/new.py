"""``neurolim new``: files to begin with, which work as they stand."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from neurolim import files, shipped
from neurolim.core import KINDS, StudyError

#: What there is a template for.
TEMPLATES = ("project", *KINDS, "study")
_TEXTS = Path(__file__).parent / "templates"
#: What names may be, and how that is said.
_PLUG_IN = (re.compile(r"[A-Za-z_]\w*", re.ASCII), "letters, digits and _")
_NAMES = {
    "project": (re.compile(r"[A-Za-z0-9][\w. -]*", re.ASCII), "letters, digits, blanks and -_."),
    "study": (re.compile(r"[a-z0-9][a-z0-9_-]*"), "a-z, 0-9, - and _"),
}

GITIGNORE = """results/
.snakemake/
__pycache__/
"""
SNAKEFILE = """\
# `snakemake --cores 2` runs the workflow of the installed neurolim.  `neurolim run` does the same
# without this file, but for rules of your own.
import neurolim


configfile: "config/config.yaml"


module studies:
    snakefile:
        neurolim.snakefile()
    config:
        config


use rule * from studies


onstart:
    studies.onstart()


onsuccess:
    studies.onsuccess()


# Rules of your own follow here.  So that they run, too, when nothing else is asked for:
#
# rule everything:
#     default_target: True
#     input:
#         rules.all.input,
#         "results/summary.csv",
"""


def new(kind: str, name: str, folder: Path) -> Path:
    """Write a file or, of a project, a folder to begin with; return its path.

    Parameters
    ----------
    kind : one of TEMPLATES
    name : of the file, with or without its ending, maybe in a folder; or of the project's folder
    folder : to which the name is relative

    Raises
    ------
    StudyError : unknown kind, no name for a file, or something that is there already
    """
    if kind not in TEMPLATES:
        raise StudyError("kind", f"no template for {kind!r}", TEMPLATES)
    ending = {"project": "", "study": ".yaml"}.get(kind, ".py")
    path = folder / f"{name.removesuffix(ending) if ending else name}{ending}"
    title = path.name.removesuffix(ending) if ending else path.name
    pattern, allowed = _NAMES.get(kind, _PLUG_IN)
    if not pattern.fullmatch(title):
        raise StudyError("name", f"{title!r} is no name", allowed)
    if path.exists():
        raise StudyError("name", f"{path} is there already", "another name")
    try:
        if kind == "project":
            _write_project(path, title)
        else:
            text = _text(f"{kind}{ending}", {"name": title, "model": "fitzhugh_nagumo"})
            _write(path, text)
    except OSError as error:
        problem = f"cannot write {error.filename or path}: {error.strerror}"
        raise StudyError("name", problem, "a folder to write to") from None
    return path


def _write_project(path: Path, title: str) -> None:
    """Write a folder with a model, a study of it, and what else a project has."""
    model = "example"
    words = {"name": title}
    _write(path / "README.md", _text("project/README.md", words))
    _write(path / "CITATION.cff", _text("project/CITATION.cff", words))
    owner = f"Copyright (c) {date.today().year} The authors of {title}"
    licence = (shipped.root() / "LICENSE").read_text(encoding="utf-8")
    _write(path / "LICENSE", re.sub(r"^Copyright .*$", owner, licence, flags=re.MULTILINE))
    _write(path / ".gitignore", GITIGNORE)
    _write(path / "Snakefile", SNAKEFILE)
    _write(path / "config" / "config.yaml", _text("project/config.yaml", {}))
    _write(path / "models" / f"{model}.py", _text("model.py", {"name": model}))
    study = _text("study.yaml", {"name": "first", "model": f"../../models/{model}.py"})
    _write(path / "config" / "studies" / "first.yaml", study)
    shutil.copytree(shipped.root() / "profiles", path / "profiles")


def _text(template: str, words: Mapping[str, str]) -> str:
    """Return a template with words in the place of their names in braces."""
    text = (_TEXTS / template).read_text(encoding="utf-8")
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return text


def _write(path: Path, text: str) -> None:
    with files.beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
