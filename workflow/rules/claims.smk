# The ledger of claims: an effect with its interval and a verdict for each.


rule judge_claims:
    input:
        **PLAN.claims_inputs(),
    output:
        ledger=report(
            FIGURES / "claims.md", category="Claims", caption="../report/claims.rst"
        ),
        table=FIGURES / "claims.csv",
        provenance=FIGURES / "claims.json",
    log:
        RESULTS / "logs/claims.log",
    params:
        options=OPTIONS,
        display=PLAN.claims_hash(),
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} claims 2> >(tee {log} >&2) > /dev/null"
