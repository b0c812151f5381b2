# Chunks of runs, each one job and one file; the digest of points and code decides what reruns.
# Where a study's file lies must not: Snakemake compares no parameter that is a function of
# `resources`, hence that argument of every `study=`.
rule simulate:
    input:
        # Nothing, unless this chunk refines a map: then what it refines.
        lambda wildcards: (
            STUDIES[wildcards.study].before(RESULTS, wildcards.chunk)
            if wildcards.study in STUDIES
            else []
        ),
    output:
        data=f"{RESULTS}/{{study}}/chunks/{{chunk}}.zip",
        record=f"{RESULTS}/{{study}}/chunks/{{chunk}}.json",
    log:
        f"{RESULTS}/{{study}}/logs/simulate-{{chunk}}.log",
    # A job that was killed, with its node or by hand, starts again.
    retries: 2
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards: STUDIES[wildcards.study].memory_mb,
        runtime=lambda wildcards: STUDIES[wildcards.study].minutes,
        # Not params: where a chunk is made must not make it again.
        engine=config["engine"],
        address=config["address"],
    params:
        study=lambda wildcards, resources: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].chunk_digest(wildcards.chunk),
    shell:
        "neurolim simulate {params.study:q} --chunk {wildcards.chunk} --workers {threads}"
        " --engine {resources.engine:q} --address={resources.address:q}"
        " --output {output.data:q} > {log:q} 2>&1"


rule collect:
    input:
        records=lambda wildcards: STUDIES[wildcards.study].records(RESULTS),
        data=lambda wildcards: STUDIES[wildcards.study].chunk_files(RESULTS),
    output:
        data=f"{RESULTS}/{{study}}/data.zip",
        record=f"{RESULTS}/{{study}}/data.json",
    log:
        f"{RESULTS}/{{study}}/logs/collect.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1024,
    params:
        study=lambda wildcards, resources: STUDIES[wildcards.study].path,
        digest=lambda wildcards: STUDIES[wildcards.study].digests["collect"],
    shell:
        "neurolim collect {params.study:q} --output {output.data:q} > {log:q} 2>&1"
