# Statistics of a dataset, and tables of the statistics with a verdict for every expectation.
rule reduce:
    input:
        record=f"{RESULTS}/{{study}}/data.json",
        data=f"{RESULTS}/{{study}}/data.zip",
    output:
        data=f"{RESULTS}/{{study}}/statistics.zip",
        record=f"{RESULTS}/{{study}}/statistics.json",
    log:
        f"{RESULTS}/{{study}}/logs/reduce.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=lambda wildcards: STUDIES[wildcards.study].dataset_mb,
    params:
        study=lambda wildcards, resources: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests["reduce"],
    shell:
        "neurolim reduce {params.study:q} --output {output.data:q} > {log:q} 2>&1"


# Failures are counted even where there are too many for statistics.
rule tabulate:
    input:
        lambda wildcards: [
            f"{RESULTS}/{wildcards.study}/"
            f"{'data' if wildcards.table == 'runs' else 'statistics'}.{kind}"
            for kind in ("json", "zip")
        ],
    output:
        csv=f"{RESULTS}/{{study}}/tables/{{table}}.csv",
        html=report(
            f"{RESULTS}/{{study}}/tables/{{table}}.html",
            caption="../report/table.rst",
            category="{study}",
            subcategory="tables",
            labels={"item": "{table}", "kind": "table"},
        ),
        tex=f"{RESULTS}/{{study}}/tables/{{table}}.tex",
    log:
        f"{RESULTS}/{{study}}/logs/tabulate-{{table}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=lambda wildcards: STUDIES[wildcards.study].dataset_mb,
    params:
        study=lambda wildcards, resources: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests["tabulate"],
    shell:
        "neurolim tabulate {params.study:q} --table {wildcards.table}"
        " --output {output.csv:q} > {log:q} 2>&1"
