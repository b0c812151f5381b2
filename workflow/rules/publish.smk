# Pictures; the report itself is `snakemake --report`, which `neurolim run` calls at the end.
rule draw:
    input:
        record=f"{RESULTS}/{{study}}/statistics.json",
        statistics=f"{RESULTS}/{{study}}/statistics.zip",
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
    resources:
        mem_mb=lambda wildcards: STUDIES[wildcards.study].dataset_mb,
    params:
        study=lambda wildcards, resources: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests[wildcards.figure],
    shell:
        "neurolim draw {params.study:q} --figure {wildcards.figure}"
        " --output {output.svg:q} > {log:q} 2>&1"


# What it cost; not compared between machines, so nothing depends on it.
rule account:
    input:
        lambda wildcards: STUDIES[wildcards.study].records(RESULTS),
    output:
        report(
            f"{RESULTS}/{{study}}/costs.html",
            caption="../report/costs.rst",
            category="{study}",
            subcategory="costs",
            labels={"item": "costs", "kind": "table"},
        ),
    log:
        f"{RESULTS}/{{study}}/logs/account.log",
    conda:
        "../../environment.yml"
    params:
        study=lambda wildcards, resources: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests["account"],
    shell:
        "neurolim account {params.study:q} --output {output:q} > {log:q} 2>&1"
