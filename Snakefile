# neurolim: study.yaml -> chunks -> dataset -> statistics -> tables, figures -> report
# One rule is one `neurolim` verb; what a study contains is decided in neurolim.stages.
configfile: "config/config.yaml"


from neurolim import stages

RESULTS = config["results"]
STUDIES = stages.outlines(config["studies"])
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


onsuccess:
    print(stages.where(STUDIES, RESULTS))
