# Statistics of a dataset, and tables of the statistics with a verdict for every expectation.
rule reduce:
    input:
        RESULTS + "/{study}/data.json",
    output:
        RESULTS + "/{study}/statistics.zip",
        RESULTS + "/{study}/statistics.json",
    log:
        RESULTS + "/{study}/logs/reduce.log",
    params:
        study=lambda wildcards: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests["reduce"],
    conda:
        "../../environment.yml"
    shell:
        "neurolim reduce {params.study} --output {output[0]} > {log} 2>&1"


rule tabulate:
    input:
        RESULTS + "/{study}/statistics.json",
    output:
        csv=RESULTS + "/{study}/tables/{table}.csv",
        html=report(
            RESULTS + "/{study}/tables/{table}.html",
            caption="../report/table.rst",
            category="{study}",
            subcategory="tables",
            labels={"item": "{table}", "kind": "table"},
        ),
        tex=RESULTS + "/{study}/tables/{table}.tex",
    log:
        RESULTS + "/{study}/logs/tabulate-{table}.log",
    params:
        study=lambda wildcards: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests["tabulate"],
    conda:
        "../../environment.yml"
    shell:
        "neurolim tabulate {params.study} --table {wildcards.table}"
        " --output {output.csv} > {log} 2>&1"
