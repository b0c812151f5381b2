# Chunks of runs, each one job and one file.  A chunk is named by the digest of points and code, so
# what is there under its name is made from just that.
rule simulate:
    input:
        # Nothing, unless this chunk refines a map: then what it refines.
        lambda wildcards: (
            [
                ancient(record)
                for record in STUDIES[wildcards.study].before(wildcards.chunk)
            ]
            if wildcards.study in STUDIES
            else []
        ),
    output:
        data=update(f"{HOME}/{{study}}/chunks/{{chunk}}.zip"),
        record=update(f"{HOME}/{{study}}/chunks/{{chunk}}.json"),
    log:
        f"{HOME}/{{study}}/logs/simulate-{{chunk}}.log",
    # A job that was killed, with its node or by hand, starts again.
    retries: 2
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        # One that was killed for want of memory or time asks for more.
        mem_mb=lambda wildcards, attempt: attempt * STUDIES[wildcards.study].memory_mb,
        runtime=lambda wildcards, attempt: attempt * STUDIES[wildcards.study].minutes,
        study=lambda wildcards: STUDIES[wildcards.study].arguments,
        engine=config["engine"],
        address=config["address"],
        number=lambda wildcards: STUDIES[wildcards.study].number(wildcards.chunk),
    shell:
        "neurolim simulate {resources.study} --chunk {resources.number} --workers {threads}"
        " --engine {resources.engine:q} --address={resources.address:q}"
        " --output {output.data:q} > {log:q} 2>&1"
