"""Claims on the authors' notes: how the data's scale, outputs, learning rate and normalized weights matter."""

import numpy as np
import pandas as pd

from luckmatters.judging.curves import at_end, change, curve, mean_over_layers
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, difference, in_every_cell, sign_effect
from luckmatters.judging.variants import Variants, one
from luckmatters.kinds.student_training.claims.growth import TENTH
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

USUAL_STD, USUAL_OUTPUTS, USUAL_RATE = 10.0, 100, 0.05


def rate(run: Run) -> float:
    """The learning rate at the start of training."""
    return run.settings.training.learning_rate[0].rate


def setting(
    std: float = USUAL_STD, outputs: int = USUAL_OUTPUTS, factor: int = 1, normalize: str | None = None
) -> Variants:
    """The variant with these settings.

    std: of the data; factor: of the learning rate, against the usual rate.
    """
    text = f"standard deviation {std:g}, {outputs} outputs, rate {factor * USUAL_RATE:g}, normalize {normalize}"
    wanted = std, outputs, normalize

    def test(run: Run) -> bool:
        settings = run.settings
        own = settings.data.std, run.teacher.outputs, settings.training.normalize
        return own == wanted and bool(np.isclose(rate(run), factor * USUAL_RATE))

    return one(Variants(text, test))


def lost(results: Results, changed: Variants, usual: Variants) -> pd.DataFrame:
    """Final ρ̄ with usual settings minus with changed settings, by seed and layer."""
    return difference(*(at_end(curve(results, which=which)) for which in (usual, changed)))


def lower(results: Results, changed: Variants, usual: Variants) -> Effect:
    """Final ρ̄ averaged over layers, usual minus changed settings."""
    return in_every_cell(mean_over_layers(lost(results, changed, usual)))


def lower_at_any_rate(results: Results, changed: Variants, usual: Variants) -> Effect:
    """As lower, for changed settings whose divergence would be no evidence: a diverged seed of either side has lost."""
    ends = [mean_over_layers(at_end(curve(results, which=which))) for which in (usual, changed)]
    ours, theirs = ends[0].align(ends[1], join="inner", axis=0)
    return in_every_cell(ours - theirs)


def lower_in_every_layer(results: Results, changed: Variants, usual: Variants) -> Effect:
    """Final ρ̄ in every layer, usual minus changed settings."""
    return in_every_cell(lost(results, changed, usual))


def little(results: Results, changed: Variants, usual: Variants) -> Effect:
    """A tenth of the growth of ρ̄ with usual settings, minus what changed settings lose of the final ρ̄."""
    growth = mean_over_layers(change(curve(results, which=usual)))
    return in_every_cell(TENTH * growth - mean_over_layers(lost(results, changed, usual)))


def greatest_rise(results: Results, which: Variants) -> pd.Series:
    """The greatest rise of the log loss above the lowest level so far, by seed; NaN for a seed that diverged.

    The losses in order of time: evaluation at epoch 0, training in epoch 1, evaluation at epoch 1, and so on.
    """
    both = [mean_over_layers(curve(results, quantity, which)) for quantity in ("training_loss", "loss")]
    steps = np.log(pd.concat(both, axis=1, keys=range(2)).unstack("epoch").swaplevel(axis=1).sort_index(axis=1))
    steps = steps.iloc[:, 1:]  # before the first epoch there is no training loss
    return (steps - steps.cummin(axis=1)).max(axis=1).mask(steps.isna().any(axis=1))


def rises_more(results: Results, high: Variants, usual: Variants) -> Effect:
    """The share of seeds whose greatest rise is greater at the high rate; divergence is an infinite rise."""
    return sign_effect(difference(-greatest_rise(results, usual), -greatest_rise(results, high)))


USUAL, STD_1, OUTPUTS_10, NORMALIZED = setting(), setting(std=1.0), setting(outputs=10), setting(normalize="fan-in")
TWICE, FOUR_TIMES = setting(factor=4), setting(factor=8)  # the greatest rate that the authors print, 0.1

EVIDENCE = [
    evidence("data-scale-matters", "lower", "settings", lower, changed=STD_1, usual=USUAL),
    evidence("data-scale-matters", "every-layer", "settings", lower_in_every_layer, changed=STD_1, usual=USUAL),
    evidence(
        "data-scale-matters", "not-by-rate", "settings", lower_at_any_rate,
        changed=setting(std=1.0, factor=100), usual=USUAL,
    ),
    evidence("more-outputs-help", "greater", "settings", lower, changed=OUTPUTS_10, usual=USUAL),
    evidence("more-outputs-help", "every-layer", "settings", lower_in_every_layer, changed=OUTPUTS_10, usual=USUAL),
    evidence("high-rate-unstable", "rises", "settings", rises_more, high=FOUR_TIMES, usual=USUAL),
    evidence("high-rate-unstable", "rises-at-0-2", "settings", rises_more, high=TWICE, usual=USUAL),
    evidence("normalized-worse", "worse", "settings", lower, changed=NORMALIZED, usual=USUAL),
    evidence("normalized-worse", "a-little", "settings", little, changed=NORMALIZED, usual=USUAL),
]  # fmt: skip
