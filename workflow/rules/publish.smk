# Pictures; the report itself is `snakemake --report`, which `neurolim run` calls at the end.
rule draw:
    input:
        RESULTS + "/{study}/statistics.json",
    output:
        svg=report(
            RESULTS + "/{study}/figures/{figure}.svg",
            caption="../report/figure.rst",
            category="{study}",
            subcategory="figures",
            labels={"item": "{figure}", "kind": "figure"},
        ),
        pdf=RESULTS + "/{study}/figures/{figure}.pdf",
        png=RESULTS + "/{study}/figures/{figure}.png",
    log:
        RESULTS + "/{study}/logs/draw-{figure}.log",
    params:
        study=lambda wildcards: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests[wildcards.figure],
    conda:
        "../../environment.yml"
    shell:
        "neurolim draw {params.study} --figure {wildcards.figure}"
        " --output {output.svg} > {log} 2>&1"
