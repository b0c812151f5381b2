"""The description of an archive for machines: a Workflow Run RO-Crate, and a Zenodo deposit.

Source: RO-Crate 1.1; Workflow Run Crate 0.5 and Workflow RO-Crate 1.0 profiles; Zenodo's deposit
metadata.  Everything said is known: no times, machines or persons that nobody recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurolim.archive import contents
from neurolim.pipeline.escapes import html
from neurolim.study.study import Study

_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_TYPES = {
    ".cff": "application/yaml",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".lock": "text/plain",
    ".md": "text/markdown",
    ".nc": "application/x-netcdf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
    ".yaml": "application/yaml",
}
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_WORKFLOW = "code/Snakefile"


def crate(
    studies: Sequence[Study],
    files: Mapping[str, str],
    citation: Mapping[str, Any],
    software: Mapping[str, str],
    date: str,
) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``.

    Parameters
    ----------
    studies : the studies in the archive
    files : {name: what it is, in a few words}; a name that ends with "/" is a folder
    citation : content of CITATION.cff
    software : versions by name
    date : of publication, YYYY-MM-DD
    """
    authors = [
        {"@id": f"#author-{number}", "@type": "Person", "name": author_name(author)}
        for number, author in enumerate(citation["authors"], 1)
    ]
    results = [name for name in files if name.split("/")[0] in _RESULTS]
    inputs = [f"studies/{study.name}.yaml" for study in studies]
    license_of = f"https://spdx.org/licenses/{citation['license']}"
    graph: list[dict[str, Any]] = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [
                {"@id": "https://w3id.org/ro/crate/1.1"},
                {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
            ],
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": title(studies),
            "description": description(studies),
            "datePublished": date,
            "license": {"@id": license_of},
            "author": _ids(author["@id"] for author in authors),
            "keywords": list(citation.get("keywords", [])),
            "conformsTo": _ids(_PROFILES),
            "mainEntity": {"@id": _WORKFLOW},
            "hasPart": _ids([_WORKFLOW, *files]),
            "mentions": [{"@id": "#run"}],
        },
        *_workflow(software, license_of, authors, inputs, results),
        {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"Run of {', '.join(study.name for study in studies)}",
            "description": "neurolim run " + " ".join(inputs),
            "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
            "instrument": {"@id": _WORKFLOW},
            "agent": _ids(author["@id"] for author in authors),
            "object": _ids(inputs),
            "result": _ids(results),
        },
        {
            "@id": license_of,
            "@type": "CreativeWork",
            "name": citation["license"],
            "description": "Licence of code and data.",
            "url": license_of,
        },
        *authors,
        *(
            {"@id": address, "@type": "CreativeWork", "name": name, "version": address[-3:]}
            for address, name in _PROFILES.items()
        ),
        *(_file(name, words, inputs, results) for name, words in files.items()),
    ]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def _workflow(
    software: Mapping[str, str],
    license_of: str,
    authors: Sequence[Mapping[str, Any]],
    inputs: Sequence[str],
    results: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the entities of the workflow: itself, its inputs, its results and its language."""
    return [
        {
            "@id": _WORKFLOW,
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": "neurolim's workflow",
            "description": "From study files to data, statistics, tables, figures and a report.",
            "programmingLanguage": {"@id": _SNAKEMAKE},
            "license": {"@id": license_of},
            "creator": _ids(author["@id"] for author in authors),
            "version": software["neurolim"],
            "conformsTo": {
                "@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
            },
            "input": [{"@id": "#studies"}],
            "output": [{"@id": "#results"}],
        },
        {
            "@id": "#studies",
            "@type": "FormalParameter",
            "additionalType": "File",
            "name": "studies",
            "description": "Study files: which model, solver, grid, statistics and figures.",
            "conformsTo": {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"},
            "workExample": _ids(inputs),
        },
        {
            "@id": "#results",
            "@type": "FormalParameter",
            "additionalType": "Dataset",
            "name": "results",
            "description": "Data, statistics, tables, figures and report of every study.",
            "conformsTo": {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"},
            "workExample": _ids(results),
        },
        {
            "@id": _SNAKEMAKE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
            "url": {"@id": "https://snakemake.github.io"},
            "version": software.get("snakemake", "unknown"),
        },
    ]


#: First folders of what a run makes.
_RESULTS = {"data", "statistics", "netcdf", "tables", "figures", "chunks", contents.REPORT}
_RESULTS |= set(contents.VERDICTS)


def _file(name: str, words: str, inputs: Sequence[str], results: Sequence[str]) -> dict[str, Any]:
    folder = name.endswith("/")
    found: dict[str, Any] = {
        "@id": name,
        "@type": "Dataset" if folder else "File",
        "name": words,
        "description": words,
    }
    if name in inputs or name in results:
        found["exampleOfWork"] = {"@id": "#studies" if name in inputs else "#results"}
    suffix = "." + name.rsplit(".", 1)[-1]
    if not folder:
        found["encodingFormat"] = _TYPES.get(suffix, "text/plain")
    return found


def _ids(names: Any) -> list[dict[str, str]]:
    return [{"@id": name} for name in names]


def author_name(author: Mapping[str, Any]) -> str:
    """Return the name of an author of CITATION.cff."""
    person = f"{author.get('given-names', '')} {author.get('family-names', '')}".strip()
    return str(author.get("name") or person)


def title(studies: Sequence[Study]) -> str:
    """Return the title of the archive of some studies."""
    if len(studies) == 1:
        return studies[0].spec.title or studies[0].name
    return "Limits of strongly coupled neuron networks: " + ", ".join(s.name for s in studies)


def description(studies: Sequence[Study]) -> str:
    """Return what the studies test, a sentence each."""
    said = [
        f"{study.name}: {study.spec.title}. {study.spec.cited_claim}".strip() for study in studies
    ]
    return " ".join(said)


def zenodo(
    studies: Sequence[Study], citation: Mapping[str, Any], version: str, date: str
) -> dict[str, Any]:
    """Return the body of a Zenodo deposit of the archive, ready for its interface."""
    return {
        "metadata": {
            "title": title(studies),
            "upload_type": "dataset",
            "description": f"<p>{html(description(studies))}</p>",
            "creators": [{"name": author_name(author)} for author in citation["authors"]],
            "keywords": list(citation.get("keywords", [])),
            "license": str(citation["license"]).lower(),
            "access_right": "open",
            "publication_date": date,
            "version": version,
            "notes": f"Made with neurolim {version}; check it with `neurolim verify`.",
        }
    }
