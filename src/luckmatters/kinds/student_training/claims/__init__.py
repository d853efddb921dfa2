"""Claims on students of a teacher: a function a check, from results to an effect.

A seed that diverged is NaN, and counts as the worst outcome (``luckmatters.judging.statistics.with_diverged``).
"""

from luckmatters.kinds.student_training.claims import (
    ablations,
    generalization,
    growth,
    initial_weights,
    luck,
    notes,
    over_parameterization,
    weights,
)

MODULES = growth, luck, ablations, over_parameterization, weights, initial_weights, notes, generalization
EVIDENCE = [item for module in MODULES for item in module.EVIDENCE]
