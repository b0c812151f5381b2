# neurolim: study.yaml -> chunks -> dataset -> statistics, tables, figures -> verdicts, report
# One rule is one `neurolim` verb; what a study contains is decided in neurolim.pipeline.
import os
import sys

from neurolim import StudyError
from neurolim.launch import lock, parent
from neurolim.pipeline import layout, outline

# Whoever starts this one watches it; jobs, in turn, end with it.
parent.follow()
os.environ.update(parent.lead())

if os.path.isfile("config/config.yaml"):

    configfile: "config/config.yaml"


for key, value in outline.SETTINGS.items():
    config.setdefault(key, value)

try:
    RESULTS = outline.results_of(config)
    TINY = outline.is_tiny(config)
    STUDIES = outline.outlines(outline.study_files(config), RESULTS, TINY)
except StudyError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
config["captions"] = outline.captions(config["studies"], RESULTS, TINY)
# Where the results of this size lie.
HOME = layout.folder(RESULTS, TINY)


wildcard_constraints:
    study="[a-z0-9][a-z0-9_-]*",
    chunk="[0-9a-f]{16}",


report: "workflow/report/overview.rst"


include: "workflow/rules/simulate.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/verdicts.smk"


rule all:
    default_target: True
    input:
        outline.targets(STUDIES, RESULTS, TINY),
    localrule: True


onstart:
    try:
        lock.hold(HOME, list(STUDIES))
        outline.settle_dates(STUDIES)
    except StudyError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


onsuccess:
    outline.tidy(STUDIES)
    print(outline.where(STUDIES, RESULTS, TINY))
