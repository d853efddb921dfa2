# Teachers, one file for each entry of config/teachers.yaml: drawn at random, or trained on the labels of CIFAR-10.


# From its source (config/config.yaml: cifar10, or LUCKMATTERS_CIFAR10), decoded once.
rule prepare_cifar10:
    input:
        code=closure("cifar10"),
    output:
        **PLAN.cifar10(),
    log:
        RESULTS / "logs/datasets/cifar10.log",
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
        tensors=RESULTS / "teachers/{teacher}/tensors.safetensors",
        manifest=RESULTS / "teachers/{teacher}/run.json",
    log:
        RESULTS / "logs/teachers/{teacher}.log",
    wildcard_constraints:
        teacher=PLAN.teachers(pretrained=False),
    params:
        options=OPTIONS,
        settings=PLAN.teacher_hash,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} generate-teacher {wildcards.teacher} 2> >(tee {log} >&2)"


rule pretrain_teacher:
    input:
        images=PLAN.cifar10()["tensors"],
        code=closure("learning.teachers"),
    output:
        table=RESULTS / "teachers/{teacher}/table.parquet",
        tensors=RESULTS / "teachers/{teacher}/tensors.safetensors",
        manifest=RESULTS / "teachers/{teacher}/run.json",
    log:
        RESULTS / "logs/teachers/{teacher}.log",
    wildcard_constraints:
        teacher=PLAN.teachers(pretrained=True),
    params:
        options=OPTIONS,
        settings=PLAN.teacher_hash,
        device=PROJECT.settings.device,
    threads: PROJECT.scale.threads_per_job
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} --device {params.device} pretrain-teacher {wildcards.teacher}"
        " 2> >(tee {log} >&2)"
