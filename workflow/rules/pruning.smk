# Tickets: one job prunes the students of a finished training job and trains what is left again, from many starts at once.


rule retrain_pruned:
    input:
        unpack(PLAN.job_inputs),
    output:
        table=RESULTS / "{experiment}/{variant}/seeds-{seeds}/table.parquet",
        tensors=RESULTS / "{experiment}/{variant}/seeds-{seeds}/tensors.safetensors",
        manifest=RESULTS / "{experiment}/{variant}/seeds-{seeds}/run.json",
    log:
        RESULTS / "logs/{experiment}/{variant}/seeds-{seeds}.log",
    wildcard_constraints:
        experiment=PLAN.names("retrain"),
    params:
        options=OPTIONS,
        settings=PLAN.config_hash,
        device=PROJECT.settings.device,
    threads: PROJECT.scale.threads_per_job
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} --device {params.device} retrain {wildcards.experiment} {wildcards.variant}"
        " --seeds {wildcards.seeds} 2> >(tee {log} >&2)"
