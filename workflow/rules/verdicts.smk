# Of all studies together one page that says what they say of their statements.


rule verdicts:
    input:
        [str(study.layout.analysis) for study in STUDIES.values()],
        [study.files(study.pages[0]) for study in STUDIES.values()],
    output:
        # Snakemake's report sorts categories by name, and a blank comes before all digits.
        report(
            outline.verdicts(RESULTS, TINY)[0],
            caption="../report/verdicts.rst",
            category=" Verdicts",
            labels={"item": "verdicts", "kind": "page"},
        ),
        outline.verdicts(RESULTS, TINY)[1:],
    log:
        f"{HOME}/logs/verdicts.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        studies=outline.command_arguments(config["studies"], TINY),
        results=RESULTS,
    params:
        digest=[study.said for study in STUDIES.values()],
    shell:
        "neurolim verdicts {resources.studies} --results {resources.results:q} > {log:q} 2>&1"
