# All published curves beside ours, point by point, with the cause of each departure.
COMPARISON = artefacts.comparison_files(FIGURES)


rule compare_published:
    input:
        **PLAN.comparison_inputs(),
    output:
        png=report(
            COMPARISON["png"],
            category="Published curves",
            caption="../report/published.rst",
        ),
        points=COMPARISON["points"],
        summary=COMPARISON["summary"],
        pdf=COMPARISON["pdf"],
        provenance=COMPARISON["json"],
    log:
        LOGS / "published.log",
    params:
        options=READING_OPTIONS,
        variants=PLAN.comparison_hash(),
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} published 2> >(tee {log} >&2)"


# The ledger of claims: an effect with its interval and a verdict for each.
LEDGER = artefacts.claims_files(FIGURES)


rule judge_claims:
    input:
        **PLAN.claims_inputs(),
    output:
        ledger=report(LEDGER["md"], category="Claims", caption="../report/claims.rst"),
        table=LEDGER["csv"],
        provenance=LEDGER["json"],
    log:
        LOGS / "claims.log",
    params:
        options=READING_OPTIONS,
        display=PLAN.claims_hash(),
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} claims 2> >(tee {log} >&2) > /dev/null"
