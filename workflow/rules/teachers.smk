# Random teachers, one file for each entry of config/teachers.yaml.


rule generate_teacher:
    input:
        code=closure("science.teachers"),
    output:
        tensors=RESULTS / "teachers/{teacher}/tensors.safetensors",
        manifest=RESULTS / "teachers/{teacher}/run.json",
    log:
        RESULTS / "logs/teachers/{teacher}.log",
    params:
        options=OPTIONS,
        settings=PLAN.teacher_hash,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} generate-teacher {wildcards.teacher} 2> >(tee {log} >&2)"
