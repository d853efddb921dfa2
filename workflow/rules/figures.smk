# Figures and the numbers behind them; a restyled figure never retrains anything.
FIGURE = artefacts.figure_files(FIGURES, "{experiment}")


rule draw_figure:
    input:
        unpack(PLAN.figure_inputs),
    output:
        pdf=report(FIGURE["pdf"], category="Figures", caption="../report/figure.rst"),
        png=FIGURE["png"],
        svg=FIGURE["svg"],
        provenance=FIGURE["json"],
    log:
        LOGS / "figures/{experiment}.log",
    params:
        options=READING_OPTIONS,
        display=PLAN.display_hash,
        question=PLAN.question,
        published_as=PLAN.published_as,
        stand_in=PLAN.stand_in,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} figure {wildcards.experiment} 2> >(tee {log} >&2)"


# Of layouts that have one: the same run, iteration by iteration.
rule draw_animation:
    input:
        unpack(PLAN.figure_inputs),
    output:
        **artefacts.animation_files(FIGURES, "{experiment}"),
    log:
        LOGS / "animations/{experiment}.log",
    wildcard_constraints:
        experiment="|".join(PLAN.animated) or "none",
    params:
        options=READING_OPTIONS,
        display=PLAN.display_hash,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} animation {wildcards.experiment} 2> >(tee {log} >&2)"


rule summarize_experiment:
    input:
        tables=PLAN.experiment_tables,
        code=closure("judging.summaries", "reading"),
    output:
        **artefacts.summary_files(FIGURES, "{experiment}"),
    log:
        LOGS / "summaries/{experiment}.log",
    params:
        options=READING_OPTIONS,
        display=PLAN.display_hash,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} summary {wildcards.experiment} 2> >(tee {log} >&2)"
