# Chunks of runs, each one job and one file; the digest of points and code decides what reruns.
rule simulate:
    output:
        RESULTS + "/{study}/chunks/{chunk}.zip",
        RESULTS + "/{study}/chunks/{chunk}.json",
    log:
        RESULTS + "/{study}/logs/simulate-{chunk}.log",
    params:
        study=lambda wildcards: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].chunk_digest(wildcards.chunk),
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards: STUDIES[wildcards.study].memory_mb,
        runtime=lambda wildcards: STUDIES[wildcards.study].minutes,
    conda:
        "../../environment.yml"
    shell:
        "neurolim simulate {params.study} --chunk {wildcards.chunk} --workers {threads}"
        " --output {output[0]} > {log} 2>&1"


rule collect:
    input:
        lambda wildcards: STUDIES[wildcards.study].records(RESULTS),
    output:
        RESULTS + "/{study}/data.zip",
        RESULTS + "/{study}/data.json",
    log:
        RESULTS + "/{study}/logs/collect.log",
    params:
        study=lambda wildcards: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests["collect"],
    conda:
        "../../environment.yml"
    shell:
        "neurolim collect {params.study} --output {output[0]} > {log} 2>&1"
