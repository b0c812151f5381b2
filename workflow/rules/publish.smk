# Pictures; the report itself is `snakemake --report`, which `neurolim run` calls at the end.
rule draw:
    input:
        f"{RESULTS}/{{study}}/statistics.json",
    output:
        svg=report(
            f"{RESULTS}/{{study}}/figures/{{figure}}.svg",
            caption="../report/figure.rst",
            category="{study}",
            subcategory="figures",
            labels={"item": "{figure}", "kind": "figure"},
        ),
        pdf=f"{RESULTS}/{{study}}/figures/{{figure}}.pdf",
        png=f"{RESULTS}/{{study}}/figures/{{figure}}.png",
    log:
        f"{RESULTS}/{{study}}/logs/draw-{{figure}}.log",
    conda:
        "../../environment.yml"
    params:
        study=lambda wildcards, resources: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests[wildcards.figure],
    shell:
        "neurolim draw {params.study:q} --figure {wildcards.figure}"
        " --output {output.svg:q} > {log:q} 2>&1"
