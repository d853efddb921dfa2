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
