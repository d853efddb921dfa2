# The report: pages on all claims and experiments, for a browser.
REPORT = artefacts.report_files(FIGURES)


rule write_report:
    input:
        **PLAN.report_inputs(),
    output:
        front=REPORT["front"],
        provenance=REPORT["json"],
    log:
        LOGS / "report.log",
    params:
        options=READING_OPTIONS,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} report 2> >(tee {log} >&2)"
