# Students: one job trains one variant of an experiment for a few seeds, which are one batch.


rule train_students:
    input:
        unpack(PLAN.job_inputs),
    output:
        table=RESULTS / "{experiment}/{variant}/seeds-{seeds}/table.parquet",
        tensors=RESULTS / "{experiment}/{variant}/seeds-{seeds}/tensors.safetensors",
        manifest=RESULTS / "{experiment}/{variant}/seeds-{seeds}/run.json",
    log:
        RESULTS / "logs/{experiment}/{variant}/seeds-{seeds}.log",
    wildcard_constraints:
        experiment=PLAN.names("train"),
    params:
        options=OPTIONS,
        settings=PLAN.config_hash,
        device=PROJECT.settings.device,
    threads: PROJECT.scale.threads_per_job
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} --device {params.device} train {wildcards.experiment} {wildcards.variant}"
        " --seeds {wildcards.seeds} 2> >(tee {log} >&2)"


# Finished runs of another experiment, measured.
rule measure_students:
    input:
        unpack(PLAN.job_inputs),
    output:
        table=RESULTS / "{experiment}/{variant}/seeds-{seeds}/table.parquet",
        tensors=RESULTS / "{experiment}/{variant}/seeds-{seeds}/tensors.safetensors",
        manifest=RESULTS / "{experiment}/{variant}/seeds-{seeds}/run.json",
    log:
        RESULTS / "logs/{experiment}/{variant}/seeds-{seeds}.log",
    wildcard_constraints:
        experiment=PLAN.names("measure"),
    params:
        options=OPTIONS,
        settings=PLAN.config_hash,
    threads: PROJECT.scale.threads_per_job
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} measure {wildcards.experiment} {wildcards.variant}"
        " --seeds {wildcards.seeds} 2> >(tee {log} >&2)"


# Dynamics that need neither a teacher's file nor a data set.
rule simulate_dynamics:
    input:
        unpack(PLAN.job_inputs),
    output:
        table=RESULTS / "{experiment}/{variant}/seeds-{seeds}/table.parquet",
        tensors=RESULTS / "{experiment}/{variant}/seeds-{seeds}/tensors.safetensors",
        manifest=RESULTS / "{experiment}/{variant}/seeds-{seeds}/run.json",
    log:
        RESULTS / "logs/{experiment}/{variant}/seeds-{seeds}.log",
    wildcard_constraints:
        experiment=PLAN.names("simulate"),
    params:
        options=OPTIONS,
        settings=PLAN.config_hash,
        device=PROJECT.settings.device,
    threads: PROJECT.scale.threads_per_job
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} --device {params.device} simulate {wildcards.experiment} {wildcards.variant}"
        " --seeds {wildcards.seeds} 2> >(tee {log} >&2)"
