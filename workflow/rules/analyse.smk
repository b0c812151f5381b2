# Of every study one job that collects, and one that makes all statistics, tables and figures.
# Each makes only what its records say is missing, so Snakemake must leave what is there: update().
# It leaves a stamp named by what all of it is made from, so dates mean nothing: ancient().
COSTS, TABLE, FIGURE = (
    "../report/costs.rst",
    "../report/table.rst",
    "../report/figure.rst",
)


def in_report(study, page):
    """Return the files of a table or figure, of which the first one goes into the report."""
    shown, *others = study.files(page)
    labels = {"item": page.name, "kind": page.kind.removesuffix("s")}
    caption = TABLE if page.kind == "tables" else FIGURE
    place = {"category": study.name, "subcategory": page.kind, "labels": labels}
    return [report(update(shown), caption=caption, **place), *map(update, others)]


def costs_in_report(study):
    """Return the page of costs, which goes into the report."""
    labels = {"item": "costs", "kind": "table"}
    place = {"category": study.name, "subcategory": "costs", "labels": labels}
    return report(update(str(study.layout.costs)), caption=COSTS, **place)


for study in STUDIES.values():

    rule:
        name:
            f"collect_{study.name}"
        input:
            [ancient(path) for path in study.chunk_files],
        output:
            study.collected_stamp,
            update(str(study.layout.data)),
            update(str(study.layout.data.with_suffix(".json"))),
            update(str(study.layout.collection)),
            in_report(study, study.pages[0]),
            costs_in_report(study),
        log:
            str(study.layout.log("collect")),
        conda:
            "../../environment.yml"
        resources:
            mem_mb=1024,
            study=study.arguments,
            results=RESULTS,
        params:
            study=study.name,  # for the captions
        shell:
            "neurolim collect {resources.study} --results {resources.results:q} > {log:q} 2>&1"

    rule:
        name:
            f"analyse_{study.name}"
        input:
            ancient(study.collected_stamp),
        output:
            study.analysed_stamp,
            update(str(study.layout.statistics)),
            update(str(study.layout.statistics.with_suffix(".json"))),
            update(str(study.layout.analysis)),
            [in_report(study, page) for page in study.judged],
        log:
            str(study.layout.log("analyse")),
        conda:
            "../../environment.yml"
        resources:
            mem_mb=study.dataset_mb,
            study=study.arguments,
            results=RESULTS,
        params:
            study=study.name,  # for the captions
        shell:
            "neurolim analyse {resources.study} --results {resources.results:q} > {log:q} 2>&1"
