"""Validate the RO-Crate in a folder, offline; runs in the validator's own environment.

The validator wants the JSON-LD context of RO-Crate from the net; here it comes from the file in the
package ``rocrate``.  Every profile of a Workflow Run Crate is asked for by name.
"""

import json
import sys
from importlib.resources import files

import requests
from rdflib.plugins.shared.jsonld import context as jsonld_context
from rocrate_validator import services
from rocrate_validator.models import ValidationSettings
from rocrate_validator.utils import document_loader, http

PROFILES = ("ro-crate-1.1", "process-run-crate", "workflow-run-crate", "workflow-ro-crate")
CONTEXT = json.loads((files("rocrate") / "data" / "ro-crate.jsonld").read_text("utf-8"))


def _local(url, *args, **kwargs):
    """Return the one page of the net that the validator needs."""
    if "w3id.org/ro/crate" not in url:
        raise OSError(f"no net here: {url}")
    answer = requests.Response()
    answer.status_code, answer.url = 200, url
    answer.headers["Content-Type"] = "application/ld+json"
    answer._content = json.dumps({"@context": CONTEXT["@context"]}).encode()
    return answer


def main(folder):
    """Print every issue; return how many there are."""
    document_loader._fetch_json_ld = lambda url: _local(url).json()
    document_loader.install_document_loader()
    assert jsonld_context.source_to_json is document_loader._patched_source_to_json
    http.HttpRequester.__getattr__ = lambda self, name: _local
    count = 0
    for profile in PROFILES:
        settings = ValidationSettings(
            rocrate_uri=folder, profile_identifier=profile, requirement_severity="REQUIRED"
        )
        found = services.validate(settings)
        for issue in found.get_issues():
            count += 1
            print(f"{profile}: {issue.check.identifier}: {issue.message}")
        print(f"{profile}: {'passed' if found.passed() else 'failed'}")
    return count


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1])))
