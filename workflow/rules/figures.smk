# Figures and the numbers behind them; a restyled figure never retrains anything.


rule draw_figure:
    input:
        unpack(PLAN.figure_inputs),
    output:
        pdf=report(
            FIGURES / "{experiment}.pdf",
            category="Figures",
            caption="../report/figure.rst",
        ),
        png=FIGURES / "{experiment}.png",
        provenance=FIGURES / "{experiment}.json",
    log:
        RESULTS / "logs/figures/{experiment}.log",
    params:
        options=OPTIONS,
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
        gif=FIGURES / "{experiment}.gif",
        provenance=FIGURES / "{experiment}.gif.json",
    log:
        RESULTS / "logs/animations/{experiment}.log",
    wildcard_constraints:
        experiment="|".join(PLAN.animated) or "none",
    params:
        options=OPTIONS,
        display=PLAN.display_hash,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} animation {wildcards.experiment} 2> >(tee {log} >&2)"


rule summarize_experiment:
    input:
        tables=PLAN.experiment_tables,
        code=[*closure("judging.summaries"), *closure("reading")],
    output:
        table=FIGURES / "{experiment}.csv",
        provenance=FIGURES / "{experiment}.csv.json",
    log:
        RESULTS / "logs/summaries/{experiment}.log",
    params:
        options=OPTIONS,
        display=PLAN.display_hash,
    conda:
        "../../environment.yml"
    shell:
        "luckmatters {params.options} summary {wildcards.experiment} 2> >(tee {log} >&2)"
