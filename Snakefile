# neurolim: study.yaml -> chunks -> dataset -> statistics -> tables, figures -> report
# One rule is one `neurolim` verb; what a study contains is decided in neurolim.stages.
import os
import sys

from neurolim import StudyError, stages

if os.path.isfile("config/config.yaml"):

    configfile: "config/config.yaml"


for key, value in stages.SETTINGS.items():
    config.setdefault(key, value)

RESULTS = config["results"]
try:
    STUDIES = stages.outlines(stages.study_files(config))
except StudyError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
config["captions"] = stages.captions(config["studies"], RESULTS)


wildcard_constraints:
    study="[a-z0-9][a-z0-9_-]*",
    chunk="[0-9]+",


report: "workflow/report/overview.rst"


include: "workflow/rules/simulate.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/publish.smk"


rule all:
    default_target: True
    input:
        stages.targets(STUDIES, RESULTS),
    localrule: True


onstart:
    try:
        stages.claim(STUDIES, RESULTS)
    except StudyError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


onsuccess:
    stages.tidy(STUDIES, RESULTS)
    print(stages.where(STUDIES, RESULTS))
