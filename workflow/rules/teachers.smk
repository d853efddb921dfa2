# Teachers, one file for each entry of config/teachers.yaml: drawn at random, or trained on the labels of CIFAR-10.
IMAGES = artefacts.bundle_files(artefacts.cifar10_folder(RESULTS))
TEACHER = artefacts.bundle_files(artefacts.teacher_folder(RESULTS, "{teacher}"))


# From its source (config/config.yaml: cifar10, or LUCKMATTERS_CIFAR10), decoded once.
rule prepare_cifar10:
    input:
        code=closure("cifar10"),
    output:
        tensors=IMAGES["tensors"],
        manifest=IMAGES["manifest"],
    log:
        artefacts.cifar10_folder(LOGS).with_suffix(".log"),
    params:
        options=OPTIONS,
        images=PLAN.cifar10_kind(),
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} prepare-cifar10 2> >(tee {log} >&2)"


rule generate_teacher:
    input:
        code=closure("science.teachers"),
    output:
        tensors=TEACHER["tensors"],
        manifest=TEACHER["manifest"],
    log:
        artefacts.teacher_folder(LOGS, "{teacher}").with_suffix(".log"),
    wildcard_constraints:
        teacher=PLAN.teachers(trained=False),
    params:
        options=OPTIONS,
        verb="generate-teacher",
        settings=PLAN.teacher_hash,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} {params.verb} {wildcards.teacher} 2> >(tee {log} >&2)"


use rule generate_teacher as train_teacher with:
    input:
        images=IMAGES["tensors"],
        code=closure("learning.teachers", "learning.data"),
    output:
        **TEACHER,
    wildcard_constraints:
        teacher=PLAN.teachers(trained=True),
    params:
        options=DEVICE_OPTIONS,
        verb="train-teacher",
    threads: PROJECT.scale.threads_per_job
