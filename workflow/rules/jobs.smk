# Jobs: one variant of an experiment, for a few seeds, which are one batch. The verb is that of the experiment's kind.
WILDCARDS = "{experiment}", "{variant}", "{seeds}"
JOB = artefacts.bundle_files(artefacts.run_folder(RESULTS, *WILDCARDS))


# Students, from a file of teachers and samples.
rule train_students:
    input:
        unpack(PLAN.job_inputs),
    output:
        **JOB,
    log:
        artefacts.run_folder(LOGS, *WILDCARDS).with_suffix(".log"),
    benchmark:
        artefacts.benchmark_file(RESULTS, *WILDCARDS)
    wildcard_constraints:
        experiment=PLAN.names("train"),
    params:
        options=DEVICE_OPTIONS,
        verb=PLAN.verb,
        settings=PLAN.config_hash,
    threads: PROJECT.scale.threads_per_job
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} {params.verb} {wildcards.experiment} {wildcards.variant}"
        " --seeds {wildcards.seeds} 2> >(tee {log} >&2)"


# Tickets: the students of a finished training job, pruned and trained again, from many starts at once.
use rule train_students as retrain_pruned with:
    wildcard_constraints:
        experiment=PLAN.names("retrain"),


# Dynamics that need neither a teacher's file nor a data set.
use rule train_students as simulate_dynamics with:
    wildcard_constraints:
        experiment=PLAN.names("simulate"),


# Finished runs of another experiment, measured.
use rule train_students as measure_students with:
    wildcard_constraints:
        experiment=PLAN.names("measure"),
    params:
        options=OPTIONS,


# Teachers, on samples; no student is involved.
use rule measure_students as observe_teachers with:
    wildcard_constraints:
        experiment=PLAN.names("observe"),


# The BatchNorm of a pretrained network: from its weights (once; what is kept of them is small), or as published.
use rule train_students as extract_biases with:
    input:
        unpack(PLAN.job_inputs),
        unpack(PLAN.pretrained_inputs),
    output:
        table=JOB["table"],
        manifest=JOB["manifest"],
    wildcard_constraints:
        experiment=PLAN.names("extract"),
    params:
        options=f"{OPTIONS} --weights {PROJECT.settings.weights}",
        default=PROJECT.scale.weights_default,
    threads: 1
    resources:
        mem_mb=1200,
