# Whole networks as they are: pretrained ones, and teachers.


# The BatchNorm of a pretrained network: from its weights (once; what is kept of them is small), or as published.
rule extract_biases:
    input:
        unpack(PLAN.job_inputs),
        unpack(PLAN.pretrained_inputs),
    output:
        table=RESULTS / "{experiment}/{variant}/seeds-{seeds}/table.parquet",
        manifest=RESULTS / "{experiment}/{variant}/seeds-{seeds}/run.json",
    log:
        RESULTS / "logs/{experiment}/{variant}/seeds-{seeds}.log",
    wildcard_constraints:
        experiment=PLAN.names("extract"),
    params:
        options=OPTIONS,
        settings=PLAN.config_hash,
        weights=PROJECT.settings.weights,
        default=PROJECT.scale.weights_default,
    resources:
        mem_mb=1200,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} --weights {params.weights} extract {wildcards.experiment} {wildcards.variant}"
        " --seeds {wildcards.seeds} 2> >(tee {log} >&2)"


# Teachers, on samples; no student is involved.
rule observe_teachers:
    input:
        unpack(PLAN.job_inputs),
    output:
        table=RESULTS / "{experiment}/{variant}/seeds-{seeds}/table.parquet",
        tensors=RESULTS / "{experiment}/{variant}/seeds-{seeds}/tensors.safetensors",
        manifest=RESULTS / "{experiment}/{variant}/seeds-{seeds}/run.json",
    log:
        RESULTS / "logs/{experiment}/{variant}/seeds-{seeds}.log",
    wildcard_constraints:
        experiment=PLAN.names("observe"),
    params:
        options=OPTIONS,
        settings=PLAN.config_hash,
    threads: PROJECT.scale.threads_per_job
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} observe {wildcards.experiment} {wildcards.variant}"
        " --seeds {wildcards.seeds} 2> >(tee {log} >&2)"
