"""Write environment.yml, for those who have conda, from pyproject.toml: `make conda`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: Names in conda where they differ from the distribution's.
IN_CONDA = {
    "dask": "dask-core",
    "matplotlib": "matplotlib-base",
    "ruamel-yaml": "ruamel.yaml",
}
_TEMPLATE = """\
# For those who have conda:  conda env create -f environment.yml && conda activate neurolim
# Made from pyproject.toml by `make conda`; edit that.
# snakemake, its plugins and snakefmt live in bioconda.
name: neurolim
channels:
  - conda-forge
  - bioconda
  - nodefaults
dependencies:
  - python {python}
  - pip
{build}
  # what neurolim needs
{own}
  # what its tests and checks need
{dev}
  # neurolim itself, with its command.  All its dependencies stand above, so pip finds them
  # satisfied and adds nothing else, as if called with --no-deps.
  - pip:
      - -e .
"""


def environment(pyproject: str) -> str:
    """Return the text of environment.yml.

    Parameters
    ----------
    pyproject : the text of pyproject.toml
    """
    content = tomllib.loads(pyproject)
    project = content["project"]
    return _TEMPLATE.format(
        python=project["requires-python"],
        build=_lines(content["build-system"]["requires"]),
        own=_lines(project["dependencies"]),
        dev=_lines(project["optional-dependencies"]["dev"]),
    )


def _lines(texts: Iterable[str]) -> str:
    wanted = [Requirement(text) for text in texts]
    names = [canonicalize_name(item.name) for item in wanted]
    return "\n".join(
        f"  - {IN_CONDA.get(name, name)} {item.specifier}"
        for name, item in zip(names, wanted, strict=True)
    )


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    text = environment((root / "pyproject.toml").read_text("utf-8"))
    (root / "environment.yml").write_text(text, "utf-8")
