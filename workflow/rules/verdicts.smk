# Of all studies together one page that says what they say of their statements.


rule verdicts:
    input:
        [study.analysed_stamp for study in STUDIES.values()],
    output:
        outline.verdicts_stamp(STUDIES, RESULTS, TINY),
        # Snakemake's report sorts categories by name, and a blank comes before all digits.
        report(
            update(outline.verdicts(RESULTS, TINY)[0]),
            caption="../report/verdicts.rst",
            category=" Verdicts",
            labels={"item": "verdicts", "kind": "page"},
        ),
        [update(path) for path in outline.verdicts(RESULTS, TINY)[1:]],
    log:
        f"{HOME}/logs/verdicts.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        studies=outline.command_arguments(config["studies"], TINY),
        results=RESULTS,
    shell:
        "neurolim verdicts {resources.studies} --results {resources.results:q} > {log:q} 2>&1"
